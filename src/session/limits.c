#include "session/limits.h"

#include <stdlib.h>

#include "io/mailbox.h"
#include "policy/user_live.h"
#include "session/worker.h"

/* A stream that counts, and how the news that it must end reaches its worker. */
struct stream_entry {
    struct message msg;
    struct conn_entry conn;
    struct session *s; /* NULL: gone; its worker's */
    struct worker *worker;
};

static uint64_t now_ms(const struct session *s)
{
    return loop_now_ms(s->wn->worker->loop);
}

/* ---- devices --------------------------------------------------------------------------------- */

/* Behind a proxy on this host that does not say for whom it speaks everybody is one device. */
static bool tells_nothing(const struct addr *from)
{
    return from->family == ADDR_NONE || addr_is_private(from);
}

bool limits_place(struct worker_node *wn, struct user_rt *u, const struct addr *from,
                  struct device **out, struct why *why)
{
    const struct view_node *n = wn->view->node;
    uint32_t limit = atomic_load_explicit(&u->device_limit, memory_order_relaxed);
    struct user_live *live;

    *out = NULL;
    if (limit == 0 || (tells_nothing(from) && !n->device_private))
        return true;
    live = user_live_get(u);
    if (live == NULL) {
        why_set(why, ST_E_NOMEM, "no memory for a device", 0);
        return false;
    }
    const struct device_rule rule = {
        .limit = limit,
        .elsewhere = atomic_load_explicit(&u->elsewhere, memory_order_relaxed),
        .bits4 = n->device_bits4,
        .bits6 = n->device_bits6,
        .kick_oldest = n->device_kick,
        .grace_s = n->device_grace_s,
    };
    uint32_t now_s = (uint32_t)(loop_now_ms(wn->worker->loop) / 1000);
    enum status st = user_live_device(live, from, &rule, now_s, out);
    if (st != ST_OK)
        why_set(why, st, "device limit of the user", (long)limit);
    return st == ST_OK;
}

bool limits_place_active(struct worker_node *wn, struct device *d)
{
    if (d == NULL)
        return true;
    atomic_store_explicit(&d->active_s, (uint32_t)(loop_now_ms(wn->worker->loop) / 1000),
                          memory_order_relaxed);
    return !atomic_load_explicit(&d->out, memory_order_relaxed);
}

void limits_place_leave(struct user_rt *u, struct device *d)
{
    if (d != NULL)
        devices_leave(&atomic_load_explicit(&u->live, memory_order_acquire)->devices, d);
}

/* ---- streams --------------------------------------------------------------------------------- */

static void on_place_taken(struct message *msg, void *receiver)
{
    struct stream_entry *e = LIST_ENTRY(msg, struct stream_entry, msg);

    (void)receiver;
    if (e->s != NULL) {
        e->s->stream = NULL;
        session_end(e->s);
    }
    free(e);
}

bool limits_stream(struct session *s, enum conn_class class, struct why *why)
{
    uint32_t limit = atomic_load_explicit(&s->user->conn_limit, memory_order_relaxed);
    struct user_live *live = limit > 0 ? user_live_get(s->user) : NULL;
    struct stream_entry *e = live != NULL ? calloc(1, sizeof(*e)) : NULL;
    struct list out;

    if (limit == 0)
        return true;
    if (e == NULL) {
        why_set(why, ST_E_NOMEM, "no memory for a stream", 0);
        return false;
    }
    e->msg.fn = on_place_taken;
    e->s = s;
    e->worker = s->wn->worker;
    list_init(&out);
    enum status st = conns_enter(&live->conns, &e->conn, class, limit, now_ms(s), &out);
    LIST_FOREACH(n, tmp, &out)
    {
        struct stream_entry *gone = LIST_ENTRY(n, struct stream_entry, conn.node);
        list_del(n);
        mailbox_send(gone->worker->mailbox, &gone->msg);
    }
    if (st != ST_OK) {
        free(e);
        why_set(why, st, "connection limit of the user", (long)limit);
        return false;
    }
    s->stream = e;
    return true;
}

/* ---- while it lasts -------------------------------------------------------------------------- */

bool limits_active(struct session *s)
{
    if (s->stream != NULL)
        atomic_store_explicit(&s->stream->conn.active_s, (uint32_t)(now_ms(s) / 1000),
                              memory_order_relaxed);
    return limits_place_active(s->wn, s->device);
}

void limits_leave(struct session *s)
{
    if (s->stream != NULL) {
        struct user_live *live = atomic_load_explicit(&s->user->live, memory_order_acquire);
        s->stream->s = NULL;
        if (conns_leave(&live->conns, &s->stream->conn))
            free(s->stream);
        s->stream = NULL;
    }
    limits_place_leave(s->user, s->device);
    s->device = NULL;
}
