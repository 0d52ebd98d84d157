/* codec/json_out.h - writing JSON (RFC 8259) into a text that grows, without commas to think of.
 * Pure. Memory that runs out is the text's to remember (base/textbuf.h).
 *
 * Life: {.t = text} -> json_out_* in the order of the document. Every value takes the key it has in
 * its object; NULL in an array and for the document itself. */
#ifndef CODEC_JSON_OUT_H
#define CODEC_JSON_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/textbuf.h"

struct json_out {
    struct textbuf *t;
    bool more; /* a value stands before, on this level */
};

/* Opens and closes an object, an array. */
void json_out_object(struct json_out *o, const char *key);
void json_out_array(struct json_out *o, const char *key);
void json_out_end_object(struct json_out *o);
void json_out_end_array(struct json_out *o);
/* @text NULL: null. */
void json_out_str(struct json_out *o, const char *key, const char *text);
void json_out_num(struct json_out *o, const char *key, uint64_t v);
/* @milli thousandths, as 1.5. */
void json_out_milli(struct json_out *o, const char *key, uint64_t milli);
void json_out_int(struct json_out *o, const char *key, int64_t v);
void json_out_bool(struct json_out *o, const char *key, bool v);
void json_out_null(struct json_out *o, const char *key);

#endif
