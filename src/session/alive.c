#include "session/alive.h"

#include <stdlib.h>
#include <string.h>

static bool is_free(const struct plane_alive *e)
{
    return e->ip.family == ADDR_NONE;
}

static size_t home(const struct alive_table *t, uint64_t uid, const struct addr *ip)
{
    uint64_t a, b;
    memcpy(&a, ip->ip, 8);
    memcpy(&b, ip->ip + 8, 8);
    uint64_t h = (uid ^ a * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu ^ b;
    h *= 0xc4ceb9fe1a85ec53u;
    return (size_t)(h >> 24) & (t->size - 1);
}

static struct plane_alive *find(const struct alive_table *t, uint64_t uid, const struct addr *ip)
{
    size_t i = home(t, uid, ip);
    while (!is_free(&t->slots[i]) &&
           (t->slots[i].uid != uid || !addr_ip_equal(&t->slots[i].ip, ip)))
        i = (i + 1) & (t->size - 1);
    return &t->slots[i];
}

static bool grow(struct alive_table *t)
{
    struct alive_table bigger = {.size = t->size ? t->size * 2 : 64, .count = t->count};
    bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
    if (bigger.slots == NULL)
        return false;
    for (size_t i = 0; i < t->size; i++)
        if (!is_free(&t->slots[i]))
            *find(&bigger, t->slots[i].uid, &t->slots[i].ip) = t->slots[i];
    free(t->slots);
    *t = bigger;
    return true;
}

void alive_add(struct alive_table *t, uint64_t uid, const struct addr *ip, uint64_t bytes,
               enum plane_presence presence)
{
    if (ip->family == ADDR_NONE)
        return;
    if (t->size == 0 && !grow(t))
        return;
    struct plane_alive *e = find(t, uid, ip);
    if (is_free(e)) {
        if (t->count == ALIVE_MAX || (t->count * 3 >= t->size * 2 && !grow(t)))
            return;
        e = find(t, uid, ip);
        e->uid = uid;
        e->ip = *ip;
        e->ip.port = 0;
        t->count++;
    }
    plane_alive_join(e, &(struct plane_alive){.bytes = bytes, .presence = presence});
}

struct plane_alive *alive_take(struct alive_table *t, size_t *n)
{
    *n = 0;
    if (t->count == 0)
        return NULL;
    /* Packed towards the front of the table itself; a report is rare, an allocation for it is
     * enough. */
    for (size_t i = 0; i < t->size; i++)
        if (!is_free(&t->slots[i]))
            t->slots[(*n)++] = t->slots[i];
    struct plane_alive *list = t->slots;
    memset(t, 0, sizeof(*t));
    return list;
}

void alive_fini(struct alive_table *t)
{
    free(t->slots);
    memset(t, 0, sizeof(*t));
}
