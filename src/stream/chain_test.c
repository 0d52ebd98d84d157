/* Chains of tiny layers that do as they are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "stream/chain.h"

/* What one layer does, and what was seen of it. It marks each byte string that passes with its
 * letter: up in front of what comes, down likewise, so that order can be read. */
struct script {
    char letter;
    size_t unit;            /* bytes moved at a time; 0: all */
    enum status rx, tx;     /* answered instead of ST_OK, once something is there to eat */
    uint32_t say;           /* events of the first rx with input */
    bool stay;              /* eats nothing, as a layer that diverts or waits */
    bool yields;            /* ST_YIELD after each unit */
    bool full;              /* ST_FULL after each unit (judge) */
    bool ends;              /* tells the end after the first bytes */
    const char *goodbye;    /* put in wire_out by shut */
    const char *last_words; /* put in wire_out before an error */
    uint64_t wake_us;
    unsigned rx_calls, tx_calls, shuts, finis;
};

struct scripted {
    struct layer layer;
    struct script *s;
    bool said, marked_up, marked_down;
};

static enum status scripted_init(struct layer *l, const void *conf)
{
    /* The test's own script, which it reads afterwards. */
    ((struct scripted *)(void *)l)->s = (struct script *)(uintptr_t)conf;
    return ST_OK;
}

static void mark(struct scripted *l, bool *done, struct bufq *to)
{
    if (*done || l->s->letter == 0)
        return;
    *done = true;
    assert_int_equal(bufq_put(to, &l->s->letter, 1, l->layer.env->pool), ST_OK);
}

static enum status scripted_rx(struct layer *layer, struct turn *t)
{
    struct scripted *l = (struct scripted *)(void *)layer;
    struct script *s = l->s;
    struct pool *p = layer->env->pool;
    s->rx_calls++;
    if (t->wire_in->head == NULL)
        return ST_OK;
    if (s->rx < 0) {
        if (s->last_words)
            assert_int_equal(bufq_put(t->wire_out, s->last_words, strlen(s->last_words), p), ST_OK);
        return turn_fail(t, s->rx, "as told", 0);
    }
    if (!l->said)
        t->ev->mask |= s->say;
    l->said = true;
    if (s->stay)
        return ST_MORE;
    while (t->wire_in->head) {
        if (bufq_room(t->up) == 0)
            return ST_FULL;
        mark(l, &l->marked_up, t->up);
        if (s->say & EV_LEAVE_RX)
            return ST_OK; /* what is queued is the chain's to move */
        (void)bufq_move_bytes(t->up, t->wire_in, s->unit ? s->unit : SIZE_MAX, p);
        if (s->yields && t->wire_in->head)
            return ST_YIELD;
    }
    t->up->eof |= s->ends;
    return ST_OK;
}

static enum status scripted_tx(struct layer *layer, struct turn *t)
{
    struct scripted *l = (struct scripted *)(void *)layer;
    struct script *s = l->s;
    s->tx_calls++;
    if (s->wake_us && s->wake_us < t->wake_us)
        t->wake_us = s->wake_us;
    if (t->down->head == NULL)
        return ST_OK;
    if (s->tx < 0)
        return turn_fail(t, s->tx, "as told", 0);
    while (t->down->head) {
        if (bufq_room(t->wire_out) == 0)
            return ST_FULL;
        mark(l, &l->marked_down, t->wire_out);
        (void)bufq_move_bytes(t->wire_out, t->down, s->unit ? s->unit : SIZE_MAX, layer->env->pool);
    }
    return ST_OK;
}

static enum status scripted_shut(struct layer *layer, struct turn *t)
{
    struct script *s = ((struct scripted *)(void *)layer)->s;
    s->shuts++;
    if (s->goodbye)
        assert_int_equal(bufq_put(t->wire_out, s->goodbye, strlen(s->goodbye), layer->env->pool),
                         ST_OK);
    t->wire_out->eof = true;
    return ST_OK;
}

static void scripted_fini(struct layer *layer)
{
    ((struct scripted *)(void *)layer)->s->finis++;
}

static const struct layer_ops ops = {
    .name = "scripted",
    .size = sizeof(struct scripted),
    .wire = PORT_BYTES,
    .plain = PORT_BYTES,
    .init = scripted_init,
    .rx = scripted_rx,
    .tx = scripted_tx,
    .shut = scripted_shut,
    .fini = scripted_fini,
};

