/* policy/meter.h - live byte counters: one cell a (worker, user slot), in memory that survives the
 * process.
 *
 * Layout of the mapping (made by control/store/counters.c over a shared file, or over anonymous
 * memory in tests): for each worker, METER_SLOTS_MAX cells of two 64-bit sums and one dirty bit
 * a slot. Only its worker writes a cell; the control thread reads all. Sums only grow. */
#ifndef POLICY_METER_H
#define POLICY_METER_H

#include <stdatomic.h>
#include <stdint.h>

struct meter_cell {
    _Atomic uint64_t up, down; /* payload bytes client->target, target->client */
};

/* One worker's part of the mapping. */
struct meter {
    struct meter_cell *cells; /* slots */
    /* (slots + 63) / 64 words: slots written since the sampler last looked */
    _Atomic uint64_t *dirty;
    uint32_t slots;
};

/* Adds bytes that were accepted for forwarding. Worker thread only. */
static inline void meter_add(const struct meter *m, uint32_t slot, uint64_t up, uint64_t down)
{
    if (slot >= m->slots)
        return;
    struct meter_cell *c = &m->cells[slot];
    if (up)
        atomic_store_explicit(&c->up, atomic_load_explicit(&c->up, memory_order_relaxed) + up,
                              memory_order_relaxed);
    if (down)
        atomic_store_explicit(&c->down, atomic_load_explicit(&c->down, memory_order_relaxed) + down,
                              memory_order_relaxed);
    /* Always a locked or: testing the bit first could miss a sampler that clears it between our
     * store and its read. */
    atomic_fetch_or_explicit(&m->dirty[slot / 64], (uint64_t)1 << (slot % 64),
                             memory_order_seq_cst);
}

#endif
