#include "transport/ws/ws_state.h"
#include "transport/ws/test_client.h"

static void test_state_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct ws) < 200);
}

static void test_unmasks_in_place_without_copying(void **state)
{
    (void)state;
    struct test_bench r;
    rig_open_upgraded(&r, &plain_conf);
    uint8_t data[3000];
    memset(data, 'x', sizeof(data));
    struct span *s = span_new(r.pool);
    size_t n = frame(span_data(s), WS_BINARY, true, data, sizeof(data));
    n += frame(span_data(s) + n, WS_TEXT, true, data, 2000);
    s->len = (uint32_t)n;
    uint8_t *mem = s->blk->mem;
    bufq_push(chain_bottom_in(&r.chain), s);
    test_bench_run(&r);
    struct bufq *up = chain_up(&r.chain);
    assert_int_equal(up->bytes, 5000);
    assert_int_equal(up->count, 2);
    assert_ptr_equal(up->head->blk->mem, mem);
    assert_ptr_equal(up->head->next->blk->mem, mem);
    static uint8_t want[5000];
    memset(want, 'x', sizeof(want));
    rig_expect_plain(&r, want, sizeof(want));
    test_bench_close(&r);
}

static void test_head_goes_into_the_room_in_front(void **state)
{
    (void)state;
    struct test_bench r;
    rig_open_upgraded(&r, &plain_conf);
    struct span *s = span_new(r.pool), *t = span_new(r.pool), *u;
    memset(span_data(s), 'a', 300);
    s->len = 300;
    u = span_share(r.pool, s); /* somebody else looks at this blk */
    uint32_t off = s->off;
    memset(span_data(t), 'b', 70);
    t->len = 70;
    t->flags = SPAN_EDGE | SPAN_ALONE;
    bufq_push(chain_down(&r.chain), t);
    bufq_push(chain_down(&r.chain), s);
    test_bench_run(&r);
    struct bufq *out = chain_bottom_out(&r.chain);
    assert_ptr_equal(out->head, t);
    assert_int_equal(t->len, 72);
    assert_int_equal(t->flags, SPAN_EDGE | SPAN_ALONE);
    assert_int_equal(u->off, off);
    assert_int_equal(*span_data(u), 'a');
    assert_int_equal(out->bytes, 72 + 304);
    span_free(r.pool, u);
    bufq_clear(out, r.pool);
    test_bench_close(&r);
}

/* Marks of spans that get their head in front of them: the unit starts with the head, and ALONE
 * stays one span. */
static void test_marks_without_room(void **state)
{
    (void)state;
    struct test_bench r;
    rig_open_upgraded(&r, &plain_conf);
    for (int alone = 0; alone < 2; alone++) {
        struct span *s = span_new(r.pool);
        s->off = 0;
        s->len = BLK_DATA;
        memset(span_data(s), 'a', s->len);
        s->flags = alone ? SPAN_EDGE | SPAN_ALONE : SPAN_EDGE;
        bufq_push(chain_down(&r.chain), s);
        test_bench_run(&r);
        struct bufq *out = chain_bottom_out(&r.chain);
        assert_int_equal(out->bytes, BLK_DATA + 4);
        assert_int_equal(out->count, alone ? 1 : 2);
        assert_int_equal(out->head->flags, alone ? SPAN_EDGE | SPAN_ALONE : SPAN_EDGE);
        assert_int_equal(out->tail->flags, alone ? SPAN_EDGE | SPAN_ALONE : 0);
        bufq_clear(out, r.pool);
    }
    test_bench_close(&r);
}

static void test_ping_is_answered(void **state)
{
    (void)state;
    struct test_bench r;
    uint8_t buf[300];
    rig_open_upgraded(&r, &plain_conf);
    size_t n = frame(buf, WS_PING, true, "one", 3);
    test_bench_feed(&r, buf, n);
    rig_expect_n(&r, "\x8a\x03one", 5);
    n = frame(buf, WS_BINARY, false, "a", 1);
    n += frame(buf + n, WS_PING, true, "", 0);
    n += frame(buf + n, WS_PONG, true, "zzz", 3);
    n += frame(buf + n, WS_CONTINUATION, true, "b", 1);
    test_bench_feed(&r, buf, n);
    rig_expect_n(&r, "\x8a\x00", 2);
    rig_expect_plain(&r, "ab", 2);
    test_bench_close(&r);
}