static const struct layer_ops leaving_ops = {
    .name = "leaving",
    .size = sizeof(struct scripted),
    .wire = PORT_BYTES,
    .plain = PORT_BYTES,
    .flags = LAYER_MAY_LEAVE,
    .init = scripted_init,
    .rx = scripted_rx,
    .tx = scripted_tx,
    .shut = scripted_shut,
    .fini = scripted_fini,
};

/* Like WebSocket. */
static const struct layer_ops whole_ops = {
    .name = "whole",
    .size = sizeof(struct scripted),
    .wire = PORT_BYTES,
    .plain = PORT_BYTES,
    .flags = LAYER_NO_HALF_CLOSE,
    .init = scripted_init,
    .rx = scripted_rx,
    .tx = scripted_tx,
    .shut = scripted_shut,
    .fini = scripted_fini,
};

/* A record layer in small: a byte is a unit, opening it makes it a capital. */
static enum status opener_rx(struct layer *layer, struct turn *t)
{
    struct script *s = ((struct scripted *)(void *)layer)->s;
    char c;
    s->rx_calls++;
    while (t->wire_in->bytes > 0) {
        if (bufq_room(t->up) == 0)
            return ST_FULL;
        bufq_peek(t->wire_in, &c, 1);
        bufq_drop(t->wire_in, 1, layer->env->pool);
        c = (char)(c - 'a' + 'A');
        assert_int_equal(bufq_put(t->up, &c, 1, layer->env->pool), ST_OK);
        if (t->one_unit && t->wire_in->bytes > 0)
            return ST_YIELD;
    }
    return ST_OK;
}

static bool opener_leave(struct layer *layer, enum chain_dir dir)
{
    (void)layer;
    (void)dir;
    return true;
}

static const struct layer_ops opener_ops = {
    .name = "opener",
    .size = sizeof(struct scripted),
    .wire = PORT_BYTES,
    .plain = PORT_BYTES,
    .init = scripted_init,
    .rx = opener_rx,
    .tx = scripted_tx,
    .leave = opener_leave,
    .fini = scripted_fini,
};

/* Undecided until it meets an L (leaves with the opener) or a U (units are over). */
static enum status judge_rx(struct layer *layer, struct turn *t)
{
    struct script *s = ((struct scripted *)(void *)layer)->s;
    char c;
    s->rx_calls++;
    while (t->wire_in->bytes > 0) {
        if (bufq_room(t->up) == 0)
            return ST_FULL;
        assert_true(!t->one_unit || t->wire_in->bytes == 1);
        bufq_peek(t->wire_in, &c, 1);
        (void)bufq_move_bytes(t->up, t->wire_in, 1, layer->env->pool);
        t->ev->mask |= c == 'L' ? EV_LEAVE_RX_BOTTOM : c == 'U' ? EV_UNITS_OFF : 0;
        if (s->full)
            return ST_FULL;
    }
    return ST_OK;
}

static const struct layer_ops judge_ops = {
    .name = "judge",
    .size = sizeof(struct scripted),
    .wire = PORT_BYTES,
    .plain = PORT_BYTES,
    .flags = LAYER_MAY_LEAVE | LAYER_ONE_UNIT,
    .init = scripted_init,
    .rx = judge_rx,
    .tx = scripted_tx,
    .fini = scripted_fini,
};

/* ---- the bench ---- */

struct bench {
    struct pool *pool;
    struct env env;
    struct chain c;
    struct events ev;
    struct script s[3];
    uint64_t wake;
};

static int setup(void **state)
{
    static struct bench b;
    memset(&b, 0, sizeof(b));
    b.pool = pool_new(0);
    b.env.pool = b.pool;
    for (int i = 0; i < 3; i++)
        b.s[i].letter = (char)('a' + i);
    *state = &b;
    return b.pool == NULL;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    chain_fini(&b->c);
    chain_fini(&b->c);
    assert_int_equal(pool_used(b->pool), 0);
    pool_free(b->pool);
    return 0;
}

static void build(struct bench *b, unsigned n, const struct layer_ops *with)
{
    struct chain_stage stages[3];
    for (unsigned i = 0; i < 3; i++)
        stages[i] = (struct chain_stage){with, &b->s[i]};
    assert_int_equal(chain_init(&b->c, &b->env, stages, n), ST_OK);
}

