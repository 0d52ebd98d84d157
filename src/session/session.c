#include "session/session.h"

#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "codec/proxy_header.h"
#include "io/sockaddr.h"
#include "session/carrier.h"
#include "session/port.h"
#include "session/relay.h"
#include "session/screen.h"
#include "session/speed.h"
#include "session/worker.h"
#include "session/workers.h"
#include "session/xudp.h"

#define PROXY_DEADLINE_MS 10000
#define FLUSH_DEADLINE_MS 1000
#define LINGER_MAX                                                                                 \
    30 /* times FLUSH_DEADLINE_MS that a slow client gets for what the kernel still holds */
#define NOMEM_PAUSE_MS 20
#define DRAIN_BYTES    (256u * 1024) /* of a client that does not stop after our FIN */
#define HANDSHAKE_READ (64u * 1024)

static struct worker *worker_of(const struct session *s)
{
    return s->wn->worker;
}

static struct session *of_timer(struct timer *t)
{
    return LIST_ENTRY(t, struct session, timer);
}

/* Without a blk reading waits: the bytes stay in the socket, other sessions give memory back. */
void session_pause_for_memory(struct session *s)
{
    session_wake_by(s, loop_now_ms(worker_of(s)->loop) + NOMEM_PAUSE_MS);
}

static bool removed_user(const struct session *s)
{
    return s->user && atomic_load_explicit(&s->user->removed, memory_order_relaxed);
}

static void on_client(struct conn *c)
{
    session_run(LIST_ENTRY(c, struct session, client));
}

static void on_task(struct task *t)
{
    session_run(LIST_ENTRY(t, struct session, task));
}

void session_deadline(struct session *s, uint32_t ms)
{
    s->deadline_ms = loop_now_ms(worker_of(s)->loop) + ms;
    loop_timer_at(worker_of(s)->loop, &s->timer, s->deadline_ms);
}

void session_wake_by(struct session *s, uint64_t at_ms)
{
    if (!timer_armed(&s->timer) || at_ms < s->timer.at_ms)
        loop_timer_at(worker_of(s)->loop, &s->timer, at_ms);
}

/* The last bytes are with the kernel, but the client has not got them yet: closing now could turn
 * into a reset that destroys them. */
static bool still_sending(const struct session *s)
{
    int unsent = 0;
    if (s->port)
        return s->lingers < LINGER_MAX && chain_bottom_out(&s->in)->head && !removed_user(s);
    return s->spoke && !s->stranger && s->lingers < LINGER_MAX && conn_is_open(&s->client) &&
           chain_bottom_out(&s->in)->head == NULL && !removed_user(s) &&
           ioctl(s->client.watch.fd, SIOCOUTQ, &unsent) == 0 && unsent > 0;
}

/* A layer that stands in for another server must not be told from it by its patience: from now on
 * that server's counts, within the bound of an idle relay. True: that is so. */
static bool left_to_helper(struct session *s)
{
    struct aux *x = s->env.aux;
    if (s->state != SESSION_HANDSHAKE || x == NULL || !x->open || x->late)
        return false;
    x->late = true;
    session_deadline(s, s->view->node->timeouts.idle);
    session_run(s);
    return true;
}

static void deadline_passed(struct session *s)
{
    static const char *const late[] = {
        [SESSION_PROXY] = "no PROXY header within its deadline",
        [SESSION_HANDSHAKE] = "no complete request within the handshake deadline",
        [SESSION_DIALING] = "target did not answer in time",
    };
    struct why why = {ST_E_TIMEOUT, NULL, 0};
    if (left_to_helper(s))
        return;
    switch (s->state) {
    case SESSION_RELAY:
    case SESSION_PACKETS:
        session_end(s);
        return;
    case SESSION_SCREENING:
        screen_late(s);
        return;
    case SESSION_CARRIER:
        carrier_tick(s);
        return;
    case SESSION_PARKED:
        session_close(s, false);
        return;
    case SESSION_FLUSHING:
        if (!still_sending(s)) {
            session_close(s, false);
            return;
        }
        s->lingers++;
        session_deadline(s, FLUSH_DEADLINE_MS);
        return;
    case SESSION_DIALING:
        why.text = late[s->state];
        session_give_up(s, &why);
        return;
    default:
        why.text = late[s->state];
        session_fail(s, &why);
    }
}

