#include "session/limits.h"

#include <stdlib.h>

#include "base/log.h"
#include "io/mailbox.h"
#include "policy/user_devices.h"
#include "policy/user_live.h"
#include "session/worker.h"
#include "session/workers_state.h"

/* A stream that counts, and how the news that it must end reaches its worker. */
struct stream_entry {
    struct message msg;
    struct conn_entry conn;
    struct claim *claim; /* NULL: its owner is gone; its worker's */
    struct worker *worker;
};

static uint64_t now_ms(const struct worker_node *wn)
{
    return loop_now_ms(wn->worker->loop);
}

static uint32_t now_s(const struct worker_node *wn)
{
    return (uint32_t)(now_ms(wn) / 1000);
}

static struct user_live *live_of(struct user_rt *u)
{
    return atomic_load_explicit(&u->live, memory_order_acquire);
}

/* ---- devices --------------------------------------------------------------------------------- */

/* Behind a proxy on this host that does not say for whom it speaks everybody is one device. */
static bool tells_nothing(const struct addr *from)
{
    return from->family == ADDR_NONE || addr_is_private(from);
}

static struct user_devices *devices_of(struct user_rt *u)
{
    return atomic_load_explicit(&u->devices, memory_order_acquire);
}

/* Counted at all? */
static bool is_device(const struct view_node *n, const struct addr *from)
{
    return n->device_private || !tells_nothing(from);
}

/* A limit that does nothing is easily missed. */
static void say_uncounted(const struct worker_node *wn, const struct user_rt *u,
                          const struct addr *from)
{
    _Atomic bool *said = &wn->worker->all->uncounted_said;
    char ip[ADDR_STRLEN];

    if (from->family == ADDR_NONE || atomic_exchange_explicit(said, true, memory_order_relaxed))
        return;
    const struct log_about about = {
        .node = wn->view->node->tag, .peer = addr_ip_str(from, ip), .user = u->uid};
    log_line(wn->worker->log, LOG_WARNING, &about,
             "has a device limit, but addresses of private networks are no devices: a proxy in "
             "front must say whose they are (EnableProxyProtocol), or set DeviceCountPrivate (said "
             "once)");
}

static struct device_rule rule_of(const struct view_node *n, uint32_t limit)
{
    return (struct device_rule){
        .limit = limit,
        .bits4 = n->device_bits4,
        .bits6 = n->device_bits6,
        .kick_oldest = n->device_kick,
        .grace_s = n->device_grace_s,
    };
}

bool claim_device(struct claim *c, struct worker_node *wn, struct user_rt *u,
                  const struct addr *from, struct why *why)
{
    const struct view_node *n = wn->view->node;
    uint32_t limit =
        atomic_load_explicit(&u->device_limit, memory_order_acquire); /* then the set */
    struct user_devices *ud = devices_of(u);

    if (limit == 0)
        return true;
    if (!is_device(n, from)) {
        say_uncounted(wn, u, from);
        return true;
    }
    struct device_rule rule = rule_of(n, limit);
    enum status st =
        ud == NULL ? ST_E_NOMEM : user_devices_enter(ud, from, &rule, now_s(wn), &c->device);
    if (st == ST_E_NOMEM)
        why_set(why, st, "no memory for a device", 0);
    else if (st != ST_OK)
        why_set(why, st, "device limit of the user", (long)limit);
    return st == ST_OK;
}

void claim_device_late(struct claim *c, struct worker_node *wn, struct user_rt *u,
                       const struct addr *from, uint64_t active_ms)
{
    const struct view_node *n = wn->view->node;
    struct user_devices *ud = devices_of(u);

    if (c->device != NULL || ud == NULL || !is_device(n, from) ||
        atomic_load_explicit(&u->device_limit, memory_order_relaxed) == 0)
        return;
    struct device_rule rule = rule_of(n, DEVICES_NO_LIMIT);
    /* Without memory it stays what it was: not counted. */
    if (user_devices_enter(ud, from, &rule, (uint32_t)(active_ms / 1000), &c->device) != ST_OK)
        c->device = NULL;
}