static enum status run(struct bench *b)
{
    b->wake = UINT64_MAX;
    return chain_run(&b->c, &b->ev, 1, 1, &b->wake);
}

static void feed(struct bench *b, struct bufq *q, const char *text)
{
    assert_int_equal(bufq_put(q, text, strlen(text), b->pool), ST_OK);
}

static void expect(struct bench *b, struct bufq *q, const char *want)
{
    char got[64] = "";
    assert_int_equal(q->bytes, strlen(want));
    bufq_peek(q, got, sizeof(got) - 1);
    assert_string_equal(got, want);
    bufq_clear(q, b->pool);
}

/* ---- cases ---- */

static void bytes_go_up_and_down_in_order_of_the_layers(void **state)
{
    struct bench *b = *state;
    build(b, 3, &ops);
    feed(b, chain_bottom_in(&b->c), "x");
    feed(b, chain_down(&b->c), "y");
    assert_int_equal(run(b), ST_OK);
    expect(b, chain_up(&b->c), "cbax");
    expect(b, chain_bottom_out(&b->c), "abcy");
    assert_int_equal(chain_queued(&b->c, CHAIN_RX) + chain_queued(&b->c, CHAIN_TX), 0);
}

static void a_chain_without_layers_is_one_queue_each_way(void **state)
{
    struct bench *b = *state;
    build(b, 0, &ops);
    assert_ptr_equal(chain_bottom_in(&b->c), chain_up(&b->c));
    assert_ptr_equal(chain_bottom_out(&b->c), chain_down(&b->c));
    assert_int_equal(run(b), ST_OK);
    assert_int_equal(chain_raw(&b->c, CHAIN_RX), CHAIN_RAW_NOW);
}

static void the_end_goes_up_behind_the_bytes(void **state)
{
    struct bench *b = *state;
    build(b, 3, &ops);
    feed(b, chain_bottom_in(&b->c), "x");
    chain_bottom_in(&b->c)->eof = true;
    assert_int_equal(run(b), ST_OK);
    assert_true(chain_up(&b->c)->eof);
    assert_false(bufq_ended(chain_up(&b->c)));
    expect(b, chain_up(&b->c), "cbax");
    assert_true(bufq_ended(chain_up(&b->c)));
}

/* An end told inside a transport leaves it open; the transport's own end, or that of what carries
 * it, ends both directions. */
static void an_end_above_is_no_end_of_the_transport(void **state)
{
    struct bench *b = *state;

    for (unsigned who = 0; who < 3; who++) {
        const struct chain_stage stages[] = {
            {&ops, &b->s[0]}, {&whole_ops, &b->s[1]}, {&ops, &b->s[2]}};
        for (unsigned i = 0; i < 3; i++)
            b->s[i].ends = i == who;
        assert_int_equal(chain_init(&b->c, &b->env, stages, 3), ST_OK);
        assert_true(b->c.no_half_close);
        feed(b, chain_bottom_in(&b->c), "x");
        assert_int_equal(run(b), ST_OK);
        assert_true(chain_up(&b->c)->eof);
        assert_int_equal(b->c.no_half_close, who < 2);
        chain_fini(&b->c);
    }
}

static void the_end_goes_down_with_each_layers_goodbye_once(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < 3; i++)
        b->s[i].goodbye = "!";
    build(b, 3, &ops);
    feed(b, chain_down(&b->c), "y");
    chain_down(&b->c)->eof = true;
    for (int i = 0; i < 3; i++)
        assert_int_equal(run(b), ST_OK);
    assert_true(chain_bottom_out(&b->c)->eof);
    expect(b, chain_bottom_out(&b->c), "abcy!!!");
    for (int i = 0; i < 3; i++)
        assert_int_equal(b->s[i].shuts, 1);
}

