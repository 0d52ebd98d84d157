#include "control/node/online_guests.h"

#include <stdlib.h>
#include <string.h>

void online_guests_add(struct online_guests *g, uint64_t uid, const struct addr *ip)
{
    struct online_list *l = &g->coming;

    if ((ip->family != ADDR_IP4 && ip->family != ADDR_IP6) || l->count == ONLINE_GUESTS_MAX)
        return;
    if (l->count == g->room) {
        size_t room = g->room * 2 + 64;
        struct online *p = realloc(l->own_list, room * sizeof(*p));
        if (p == NULL)
            return;
        l->own_list = p;
        g->room = room;
    }
    l->own_list[l->count++] = (struct online){.uid = uid, .ip = *ip};
}

void online_guests_end(struct online_guests *g)
{
    free(g->list.own_list);
    g->list = g->coming;
    g->coming = (struct online_list){.own_list = NULL};
    g->room = 0;
    online_list_settle(&g->list);
}

static bool lies_in(const struct addr *ip, const struct addr *net, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (ip->family != net->family || bits > (ip->family == ADDR_IP4 ? 32u : 128u) ||
        memcmp(ip->ip, net->ip, whole) != 0)
        return false;
    return rest == 0 || (ip->ip[whole] ^ net->ip[whole]) >> (8 - rest) == 0;
}

void online_guests_drop(struct online_guests *g, uint64_t uid, const struct addr *net,
                        unsigned bits)
{
    struct online_list *l = &g->list;
    size_t from = online_list_find(l, uid), kept = from, i = from;

    for (; i < l->count && l->own_list[i].uid == uid; i++)
        if (!lies_in(&l->own_list[i].ip, net, bits))
            l->own_list[kept++] = l->own_list[i];
    if (kept < i && i < l->count)
        memmove(l->own_list + kept, l->own_list + i, (l->count - i) * sizeof(*l->own_list));
    l->count -= i - kept;
}

void online_guests_clear(struct online_guests *g)
{
    /* What was told of a list that breaks off goes as well. */
    online_guests_end(g);
    online_guests_end(g);
}

struct plane_alive *online_guests_join(const struct online_guests *g,
                                       const struct plane_alive *list, size_t n, size_t *count)
{
    struct plane_alive *all = malloc((n + g->list.count + 1) * sizeof(*all));

    *count = n + g->list.count;
    if (all == NULL)
        return NULL;
    if (n > 0)
        memcpy(all, list, n * sizeof(*all));
    for (size_t i = 0; i < g->list.count; i++) {
        const struct online *o = &g->list.own_list[i];
        all[n + i] = (struct plane_alive){.uid = o->uid, .ip = o->ip, .presence = PLANE_BUSY};
    }
    return all;
}
