/* policy/regexp.h - regular expressions over PCRE2, bounded: neither a pattern nor a text can take
 * more than a fixed number of steps. Pure; an object belongs to one thread. */
#ifndef POLICY_REGEXP_H
#define POLICY_REGEXP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#define REGEXP_PATTERN_MAX 4096u /* bytes */

struct regexp;

/* What is wrong with a pattern: the byte where, from 0, and a short text. */
struct regexp_error {
    size_t at;
    char text[120];
};

/* Compiles @len bytes of @pattern, UTF-8. Perl's syntax; what Go's knows is in it, but for \z, \C
 * and named classes written differently. *@out is the caller's. ST_OK; ST_E_PROTO: no expression
 * (*@err says why); ST_E_LIMIT: longer than REGEXP_PATTERN_MAX; ST_E_NOMEM. */
NODISCARD enum status regexp_new(const char *pattern, size_t len, struct regexp **out,
                                 struct regexp_error *err);
void regexp_free(struct regexp *r); /* NULL is fine */
/* Is it anywhere in @text? ST_OK: yes; ST_E_NOTFOUND: no; ST_E_LIMIT: not found out within the
 * allowed steps; ST_E_PROTO: @text is no UTF-8. */
NODISCARD enum status regexp_search(struct regexp *r, const char *text, size_t len);

#endif