static void a_full_queue_stops_those_below_and_room_lets_them_go_on(void **state)
{
    struct bench *b = *state;
    build(b, 2, &ops);
    b->s[0].letter = b->s[1].letter = 0;
    b->s[0].unit = b->s[1].unit = 1;
    chain_up(&b->c)->cap = 2;
    b->c.in[1].cap = 3;
    feed(b, chain_bottom_in(&b->c), "0123456789");
    assert_int_equal(run(b), ST_OK);
    assert_int_equal(chain_up(&b->c)->bytes, 2);
    assert_int_equal(b->c.in[1].bytes, 3);
    expect(b, chain_up(&b->c), "01");
    assert_int_equal(run(b), ST_OK);
    expect(b, chain_up(&b->c), "23");
    chain_bottom_in(&b->c)->eof = true;
    assert_int_equal(run(b), ST_OK);
    assert_false(chain_up(&b->c)->eof); /* there is more to come before the end */
    chain_up(&b->c)->cap = 100;
    assert_int_equal(run(b), ST_OK);
    expect(b, chain_up(&b->c), "456789");
    assert_true(bufq_ended(chain_up(&b->c)));
}

/* A chain that had spent its rounds said it was done, and nobody came back. */
static void a_chain_with_more_to_do_says_so(void **state)
{
    struct bench *b = *state;
    static char text[301];
    memset(text, 'x', 300);
    build(b, 2, &ops);
    b->s[0].letter = b->s[1].letter = 0;
    b->s[0].unit = b->s[1].unit = 1;
    b->c.in[1].cap = 1; /* a byte a round */
    feed(b, chain_bottom_in(&b->c), text);
    unsigned turns = 1;
    for (; run(b) == ST_YIELD; turns++)
        assert_true(turns < 300);
    assert_true(turns > 1);
    assert_int_equal(chain_up(&b->c)->bytes, 300);
}

static void a_layer_that_yields_lets_others_run(void **state)
{
    struct bench *b = *state;
    build(b, 1, &ops);
    b->s[0].letter = 0;
    b->s[0].unit = 1;
    b->s[0].yields = true;
    feed(b, chain_bottom_in(&b->c), "xyz");
    assert_int_equal(run(b), ST_YIELD);
    expect(b, chain_up(&b->c), "x");
    assert_int_equal(run(b), ST_YIELD);
    assert_int_equal(run(b), ST_OK);
    expect(b, chain_up(&b->c), "yz");
}

static void build_undecided(struct bench *b)
{
    struct chain_stage stages[] = {{&opener_ops, &b->s[0]}, {&judge_ops, &b->s[1]}};
    b->s[0].letter = b->s[1].letter = 0;
    assert_int_equal(chain_init(&b->c, &b->env, stages, 2), ST_OK);
}

/* A unit a run made a turn of the event loop of each record of a Vision upload. */
static void units_of_an_undecided_chain_go_up_in_one_run(void **state)
{
    struct bench *b = *state;
    build_undecided(b);
    feed(b, chain_bottom_in(&b->c), "abcd");
    assert_int_equal(run(b), ST_OK);
    expect(b, chain_up(&b->c), "ABCD");
    assert_int_equal(b->s[0].rx_calls, 4);
    assert_int_equal(b->s[1].rx_calls, 4); /* which saw one at a time */
    feed(b, chain_bottom_in(&b->c), "abuefgh");
    assert_int_equal(run(b), ST_OK);
    expect(b, chain_up(&b->c), "ABUEFGH");
    assert_int_equal(b->s[0].rx_calls, 4 + 4);
}

static void what_follows_the_unit_that_leaves_is_never_opened(void **state)
{
    struct bench *b = *state;
    build_undecided(b);
    feed(b, chain_bottom_in(&b->c), "ablxyz");
    assert_int_equal(run(b), ST_OK);
    expect(b, chain_up(&b->c), "ABLxyz");
    assert_int_equal(chain_raw(&b->c, CHAIN_RX), CHAIN_RAW_NOW);
}

static void an_undecided_chain_lets_others_run_in_time(void **state)
{
    struct bench *b = *state;
    static char text[301];
    memset(text, 'a', 300);
    build_undecided(b);
    feed(b, chain_bottom_in(&b->c), text);
    unsigned turns = 1;
    for (; run(b) == ST_YIELD; turns++)
        assert_int_equal(chain_up(&b->c)->bytes, 64 * turns);
    assert_int_equal(turns, 5);
    assert_int_equal(chain_up(&b->c)->bytes, 300);
}

/* A layer that had answered ST_FULL, and whose input was gone by then, was never asked again,
 * while the one below waited for it. */
