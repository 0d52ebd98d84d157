/* The one relay of datagrams: a queue of spans on the client's side, a full-cone UDP flow on the
 * other. */
#include "session/port.h"
#include "session/relay.h"
#include "session/screen.h"
#include "session/session.h"
#include "session/speed.h"
#include "session/worker.h"
#include "session/workers.h"

#define LAST_ANSWERS_MS 1000
#define READ_TURN       (64u * 1024)
#define READ_QUEUE      (80u * 1024) /* more than the largest unit of a layer */
#define UNSENT_COUNT    4096u        /* datagrams that wait for a name or a full socket */
#define LINGER_COUNT    512u         /* a datagram costs a blk however small it is */
/* datagrams waiting for a slow client: beyond it they stay in the socket, which drops */
#define LINGER_QUEUE (256u * 1024)

static struct worker *worker_of(const struct session *s)
{
    return s->wn->worker;
}

static void on_udp(void *arg, uint32_t events, const struct why *why)
{
    struct session *s = arg;
    if (events & DIRECT_UDP_FAILED) {
        struct why cause = why ? *why : (struct why){ST_E_IO, "UDP flow failed", 0};
        session_give_up(s, &cause);
        return;
    }
    if (events & DIRECT_UDP_READABLE)
        s->udp_readable = true;
    session_run(s);
}

void relay_packets_open(struct session *s, const struct direct_conf *conf,
                        const struct target *target, struct why *why)
{
    struct worker *w = worker_of(s);
    s->state = SESSION_PACKETS;
    why->status = direct_udp_open(&w->out, conf, target, s, on_udp, &s->udp, why);
}

void relay_packets_reopen(struct session *s, const struct direct_conf *conf,
                          struct direct_udp_sockets *sockets, struct why *why)
{
    enum status st = direct_udp_reopen(&worker_of(s)->out, conf, sockets, s, on_udp, &s->udp);
    if (st != ST_OK)
        why_set(why, st, "taking over a UDP flow", 0);
    s->udp_readable = true;
}

/* ST_OK, or ST_E_REFUSED: a block rule ends the flow. */
static enum status screen(struct session *s, struct bufq *up)
{
    const struct screen_flow f = {.wn = s->wn, .user = s->user, .peer = &s->info.peer};
    if (up->head == NULL || !screen_has_rules(s->wn))
        return ST_OK;
    enum status st = screen_queue(&s->screen, &f, direct_udp_target(s->udp), up);
    s->failed |= st != ST_OK;
    return st;
}

/* Sends what the client sent, but for what is blocked or over his limit. */
static enum status send_up(struct session *s)
{
    struct bufq *up = chain_up(&s->in);
    enum status st = screen(s, up);
    if (st != ST_OK)
        return st;
    speed_filter(s->wn, s->user, true, up, s->up_paid);
    uint64_t sent;
    st = direct_udp_send(s->udp, up, &sent);
    relay_count(s, sent, 0);
    s->up_paid = up->count;
    screen_taken(s->screen, up);
    return st;
}

void relay_packets_flush(struct session *s)
{
    enum status st = send_up(s);
    (void)st; /* the next one tells */
}

enum half {
    HALF_GOES_ON,
    HALF_ENDED,  /* in order, or the flow is dead: the layers say goodbye */
    HALF_FAILED, /* a layer of the client failed: its last words are queued */
    HALF_DEAD,   /* the client's socket is gone */
};

static bool may_read_client(const struct session *s)
{
    return s->client.readable && !chain_bottom_in(&s->in)->eof &&
           chain_queued(&s->in, CHAIN_RX) < READ_QUEUE && chain_up(&s->in)->count < UNSENT_COUNT;
}

static bool may_read_udp(const struct session *s)
{
    return s->udp_readable && chain_queued(&s->in, CHAIN_TX) < LINGER_QUEUE &&
           chain_down(&s->in)->count + chain_bottom_out(&s->in)->count < LINGER_COUNT &&
           (s->port == NULL || s->port->ops->room(s->port) > 0);
}

/* client -> targets */
static enum half run_up(struct session *s, bool *starved)
{
    struct worker *w = worker_of(s);
    struct bufq *in = chain_bottom_in(&s->in), *up = chain_up(&s->in);
    int err = 0;
    if (may_read_client(s)) {
        enum status st = conn_read(&s->client, in, READ_TURN, w->pool, &err);
        if (st == ST_EOF)
            in->eof = true;
        *starved |= st == ST_E_NOMEM;
        if (st < 0 && st != ST_E_NOMEM)
            return HALF_DEAD;
    }
    if (session_chain_run(s) < 0)
        return HALF_FAILED;
    if (send_up(s) < 0)
        return HALF_ENDED;
    if (!bufq_ended(up) || s->up_done)
        return HALF_GOES_ON;
    /* As with streams answers may still come, but a moment is enough: Xray-core and sing-box never
     * close half. */
    s->up_done = true;
    if (s->in.no_half_close)
        return HALF_ENDED;
    s->idle_ms = s->downlink_only_ms < LAST_ANSWERS_MS ? s->downlink_only_ms : LAST_ANSWERS_MS;
    s->active_ms = loop_now_ms(w->loop);
    session_wake_by(s, s->active_ms + s->idle_ms);
    return HALF_GOES_ON;
}

/* targets -> client */
static enum half run_down(struct session *s, bool *starved)
{
    struct bufq *down = chain_down(&s->in);
    if (may_read_udp(s)) {
        uint64_t before = down->bytes;
        uint32_t paid = down->count;
        enum status st = direct_udp_recv(s->udp, down);
        speed_filter(s->wn, s->user, false, down, paid);
        relay_count(s, 0, down->bytes - before);
        s->udp_readable = st == ST_YIELD || st == ST_FULL || st == ST_E_NOMEM;
        *starved |= st == ST_E_NOMEM;
        if (st < 0 && st != ST_E_NOMEM)
            return HALF_ENDED;
    }
    if (session_chain_run(s) < 0)
        return HALF_FAILED;
    return session_flush_client(s) < 0 ? HALF_DEAD : HALF_GOES_ON;
}

void relay_packets_run(struct session *s)
{
    bool starved = false;
    enum half half = run_up(s, &starved);
    if (half == HALF_GOES_ON)
        half = run_down(s, &starved);
    switch (half) {
    case HALF_DEAD:
        session_close(s, true);
        return;
    case HALF_FAILED: {
        struct why why = worker_of(s)->ev.why;
        session_fail(s, &why);
        return;
    }
    case HALF_ENDED:
        session_end(s);
        return;
    case HALF_GOES_ON:
        break;
    }
    /* Asked after the writes: no event comes for what was left unread because the queues were full.
     */
    if (starved)
        session_pause_for_memory(s);
    else if (may_read_client(s) || may_read_udp(s))
        loop_task_add(worker_of(s)->loop, &s->task);
}
