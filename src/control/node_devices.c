#include "control/node_devices.h"

#include "control/node.h"
#include "control/reporter.h"

#define STALE_PULLS 3 /* a list older than so many intervals says nothing any more */

static bool is_fresh(const struct node *n)
{
    int64_t age = loop_unix_s(n->env->loop) - n->online_s;

    return n->online_s != 0 && age < (int64_t)STALE_PULLS * n->served->pull_s;
}

void node_devices_update(struct node *n)
{
    bool fresh = n->served != NULL && is_fresh(n);
    size_t k = 0;

    if (!fresh && !n->devices_elsewhere)
        return;
    n->devices_elsewhere = false;
    for (size_t i = 0; i < n->users.count; i++) {
        struct user_rt *u = n->users.by_id[i];
        uint32_t all = 0, own;
        while (fresh && k < n->online_count && n->online[k].uid < u->uid)
            k++;
        if (fresh && k < n->online_count && n->online[k].uid == u->uid)
            all = n->online[k].devices;
        own = all > 0 ? reporter_shown(n->reporter, u->uid) : 0;
        all = all > own ? all - own : 0;
        if (atomic_load_explicit(&u->elsewhere, memory_order_relaxed) != all)
            atomic_store_explicit(&u->elsewhere, all, memory_order_relaxed);
        n->devices_elsewhere |= all > 0;
    }
}