static void an_undecided_layer_that_was_full_is_not_waited_for_for_ever(void **state)
{
    struct bench *b = *state;
    build_undecided(b);
    b->s[1].full = true;
    feed(b, chain_bottom_in(&b->c), "abc");
    for (int i = 0; i < 3; i++)
        assert_true(run(b) >= 0);
    expect(b, chain_up(&b->c), "ABC");
}

/* Moves in opposite directions cancelled out in the sum that told whether something had moved. */
static void progress_both_ways_is_progress(void **state)
{
    struct bench *b = *state;
    static const char x[] = "0123456789012345678901234567890123456789";
    build(b, 2, &ops);
    for (unsigned up = 1; up < 40; up++)
        for (unsigned down = 1; down < 40; down++) {
            for (int i = 0; i < 2; i++)
                b->s[i] = (struct script){.unit = i == 0 ? up : down};
            b->c.in[1].cap = b->c.out[1].cap = 1;
            for (int i = 0; i < 3; i++) {
                assert_int_equal(bufq_put(chain_bottom_in(&b->c), x, up, b->pool), ST_OK);
                assert_int_equal(bufq_put(chain_down(&b->c), x, down, b->pool), ST_OK);
            }
            assert_int_equal(run(b), ST_OK);
            assert_int_equal(chain_up(&b->c)->bytes, 3 * up);
            assert_int_equal(chain_bottom_out(&b->c)->bytes, 3 * down);
            bufq_clear(chain_up(&b->c), b->pool);
            bufq_clear(chain_bottom_out(&b->c), b->pool);
        }
}

static void an_error_below_leaves_those_above_alone(void **state)
{
    struct bench *b = *state;
    build(b, 3, &ops);
    b->s[0].rx = ST_E_PROTO;
    b->s[0].last_words = "alert";
    feed(b, chain_bottom_in(&b->c), "x");
    assert_int_equal(run(b), ST_E_PROTO);
    assert_string_equal(b->ev.why.text, "as told");
    assert_true(chain_bottom_out(&b->c)->eof);
    expect(b, chain_bottom_out(&b->c), "alert");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(b->s[i].tx_calls, 0);
        assert_int_equal(b->s[i].shuts, 0);
    }
}

static void an_error_above_is_carried_down_by_those_below(void **state)
{
    struct bench *b = *state;
    build(b, 3, &ops);
    b->s[2].rx = ST_E_AUTH;
    b->s[2].last_words = "close";
    b->s[0].goodbye = "!";
    feed(b, chain_bottom_in(&b->c), "x");
    assert_int_equal(run(b), ST_E_AUTH);
    assert_true(chain_bottom_out(&b->c)->eof);
    expect(b, chain_bottom_out(&b->c), "abclose!");
}

/* The session says goodbye after an error too: the layer that failed must not be called for it. */
static void a_layer_that_failed_is_never_called_again(void **state)
{
    struct bench *b = *state;
    build(b, 3, &ops);
    b->s[1].tx = ST_E_NOMEM;
    b->s[0].goodbye = "!";
    feed(b, chain_down(&b->c), "y");
    assert_int_equal(run(b), ST_E_NOMEM);
    expect(b, chain_bottom_out(&b->c), "!");
    unsigned calls = b->s[1].tx_calls + b->s[2].tx_calls;
    feed(b, chain_bottom_in(&b->c), "x");
    chain_down(&b->c)->eof = true;
    assert_int_equal(run(b), ST_E_NOMEM);
    assert_int_equal(b->s[1].tx_calls + b->s[2].tx_calls, calls);
    assert_int_equal(b->s[0].rx_calls + b->s[1].rx_calls, 0);
    assert_int_equal(b->s[1].shuts + b->s[2].shuts, 0);
    assert_int_equal(b->s[0].shuts, 1);
}

static void the_least_wake_up_counts(void **state)
{
    struct bench *b = *state;
    build(b, 3, &ops);
    b->s[0].wake_us = 500;
    b->s[1].wake_us = 300;
    assert_int_equal(run(b), ST_OK);
    assert_int_equal(b->wake, 300);
}

