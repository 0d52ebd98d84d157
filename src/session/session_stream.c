/* Sessions whose client is a stream of a carrier (session/port.h): how they begin, and what is left
 * of them when the stream ends before they do. */
#include "session/port.h"
#include "session/session.h"
#include "session/worker.h"
#include "session/workers.h"

#define CUT_IDLE_MS  10000 /* for a target that does not take what the client sent before it left */
#define DISCARD_TURN (64u * 1024)

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

void session_cut(struct session *s, bool reset)
{
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
 * read yet. True: it has ended, or is gone. */
static bool discard(struct session *s)
{
    struct bufq waste;
    int err = 0;

    if (!s->target.readable)
        return false;
    bufq_init(&waste, UINT32_MAX);
    enum status st = conn_read(&s->target, &waste, DISCARD_TURN, worker_of(s)->pool, &err);
    bufq_clear(&waste, worker_of(s)->pool);
    if (st == ST_E_NOMEM)
        session_pause_for_memory(s);
    else if (s->target.readable)
        loop_task_add(worker_of(s)->loop, &s->task);
    return st == ST_EOF || (st < 0 && st != ST_E_NOMEM);
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
    if (discard(s))
        session_close(s, false);
}

bool session_run_cut(struct session *s)
{
    if (s->cut == SESSION_NOT_CUT)
        return false;
    bool nothing_to_bring = s->state == SESSION_DIALING && chain_bottom_in(&s->in)->head == NULL;
    if (s->cut == SESSION_CUT_RESET || nothing_to_bring || s->state == SESSION_FLUSHING) {
        session_close(s, s->cut == SESSION_CUT_RESET);
        return true;
    }
    if (s->state != SESSION_RELAY)
        return false; /* it goes as far as it would anyway, then ends */
    relay_rest(s);
    return true;
}
