#include "session/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/sockaddr.h"
#include "session/handoff.h"
#include "session/port.h"
#include "session/session.h"
#include "session/udp_service.h"
#include "session/workers.h"

#define HANDSHAKES_MAX   256 /* objects of 45 KiB: oldest over 3 s dropped */
#define SECOND_MS        1000
#define RETRY_MS         3000 /* between tries to open a busy port */
#define LOG_LINES_SECOND 20   /* about sessions; more are counted and said in one line */

bool worker_may_log(struct worker *w)
{
    if (w->log_tokens == 0) {
        w->log_dropped++;
        return false;
    }
    w->log_tokens--;
    return true;
}

unsigned worker_bulk_flows(struct worker *w)
{
    uint64_t now = loop_now_us(w->loop);
    if (now != w->bulk_round_us) {
        w->bulk_round_us = now;
        w->bulk_flows = w->bulk_seen;
        w->bulk_seen = 0;
    }
    w->bulk_seen++;
    return w->bulk_flows ? w->bulk_flows : 1;
}

static void resume_listeners(struct worker *w)
{
    for (unsigned i = 0; i < VIEW_NODES_MAX; i++) {
        if (w->nodes[i] == NULL)
            continue;
        LIST_FOREACH(n, tmp, &w->nodes[i]->listeners) {
            struct listener *l = LIST_ENTRY(n, struct listener, link);
            if (!timer_armed(&l->pause))
                listener_resume(l);
        }
    }
}

static void every_second(struct timer *t)
{
    struct worker *w = LIST_ENTRY(t, struct worker, second);
    if (w->log_dropped)
        log_line(w->log, LOG_INFO, NULL, "%u more lines about failed sessions were left out",
                 w->log_dropped);
    w->log_dropped = 0;
    w->log_tokens = LOG_LINES_SECOND;
    pool_trim(w->pool);
    atomic_store_explicit(&w->memory, pool_used(w->pool), memory_order_relaxed);
    if (admission_may_resume(&w->admission))
        resume_listeners(w);
    loop_timer_in(w->loop, t, SECOND_MS);
}

enum status worker_init(struct worker *w, size_t memory_budget, size_t sessions_max)
{
    w->log_tokens = LOG_LINES_SECOND;
    list_init(&w->handshakes.held);
    list_init(&w->parked);
    w->handshakes.max = HANDSHAKES_MAX;
    timer_init(&w->second, every_second);
    w->loop = loop_new();
    w->pool = pool_new(memory_budget);
    w->pipes = splice_pool_new();
    if (w->loop == NULL || w->pool == NULL || w->pipes == NULL)
        return ST_E_NOMEM;
    w->mailbox = mailbox_new(w->loop, w);
    if (w->mailbox == NULL)
        return ST_E_IO;
    enum status st = admission_init(&w->admission, sessions_max);
    if (st != ST_OK)
        return st;
    w->out.loop = w->loop;
    w->out.pool = w->pool;
    st = udp_batch_new(w->pool, &w->out.batch);
    if (st != ST_OK)
        return st;
    st = resolver_new(w->loop, w->name_servers, &w->out.resolver);
    if (st != ST_OK)
        return st;
    loop_timer_in(w->loop, &w->second, SECOND_MS);
    return ST_OK;
}

#define LISTENER_OF(l) LIST_ENTRY(l, struct listener, link)

static void drop_listener(struct listener *l)
{
    list_del(&l->link);
    listener_close(l);
    free(l);
}

static void close_listeners(struct worker_node *wn)
{
    LIST_FOREACH(n, tmp, &wn->listeners)
        drop_listener(LISTENER_OF(n));
}

static void node_free(struct worker *w, struct worker_node *wn)
{
    close_listeners(wn);
    udp_service_close(wn);
    LIST_FOREACH(n, tmp, &wn->sessions)
        session_close(LIST_ENTRY(n, struct session, node), false);
    loop_timer_del(w->loop, &wn->retry);
    loop_timer_del(w->loop, &wn->drain);
    alive_fini(&wn->alive);
    w->nodes[wn->view->node_no] = NULL;
    view_unref(wn->view);
    free(wn);
}