/* A client that pings and never reads holds one Pong, the newest. */
static void test_ping_flood_is_bounded(void **state)
{
    (void)state;
    struct test_bench r;
    uint8_t buf[300];
    rig_open_upgraded(&r, &plain_conf);
    size_t used = 0;
    for (unsigned i = 0; i < 5000; i++) {
        uint8_t id = (uint8_t)i;
        test_bench_feed(&r, buf, frame(buf, WS_PING, true, &id, 1));
        if (i == 200)
            used = pool_used(r.pool);
    }
    assert_int_equal(pool_used(r.pool), used);
    struct bufq *out = chain_bottom_out(&r.chain);
    assert_true(out->count <= 64);
    bufq_clear(out, r.pool);
    test_bench_run(&r);
    uint8_t last[3] = {0x8a, 1, (uint8_t)4999};
    rig_expect_n(&r, last, 3);
    test_bench_close(&r);
}

static void test_tiny_frames_do_not_pin_memory(void **state)
{
    (void)state;
    struct test_bench r;
    static uint8_t buf[14000], want[2000];
    size_t n = 0;
    rig_open_upgraded(&r, &plain_conf);
    for (size_t i = 0; i < 2000; i++) {
        want[i] = (uint8_t)i;
        n += frame(buf + n, WS_BINARY, true, want + i, 1);
    }
    test_bench_feed(&r, buf, n);
    assert_true(chain_up(&r.chain)->count <= 2);
    rig_expect_plain(&r, want, 2000);
    test_bench_close(&r);
}

static void test_close_of_the_client(void **state)
{
    (void)state;
    static const struct {
        const char *payload, *answer;
        size_t len, answer_len;
    } cases[] = {
        {"\x03\xe8", "\x88\x02\x03\xe8", 2, 4},
        {"\x03\xe9gone", "\x88\x02\x03\xe9", 6, 4},
        {"\x0f\xa0", "\x88\x02\x0f\xa0", 2, 4},
        {"", "\x88\x00", 0, 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_bench r;
        uint8_t buf[300];
        rig_open_upgraded(&r, &plain_conf);
        size_t n = frame(buf, WS_BINARY, true, "last", 4);
        n += frame(buf + n, WS_CLOSE, true, cases[i].payload, cases[i].len);
        n += frame(buf + n, WS_BINARY, true, "ignored", 7);
        test_bench_feed(&r, buf, n);
        assert_int_equal(r.st, ST_OK);
        assert_true(chain_up(&r.chain)->eof);
        assert_true(chain_bottom_out(&r.chain)->eof);
        rig_expect_n(&r, cases[i].answer, cases[i].answer_len);
        rig_expect_plain(&r, "last", 4);
        /* The relay's own end, and bytes it had on the way, add nothing. */
        assert_int_equal(bufq_put(chain_down(&r.chain), "late", 4, r.pool), ST_OK);
        chain_down(&r.chain)->eof = true;
        test_bench_feed(&r, "more", 4);
        rig_expect_n(&r, "", 0);
        assert_true(bufq_ended(chain_down(&r.chain)));
        test_bench_close(&r);
    }
}

static void test_end_of_the_relay(void **state)
{
    (void)state;
    struct test_bench r;
    uint8_t buf[100];
    rig_open_upgraded(&r, &plain_conf);
    assert_true(r.chain.no_half_close);
    assert_int_equal(bufq_put(chain_down(&r.chain), "bye", 3, r.pool), ST_OK);
    chain_down(&r.chain)->eof = true;
    test_bench_run(&r);
    assert_true(chain_bottom_out(&r.chain)->eof);
    rig_expect_n(&r,
                 "\x82\x03"
                 "bye\x88\x02\x03\xe8",
                 9);
    /* The client's echo of our Close, and pings before it, are not answered. */
    size_t n = frame(buf, WS_PING, true, "", 0);
    n += frame(buf + n, WS_CLOSE, true, "\x03\xe8", 2);
    test_bench_feed(&r, buf, n);
    assert_int_equal(r.st, ST_OK);
    rig_expect_n(&r, "", 0);
    assert_true(chain_up(&r.chain)->eof);
    test_bench_close(&r);
}

static void test_end_before_the_handshake(void **state)
{
    (void)state;
    struct test_bench r;
    rig_open(&r, &plain_conf);
    chain_down(&r.chain)->eof = true;
    test_bench_feed(&r, "GET /ws HT", 10);
    assert_int_equal(r.st, ST_OK);
    assert_true(chain_bottom_out(&r.chain)->eof);
    rig_expect_n(&r, "", 0);
    chain_bottom_in(&r.chain)->eof = true;
    test_bench_run(&r);
    assert_true(chain_up(&r.chain)->eof);
    test_bench_close(&r);
}

static void test_a_slow_head_runs_out_of_time(void **state)
{
    (void)state;
    struct test_bench r;
    rig_open(&r, &plain_conf);
    test_bench_feed(&r, "GET /ws HT", 10);
    assert_int_equal(r.st, ST_OK);
    assert_true(r.wake_us == NOW + 4000000);
    r.now_us = r.wake_us - 1;
    test_bench_feed(&r, "TP", 2);
    assert_int_equal(r.st, ST_OK);
    r.now_us++;
    test_bench_run(&r);
    assert_int_equal(r.st, ST_E_TIMEOUT);
    rig_expect_n(&r, "", 0);
    test_bench_close(&r);
}

static void test_broken_frames_end_with_1002(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"\x82\x01x", 3},                           /* no mask */
        {"\xc2\x80\0\0\0\0", 6},                    /* reserved bit */
        {"\x83\x80\0\0\0\0", 6},                    /* reserved opcode */
        {"\x09\x80\0\0\0\0", 6},                    /* fragmented Ping */
        {"\x89\xfe\0\x7e\0\0\0\0", 8},              /* long Ping */
        {"\x80\x80\0\0\0\0", 6},                    /* continuation of nothing */
        {"\x02\x80\0\0\0\0\x82\x80\0\0\0\0", 12},   /* a message within a message */
        {"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 14}, /* length with its top bit */
        {"\x88\x81\0\0\0\0x", 7},                   /* Close of one byte */
        {"\x88\x82\0\0\0\0\x03\xed", 8},            /* Close 1005 */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_bench r;
        rig_open_upgraded(&r, &plain_conf);
        test_bench_feed(&r, cases[i].bytes, cases[i].len);
        if (r.st != ST_E_PROTO)
            fail_msg("case %zu: %s", i, status_str(r.st));
        assert_int_equal(r.ev.why.number, 1002);
        rig_expect_n(&r, "\x88\x02\x03\xea", 4);
        test_bench_close(&r);
    }
}

