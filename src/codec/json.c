#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* jansson has macros of these names; codec/json.h has functions that know PHP. */
#undef json_is_object
#undef json_is_array
#undef json_is_string
#undef json_is_null

#include "codec/json.h"
#include "codec/json_lax.h"
#include "codec/json_pull.h"

static size_t read_lax(void *dst, size_t cap, void *lax)
{
    return json_lax_read(lax, dst, cap);
}

/* Fills @err with what stands at @offset and what should. */
static void describe(struct json_error *err, const char *text, size_t len, size_t offset,
                     const char *want)
{
    json_lax_position(text, len, offset, &err->line, &err->column);
    unsigned char c = offset < len ? (unsigned char)text[offset] : 0;
    if (offset >= len)
        snprintf(err->text, sizeof(err->text), "expected %s", want);
    else if (c == '\n' || c == '\r')
        snprintf(err->text, sizeof(err->text), "the line ends here, expected %s", want);
    else if (c < 0x20 || c > 0x7E)
        snprintf(err->text, sizeof(err->text), "found byte 0x%02x, expected %s", c, want);
    else
        snprintf(err->text, sizeof(err->text), "found '%c', expected %s", c, want);
}

/* Our reader knows exactly which byte is wrong and what should stand there; jansson knows the last
 * token. ST_OK if ours finds no fault (numbers out of range, bytes that are not UTF-8: jansson's
 * business). */
static enum status locate(const char *text, size_t len, struct json_error *err)
{
    struct json_lax lax;
    struct json_pull pull;
    char chunk[512];
    enum status st;

    json_lax_init(&lax, text, len);
    json_pull_init(&pull);
    while ((st = json_pull_next(&pull)) != ST_EOF && !status_is_error(st)) {
        if (st != ST_MORE)
            continue;
        size_t n = json_lax_read(&lax, chunk, sizeof(chunk));
        json_pull_feed(&pull, chunk, n);
        if (n == 0)
            json_pull_end(&pull);
    }
    if (lax.open)
        describe(err, text, len, lax.open_at, "a comment that ends with */");
    else if (status_is_error(st))
        describe(err, text, len, (size_t)pull.offset, json_pull_expected(&pull));
    return lax.open ? ST_E_PROTO : status_is_error(st) ? st : ST_OK;
}

/* Nesting deeper than JSON_DEPTH_MAX is found before jansson builds anything. */
static bool too_deep(const char *text, size_t len)
{
    struct json_lax lax;
    char chunk[512];
    unsigned depth = 0;
    bool in_string = false, escaped = false;

    json_lax_init(&lax, text, len);
    for (size_t n; (n = json_lax_read(&lax, chunk, sizeof(chunk))) != 0;) {
        for (size_t i = 0; i < n; i++) {
            char c = chunk[i];
            if (in_string) {
                in_string = escaped || c != '"';
                escaped = !escaped && c == '\\';
            } else if (c == '"') {
                in_string = true;
            } else if (c == '{' || c == '[') {
                if (++depth > JSON_DEPTH_MAX)
                    return true;
            } else if ((c == '}' || c == ']') && depth > 0) {
                depth--;
            }
        }
    }
    return false;
}

static enum status refuse(struct json_error *err, enum status st, const char *text)
{
    *err = (struct json_error){.line = 1, .column = 1};
    snprintf(err->text, sizeof(err->text), "%s", text);
    return st;
}

enum status json_parse(const char *text, size_t len, struct json_t **out, struct json_error *err)
{
    struct json_error unused;
    if (err == NULL)
        err = &unused;
    *out = NULL;
    if (len > JSON_SIZE_MAX)
        return refuse(err, ST_E_LIMIT, "larger than 16 MiB");
    if (too_deep(text, len)) {
        if (locate(text, len, err) == ST_OK)
            return refuse(err, ST_E_LIMIT, "nested deeper than 64 levels");
        return ST_E_LIMIT;
    }

    struct json_lax lax;
    json_error_t fault;
    /* jansson takes a NUL for the end of its input; only inside a comment it is harmless. */
    if (memchr(text, '\0', len) != NULL) {
        enum status st = locate(text, len, err);
        if (st != ST_OK)
            return st;
    }
    json_lax_init(&lax, text, len);
    json_t *value = json_load_callback(read_lax, &lax, JSON_DECODE_ANY, &fault);
    if (value != NULL && !lax.open) {
        *out = value;
        return ST_OK;
    }
    json_decref(value);
    if (value == NULL && json_error_code(&fault) == json_error_out_of_memory)
        return refuse(err, ST_E_NOMEM, "out of memory");
    enum status st = locate(text, len, err);
    if (st != ST_OK)
        return st;
    size_t offset = fault.position > 0 ? (size_t)fault.position : 0;
    json_lax_position(text, len, offset, &err->line, &err->column);
    snprintf(err->text, sizeof(err->text), "%s", fault.text);
    return ST_E_PROTO;
}

void json_unref(struct json_t *v)
{
    json_decref(v);
}

const struct json_t *json_get(const struct json_t *obj, const char *key)
{
    const json_t *found = NULL;
    if (!json_is_object(obj))
        return NULL;
    for (void *it = json_first(obj); it != NULL; it = json_next(obj, it))
        if (strcasecmp(json_iter_key(it), key) == 0)
            found = json_iter_value(it);
    return json_is_null(found) ? NULL : found;
}

bool json_is_object(const struct json_t *v)
{
    return v != NULL && (json_typeof(v) == JSON_OBJECT ||
                         (json_typeof(v) == JSON_ARRAY && json_array_size(v) == 0));
}

bool json_is_null(const struct json_t *v)
{
    return v == NULL || json_typeof(v) == JSON_NULL;
}

