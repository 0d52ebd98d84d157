#include "session/udp_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/frame.h"
#include "session/screen.h"
#include "session/speed.h"
#include "session/udp_door.h"
#include "session/udp_flow.h"
#include "session/worker.h"
#include "session/workers.h"

#define DOORS_MAX      (2u * VIEW_LISTEN_MAX) /* those of the view, and those it replaces */
#define READ_BATCHES   8u                     /* of UDP_BATCH datagrams a turn and socket */
#define WAITING_MAX    256u         /* datagrams behind one whose user is being looked for */
#define UNSENT_MAX     1024u        /* of a socket, to clients */
#define FLOW_UNSENT    256u         /* of a flow, to its targets */
#define ANSWERS_TURN   (64u * 1024) /* read from a flow's socket at once */
#define SWEEP_MS       1000
#define NOMEM_PAUSE_MS 20

struct udp_service {
    struct worker_node *wn;
    const struct packet_ops *ops;
    struct udp_door *doors[DOORS_MAX];
    unsigned door_count;
    struct udp_flows flows;
    struct list touched; /* flows with datagrams to send */
    /* A new flow whose user is being looked for, with its first datagram; others wait behind it. */
    struct udp_flow *trying;
    struct span *first;
    struct task task;   /* searches on, reads on, writes */
    struct timer pause; /* for memory */
    struct timer sweep;
    bool stopped;
};

static struct worker *worker_of(const struct udp_service *u)
{
    return u->wn->worker;
}

static struct packet_env env_of(const struct udp_service *u)
{
    const struct worker *w = worker_of(u);
    const struct view *v = u->wn->view;

    return (struct packet_env){.conf = v->node->packets_conf,
                               .pool = w->pool,
                               .rng = w->rng,
                               .crypto = w->crypto,
                               .users = v->users,
                               .shared = v->shared,
                               .now_us = loop_now_us(w->loop),
                               .unix_s = loop_unix_s(w->loop)};
}

/* ---- flows ----------------------------------------------------------------------------------- */

static void flow_free(struct udp_flow *f)
{
    struct udp_service *u = f->service;
    struct worker *w = worker_of(u);

    loop_task_del(w->loop, &f->task);
    list_del(&f->touched);
    direct_udp_close(f->out);
    bufq_clear(&f->up, w->pool);
    screen_free(f->screen, w->pool);
    if (f->source != NULL) {
        if (f->unreported > 0)
            alive_add(&u->wn->alive, f->user->uid, &f->client, f->unreported, PLANE_GONE);
        udp_flows_remove(&u->flows, f);
        admission_leave(&w->admission);
        worker_count_down(&u->wn->stats->open);
        atomic_fetch_sub_explicit(&f->user->sessions, 1, memory_order_relaxed);
        claim_release(&f->claim, f->user);
        workers_user_unref(w->all, f->user);
    }
    u->ops->fini(f->state, f->state_size);
    pool_release(w->pool, f, sizeof(*f) + f->state_size);
}

static void end_for_a_newer_one(struct claim *c)
{
    flow_free(LIST_ENTRY(c, struct udp_flow, claim));
}

static void count(struct udp_flow *f, uint64_t up, uint64_t down)
{
    struct worker_node *wn = f->service->wn;

    meter_add(&wn->worker->meter, f->user->slot, up, down);
    f->lost_place |= !claim_active(&f->claim, wn);
    f->unreported += up + down;
    worker_count(&wn->stats->up, up);
    worker_count(&wn->stats->down, down);
}

static bool read_answers(struct udp_flow *f);

static void on_flow_task(struct task *t)
{
    (void)read_answers(LIST_ENTRY(t, struct udp_flow, task));
}

static struct udp_flow *flow_new(struct udp_service *u, const struct packet *p)
{
    size_t state = u->ops->flow_size(u->wn->view->node->packets_conf);
    struct udp_flow *f = pool_alloc(worker_of(u)->pool, sizeof(*f) + state);

    if (f == NULL)
        return NULL;
    f->service = u;
    f->state_size = state;
    f->key = p->key;
    f->client = p->from;
    list_init(&f->touched);
    bufq_init(&f->up, UINT32_MAX);
    task_init(&f->task, on_flow_task);
    return f;
}

