#include "policy/user_devices.h"

#include "base/heap.h"

/* Of all sessions that find the device new one tells; so does one a second of those refused. */
static void tell(struct user_devices *ud, struct device *dev, uint32_t now_s)
{
    if (ud->owner->changed == NULL)
        return;
    if (dev != NULL) {
        if (!atomic_exchange_explicit(&dev->said, true, memory_order_relaxed))
            ud->owner->changed(ud->owner, ud);
        return;
    }
    if (atomic_load_explicit(&ud->elsewhere, memory_order_relaxed) > 0 &&
        atomic_exchange_explicit(&ud->refused_s, now_s, memory_order_relaxed) != now_s)
        ud->owner->changed(ud->owner, ud);
}

enum status user_devices_enter(struct user_devices *ud, const struct addr *from,
                               struct device_rule *rule, uint32_t now_s, struct device **out)
{
    struct device *spare = NULL;

    rule->elsewhere = atomic_load_explicit(&ud->elsewhere, memory_order_relaxed);
    enum status st = devices_enter(&ud->set, from, rule, now_s, &spare, out);
    if (st == ST_MORE) {
        spare = heap_new(sizeof(*spare));
        if (spare == NULL)
            return ST_E_NOMEM;
        st = devices_enter(&ud->set, from, rule, now_s, &spare, out);
        heap_free(spare); /* not needed after all */
    }
    tell(ud, st == ST_OK ? *out : NULL, now_s);
    return st;
}

void user_devices_unref(struct user_devices *ud)
{
    if (ud != NULL && --ud->refs == 0)
        ud->owner->release(ud->owner, ud);
}

void user_devices_fini(struct user_devices *ud)
{
    for (struct device *d = devices_take_all(&ud->set), *next; d != NULL; d = next) {
        next = d->next;
        heap_free(d);
    }
}