bool json_is_array(const struct json_t *v)
{
    return v != NULL && json_typeof(v) == JSON_ARRAY;
}

bool json_is_string(const struct json_t *v)
{
    return v != NULL && json_typeof(v) == JSON_STRING;
}

size_t json_array_len(const struct json_t *v)
{
    return json_array_size(v);
}

const struct json_t *json_at(const struct json_t *v, size_t i)
{
    return json_array_get(v, i);
}

static bool is_nothing(const json_t *v)
{
    if (json_is_null(v))
        return true;
    if (json_typeof(v) == JSON_STRING)
        return json_string_length(v) == 0;
    return json_typeof(v) == JSON_ARRAY && json_array_size(v) == 0;
}

/* 2^63 and its negative are exact doubles; below them every integral double fits int64. */
static enum status real_to_int(double d, int64_t *out)
{
    if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0) || (double)(int64_t)d != d)
        return ST_E_CONFIG;
    *out = (int64_t)d;
    return ST_OK;
}

static const char *skip_blanks(const char *s)
{
    while (*s == ' ' || *s == '\t' || *s == '\n' || *s == '\r')
        s++;
    return s;
}

static enum status text_to_int(const char *s, int64_t *out)
{
    s = skip_blanks(s);
    bool negative = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    if (*s < '0' || *s > '9')
        return ST_E_CONFIG;
    uint64_t v = 0, max = (uint64_t)INT64_MAX + negative;
    for (; *s >= '0' && *s <= '9'; s++) {
        uint64_t digit = (uint64_t)(*s - '0');
        if (v > (max - digit) / 10)
            return ST_E_CONFIG;
        v = v * 10 + digit;
    }
    if (*s == '.') /* "5.0", as PHP prints floats */
        for (s++; *s == '0'; s++)
            ;
    if (*skip_blanks(s) != '\0')
        return ST_E_CONFIG;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return ST_OK;
}

enum status json_to_int(const struct json_t *v, int64_t dflt, int64_t *out)
{
    *out = dflt;
    if (is_nothing(v))
        return ST_OK;
    switch (json_typeof(v)) {
    case JSON_INTEGER:
        *out = json_integer_value(v);
        return ST_OK;
    case JSON_REAL:
        return real_to_int(json_real_value(v), out);
    case JSON_STRING:
        return text_to_int(json_string_value(v), out);
    case JSON_TRUE:
    case JSON_FALSE:
        *out = json_typeof(v) == JSON_TRUE;
        return ST_OK;
    default:
        return ST_E_CONFIG;
    }
}

enum status json_to_milli(const struct json_t *v, uint64_t dflt, uint64_t *out)
{
    const double most = 9007199254740992.0;
    int64_t whole;
    double n = -1;
    char *end;

    *out = dflt;
    if (is_nothing(v))
        return ST_OK;
    if (json_to_int(v, 0, &whole) == ST_OK)
        n = (double)whole;
    else if (json_typeof(v) == JSON_REAL)
        n = json_real_value(v);
    else if (json_typeof(v) == JSON_STRING) {
        const char *text = json_string_value(v);
        if (*text < '0' || *text > '9' || strspn(text, "0123456789.") != strlen(text))
            return ST_E_CONFIG;
        n = strtod(text, &end);
        if (*end != '\0')
            return ST_E_CONFIG;
    }
    if (!(n >= 0 && n <= most / 1000))
        return ST_E_CONFIG;
    /* 1.001 is a little less than that in binary. */
    *out = (uint64_t)(n * 1000 + 1e-6);
    if (*out == 0 && n > 0)
        *out = 1;
    return ST_OK;
}

enum status json_to_bool(const struct json_t *v, bool dflt, bool *out)
{
    static const char *const yes[] = {"1", "true", "yes", "on"}, *const no[] = {"0", "false", "no",
                                                                                "off"};
    *out = dflt;
    if (is_nothing(v))
        return ST_OK;
    int64_t n;
    if (json_typeof(v) == JSON_STRING) {
        for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
            if (strcasecmp(json_string_value(v), yes[i]) == 0) {
                *out = true;
                return ST_OK;
            }
            if (strcasecmp(json_string_value(v), no[i]) == 0) {
                *out = false;
                return ST_OK;
            }
        }
        return ST_E_CONFIG;
    }
    if (json_to_int(v, 0, &n) != ST_OK || (n != 0 && n != 1))
        return ST_E_CONFIG;
    *out = n == 1;
    return ST_OK;
}

const char *json_str(const struct json_t *v)
{
    return json_string_value(v);
}

const char *json_get_str(const struct json_t *obj, const char *key, const char *dflt)
{
    const char *s = json_str(json_get(obj, key));
    return s != NULL ? s : dflt;
}

int64_t json_get_int(const struct json_t *obj, const char *key, int64_t dflt)
{
    int64_t v;
    return json_to_int(json_get(obj, key), dflt, &v) == ST_OK ? v : dflt;
}

bool json_get_bool(const struct json_t *obj, const char *key, bool dflt)
{
    bool v;
    return json_to_bool(json_get(obj, key), dflt, &v) == ST_OK ? v : dflt;
}

/* jansson's iterators take a mutable object though they change nothing. */
static json_t *mutable_of(const json_t *v)
{
    union {
        const json_t *in;
        json_t *out;
    } u = {.in = v};
    return u.out;
}

void *json_first(const struct json_t *obj)
{
    return json_object_iter(mutable_of(obj));
}

void *json_next(const struct json_t *obj, void *iter)
{
    return json_object_iter_next(mutable_of(obj), iter);
}

const char *json_iter_key(void *iter)
{
    return json_object_iter_key(iter);
}

const struct json_t *json_iter_value(void *iter)
{
    return json_object_iter_value(iter);
}
