/* panel/v2sp/outcome.h - what the end of a panel call means, and what to do then. Pure, stateless.
 *
 * Source: docs/panel-api.md, "Errors", also for which pushes may be sent again. */
#ifndef PANEL_V2SP_OUTCOME_H
#define PANEL_V2SP_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum v2sp_outcome {
    V2SP_DONE,         /* 2xx (a push: whatever the body) */
    V2SP_UNCHANGED,    /* 304 */
    V2SP_UNREACHABLE,  /* no connection, no TLS, no name */
    V2SP_CUT,          /* time ran out or the connection died after the request was on its way */
    V2SP_BAD_REPLY,    /* 2xx, but a login page, broken or foreign JSON */
    V2SP_REDIRECTED,   /* to another host or scheme: the token would go along */
    V2SP_REJECTED,     /* 400, 413, 422 and other 4xx: the request itself is wrong */
    V2SP_DENIED,       /* 401, 403: token or node disabled */
    V2SP_UNKNOWN_NODE, /* 404, 410 */
    V2SP_NO_ACTION,    /* 404, 405, 501 on an optional action: the panel does not have it */
    V2SP_TROUBLE,      /* 408, 429, 5xx */
};

/* What became of a push. */
enum v2sp_applied {
    V2SP_APPLIED,
    V2SP_NOT_APPLIED,
    V2SP_MAYBE_APPLIED, /* send the identical batch with the identical key */
};

/* @http: status code, 0 = none came. @sent: a byte of the request was handed to the connection.
 * @optional: action=alivelist. */
enum v2sp_outcome v2sp_outcome_of(long http, bool sent, bool optional);
/* 500 counts as maybe: panels queue several jobs in a row, so it can follow an applied one. With an
 * idempotency key that is harmless. */
enum v2sp_applied v2sp_outcome_applied(enum v2sp_outcome o, long http);
/* A few words for the log. */
const char *v2sp_outcome_str(enum v2sp_outcome o);

/* Milliseconds to wait after the @fails-th failure in a row (1 = the first): grows with each from a
 * base by cause, up to a cap. @interval_ms is the regular interval; @retry_after_s the panel's wish
 * (0 = none, honoured up to 10 min). @random: any number, spreads the result by +-10 %. */
uint64_t v2sp_outcome_delay_ms(enum v2sp_outcome o, unsigned fails, uint64_t interval_ms,
                               uint32_t retry_after_s, uint32_t random);
/* The regular interval with +-10 %. */
uint64_t v2sp_outcome_jitter_ms(uint64_t interval_ms, uint32_t random);

/* Takes the "message" out of an error body, else its beginning, as one printable line in @dst. HTML
 * is named as such. */
void v2sp_outcome_message(char *dst, size_t cap, const char *body, size_t len);
/* Does it begin as HTML does? */
bool v2sp_outcome_is_html(const char *body, size_t len);

#endif
