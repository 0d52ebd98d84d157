#include "policy/regexp.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdint.h>
#include <stdio.h>

#include "base/heap.h"

/* Steps of one search. Names of a hundred bytes take some hundreds; what needs more backtracks. */
#define STEPS_MAX 20000u
#define DEPTH_MAX 2000u
#define HEAP_KIB  256u

struct regexp {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

enum status regexp_new(const char *pattern, size_t len, struct regexp **out,
                       struct regexp_error *err)
{
    int error = 0;
    size_t at = 0;

    *out = NULL;
    if (len > REGEXP_PATTERN_MAX)
        return ST_E_LIMIT;
    struct regexp *r = heap_new(sizeof(*r));
    if (r == NULL)
        return ST_E_NOMEM;
    r->code = pcre2_compile((PCRE2_SPTR)pattern, len, PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error,
                            &at, NULL);
    if (r->code == NULL) {
        err->at = at;
        if (pcre2_get_error_message(error, (PCRE2_UCHAR *)err->text, sizeof(err->text)) < 0)
            snprintf(err->text, sizeof(err->text), "error %d", error);
        regexp_free(r);
        return ST_E_PROTO;
    }
    /* Several times as fast; where it cannot be had, the interpreter has the same limits. */
    (void)pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE);
    r->data = pcre2_match_data_create(1, NULL);
    r->limits = pcre2_match_context_create(NULL);
    if (r->data == NULL || r->limits == NULL) {
        regexp_free(r);
        return ST_E_NOMEM;
    }
    pcre2_set_match_limit(r->limits, STEPS_MAX);
    pcre2_set_depth_limit(r->limits, DEPTH_MAX);
    pcre2_set_heap_limit(r->limits, HEAP_KIB);
    *out = r;
    return ST_OK;
}

void regexp_free(struct regexp *r)
{
    if (r == NULL)
        return;
    pcre2_match_context_free(r->limits);
    pcre2_match_data_free(r->data);
    pcre2_code_free(r->code);
    heap_free(r);
}

enum status regexp_search(struct regexp *r, const char *text, size_t len)
{
    int rc = pcre2_match(r->code, (PCRE2_SPTR)text, len, 0, 0, r->data, r->limits);

    if (rc >= 0)
        return ST_OK;
    if (rc == PCRE2_ERROR_NOMATCH)
        return ST_E_NOTFOUND;
    return rc <= PCRE2_ERROR_UTF8_ERR1 && rc >= PCRE2_ERROR_UTF8_ERR21 ? ST_E_PROTO : ST_E_LIMIT;
}
