/* codec/json_pull.h - reads JSON (RFC 8259) as it arrives, in any cuts, without a tree and without
 * allocation. Pure.
 *
 * For answers too large to hold: a list of 100,000 users is walked in one struct of 4 KiB.
 * Life:   json_pull_init -> (json_pull_feed -> json_pull_next until ST_MORE)* -> json_pull_end ->
 * json_pull_next until ST_EOF. Limits: JSON_PULL_DEPTH levels; a string is cut (and marked) at
 * JSON_PULL_TEXT bytes, a longer number is refused. Strict, but for the encoding: bytes of strings
 * are handed on as they come, valid UTF-8 or not. Not thread-safe; one a reader. */
#ifndef CODEC_JSON_PULL_H
#define CODEC_JSON_PULL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define JSON_PULL_TEXT  4096u
#define JSON_PULL_DEPTH 64u

enum json_event {
    JSON_EVENT_OBJECT,
    JSON_EVENT_OBJECT_END,
    JSON_EVENT_ARRAY,
    JSON_EVENT_ARRAY_END,
    JSON_EVENT_KEY, /* text: the name; the member's value is the next event */
    JSON_EVENT_STRING,
    JSON_EVENT_NUMBER, /* text: as written */
    JSON_EVENT_TRUE,
    JSON_EVENT_FALSE,
    JSON_EVENT_NULL,
};

struct json_pull {
    /* What the last event said; valid until the next call. */
    enum json_event event;
    const char *text;  /* KEY, STRING (escapes decoded), NUMBER: ends with NUL; "" for the others */
    uint32_t text_len; /* without the NUL; no byte of it is 0 */
    bool cut;          /* the string was longer than JSON_PULL_TEXT */
    uint32_t depth; /* objects and arrays open around the event; an opening event counts itself */
    /* Byte at which the event's text starts; after an error the byte that was wrong. */
    uint64_t offset;

    /* Private. */
    const uint8_t *in, *in_end;
    uint64_t pos;     /* bytes eaten */
    uint64_t nest;    /* bit per level: 1 object, 0 array */
    const char *rest; /* what is left of true, false, null */
    const char *want; /* after an error: what would have been right */
    uint32_t used;
    uint16_t high; /* first half of a surrogate pair, 0 if none */
    uint16_t hex;
    uint8_t state, number, hex_left, bom;
    bool key, ended;
    enum status failure; /* ST_OK while nothing failed */
    char mem[JSON_PULL_TEXT + 4 + 1];
};

/* Ready for a new document. Nothing to free. */
void json_pull_init(struct json_pull *p);
/* Gives the next bytes, borrowed until json_pull_next has answered ST_MORE. The bytes before must
 * be used up. */
void json_pull_feed(struct json_pull *p, const void *data, size_t len);
/* No byte will follow. */
void json_pull_end(struct json_pull *p);
/* Reads on to the next event. ST_OK: one event; ST_MORE: feed on; ST_EOF: the value was complete
 * and the input is over; ST_E_PROTO: no JSON; ST_E_LIMIT: too deep, or a number too long. After an
 * error it answers the same for ever. */
NODISCARD enum status json_pull_next(struct json_pull *p);
/* After an error: what was expected at p->offset, such as "',' or '}'". Static text. */
const char *json_pull_expected(const struct json_pull *p);

#endif
