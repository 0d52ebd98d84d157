/* A line with an expression, a text: where the expression is in the text, what it must contain is.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "policy/audit_literals.h"
#include "policy/regexp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_there(const struct audit_literals *l, const char *text, size_t len)
{
    for (unsigned i = 0; i < l->count; i++)
        if (memmem(text, len, l->bytes + l->texts[i].at, l->texts[i].len) != NULL)
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\n', size);
    struct audit_literals l;
    struct regexp_error err;
    struct regexp *r;
    char text[256];

    if (end == NULL || size - (size_t)(end - data) > sizeof(text) || end - data > 500)
        return 0;
    size_t len = size - (size_t)(end - data) - 1, pattern_len = (size_t)(end - data);
    for (size_t i = 0; i < len; i++) {
        text[i] = (char)(end[1 + i] & 0x7f); /* as names are, in lower case */
        if (text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] - 'A' + 'a');
    }
    bool known = audit_literals_of((const char *)data, pattern_len, &l);
    for (unsigned i = 0; known && i < l.count; i++)
        if (l.texts[i].len < AUDIT_LITERAL_MIN || l.texts[i].at + l.texts[i].len > l.used)
            __builtin_trap();
    if (!known || regexp_new((const char *)data, pattern_len, REGEXP_CASELESS, &r, &err) != ST_OK)
        return 0;
    struct regexp_scratch *s = regexp_scratch_new(REGEXP_STEPS);
    if (s == NULL)
        __builtin_trap();
    if (regexp_search(r, s, text, len) == ST_OK && !is_there(&l, text, len))
        __builtin_trap();
    regexp_scratch_free(s);
    regexp_free(r);
    return 0;
}
