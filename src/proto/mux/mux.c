#include "proto/mux/mux.h"

#include <string.h>

#include "base/frame.h"

#define ANSWERS_MAX (16u * 1024) /* of End frames beyond the cap of a full queue down */
#define SMALL_PIECE 1024u        /* copied: a view would hold a whole blk for it */
#define BUCKETS_MAX 512u

void mux_init(struct mux *m, struct pool *pool)
{
    memset(m, 0, sizeof(*m));
    m->pool = pool;
    m->buckets = m->few;
    m->bucket_count = MUX_BUCKETS_MIN;
    list_init(&m->all);
    list_init(&m->ready);
    list_init(&m->drained);
    list_init(&m->closed);
}

static void forget_target(struct mux *m)
{
    pool_release(m->pool, m->first_to, sizeof(*m->first_to));
    m->first_to = NULL;
}

static void release_buckets(struct mux *m)
{
    if (m->buckets != m->few)
        pool_release(m->pool, m->buckets, m->bucket_count * sizeof(struct mux_stream *));
}

void mux_fini(struct mux *m)
{
    BUG_ON(!list_empty(&m->all));
    forget_target(m);
    release_buckets(m);
    m->buckets = m->few;
}

/* ---- the streams by id ----------------------------------------------------------------------- */

static struct mux_stream **bucket_of(struct mux *m, uint16_t id)
{
    return &m->buckets[id & (m->bucket_count - 1)];
}

static struct mux_stream *find(struct mux *m, uint16_t id)
{
    struct mux_stream *st = *bucket_of(m, id);

    while (st != NULL && st->id != id)
        st = st->chain;
    return st;
}

/* Without memory the chains only get longer. */
static void grow(struct mux *m)
{
    uint32_t count = m->bucket_count * 8;
    struct mux_stream **more;

    if (count > BUCKETS_MAX)
        return;
    more = pool_alloc(m->pool, count * sizeof(struct mux_stream *));
    if (more == NULL)
        return;
    release_buckets(m);
    m->buckets = more;
    m->bucket_count = count;
    LIST_FOREACH(n, tmp, &m->all) {
        struct mux_stream *st = LIST_ENTRY(n, struct mux_stream, all);
        struct mux_stream **b = bucket_of(m, st->id);
        st->chain = *b;
        *b = st;
    }
}

/* Brings the sums up to date with what lies in the queues of @st. */
static void count_up(struct mux *m, struct mux_stream *st)
{
    uint32_t now = st->up != NULL ? st->up->bytes : 0;

    m->up_queued += (uint64_t)now - st->up_seen;
    st->up_seen = now;
}

static void count_down(struct mux *m, struct mux_stream *st)
{
    uint32_t now = st->down != NULL ? st->down->bytes : 0;

    m->down_queued += (uint64_t)now - st->down_seen;
    st->down_seen = now;
}

void mux_add(struct mux *m, struct mux_stream *st, const struct mux_frame *open, bool resumed)
{
    struct mux_stream **b;

    st->id = open->id;
    st->udp = open->network == MUX_UDP;
    list_init(&st->all);
    list_init(&st->ready);
    if (m->count >= m->bucket_count * 4)
        grow(m);
    b = bucket_of(m, st->id);
    st->chain = *b;
    *b = st;
    list_add_tail(&m->all, &st->all);
    m->count++;
    count_up(m, st);
    count_down(m, st);
    if (m->left == 0)
        return;
    m->current = st;
    if (resumed) {
        forget_target(m);
        m->first_to = pool_alloc(m->pool, sizeof(*m->first_to));
        if (m->first_to != NULL)
            *m->first_to = open->target;
        else
            m->current = NULL; /* a lost datagram */
    }
}

void mux_remove(struct mux *m, struct mux_stream *st)
{
    struct mux_stream **p = bucket_of(m, st->id);

    while (*p != st)
        p = &(*p)->chain;
    *p = st->chain;
    list_del(&st->all);
    list_del(&st->ready);
    st->up = st->down = NULL;
    count_up(m, st);
    count_down(m, st);
    m->count--;
    if (m->current == st)
        m->current = NULL;
}

struct mux_stream *mux_first(const struct mux *m)
{
    return list_empty(&m->all) ? NULL : LIST_ENTRY(m->all.next, struct mux_stream, all);
}

