/* The second stream a layer may ask for while it shakes hands (stream/aux.h): REALITY's
 * connection to the server it stands in for. It is dialed with the session's own target
 * connection, which is free until there is a request; so when the layer says ADOPT the relay
 * begins where it stands. */
#include "codec/proxy_header.h"
#include "io/dial.h"
#include "io/sockaddr.h"
#include "session/session.h"
#include "session/worker.h"

static struct worker *worker_of(const struct session *s)
{
    return s->wn->worker;
}

enum status session_aux_init(struct session *s, const struct view_node *n)
{
    bool asked = false;
    for (unsigned i = 0; i < n->stage_count; i++)
        asked |= (n->stages[i].ops->flags & LAYER_ASKS) != 0;
    if (!asked)
        return ST_OK;
    s->env.aux = pool_alloc(worker_of(s)->pool, sizeof(*s->env.aux));
    if (s->env.aux == NULL)
        return ST_E_NOMEM;
    aux_init(s->env.aux);
    return ST_OK;
}

void session_aux_free(struct session *s)
{
    if (s->env.aux == NULL)
        return;
    aux_clear(s->env.aux, worker_of(s)->pool);
    pool_release(worker_of(s)->pool, s->env.aux, sizeof(*s->env.aux));
    s->env.aux = NULL;
}

/* In front of what the layer has queued already. */
static bool put_proxy_header(struct session *s, uint8_t xver)
{
    if (xver == 0)
        return true;
    struct span *sp = span_new_small(worker_of(s)->pool);
    if (sp == NULL)
        return false;
    if (s->info.local.family == ADDR_NONE)
        sockaddr_local(s->client.watch.fd, &s->info.local);
    sp->len = (uint32_t)proxy_header_build(span_data(sp), xver, &s->info.peer, &s->info.local);
    bufq_unshift(&s->env.aux->out, sp);
    return true;
}

static void on_aux(struct conn *c)
{
    struct session *s = LIST_ENTRY(c, struct session, target);
    if (c->connecting) {
        int err = 0;
        enum status st = conn_connected(c, &err);
        if (st == ST_MORE)
            return;
        s->env.aux->open = st == ST_OK;
        s->env.aux->failed = st != ST_OK;
    }
    session_run(s);
}

static void take_fd(struct session *s, int fd, bool connected)
{
    struct aux *x = s->env.aux;
    if (conn_open(&s->target, worker_of(s)->loop, fd, !connected, on_aux) != ST_OK)
        x->failed = true;
    else
        x->open = connected;
}

static void on_aux_dialed(struct direct_dial *h, const struct direct_result *r)
{
    struct session *s = LIST_ENTRY(h, struct session, dial);
    if (s->env.aux == NULL) {
        session_dialed(s, r); /* adopted meanwhile: an ordinary target by now */
        return;
    }
    if (r->status == ST_OK)
        take_fd(s, r->fd, r->connected);
    else
        s->env.aux->failed = true;
    session_run(s);
}

/* Dials what the layer asked for. Its answer, also a failure, is in the aux at the next
 * chain_run. */
static void ask(struct session *s, const struct aux_dest *dest)
{
    struct aux *x = s->env.aux;
    struct direct_conf conf = {.allow_private = true};
    struct direct_result now;
    struct dial_result unix_now;
    x->dest = dest;
    if (!put_proxy_header(s, dest->xver)) {
        x->failed = true;
    } else if (dest->path) {
        if (dial_unix(dest->path, dest->padded, &unix_now) == ST_OK)
            take_fd(s, unix_now.fd, true);
        else
            x->failed = true;
    } else {
        enum status st = direct_dial_start(&s->dial, &worker_of(s)->out, &conf, &dest->target,
                                           on_aux_dialed, &now);
        if (st == ST_OK)
            take_fd(s, now.fd, now.connected);
        else if (st != ST_MORE)
            x->failed = true;
    }
}

bool session_aux_read(struct session *s)
{
    struct aux *x = s->env.aux;
    int err = 0;
    if (x == NULL || !x->open || !s->target.readable || x->in.eof || bufq_room(&x->in) == 0)
        return false;
    enum status st = conn_read(&s->target, &x->in, bufq_room(&x->in), worker_of(s)->pool, &err);
    if (st == ST_E_NOMEM)
        session_pause_for_memory(s);
    else if (st < 0)
        x->failed = x->in.eof = true;
    else if (st == ST_EOF)
        x->in.eof = true;
    return st == ST_OK || st == ST_EOF;
}

void session_aux_after(struct session *s, uint32_t seen, const struct aux_dest *dest)
{
    struct aux *x = s->env.aux;
    int err = 0;
    if (x == NULL)
        return;
    bool failed = x->failed;
    if (seen & EV_ASK)
        ask(s, dest);
    if (seen & EV_AUX_DONE) {
        if (x->late)
            session_deadline(s, s->view->node->timeouts.handshake);
        direct_dial_cancel(&s->dial);
        conn_close(&s->target, false);
        session_aux_free(s);
        return;
    }
    bool full = bufq_room(&x->out) == 0;
    if (x->open && x->out.head && s->target.writable &&
        conn_write(&s->target, &x->out, worker_of(s)->pool, NULL, &err) < 0)
        x->failed = true;
    /* What changed after the layers ran, they must hear of. */
    if (x->failed != failed || (full && bufq_room(&x->out) > 0) ||
        (x->open && s->target.readable && bufq_room(&x->in) > 0))
        loop_task_add(worker_of(s)->loop, &s->task);
}
