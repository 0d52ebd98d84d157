#include "policy/devices.h"

#include <string.h>

#include "base/spin.h"

/* The first @bits bits of the address. */
static struct addr network_of(const struct addr *from, const struct device_rule *rule)
{
    struct addr a = *from;
    unsigned len = a.family == ADDR_IP4 ? 4 : 16;
    unsigned bits = a.family == ADDR_IP4 ? rule->bits4 : rule->bits6;

    a.port = 0;
    for (unsigned i = 0; i < len; i++) {
        unsigned keep = bits >= 8 * (i + 1) ? 8 : bits > 8 * i ? bits - 8 * i : 0;
        a.ip[i] &= (uint8_t)(0xff00u >> keep);
    }
    return a;
}

static uint32_t quiet_s(const struct device *dev, uint32_t now_s)
{
    uint32_t active = atomic_load_explicit(&dev->active_s, memory_order_relaxed);
    return now_s > active ? now_s - active : 0;
}

static bool counts(const struct device *dev, uint32_t grace_s, uint32_t now_s)
{
    return !atomic_load_explicit(&dev->out, memory_order_relaxed) &&
           (dev->sessions > 0 || quiet_s(dev, now_s) < grace_s);
}

/* Whose place a new device may have: the longest quiet of those that are quiet, or of all. */
static struct device *place(struct devices *d, const struct device_rule *rule, uint32_t now_s)
{
    struct device *found = NULL;

    for (struct device *dev = d->first; dev != NULL; dev = dev->next) {
        if (!counts(dev, rule->grace_s, now_s))
            continue;
        bool quiet = dev->sessions == 0 || quiet_s(dev, now_s) >= DEVICE_QUIET_S;
        if ((quiet || rule->kick_oldest) &&
            (found == NULL || quiet_s(dev, now_s) > quiet_s(found, now_s)))
            found = dev;
    }
    return found;
}

static struct device *known(struct devices *d, const struct addr *ip)
{
    for (struct device *dev = d->first; dev != NULL; dev = dev->next)
        if (addr_ip_equal(&dev->ip, ip))
            return dev;
    return NULL;
}

/* An object that stands for nobody any more. */
static struct device *unused(struct devices *d, const struct device_rule *rule, uint32_t now_s)
{
    for (struct device *dev = d->first; dev != NULL; dev = dev->next)
        if (dev->sessions == 0 && !counts(dev, rule->grace_s, now_s))
            return dev;
    return NULL;
}

static enum status admit(struct devices *d, const struct device_rule *rule, uint32_t now_s)
{
    uint32_t others = rule->elsewhere;

    for (struct device *dev = d->first; dev != NULL; dev = dev->next)
        others += counts(dev, rule->grace_s, now_s);
    if (others < rule->limit)
        return ST_OK;
    struct device *gone = place(d, rule, now_s);
    if (gone == NULL)
        return ST_E_LIMIT;
    atomic_store_explicit(&gone->out, true, memory_order_relaxed);
    return ST_OK;
}

static enum status enter(struct devices *d, const struct addr *ip, const struct device_rule *rule,
                         uint32_t now_s, struct device **own_spare, struct device **out)
{
    struct device *dev = known(d, ip);
    enum status st;

    if (dev != NULL && counts(dev, rule->grace_s, now_s)) {
        *out = dev;
        return ST_OK;
    }
    if (dev == NULL && (dev = unused(d, rule, now_s)) == NULL && *own_spare == NULL)
        return ST_MORE;
    if ((st = admit(d, rule, now_s)) != ST_OK)
        return st;
    if (dev == NULL) {
        dev = *own_spare;
        *own_spare = NULL;
        memset(dev, 0, sizeof(*dev));
        dev->next = d->first;
        d->first = dev;
    }
    dev->ip = *ip;
    atomic_store_explicit(&dev->out, false, memory_order_relaxed);
    *out = dev;
    return ST_OK;
}

enum status devices_enter(struct devices *d, const struct addr *from,
                          const struct device_rule *rule, uint32_t now_s, struct device **own_spare,
                          struct device **out)
{
    struct addr ip = network_of(from, rule);

    *out = NULL;
    spin_lock(&d->lock);
    enum status st = enter(d, &ip, rule, now_s, own_spare, out);
    if (st == ST_OK) {
        (*out)->sessions++;
        atomic_store_explicit(&(*out)->active_s, now_s, memory_order_relaxed);
    }
    spin_unlock(&d->lock);
    return st;
}

void devices_leave(struct devices *d, struct device *dev)
{
    spin_lock(&d->lock);
    dev->sessions--;
    spin_unlock(&d->lock);
}

uint32_t devices_count(struct devices *d, uint32_t grace_s, uint32_t now_s)
{
    uint32_t n = 0;

    spin_lock(&d->lock);
    for (struct device *dev = d->first; dev != NULL; dev = dev->next)
        n += counts(dev, grace_s, now_s);
    spin_unlock(&d->lock);
    return n;
}

struct device *devices_take_all(struct devices *d)
{
    struct device *all = d->first;

    d->first = NULL;
    return all;
}
