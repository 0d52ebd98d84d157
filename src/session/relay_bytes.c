/* The one relay of bytes. A turn moves what is there in both directions, within bounds:
 *
 *   client --read--> in (layers) --move, count--> out (layers) --write--> target      up
 *   client <-write-- in (layers) <--move, count-- out (layers) <--read--- target      down
 *
 * Where every layer has left a direction on both sides, the bytes do not pass through the
 * process (io/splice.h); they are counted by what splice returned, so limits and accounting hold
 * there too. */
#include "session/port.h"
#include "session/relay.h"
#include "session/session.h"
#include "session/speed.h"
#include "session/worker.h"
#include "session/workers.h"

/* Below this a turn reads without asking how much the sink can take: the question costs a system
 * call. */
#define SMALL_TURN  (64u * 1024)
#define BULK_TURN   (1024u * 1024)
#define SPLICE_TURN (1024u * 1024)
#define TURN_ALL    (4u * 1024 * 1024) /* shared by the flows that are ready */
#define POOL_TIGHT  75                 /* percent: turns shrink to one block */
/* Unsent bytes beyond which nothing more is read; more than the largest unit of a layer, which
 * could never be whole otherwise (a chunk of Shadowsocks 2022: 64 KiB and its tags). */
#define LINGER_QUEUE (80u * 1024)

static struct worker *worker_of(const struct session *s)
{
    return s->wn->worker;
}

void relay_count(struct session *s, uint64_t up, uint64_t down)
{
    if (up + down == 0)
        return;
    struct worker_node *wn = s->wn;
    s->active_ms = loop_now_ms(wn->worker->loop);
    if (s->user == NULL)
        return; /* a fallback: nobody's traffic */
    meter_add(&wn->worker->meter, s->user->slot, up, down);
    speed_count(s, up, down);
    if (!claim_active(&s->claim, wn)) {
        s->idle_ms = 0; /* the timer ends it */
        session_wake_by(s, s->active_ms);
    }
    s->unreported += up + down;
    worker_count(&wn->stats->up, up);
    worker_count(&wn->stats->down, down);
}

/* How much to read from @src for a sink that still has @queued bytes to write; 0: nothing now. */
static size_t turn_size(const struct session *s, const struct conn *src, const struct conn *dst,
                        size_t queued)
{
    struct worker *w = worker_of(s);
    if (queued > LINGER_QUEUE)
        return 0;
    if (s->port && dst == &s->client) {
        size_t most = s->port->ops->room(s->port);
        bool blk = most > 0 && (most < BLK_READ || pool_load(w->pool) >= POOL_TIGHT);
        return blk ? BLK_READ : most; /* a few bytes are not worth a call */
    }
    if (pool_load(w->pool) >= POOL_TIGHT)
        return BLK_READ;
    if (((size_t)BLK_READ << src->read_hint) <= SMALL_TURN)
        return SMALL_TURN;
    size_t room = conn_send_room(dst);
    size_t most = TURN_ALL / worker_bulk_flows(w);
    size_t size = room < BULK_TURN - SMALL_TURN ? room + SMALL_TURN : BULK_TURN;
    if (size > most)
        size = most;
    return size < SMALL_TURN ? SMALL_TURN : size;
}

enum half {
    HALF_IDLE,
    HALF_MOVED,
    HALF_AGAIN,  /* more is ready */
    HALF_FAILED, /* a layer of the client failed: its last words are queued */
    HALF_DEAD,   /* the client's socket is gone */
};

/* A write failed. What the target has sent before may still be read; what the client sends is
 * thrown away from now on. */
static void target_gone(struct session *s)
{
    s->target_failed = true;
    s->target.readable = true;
    s->target.broken = false; /* reading finds the end by itself */
    splice_fini(&s->up_pipe, worker_of(s)->pipes);
    bufq_clear(chain_down(&s->out), worker_of(s)->pool);
}

