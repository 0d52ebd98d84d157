/* The plane: turns the control thread's calls into messages, and what workers have to say into
 * calls of the sink. */
#include "session/workers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/limits.h"
#include "session/worker.h"
#include "session/workers_state.h"
#include "session/xudp.h"

#define HAND_OVER_MIN 100 /* thousandths of busyness below which nobody is worth relieving */

/* ---- messages into a worker ---- */

struct removed_users {
    atomic_uint pending; /* workers that have not closed them yet */
    size_t n;
    struct user_rt *users[];
};

struct node_message {
    struct message msg;
    struct view *view;
    struct removed_users *removed;
    uint32_t node_no, ms;
    int fd;
    struct addr peer;
};

static struct node_message *message_new(void (*fn)(struct message *, void *))
{
    struct node_message *m = calloc(1, sizeof(*m));
    /* The control plane cannot go on without its orders being carried out, nor can it say so to
     * anyone. */
    BUG_ON(m == NULL);
    m->msg.fn = fn;
    return m;
}

static void on_publish(struct message *msg, void *receiver)
{
    struct node_message *m = (struct node_message *)(void *)msg;
    struct worker *w = receiver;
    worker_publish(w, m->view);
    if (m->removed) {
        worker_close_removed(w, m->node_no);
        if (atomic_fetch_sub(&m->removed->pending, 1) == 1) {
            for (size_t i = 0; i < m->removed->n; i++)
                workers_user_unref(w->all, m->removed->users[i]);
            free(m->removed);
        }
    }
    free(m);
}

static void plane_publish(void *self, struct view *v, struct user_rt *const *removed, size_t n)
{
    struct workers *ws = self;
    struct removed_users *list = NULL;
    ws->gone_pending[v->node_no] = 0;
    if (n > 0) {
        list = malloc(sizeof(*list) + n * sizeof(removed[0]));
        BUG_ON(list == NULL);
        atomic_init(&list->pending, ws->running);
        list->n = n;
        memcpy(list->users, removed, n * sizeof(removed[0]));
        for (size_t i = 0; i < n; i++)
            atomic_store_explicit(&removed[i]->removed, true, memory_order_relaxed);
    }
    /* The first worker last: it opens the port, and may hand a connection to any of the others. */
    for (unsigned i = ws->running; i-- > 0;) {
        struct node_message *m = message_new(on_publish);
        m->view = view_ref(v);
        m->node_no = v->node_no;
        m->removed = list;
        mailbox_send(ws->list[i]->mailbox, &m->msg);
    }
    view_unref(v);
}

static void on_remove(struct message *msg, void *receiver)
{
    struct node_message *m = (struct node_message *)(void *)msg;
    worker_remove(receiver, m->node_no, m->ms);
    free(m);
}

static void plane_remove(void *self, uint32_t node_no, uint32_t drain_ms)
{
    struct workers *ws = self;
    ws->gone_pending[node_no] = ws->running;
    for (unsigned i = 0; i < ws->running; i++) {
        struct node_message *m = message_new(on_remove);
        m->node_no = node_no;
        m->ms = drain_ms;
        mailbox_send(ws->list[i]->mailbox, &m->msg);
    }
}

static void on_close_removed(struct message *msg, void *receiver)
{
    struct node_message *m = (struct node_message *)(void *)msg;
    worker_close_removed(receiver, m->node_no);
    free(m);
}

static void plane_close_removed(void *self, uint32_t node_no)
{
    struct workers *ws = self;
    for (unsigned i = 0; i < ws->running; i++) {
        struct node_message *m = message_new(on_close_removed);
        m->node_no = node_no;
        mailbox_send(ws->list[i]->mailbox, &m->msg);
    }
}

static void on_open_rest(struct message *msg, void *receiver)
{
    struct node_message *m = (struct node_message *)(void *)msg;
    worker_open_listeners(receiver, m->node_no);
    free(m);
}

void workers_open_rest(struct worker *first, uint32_t node_no)
{
    struct workers *ws = first->all;
    for (unsigned i = 0; i < ws->running; i++) {
        if (ws->list[i] == first)
            continue;
        struct node_message *m = message_new(on_open_rest);
        m->node_no = node_no;
        mailbox_send(ws->list[i]->mailbox, &m->msg);
    }
}

static void on_retry_listeners(struct message *msg, void *receiver)
{
    struct node_message *m = (struct node_message *)(void *)msg;
    worker_retry_listeners(receiver, m->node_no);
    free(m);
}