void worker_fini(struct worker *w)
{
    mailbox_free(w->mailbox); /* delivers first: what was published must be found and freed below */
    for (unsigned i = 0; i < VIEW_NODES_MAX; i++)
        if (w->nodes[i])
            node_free(w, w->nodes[i]);
    resolver_free(w->out.resolver);
    udp_batch_free(w->out.batch);
    splice_pool_free(w->pipes);
    admission_fini(&w->admission);
    pool_free(w->pool);
    loop_free(w->loop);
}

/* SO_REUSEPORT would let a second process of the same user share the port in silence and take
 * half of the connections. A plain bind tells whether somebody else is there. */
static enum status probe_port(const struct addr *where, bool v6only, int *err)
{
    union sockaddr_any sa;
    socklen_t len = sockaddr_from_addr(&sa, where);
    int on = 1, only = v6only, fd = socket(sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        *err = errno;
        return ST_E_IO;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (sa.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
    int rc = bind(fd, &sa.any, len);
    *err = errno;
    close(fd);
    if (rc == 0)
        return ST_OK;
    return *err == EADDRINUSE ? ST_E_BUSY : ST_E_IO;
}

static bool same_socket(const struct listener *l, const struct addr *where, bool v6only)
{
    return addr_equal(&l->where, where) && (where->family != ADDR_IP6 || l->v6only == v6only);
}

/* It is not of an address that the node has left. */
static bool is_wanted(const struct listener *l)
{
    const struct view_node *n = l->wn->view->node;
    for (unsigned i = 0; i < n->listen_count; i++)
        if (same_socket(l, &n->listen[i], n->listen_v6only))
            return true;
    return false;
}

static bool listens_on(const struct worker_node *wn, const struct addr *where)
{
    const struct view_node *v = wn->view->node;
    bool found = false;
    LIST_FOREACH(n, tmp, &wn->listeners) {
        struct listener *l = LISTENER_OF(n);
        if (!same_socket(l, where, v->listen_v6only))
            continue;
        listener_set_tfo(l, v->tfo);
        found = true;
    }
    return found;
}

/* Those of addresses that stay are never closed: what waits in the kernel's queue would be reset.
 */
static void drop_stale_listeners(struct worker_node *wn)
{
    LIST_FOREACH(n, tmp, &wn->listeners) {
        struct listener *l = LISTENER_OF(n);
        if (!is_wanted(l))
            drop_listener(l);
    }
}

/* The port is held by this node on another address, or by a node that is about to leave it: no
 * stranger, and the probe would take it for one. */
static bool port_is_ours(const struct worker_node *wn, const struct addr *where)
{
    const struct worker *w = wn->worker;
    for (unsigned i = 0; i < VIEW_NODES_MAX; i++) {
        if (w->nodes[i] == NULL)
            continue;
        LIST_FOREACH(n, tmp, &w->nodes[i]->listeners) {
            const struct listener *l = LISTENER_OF(n);
            if (l->where.port == where->port && (l->wn == wn || !is_wanted(l)))
                return true;
        }
    }
    return false;
}

/* One more listener on @where, @own_fd or (-1) a new socket. ST_OK, or as listener_open. */
static enum status add_listener(struct worker_node *wn, const struct addr *where, int own_fd,
                                int *err)
{
    const struct view_node *n = wn->view->node;
    struct listener *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        if (own_fd >= 0)
            close(own_fd);
        return ST_E_NOMEM;
    }
    enum status st = own_fd >= 0
                         ? listener_adopt(l, wn, where, n->listen_v6only, n->tfo, own_fd, err)
                         : listener_open(l, wn, where, n->listen_v6only, n->tfo, err);
    if (st == ST_OK)
        list_add_tail(&wn->listeners, &l->link);
    else
        free(l);
    return st;
}

/* Adds this worker's share of the sockets that an earlier process had there. One that cannot be
 * used is closed; a new one takes its place. */
static void take_handed(struct worker_node *wn, const struct addr *where)
{
    struct worker *w = wn->worker;
    const struct handoff_key key = {.where = *where, .v6only = wn->view->node->listen_v6only};
    int fd, err = 0;
    while (w->handoff != NULL &&
           (fd = handoff_take(w->handoff, &key, w->no, workers_count(w->all))) >= 0) {
        if (add_listener(wn, where, fd, &err) != ST_OK)
            log_line(w->log, LOG_WARNING, NULL, "a listening socket was lost: %s", strerror(err));
    }
}

/* ST_OK with one more listener, or as listener_open. */
static enum status open_one(struct worker_node *wn, const struct addr *where, int *err)
{
    take_handed(wn, where);
    if (listens_on(wn, where))
        return ST_OK;
    enum status st = wn->worker->no == 0 && !port_is_ours(wn, where)
                         ? probe_port(where, wn->view->node->listen_v6only, err)
                         : ST_OK;
    return st == ST_OK ? add_listener(wn, where, -1, err) : st;
}

/* What is new is opened before what is stale closes: a port that cannot be had leaves the node
 * where it is. */
static void open_listeners(struct worker_node *wn)
{
    struct worker *w = wn->worker;
    const struct view_node *n = wn->view->node;
    struct why why = {0};
    const struct addr *where = NULL;
    int err = 0;
    if (wn->removing || w->stopped)
        return;
    for (unsigned i = 0; i < n->listen_count && why.text == NULL; i++) {
        where = &n->listen[i];
        if (listens_on(wn, where))
            continue;
        enum status st = open_one(wn, where, &err);
        if (st != ST_OK)
            why_set(&why, st, "cannot listen", err);
    }
    if (why.text == NULL && !w->held) {
        enum status st = udp_service_sync(wn, &where, &err);
        if (st != ST_OK)
            why_set(&why, st, "cannot listen (UDP)", err);
    }
    if (why.text == NULL)
        drop_stale_listeners(wn);
    /* Only the first worker tries again: another that took the port before it would make its
     * probe fail for ever. */
    if (why.text && w->no == 0)
        loop_timer_in(w->loop, &wn->retry, RETRY_MS);
    else if (why.text)
        workers_retry_listeners(w, wn->view->node_no);
    else if (w->no == 0 && !w->held)
        workers_open_rest(w, wn->view->node_no);
    if (w->no == 0 || why.text)
        workers_tell_listening(w, wn->view->node_no, why, where);
}

static void retry_listeners(struct timer *t)
{
    open_listeners(LIST_ENTRY(t, struct worker_node, retry));
}

void worker_open_listeners(struct worker *w, uint32_t node_no)
{
    if (w->nodes[node_no])
        open_listeners(w->nodes[node_no]);
}

void worker_retry_listeners(struct worker *w, uint32_t node_no)
{
    struct worker_node *wn = w->nodes[node_no];
    if (wn && !wn->removing && !timer_armed(&wn->retry))
        loop_timer_in(w->loop, &wn->retry, RETRY_MS);
}

static void node_empty_check(struct worker *w, struct worker_node *wn)
{
    if (!wn->removing || !list_empty(&wn->sessions))
        return;
    uint32_t no = wn->view->node_no;
    node_free(w, wn);
    workers_tell_gone(w, no);
}

static void drain_over(struct timer *t)
{
    struct worker_node *wn = LIST_ENTRY(t, struct worker_node, drain);
    LIST_FOREACH(n, tmp, &wn->sessions)
        session_close(LIST_ENTRY(n, struct session, node), false);
    node_empty_check(wn->worker, wn);
}

/* Sessions hold the view that their layers' configurations belong to. Where only the users have
 * changed they move on to the new one, so that no list of users lives as long as the longest
 * session. */
static void repin_sessions(struct worker_node *wn, struct view *v)
{
    LIST_FOREACH(n, tmp, &wn->sessions) {
        struct session *s = LIST_ENTRY(n, struct session, node);
        if (s->view->node != v->node)
            continue;
        view_unref(s->view);
        s->view = view_ref(v);
        if (s->env.users)
            s->env.users = v->users;
    }
}

void worker_session_gone(struct worker_node *wn)
{
    /* Not at once: the caller may be walking the list, and the node goes with its last session. */
    if (wn->removing && list_empty(&wn->sessions))
        loop_timer_in(wn->worker->loop, &wn->drain, 0);
}

void worker_publish(struct worker *w, struct view *v)
{
    struct worker_node *wn = w->nodes[v->node_no];
    if (wn == NULL) {
        wn = calloc(1, sizeof(*wn));
        if (wn == NULL) {
            view_unref(v);
            struct why why = {ST_E_NOMEM, "no memory for the node", 0};
            workers_tell_listening(w, v->node_no, why, NULL);
            return;
        }
        wn->worker = w;
        wn->stats = &w->stats[v->node_no];
        list_init(&wn->sessions);
        list_init(&wn->listeners);
        timer_init(&wn->retry, retry_listeners);
        timer_init(&wn->drain, drain_over);
        w->nodes[v->node_no] = wn;
    }
    wn->removing = false;
    loop_timer_del(w->loop, &wn->drain);
    repin_sessions(wn, v);
    if (wn->view != NULL && wn->view->node != v->node)
        udp_service_reset(wn, v->node); /* flows of another configuration */
    view_unref(wn->view);
    wn->view = v;
    /* The first worker finds out whether the port is free; the others follow when it is. */
    if (w->no == 0)
        open_listeners(wn);
}

size_t worker_online(struct worker *w, uint32_t node_no, const struct user_rt *u,
                     struct plane_online *out, size_t max)
{
    struct worker_node *wn = w->nodes[node_no];
    uint64_t now = loop_now_ms(w->loop);

