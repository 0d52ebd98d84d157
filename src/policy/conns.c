#include "policy/conns.h"

#include "base/spin.h"

#define LATE_LOOK 256u

void conns_init(struct conns *c)
{
    *c = (struct conns){.lock = ATOMIC_FLAG_INIT};
    for (unsigned i = 0; i < CONN_CLASSES; i++) {
        list_init(&c->of[i].open);
        c->of[i].allowed = c->of[i].granted = CONNS_ANY;
    }
}

static struct conn_entry *of(struct list *node)
{
    return LIST_ENTRY(node, struct conn_entry, node);
}

static bool idle(const struct conn_entry *e, uint64_t now_ms)
{
    uint32_t bound = e->class == CONN_TCP ? CONNS_IDLE_TCP_S : CONNS_IDLE_UDP_S;
    uint32_t active = atomic_load_explicit(&e->active_s, memory_order_relaxed);

    return now_ms / 1000 >= active + (uint64_t)bound;
}

/* Who is the next to go, of those that are here. */
static struct conn_entry *next_to_go(struct conns_class *k, uint64_t now_ms)
{
    unsigned looked = 0;

    LIST_FOREACH(n, tmp, &k->open) {
        if (looked++ == CONNS_LOOK)
            break;
        if (idle(of(n), now_ms))
            return of(n);
    }
    return of(k->open.next);
}

static bool is_fresh(const struct conn_entry *e, uint64_t now_ms)
{
    return !idle(e, now_ms) && now_ms < e->born_ms + CONNS_FRESH_MS;
}

/* The newest is the last; only one that is counted late goes before others, and before so many at
 * most: a limit that comes to a user of ten thousand streams is no reason for a worker to stop. */
static void add_by_age(struct conns_class *k, struct conn_entry *e)
{
    struct list *before = k->open.prev;

    for (unsigned i = 0; i < LATE_LOOK && before != &k->open && of(before)->born_ms > e->born_ms;
         i++)
        before = before->prev;
    list_add_tail(before->next, &e->node);
}

static void put_out(struct conns_class *k, struct conn_entry *e, struct list *out)
{
    list_del(&e->node);
    k->count--;
    e->out = true;
    list_add_tail(out, &e->node);
}

static bool is_over(const struct conns_class *k, uint32_t limit)
{
    return (uint64_t)k->count + k->older > limit;
}

/* Older ones give their places, until no more than @limit are there or none is left. */
static void take_older(struct conns *c, struct conns_class *k, uint32_t limit)
{
    if (k->older == 0 || !is_over(k, limit))
        return;
    k->older = k->count < limit ? limit - k->count : 0;
    k->taken = true;
    atomic_store_explicit(&c->owes, true, memory_order_relaxed);
}

static enum status make_room(struct conns *c, struct conns_class *k, uint32_t limit,
                             uint64_t now_ms, struct list *out)
{
    take_older(c, k, limit - 1);
    while (k->count >= limit) {
        struct conn_entry *e = next_to_go(k, now_ms);
        if (is_fresh(e, now_ms))
            return ST_E_LIMIT;
        put_out(k, e, out);
    }
    return ST_OK;
}

enum status conns_enter(struct conns *c, struct conn_entry *e, enum conn_class class,
                        uint32_t limit, uint64_t now_ms, struct list *out)
{
    struct conns_class *k = &c->of[class];

    spin_lock(&c->lock);
    if (k->allowed != CONNS_ANY)
        limit = k->allowed > 0 ? k->allowed : 1;
    enum status st = make_room(c, k, limit, now_ms, out);
    if (st == ST_OK) {
        e->class = (uint8_t) class;
        e->born_ms = now_ms;
        e->out = false;
        atomic_store_explicit(&e->active_s, (uint32_t)(now_ms / 1000), memory_order_relaxed);
        add_by_age(k, e);
        k->count++;
    }
    spin_unlock(&c->lock);
    return st;
}

bool conns_leave(struct conns *c, struct conn_entry *e)
{
    spin_lock(&c->lock);
    bool mine = !e->out;
    if (mine) {
        list_del(&e->node);
        c->of[e->class].count--;
    }
    spin_unlock(&c->lock);
    return mine;
}

/* ---- two processes ---- */

void conns_set_older(struct conns *c, const uint32_t older[CONN_CLASSES])
{
    spin_lock(&c->lock);
    for (unsigned i = 0; i < CONN_CLASSES; i++)
        c->of[i].older = older[i];
    spin_unlock(&c->lock);
}

void conns_no_older(struct conns *c)
{
    spin_lock(&c->lock);
    for (unsigned i = 0; i < CONN_CLASSES; i++) {
        c->of[i].older = 0;
        c->of[i].taken = false;
        c->of[i].granted = CONNS_ANY;
    }
    spin_unlock(&c->lock);
}

static uint32_t grant_of(const struct conns_class *k, uint32_t limit)
{
    if (limit == CONNS_ANY)
        return CONNS_ANY;
    return k->count < limit ? limit - k->count : 0;
}

bool conns_grant(struct conns *c, uint32_t limit, uint32_t grant[CONN_CLASSES])
{
    bool due = false;

    spin_lock(&c->lock);
    atomic_store_explicit(&c->owes, false, memory_order_relaxed);
    for (unsigned i = 0; i < CONN_CLASSES; i++) {
        struct conns_class *k = &c->of[i];
        uint32_t usual = limit > 0 ? limit : CONNS_ANY;
        uint32_t now = k->allowed != CONNS_ANY ? k->allowed : usual;
        grant[i] = grant_of(k, now);
        /* Who has been told to keep less is told that he may keep more, too. */
        bool says = k->taken || k->granted != CONNS_ANY || is_over(k, now);
        due |= says && k->granted != grant[i];
    }
    for (unsigned i = 0; due && i < CONN_CLASSES; i++) {
        c->of[i].granted = grant[i];
        c->of[i].taken = false;
    }
    spin_unlock(&c->lock);
    return due;
}

bool conns_changed(struct conns *c, uint32_t count[CONN_CLASSES])
{
    bool changed = false;

    spin_lock(&c->lock);
    for (unsigned i = 0; i < CONN_CLASSES; i++) {
        struct conns_class *k = &c->of[i];
        count[i] = k->count + k->older;
        changed |= k->told != count[i];
        k->told = count[i];
    }
    spin_unlock(&c->lock);
    return changed;
}

void conns_allow(struct conns *c, const uint32_t allowed[CONN_CLASSES], uint64_t now_ms,
                 struct list *out)
{
    spin_lock(&c->lock);
    for (unsigned i = 0; i < CONN_CLASSES; i++) {
        struct conns_class *k = &c->of[i];
        k->allowed = allowed[i];
        take_older(c, k, allowed[i]);
        while (k->count > allowed[i])
            put_out(k, next_to_go(k, now_ms), out);
    }
    spin_unlock(&c->lock);
}