void workers_retry_listeners(struct worker *w, uint32_t node_no)
{
    if (w->all->running == 0)
        return; /* the end: mailboxes deliver what is left, the threads are gone */
    struct node_message *m = message_new(on_retry_listeners);
    m->node_no = node_no;
    mailbox_send(w->all->list[0]->mailbox, &m->msg);
}

static void on_adopt(struct message *msg, void *receiver)
{
    struct node_message *m = (struct node_message *)(void *)msg;
    worker_adopt(receiver, m->node_no, m->fd, &m->peer);
    free(m);
}

bool workers_hand_over(struct worker *from, uint32_t node_no, int fd, const struct addr *peer)
{
    struct workers *ws = from->all;
    unsigned mine = loop_busy(from->loop), least = mine;
    if (ws->running < 2 || mine < HAND_OVER_MIN)
        return false;
    struct worker *to = from;
    for (unsigned i = 0; i < ws->running; i++) {
        unsigned busy = loop_busy(ws->list[i]->loop);
        if (busy < least) {
            least = busy;
            to = ws->list[i];
        }
    }
    if (to == from || mine <= least + least / 4 + HAND_OVER_MIN)
        return false;
    struct node_message *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return false;
    m->msg.fn = on_adopt;
    m->node_no = node_no;
    m->fd = fd;
    m->peer = *peer;
    mailbox_send(to->mailbox, &m->msg);
    return true;
}

/* ---- messages to the control thread ---- */

struct told {
    struct message msg;
    uint32_t node_no;
    struct why why;
    struct addr where;
    struct user_rt *user;
    bool has_where;
    unsigned worker;
};

static void on_user_released(struct message *msg, void *receiver)
{
    struct told *t = (struct told *)(void *)msg;
    struct workers *ws = receiver;
    ws->conf.sink->user_released(ws->conf.sink->self, t->user);
    free(t);
}

unsigned workers_count(const struct workers *ws)
{
    return ws->made;
}

void workers_user_unref(struct workers *ws, struct user_rt *u)
{
    if (!user_unref(u))
        return;
    struct told *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return; /* his slot stays taken until the next start; nothing is lost */
    t->msg.fn = on_user_released;
    t->user = u;
    mailbox_send(ws->to_control, &t->msg);
}

static void on_listening(struct message *msg, void *receiver)
{
    struct told *t = (struct told *)(void *)msg;
    struct workers *ws = receiver;
    ws->conf.sink->listening(ws->conf.sink->self, t->node_no, t->why,
                             t->has_where ? &t->where : NULL);
    free(t);
}

void workers_tell_listening(struct worker *w, uint32_t node_no, struct why why,
                            const struct addr *where)
{
    struct told *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return;
    t->msg.fn = on_listening;
    t->node_no = node_no;
    t->why = why;
    if (where) {
        t->where = *where;
        t->has_where = true;
    }
    mailbox_send(w->all->to_control, &t->msg);
}

static void on_gone(struct message *msg, void *receiver)
{
    struct told *t = (struct told *)(void *)msg;
    struct workers *ws = receiver;
    unsigned *left = &ws->gone_pending[t->node_no];
    if (*left > 0 && --*left == 0)
        ws->conf.sink->node_gone(ws->conf.sink->self, t->node_no);
    free(t);
}

void workers_tell_gone(struct worker *w, uint32_t node_no)
{
    struct told *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return;
    t->msg.fn = on_gone;
    t->node_no = node_no;
    mailbox_send(w->all->to_control, &t->msg);
}

static void on_streams(struct message *msg, void *receiver)
{
    struct told *t = (struct told *)(void *)msg;
    struct workers *ws = receiver;
    ws->conf.sink->streams_taken(ws->conf.sink->self, t->user);
    workers_user_unref(ws, t->user);
    free(t);
}

void workers_tell_streams(struct worker *w, struct user_rt *u)
{
    struct told *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return; /* the next look at him tells */
    t->msg.fn = on_streams;
    t->user = u;
    user_ref(u);
    mailbox_send(w->all->to_control, &t->msg);
}

static void plane_allow_streams(void *self, struct user_rt *u, const uint32_t allowed[CONN_CLASSES])
{
    const struct workers *ws = self;
    limits_allow_streams(u, allowed, loop_now_ms(ws->conf.control));
}