static struct mux_stream *take_first(struct list *l)
{
    struct list *n = l->next;

    if (list_empty(l))
        return NULL;
    list_del(n);
    return LIST_ENTRY(n, struct mux_stream, ready);
}

struct mux_stream *mux_take_drained(struct mux *m)
{
    return take_first(&m->drained);
}

struct mux_stream *mux_take_closed(struct mux *m)
{
    return take_first(&m->closed);
}

static void make_ready(struct mux *m, struct mux_stream *st)
{
    list_del(&st->ready); /* of drained, or of ready itself: then it has had its place */
    list_add_tail(&m->ready, &st->ready);
}

void mux_pushed(struct mux *m, struct mux_stream *st)
{
    count_down(m, st);
    if (st->down->head != NULL && st->down_seen > 0)
        make_ready(m, st);
}

void mux_close(struct mux *m, struct mux_stream *st, bool failed)
{
    st->up = st->down = NULL;
    st->failed = failed;
    count_up(m, st);
    count_down(m, st);
    make_ready(m, st);
}

bool mux_taken(struct mux *m, struct mux_stream *st)
{
    count_up(m, st);
    if (!m->waits || m->up_queued > MUX_UP_ALL_MAX / 2 ||
        (m->current != NULL && m->current->up_seen > MUX_UP_MAX / 2))
        return false;
    m->waits = false;
    return true;
}

/* ---- from the client ------------------------------------------------------------------------- */

static bool up_full(const struct mux *m, const struct mux_stream *st)
{
    return st->up->bytes >= MUX_UP_MAX || m->up_queued >= MUX_UP_ALL_MAX;
}

static enum status send_end(struct mux *m, struct bufq *out, uint16_t id, bool failed)
{
    uint8_t end[MUX_END_LEN];

    return bufq_put(out, end, mux_frame_end(end, id, failed), m->pool);
}

enum status mux_refuse(struct mux *m, const struct mux_frame *open, struct bufq *out)
{
    return send_end(m, out, open->id, true);
}

static void skip(struct mux *m, struct bufq *in)
{
    uint32_t n = m->left < in->bytes ? m->left : in->bytes;

    bufq_drop(in, n, m->pool);
    m->left -= n;
}

/* What there is of a stream's bytes, without waiting for the rest of the frame. */
static enum status move_bytes(struct mux *m, struct bufq *in, struct mux_event *ev)
{
    struct mux_stream *st = m->current;
    size_t moved = 0;

    if (up_full(m, st)) {
        m->waits = true;
        return ST_FULL;
    }
    while (m->left > 0 && in->head != NULL) {
        uint32_t n = in->head->len < m->left ? in->head->len : m->left;
        if (n <= SMALL_PIECE) {
            if (n > 0 && bufq_put(st->up, span_data(in->head), n, m->pool) != ST_OK)
                return ST_E_NOMEM;
            bufq_drop(in, n, m->pool);
        } else if (bufq_move_bytes(st->up, in, n, m->pool) != n) {
            return ST_E_NOMEM;
        }
        m->left -= n;
        moved += n;
    }
    count_up(m, st);
    if (moved == 0)
        return ST_MORE;
    ev->kind = MUX_EV_DATA;
    ev->stream = st;
    return ST_OK;
}

/* A datagram on its own: views of 16 KiB for every small one would add up. */
static struct span *take_datagram(struct mux *m, struct bufq *in, uint32_t len)
{
    struct span *s;

    if (len > SMALL_PIECE)
        return frame_take(in, len, m->pool);
    s = span_new_for(m->pool, len);
    if (s == NULL)
        return NULL;
    bufq_peek(in, span_data(s), len);
    s->len = len;
    bufq_drop(in, len, m->pool);
    return s;
}

/* One datagram, all of which is in @in, for @to (NULL: the flow's own target). ST_YIELD: nobody
 * wanted it. */
static enum status move_datagram(struct mux *m, struct bufq *in, uint32_t len,
                                 struct mux_stream *st, const struct target *to)
{
    struct span *s, *sent;

    if (up_full(m, st) || st->up->count >= MUX_UP_COUNT_MAX) {
        bufq_drop(in, len, m->pool);
        m->dropped++;
        return ST_YIELD;
    }
    s = take_datagram(m, in, len);
    if (s == NULL)
        return ST_E_NOMEM;
    memset(&s->peer, 0, sizeof(s->peer));
    sent = to != NULL ? frame_set_target(m->pool, s, to) : s;
    if (sent == NULL) {
        span_free(m->pool, s);
        return ST_E_NOMEM;
    }
    bufq_push(st->up, sent);
    count_up(m, st);
    return ST_OK;
}