static void test_heartbeat(void **state)
{
    (void)state;
    struct test_bench r;
    struct ws_conf conf = plain_conf;
    conf.heartbeat_s = 10;
    rig_open_upgraded(&r, &conf);
    assert_true(r.wake_us == NOW + 10000000);
    r.now_us = r.wake_us - 1;
    test_bench_run(&r);
    rig_expect_n(&r, "", 0);
    r.now_us++;
    test_bench_run(&r);
    rig_expect_n(&r, "\x89\x00", 2);
    assert_true(r.wake_us == NOW + 20000000);
    test_bench_close(&r);

    rig_open_upgraded(&r, &plain_conf);
    assert_true(r.wake_us == UINT64_MAX);
    test_bench_close(&r);
}

/* Room for one byte admits one unit: a frame that is copied, or one span of a longer one. */
static void test_cap_of_one(void **state)
{
    (void)state;
    struct test_bench r;
    uint8_t buf[100];
    rig_open_upgraded(&r, &plain_conf);
    chain_up(&r.chain)->cap = 1;
    size_t n = frame(buf, WS_BINARY, true, "one", 3);
    n += frame(buf + n, WS_BINARY, true, "", 0);
    n += frame(buf + n, WS_BINARY, true, "two", 3);
    n += frame(buf + n, WS_BINARY, true, "three", 5);
    test_bench_feed(&r, buf, n);
    rig_expect_plain(&r, "one", 3);
    test_bench_run(&r);
    rig_expect_plain(&r, "two", 3);
    test_bench_run(&r);
    rig_expect_plain(&r, "three", 5);
    test_bench_close(&r);
}

static void test_full_queues_hold_everything_back(void **state)
{
    (void)state;
    struct test_bench r;
    static uint8_t buf[40000], data[30000];
    rig_open_upgraded(&r, &plain_conf);
    chain_up(&r.chain)->cap = 1000;
    chain_bottom_out(&r.chain)->cap = 1000;
    test_bench_feed(&r, buf, frame(buf, WS_BINARY, true, data, sizeof(data)));
    assert_true(chain_up(&r.chain)->bytes <= 1000 + BLK_DATA);
    assert_int_equal(bufq_put(chain_down(&r.chain), data, sizeof(data), r.pool), ST_OK);
    test_bench_run(&r);
    assert_true(chain_bottom_out(&r.chain)->bytes <= 1000 + BLK_DATA + 4);
    assert_int_equal(r.st, ST_OK);
    test_bench_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_is_small),
        cmocka_unit_test(test_unmasks_in_place_without_copying),
        cmocka_unit_test(test_head_goes_into_the_room_in_front),
        cmocka_unit_test(test_marks_without_room),
        cmocka_unit_test(test_ping_is_answered),
        cmocka_unit_test(test_ping_flood_is_bounded),
        cmocka_unit_test(test_tiny_frames_do_not_pin_memory),
        cmocka_unit_test(test_close_of_the_client),
        cmocka_unit_test(test_end_of_the_relay),
        cmocka_unit_test(test_end_before_the_handshake),
        cmocka_unit_test(test_a_slow_head_runs_out_of_time),
        cmocka_unit_test(test_broken_frames_end_with_1002),
        cmocka_unit_test(test_heartbeat),
        cmocka_unit_test(test_cap_of_one),
        cmocka_unit_test(test_full_queues_hold_everything_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
