/* policy/audit_names.h - names and domains of a rule list: one hash table, looked up once for each
 * dot of a name. Pure, const once filled. 8 bytes a slot at a load of at most 3/4. */
#ifndef POLICY_AUDIT_NAMES_H
#define POLICY_AUDIT_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "policy/audit.h"

struct arena;

struct audit_names {
    const struct audit_rule *rules; /* of the list */
    struct audit_names_slot {
        uint32_t hash;
        uint32_t rule; /* number in rules, from 1; 0 = free */
    } * slots;
    uint32_t mask; /* slots less one; 0: none */
};

/* Makes room for @count rules of @rules. ST_OK or ST_E_NOMEM. */
NODISCARD enum status audit_names_init(struct audit_names *n, struct arena *a,
                                       const struct audit_rule *rules, size_t count);
/* Adds rules[@i], AUDIT_FULL or AUDIT_DOMAIN. Of two that say the same the first stays. */
void audit_names_add(struct audit_names *n, uint32_t i);
/* The rule for @name, in lower case without a dot at its end; NULL: none. A domain comes before a
 * longer one within it. */
const struct audit_rule *audit_names_find(const struct audit_names *n, const char *name,
                                          size_t len);

#endif
