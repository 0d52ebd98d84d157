/* The one relay of datagrams: a queue of spans on the client's side, a full-cone UDP flow on the
 * other. */
#include "session/session.h"
#include "session/worker.h"
#include "session/workers.h"

#define READ_TURN    (64u * 1024)
#define LINGER_COUNT 512u /* a datagram costs a blk however small it is */
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
    enum status st = direct_udp_open(&w->out, conf, target, s, on_udp, &s->udp, why);
    if (st != ST_OK)
        why_set(why, st, "opening a UDP flow", 0);
}

/* client -> targets. False: the session is to end. */
static bool run_up(struct session *s)
{
    struct worker *w = worker_of(s);
    struct bufq *in = chain_bottom_in(&s->in), *up = chain_up(&s->in);
    int err = 0;
    if (s->client.readable && !in->eof && chain_queued(&s->in, CHAIN_RX) < READ_TURN) {
        enum status st = conn_read(&s->client, in, READ_TURN, w->pool, &err);
        if (st == ST_EOF)
            in->eof = true;
        if (st < 0 && st != ST_E_NOMEM)
            return false;
    }
    if (session_chain_run(s) < 0)
        return false;
    if (up->head) {
        uint64_t before = up->bytes;
        enum status st = direct_udp_send(s->udp, up);
        relay_count(s, before - up->bytes, 0);
        if (st < 0)
            return false;
    }
    /* The client's stream is the flow's life: when it ends, nobody is left to answer to. */
    return !bufq_ended(up);
}

/* targets -> client. False: the session is to end. */
static bool run_down(struct session *s, bool *again)
{
    struct bufq *down = chain_down(&s->in);
    if (s->udp_readable && chain_queued(&s->in, CHAIN_TX) < LINGER_QUEUE &&
        down->count + chain_bottom_out(&s->in)->count < LINGER_COUNT) {
        uint64_t before = down->bytes;
        enum status st = direct_udp_recv(s->udp, down);
        relay_count(s, 0, down->bytes - before);
        s->udp_readable = st == ST_YIELD || st == ST_FULL || st == ST_E_NOMEM;
        if (st < 0 && st != ST_E_NOMEM)
            return false;
        *again = st == ST_YIELD;
    }
    if (session_chain_run(s) < 0)
        return false;
    return session_flush_client(s) >= 0;
}

void relay_packets_run(struct session *s)
{
    bool again = false;
    if (!run_up(s) || !run_down(s, &again)) {
        session_end(s);
        return;
    }
    if (again || (s->client.readable && chain_queued(&s->in, CHAIN_RX) < READ_TURN))
        loop_task_add(worker_of(s)->loop, &s->task);
}
