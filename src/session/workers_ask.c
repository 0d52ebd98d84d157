/* Questions that the control thread asks all workers of: each answers in its own turn, the last
 * answer is the whole. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "io/mailbox.h"
#include "session/worker.h"
#include "session/workers_state.h"

/* ---- alive reports: one list a worker, put together when the last has come ---- */

struct alive_report {
    struct workers *ws;
    uint32_t node_no;
    unsigned pending;
    struct plane_alive *list;
    size_t n;
};

struct alive_part {
    struct message msg;
    struct alive_report *report;
    struct plane_alive *list;
    size_t n;
};

static void on_alive_part(struct message *msg, void *receiver)
{
    struct alive_part *part = (struct alive_part *)(void *)msg;
    struct workers *ws = receiver;
    struct alive_report *r = part->report;
    if (part->n > 0) {
        struct plane_alive *all = realloc(r->list, (r->n + part->n) * sizeof(*all));
        if (all) {
            memcpy(all + r->n, part->list, part->n * sizeof(*all));
            r->list = all;
            r->n += part->n;
        }
    }
    free(part->list);
    free(part);
    if (--r->pending > 0)
        return;
    ws->conf.sink->alive(ws->conf.sink->self, r->node_no, r->list, r->n);
    free(r->list);
    free(r);
}

static void on_collect(struct message *msg, void *receiver)
{
    struct alive_part *part = (struct alive_part *)(void *)msg;
    struct worker *w = receiver;
    part->list = worker_take_alive(w, part->report->node_no, &part->n);
    part->msg.fn = on_alive_part;
    mailbox_send(w->all->to_control, &part->msg);
}

void workers_plane_collect_alive(void *self, uint32_t node_no)
{
    struct workers *ws = self;
    struct alive_report *r = calloc(1, sizeof(*r));
    BUG_ON(r == NULL);
    *r = (struct alive_report){.ws = ws, .node_no = node_no, .pending = ws->running};
    for (unsigned i = 0; i < ws->running; i++) {
        struct alive_part *part = calloc(1, sizeof(*part));
        BUG_ON(part == NULL);
        part->report = r;
        part->msg.fn = on_collect;
        mailbox_send(ws->list[i]->mailbox, &part->msg);
    }
}

/* ---- devices: counted on all workers before anybody is judged ---- */

struct devices_message {
    struct message msg;
    atomic_uint *pending; /* workers that have not counted yet; NULL: sessions are ended */
    uint32_t node_no;
};

/* All have counted: the last one's message goes on to the control thread. */
static void on_devices_counted(struct message *msg, void *receiver)
{
    struct devices_message *m = (struct devices_message *)(void *)msg;
    struct workers *ws = receiver;
    ws->conf.sink->devices_counted(ws->conf.sink->self, m->node_no);
    free(m);
}

static void on_devices(struct message *msg, void *receiver)
{
    struct devices_message *m = (struct devices_message *)(void *)msg;
    struct worker *w = receiver;
    if (m->pending == NULL)
        worker_end_devices(w, m->node_no);
    else
        worker_count_devices(w, m->node_no);
    if (m->pending == NULL || atomic_fetch_sub(m->pending, 1) > 1) {
        free(m);
        return;
    }
    free(m->pending);
    m->msg.fn = on_devices_counted;
    mailbox_send(w->all->to_control, &m->msg);
}

static void send_devices(struct workers *ws, uint32_t node_no, atomic_uint *pending)
{
    for (unsigned i = 0; i < ws->running; i++) {
        struct devices_message *m = calloc(1, sizeof(*m));
        BUG_ON(m == NULL);
        *m = (struct devices_message){{.fn = on_devices}, pending, node_no};
        mailbox_send(ws->list[i]->mailbox, &m->msg);
    }
}

void workers_plane_count_devices(void *self, uint32_t node_no)
{
    struct workers *ws = self;
    if (ws->running == 0)
        return;
    atomic_uint *pending = malloc(sizeof(*pending));
    BUG_ON(pending == NULL);
    atomic_init(pending, ws->running);
    send_devices(ws, node_no, pending);
}

void workers_plane_end_devices(void *self, uint32_t node_no)
{
    send_devices(self, node_no, NULL);
}

/* ---- who is online: as above, for one user, and nothing is taken ---- */

struct online_report {
    void (*done)(void *arg, const struct plane_online *list, size_t n);
    void *arg;
    const struct user_rt *user;
    uint32_t node_no;
    unsigned pending;
    size_t n;
    struct plane_online list[PLANE_ONLINE_MAX];
};

struct online_part {
    struct message msg;
    struct online_report *report;
    size_t n;
    struct plane_online list[PLANE_ONLINE_MAX];
};

static void add_online(struct online_report *r, const struct plane_online *o)
{
    for (size_t i = 0; i < r->n; i++) {
        if (!addr_ip_equal(&r->list[i].ip, &o->ip))
            continue;
        if (o->idle_ms < r->list[i].idle_ms)
            r->list[i].idle_ms = o->idle_ms;
        return;
    }
    if (r->n < PLANE_ONLINE_MAX)
        r->list[r->n++] = *o;
}

static void end_online(struct online_report *r)
{
    r->done(r->arg, r->list, r->n);
    free(r);
}

static void on_online_part(struct message *msg, void *receiver)
{
    struct online_part *part = (struct online_part *)(void *)msg;
    struct online_report *r = part->report;

    (void)receiver;
    for (size_t i = 0; i < part->n; i++)
        add_online(r, &part->list[i]);
    free(part);
    if (--r->pending == 0)
        end_online(r);
}

static void on_collect_online(struct message *msg, void *receiver)
{
    struct online_part *part = (struct online_part *)(void *)msg;
    struct worker *w = receiver;

    part->n =
        worker_online(w, part->report->node_no, part->report->user, part->list, PLANE_ONLINE_MAX);
    part->msg.fn = on_online_part;
    mailbox_send(w->all->to_control, &part->msg);
}

void workers_plane_collect_online(void *self, uint32_t node_no, const struct user_rt *u,
                                  void (*done)(void *arg, const struct plane_online *list,
                                               size_t n),
                                  void *arg)
{
    struct workers *ws = self;
    struct online_report *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        done(arg, NULL, 0);
        return;
    }
    *r = (struct online_report){.done = done, .arg = arg, .user = u, .node_no = node_no};
    r->pending = 1; /* until all have been asked */
    for (unsigned i = 0; i < ws->running; i++) {
        struct online_part *part = calloc(1, sizeof(*part));
        if (part == NULL)
            continue;
        part->report = r;
        part->msg.fn = on_collect_online;
        r->pending++;
        mailbox_send(ws->list[i]->mailbox, &part->msg);
    }
    if (--r->pending == 0)
        end_online(r);
}
