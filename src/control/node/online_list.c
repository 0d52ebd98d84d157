#include "control/node/online_list.h"

#include <stdlib.h>
#include <string.h>

static int compare(uint64_t uid_a, const struct addr *a, uint64_t uid_b, const struct addr *b)
{
    if (uid_a != uid_b)
        return uid_a < uid_b ? -1 : 1;
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->ip, b->ip, sizeof(a->ip));
}

static int compare_alive(const void *x, const void *y)
{
    const struct plane_alive *a = x, *b = y;
    return compare(a->uid, &a->ip, b->uid, &b->ip);
}

static int compare_online(const void *x, const void *y)
{
    const struct online *a = x, *b = y;
    return compare(a->uid, &a->ip, b->uid, &b->ip);
}

void online_list_settle(struct online_list *o)
{
    size_t kept = 0;

    if (o->count > 0)
        qsort(o->own_list, o->count, sizeof(*o->own_list), compare_online);
    for (size_t i = 0; i < o->count; i++)
        if (kept == 0 || compare_online(&o->own_list[kept - 1], &o->own_list[i]) != 0)
            o->own_list[kept++] = o->own_list[i];
    o->count = kept;
}

size_t online_list_find(const struct online_list *o, uint64_t uid)
{
    size_t lo = 0, hi = o->count;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (o->own_list[mid].uid < uid)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool online_list_has(const struct online_list *o, uint64_t uid, const struct addr *ip)
{
    size_t lo = 0, hi = o->count;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = compare(o->own_list[mid].uid, &o->own_list[mid].ip, uid, ip);
        if (c == 0)
            return true;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

/* A ping does not make a device. A session that is open and moves something does, however slowly,
 * and a quiet one does not lose what was one. */
static bool is_online(const struct online_list *o, const struct plane_alive *a, uint64_t min)
{
    return a->bytes >= min || a->presence == PLANE_BUSY ||
           (a->presence == PLANE_OPEN && online_list_has(o, a->uid, &a->ip));
}

size_t online_list_choose(const struct online_list *o, struct plane_alive *list, size_t n,
                          uint64_t min)
{
    size_t joined = 0, kept = 0;

    qsort(list, n, sizeof(*list), compare_alive);
    for (size_t i = 0; i < n; i++) {
        if (joined > 0 && compare_alive(&list[joined - 1], &list[i]) == 0)
            plane_alive_join(&list[joined - 1], &list[i]);
        else
            list[joined++] = list[i];
    }
    for (size_t i = 0; i < joined; i++)
        if (is_online(o, &list[i], min))
            list[kept++] = list[i];
    return kept;
}

uint64_t *online_join(const uint64_t *a, size_t n, const uint64_t *b, size_t m, size_t *count)
{
    uint64_t *out = malloc((n + m + 1) * sizeof(*out));
    size_t i = 0, k = 0;

    *count = 0;
    while (out != NULL && (i < n || k < m)) {
        uint64_t v = k == m || (i < n && a[i] <= b[k]) ? a[i] : b[k];
        i += i < n && a[i] == v;
        k += k < m && b[k] == v;
        if (*count == 0 || out[*count - 1] != v)
            out[(*count)++] = v;
    }
    return out;
}
