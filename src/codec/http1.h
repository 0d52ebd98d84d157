/* codec/http1.h - heads of HTTP/1.x messages (RFC 9112), both directions. Pure, borrows the
 * caller's buffer, copies nothing.
 *
 * The caller keeps the bytes of a head contiguous from its first byte and calls the parser whenever
 * there are more, with the same struct http1_scan (zeroed before the first call of a message).
 * Texts of the result point into that buffer. Stricter than RFC 9112 where two readers could
 * understand a message differently: lines end in CRLF, no folded lines, no second Content-Length or
 * Host, never Content-Length with Transfer-Encoding, "chunked" as the only transfer coding. */
#ifndef CODEC_HTTP1_H
#define CODEC_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* The longest head: Go's limit for MaxHeaderBytes 8192 with its slack. */
#define HTTP1_HEAD_MAX (8192u + 4096u)

/* A borrowed text, not NUL-terminated. */
struct http1_str {
    const char *p;
    size_t len;
};

enum http1_body {
    HTTP1_BODY_NONE,
    HTTP1_BODY_LENGTH,  /* content_length bytes, maybe 0 */
    HTTP1_BODY_CHUNKED, /* codec/http1_chunked.h */
    HTTP1_BODY_CLOSE,   /* responses: till the end of the connection */
};

struct http1_head {
    uint8_t minor;                   /* HTTP/1.minor */
    bool keep_alive;                 /* the sender lets the connection live on */
    uint8_t body;                    /* enum http1_body */
    uint16_t status;                 /* responses: 100..599; requests: 0 */
    uint64_t content_length;         /* HTTP1_BODY_LENGTH */
    size_t size;                     /* bytes of the head with its empty line */
    struct http1_str method, target; /* requests: as sent */
    /* requests: authority of an absolute target, else the Host field; may be empty */
    struct http1_str host;
    /* requests: parts of the target, not decoded; path "/..." or "*" (empty: CONNECT) */
    struct http1_str path, query;
    struct http1_str reason; /* responses */
    struct http1_str fields; /* all field lines */
};

/* How far the reading of one head has come. */
struct http1_scan {
    size_t line; /* where the first unjudged line starts */
    size_t pos;  /* searched for its end up to here */
};

/* Reads a request's or a response's head from the @len bytes at @buf. A broken line is refused as
 * soon as it is there. The body kind of a response does not know the request: after HEAD there is
 * none.
 *   ST_OK             *@h is filled; h->size bytes are the head
 *   ST_MORE           not all there yet
 *   ST_E_PROTO        not HTTP/1, or ambiguous (answer 400)
 *   ST_E_LIMIT        longer than HTTP1_HEAD_MAX (answer 431)
 *   ST_E_UNSUPPORTED  another major version (answer 505) or transfer coding (answer 501): h->minor
 *                     is HTTP1_MINOR_OTHER for the former */
NODISCARD enum status http1_parse_request(const char *buf, size_t len, struct http1_scan *scan,
                                          struct http1_head *h);
NODISCARD enum status http1_parse_response(const char *buf, size_t len, struct http1_scan *scan,
                                           struct http1_head *h);
#define HTTP1_MINOR_OTHER 255u

/* Walks the fields: struct http1_field f = {0}; while (http1_field_next(h, &f)) ... Values are
 * trimmed. */
struct http1_field {
    struct http1_str name, value;
    size_t next;
};
bool http1_field_next(const struct http1_head *h, struct http1_field *f);
/* The first field called @name (any letter case); false if there is none. */
bool http1_field_get(const struct http1_head *h, const char *name, struct http1_str *value);
/* Whether the comma lists of all fields called @name contain @token, in any letter case. */
bool http1_field_has_token(const struct http1_head *h, const char *name, const char *token);
/* The next element of a comma list, trimmed, cut off the front of *@list; empty ones are skipped.
 * False at the end. */
bool http1_list_next(struct http1_str *list, struct http1_str *element);

/* Same text in any ASCII letter case; exactly the same text. */
bool http1_str_is(struct http1_str s, const char *text);
bool http1_str_equal(struct http1_str s, const char *text);

/* Decodes h->path into @dst, which takes path.len + 1 bytes. ST_OK; ST_E_PROTO (broken escape). */
NODISCARD enum status http1_path_decode(const struct http1_head *h, char *dst, size_t *len);

/* Cuts the next "key=value" off the front of *@query (h->query, or a form body); a pair without '='
 * has an empty value. The parts are still encoded. False at the end. */
bool http1_query_next(struct http1_str *query, struct http1_str *key, struct http1_str *value);
/* Decodes the first value of @key as a form field, NUL-terminated. ST_OK; ST_E_NOTFOUND; ST_E_LIMIT
 * (@cap is too small); ST_E_PROTO (broken escape, or a NUL in it). */
NODISCARD enum status http1_query_get(struct http1_str query, const char *key, char *dst,
                                      size_t cap);

#endif
