/* codec/json.h - JSON for people and for PHP: reading with comments and trailing commas, lenient
 * getters.
 *
 * A value is jansson's (RFC 8259), built after a pre-pass that blanks line and block comments and
 * trailing commas without moving a byte, so line and column of an error are the author's. Keys are
 * found in any letter case, the last duplicate wins. The lenient getters take what PHP panels send:
 * numbers as strings, floats with integral value, "" and [] and null for "nothing". Pure but for
 * jansson's own allocation. */
#ifndef CODEC_JSON_H
#define CODEC_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct json_t; /* jansson's type; this header hides the vendor's */

struct json_error {
    int line, column; /* from 1 */
    char text[160];   /* what was found and what was expected */
};

#define JSON_SIZE_MAX  (16u * 1024 * 1024)
#define JSON_DEPTH_MAX 64

/* Parses @len bytes (UTF-8, BOM allowed, comments and trailing commas allowed). On success *@out is
 * the caller's, to be given to json_unref. ST_OK; ST_E_PROTO with @err filled; ST_E_LIMIT over
 * JSON_SIZE_MAX or JSON_DEPTH_MAX; ST_E_NOMEM. */
NODISCARD enum status json_parse(const char *text, size_t len, struct json_t **out,
                                 struct json_error *err);
void json_unref(struct json_t *v); /* NULL is fine */

/* Member @key of object @obj in any letter case, borrowed; NULL if @obj is no object (PHP's [] too)
 * or has none, or it is null. */
const struct json_t *json_get(const struct json_t *obj, const char *key);
/* An object; an empty array counts, PHP cannot tell them apart. */
bool json_is_object(const struct json_t *v);
bool json_is_array(const struct json_t *v);
bool json_is_null(const struct json_t *v); /* JSON's null; a NULL pointer counts */
bool json_is_string(const struct json_t *v);
size_t json_array_len(const struct json_t *v);                  /* 0 if no array */
const struct json_t *json_at(const struct json_t *v, size_t i); /* NULL past the end */

/* Lenient conversions of a value (NULL gives @dflt): integers from 5, 5.0, "5", " 5 ", true.
 * ST_OK; ST_E_CONFIG when it is something else or out of int64. Booleans from true, 1, "1",
 * "true", "yes", "on" and their opposites. */
NODISCARD enum status json_to_int(const struct json_t *v, int64_t dflt, int64_t *out);
/* Numbers of 0 or more in thousandths, from what json_to_int takes and from 1.5 and "1.5"; a finer
 * fraction is cut, but not to nothing: 0.0001 is one thousandth. ST_OK; ST_E_CONFIG when it is
 * something else, negative, or over 2^53 thousandths. */
NODISCARD enum status json_to_milli(const struct json_t *v, uint64_t dflt, uint64_t *out);
NODISCARD enum status json_to_bool(const struct json_t *v, bool dflt, bool *out);
/* Text of a string, borrowed; NULL for anything else. */
const char *json_str(const struct json_t *v);
/* Shorthands: member @key as text/int/bool, @dflt if absent or unusable. */
const char *json_get_str(const struct json_t *obj, const char *key, const char *dflt);
int64_t json_get_int(const struct json_t *obj, const char *key, int64_t dflt);
bool json_get_bool(const struct json_t *obj, const char *key, bool dflt);

/* Walks the members of an object in file order: iter = json_first(obj); iter; iter = json_next(obj,
 * iter). Key and value are borrowed. */
void *json_first(const struct json_t *obj);
void *json_next(const struct json_t *obj, void *iter);
const char *json_iter_key(void *iter);
const struct json_t *json_iter_value(void *iter);

#endif