bool claim_is_out(const struct claim *c)
{
    return c->device != NULL && atomic_load_explicit(&c->device->out, memory_order_relaxed);
}

/* ---- streams --------------------------------------------------------------------------------- */

static void on_place_taken(struct message *msg, void *receiver)
{
    struct stream_entry *e = LIST_ENTRY(msg, struct stream_entry, msg);

    (void)receiver;
    if (e->claim != NULL) {
        e->claim->stream = NULL;
        e->claim->end(e->claim);
    }
    free(e);
}

static void tell(struct list *out)
{
    LIST_FOREACH(n, tmp, out) {
        struct stream_entry *gone = LIST_ENTRY(n, struct stream_entry, conn.node);
        list_del(n);
        mailbox_send(gone->worker->mailbox, &gone->msg);
    }
}

/* One of no more than @limit. */
static enum status enter_stream(struct claim *c, struct worker_node *wn, struct user_rt *u,
                                uint32_t limit, uint64_t at_ms)
{
    struct user_live *live = user_live_get(u);
    struct stream_entry *e = live != NULL ? calloc(1, sizeof(*e)) : NULL;
    struct list out;

    if (e == NULL)
        return ST_E_NOMEM;
    e->msg.fn = on_place_taken;
    e->claim = c;
    e->worker = wn->worker;
    list_init(&out);
    enum status st = conns_enter(&live->conns, &e->conn, c->class, limit, at_ms, &out);
    tell(&out);
    if (atomic_load_explicit(&live->conns.owes, memory_order_relaxed) &&
        atomic_exchange_explicit(&live->conns.owes, false, memory_order_relaxed))
        workers_tell_streams(wn->worker, u);
    if (st == ST_OK)
        c->stream = e;
    else
        free(e);
    return st;
}

bool claim_stream(struct claim *c, struct worker_node *wn, struct user_rt *u, enum conn_class class,
                  struct why *why)
{
    uint32_t limit = atomic_load_explicit(&u->conn_limit, memory_order_relaxed);

    c->class = class;
    if (limit == 0)
        return true;
    enum status st = enter_stream(c, wn, u, limit, now_ms(wn));
    if (st == ST_E_NOMEM)
        why_set(why, st, "no memory for a stream", 0);
    else if (st != ST_OK)
        why_set(why, st, "connection limit of the user", (long)limit);
    return st == ST_OK;
}

void claim_stream_late(struct claim *c, struct worker_node *wn, struct user_rt *u,
                       uint64_t active_ms)
{
    if (c->end == NULL || c->stream != NULL ||
        atomic_load_explicit(&u->conn_limit, memory_order_relaxed) == 0)
        return;
    /* Without memory it stays what it was: not counted. */
    if (enter_stream(c, wn, u, UINT32_MAX, active_ms) != ST_OK)
        c->stream = NULL;
}

void limits_allow_streams(struct user_rt *u, const uint32_t allowed[CONN_CLASSES], uint64_t now_ms)
{
    struct user_live *live = user_live_get(u);
    struct list out;

    if (live == NULL)
        return;
    list_init(&out);
    conns_allow(&live->conns, allowed, now_ms, &out);
    tell(&out);
}

/* ---- while it lasts -------------------------------------------------------------------------- */

bool claim_active(const struct claim *c, struct worker_node *wn)
{
    if (c->stream != NULL)
        atomic_store_explicit(&c->stream->conn.active_s, now_s(wn), memory_order_relaxed);
    if (c->device == NULL)
        return true;
    atomic_store_explicit(&c->device->active_s, now_s(wn), memory_order_relaxed);
    return !claim_is_out(c);
}

void claim_release(struct claim *c, struct user_rt *u)
{
    if (c->stream != NULL) {
        c->stream->claim = NULL;
        if (conns_leave(&live_of(u)->conns, &c->stream->conn))
            free(c->stream);
    }
    if (c->device != NULL)
        devices_leave(&devices_of(u)->set, c->device);
    c->stream = NULL;
    c->device = NULL;
}