/* Drops what block rules forbid. ST_OK, or ST_E_REFUSED: the flow must end. */
static enum status screen(struct udp_flow *f)
{
    const struct screen_flow of = {.wn = f->service->wn, .user = f->user, .peer = &f->client};

    if (!screen_has_rules(of.wn))
        return ST_OK;
    return screen_queue(&f->screen, &of, direct_udp_target(f->out), &f->up);
}

/* What is queued goes to the targets. */
static void send_up(struct udp_flow *f)
{
    if (screen(f) != ST_OK) {
        flow_free(f);
        return;
    }
    speed_filter(f->service->wn, f->user, true, &f->up, f->up_paid);
    uint64_t sent;

    list_del(&f->touched);
    enum status st = direct_udp_send(f->out, &f->up, &sent);
    count(f, sent, 0);
    f->up_paid = f->up.count;
    screen_taken(f->screen, &f->up);
    if (st < 0 || f->lost_place)
        flow_free(f);
}

static void on_target(void *arg, uint32_t events, const struct why *why)
{
    struct udp_flow *f = arg;

    (void)why;
    if (events & DIRECT_UDP_FAILED) {
        flow_free(f);
        return;
    }
    if ((events & DIRECT_UDP_READABLE) && !read_answers(f))
        return;
    if (events & DIRECT_UDP_WRITABLE)
        send_up(f);
}