/* Set for the deadline, or earlier for a layer's wake-up or a pause for memory. */
static void on_timer(struct timer *t)
{
    struct session *s = of_timer(t);
    struct loop *l = worker_of(s)->loop;
    /* Where payload moves, the deadline goes with it. */
    if (s->state == SESSION_RELAY || s->state == SESSION_PACKETS)
        s->deadline_ms = s->active_ms + s->idle_ms;
    if (loop_now_ms(l) >= s->deadline_ms) {
        deadline_passed(s);
        return;
    }
    loop_timer_at(l, &s->timer, s->deadline_ms);
    session_run(s);
}

static bool proxy_required(const struct view_node *n, const struct addr *peer)
{
    if (!n->proxy_protocol)
        return false;
    if (n->proxy_from_count == 0)
        return true;
    for (size_t i = 0; i < n->proxy_from_count; i++)
        if (cidr_contains(&n->proxy_from[i], peer))
            return true;
    return false;
}

static enum status build_chain(struct session *s)
{
    const struct view_node *n = s->view->node;
    struct chain_stage stages[CHAIN_LAYERS_MAX];
    for (unsigned i = 0; i < n->stage_count; i++)
        stages[i] = (struct chain_stage){n->stages[i].ops, n->stages[i].conf};
    return chain_init(&s->in, &s->env, stages, n->stage_count);
}

static void count_in(struct session *s)
{
    struct worker_node *wn = s->wn;
    worker_count(&wn->stats->accepted, 1);
    worker_count(&wn->stats->open, 1);
    worker_count(&wn->stats->handshaking, 1);
    list_add_tail(&wn->sessions, &s->node);
}

void session_init(struct session *s, struct worker_node *wn, struct view *view)
{
    struct worker *w = wn->worker;
    s->wn = wn;
    s->view = view_ref(view);
    s->env = (struct env){.pool = w->pool,
                          .rng = w->rng,
                          .crypto = w->crypto,
                          .users = view->users,
                          .shared = view->shared,
                          .info = &s->info,
                          .heavy = &w->handshakes};
    s->client.watch.fd = s->target.watch.fd = -1;
    list_init(&s->node);
    task_init(&s->task, on_task);
    timer_init(&s->timer, on_timer);
}

void session_accept(struct worker_node *wn, int fd, const struct addr *peer)
{
    struct worker *w = wn->worker;
    const struct view_node *n = wn->view->node;
    struct session *s = NULL;
    if (wn->removing || !admission_enter(&w->admission, peer, n->source_max)) {
        worker_count(&wn->stats->rejected, 1);
        close(fd);
        return;
    }
    s = pool_alloc(w->pool, sizeof(*s));
    if (s == NULL)
        goto refuse;
    session_init(s, wn, wn->view);
    s->stranger = true;
    s->source = s->info.peer = *peer;
    if (session_aux_init(s, n) != ST_OK || build_chain(s) != ST_OK)
        goto refuse;
    if (conn_open(&s->client, w->loop, fd, false, on_client) != ST_OK) {
        fd = -1; /* conn_open closed it */
        goto refuse;
    }
    count_in(s);
    bool proxy = proxy_required(n, peer);
    s->state = proxy ? SESSION_PROXY : SESSION_HANDSHAKE;
    session_deadline(s, proxy ? PROXY_DEADLINE_MS : n->timeouts.handshake);
    if (s->env.aux && !proxy)
        session_run(s); /* its layer dials before the client speaks */
    return;
refuse:
    worker_count(&wn->stats->rejected, 1);
    admission_known(&w->admission, peer);
    admission_leave(&w->admission);
    if (s) {
        chain_fini(&s->in);
        session_aux_free(s);
        view_unref(s->view);
        pool_release(w->pool, s, sizeof(*s));
    }
    if (fd >= 0)
        close(fd);
}

