#include "session/xudp.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session/port.h"
#include "session/session.h"
#include "session/worker.h"
#include "session/workers.h"

#define STRIPES 64u
#define BUCKETS 64u /* of a stripe */

struct stripe {
    pthread_mutex_t lock;
    struct xudp *buckets[BUCKETS];
};

struct xudp_table {
    struct stripe stripes[STRIPES];
};

struct xudp_table *xudp_table_new(void)
{
    struct xudp_table *t = calloc(1, sizeof(*t));

    for (unsigned i = 0; t != NULL && i < STRIPES; i++)
        pthread_mutex_init(&t->stripes[i].lock, NULL);
    return t;
}

void xudp_table_free(struct xudp_table *t)
{
    for (unsigned i = 0; t != NULL && i < STRIPES; i++)
        pthread_mutex_destroy(&t->stripes[i].lock);
    free(t);
}

static struct stripe *stripe_of(struct xudp_table *t, const struct user_rt *user,
                                const uint8_t id[XUDP_ID_LEN], struct xudp ***bucket)
{
    uint64_t h;

    memcpy(&h, id, sizeof(h));
    h = (h ^ (uintptr_t)user) * 0x9e3779b97f4a7c15u;
    struct stripe *s = &t->stripes[h >> 58];
    *bucket = &s->buckets[(h >> 52) % BUCKETS];
    return s;
}

/* ---- under the lock -------------------------------------------------------------------------- */

static struct xudp **find(struct xudp **bucket, const struct user_rt *user,
                          const uint8_t id[XUDP_ID_LEN])
{
    while (*bucket != NULL &&
           ((*bucket)->user != user || memcmp((*bucket)->id, id, XUDP_ID_LEN) != 0))
        bucket = &(*bucket)->next;
    return bucket;
}

static void unlink_flow(struct xudp **place)
{
    struct xudp *x = *place;

    *place = x->next;
    x->linked = false;
}

/* ---- between workers ------------------------------------------------------------------------- */

/* Goes to the worker that has the flow, and back with its sockets. */
struct move {
    struct message msg;
    struct xudp *from, *to;
    unsigned to_worker;
    struct direct_udp_sockets sockets;
};

static void arrive(struct worker *w, struct move *m, bool running)
{
    struct xudp *x = m->to;
    struct session *s = x->session;

    x->awaits = false;
    if (s != NULL && running)
        session_flow_given(s, &m->sockets); /* may close it, and free @x */
    else
        direct_udp_sockets_close(&m->sockets);
    if (s == NULL)
        xudp_release(w, x);
    free(m);
}

static void on_given(struct message *msg, void *receiver)
{
    struct worker *w = receiver;

    arrive(w, (struct move *)(void *)msg, workers_running(w->all));
}

static void on_asked(struct message *msg, void *receiver)
{
    struct move *m = (struct move *)(void *)msg;
    struct worker *w = receiver;
    struct xudp *x = m->from;
    struct session *s = x->session;

    m->sockets.fd[0] = m->sockets.fd[1] = -1;
    if (s != NULL) {
        session_unpark(s);
        s->xudp = NULL;
        if (s->udp != NULL)
            direct_udp_take(s->udp, &m->sockets);
        s->udp = NULL;
        session_close(s, false); /* its stream, if it still has one, gets its End */
    }
    x->asked = false;
    x->session = NULL;
    if (!x->awaits)
        free(x);
    m->msg.fn = on_given;
    if (workers_running(w->all))
        mailbox_send(workers_get(w->all, m->to_worker)->mailbox, &m->msg);
    else
        arrive(w, m, false); /* the threads are gone, and perhaps that mailbox, too */
}

static void ask(struct worker *w, struct xudp *from, struct xudp *to, struct move *m)
{
    m->msg.fn = on_asked;
    m->from = from;
    m->to = to;
    m->to_worker = w->no;
    to->awaits = true;
    mailbox_send(workers_get(w->all, from->worker)->mailbox, &m->msg);
}

enum xudp_claim xudp_claim(struct worker *w, struct user_rt *user, const uint8_t id[XUDP_ID_LEN],
                           struct xudp **out)
{
    struct xudp *x = calloc(1, sizeof(*x)), *old = NULL, **bucket, **place;
    struct move *m = calloc(1, sizeof(*m));
    struct stripe *s = stripe_of(w->xudp, user, id, &bucket);
    enum xudp_claim answer = XUDP_NEW;

    *out = NULL;
    if (x == NULL || m == NULL)
        goto out;
    x->user = user;
    x->worker = w->no;
    memcpy(x->id, id, XUDP_ID_LEN);
    list_init(&x->parked);
    pthread_mutex_lock(&s->lock);
    place = find(bucket, user, id);
    old = *place;
    if (old != NULL && old->worker == w->no) {
        answer = XUDP_HERE;
    } else {
        if (old != NULL) {
            answer = XUDP_ELSEWHERE;
            unlink_flow(place);
            old->asked = true;
        }
        x->next = *bucket;
        x->linked = true;
        *bucket = x;
    }
    pthread_mutex_unlock(&s->lock);
    *out = answer == XUDP_HERE ? old : x;
    if (answer == XUDP_ELSEWHERE) {
        ask(w, old, x, m);
        m = NULL;
    }
out:
    if (*out != x)
        free(x);
    free(m);
    return answer;
}

void xudp_release(struct worker *w, struct xudp *x)
{
    struct xudp **bucket;
    struct stripe *s = stripe_of(w->xudp, x->user, x->id, &bucket);

    x->session = NULL;
    list_del(&x->parked);
    pthread_mutex_lock(&s->lock);
    if (x->linked)
        unlink_flow(find(bucket, x->user, x->id));
    bool asked = x->asked;
    pthread_mutex_unlock(&s->lock);
    if (!asked && !x->awaits)
        free(x);
}