/* client -> target, through user space */
static enum half up_by_copy(struct session *s)
{
    struct worker *w = worker_of(s);
    struct bufq *in = chain_bottom_in(&s->in), *to = chain_down(&s->out);
    size_t queued = chain_queued(&s->in, CHAIN_RX) + chain_queued(&s->out, CHAIN_TX);
    int err = 0;
    enum half moved = HALF_IDLE;
    size_t size = s->client.readable && !in->eof ? turn_size(s, &s->client, &s->target, queued) : 0;
    bool waits = false; /* for memory or a limit: the timer comes back */
    if (size > 0) {
        size = speed_room(s, true, size);
        waits = size == 0;
    }
    if (size > 0) {
        size_t before = in->bytes;
        enum status st = conn_read(&s->client, in, size, w->pool, &err);
        speed_read(s, true, in->bytes - before);
        if (st == ST_EOF)
            in->eof = true;
        if (st == ST_E_NOMEM) {
            session_pause_for_memory(s);
            waits = true;
        } else if (st < 0) {
            return HALF_DEAD;
        }
        if (st == ST_OK)
            moved = HALF_MOVED;
    }
    if (session_chain_run(s) < 0)
        return HALF_FAILED;
    struct bufq *up = chain_up(&s->in);
    /* A carrier fills the queue up itself: it goes on when there is room again. */
    bool takes = s->port == NULL || to->bytes <= LINGER_QUEUE;
    size_t most = s->port && up->head && takes ? speed_room(s, true, up->bytes) : up->bytes;
    if (up->head && !s->target_failed && takes && most > 0) {
        if (most < up->bytes) {
            size_t part = bufq_move_bytes(to, up, most, w->pool);
            if (part < most)
                session_pause_for_memory(s);
            most = part;
        } else {
            most = up->bytes;
            bufq_move(to, up);
        }
        relay_count(s, most, 0);
        moved = HALF_MOVED;
    } else if (s->target_failed) {
        bufq_clear(up, w->pool);
    }
    if (to->head && s->target.writable) {
        enum status st = conn_write(&s->target, to, w->pool, NULL, &err);
        if (st < 0)
            target_gone(s);
    }
    if (bufq_ended(up) && to->head == NULL && !s->up_done) {
        s->up_done = true;
        if (!s->target_failed)
            conn_shutdown(&s->target);
        moved = HALF_MOVED;
    }
    /* Asked anew after the writes: an empty queue sends no event that would come back here. */
    queued = chain_queued(&s->in, CHAIN_RX) + to->bytes;
    if (s->port)
        return up->head && to->bytes <= LINGER_QUEUE && most > 0 ? HALF_AGAIN : moved;
    return s->client.readable && !in->eof && !waits && queued <= LINGER_QUEUE ? HALF_AGAIN : moved;
}

/* target -> client, through user space */
static enum half down_by_copy(struct session *s)
{
    struct worker *w = worker_of(s);
    struct bufq *from = chain_bottom_in(&s->out), *down = chain_down(&s->in);
    size_t queued = chain_queued(&s->in, CHAIN_TX) + chain_queued(&s->out, CHAIN_RX);
    int err = 0;
    enum half moved = HALF_IDLE;
    size_t size =
        s->target.readable && !from->eof ? turn_size(s, &s->target, &s->client, queued) : 0;
    bool waits = s->port && size == 0; /* for the carrier */
    if (size > 0) {
        size = speed_room(s, false, size);
        waits = size == 0;
    }
    if (size > 0) {
        size_t before = from->bytes;
        enum status st = conn_read(&s->target, from, size, w->pool, &err);
        speed_read(s, false, from->bytes - before);
        if (st == ST_E_NOMEM) {
            session_pause_for_memory(s);
            waits = true;
        } else if (st == ST_EOF || st < 0) {
            from->eof = true;
            s->target_failed |= st < 0;
        }
        if (st == ST_OK)
            moved = HALF_MOVED;
    }
    if (from->head) {
        relay_count(s, 0, from->bytes);
        bufq_move(down, from);
        moved = HALF_MOVED;
    }
    if (bufq_ended(from) && !down->eof && !(s->mirror && s->target.broken)) {
        down->eof = true;
        moved = HALF_MOVED;
    }
    if (session_chain_run(s) < 0)
        return HALF_FAILED;
    if (session_flush_client(s) < 0)
        return HALF_DEAD;
    if (down->eof && chain_queued(&s->in, CHAIN_TX) == 0 && !s->down_done) {
        s->down_done = true;
        moved = HALF_MOVED;
    }
    return s->target.readable && !from->eof && !waits &&
                   chain_queued(&s->in, CHAIN_TX) <= LINGER_QUEUE
               ? HALF_AGAIN
               : moved;
}

/* One direction from socket to socket. Counted between the two steps: a process killed while it
 * writes, which is where it spends its time, has then counted what arrived. */
