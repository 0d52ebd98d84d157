/* Sessions whose client is a stream of a carrier (session/port.h): how they begin, and what is left
 * of them when the stream ends before they do. */
#include "session/port.h"
#include "session/relay.h"
#include "session/screen.h"
#include "session/session.h"
#include "session/worker.h"
#include "session/workers.h"
#include "session/xudp.h"

#define CUT_IDLE_MS  10000 /* for a target that does not take what the client sent before it left */
#define DISCARD_TURN (64u * 1024)
#define PARKED_MS    60000 /* Xray-core common/mux/server.go: 60 to 120 s */

static struct worker *worker_of(const struct session *s)
{
    return s->wn->worker;
}

struct session *session_spawn(struct session *carrier, struct port *port)
{
    struct worker_node *wn = carrier->wn;
    struct worker *w = wn->worker;
    struct session *s;

    if (!admission_stream(&w->admission))
        return NULL;
    s = pool_alloc(w->pool, sizeof(*s));
    if (s == NULL)
        goto refuse;
    session_init(s, wn, carrier->view);
    s->port = port;
    s->source = carrier->source;
    s->info.peer = carrier->info.peer;
    s->info.local = carrier->info.local;
    if (chain_init(&s->in, &s->env, NULL, 0) != ST_OK)
        goto refuse;
    s->in.no_half_close = true;
    s->state = SESSION_DIALING;
    worker_count(&wn->stats->accepted, 1);
    worker_count(&wn->stats->open, 1);
    list_add_tail(&wn->sessions, &s->node);
    return s;
refuse:
    admission_leave(&w->admission);
    if (s != NULL) {
        view_unref(s->view);
        pool_release(w->pool, s, sizeof(*s));
    }
    return NULL;
}

/* ---- flows that move ------------------------------------------------------------------------- */

/* A socket each, and nobody behind them: an eighth of the sessions at most. */
static bool too_many_parked(const struct worker *w)
{
    return w->parked_count > w->admission.sessions_max / 8;
}

bool session_may_move(const struct session *s)
{
    bool awaits = s->state == SESSION_DIALING && s->xudp != NULL && s->xudp->awaits;

    return s->cut == SESSION_NOT_CUT &&
           (s->state == SESSION_PACKETS || s->state == SESSION_PARKED || awaits);
}

bool session_park(struct session *s)
{
    struct worker *w = worker_of(s);

    if (s->xudp == NULL || s->wn->removing || !session_may_move(s) ||
        atomic_load_explicit(&s->user->removed, memory_order_relaxed))
        return false;
    s->port = NULL;
    if (s->udp != NULL)
        relay_packets_flush(s);
    if (screen_ended(s->screen))
        return false;
    bufq_clear(chain_bottom_in(&s->in), w->pool);
    s->up_paid = 0;
    screen_taken(s->screen, chain_up(&s->in));
    s->state = SESSION_PARKED;
    session_deadline(s, PARKED_MS);
    list_add_tail(&w->parked, &s->xudp->parked);
    w->parked_count++;
    if (too_many_parked(w))
        session_cut(LIST_ENTRY(w->parked.next, struct xudp, parked)->session, true);
    return true;
}

void session_close_parked(struct worker_node *wn)
{
    LIST_FOREACH(n, tmp, &wn->worker->parked) {
        struct session *s = LIST_ENTRY(n, struct xudp, parked)->session;
        if (s->wn == wn)
            session_close(s, false);
    }
}

void session_unpark(struct session *s)
{
    if (s->xudp == NULL || !list_linked(&s->xudp->parked))
        return;
    list_del(&s->xudp->parked);
    worker_of(s)->parked_count--;
}

void session_move(struct session *s, struct port *port)
{
    struct worker *w = worker_of(s);

    session_unpark(s);
    if (s->port != NULL)
        s->port->ops->close(s->port, false);
    s->port = port;
    /* What it has for the client, and room that it waited for, are the new stream's. */
    loop_task_add(w->loop, &s->task);
    if (s->state != SESSION_PARKED)
        return;
    s->state = s->udp != NULL ? SESSION_PACKETS : SESSION_DIALING;
    s->active_ms = loop_now_ms(w->loop);
    session_deadline(s, s->idle_ms);
}

/* ---- streams that were cut off --------------------------------------------------------------- */

void session_cut(struct session *s, bool reset)
{
    session_unpark(s);
    s->port = NULL;
    s->cut = reset ? SESSION_CUT_RESET : SESSION_CUT_ENDED;
    s->down_done = true;
    chain_bottom_in(&s->in)->eof = true;
    bufq_clear(chain_bottom_out(&s->in), worker_of(s)->pool);
    if (s->idle_ms > CUT_IDLE_MS)
        s->idle_ms = CUT_IDLE_MS;
    s->active_ms = loop_now_ms(worker_of(s)->loop);
    session_wake_by(s, s->active_ms + s->idle_ms);
    loop_task_add(worker_of(s)->loop, &s->task);
}

/* What the target still says is thrown away, uncounted: closing on it could destroy what it has not
 * read yet. False: it is gone. */
static bool discard(struct session *s)
{
    struct bufq waste;
    int err = 0;

    if (!s->target.readable)
        return true;
    bufq_init(&waste, UINT32_MAX);
    enum status st = conn_read(&s->target, &waste, DISCARD_TURN, worker_of(s)->pool, &err);
    bufq_clear(&waste, worker_of(s)->pool);
    if (st == ST_E_NOMEM)
        session_pause_for_memory(s);
    else if (s->target.readable)
        loop_task_add(worker_of(s)->loop, &s->task);
    return st >= 0 || st == ST_E_NOMEM;
}

/* The last bytes of a client that has left, to its target. */
static void relay_rest(struct session *s)
{
    struct worker *w = worker_of(s);
    struct bufq *up, *to = chain_down(&s->out);
    int err = 0;

    if (session_chain_run(s) < 0) {
        session_close(s, true);
        return;
    }
    up = chain_up(&s->in);
    if (up->head != NULL) {
        relay_count(s, up->bytes, 0);
        bufq_move(to, up);
    }
    if (to->head != NULL && s->target.writable &&
        conn_write(&s->target, to, w->pool, NULL, &err) < 0) {
        session_close(s, false);
        return;
    }
    if (to->head == NULL && !s->up_done) {
        s->up_done = true;
        conn_shutdown(&s->target);
        if (s->downlink_only_ms < s->idle_ms)
            s->idle_ms = s->downlink_only_ms;
        s->active_ms = loop_now_ms(w->loop);
        session_wake_by(s, s->active_ms + s->idle_ms);
    }
    if (!discard(s) || (s->up_done && s->target.eof))
        session_close(s, false);
}

bool session_run_cut(struct session *s)
{
    if (s->cut == SESSION_NOT_CUT)
        return false;
    bool opening = s->state == SESSION_DIALING || s->state == SESSION_SCREENING;
    bool nothing_to_bring = opening && chain_bottom_in(&s->in)->head == NULL;
    if (s->cut == SESSION_CUT_RESET || nothing_to_bring || s->state == SESSION_FLUSHING) {
        session_close(s, s->cut == SESSION_CUT_RESET);
        return true;
    }
    if (s->state != SESSION_RELAY)
        return false; /* it goes as far as it would anyway, then ends */
    relay_rest(s);
    return true;
}
