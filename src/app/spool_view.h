/* app/spool_view.h - the answer to GET /spool as people read it. Pure text, 100 columns. */
#ifndef APP_SPOOL_VIEW_H
#define APP_SPOOL_VIEW_H

#include <stdint.h>

#include "base/textbuf.h"

struct json_t;

/* Appends the text; @now: unix time. */
void spool_view(struct textbuf *out, const struct json_t *doc, int64_t now);

#endif
