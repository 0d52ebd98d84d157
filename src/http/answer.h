/* http/answer.h - how HTTP transports turn a request down, byte for byte as Go's net/http does, so
 * that a prober sees one of the most common servers there are. Pure. Source: Go 1.26
 * net/http/server.go. */
#ifndef HTTP_ANSWER_H
#define HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "codec/http1.h"

/* A refusal. Zeroed members are left out. */
struct http_refusal {
    unsigned status;
    const char *field, *field_value; /* one more field */
    const char *text;                /* body, with text/plain and nosniff as by Go's http.Error */
    bool head;                       /* the request was HEAD: no body goes out */
    bool close;                      /* adds "Connection: close" */
};

/* Writes @r in one span, to start a unit below. ST_OK or ST_E_NOMEM. */
NODISCARD enum status http_refuse(struct bufq *out, struct pool *p, const struct http_refusal *r,
                                  int64_t unix_s);
/* The answer to bytes that http1_parse_request() refused with @st (PROTO 400, LIMIT 431,
 * UNSUPPORTED 505 or 501); the connection is to be closed after it. ST_OK or ST_E_NOMEM. */
NODISCARD enum status http_refuse_bytes(struct bufq *out, struct pool *p, enum status st,
                                        const struct http1_head *h);

#endif
