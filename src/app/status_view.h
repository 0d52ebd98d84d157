/* app/status_view.h - the answer to GET /status as people read it: what `v2sp status` prints and
 * `v2sp top` shows. Pure text, made for 100 columns and fit for 80. */
#ifndef APP_STATUS_VIEW_H
#define APP_STATUS_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/textbuf.h"

struct json_t;

enum status_sort { /* of the users, the most first */
                   SORT_RATE,
                   SORT_DOWN,
                   SORT_UP,
                   SORT_CONNECTIONS,
                   SORT_DEVICES,
                   SORT_BYTES,
                   SORT_KINDS
};

struct status_style {
    bool color;
    bool brief;     /* of a node only its line and what is wrong: for a small screen */
    unsigned width; /* columns; 60 at least */
    unsigned lines; /* at most so many, the users give way; 0: no bound */
    enum status_sort sort;
    const char *node; /* only this one; NULL: all */
};

const char *status_sort_str(enum status_sort s); /* "rate" */

/* Appends the text, lines end in '\n'. Control characters in what panels said are replaced. */
void status_view(struct textbuf *out, const struct json_t *doc, const struct status_style *style);
/* Is there a node called @tag? */
bool status_has_node(const struct json_t *doc, const char *tag);
/* True: every node serves, but for those that end. */
bool status_all_serve(const struct json_t *doc);

/* ---- words, for other commands ---- */

#define STATUS_WORD_MAX 24u
char *status_bytes(char dst[STATUS_WORD_MAX], uint64_t bytes);  /* "12.3 MB" */
char *status_span(char dst[STATUS_WORD_MAX], uint64_t seconds); /* "3d04h" */
/* @text on one line, without control characters, of at most @width columns ('.' at a cut). */
void status_plain(struct textbuf *out, const char *text, size_t width);

#endif
