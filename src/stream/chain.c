#include "stream/chain.h"

#include <string.h>

/* Rounds of up and down before the chain lets others run; a round moves at least one unit of
 * every layer. */
#define ROUNDS_MAX 64

static size_t queues_size(const struct chain *c)
{
    return 2 * ((size_t)c->made + 1) * sizeof(struct bufq);
}

enum status chain_init(struct chain *c, const struct env *env, const struct chain_stage *stages,
                       unsigned n)
{
    memset(c, 0, sizeof(*c));
    BUG_ON(n > CHAIN_LAYERS_MAX);
    c->env = env;
    c->count = c->made = c->sound = (uint8_t)n;
    c->in = pool_alloc(env->pool, queues_size(c));
    if (c->in == NULL) {
        c->count = 0;
        return ST_E_NOMEM;
    }
    c->out = c->in + n + 1;
    for (unsigned i = 0; i <= n; i++) {
        bufq_init(&c->in[i], CHAIN_QUEUE_CAP);
        bufq_init(&c->out[i], CHAIN_QUEUE_CAP);
    }
    enum status st = ST_OK;
    for (unsigned i = 0; i < n && st == ST_OK; i++) {
        const struct layer_ops *ops = stages[i].ops;
        struct layer *l = pool_alloc(env->pool, ops->size);
        if (l == NULL) {
            st = ST_E_NOMEM;
            break;
        }
        l->ops = ops;
        l->env = env;
        if (ops->flags & LAYER_NO_HALF_CLOSE)
            c->no_half_close = true;
        if (ops->flags & LAYER_ONE_UNIT)
            c->one_unit = true;
        st = ops->init(l, stages[i].conf);
        if (st != ST_OK)
            pool_release(env->pool, l, ops->size);
        else
            c->layers[i] = l;
    }
    if (st != ST_OK)
        chain_fini(c);
    return st;
}

static void layer_free(struct chain *c, unsigned i)
{
    struct layer *l = c->layers[i];
    if (l == NULL)
        return;
    if (l->ops->fini)
        l->ops->fini(l);
    pool_release(c->env->pool, l, l->ops->size);
    c->layers[i] = NULL;
}

void chain_fini(struct chain *c)
{
    if (c->in == NULL)
        return;
    for (unsigned i = CHAIN_LAYERS_MAX; i-- > 0;)
        layer_free(c, i);
    for (unsigned i = 0; i <= c->count; i++) {
        bufq_clear(&c->in[i], c->env->pool);
        bufq_clear(&c->out[i], c->env->pool);
    }
    pool_release(c->env->pool, c->in, queues_size(c));
    c->in = c->out = NULL;
    c->count = 0;
}

/* The nearest layer below @i that can leave; @i itself when there is none. */
static unsigned leaver_below(const struct chain *c, unsigned i)
{
    for (unsigned j = i; j-- > 0;)
        if (c->layers[j]->ops->leave)
            return j;
    return i;
}

/* Takes note of what layer @i said about leaving, right after its call. */
static void note_leave(struct chain *c, unsigned i, struct events *ev)
{
    uint8_t self = (uint8_t)(1u << i);
    if (ev->mask & (EV_LEAVE_RX | EV_LEAVE_RX_BOTTOM))
        c->rx_gone |= self;
    if (ev->mask & (EV_LEAVE_TX | EV_LEAVE_TX_BOTTOM))
        c->tx_gone |= self;
    unsigned low = leaver_below(c, i);
    if ((ev->mask & EV_LEAVE_RX_BOTTOM) && low < i &&
        c->layers[low]->ops->leave(c->layers[low], CHAIN_RX))
        c->rx_gone |= (uint8_t)(self - (1u << low));
    if ((ev->mask & EV_LEAVE_TX_BOTTOM) && low < i)
        c->tx_leaving |= (uint8_t)(1u << low);
    if (ev->mask & EV_UNITS_OFF)
        c->one_unit = false;
    ev->mask &= ~(uint32_t)(EV_LEAVE_RX | EV_LEAVE_TX | EV_LEAVE_RX_BOTTOM | EV_LEAVE_TX_BOTTOM |
                            EV_UNITS_OFF);
}

/* All that was sealed before the mark has been sealed: layer @i may go. */
static void finish_leaving(struct chain *c, unsigned i)
{
    c->tx_leaving &= (uint8_t) ~(1u << i);
    if (c->layers[i]->ops->leave(c->layers[i], CHAIN_TX))
        c->tx_gone |= (uint8_t)(1u << i);
}

