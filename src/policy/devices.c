#include "policy/devices.h"

#include <stdlib.h>
#include <string.h>

#include "base/spin.h"

static unsigned bits_of(const struct addr *from, const struct device_rule *rule)
{
    return from->family == ADDR_IP4 ? rule->bits4 : rule->bits6;
}

/* The first @bits bits of the address. */
static struct addr network_of(const struct addr *from, unsigned bits)
{
    struct addr a = *from;
    unsigned len = a.family == ADDR_IP4 ? 4 : 16;

    a.port = 0;
    for (unsigned i = 0; i < len; i++) {
        unsigned keep = bits >= 8 * (i + 1) ? 8 : bits > 8 * i ? bits - 8 * i : 0;
        a.ip[i] &= (uint8_t)(0xff00u >> keep);
    }
    return a;
}

/* Of two networks the larger one decides. */
static bool is_same(const struct device *dev, const struct addr *net, unsigned bits)
{
    unsigned least = dev->bits < bits ? dev->bits : bits;

    if (dev->ip.family != net->family)
        return false;
    struct addr a = network_of(&dev->ip, least), b = network_of(net, least);
    return addr_ip_equal(&a, &b);
}

static uint32_t quiet_s(const struct device *dev, uint32_t now_s)
{
    uint32_t active = atomic_load_explicit(&dev->active_s, memory_order_relaxed);
    return now_s > active ? now_s - active : 0;
}

static bool counts(const struct device *dev, uint32_t now_s)
{
    return !atomic_load_explicit(&dev->out, memory_order_relaxed) &&
           (dev->sessions > 0 || quiet_s(dev, now_s) < dev->grace_s);
}

static void put_out(struct device *dev)
{
    atomic_store_explicit(&dev->out, true, memory_order_relaxed);
}

/* Whose place a new device may have: the longest quiet of those that are quiet, or of all. */
static struct device *place(struct devices *d, const struct device_rule *rule, uint32_t now_s)
{
    struct device *found = NULL;

    for (struct device *dev = d->first; dev != NULL; dev = dev->next) {
        if (!counts(dev, now_s))
            continue;
        bool quiet = dev->sessions == 0 || quiet_s(dev, now_s) >= DEVICE_QUIET_S;
        if ((quiet || rule->kick_oldest) &&
            (found == NULL || quiet_s(dev, now_s) > quiet_s(found, now_s)))
            found = dev;
    }
    return found;
}

/* One that counts rather than one that did. */
static struct device *known(struct devices *d, const struct addr *net, unsigned bits,
                            uint32_t now_s)
{
    struct device *found = NULL;

    for (struct device *dev = d->first; dev != NULL; dev = dev->next)
        if (is_same(dev, net, bits) && (found == NULL || counts(dev, now_s)))
            found = dev;
    return found;
}

/* An object that stands for nobody any more. */
static struct device *unused(struct devices *d, uint32_t now_s)
{
    for (struct device *dev = d->first; dev != NULL; dev = dev->next)
        if (dev->sessions == 0 && !counts(dev, now_s))
            return dev;
    return NULL;
}

static enum status admit(struct devices *d, const struct device_rule *rule, uint32_t now_s)
{
    uint64_t others = rule->elsewhere;

    for (struct device *dev = d->first; dev != NULL; dev = dev->next)
        others += counts(dev, now_s);
    if (others < rule->limit)
        return ST_OK;
    struct device *gone = place(d, rule, now_s);
    if (gone == NULL)
        return ST_E_LIMIT;
    put_out(gone);
    return ST_OK;
}

static enum status enter(struct devices *d, const struct addr *net, unsigned bits,
                         const struct device_rule *rule, uint32_t now_s, struct device **own_spare,
                         struct device **out)
{
    struct device *dev = known(d, net, bits, now_s);
    enum status st;