void session_close(struct session *s, bool reset)
{
    struct worker_node *wn = s->wn;
    struct worker *w = wn->worker;
    loop_timer_del(w->loop, &s->timer);
    loop_task_del(w->loop, &s->task);
    session_settle_access(s);
    direct_dial_cancel(&s->dial);
    direct_udp_close(s->udp);
    screen_free(s->screen, w->pool);
    carrier_stop(s, reset || s->failed);
    carrier_free(s);
    if (s->port)
        s->port->ops->close(s->port, s->failed || s->target_failed);
    if (s->xudp) {
        session_unpark(s);
        xudp_release(w, s->xudp);
    }
    conn_close(&s->client, reset);
    conn_close(&s->target, reset && s->state == SESSION_RELAY);
    splice_fini(&s->up_pipe, w->pipes);
    splice_fini(&s->down_pipe, w->pipes);
    chain_fini(&s->in);
    chain_fini(&s->out);
    session_aux_free(s);
    conn_info_clear(w->pool, &s->info);
    pool_release(w->pool, s->target_name, sizeof(*s->target_name));
    pool_release(w->pool, s->brakes, sizeof(*s->brakes));
    if (s->stranger) {
        admission_known(&w->admission, &s->source);
        worker_count_down(&wn->stats->handshaking);
    }
    admission_leave(&w->admission);
    worker_count_down(&wn->stats->open);
    speed_end(s);
    claim_release(&s->claim, s->user);
    if (s->user) {
        if (s->unreported)
            alive_add(&wn->alive, s->user->uid, &s->info.peer, s->unreported, PLANE_GONE);
        atomic_fetch_sub_explicit(&s->user->sessions, 1, memory_order_relaxed);
        workers_user_unref(w->all, s->user);
    }
    view_unref(s->view);
    list_del(&s->node);
    pool_release(w->pool, s, sizeof(*s));
    worker_session_gone(wn);
}

enum status session_chain_run(struct session *s)
{
    struct worker *w = worker_of(s);
    uint64_t wake = UINT64_MAX;
    enum status st = chain_run(&s->in, &w->ev, loop_now_us(w->loop), loop_unix_s(w->loop), &wake);
    if (wake != UINT64_MAX)
        session_wake_by(s, wake / 1000 + 1);
    if (st == ST_YIELD)
        loop_task_add(w->loop, &s->task);
    return st;
}

enum status session_flush_client(struct session *s)
{
    struct bufq *out = chain_bottom_out(&s->in);
    int err = 0;
    if (s->port) {
        s->spoke |= out->head != NULL;
        s->port->ops->moved(s->port);
        return out->head ? ST_FULL : ST_OK;
    }
    if (s->cut) {
        bufq_clear(out, worker_of(s)->pool);
        return ST_OK;
    }
    if (out->head) {
        if (!s->client.writable)
            return ST_FULL;
        s->spoke = true;
        enum status st = conn_write(&s->client, out, worker_of(s)->pool, NULL, &err);
        if (st != ST_OK)
            return st;
    }
    if (out->eof)
        conn_shutdown(&s->client);
    return ST_OK;
}

/* Counts and logs it. */
static void note_failure(struct session *s, const struct why *why)
{
    struct worker *w = worker_of(s);
    if (why->text != NULL)
        causes_add(&w->causes, s->wn->view->node_no, why->text);
    if (why->text == NULL || !log_wants(w->log, LOG_INFO) || !worker_may_log(w))
        return;
    char peer[ADDR_STRLEN], target[TARGET_STRLEN] = "";
    if (s->target_name)
        target_str(s->target_name, target);
    struct log_about about = {.node = s->wn->view->node->tag,
                              .peer = addr_str(&s->info.peer, peer),
                              .user = s->user ? s->user->uid : 0};
    const char *to = target[0] ? " to " : "";
    if (why->status == ST_E_IO || why->status == ST_E_CLOSED || why->status == ST_E_BUSY)
        log_line(w->log, LOG_INFO, &about, "session%s%s failed: %s: %s", to, target, why->text,
                 why->number ? strerror((int)why->number) : status_str(why->status));
    else if (why->number)
        log_line(w->log, LOG_INFO, &about, "session%s%s failed: %s (%ld)", to, target, why->text,
                 why->number);
    else
        log_line(w->log, LOG_INFO, &about, "session%s%s failed: %s", to, target, why->text);
}

