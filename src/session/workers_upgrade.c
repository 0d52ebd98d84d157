/* What all workers do in an upgrade: the old process's give their listening sockets and stop, the
 * new one's begin. */
#include <stdlib.h>

#include "session/handoff.h"
#include "session/worker.h"
#include "session/workers.h"

/* Something for every worker to do. One thing moves from worker to worker: so nothing is shared,
 * and what a worker had sent to another before is there before the end is told. */
struct errand {
    struct message msg;
    struct workers *ws;
    void (*fn)(struct worker *w, struct handoff *h);
    struct handoff *handoff;
    void (*done)(void *arg);
    void *arg;
    unsigned next;
};

static void on_errand_done(struct message *msg, void *receiver)
{
    struct errand *e = (struct errand *)(void *)msg;
    (void)receiver;
    if (e->done)
        e->done(e->arg);
    free(e);
}

static void on_errand(struct message *msg, void *receiver)
{
    struct errand *e = (struct errand *)(void *)msg;
    e->fn(receiver, e->handoff);
    /* When the threads have ended the mailboxes go one by one. */
    if (++e->next < workers_count(e->ws) && workers_running(e->ws)) {
        mailbox_send(workers_get(e->ws, e->next)->mailbox, &e->msg);
        return;
    }
    e->msg.fn = on_errand_done;
    mailbox_send(workers_to_control(e->ws), &e->msg);
}

static void send_round(struct workers *ws, void (*fn)(struct worker *, struct handoff *),
                       struct handoff *h, void (*done)(void *arg), void *arg)
{
    struct errand *e = calloc(1, sizeof(*e));
    BUG_ON(e == NULL);
    *e = (struct errand){
        .msg.fn = on_errand, .ws = ws, .fn = fn, .handoff = h, .done = done, .arg = arg};
    mailbox_send(workers_get(ws, 0)->mailbox, &e->msg);
}

static void export_one(struct worker *w, struct handoff *h)
{
    loop_files_shared(w->loop, true);
    if (worker_export(w, h) != ST_OK)
        log_line(w->log, LOG_DEBUG, NULL, "the handoff is not whole");
}

void workers_export(struct workers *ws, struct handoff *into, void (*done)(void *arg), void *arg)
{
    send_round(ws, export_one, into, done, arg);
}

static void unshare_one(struct worker *w, struct handoff *h)
{
    (void)h;
    loop_files_shared(w->loop, false);
}

void workers_unshare(struct workers *ws)
{
    send_round(ws, unshare_one, NULL, NULL, NULL);
}

static void yield_one(struct worker *w, struct handoff *h)
{
    (void)h;
    worker_yield(w);
}

void workers_yield(struct workers *ws, void (*done)(void *arg), void *arg)
{
    send_round(ws, yield_one, NULL, done, arg);
}

static void release_one(struct worker *w, struct handoff *h)
{
    (void)h;
    worker_release(w);
}

static void close_rest(void *arg)
{
    handoff_close(arg);
}

void workers_release(struct workers *ws)
{
    send_round(ws, release_one, NULL, close_rest, workers_get(ws, 0)->handoff);
}
