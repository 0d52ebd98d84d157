/* policy/regexp.h - regular expressions over PCRE2, bounded: neither a pattern nor a text can take
 * more than a fixed number of steps. Pure; an expression is const and shared by threads, a scratch
 * belongs to one search at a time. */
#ifndef POLICY_REGEXP_H
#define POLICY_REGEXP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#define REGEXP_PATTERN_MAX 4096u /* bytes */
/* Steps of a search from one byte of the text. A name of a hundred bytes takes some hundreds; what
 * needs more backtracks. */
#define REGEXP_STEPS 20000u

struct regexp;
/* What a search needs beside the expression; any expression may use any scratch. */
struct regexp_scratch;

enum regexp_case { REGEXP_EXACT, REGEXP_CASELESS };

/* What is wrong with a pattern: the byte where, from 0, and a short text. */
struct regexp_error {
    size_t at;
    char text[120];
};

/* Compiles @len bytes of @pattern, UTF-8. Perl's syntax; what Go's knows is in it, but for \z, \C
 * and named classes written differently. *@out is the caller's. ST_OK; ST_E_PROTO: no expression
 * (*@err says why); ST_E_LIMIT: longer than REGEXP_PATTERN_MAX; ST_E_NOMEM. */
NODISCARD enum status regexp_new(const char *pattern, size_t len, enum regexp_case letters,
                                 struct regexp **out, struct regexp_error *err);
void regexp_free(struct regexp *r); /* NULL is fine */
/* For searches of at most @steps from each byte of a text. NULL: no memory. */
struct regexp_scratch *regexp_scratch_new(unsigned steps);
void regexp_scratch_free(struct regexp_scratch *s); /* NULL is fine */
/* Is it anywhere in @text? ST_OK: yes; ST_E_NOTFOUND: no; ST_E_LIMIT: not found out within the
 * allowed steps; ST_E_PROTO: @text is no UTF-8. Allocates only where PCRE2 has no compiler for the
 * machine, or may not use it, and only until @s has grown to what its searches need. */
NODISCARD enum status regexp_search(const struct regexp *r, struct regexp_scratch *s,
                                    const char *text, size_t len);

#endif
