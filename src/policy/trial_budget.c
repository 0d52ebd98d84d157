#include "policy/trial_budget.h"

static bool take(_Atomic uint64_t *paid, uint64_t cost, uint64_t burst, uint64_t now)
{
    uint64_t was = atomic_load_explicit(paid, memory_order_relaxed), next;

    do {
        next = (was > now ? was : now) + cost;
        if (was > now && next - now > burst)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(paid, &was, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static void give(_Atomic uint64_t *paid, uint64_t cost)
{
    uint64_t was = atomic_load_explicit(paid, memory_order_relaxed);

    while (was >= cost && !atomic_compare_exchange_weak_explicit(
                              paid, &was, was - cost, memory_order_relaxed, memory_order_relaxed))
        ;
}

static _Atomic uint64_t *paid_by(struct trial_budget *b, uint64_t source)
{
    return &b->source_ns[(source >> 32) % TRIAL_BUDGET_SOURCES];
}

bool trial_budget_take(struct trial_budget *b, uint64_t source, const struct trial_rule *rule,
                       uint64_t cost_ns, uint64_t now_us)
{
    uint64_t now = now_us * 1000, own = cost_ns * rule->source_share;

    if (!take(paid_by(b, source), own, rule->source_burst_ns * rule->source_share, now))
        return false;
    if (take(&b->all_ns, cost_ns * rule->all_share, rule->all_burst_ns * rule->all_share, now))
        return true;
    give(paid_by(b, source), own);
    return false;
}

void trial_budget_give(struct trial_budget *b, uint64_t source, const struct trial_rule *rule,
                       uint64_t cost_ns)
{
    give(paid_by(b, source), cost_ns * rule->source_share);
    give(&b->all_ns, cost_ns * rule->all_share);
}