/* Closing a socket with unread bytes sends RST, which can destroy what the client has not read
 * yet. So: FIN, then its bytes are thrown away until it closes too. True when the socket may be
 * closed. */
static bool lingered(struct session *s)
{
    struct worker *w = worker_of(s);
    if (!s->spoke || s->client.eof || s->client.broken || s->port)
        return true;
    conn_shutdown(&s->client);
    struct bufq waste;
    bufq_init(&waste, UINT32_MAX);
    int err = 0;
    enum status st = ST_OK;
    for (int i = 0; i < 4 && st == ST_OK && s->client.readable && s->wasted < DRAIN_BYTES; i++) {
        st = conn_read(&s->client, &waste, BLK_READ, w->pool, &err);
        s->wasted += waste.bytes;
        bufq_clear(&waste, w->pool);
    }
    /* Who goes on sending finds the window closed, and the reset when the deadline comes. */
    if (st == ST_OK && s->client.readable && s->wasted < DRAIN_BYTES)
        loop_task_add(w->loop, &s->task);
    return st == ST_EOF || st < 0;
}

/* Nothing more to relay: what the layers have to say goes out, then the socket closes. */
static void flush_and_close(struct session *s)
{
    struct worker *w = worker_of(s);
    /* What was cut off must not look like the end to the target. */
    bool cut = s->failed && s->state == SESSION_RELAY && !s->up_done;
    if (s->state != SESSION_FLUSHING) {
        s->state = SESSION_FLUSHING;
        session_deadline(s, FLUSH_DEADLINE_MS);
        direct_dial_cancel(&s->dial);
        direct_udp_close(s->udp);
        s->udp = NULL;
        carrier_stop(s, s->failed);
        conn_close(&s->target, cut);
        splice_fini(&s->up_pipe, w->pipes);
        splice_fini(&s->down_pipe, w->pipes);
    }
    bool client = s->port || conn_is_open(&s->client);
    enum status st = client ? session_flush_client(s) : ST_E_CLOSED;
    if (st == ST_OK && chain_queued(&s->in, CHAIN_TX) > 0) {
        /* More than the lowest queue could hold waited above it. */
        enum status ran = session_chain_run(s);
        (void)ran; /* as session_end */
        st = session_flush_client(s);
    }
    if (st == ST_FULL || (st == ST_OK && !lingered(s)))
        return; /* on_client or the deadline comes back */
    session_close(s, false);
}

void session_fail(struct session *s, const struct why *why)
{
    note_failure(s, why);
    s->failed = true;
    if (s->stranger)
        worker_count(&s->wn->stats->rejected, 1);
    flush_and_close(s);
}

/* Nothing is said to who does not belong here, in the way of a protocol that resets. */
static void reset(struct session *s, const struct why *why)
{
    note_failure(s, why);
    if (s->stranger)
        worker_count(&s->wn->stats->rejected, 1);
    session_close(s, true);
}

void session_give_up(struct session *s, const struct why *why)
{
    note_failure(s, why);
    s->failed = true;
    session_end(s);
}

void session_end(struct session *s)
{
    if (s->state == SESSION_FLUSHING)
        return;
    chain_down(&s->in)->eof = true;
    enum status st = session_chain_run(s);
    (void)st; /* whatever the layers managed to say is what goes out */
    chain_bottom_out(&s->in)->eof = true;
    flush_and_close(s);
}

/* ---- the beginning of a connection ---- */

