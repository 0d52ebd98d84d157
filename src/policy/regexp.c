#include "policy/regexp.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdint.h>
#include <stdio.h>

#include "base/heap.h"

#define DEPTH_MAX 2000u
#define HEAP_KIB  256u

struct regexp {
    pcre2_code *code;
};

struct regexp_scratch {
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

enum status regexp_new(const char *pattern, size_t len, enum regexp_case letters,
                       struct regexp **out, struct regexp_error *err)
{
    uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C;
    int error = 0;
    size_t at = 0;

    *out = NULL;
    if (len > REGEXP_PATTERN_MAX)
        return ST_E_LIMIT;
    struct regexp *r = heap_new(sizeof(*r));
    if (r == NULL)
        return ST_E_NOMEM;
    if (letters == REGEXP_CASELESS)
        options |= PCRE2_CASELESS;
    r->code = pcre2_compile((PCRE2_SPTR)pattern, len, options, &error, &at, NULL);
    if (r->code == NULL) {
        err->at = at;
        if (pcre2_get_error_message(error, (PCRE2_UCHAR *)err->text, sizeof(err->text)) < 0)
            snprintf(err->text, sizeof(err->text), "error %d", error);
        regexp_free(r);
        return ST_E_PROTO;
    }
    /* Several times as fast; where it cannot be had, the interpreter has the same limits. */
    (void)pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE);
    *out = r;
    return ST_OK;
}

void regexp_free(struct regexp *r)
{
    if (r == NULL)
        return;
    pcre2_code_free(r->code);
    heap_free(r);
}

struct regexp_scratch *regexp_scratch_new(unsigned steps)
{
    struct regexp_scratch *s = heap_new(sizeof(*s));

    if (s == NULL)
        return NULL;
    s->data = pcre2_match_data_create(1, NULL);
    s->limits = pcre2_match_context_create(NULL);
    if (s->data == NULL || s->limits == NULL) {
        regexp_scratch_free(s);
        return NULL;
    }
    pcre2_set_match_limit(s->limits, steps);
    pcre2_set_depth_limit(s->limits, DEPTH_MAX);
    pcre2_set_heap_limit(s->limits, HEAP_KIB);
    return s;
}

void regexp_scratch_free(struct regexp_scratch *s)
{
    if (s == NULL)
        return;
    pcre2_match_context_free(s->limits);
    pcre2_match_data_free(s->data);
    heap_free(s);
}

enum status regexp_search(const struct regexp *r, struct regexp_scratch *s, const char *text,
                          size_t len)
{
    int rc = pcre2_match(r->code, (PCRE2_SPTR)text, len, 0, 0, s->data, s->limits);

    if (rc >= 0)
        return ST_OK;
    if (rc == PCRE2_ERROR_NOMATCH)
        return ST_E_NOTFOUND;
    return rc <= PCRE2_ERROR_UTF8_ERR1 && rc >= PCRE2_ERROR_UTF8_ERR21 ? ST_E_PROTO : ST_E_LIMIT;
}