/* The data of the frame whose head has been eaten. ST_OK with an event, ST_YIELD when it is done
 * without one, or as mux_rx. */
static enum status read_data(struct mux *m, struct bufq *in, struct mux_event *ev)
{
    struct mux_stream *st = m->current;

    if (st == NULL || st->up == NULL) {
        skip(m, in);
        return m->left == 0 ? ST_YIELD : ST_MORE;
    }
    if (!m->datagram)
        return move_bytes(m, in, ev);
    if (m->left > BLK_DATA) {
        m->current = NULL;
        return ST_YIELD;
    }
    if (in->bytes < m->left)
        return ST_MORE;
    uint32_t len = m->left;
    m->left = 0;
    ev->kind = MUX_EV_DATA;
    ev->stream = st;
    enum status done = move_datagram(m, in, len, st, m->first_to);
    forget_target(m);
    return done;
}

static void begin_data(struct mux *m, struct mux_stream *st, const struct mux_frame *f)
{
    m->current = st;
    m->left = f->data_len;
    m->datagram = f->status == MUX_NEW && f->network == MUX_UDP;
}

/* Keep, its head not yet eaten. Answers as read_data. */
static enum status read_keep(struct mux *m, struct bufq *in, struct bufq *out, size_t head,
                             const struct mux_frame *f, struct mux_event *ev)
{
    struct mux_stream *st = find(m, f->id);

    if (st == NULL && (f->option & MUX_OPT_DATA)) {
        if (out->bytes >= out->cap + ANSWERS_MAX)
            return ST_FULL;
        if (send_end(m, out, f->id, false) != ST_OK)
            return ST_E_NOMEM;
        m->unknown++;
    }
    if (st == NULL || st->up == NULL || !st->udp || f->data_len == 0 || f->data_len > BLK_DATA) {
        bufq_drop(in, head, m->pool);
        begin_data(m, st != NULL && st->udp ? NULL : st, f);
        return ST_YIELD;
    }
    if (in->bytes < head + f->data_len)
        return ST_MORE;
    bufq_drop(in, head, m->pool);
    ev->kind = MUX_EV_DATA;
    ev->stream = st;
    return move_datagram(m, in, f->data_len, st, f->network != 0 ? &f->target : NULL);
}

static enum status read_new(struct mux *m, struct bufq *in, size_t head, const struct mux_frame *f,
                            struct mux_event *ev)
{
    struct mux_stream *old = find(m, f->id);

    ev->stream = old;
    if (old != NULL) {
        ev->kind = MUX_EV_REPLACED;
        mux_remove(m, old);
        return ST_OK; /* the frame is read again, then as one for an id that is free */
    }
    ev->kind = MUX_EV_OPEN;
    bufq_drop(in, head, m->pool);
    begin_data(m, NULL, f);
    return ST_OK;
}

/* Xray-core answers with the error mark: its reader of the target was interrupted. */
static enum status read_end(struct mux *m, struct bufq *in, struct bufq *out, size_t head,
                            const struct mux_frame *f, struct mux_event *ev)
{
    struct mux_stream *st = find(m, f->id);

    if (st != NULL) {
        if (out->bytes >= out->cap + ANSWERS_MAX)
            return ST_FULL;
        if (send_end(m, out, f->id, true) != ST_OK)
            return ST_E_NOMEM;
    }
    bufq_drop(in, head, m->pool);
    begin_data(m, NULL, f);
    if (st == NULL)
        return ST_YIELD;
    mux_remove(m, st);
    ev->kind = MUX_EV_ENDED;
    ev->stream = st;
    return ST_OK;
}

static enum status read_head(struct mux *m, struct bufq *in, struct bufq *out, struct mux_event *ev,
                             struct why *why)
{
    struct mux_frame *f = &ev->open;
    uint8_t copy[MUX_HEAD_MAX];
    const uint8_t *p = copy;
    size_t len, head = 0;
    enum status st;

