/* policy/trial_budget.h - how much work a node may spend on finding out who a client is, where only
 * trying keys tells. Strangers cost no more than that, all together and each source alone; what a
 * client cost that proved to be a user is given back. Pure; thread-safe: all workers share one.
 *
 * Work is counted in nanoseconds of one worker. GCRA: the clock of the debtor runs ahead by what it
 * owes, and never more than the burst before the time. Who owes nothing may always begin. */
#ifndef POLICY_TRIAL_BUDGET_H
#define POLICY_TRIAL_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TRIAL_BUDGET_SOURCES 4096u /* two sources may share a budget by chance */

/* Zeroed: nothing is spent. */
struct trial_budget {
    _Atomic uint64_t all_ns, source_ns[TRIAL_BUDGET_SOURCES]; /* when all will be paid back */
};

struct trial_rule {
    uint32_t all_share, source_share; /* 1/share of the time may go into trials */
    uint64_t all_burst_ns, source_burst_ns;
};

/* Takes @cost_ns of work for @source (a keyed hash, such as sources_key). False: it, or all
 * together, have used up theirs. */
bool trial_budget_take(struct trial_budget *b, uint64_t source, const struct trial_rule *rule,
                       uint64_t cost_ns, uint64_t now_us);
/* Gives back what was taken under the same rule. */
void trial_budget_give(struct trial_budget *b, uint64_t source, const struct trial_rule *rule,
                       uint64_t cost_ns);

#endif