/* Moves spans past a layer that left, or past none, as far as the cap allows. */
static void pass(struct bufq *dst, struct bufq *src)
{
    if (src->head && bufq_room(dst) > 0)
        bufq_move(dst, src);
    if (bufq_ended(src))
        dst->eof = true;
}

static struct turn turn_of(struct chain *c, unsigned i, struct events *ev, const struct turn *base)
{
    struct turn t = *base;
    t.wire_in = &c->in[i];
    t.up = &c->in[i + 1];
    t.down = &c->out[i + 1];
    t.wire_out = &c->out[i];
    t.ev = ev;
    t.one_unit = c->one_unit;
    return t;
}

/* Layer @i may have told an end that its bytes carry (a VMess chunk without payload). Where no
 * layer above it forbids it, the other direction goes on whatever lies below: the transport
 * itself is as open as before. */
static void note_end(struct chain *c, unsigned i)
{
    if (!c->no_half_close || !c->in[i + 1].eof || c->in[i].eof)
        return;
    for (unsigned j = i; j < c->count; j++)
        if (c->layers[j]->ops->flags & LAYER_NO_HALF_CLOSE)
            return;
    c->no_half_close = false;
}

static enum status layer_rx(struct chain *c, unsigned i, struct events *ev, struct turn *base)
{
    struct bufq *in = &c->in[i], *up = &c->in[i + 1];
    if (c->rx_gone & (1u << i)) {
        pass(up, in);
        return ST_OK;
    }
    if (in->head == NULL && !in->eof)
        return ST_OK;
    /* While a layer above is undecided the next unit is opened only after it has seen the last. */
    if (c->one_unit && c->layers[i]->ops->leave && (c->rx_full & (1u << (i + 1))) && up->head)
        return ST_OK;
    if (up->eof) {
        /* The layer ended its direction in order: what the peer sends after its goodbye means
         * nothing. */
        bufq_clear(in, c->env->pool);
        return ST_OK;
    }
    struct turn t = turn_of(c, i, ev, base);
    enum status st = c->layers[i]->ops->rx(c->layers[i], &t);
    base->wake_us = t.wake_us;
    note_leave(c, i, ev);
    c->rx_full = (uint8_t)((c->rx_full & ~(1u << i)) | (st == ST_FULL ? 1u << i : 0));
    if (st < 0 || (ev->mask & EV_DIVERT))
        return st;
    note_end(c, i);
    if (c->rx_gone & (1u << i))
        pass(up, in);
    else if (in->eof && st != ST_FULL && st != ST_YIELD && !up->eof) {
        bufq_clear(in, c->env->pool); /* the rest of a unit that will never be whole */
        up->eof = true;
    }
    return st == ST_YIELD ? ST_YIELD : ST_OK;
}

static enum status layer_tx(struct chain *c, unsigned i, struct events *ev, struct turn *base)
{
    struct bufq *out = &c->out[i], *down = &c->out[i + 1];
    bool wait = (c->tx_leaving & ((1u << i) - 1)) != 0; /* one below has yet to go */
    if (c->tx_gone & (1u << i)) {
        if (!wait)
            pass(out, down);
        return ST_OK;
    }
    struct turn t = turn_of(c, i, ev, base);
    enum status st = c->layers[i]->ops->tx(c->layers[i], &t);
    base->wake_us = t.wake_us;
    note_leave(c, i, ev);
    if (st < 0 || (ev->mask & EV_DIVERT))
        return st;
    if ((c->tx_leaving & (1u << i)) && bufq_empty(down))
        finish_leaving(c, i);
    if (c->tx_gone & (1u << i)) {
        if ((c->tx_leaving & ((1u << i) - 1)) == 0)
            pass(out, down);
        return ST_OK;
    }
    if (!bufq_ended(down) || (c->shut_done & (1u << i)))
        return st == ST_YIELD ? ST_YIELD : ST_OK;
    c->shut_done |= (uint8_t)(1u << i);
    if (c->layers[i]->ops->shut == NULL) {
        out->eof = true;
        return ST_OK;
    }
    t = turn_of(c, i, ev, base);
    st = c->layers[i]->ops->shut(c->layers[i], &t);
    base->wake_us = t.wake_us;
    return st < 0 ? st : ST_OK;
}

/* Changes when something moved: bytes, spans and ends of all queues. The odd factor keeps moves
 * in two directions from cancelling each other out. */
