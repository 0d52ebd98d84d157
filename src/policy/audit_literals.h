/* policy/audit_literals.h - what a text must contain for a regular expression to be in it, so that
 * most texts need no search. Pure, stateless.
 *
 * "(.*\.)?(alpha|beta)[0-9]+\.(com|net)" is in no text without "alpha" or "beta". Only syntax that
 * is plain in meaning is followed; of an expression with anything else nothing is known. */
#ifndef POLICY_AUDIT_LITERALS_H
#define POLICY_AUDIT_LITERALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUDIT_LITERALS_MAX   64u
#define AUDIT_LITERALS_BYTES 768u
#define AUDIT_LITERAL_MIN    2u /* shorter ones are in nearly every name */

/* Texts, one of which must be there; in lower case, for an expression that ignores case. */
struct audit_literals {
    unsigned count;
    size_t used; /* bytes */
    struct {
        uint16_t at;
        uint8_t len; /* from AUDIT_LITERAL_MIN */
    } texts[AUDIT_LITERALS_MAX];
    char bytes[AUDIT_LITERALS_BYTES];
};

/* False: nothing is known of @pattern, a valid expression of at most REGEXP_PATTERN_MAX bytes. */
bool audit_literals_of(const char *pattern, size_t len, struct audit_literals *out);
/* Has each of them a blank or a '/', which no name and no address has? */
bool audit_literals_in_no_name(const struct audit_literals *l);

#endif
