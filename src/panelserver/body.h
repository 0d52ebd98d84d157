/* panelserver/body.h - the body of a reply with its entity tag, counted, so that a large one is
 * made once and sent to many. */
#ifndef PANELSERVER_BODY_H
#define PANELSERVER_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/textbuf.h"

#define BODY_ETAG_LEN 35 /* quote, 32 hex digits, quote, NUL */

struct body {
    unsigned refs; /* plain: one thread */
    size_t len;
    char etag[BODY_ETAG_LEN]; /* with its quotes: hash of the bytes */
    char *data;
};

/* Takes what @t holds, also on failure (@t is empty then). *@out has one reference. ST_OK;
 * ST_E_NOMEM, also when @t ran out before; ST_E_CRYPTO. */
NODISCARD enum status body_new(struct textbuf *t, struct body **out);
struct body *body_ref(struct body *b);
void body_unref(struct body *b); /* NULL is fine */

/* Does the If-None-Match list @text name @etag? Weak comparison; `*` names all; a tag without
 * quotes counts too, because some clients strip them (RFC 9110 section 13.1.2). */
bool body_etag_matches(const char *etag, const char *text, size_t len);

#endif
