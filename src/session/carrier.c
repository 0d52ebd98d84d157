#include "session/carrier.h"

#include "proto/mux/mux.h"
#include "session/port.h"
#include "session/worker.h"
#include "session/xudp.h"

#define READ_TURN   (64u * 1024)
#define EVENTS_TURN 256           /* frames, before others run */
#define OUT_CAP     (128u * 1024) /* frames for the client that are not written yet */
/* Beyond it sessions stop reading from their targets. */
#define DOWN_MAX    (512u * 1024)
#define WRITES_TURN 16
#define GRANT       (32u * 1024) /* room there must be for each session that is woken to read */

struct carrier {
    struct mux mux;
    struct session *s;
    struct list waiting; /* streams whose sessions wait for room */
    bool datagrams_only;
    bool had_streams; /* since the last tick */
};

/* Exists until its End has gone out; its session may go before. */
struct stream {
    struct mux_stream mux;
    struct port port; /* port.session NULL: gone */
    struct carrier *carrier;
    struct list waiting;
};

static struct worker *worker_of(const struct session *s)
{
    return s->wn->worker;
}

static struct stream *of_mux(struct mux_stream *m)
{
    return LIST_ENTRY(m, struct stream, mux);
}

static struct stream *of_port(struct port *p)
{
    return LIST_ENTRY(p, struct stream, port);
}

static void run_soon(struct session *s)
{
    loop_task_add(worker_of(s)->loop, &s->task);
}

/* ---- a stream, seen from its session --------------------------------------------------------- */

/* Answers of a first target that was asked for by name bear the name, as Xray-core's do. */
static void label(struct stream *st)
{
    const struct session *s = st->port.session;

    if (st->mux.name != NULL || s->udp == NULL || s->target_name == NULL ||
        direct_udp_target(s->udp)->family == ADDR_NONE)
        return;
    st->mux.name = s->target_name;
    st->mux.from = *direct_udp_target(s->udp);
}

static void port_moved(struct port *p)
{
    struct stream *st = of_port(p);
    struct carrier *c = st->carrier;

    label(st);
    if (mux_taken(&c->mux, &st->mux))
        run_soon(c->s);
    if (st->mux.down->head != NULL) {
        mux_pushed(&c->mux, &st->mux);
        run_soon(c->s);
    }
}

static size_t room_of(const struct carrier *c)
{
    size_t used = c->mux.down_queued + chain_queued(&c->s->in, CHAIN_TX);

    return used < DOWN_MAX ? DOWN_MAX - used : 0;
}

static size_t port_room(struct port *p)
{
    struct stream *st = of_port(p);
    size_t room = room_of(st->carrier);

    if (room == 0 && !list_linked(&st->waiting))
        list_add_tail(&st->carrier->waiting, &st->waiting);
    return room;
}

static void port_close(struct port *p, bool failed)
{
    struct stream *st = of_port(p);

    p->session = NULL;
    st->mux.name = NULL;
    list_del(&st->waiting);
    mux_close(&st->carrier->mux, &st->mux, failed);
    run_soon(st->carrier->s);
}

static const struct port_ops stream_ops = {
    .moved = port_moved,
    .room = port_room,
    .close = port_close,
};

/* ---- streams come and go --------------------------------------------------------------------- */

/* Not in the mux any more. */
static void stream_free(struct stream *st)
{
    struct pool *pool = st->carrier->mux.pool;

    list_del(&st->waiting);
    pool_release(pool, st, sizeof(*st));
}

static void cut_off(struct stream *st, bool reset)
{
    if (st->port.session != NULL && !session_park(st->port.session))
        session_cut(st->port.session, reset);
    stream_free(st);
}

/* A stream with a new session, or with a flow that comes from elsewhere. */
static struct stream *stream_new(struct carrier *c, struct session *flow)
{
    struct stream *st;

    /* Also while the node drains: the client opens it nowhere else, but ends the visit (Xray-core
     * common/mux/client.go). */
    if (c->mux.count >= CARRIER_STREAMS_MAX)
        return NULL;
    st = pool_alloc(c->mux.pool, sizeof(*st));
    if (st == NULL)
        return NULL;
    st->carrier = c;
    st->port.ops = &stream_ops;
    list_init(&st->waiting);
    st->port.session = flow != NULL ? flow : session_spawn(c->s, &st->port);
    if (st->port.session == NULL) {
        stream_free(st);
        return NULL;
    }
    if (flow != NULL)
        session_move(flow, &st->port);
    st->mux.up = chain_bottom_in(&st->port.session->in);
    st->mux.down = chain_bottom_out(&st->port.session->in);
    return st;
}

/* As xudp_claim, but a flow that is ending already is none. */
static enum xudp_claim claim_flow(struct worker *w, struct user_rt *user, const uint8_t *id,
                                  struct xudp **x)
{
    enum xudp_claim claim = xudp_claim(w, user, id, x);

