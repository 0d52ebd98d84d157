#include "outbound/family.h"

#include "io/dial.h"

bool family_allowed(const struct direct_conf *conf, enum addr_family family)
{
    bool bound = conf->send_ip4.family != ADDR_NONE || conf->send_ip6.family != ADDR_NONE;
    const struct addr *own = family == ADDR_IP4 ? &conf->send_ip4 : &conf->send_ip6;

    return !bound || own->family != ADDR_NONE;
}

enum status family_want(const struct direct_conf *conf, enum resolve_want *want, struct why *why)
{
    bool ip4 = conf->ip_strategy != VIEW_IP_V6_ONLY && family_allowed(conf, ADDR_IP4);
    bool ip6 = conf->ip_strategy != VIEW_IP_V4_ONLY && family_allowed(conf, ADDR_IP6);

    if (!ip4 && !ip6)
        return why_set(why, ST_E_REFUSED, "no source address of the family the node resolves to",
                       0);
    *want = ip4 && ip6 ? RESOLVE_ANY : ip4 ? RESOLVE_IP4 : RESOLVE_IP6;
    return ST_OK;
}

enum status family_check(const struct direct_conf *conf, const struct addr *a, struct why *why)
{
    if (!conf->allow_private && addr_is_private(a))
        return why_set(why, ST_E_REFUSED, "private address", 0);
    if (!family_allowed(conf, (enum addr_family)a->family))
        return why_set(why, ST_E_REFUSED, "no source address of this family", 0);
    return ST_OK;
}

/* Moves the addresses of @first to the front, the order within a family kept. */
static void put_first(struct addr *addrs, size_t n, enum addr_family first)
{
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        struct addr a = addrs[i];
        if (a.family != first)
            continue;
        for (size_t k = i; k > at; k--)
            addrs[k] = addrs[k - 1];
        addrs[at++] = a;
    }
}

size_t family_pick(const struct direct_conf *conf, const struct resolve_answer *from, uint16_t port,
                   struct addr *to, struct why *why)
{
    size_t n = 0;

    /* First: what the operator has blocked is told and counted as that, private or not. */
    if (conf->allow != NULL && !conf->allow(conf->allow_arg, from, port)) {
        if (why != NULL)
            *why = (struct why){.status = ST_E_REFUSED};
        return 0;
    }
    for (size_t i = 0; i < from->count; i++) {
        if (family_check(conf, &from->addrs[i], why) != ST_OK)
            continue;
        to[n] = from->addrs[i];
        to[n++].port = port;
    }
    if (conf->ip_strategy == VIEW_IP_ANY)
        dial_interleave(to, n, ADDR_IP6);
    else if (conf->ip_strategy == VIEW_IP_V4_FIRST)
        put_first(to, n, ADDR_IP4);
    else if (conf->ip_strategy == VIEW_IP_V6_FIRST)
        put_first(to, n, ADDR_IP6);
    if (n > 0 && why != NULL)
        *why = (struct why){.status = ST_OK};
    return n;
}

struct why family_lookup_failed(enum status st)
{
    const char *text = "name server failure";

    if (st == ST_E_NOTFOUND)
        text = "no such name";
    else if (st == ST_E_TIMEOUT)
        text = "name lookup timed out";
    else if (st == ST_E_LIMIT)
        text = "too many name lookups";
    else if (st == ST_E_NOMEM)
        text = "no memory for a name lookup";
    return (struct why){.status = st, .text = text};
}
