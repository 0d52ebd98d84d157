/* codec/http1_write.h - writing heads of HTTP/1.1 messages into the caller's buffer. Pure.
 * Life: http1_begin_* -> (http1_add_*)* -> http1_end. A writer that ran out of room, or was given a
 * text with CR, LF or NUL in it, stays bad and http1_end says so. */
#ifndef CODEC_HTTP1_WRITE_H
#define CODEC_HTTP1_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct http1_writer {
    char *p;
    size_t cap, len;
    bool bad;
};

/* Standard reason of a status ("Not Found"); "Unknown" for numbers this program does not use. */
const char *http1_reason(unsigned status);

#define HTTP1_DATE_LEN 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and NUL */
/* IMF-fixdate (RFC 9110 section 5.6.7) of seconds since 1970, clamped to years 1970..9999. Returns
 * @dst. */
char *http1_date(char dst[HTTP1_DATE_LEN], int64_t unix_s);
/* Reads the same form back (If-Modified-Since). ST_OK or ST_E_PROTO. */
NODISCARD enum status http1_date_parse(const char *text, size_t len, int64_t *unix_s);

/* Starts a head in @buf; @reason NULL = http1_reason(status). */
void http1_begin_response(struct http1_writer *w, char *buf, size_t cap, unsigned status,
                          const char *reason);
/* @target: as it stands in the request line. */
void http1_begin_request(struct http1_writer *w, char *buf, size_t cap, const char *method,
                         const char *target);
/* Each adds one field line. Values are written as they are. */
void http1_add_field(struct http1_writer *w, const char *name, const char *value);
void http1_add_field_n(struct http1_writer *w, const char *name, const char *value, size_t len);
void http1_add_number(struct http1_writer *w, const char *name, uint64_t value);
void http1_add_date(struct http1_writer *w, int64_t unix_s); /* Date */
/* Adds the empty line. ST_OK: w->len bytes at w->p are the head (not NUL-terminated); ST_E_LIMIT:
 * the writer is bad. */
NODISCARD enum status http1_end(struct http1_writer *w);

#endif