    if (dev != NULL && counts(dev, now_s)) {
        *out = dev;
        return ST_OK;
    }
    if (dev == NULL && (dev = unused(d, now_s)) == NULL && *own_spare == NULL)
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
    dev->ip = *net;
    dev->bits = (uint8_t)bits;
    dev->limit = 0;
    atomic_store_explicit(&dev->said, false, memory_order_relaxed);
    atomic_store_explicit(&dev->active_s, now_s, memory_order_relaxed);
    atomic_store_explicit(&dev->out, false, memory_order_relaxed);
    *out = dev;
    return ST_OK;
}

enum status devices_enter(struct devices *d, const struct addr *from,
                          const struct device_rule *rule, uint32_t now_s, struct device **own_spare,
                          struct device **out)
{
    unsigned bits = bits_of(from, rule);
    struct addr net = network_of(from, bits);

    *out = NULL;
    spin_lock(&d->lock);
    enum status st = enter(d, &net, bits, rule, now_s, own_spare, out);
    if (st == ST_OK) {
        struct device *dev = *out;
        dev->sessions++;
        dev->grace_s = rule->grace_s;
        dev->limit = rule->limit > dev->limit ? rule->limit : dev->limit;
        if (now_s > atomic_load_explicit(&dev->active_s, memory_order_relaxed))
            atomic_store_explicit(&dev->active_s, now_s, memory_order_relaxed);
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

uint32_t devices_count(struct devices *d, uint32_t now_s)
{
    uint32_t n = 0;

    spin_lock(&d->lock);
    for (struct device *dev = d->first; dev != NULL; dev = dev->next)
        n += counts(dev, now_s);
    spin_unlock(&d->lock);
    return n;
}

static int compare_seen(const void *a, const void *b)
{
    const struct device_seen *x = a, *y = b;

    return x->quiet_s < y->quiet_s ? -1 : x->quiet_s > y->quiet_s;
}

size_t devices_list(struct devices *d, uint32_t now_s, struct device_seen *out, size_t max)
{
    size_t n = 0;

    spin_lock(&d->lock);
    for (struct device *dev = d->first; dev != NULL && n < max; dev = dev->next) {
        if (!counts(dev, now_s))
            continue;
        out[n].ip = dev->ip;
        out[n].bits = dev->bits;
        out[n].limit = dev->limit;
        out[n].grace_s = dev->grace_s;
        out[n++].quiet_s = quiet_s(dev, now_s);
    }
    spin_unlock(&d->lock);
    qsort(out, n, sizeof(*out), compare_seen);
    return n;
}

static struct device *least_active(struct devices *d, uint32_t now_s)
{
    struct device *found = NULL;

    for (struct device *dev = d->first; dev != NULL; dev = dev->next)
        if (counts(dev, now_s) && (found == NULL || quiet_s(dev, now_s) > quiet_s(found, now_s)))
            found = dev;
    return found;
}

uint32_t devices_trim(struct devices *d, uint32_t limit, uint32_t now_s)
{
    uint32_t n = 0, gone = 0;

    spin_lock(&d->lock);
    for (struct device *dev = d->first; dev != NULL; dev = dev->next) {
        n += counts(dev, now_s);
        dev->limit = dev->limit < limit ? dev->limit : limit;
    }
    for (; n > limit; n--, gone++)
        put_out(least_active(d, now_s));
    spin_unlock(&d->lock);
    return gone;
}

void devices_raise(struct devices *d, uint32_t limit)
{
    spin_lock(&d->lock);
    for (struct device *dev = d->first; dev != NULL; dev = dev->next)
        dev->limit = dev->limit > limit ? dev->limit : limit;
    spin_unlock(&d->lock);
}

bool devices_put_out(struct devices *d, const struct device_seen *gone, uint32_t now_s)
{
    bool found = false;

    spin_lock(&d->lock);
    for (struct device *dev = d->first; dev != NULL && !found; dev = dev->next) {
        found = counts(dev, now_s) && dev->bits == gone->bits && addr_ip_equal(&dev->ip, &gone->ip);
        if (found)
            put_out(dev);
    }
    spin_unlock(&d->lock);
    return found;
}

struct device *devices_take_all(struct devices *d)
{
    struct device *all = d->first;

    d->first = NULL;
    return all;
}
