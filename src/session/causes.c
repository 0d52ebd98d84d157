#include "session/causes.h"

#include <stddef.h>

static size_t first_slot(uint32_t node_no, const char *text)
{
    return (size_t)((((uintptr_t)text >> 3) + node_no) * 0x9e3779b97f4a7c15u >> 32) % CAUSES_MAX;
}

/* Its slot, or the free one for it; NULL: the table is full. */
static const struct cause *find(const struct causes *c, uint32_t node_no, const char *text)
{
    size_t at = first_slot(node_no, text);

    for (size_t i = 0; i < CAUSES_MAX; i++) {
        const struct cause *s = &c->slot[(at + i) % CAUSES_MAX];
        const char *is = atomic_load_explicit(&s->text, memory_order_acquire);
        if (is == NULL || (is == text && s->node_no == node_no))
            return s;
    }
    return NULL;
}

void causes_add(struct causes *c, uint32_t node_no, const char *text)
{
    struct cause *s = (struct cause *)find(c, node_no, text);

    if (s == NULL)
        return;
    if (atomic_load_explicit(&s->text, memory_order_relaxed) == NULL) {
        s->node_no = node_no;
        atomic_store_explicit(&s->text, text, memory_order_release);
    }
    atomic_store_explicit(&s->count, atomic_load_explicit(&s->count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

uint64_t causes_count(const struct causes *c, uint32_t node_no, const char *text)
{
    const struct cause *s = find(c, node_no, text);

    if (s == NULL || atomic_load_explicit(&s->text, memory_order_acquire) != text)
        return 0;
    return atomic_load_explicit(&s->count, memory_order_relaxed);
}