static void a_layer_that_left_is_passed_by(void **state)
{
    struct bench *b = *state;
    build(b, 2, &leaving_ops);
    b->s[0].letter = b->s[1].letter = 0;
    b->s[0].say = b->s[1].say = EV_LEAVE_RX;
    assert_int_equal(chain_raw(&b->c, CHAIN_RX), CHAIN_RAW_LATER);
    feed(b, chain_bottom_in(&b->c), "x");
    assert_int_equal(run(b), ST_OK);
    assert_int_equal(b->ev.mask & EV_LEAVE_RX, 0);                 /* the chain's own business */
    assert_int_equal(chain_raw(&b->c, CHAIN_RX), CHAIN_RAW_LATER); /* bytes are queued */
    expect(b, chain_up(&b->c), "x");
    assert_int_equal(chain_raw(&b->c, CHAIN_RX), CHAIN_RAW_NOW);
    assert_int_equal(chain_raw(&b->c, CHAIN_TX), CHAIN_RAW_LATER);
    unsigned calls = b->s[0].rx_calls + b->s[1].rx_calls;
    feed(b, chain_bottom_in(&b->c), "yz");
    chain_bottom_in(&b->c)->eof = true;
    assert_int_equal(run(b), ST_OK);
    expect(b, chain_up(&b->c), "yz");
    assert_true(chain_up(&b->c)->eof);
    assert_int_equal(b->s[0].rx_calls + b->s[1].rx_calls, calls);
}

static void a_layer_that_cannot_leave_is_never_raw(void **state)
{
    struct bench *b = *state;
    build(b, 1, &ops);
    assert_int_equal(chain_raw(&b->c, CHAIN_RX), CHAIN_RAW_NEVER);
}

static void a_divert_gives_back_what_the_layer_left(void **state)
{
    struct bench *b = *state;
    build(b, 3, &ops);
    b->s[1].say = EV_DIVERT;
    b->s[1].stay = true;
    feed(b, chain_bottom_in(&b->c), "probe");
    chain_bottom_in(&b->c)->eof = true;
    assert_int_equal(run(b), ST_OK);
    assert_true(b->ev.mask & EV_DIVERT);
    chain_divert(&b->c);
    assert_int_equal(b->s[0].finis, 0);
    assert_int_equal(b->s[1].finis + b->s[2].finis, 2);
    assert_int_equal(b->s[2].rx_calls, 0);
    expect(b, chain_up(&b->c), "aprobe");
    assert_int_equal(run(b), ST_OK);
    assert_true(bufq_ended(chain_up(&b->c)));
    feed(b, chain_down(&b->c), "answer");
    assert_int_equal(run(b), ST_OK);
    expect(b, chain_bottom_out(&b->c), "aanswer");
}

static void an_init_that_fails_leaves_nothing(void **state)
{
    struct bench *b = *state;
    for (unsigned nth = 1; nth < 5; nth++) {
        struct chain_stage stages[] = {{&ops, &b->s[0]}, {&ops, &b->s[1]}, {&ops, &b->s[2]}};
        pool_fail_after(b->pool, nth, false);
        assert_int_equal(chain_init(&b->c, &b->env, stages, 3), ST_E_NOMEM);
        assert_int_equal(pool_used(b->pool), 0);
    }
    pool_fail_after(b->pool, 0, false);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(bytes_go_up_and_down_in_order_of_the_layers),
        CASE(a_chain_without_layers_is_one_queue_each_way),
        CASE(the_end_goes_up_behind_the_bytes),
        CASE(an_end_above_is_no_end_of_the_transport),
        CASE(the_end_goes_down_with_each_layers_goodbye_once),
        CASE(a_full_queue_stops_those_below_and_room_lets_them_go_on),
        CASE(a_chain_with_more_to_do_says_so),
        CASE(a_layer_that_yields_lets_others_run),
        CASE(units_of_an_undecided_chain_go_up_in_one_run),
        CASE(what_follows_the_unit_that_leaves_is_never_opened),
        CASE(an_undecided_chain_lets_others_run_in_time),
        CASE(an_undecided_layer_that_was_full_is_not_waited_for_for_ever),
        CASE(progress_both_ways_is_progress),
        CASE(an_error_below_leaves_those_above_alone),
        CASE(an_error_above_is_carried_down_by_those_below),
        CASE(a_layer_that_failed_is_never_called_again),
        CASE(the_least_wake_up_counts),
        CASE(a_layer_that_left_is_passed_by),
        CASE(a_layer_that_cannot_leave_is_never_raw),
        CASE(a_divert_gives_back_what_the_layer_left),
        CASE(an_init_that_fails_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
