/* base/textbuf.h - a text that grows: what replies are written into. Not thread-safe. Zeroed:
 * empty.
 *
 * Out of memory is remembered: nothing more is written, and `failed` tells it once at the end. */
#ifndef BASE_TEXTBUF_H
#define BASE_TEXTBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct textbuf {
    char *p; /* not NUL-terminated; NULL while empty */
    size_t len, cap;
    size_t max; /* cap grows no further, as if memory were out; 0: no bound */
    bool failed;
};

void textbuf_init(struct textbuf *t); /* empty, without a bound */
void textbuf_fini(struct textbuf *t); /* frees the text; @t is empty then */
/* Room for @n bytes that the caller writes and adds to len; NULL: failed. */
char *textbuf_room(struct textbuf *t, size_t n);
/* Each appends: bytes, a text, a formatted text, a number in decimal. */
void textbuf_put(struct textbuf *t, const char *text, size_t len);
void textbuf_puts(struct textbuf *t, const char *text);
void textbuf_printf(struct textbuf *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void textbuf_int(struct textbuf *t, int64_t v);
/* The text in quotes as JSON wants it (RFC 8259 section 7). Bytes that are not UTF-8 become U+FFFD.
 */
void textbuf_json(struct textbuf *t, const char *text);

#endif
