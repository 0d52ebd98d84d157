#include "policy/audit_nets.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

static bool in_net4(uint32_t ip, const struct audit_net4 *n)
{
    return n->bits == 0 || (ip ^ n->ip) >> (32 - n->bits) == 0;
}

static bool in_net6(const uint8_t ip[16], const struct audit_net6 *n)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;

    return memcmp(ip, n->ip, whole) == 0 &&
           (rest == 0 || (uint8_t)(ip[whole] ^ n->ip[whole]) >> (8 - rest) == 0);
}

static uint32_t ip4_of(const struct addr *a)
{
    return (uint32_t)a->ip[0] << 24 | (uint32_t)a->ip[1] << 16 | (uint32_t)a->ip[2] << 8 | a->ip[3];
}

enum status audit_nets_init(struct audit_nets *n, struct arena *a, size_t four, size_t six)
{
    *n = (struct audit_nets){.four = NULL};
    if (four > 0 && (n->four = arena_alloc(a, four * sizeof(n->four[0]))) == NULL)
        return ST_E_NOMEM;
    if (six > 0 && (n->six = arena_alloc(a, six * sizeof(n->six[0]))) == NULL)
        return ST_E_NOMEM;
    return ST_OK;
}

/* Host bits are cleared: sorting puts a network right before all that lie within it. */
void audit_nets_add(struct audit_nets *n, const struct cidr *net, uint32_t rule)
{
    if (net->net.family == ADDR_IP4) {
        uint32_t mask = net->bits == 0 ? 0 : UINT32_MAX << (32 - net->bits);
        n->four[n->four_count++] =
            (struct audit_net4){.ip = ip4_of(&net->net) & mask, .rule = rule, .bits = net->bits};
        return;
    }
    struct audit_net6 *six = &n->six[n->six_count++];
    *six = (struct audit_net6){.rule = rule, .bits = net->bits};
    memcpy(six->ip, net->net.ip, (net->bits + 7u) / 8);
    if (net->bits % 8 != 0)
        six->ip[net->bits / 8] &= (uint8_t)(0xff00 >> net->bits % 8);
}

static int order(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int cmp4(const void *x, const void *y)
{
    const struct audit_net4 *a = x, *b = y;
    int c = order(a->ip, b->ip);

    if (c == 0)
        c = order(a->bits, b->bits);
    return c != 0 ? c : order(a->rule, b->rule);
}

static int cmp6(const void *x, const void *y)
{
    const struct audit_net6 *a = x, *b = y;
    int c = memcmp(a->ip, b->ip, sizeof(a->ip));

    if (c == 0)
        c = order(a->bits, b->bits);
    return c != 0 ? c : order(a->rule, b->rule);
}

/* Networks are nested or apart, never crossing, so only the last one kept can contain the next. */
void audit_nets_finish(struct audit_nets *n)
{
    size_t kept = 0;

    if (n->four_count > 0)
        qsort(n->four, n->four_count, sizeof(n->four[0]), cmp4);
    for (size_t i = 0; i < n->four_count; i++)
        if (kept == 0 || !in_net4(n->four[i].ip, &n->four[kept - 1]))
            n->four[kept++] = n->four[i];
    n->four_count = kept;
    kept = 0;
    if (n->six_count > 0)
        qsort(n->six, n->six_count, sizeof(n->six[0]), cmp6);
    for (size_t i = 0; i < n->six_count; i++)
        if (kept == 0 || !in_net6(n->six[i].ip, &n->six[kept - 1]))
            n->six[kept++] = n->six[i];
    n->six_count = kept;
}

static uint32_t find4(const struct audit_nets *n, uint32_t ip)
{
    size_t lo = 0, hi = n->four_count;

    while (lo < hi) { /* the first that begins behind @ip */
        size_t mid = lo + (hi - lo) / 2;
        if (n->four[mid].ip <= ip)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 && in_net4(ip, &n->four[lo - 1]) ? n->four[lo - 1].rule : AUDIT_NETS_NONE;
}

static uint32_t find6(const struct audit_nets *n, const uint8_t ip[16])
{
    size_t lo = 0, hi = n->six_count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(n->six[mid].ip, ip, 16) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 && in_net6(ip, &n->six[lo - 1]) ? n->six[lo - 1].rule : AUDIT_NETS_NONE;
}

static uint32_t find(const struct audit_nets *n, const struct addr *a)
{
    if (a->family == ADDR_IP4)
        return find4(n, ip4_of(a));
    return a->family == ADDR_IP6 ? find6(n, a->ip) : AUDIT_NETS_NONE;
}

uint32_t audit_nets_find(const struct audit_nets *n, const struct addr *a)
{
    static const struct addr loopback4 = {.family = ADDR_IP4, .ip = {127, 0, 0, 1}},
                             loopback6 = {.family = ADDR_IP6, .ip = {[15] = 1}};
    struct addr ip = *a, inner;

    if (ip.family == ADDR_NONE)
        return AUDIT_NETS_NONE;
    addr_unmap(&ip);
    uint32_t rule = find(n, &ip);
    if (rule == AUDIT_NETS_NONE && addr_is_any(&ip))
        rule = find(n, ip.family == ADDR_IP4 ? &loopback4 : &loopback6);
    if (rule == AUDIT_NETS_NONE && addr_embedded_ip4(&ip, &inner))
        rule = find(n, &inner);
    return rule;
}

/* ---- ports ---- */

enum status audit_ports_init(struct audit_ports *p, struct arena *a, size_t count)
{
    *p = (struct audit_ports){.ranges = NULL};
    if (count > 0 && (p->ranges = arena_alloc(a, count * sizeof(p->ranges[0]))) == NULL)
        return ST_E_NOMEM;
    return ST_OK;
}

void audit_ports_add(struct audit_ports *p, uint16_t lo, uint16_t hi, uint32_t rule)
{
    p->ranges[p->count++] = (struct audit_port_range){.lo = lo, .hi = hi, .rule = rule};
}

static int cmp_range(const void *x, const void *y)
{
    const struct audit_port_range *a = x, *b = y;
    int c = order(a->lo, b->lo);

    return c != 0 ? c : order(a->rule, b->rule);
}

/* Ranges may cross: each begins behind the end of those before it. */
void audit_ports_finish(struct audit_ports *p)
{
    size_t kept = 0;
    uint32_t next = 0; /* the first port that no range has yet */

    if (p->count > 0)
        qsort(p->ranges, p->count, sizeof(p->ranges[0]), cmp_range);
    for (size_t i = 0; i < p->count; i++) {
        struct audit_port_range r = p->ranges[i];
        if (r.hi < next)
            continue;
        if (r.lo < next)
            r.lo = (uint16_t)next;
        p->ranges[kept++] = r;
        next = r.hi + 1u;
    }
    p->count = kept;
}

uint32_t audit_ports_find(const struct audit_ports *p, uint16_t port)
{
    size_t lo = 0, hi = p->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (p->ranges[mid].lo <= port)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 && port <= p->ranges[lo - 1].hi ? p->ranges[lo - 1].rule : AUDIT_NETS_NONE;
}