    if (wn == NULL)
        return 0;
    size_t n = udp_service_online(wn, u, out, max);
    LIST_FOREACH(l, tmp, &wn->sessions) {
        const struct session *s = LIST_ENTRY(l, struct session, node);
        if (s->user != u || n == max)
            continue;
        uint64_t idle = now > s->active_ms ? now - s->active_ms : 0;
        out[n] = (struct plane_online){.ip = s->info.peer, .idle_ms = idle};
        out[n++].ip.port = 0;
    }
    return n;
}

void worker_close_removed(struct worker *w, uint32_t node_no)
{
    struct worker_node *wn = w->nodes[node_no];
    if (wn == NULL)
        return;
    udp_service_close_removed(wn);
    LIST_FOREACH(n, tmp, &wn->sessions) {
        struct session *s = LIST_ENTRY(n, struct session, node);
        if (s->user && atomic_load_explicit(&s->user->removed, memory_order_relaxed))
            session_end(s);
    }
}

void worker_count_devices(struct worker *w, uint32_t node_no)
{
    struct worker_node *wn = w->nodes[node_no];
    if (wn == NULL)
        return;
    udp_service_count_devices(wn);
    LIST_FOREACH(n, tmp, &wn->sessions) {
        struct session *s = LIST_ENTRY(n, struct session, node);
        if (s->user == NULL || s->state == SESSION_FLUSHING)
            continue;
        claim_device_late(&s->claim, wn, s->user, &s->info.peer, s->active_ms);
        claim_stream_late(&s->claim, wn, s->user, s->active_ms);
    }
}

void worker_end_devices(struct worker *w, uint32_t node_no)
{
    struct worker_node *wn = w->nodes[node_no];
    if (wn == NULL)
        return;
    udp_service_end_devices(wn);
    LIST_FOREACH(n, tmp, &wn->sessions) {
        struct session *s = LIST_ENTRY(n, struct session, node);
        if (claim_is_out(&s->claim))
            session_end(s);
    }
}

void worker_remove(struct worker *w, uint32_t node_no, uint32_t drain_ms)
{
    struct worker_node *wn = w->nodes[node_no];
    if (wn == NULL) {
        workers_tell_gone(w, node_no);
        return;
    }
    wn->removing = true;
    close_listeners(wn);
    session_close_parked(wn);
    udp_service_close(wn);
    loop_timer_del(w->loop, &wn->retry);
    loop_timer_in(w->loop, &wn->drain, drain_ms);
    if (drain_ms == 0 || list_empty(&wn->sessions))
        drain_over(&wn->drain);
}

void worker_adopt(struct worker *w, uint32_t node_no, int fd, const struct addr *peer)
{
    if (w->nodes[node_no])
        session_accept(w->nodes[node_no], fd, peer);
    else
        close(fd);
}

static void stop_accepting(struct worker *w, void (*udp)(struct worker_node *))
{
    w->stopped = true;
    for (unsigned i = 0; i < VIEW_NODES_MAX; i++) {
        if (w->nodes[i] == NULL)
            continue;
        loop_timer_del(w->loop, &w->nodes[i]->retry);
        close_listeners(w->nodes[i]);
        udp(w->nodes[i]);
    }
}

void worker_stop_accepting(struct worker *w)
{
    stop_accepting(w, udp_service_stop);
}

void worker_yield(struct worker *w)
{
    stop_accepting(w, udp_service_close);
}

enum status worker_export(struct worker *w, struct handoff *into)
{
    enum status st = ST_OK;
    for (unsigned i = 0; i < VIEW_NODES_MAX && st == ST_OK; i++) {
        struct worker_node *wn = w->nodes[i];
        if (wn == NULL || wn->removing)
            continue;
        LIST_FOREACH(n, tmp, &wn->listeners) {
            const struct listener *l = LISTENER_OF(n);
            const struct handoff_key key = {.where = l->where, .v6only = l->v6only};
            if (st == ST_OK)
                st = handoff_add_copy(into, &key, l->watch.fd);
        }
        if (st == ST_OK)
            st = udp_service_export(wn, into);
    }
    return st;
}

void worker_release(struct worker *w)
{
    w->held = false;
    for (unsigned i = 0; i < VIEW_NODES_MAX; i++) {
        struct worker_node *wn = w->nodes[i];
        const struct addr *where = NULL;
        int err = 0;
        if (wn == NULL || wn->removing)
            continue;
        /* Now, before the rest of the sockets is closed. The first worker looks after what is
         * missing, and tells the others. */
        for (unsigned k = 0; k < wn->view->node->listen_count; k++)
            take_handed(wn, &wn->view->node->listen[k]);
        if (w->no == 0)
            open_listeners(wn);
        else if (udp_service_sync(wn, &where, &err) != ST_OK)
            workers_retry_listeners(w, i);
    }
    resume_listeners(w);
}

enum plane_presence worker_presence(const struct worker_node *wn, uint64_t active_ms)
{
    uint64_t quiet = loop_now_ms(wn->worker->loop) - active_ms;
    return quiet < wn->view->node->device_grace_s * UINT64_C(1000) ? PLANE_BUSY : PLANE_OPEN;
}

/* Open sessions count with what they moved since the last report, closed ones are in the table
 * already. One that is only being closed does not make its device one that is there: it may have
 * been refused for a limit. */
struct plane_alive *worker_take_alive(struct worker *w, uint32_t node_no, size_t *n)
{
    struct worker_node *wn = w->nodes[node_no];
    *n = 0;
    if (wn == NULL)
        return NULL;
    /* Who lost his place is not there any more, though he may not have moved a byte since. */
    worker_end_devices(w, node_no);
    LIST_FOREACH(node, tmp, &wn->sessions) {
        struct session *s = LIST_ENTRY(node, struct session, node);
        if (s->user == NULL || (s->state == SESSION_FLUSHING && s->unreported == 0))
            continue;
        alive_add(&wn->alive, s->user->uid, &s->info.peer, s->unreported,
                  worker_presence(wn, s->active_ms));
        s->unreported = 0;
    }
    udp_service_take_alive(wn);
    return alive_take(&wn->alive, n);
}
