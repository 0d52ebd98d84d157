/* policy/audit_hits.h - how often which user ran into which block rule: one table a node, for the
 * process's life, whatever becomes of the rules. Pure, thread-safe: workers count under a spin lock
 * (a hit ends a session, so it is rare), the control thread reads.
 *
 * Bounded: AUDIT_HITS_PAIRS pairs of user and rule, AUDIT_HITS_RULES rules. What does not fit is
 * counted in sums only. Nothing is allocated before the first hit. */
#ifndef POLICY_AUDIT_HITS_H
#define POLICY_AUDIT_HITS_H

#include <stddef.h>
#include <stdint.h>

#include "policy/audit.h"

#define AUDIT_HITS_PAIRS 4096u
#define AUDIT_HITS_RULES 128u
#define AUDIT_HITS_TEXT  96u /* bytes of a rule's text that are kept, NUL included */

struct audit_hits;

struct audit_hit {
    uint64_t uid;
    const char *rule; /* its text, cut to AUDIT_HITS_TEXT; valid as long as the table */
    uint64_t count;
};

struct audit_hits_sums {
    uint64_t hits;        /* all */
    uint64_t other_pairs; /* of these, without a place among the pairs */
    uint64_t other_rules; /* of these, without a place among the rules */
    size_t pairs, rules;  /* places taken */
};

/* NULL: no memory. */
struct audit_hits *audit_hits_new(void);
void audit_hits_free(struct audit_hits *h); /* NULL is fine */
/* User @uid ran into @rule. Any thread. @h NULL: nothing. */
void audit_hits_add(struct audit_hits *h, uint64_t uid, const struct audit_rule *rule);
/* What was counted so far; zeros for NULL. Any thread. */
struct audit_hits_sums audit_hits_sum(struct audit_hits *h);
/* Calls @each for every pair of user and rule; audit_hits_rules: for every rule, uid 0. In the
 * order of first hits. No lock is held during a call, so a sum may be older than another. */
void audit_hits_pairs(struct audit_hits *h, void (*each)(void *arg, const struct audit_hit *hit),
                      void *arg);
void audit_hits_rules(struct audit_hits *h, void (*each)(void *arg, const struct audit_hit *hit),
                      void *arg);

#endif
