#include "policy/conns.h"

#include "base/spin.h"

void conns_init(struct conns *c)
{
    *c = (struct conns){.lock = ATOMIC_FLAG_INIT};
    for (unsigned i = 0; i < CONN_CLASSES; i++)
        list_init(&c->open[i]);
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

/* Who makes room; NULL: nobody may. */
static struct conn_entry *victim(struct conns *c, enum conn_class class, uint64_t now_ms)
{
    unsigned looked = 0;

    LIST_FOREACH(n, tmp, &c->open[class]) {
        if (looked++ == CONNS_LOOK)
            break;
        if (idle(of(n), now_ms))
            return of(n);
    }
    struct conn_entry *oldest = of(c->open[class].next);
    return now_ms >= oldest->born_ms + CONNS_FRESH_MS ? oldest : NULL;
}

static enum status make_room(struct conns *c, enum conn_class class, uint32_t limit,
                             uint64_t now_ms, struct list *out)
{
    while (c->count[class] >= limit) {
        struct conn_entry *e = victim(c, class, now_ms);
        if (e == NULL)
            return ST_E_LIMIT;
        list_del(&e->node);
        c->count[class]--;
        e->out = true;
        list_add_tail(out, &e->node);
    }
    return ST_OK;
}

enum status conns_enter(struct conns *c, struct conn_entry *e, enum conn_class class,
                        uint32_t limit, uint64_t now_ms, struct list *out)
{
    spin_lock(&c->lock);
    enum status st = make_room(c, class, limit, now_ms, out);
    if (st == ST_OK) {
        e->class = (uint8_t) class;
        e->born_ms = now_ms;
        e->out = false;
        atomic_store_explicit(&e->active_s, (uint32_t)(now_ms / 1000), memory_order_relaxed);
        list_add_tail(&c->open[class], &e->node);
        c->count[class]++;
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
        c->count[e->class]--;
    }
    spin_unlock(&c->lock);
    return mine;
}