static enum status by_splice(struct session *s, struct splice *pipe, struct conn *src,
                             struct conn *dst, size_t *moved)
{
    struct splice_pool *pipes = worker_of(s)->pipes;
    bool up = src == &s->client;
    /* Without anything to read no limit is asked: its end, seen while the pipe was full, is told
     * once more by splice_fill alone. */
    size_t in = 0, most = src->readable ? speed_room(s, up, SPLICE_TURN) : SPLICE_TURN;
    int err = 0;
    enum status got = ST_FULL; /* a limit: as if nothing more could be taken */
    if (most > 0)
        got = splice_fill(pipe, pipes, src, most, &in, &err);
    speed_read(s, up, in);
    relay_count(s, up ? in : 0, up ? 0 : in);
    /* What was read before the source failed still arrives. */
    enum status put = splice_drain(pipe, pipes, dst, moved, &err);
    return put != ST_OK ? put : got;
}

static enum half up_by_splice(struct session *s)
{
    size_t moved;
    enum status st = by_splice(s, &s->up_pipe, &s->client, &s->target, &moved);
    if (st == ST_E_BUSY)
        return up_by_copy(s);
    if (st == ST_EOF) {
        chain_up(&s->in)->eof = true;
        s->up_done = true;
        conn_shutdown(&s->target);
        return HALF_MOVED;
    }
    if (st < 0 && s->client.broken)
        return HALF_DEAD;
    if (st < 0) {
        target_gone(s);
        return HALF_AGAIN;
    }
    return s->client.readable && st != ST_FULL ? HALF_AGAIN : moved ? HALF_MOVED : HALF_IDLE;
}

static enum half down_by_splice(struct session *s)
{
    size_t moved;
    enum status st = by_splice(s, &s->down_pipe, &s->target, &s->client, &moved);
    s->spoke = true;
    if (st == ST_E_BUSY)
        return down_by_copy(s);
    if (st < 0 && (s->client.broken || s->mirror))
        return HALF_DEAD;
    if (st == ST_EOF || st < 0) {
        s->target_failed |= st < 0;
        s->down_done = true;
        chain_down(&s->in)->eof = true;
        conn_shutdown(&s->client);
        return HALF_MOVED;
    }
    return s->target.readable && st != ST_FULL ? HALF_AGAIN : moved ? HALF_MOVED : HALF_IDLE;
}

static bool may_splice(const struct session *s, enum chain_dir client_dir)
{
    enum chain_dir target_dir = client_dir == CHAIN_RX ? CHAIN_TX : CHAIN_RX;
    return s->port == NULL && chain_raw(&s->in, client_dir) == CHAIN_RAW_NOW &&
           chain_raw(&s->out, target_dir) == CHAIN_RAW_NOW;
}

static enum half run_up(struct session *s)
{
    if (s->up_done)
        return HALF_IDLE;
    if (s->target_failed)
        return up_by_copy(s);
    if (splice_pending(&s->up_pipe) ||
        (s->client.readable && !chain_bottom_in(&s->in)->eof && may_splice(s, CHAIN_RX)))
        return up_by_splice(s);
    return up_by_copy(s);
}

static enum half run_down(struct session *s)
{
    if (s->down_done)
        return HALF_IDLE;
    if (splice_pending(&s->down_pipe) ||
        (s->target.readable && !chain_down(&s->in)->eof && may_splice(s, CHAIN_TX)))
        return down_by_splice(s);
    return down_by_copy(s);
}

/* One direction ended: the other lives on for as long as its own bound. */
static void shorten_idle(struct session *s)
{
    uint32_t ms = s->up_done ? s->downlink_only_ms : s->uplink_only_ms;
    if (ms == 0 || ms >= s->idle_ms)
        return;
    s->idle_ms = ms;
    s->active_ms = loop_now_ms(worker_of(s)->loop);
    session_wake_by(s, s->active_ms + ms);
}

void relay_bytes_run(struct session *s)
{
    bool was_half = s->up_done || s->down_done;
    enum half up = run_up(s), down = HALF_IDLE;
    if (up < HALF_FAILED)
        down = run_down(s);
    speed_turn_over(s);
    bool reset = s->mirror && s->target.broken && chain_queued(&s->in, CHAIN_TX) == 0;
    if (up == HALF_DEAD || down == HALF_DEAD || reset) {
        session_close(s, true); /* the target must not take what was cut off for the end */
        return;
    }
    if (up == HALF_FAILED || down == HALF_FAILED) {
        struct why why = worker_of(s)->ev.why;
        session_fail(s, &why);
        return;
    }
    bool half_close = !s->in.no_half_close;
    if ((s->up_done && s->down_done) || (!half_close && (s->up_done || s->down_done)) ||
        (s->target_failed && s->down_done)) {
        session_end(s);
        return;
    }
    if (!was_half && (s->up_done || s->down_done))
        shorten_idle(s);
    if (up == HALF_AGAIN || down == HALF_AGAIN)
        loop_task_add(worker_of(s)->loop, &s->task);
}