void workers_plane(struct workers *ws, struct plane *plane)
{
    *plane = (struct plane){.self = ws,
                            .workers = ws->conf.count,
                            .publish = plane_publish,
                            .remove = plane_remove,
                            .close_removed = plane_close_removed,
                            .collect_alive = workers_plane_collect_alive,
                            .collect_online = workers_plane_collect_online,
                            .count_devices = workers_plane_count_devices,
                            .end_devices = workers_plane_end_devices,
                            .allow_streams = plane_allow_streams,
                            .stats = workers_plane_stats,
                            .worker = workers_plane_worker,
                            .causes = workers_plane_causes};
}

struct worker *workers_get(struct workers *ws, unsigned no)
{
    return ws->list[no];
}

struct mailbox *workers_to_control(struct workers *ws)
{
    return ws->to_control;
}

bool workers_running(const struct workers *ws)
{
    return ws->running > 0;
}

void workers_log_overload(struct worker *w)
{
    if (worker_may_log(w))
        log_line(
            w->log, LOG_WARNING, NULL,
            "worker %u is at its limit of %zu connections: new ones wait in the kernel's queue",
            w->no, w->admission.sessions_max);
}

/* ---- life ---- */

static void *thread_main(void *arg)
{
    struct worker *w = arg;
    char name[16];
    snprintf(name, sizeof(name), "v2sp-worker-%u", w->no % 100);
    pthread_setname_np(pthread_self(), name);
    loop_run(w->loop);
    return NULL;
}

static enum status start_thread(struct worker *w)
{
    /* Signals belong to the control thread. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&w->thread, NULL, thread_main, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc == 0 ? ST_OK : ST_E_IO;
}

static enum status make_worker(struct workers *ws, unsigned i)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return ST_E_NOMEM;
    ws->list[ws->made++] = w;
    w->no = i;
    w->all = ws;
    w->xudp = ws->xudp;
    w->rng = ws->conf.rngs[i];
    w->crypto = ws->conf.cryptos[i];
    w->meter = ws->conf.meters[i];
    w->log = ws->conf.log;
    w->access = ws->conf.access;
    w->name_servers = ws->conf.name_servers;
    w->handoff = ws->conf.handoff;
    w->held = w->handoff != NULL;
    return worker_init(w, ws->conf.memory_budget / ws->conf.count,
                       ws->conf.sessions_max / ws->conf.count);
}

enum status workers_new(const struct workers_conf *conf, struct workers **out)
{
    BUG_ON(conf->count == 0 || conf->count > WORKERS_MAX);
    struct workers *ws = calloc(1, sizeof(*ws));
    if (ws == NULL)
        return ST_E_NOMEM;
    ws->conf = *conf;
    enum status st = ST_OK;
    ws->to_control = mailbox_new(conf->control, ws);
    if (ws->to_control == NULL)
        st = ST_E_IO;
    ws->xudp = xudp_table_new();
    if (ws->xudp == NULL)
        st = ST_E_NOMEM;
    for (unsigned i = 0; i < conf->count && st == ST_OK; i++)
        st = make_worker(ws, i);
    for (unsigned i = 0; i < conf->count && st == ST_OK; i++) {
        st = start_thread(ws->list[i]);
        if (st == ST_OK)
            ws->running++;
    }
    if (st != ST_OK) {
        workers_free(ws);
        return st;
    }
    *out = ws;
    return ST_OK;
}

static void on_stop_accepting(struct message *msg, void *receiver)
{
    worker_stop_accepting(receiver);
    free((struct node_message *)(void *)msg);
}

void workers_stop_accepting(struct workers *ws)
{
    for (unsigned i = 0; i < ws->running; i++)
        mailbox_send(ws->list[i]->mailbox, &message_new(on_stop_accepting)->msg);
}

static void on_stop(struct message *msg, void *receiver)
{
    loop_stop(((struct worker *)receiver)->loop);
    free((struct node_message *)(void *)msg);
}

void workers_free(struct workers *ws)
{
    if (ws == NULL)
        return;
    for (unsigned i = 0; i < ws->running; i++)
        mailbox_send(ws->list[i]->mailbox, &message_new(on_stop)->msg);
    for (unsigned i = 0; i < ws->running; i++)
        pthread_join(ws->list[i]->thread, NULL);
    ws->running = 0;
    for (unsigned i = 0; i < ws->made; i++) {
        worker_fini(ws->list[i]);
        free(ws->list[i]);
    }
    xudp_table_free(ws->xudp);
    mailbox_free(ws->to_control);
    free(ws);
}
