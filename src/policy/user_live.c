#include "policy/user_live.h"

#include "base/heap.h"

struct user_live *user_live_get(struct user_rt *u)
{
    struct user_live *l = atomic_load_explicit(&u->live, memory_order_acquire);

    if (l != NULL)
        return l;
    struct user_live *made = heap_new(sizeof(*made));
    if (made == NULL)
        return NULL;
    conns_init(&made->conns);
    if (atomic_compare_exchange_strong_explicit(&u->live, &l, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return made;
    heap_free(made); /* another worker was faster */
    return l;
}

void user_live_free(struct user_rt *u)
{
    struct user_live *l = atomic_exchange_explicit(&u->live, NULL, memory_order_acq_rel);

    if (l == NULL)
        return;
    for (struct device *d = devices_take_all(&l->devices), *next; d != NULL; d = next) {
        next = d->next;
        heap_free(d);
    }
    heap_free(l);
}

enum status user_live_device(struct user_live *l, const struct addr *from,
                             const struct device_rule *rule, uint32_t now_s, struct device **out)
{
    struct device *spare = NULL;
    enum status st = devices_enter(&l->devices, from, rule, now_s, &spare, out);

    if (st != ST_MORE)
        return st;
    spare = heap_new(sizeof(*spare));
    if (spare == NULL)
        return ST_E_NOMEM;
    st = devices_enter(&l->devices, from, rule, now_s, &spare, out);
    heap_free(spare); /* not needed after all */
    return st;
}
