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
    atomic_init(&made->joint, NULL);
    made->joint_told = false;
    if (atomic_compare_exchange_strong_explicit(&u->live, &l, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return made;
    heap_free(made); /* another worker was faster */
    return l;
}

void user_reset_speed(struct user_rt *u)
{
    bucket_reset(user_bucket(u, true));
    bucket_reset(user_bucket(u, false));
}

void user_live_free(struct user_rt *u)
{
    struct user_live *l = atomic_exchange_explicit(&u->live, NULL, memory_order_acq_rel);

    heap_free(l);
}