    if (claim != XUDP_HERE || session_may_move((*x)->session))
        return claim;
    (*x)->session->xudp = NULL;
    xudp_release(w, *x);
    return xudp_claim(w, user, id, x);
}

/* ST_OK, or an error that ends the carrier. */
static enum status open_stream(struct carrier *c, const struct mux_frame *f, struct why *why)
{
    struct session *s = c->s;
    struct xudp *x = NULL;
    enum xudp_claim claim = XUDP_NEW;
    struct stream *st;

    if (c->datagrams_only && f->network != MUX_UDP)
        return why_set(why, ST_E_PROTO, "mux: a TCP stream where the flow allows UDP only", 0);
    c->had_streams = true;
    if (f->has_global)
        claim = claim_flow(worker_of(s), s->user, f->global_id, &x);
    st = stream_new(c, claim == XUDP_HERE ? x->session : NULL);
    if (st == NULL && x != NULL && claim != XUDP_HERE)
        xudp_release(worker_of(s), x);
    if (st == NULL)
        return mux_refuse(&c->mux, f, chain_down(&s->in));
    mux_add(&c->mux, &st->mux, f, claim != XUDP_NEW);
    if (claim == XUDP_HERE)
        return ST_OK;
    st->port.session->xudp = x;
    if (x != NULL)
        x->session = st->port.session;
    const struct request req = {
        .network = f->network == MUX_UDP ? NETWORK_UDP : NETWORK_TCP,
        .target = f->target,
        .user = s->user,
    };
    if (claim == XUDP_ELSEWHERE)
        session_request_moved(st->port.session, &req);
    else
        session_request(st->port.session, &req);
    return ST_OK;
}

static enum status take_event(struct carrier *c, const struct mux_event *ev, struct why *why)
{
    struct stream *st = ev->stream != NULL ? of_mux(ev->stream) : NULL;

    switch (ev->kind) {
    case MUX_EV_OPEN:
        return open_stream(c, &ev->open, why);
    case MUX_EV_DATA:
        run_soon(st->port.session);
        break;
    case MUX_EV_ENDED:
        cut_off(st, false);
        break;
    case MUX_EV_REPLACED:
        cut_off(st, true);
        break;
    }
    return ST_OK;
}

/* ---- the carrier ----------------------------------------------------------------------------- */

void carrier_begin(struct session *s, bool datagrams_only)
{
    struct worker *w = worker_of(s);

    s->carrier = pool_alloc(w->pool, sizeof(*s->carrier));
    if (s->carrier == NULL) {
        struct why why = {ST_E_NOMEM, "no memory for a carrier", 0};
        session_give_up(s, &why);
        return;
    }
    mux_init(&s->carrier->mux, w->pool);
    list_init(&s->carrier->waiting);
    s->carrier->s = s;
    s->carrier->datagrams_only = datagrams_only;
    s->carrier->had_streams = true;
    conn_info_clear(w->pool, &s->info);
    s->env.users = NULL;
    chain_down(&s->in)->cap = OUT_CAP;
    s->state = SESSION_CARRIER;
    session_deadline(s, CARRIER_TICK_MS);
    carrier_run(s);
}

void carrier_stop(struct session *s, bool reset)
{
    struct mux_stream *m;

    if (s->carrier == NULL)
        return;
    while ((m = mux_first(&s->carrier->mux)) != NULL) {
        mux_remove(&s->carrier->mux, m);
        cut_off(of_mux(m), reset);
    }
}

static void log_strange(const struct session *s)
{
    const struct mux *m = &s->carrier->mux;
    const struct worker *w = worker_of(s);
    char peer[ADDR_STRLEN];

    if ((m->unknown == 0 && m->dropped == 0) || !log_wants(w->log, LOG_DEBUG))
        return;
    struct log_about about = {
        .node = s->view->node->tag, .peer = addr_str(&s->info.peer, peer), .user = s->user->uid};
    log_line(w->log, LOG_DEBUG, &about,
             "mux: %llu frames for streams that are not there, %llu datagrams dropped",
             (unsigned long long)m->unknown, (unsigned long long)m->dropped);
}

void carrier_free(struct session *s)
{
    if (s->carrier == NULL)
        return;
    log_strange(s);
    mux_fini(&s->carrier->mux);
    pool_release(worker_of(s)->pool, s->carrier, sizeof(*s->carrier));
    s->carrier = NULL;
}

void carrier_tick(struct session *s)
{
    struct carrier *c = s->carrier;

    if (c->mux.count == 0 && !c->had_streams) {
        session_end(s);
        return;
    }
    c->had_streams = c->mux.count > 0;
    session_deadline(s, CARRIER_TICK_MS);
}

/* A layer may need more than 64 KiB for one unit (a chunk of Shadowsocks), so what is asked first
 * is what the mux has before it. */
static bool may_read(const struct session *s)
{
    const struct bufq *in = chain_bottom_in(&s->in);

    return s->client.readable && !in->eof && chain_up(&s->in)->bytes < READ_TURN &&
           in->bytes < 2 * READ_TURN;
}

