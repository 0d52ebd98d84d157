/* policy/audit_words.h - keywords of a rule list, all looked for in one walk over a name. Pure,
 * const once filled.
 *
 * Each keyword is filed under four (or, of a short one, all) of its bytes, those that fewest others
 * are filed under; a name is looked up at each of its bytes. 8 bytes a keyword and 4 to 8 for the
 * table. */
#ifndef POLICY_AUDIT_WORDS_H
#define POLICY_AUDIT_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "policy/audit.h"

#define AUDIT_WORDS_SHORT 3 /* keywords of 1, 2 and 3 bytes have tables of their own */

struct arena;

/* Keywords by the hash of some bytes: bucket b has entries[first[b]] up to first[b + 1]. */
struct audit_words_table {
    uint32_t *first;
    struct audit_words_entry {
        uint32_t rule : 24; /* number in rules */
        uint32_t from : 8;  /* where in the keyword the bytes are */
    } * entries;
    uint32_t mask; /* buckets less one */
    uint32_t count;
};

struct audit_words {
    const struct audit_rule *rules;                         /* of the list */
    struct audit_words_table tables[AUDIT_WORDS_SHORT + 1]; /* [width - 1] */
};

/* Files the AUDIT_KEYWORD rules among @rules, at most 2^24. ST_OK or ST_E_NOMEM. */
NODISCARD enum status audit_words_init(struct audit_words *w, struct arena *a,
                                       const struct audit_rule *rules, size_t count);
/* A rule whose keyword is in @name, in lower case; NULL: none. */
const struct audit_rule *audit_words_find(const struct audit_words *w, const char *name,
                                          size_t len);
/* Sets bit number id in @bits for every rule whose keyword is in @text, in lower case. */
void audit_words_mark(const struct audit_words *w, const char *text, size_t len, uint64_t *bits);

#endif
