#include "control/node/node_devices.h"

#include <stdlib.h>

#include "control/node/device_book.h"
#include "control/node/node.h"
#include "control/node/reporter.h"

#define ALIVE_OFF_S 3600
#define STALE_PULLS 3 /* a list older than so many intervals says nothing any more */

/* Monotonic: a clock that is set neither ends a list nor keeps it. */
static int64_t now_s(const struct node *n)
{
    return (int64_t)(loop_now_ms(n->env->loop) / 1000);
}

static int64_t stale_s(const struct node *n)
{
    return (int64_t)STALE_PULLS * (n->served != NULL ? n->served->pull_s : 60);
}

/* What the nodes of the panel have reported of @uid: the panel counts an address once, whichever
 * nodes have it. */
static uint32_t reported(const struct device_panel *p, uint64_t uid)
{
    uint32_t sum = 0;

    LIST_FOREACH(l, tmp, &p->nodes) {
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

/* The panel counts @all of @uid, said at @said_s. */
static void weigh(struct device_panel *p, uint64_t uid, uint32_t all, int64_t said_s)
{
    struct device_user *u = device_panel_find(p, uid);

    if (u == NULL)
        return; /* he has no limit */
    uint32_t own = all > 0 ? reported(p, uid) : 0;
    u->panel_says = all > own ? all - own : 0;
    u->panel_said_s = said_s;
    device_user_weigh(u);
}

/* May the panel count as elsewhere what its nodes here had reported before this process began? */
static bool counts_earlier(const struct node *n, int64_t now)
{
    LIST_FOREACH(l, tmp, &n->panel->nodes) {
        const struct node *k = LIST_ENTRY(l, struct node, panel_link);
        if (now < k->alivelist.earlier_until_s &&
            !reporter_told_before(k->reporter, n->alivelist.asked_ms))
            return true;
    }
    return false;
}

static int compare(const void *a, const void *b)
{
    const struct node_online *x = a, *y = b;
    return x->uid < y->uid ? -1 : x->uid > y->uid;
}

void node_devices_take(struct node *n, struct node_online *own_users, size_t count)
{
    struct node_alivelist *l = &n->alivelist;
    int64_t now = now_s(n);

    if (counts_earlier(n, now))
        count = 0;
    if (count > 1)
        qsort(own_users, count, sizeof(*own_users), compare);
    for (size_t i = 0, k = 0; i < l->count; i++) {
        while (k < count && own_users[k].uid < l->users[i].uid)
            k++;
        if (k == count || own_users[k].uid != l->users[i].uid)
            weigh(n->panel, l->users[i].uid, 0, now); /* he has left */
    }
    for (size_t i = 0; i < count; i++)
        weigh(n->panel, own_users[i].uid, own_users[i].devices, now);
    free(l->users);
    l->users = own_users;
    l->count = count;
    l->said_s = now;
}

static void clear(struct node_alivelist *l)
{
    free(l->users);
    l->users = NULL;
    l->count = 0;
    l->said_s = 0;
}

void node_devices_age(struct node *n)
{
    struct node_alivelist *l = &n->alivelist;
    int64_t now = now_s(n), limit = stale_s(n);

    if (l->said_s == 0 || now - l->said_s < limit)
        return;
    for (size_t i = 0; i < l->count; i++) {
        const struct device_user *u = device_panel_find(n->panel, l->users[i].uid);
        /* Another node of the panel may have asked later. */
        if (u != NULL && now - u->panel_said_s >= limit)
            weigh(n->panel, l->users[i].uid, 0, u->panel_said_s);
    }
    clear(l);
}

static bool is_listed(const struct node *n, uint64_t uid)
{
    const struct node_online key = {.uid = uid};
    const struct node_alivelist *l = &n->alivelist;

    return l->count > 0 && bsearch(&key, l->users, l->count, sizeof(key), compare) != NULL;
}

void node_devices_forget(struct node *n)
{
    struct node_alivelist *l = &n->alivelist;

    for (size_t i = 0; i < l->count; i++) {
        const struct device_user *u = device_panel_find(n->panel, l->users[i].uid);
        bool listed = false;
        if (u == NULL)
            continue;
        LIST_FOREACH(k, tmp, &n->panel->nodes) {
            const struct node *other = LIST_ENTRY(k, struct node, panel_link);
            listed = listed || (other != n && is_listed(other, l->users[i].uid));
        }
        if (!listed)
            weigh(n->panel, l->users[i].uid, 0, u->panel_said_s);
    }
    clear(l);
}

bool node_devices_wanted(const struct node *n)
{
    return now_s(n) >= n->alivelist.off_s;
}

void node_devices_unknown(struct node *n)
{
    n->alivelist.off_s = now_s(n) + ALIVE_OFF_S;
}