/* Reads from the client. ST_OK, also when there was nothing; ST_E_CLOSED: it is gone. */
static enum status read_client(struct session *s, bool *starved)
{
    struct bufq *in = chain_bottom_in(&s->in);
    int err = 0;

    if (!may_read(s))
        return ST_OK;
    enum status st = conn_read(&s->client, in, READ_TURN, worker_of(s)->pool, &err);
    if (st == ST_EOF)
        in->eof = true;
    *starved |= st == ST_E_NOMEM;
    return st < 0 && st != ST_E_NOMEM ? ST_E_CLOSED : ST_OK;
}

/* What the layers made of it, to the streams. ST_OK: all of it; ST_FULL: a stream must be read
 * first; ST_YIELD: there is more; or an error. */
static enum status take_frames(struct carrier *c, unsigned *left, struct why *why)
{
    struct session *s = c->s;
    struct mux_event ev;

    for (; *left > 0; --*left) {
        enum status st = mux_rx(&c->mux, chain_up(&s->in), chain_down(&s->in), &ev, why);
        if (st == ST_OK)
            st = take_event(c, &ev, why);
        if (st != ST_OK)
            return st == ST_MORE ? ST_OK : st;
    }
    return ST_YIELD;
}

/* Answers as take_frames, and ST_E_CLOSED. */
static enum status read_frames(struct carrier *c, bool *starved, struct why *why)
{
    struct session *s = c->s;
    unsigned left = EVENTS_TURN;
    enum status st = read_client(s, starved);
    size_t queued;

    if (st != ST_OK)
        return st;
    do {
        if (session_chain_run(s) < 0) {
            *why = worker_of(s)->ev.why;
            return ST_E_PROTO;
        }
        queued = chain_queued(&s->in, CHAIN_RX);
        st = take_frames(c, &left, why);
        /* The room that the mux has made may be what a layer waited for, and no event tells. */
    } while (st == ST_OK && chain_queued(&s->in, CHAIN_RX) != queued);
    return st;
}

/* Wakes the sessions whose bytes have gone out, and of those that wait for room as many as there
 * is room for. */
static void wake_streams(struct carrier *c)
{
    struct mux_stream *m;
    size_t room = room_of(c);

    while ((m = mux_take_drained(&c->mux)) != NULL)
        run_soon(of_mux(m)->port.session);
    while ((m = mux_take_closed(&c->mux)) != NULL)
        stream_free(of_mux(m));
    for (; room >= GRANT && !list_empty(&c->waiting); room -= GRANT) {
        struct stream *st = LIST_ENTRY(c->waiting.next, struct stream, waiting);
        list_del(&st->waiting);
        run_soon(st->port.session);
    }
    /* Those may find nothing to read, and with all queues empty nobody else would come back. */
    if (!list_empty(&c->waiting) && room_of(c) == DOWN_MAX)
        run_soon(c->s);
}

/* ST_OK: all that was there is written; ST_FULL: the client must read first; ST_YIELD: there is
 * more; or an error. */
static enum status write_frames(struct carrier *c, struct why *why)
{
    struct session *s = c->s;

    for (unsigned i = 0; i < WRITES_TURN; i++) {
        enum status more = mux_tx(&c->mux, chain_down(&s->in)), st;
        if (more < 0)
            return why_set(why, more, "no memory for a frame", 0);
        if (session_chain_run(s) < 0) {
            *why = worker_of(s)->ev.why;
            return ST_E_PROTO;
        }
        /* At rest, and nothing for the socket: a layer holds it back and has asked to be woken. */
        if (chain_bottom_out(&s->in)->head == NULL && chain_queued(&s->in, CHAIN_TX) > 0)
            return ST_OK;
        st = session_flush_client(s);
        if (st != ST_OK)
            return st < 0 ? ST_E_CLOSED : st;
        /* The queues between the mux and the socket hold less than was there. */
        if (more == ST_OK && chain_queued(&s->in, CHAIN_TX) == 0)
            return ST_OK;
    }
    return ST_YIELD;
}

void carrier_run(struct session *s)
{
    struct carrier *c = s->carrier;
    struct why why = {0};
    bool starved = false;
    enum status in = read_frames(c, &starved, &why), out = ST_OK;

    if (in >= 0)
        out = write_frames(c, &why);
    enum status worst = in < 0 ? in : out;
    if (worst == ST_E_CLOSED) {
        session_close(s, true);
        return;
    }
    if (worst < 0) {
        session_fail(s, &why);
        return;
    }
    wake_streams(c);
    if (in == ST_OK && bufq_ended(chain_bottom_in(&s->in))) {
        session_end(s); /* half a frame at the end means nothing */
        return;
    }
    if (starved)
        session_pause_for_memory(s);
    else if (in == ST_YIELD || out == ST_YIELD || (in == ST_OK && may_read(s)) ||
             (in == ST_FULL && !c->mux.waits && bufq_room(chain_down(&s->in)) > 0))
        run_soon(s); /* the last: answers had no room, and have it now */
}