/* Eats the PROXY header. True: it is there and the handshake may begin. */
static bool read_proxy_header(struct session *s)
{
    struct bufq *in = chain_bottom_in(&s->in);
    struct worker *w = worker_of(s);
    size_t have = in->bytes < PROXY_HEADER_MAX ? in->bytes : PROXY_HEADER_MAX;
    const uint8_t *p = have ? bufq_pullup(in, have, w->pool) : NULL;
    struct proxy_header h;
    size_t used = 0;
    enum status st = p ? proxy_header_parse(p, have, &h, &used) : ST_MORE;
    if (st == ST_MORE && !in->eof) {
        if (s->client.readable)
            loop_task_add(w->loop, &s->task);
        return false;
    }
    if (st != ST_OK) {
        struct why why = {ST_E_PROTO, "PROXY header missing or malformed", 0};
        session_fail(s, &why);
        return false;
    }
    bufq_drop(in, used, w->pool);
    if (h.src.family != ADDR_NONE) {
        s->info.peer = h.src;
        s->info.local = h.dst;
        /* Strangers are counted by where they come from, not by the balancer that they all come
         * through. */
        bool fits = admission_rename(&w->admission, &s->source, &h.src, s->view->node->source_max);
        if (!fits) {
            struct why why = {ST_E_LIMIT, "too many connections of this source", 0};
            session_fail(s, &why);
            return false;
        }
        s->source = h.src;
    }
    s->state = SESSION_HANDSHAKE;
    session_deadline(s, s->view->node->timeouts.handshake);
    return true;
}

/* No request yet. Goes on where something can move; a full queue that nobody empties is somebody
 * who tries us. */
static void await_more(struct session *s, bool sent)
{
    struct bufq *in = chain_bottom_in(&s->in);
    bool full = in->bytes >= HANDSHAKE_READ;
    if (chain_up(&s->in)->eof || (in->eof && in->head == NULL)) {
        session_close(s, false); /* went away before it said what it wanted */
    } else if (full && !sent && chain_bottom_out(&s->in)->head == NULL) {
        struct why why = {ST_E_LIMIT, "too much before a request", 0};
        session_fail(s, &why);
    } else if (s->client.readable ? !full || sent : sent && in->head != NULL) {
        loop_task_add(worker_of(s)->loop, &s->task);
    }
}

static void handshake(struct session *s)
{
    struct worker *w = worker_of(s);
    struct bufq *in = chain_bottom_in(&s->in);
    int err = 0;
    enum status st = ST_MORE;
    if (s->client.readable && in->bytes < HANDSHAKE_READ)
        st = conn_read(&s->client, in, HANDSHAKE_READ, w->pool, &err);
    if (st == ST_EOF)
        in->eof = true;
    if (st < 0) {
        session_close(s, false);
        return;
    }
    if (s->state == SESSION_PROXY && !read_proxy_header(s))
        return;
    (void)session_aux_read(s);
    w->ev.request.addressed = w->ev.request.datagrams_only = false; /* what few protocols set */
    st = session_chain_run(s);
    if (st < 0) {
        struct why why = w->ev.why;
        if (why.text == NULL)
            why = (struct why){st, status_str(st), 0};
        if (w->ev.mask & EV_RESET)
            reset(s, &why);
        else
            session_fail(s, &why);
        return;
    }
    uint32_t seen = w->ev.mask;
    size_t queued = chain_bottom_out(&s->in)->bytes;
    enum status out = session_flush_client(s);
    if (out < 0) {
        session_close(s, false);
        return;
    }
    session_aux_after(s, seen, w->ev.ask);
    if (seen & EV_REQUEST)
        session_request(s, &w->ev.request);
    else if (seen & EV_ADOPT)
        session_adopt(s);
    else if (seen & EV_DIVERT)
        session_divert(s);
    else if (st != ST_YIELD) /* else it moves by itself */
        await_more(s, chain_bottom_out(&s->in)->bytes < queued);
}

void session_run(struct session *s)
{
    if (s->unheard && s->state == SESSION_RELAY && !screen_hear(s))
        return;
    if (session_run_cut(s))
        return;
    switch (s->state) {
    case SESSION_PROXY:
    case SESSION_HANDSHAKE:
        handshake(s);
        return;
    case SESSION_SCREENING:
        screen_run(s);
        return;
    case SESSION_DIALING:
        /* what the client sends meanwhile waits in its socket; the dial has its own deadline */
        return;
    case SESSION_RELAY:
        relay_bytes_run(s);
        return;
    case SESSION_PACKETS:
        relay_packets_run(s);
        return;
    case SESSION_CARRIER:
        carrier_run(s);
        return;
    case SESSION_PARKED:
        return; /* what comes for it waits in its socket */
    case SESSION_FLUSHING:
        flush_and_close(s);
        return;
    }
}