    while (in->head != NULL && in->head->len == 0)
        span_free(m->pool, bufq_pop(in));
    if (in->head == NULL)
        return ST_MORE;
    if (in->head->len >= MUX_HEAD_MAX) {
        p = span_data(in->head);
        len = MUX_HEAD_MAX;
    } else {
        len = bufq_peek(in, copy, sizeof(copy));
    }
    st = mux_frame_parse(p, len, f, &head, why);
    if (st != ST_OK)
        return st;
    switch ((enum mux_status)f->status) {
    case MUX_NEW:
        return read_new(m, in, head, f, ev);
    case MUX_KEEP:
        return read_keep(m, in, out, head, f, ev);
    case MUX_END:
        return read_end(m, in, out, head, f, ev);
    case MUX_KEEP_ALIVE:
        break;
    }
    bufq_drop(in, head, m->pool);
    begin_data(m, NULL, f);
    return ST_YIELD;
}

enum status mux_rx(struct mux *m, struct bufq *in, struct bufq *out, struct mux_event *ev,
                   struct why *why)
{
    enum status st;

    m->waits = false;
    do {
        st = m->left > 0 ? read_data(m, in, ev) : read_head(m, in, out, ev, why);
    } while (st == ST_YIELD);
    if (st == ST_E_NOMEM)
        why_set(why, st, "no memory for a stream's bytes", 0);
    return st;
}

/* ---- to the client --------------------------------------------------------------------------- */

/* Puts @head in front of @s, in its head room where that is ours, and both to @out. */
static enum status push_frame(struct mux *m, struct bufq *out, const uint8_t *head, size_t n,
                              struct span *s)
{
    if (span_owns_blk(s) && span_headroom(s) >= n) {
        s->off -= (uint32_t)n;
        s->len += (uint32_t)n;
        memcpy(span_data(s), head, n);
    } else if (bufq_put(out, head, n, m->pool) != ST_OK) {
        return ST_E_NOMEM;
    }
    s->flags = 0;
    memset(&s->peer, 0, sizeof(s->peer)); /* a stream of bytes from here on */
    bufq_push(out, s);
    return ST_OK;
}

static enum status push_span(struct mux *m, struct mux_stream *st, struct bufq *out, struct span *s)
{
    uint8_t head[MUX_KEEP_ADDR_MAX];
    uint16_t len = (uint16_t)s->len;
    size_t n;

    if (!st->udp)
        n = mux_frame_keep(head, st->id, len);
    else if (st->name != NULL && addr_equal(&s->peer, &st->from))
        n = mux_frame_keep_from(head, st->id, st->name, len);
    else
        n = mux_frame_keep_from_ip(head, st->id, &s->peer, len);
    return push_frame(m, out, head, n, s);
}

static bool unusable(const struct mux_stream *st, const struct span *s)
{
    return s->len == 0 || (st->udp && (s->len > MUX_DATAGRAM_MAX || s->peer.family == ADDR_NONE));
}

/* @st's turn: ST_OK, ST_FULL or ST_E_NOMEM. */
static enum status send_some(struct mux *m, struct mux_stream *st, struct bufq *out)
{
    uint32_t sent = 0;

    while (st->down->head != NULL && sent < MUX_QUANTUM) {
        if (bufq_room(out) == 0)
            return ST_FULL;
        struct span *s = bufq_pop(st->down);
        sent += s->len;
        if (unusable(st, s)) {
            span_free(m->pool, s);
            m->dropped += st->udp;
        } else if (push_span(m, st, out, s) != ST_OK) {
            bufq_unshift(st->down, s);
            return ST_E_NOMEM;
        }
    }
    return ST_OK;
}

enum status mux_tx(struct mux *m, struct bufq *out)
{
    enum status st = ST_OK;

    while (st == ST_OK && !list_empty(&m->ready)) {
        struct mux_stream *one = LIST_ENTRY(m->ready.next, struct mux_stream, ready);
        if (bufq_room(out) == 0)
            return ST_FULL;
        if (one->down == NULL) {
            if (send_end(m, out, one->id, one->failed) != ST_OK)
                return ST_E_NOMEM;
            mux_remove(m, one);
            list_add_tail(&m->closed, &one->ready);
            continue;
        }
        st = send_some(m, one, out);
        count_down(m, one);
        list_del(&one->ready);
        list_add_tail(one->down->head != NULL ? &m->ready : &m->drained, &one->ready);
    }
    return st;
}