static uint64_t position(const struct chain *c)
{
    uint64_t sum = c->rx_gone + c->tx_gone * 256u + c->tx_leaving * 65536u + c->one_unit;
    for (unsigned i = 0; i < 2u * (c->count + 1u); i++) {
        const struct bufq *q = i <= c->count ? &c->in[i] : &c->out[i - c->count - 1];
        uint64_t state = q->bytes | (uint64_t)q->count << 32 | (q->eof ? (uint64_t)1 << 63 : 0);
        sum = (sum + state) * 0x9e3779b97f4a7c15u;
    }
    return sum;
}

/* Layer @i has failed and gets no more calls. What it left in its wire queue (an alert, a Close
 * frame) still goes down, and the layers below end in order. */
static void fail_layer(struct chain *c, unsigned i)
{
    c->out[i].eof = true;
    if (i < c->sound)
        c->sound = (uint8_t)i;
}

/* One round: up by rx, down by tx. ST_OK, ST_YIELD, or the first error. */
static enum status run_round(struct chain *c, struct events *ev, struct turn *base)
{
    enum status st = (enum status)c->failed;
    for (unsigned i = 0; i < c->count && st >= 0; i++) {
        enum status up = layer_rx(c, i, ev, base);
        if (ev->mask & EV_DIVERT) {
            c->divert_at = (uint8_t)i;
            return ST_OK;
        }
        if (up < 0)
            fail_layer(c, i);
        st = up != ST_OK ? up : st;
    }
    for (unsigned i = c->sound < c->count ? c->sound : c->count; i-- > 0;) {
        enum status down = layer_tx(c, i, ev, base);
        if (ev->mask & EV_DIVERT) {
            c->divert_at = (uint8_t)i;
            return ST_OK;
        }
        if (down < 0)
            fail_layer(c, i);
        if (st >= 0 && down != ST_OK)
            st = down;
    }
    if (st < 0)
        c->failed = (int8_t)st;
    return st;
}

enum status chain_run(struct chain *c, struct events *ev, uint64_t now_us, int64_t unix_s,
                      uint64_t *wake_us)
{
    ev->mask = 0;
    ev->why = (struct why){0};
    struct turn base = {.now_us = now_us, .unix_s = unix_s, .wake_us = *wake_us};
    enum status st = ST_OK;
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        uint64_t before = position(c);
        bool by_units = c->one_unit;
        st = run_round(c, ev, &base);
        if (st < 0 || (ev->mask & EV_DIVERT) || position(c) == before)
            break;
        /* A record layer held to one unit yields after it. Those above have seen it by now, and the
         * next may be opened at once: a client whose uplink stays undecided (Xray-core as soon as
         * its pieces do not end with inner records) would else have one record a turn. */
        if (st == ST_YIELD && !by_units)
            break;
        if (round + 1 == ROUNDS_MAX)
            st = ST_YIELD;
    }
    *wake_us = base.wake_us;
    return st;
}

void chain_divert(struct chain *c)
{
    unsigned keep = c->divert_at;
    /* The diverting layer ate nothing, so everything queued lies in its in-queue; those below
     * have passed theirs up. */
    for (unsigned i = c->count; i-- > keep;) {
        layer_free(c, i);
        bufq_clear(&c->in[i + 1], c->env->pool);
        bufq_clear(&c->out[i + 1], c->env->pool);
    }
    uint8_t mask = (uint8_t)((1u << keep) - 1);
    c->rx_gone &= mask;
    c->tx_gone &= mask;
    c->shut_done &= mask;
    c->tx_leaving = c->rx_full = 0;
    c->one_unit = false;
    c->count = c->sound = (uint8_t)keep; /* the queues stay where they are, the top moves down */
}

enum chain_raw chain_raw(const struct chain *c, enum chain_dir dir)
{
    uint8_t gone = dir == CHAIN_RX ? c->rx_gone : c->tx_gone;
    const struct bufq *q = dir == CHAIN_RX ? c->in : c->out;
    enum chain_raw answer = CHAIN_RAW_NOW;
    for (unsigned i = 0; i < c->count; i++) {
        if (gone & (1u << i))
            continue;
        if (!(c->layers[i]->ops->flags & LAYER_MAY_LEAVE) && c->layers[i]->ops->leave == NULL)
            return CHAIN_RAW_NEVER;
        answer = CHAIN_RAW_LATER;
    }
    for (unsigned i = 0; i <= c->count; i++)
        if (q[i].head)
            answer = CHAIN_RAW_LATER;
    return answer;
}

size_t chain_queued(const struct chain *c, enum chain_dir dir)
{
    const struct bufq *q = dir == CHAIN_RX ? c->in : c->out;
    size_t sum = 0;
    for (unsigned i = 0; i <= c->count; i++)
        sum += q[i].bytes;
    return sum;
}