static void write_access_line(const struct udp_flow *f, const struct target *to)
{
    const struct udp_service *u = f->service;
    struct worker *w = worker_of(u);
    char from[ADDR_STRLEN], target[TARGET_STRLEN], line[640];

    if (w->access == NULL)
        return;
    int n =
        snprintf(line, sizeof(line), "%lld from udp:%s accepted udp:%s [%s -> direct] user: %llu\n",
                 (long long)loop_unix_s(w->loop), addr_str(&f->client, from),
                 target_str(to, target), u->wn->view->node->tag, (unsigned long long)f->user->uid);
    if (n > 0)
        w->access->write(w->access, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

/* direct_allow_fn: the addresses that a name of a datagram's destination stands for. */
static bool allow_addresses(void *arg, const struct resolve_answer *answer, uint16_t port)
{
    const struct udp_flow *f = arg;
    const struct screen_flow of = {.wn = f->service->wn, .user = f->user, .peer = &f->client};

    return screen_addresses(&of, true, answer, port);
}

/* Is there room for one more flow of @client? Its own oldest goes for it. */
static bool make_room(struct udp_service *u, const struct addr *client)
{
    struct worker *w = worker_of(u);
    struct udp_flow *excess = udp_flows_excess(&u->flows, client);

    if (excess != NULL)
        flow_free(excess);
    if (u->stopped || admission_full(&w->admission) ||
        !admission_enter(&w->admission, client, UINT32_MAX))
        return false;
    admission_known(&w->admission, client); /* a user already: no stranger */
    return true;
}

/* Is the first datagram allowed? One that is not opens no socket. */
static bool screen_first(struct udp_flow *f, const struct packet *p, const struct span *s)
{
    const struct screen_flow of = {.wn = f->service->wn, .user = p->user, .peer = &p->from};

    return !screen_has_rules(of.wn) ||
           screen_datagram(&f->screen, &of, &p->target, span_data(s), s->len) == SCREEN_PASS;
}

/* The first datagram of @f, @s, was authentic. False: it is blocked, or there is no room for it,
 * and it is freed. */
static bool establish(struct udp_flow *f, const struct packet *p, const struct span *s)
{
    struct udp_service *u = f->service;
    struct worker *w = worker_of(u);
    struct direct_conf conf;

    f->dns = p->target.addr.port == 53;
    direct_conf_of(&conf, u->wn->view->node);
    conf.allow = allow_addresses;
    conf.allow_arg = f;
    if (!screen_first(f, p, s) ||
        direct_udp_open(&w->out, &conf, NULL, f, on_target, &f->out, NULL) != ST_OK ||
        !make_room(u, &p->from)) {
        flow_free(f);
        return false;
    }
    if (udp_flows_add(&u->flows, f, loop_now_ms(w->loop)) != ST_OK) {
        admission_leave(&w->admission);
        flow_free(f);
        return false;
    }
    user_ref(p->user);
    f->user = p->user;
    atomic_fetch_add_explicit(&f->user->sessions, 1, memory_order_relaxed);
    worker_count(&u->wn->stats->accepted, 1);
    worker_count(&u->wn->stats->open, 1);
    struct why why = {0}; /* datagrams are dropped without a word */
    f->claim.end = end_for_a_newer_one;
    if (!claim_device(&f->claim, u->wn, f->user, &p->from, &why) ||
        !claim_stream(&f->claim, u->wn, f->user, CONN_UDP, &why)) {
        flow_free(f);
        return false;
    }
    worker_count(&u->wn->stats->served, 1);
    write_access_line(f, &p->target);
    if (!timer_armed(&u->sweep))
        loop_timer_in(w->loop, &u->sweep, SWEEP_MS);
    return true;
}

/* ---- clients -> targets ---------------------------------------------------------------------- */

/* Queues the opened datagram @s of @f. */
static void deliver(struct udp_flow *f, struct span *s, const struct packet *p, uint8_t socket)
{
    struct udp_service *u = f->service;
    struct pool *pool = worker_of(u)->pool;
    struct span *out = f->up.count < FLOW_UNSENT ? frame_set_target(pool, s, &p->target) : NULL;

    f->client = p->from;
    f->socket = socket;
    udp_flows_use(&u->flows, f, loop_now_ms(worker_of(u)->loop));
    if (out == NULL) {
        span_free(pool, s);
        return;
    }
    bufq_push(&f->up, out);
    if (list_empty(&f->touched))
        list_add_tail(&u->touched, &f->touched);
}

static void note_refused(const struct udp_flow *f, enum status st)
{
    const struct udp_service *u = f->service;
    struct worker *w = worker_of(u);
    char from[ADDR_STRLEN];

    causes_add(&w->causes, u->wn->view->node_no, status_str(st));
    if (!log_wants(w->log, LOG_INFO) || !worker_may_log(w))
        return;
    struct log_about about = {.node = u->wn->view->node->tag, .peer = addr_str(&f->client, from)};
    log_line(w->log, LOG_INFO, &about, "datagram dropped: %s", status_str(st));
}

/* Opens the first datagram of a flow that may become one. False: more has to be done first. */
static bool try_first(struct udp_service *u, struct udp_flow *f, struct span *s, struct packet *p,
                      uint8_t socket)
{
    struct packet_env env = env_of(u);
    struct worker *w = worker_of(u);
    enum status st = u->ops->open(&env, f->state, s, p);

    if (st == ST_YIELD) {
        loop_task_add(w->loop, &u->task);
        return false;
    }
    if (st == ST_OK && establish(f, p, s)) {
        deliver(f, s, p, socket);
        screen_taken(f->screen, &f->up); /* it has been judged */
        return true;
    }
    if (st != ST_OK) {
        worker_count(&u->wn->stats->rejected, 1);
        note_refused(f, st);
        flow_free(f);
    }
    span_free(w->pool, s);
    return true;
}

/* A datagram from a client. Takes @s over; its peer is the source. */
static void handle(struct udp_service *u, struct span *s, uint8_t socket)
{
    struct worker *w = worker_of(u);
    struct packet_env env = env_of(u);
    struct packet p = {.from = s->peer};
    struct udp_flow *f;

    if (u->ops->identify(&env, s, &p) != ST_OK)
        goto drop;
    f = udp_flows_find(&u->flows, &p.key);
    if (f != NULL) {
        if (u->ops->open(&env, f->state, s, &p) != ST_OK)
            goto drop;
        deliver(f, s, &p, socket);
        return;
    }
    if (u->trying != NULL) {
        struct bufq *waiting = &u->doors[socket]->waiting;
        if (waiting->count >= WAITING_MAX)
            goto drop;
        bufq_push(waiting, s);
        return;
    }
    f = u->stopped ? NULL : flow_new(u, &p);
    if (f == NULL)
        goto drop;
    if (!try_first(u, f, s, &p, socket)) {
        f->socket = socket;
        u->trying = f;
        u->first = s;
    }
    return;
drop:
    span_free(w->pool, s);
}

/* Goes on with the search for the user of a new flow, then with what waits behind it. */
static void try_on(struct udp_service *u)
{
    struct udp_flow *f = u->trying;
    struct span *s = u->first;

    if (f != NULL) {
        struct packet p = {.from = s->peer, .key = f->key};
        u->trying = NULL;
        u->first = NULL;
        if (!try_first(u, f, s, &p, f->socket)) {
            u->trying = f;
            u->first = s;
            return;
        }
    }
    for (unsigned i = 0; i < u->door_count; i++)
        while (u->trying == NULL && (s = bufq_pop(&u->doors[i]->waiting)) != NULL)
            handle(u, s, (uint8_t)i);
}

static void send_touched(struct udp_service *u)
{
    LIST_FOREACH(n, tmp, &u->touched)
        send_up(LIST_ENTRY(n, struct udp_flow, touched));
}

static void read_door(struct udp_service *u, unsigned i)
{
    struct worker *w = worker_of(u);
    struct udp_door *d = u->doors[i];
    struct bufq q;
    struct span *s;

    bufq_init(&q, UINT32_MAX);
    for (unsigned n = 0; n < READ_BATCHES && d->readable; n++) {
        enum status st = udp_door_read(d, &q);
        while ((s = bufq_pop(&q)) != NULL)
            handle(u, s, (uint8_t)i);
        if (st == ST_E_NOMEM) { /* others give memory back first */
            loop_timer_in(w->loop, &u->pause, NOMEM_PAUSE_MS);
            return;
        }
    }
    if (d->readable)
        loop_task_add(w->loop, &u->task);
}

/* ---- targets -> clients ---------------------------------------------------------------------- */

/* False: @f is dead and freed. */
static bool read_answers(struct udp_flow *f)
{
    struct udp_service *u = f->service;
    struct worker *w = worker_of(u);
    struct packet_env env = env_of(u);
    struct udp_door *d = f->socket < u->door_count ? u->doors[f->socket] : NULL;
    struct bufq q;
    struct span *s;

    bufq_init(&q, ANSWERS_TURN);
    enum status st = direct_udp_recv(f->out, &q);
    speed_filter(u->wn, f->user, false, &q, 0);
    while ((s = bufq_pop(&q)) != NULL) {
        if (d == NULL || d->out.count >= UNSENT_MAX) {
            span_free(w->pool, s);
            continue;
        }
        uint32_t len = s->len;
        s = u->ops->seal(&env, f->state, s);
        if (s == NULL)
            continue;
        count(f, 0, len);
        s->peer = f->client;
        bufq_push(&d->out, s);
        udp_flows_use(&u->flows, f, loop_now_ms(w->loop));
    }
    if (st < 0 && st != ST_E_NOMEM) {
        flow_free(f);
        return false;
    }
    if (st == ST_YIELD || st == ST_FULL)
        loop_task_add(w->loop, &f->task);
    /* After the events of this round, so that answers of many flows go out together. */
    loop_task_add(w->loop, &u->task);
    return true;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void on_task(struct task *t)
{
    struct udp_service *u = LIST_ENTRY(t, struct udp_service, task);

    try_on(u);
    for (unsigned i = 0; i < u->door_count; i++)
        if (u->doors[i]->readable && !timer_armed(&u->pause))
            read_door(u, i);
    send_touched(u);
    for (unsigned i = 0; i < u->door_count; i++)
        udp_door_write(u->doors[i]);
}

static void on_pause(struct timer *t)
{
    struct udp_service *u = LIST_ENTRY(t, struct udp_service, pause);
    loop_task_add(worker_of(u)->loop, &u->task);
}

static void on_sweep(struct timer *t)
{
    struct udp_service *u = LIST_ENTRY(t, struct udp_service, sweep);
    const struct view_node *n = u->wn->view->node;
    uint32_t most = u->ops->idle_ms(n->packets_conf, false);
    uint32_t least = u->ops->idle_ms(n->packets_conf, true);
    uint32_t idle = n->timeouts.idle < most ? n->timeouts.idle : most;
    const uint32_t idle_ms[2] = {idle > least ? idle : least, least};
    struct loop *l = worker_of(u)->loop;
    struct udp_flow *f;

    while ((f = udp_flows_expired(&u->flows, idle_ms, loop_now_ms(l))) != NULL)
        flow_free(f);
    if (u->flows.count > 0)
        loop_timer_in(l, t, SWEEP_MS);
}

/* ---- sockets --------------------------------------------------------------------------------- */

static void close_door(struct udp_service *u, unsigned i)
{
    udp_door_close(u->doors[i]);
    u->doors[i] = u->doors[--u->door_count];
}

static enum status open_door(struct udp_service *u, const struct addr *where, bool v6only, int *err)
{
    enum status st =
        udp_door_open(&u->doors[u->door_count], worker_of(u), where, v6only, &u->task, err);

    u->door_count += st == ST_OK;
    return st;
}

static bool wanted(const struct view_node *n, const struct udp_door *d)
{
    for (unsigned i = 0; i < n->listen_count; i++)
        if (addr_equal(&d->where, &n->listen[i]) && d->v6only == n->listen_v6only)
            return true;
    return false;
}

static bool is_open(const struct udp_service *u, const struct addr *where, bool v6only)
{
    for (unsigned i = 0; i < u->door_count; i++)
        if (addr_equal(&u->doors[i]->where, where) && u->doors[i]->v6only == v6only)
            return true;
    return false;
}

/* Closes the doors at addresses that the node has left; @port 0: of all ports. */
static bool close_stale(struct udp_service *u, uint16_t port)
{
    bool any = false;

    for (unsigned i = u->door_count; i-- > 0;) {
        if (wanted(u->wn->view->node, u->doors[i]) ||
            (port != 0 && u->doors[i]->where.port != port))
            continue;
        close_door(u, i);
        any = true;
    }
    return any;
}

/* Our own socket may be in the way: there is no sharing a port as with TCP. */
static enum status open_or_replace(struct udp_service *u, const struct addr *where, bool v6only,
                                   int *err)
{
    enum status st = u->door_count < DOORS_MAX ? open_door(u, where, v6only, err) : ST_E_BUSY;

    if (st == ST_E_BUSY && close_stale(u, u->door_count < DOORS_MAX ? where->port : 0))
        st = open_door(u, where, v6only, err);
    return st;
}

static struct udp_service *service_new(struct worker_node *wn)
{
    struct udp_service *u = calloc(1, sizeof(*u));

    if (u == NULL)
        return NULL;
    u->wn = wn;
    u->ops = wn->view->node->packets;
    udp_flows_init(&u->flows, loop_now_us(wn->worker->loop) ^ (uintptr_t)u);
    list_init(&u->touched);
    task_init(&u->task, on_task);
    timer_init(&u->pause, on_pause);
    timer_init(&u->sweep, on_sweep);
    return u;
}

enum status udp_service_sync(struct worker_node *wn, const struct addr **where, int *err)
{
    const struct view_node *n = wn->view->node;
    struct worker *w = wn->worker;
    enum status st = ST_OK;

    if (n->packets == NULL || w->no != wn->view->node_no % workers_count(w->all)) {
        udp_service_close(wn);
        return ST_OK;
    }
    if (wn->udp == NULL)
        wn->udp = service_new(wn);
    if (wn->udp == NULL)
        return ST_E_NOMEM;
    wn->udp->ops = n->packets;
    for (unsigned i = 0; i < n->listen_count && st == ST_OK; i++) {
        *where = &n->listen[i];
        if (!is_open(wn->udp, *where, n->listen_v6only))
            st = open_or_replace(wn->udp, *where, n->listen_v6only, err);
    }
    if (st == ST_OK)
        (void)close_stale(wn->udp, 0);
    return st;
}

enum status udp_service_export(const struct worker_node *wn, struct handoff *into)
{
    const struct udp_service *u = wn->udp;
    enum status st = ST_OK;

    for (unsigned i = 0; u != NULL && i < u->door_count && st == ST_OK; i++) {
        st = udp_door_export(u->doors[i], into);
    }
    return st;
}

static void end_flows(struct udp_service *u)
{
    for (unsigned i = 0; i < u->door_count; i++)
        bufq_clear(&u->doors[i]->waiting, worker_of(u)->pool);
    if (u->trying != NULL)
        flow_free(u->trying);
    span_free(worker_of(u)->pool, u->first);
    u->trying = NULL;
    u->first = NULL;
    for (unsigned i = 0; i < 2; i++)
        LIST_FOREACH(n, tmp, &u->flows.idle[i])
            flow_free(LIST_ENTRY(n, struct udp_flow, idle));
}

void udp_service_reset(struct worker_node *wn, const struct view_node *next)
{
    const struct udp_service *u = wn->udp;

    if (u == NULL)
        return;
    if (u->ops != next->packets)
        udp_service_close(wn);
    else if (!u->ops->same_conf(wn->view->node->packets_conf, next->packets_conf))
        end_flows(wn->udp);
}

void udp_service_stop(struct worker_node *wn)
{
    if (wn->udp != NULL)
        wn->udp->stopped = true;
}

void udp_service_close(struct worker_node *wn)
{
    struct udp_service *u = wn->udp;

    if (u == NULL)
        return;
    end_flows(u);
    while (u->door_count > 0)
        close_door(u, u->door_count - 1);
    loop_task_del(worker_of(u)->loop, &u->task);
    loop_timer_del(worker_of(u)->loop, &u->pause);
    loop_timer_del(worker_of(u)->loop, &u->sweep);
    udp_flows_fini(&u->flows);
    free(u);
    wn->udp = NULL;
}

void udp_service_close_removed(struct worker_node *wn)
{
    for (unsigned i = 0; wn->udp != NULL && i < 2; i++) {
        LIST_FOREACH(n, tmp, &wn->udp->flows.idle[i]) {
            struct udp_flow *f = LIST_ENTRY(n, struct udp_flow, idle);
            if (atomic_load_explicit(&f->user->removed, memory_order_relaxed))
                flow_free(f);
        }
    }
}

void udp_service_count_devices(struct worker_node *wn)
{
    for (unsigned i = 0; wn->udp != NULL && i < 2; i++) {
        LIST_FOREACH(n, tmp, &wn->udp->flows.idle[i]) {
            struct udp_flow *f = LIST_ENTRY(n, struct udp_flow, idle);
            claim_device_late(&f->claim, wn, f->user, &f->client, f->active_ms);
            claim_stream_late(&f->claim, wn, f->user, f->active_ms);
        }
    }
}

void udp_service_end_devices(struct worker_node *wn)
{
    for (unsigned i = 0; wn->udp != NULL && i < 2; i++) {
        LIST_FOREACH(n, tmp, &wn->udp->flows.idle[i]) {
            struct udp_flow *f = LIST_ENTRY(n, struct udp_flow, idle);
            if (claim_is_out(&f->claim))
                flow_free(f);
        }
    }
}

void udp_service_take_alive(struct worker_node *wn)
{
    for (unsigned i = 0; wn->udp != NULL && i < 2; i++) {
        LIST_FOREACH(n, tmp, &wn->udp->flows.idle[i]) {
            struct udp_flow *f = LIST_ENTRY(n, struct udp_flow, idle);
            alive_add(&wn->alive, f->user->uid, &f->client, f->unreported,
                      worker_presence(wn, f->active_ms));
            f->unreported = 0;
        }
    }
}

size_t udp_service_online(const struct worker_node *wn, const struct user_rt *user,
                          struct plane_online *out, size_t max)
{
    const struct udp_service *u = wn->udp;
    size_t n = 0;

    for (int dns = 0; u != NULL && dns < 2; dns++) {
        LIST_FOREACH(l, tmp, &u->flows.idle[dns]) {
            const struct udp_flow *f = LIST_ENTRY(l, struct udp_flow, idle);
            if (f->user != user || n == max)
                continue;
            out[n] = (struct plane_online){.ip = f->client,
                                           .idle_ms = loop_now_ms(wn->worker->loop) - f->active_ms};
            out[n++].ip.port = 0;
        }
    }
    return n;
}
