#include "control/node_devices.h"

#include "control/device_book.h"
#include "control/node.h"
#include "control/reporter.h"

#define STALE_PULLS 3 /* a list older than so many intervals says nothing any more */

static int64_t stale_s(const struct node *n)
{
    return (int64_t)STALE_PULLS * (n->served != NULL ? n->served->pull_s : 60);
}

/* What the nodes of the panel have reported of @uid: the panel counts an address once, whichever
 * nodes have it. */
static uint32_t reported(const struct device_panel *p, uint64_t uid)
{
    uint32_t sum = 0;

    LIST_FOREACH(l, tmp, &p->nodes)
    {
        const struct reporter *r = LIST_ENTRY(l, struct node, panel_link)->reporter;
        size_t at = reporter_find(r, uid);
        const struct addr *ip;
        for (; (ip = reporter_shown(r, uid, at)) != NULL; at++) {
            bool again = false;
            for (struct list *k = p->nodes.next; k != l && !again; k = k->next)
                again =
                    reporter_has_shown(LIST_ENTRY(k, struct node, panel_link)->reporter, uid, ip);
            sum += !again;
        }
    }
    return sum;
}

/* @all of the panel's list, of the time @said_s. */
static void take(struct device_user *u, uint32_t all, int64_t said_s)
{
    uint32_t own = all > 0 ? reported(device_user_panel(u), u->devices.uid) : 0;

    u->panel_says = all > own ? all - own : 0;
    u->panel_said_s = said_s;
    device_user_weigh(u);
}

void node_devices_update(struct node *n)
{
    int64_t now = loop_unix_s(n->env->loop);
    bool fresh = n->alivelist.said_s != 0 && now - n->alivelist.said_s < stale_s(n);
    size_t k = 0;

    for (size_t i = 0; i < n->users.count; i++) {
        const struct user_rt *rt = n->users.by_id[i];
        struct device_user *u = (void *)atomic_load_explicit(&rt->devices, memory_order_relaxed);
        if (u == NULL)
            continue;
        while (fresh && k < n->alivelist.count && n->alivelist.users[k].uid < rt->uid)
            k++;
        bool listed = fresh && k < n->alivelist.count && n->alivelist.users[k].uid == rt->uid;
        /* Once: what was reported later is in the next list only. */
        if (fresh && (n->alivelist.fresh || u->panel_said_s == 0))
            take(u, listed ? n->alivelist.users[k].devices : 0, n->alivelist.said_s);
        else if (!fresh && u->panel_says > 0 && now - u->panel_said_s >= stale_s(n))
            take(u, 0, u->panel_said_s);
    }
    n->alivelist.fresh = false;
}
