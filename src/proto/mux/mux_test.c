/* Carriers: what the real client and server wrote, streams and datagrams, limits, turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/frame.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "codec/test_vectors.h"
#include "proto/mux/test_rig.h"

#define HEX_MAX 4096

static size_t bytes_of(uint8_t dst[HEX_MAX], const char *text)
{
    return test_hex(text, dst, HEX_MAX);
}

static enum status feed(struct rig *r, const char *text)
{
    uint8_t wire[HEX_MAX];
    return rig_feed(r, wire, bytes_of(wire, text));
}

static void assert_queue(const struct bufq *q, const char *want)
{
    uint8_t got[HEX_MAX];
    char text[2 * HEX_MAX + 1];
    size_t n = bufq_peek(q, got, sizeof(got));
    assert_string_equal(hex_encode(text, got, n), want);
}

static void assert_text(const struct bufq *q, const char *want)
{
    char got[256] = "";
    assert_true(q->bytes < sizeof(got));
    bufq_peek(q, got, sizeof(got));
    assert_string_equal(got, want);
}

static void push(struct rig *r, uint16_t id, const void *data, size_t n, const char *from)
{
    struct rig_stream *s = rig_stream(r, id);
    struct span *span = span_new_for(r->pool, n);
    assert_non_null(s);
    memcpy(span_data(span), data, n);
    span->len = (uint32_t)n;
    if (from != NULL) {
        assert_int_equal(addr_parse_ip(&span->peer, from, strlen(from)), ST_OK);
        span->peer.port = 53;
    }
    bufq_push(&s->down, span);
    mux_pushed(&r->mux, &s->mux);
}

/* ---- frames the real client wrote ---- */

static void recorded_frames_are_cut_where_the_client_cut_them(void **state)
{
    (void)state;
    struct json_t *all = test_vectors("src/proto/mux/testdata/mux.json");
    const struct json_t *list = json_get(all, "frames");
    unsigned frames = 0;
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json_t *ends = json_get(json_at(list, i), "frame_end_offsets");
        uint8_t wire[HEX_MAX];
        size_t n = bytes_of(wire, json_get_str(json_at(list, i), "stream", "")), at = 0;
        for (size_t j = 0; j < json_array_len(ends); j++, frames++) {
            struct mux_frame f;
            struct why why = {0};
            size_t head = 0;
            int64_t end;
            for (size_t cut = 0; cut < 2; cut++)
                assert_int_equal(mux_frame_parse(wire + at, cut, &f, &head, &why), ST_MORE);
            assert_int_equal(mux_frame_parse(wire + at, n - at, &f, &head, &why), ST_OK);
            assert_int_equal(json_to_int(json_at(ends, j), -1, &end), ST_OK);
            at += head + f.data_len;
            assert_int_equal(at, end);
        }
    }
    assert_true(frames >= 15);
    json_unref(all);
}

static void every_prefix_of_a_head_waits_for_more(void **state)
{
    (void)state;
    uint8_t wire[HEX_MAX];
    size_t n = bytes_of(wire, "0014000001010200350108080808a1a2a3a4a5a6a7a8000271"), head;
    struct mux_frame f;
    struct why why = {0};
    for (size_t i = 0; i < n - 1; i++)
        assert_int_equal(mux_frame_parse(wire, i, &f, &head, &why), ST_MORE);
    assert_int_equal(mux_frame_parse(wire, n, &f, &head, &why), ST_OK);
    assert_int_equal(head, 24);
    assert_true(f.has_global);
    assert_memory_equal(f.global_id, "\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8", 8);
}

static void what_the_real_server_answers_we_answer(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    feed(&r, "00040009020100027878"); /* data for a stream that is not there */
    assert_queue(&r.out, "000400090300");
    bufq_clear(&r.out, r.pool);
    feed(&r, "0004004d0300");             /* the end of one that is not there */
    feed(&r, "000400050401000470696e67"); /* a sign of life with data */
    feed(&r, "000c00010100018d04017f000001");
    feed(&r, "0004000102010000"); /* no data */
    assert_queue(&r.out, "");
    push(&r, 1, "BANNER", 6, NULL);
    assert_int_equal(mux_tx(&r.mux, &r.out), ST_OK);
    assert_queue(&r.out, "000400010201000642414e4e4552");
    bufq_clear(&r.out, r.pool);
    feed(&r, "000400010201000568656c6c6f000400010300");
    assert_queue(&r.out, "000400010302");
    assert_text(&rig_stream(&r, 1)->up, "hello");
    assert_string_equal(r.log, "open 1 tcp 127.0.0.1:36100\nended 1\n");
    rig_fini(&r);
}

static void broken_frames_end_the_carrier(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "025c0001",                         /* head of 604 bytes */
        "0003000104",                       /* of 3 */
        "000400010900",                     /* status 9 */
        "000400010000",                     /* status 0 */
        "000c00010100078d04017f000001",     /* network 7 */
        "000700010100018d04",               /* New of 7 bytes */
        "000c00010100018d04097f000001",     /* address type 9 */
        "000b00010100018d04017f0000",       /* address cut short */
        "000900010100018d040200",           /* no name */
        "000a00010100018d04020120",         /* a blank for a name */
        "000c00010201028d04057f0000010001", /* Keep with a bad address */
    };
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct rig r;
        rig_init(&r);
        if (feed(&r, broken[i]) != ST_E_PROTO || r.why.text == NULL)
            fail_msg("%s passed", broken[i]);
        assert_queue(&r.out, "");
        rig_fini(&r);
    }
}

static void xudp_goes_to_whom_each_datagram_names(void **state)
{
    (void)state;
    struct rig r;
    struct target t;
    rig_init(&r);
    feed(&r,
         "0014000001010200350108080808a1a2a3a4a5a6a7a8000271310018000002010214e90320010db800000000"
         "00000000000000020002713200040000020100027133000e0000020102003502057a2e6f7267000130");
    assert_string_equal(r.log, "open 0 udp 8.8.8.8:53 global\n");
    struct bufq *up = &rig_stream(&r, 0)->up;
    assert_int_equal(up->count, 4);
    char text[ADDR_STRLEN];
    assert_int_equal(up->head->peer.family, ADDR_NONE); /* the first goes where New says */
    assert_string_equal(addr_str(&up->head->next->peer, text), "[2001:db8::2]:5353");
    assert_int_equal(up->head->next->next->peer.family, ADDR_NONE);
    assert_int_equal(up->tail->peer.family, ADDR_NAME);
    frame_get_target(up->tail, &t);
    assert_string_equal(t.host, "z.org");
    assert_int_equal(t.addr.port, 53);
    assert_text(up, "q1q2q30");
    push(&r, 0, "answer", 6, "8.8.8.8");
    assert_int_equal(mux_tx(&r.mux, &r.out), ST_OK);
    assert_queue(&r.out, "000c0000020102003501080808080006616e73776572");
    rig_fini(&r);
}

static void the_first_datagram_of_a_resumed_flow_goes_where_new_says(void **state)
{
    (void)state;
    struct rig r;
    struct target t;
    rig_init(&r);
    r.resumed = true;
    feed(&r, "0014000001010200350108080808a1a2a3a4a5a6a7a80002");
    feed(&r, "7131");
    char text[ADDR_STRLEN];
    assert_string_equal(addr_str(&rig_stream(&r, 0)->up.head->peer, text), "8.8.8.8:53");
    feed(&r, "0016000101010200350205612e6f7267a1a2a3a4a5a6a7a8000171");
    frame_get_target(rig_stream(&r, 1)->up.head, &t);
    assert_string_equal(t.host, "a.org");
    rig_fini(&r);
}

static void an_answer_of_the_named_target_bears_its_name(void **state)
{
    (void)state;
    struct rig r;
    static const struct target name = {.addr.port = 53, .host_len = 5, .host = "a.org"};
    rig_init(&r);
    feed(&r, "000e000101000200350205612e6f7267");
    struct mux_stream *st = &rig_stream(&r, 1)->mux;
    st->name = &name;
    st->from = (struct addr){.family = ADDR_IP4, .port = 53, .ip = {9, 9, 9, 9}};
    push(&r, 1, "x", 1, "9.9.9.9");
    push(&r, 1, "y", 1, "9.9.9.8");
    assert_int_equal(mux_tx(&r.mux, &r.out), ST_OK);
    assert_queue(&r.out, "000e000102010200350205612e6f7267000178"
                         "000c0001020102003501090909080001"
                         "79");
    rig_fini(&r);
}

/* ---- laws ---- */

static void feed_in_pieces(struct rig *r, const uint8_t *wire, size_t n, size_t piece)
{
    for (size_t at = 0; at < n; at += piece)
        rig_feed(r, wire + at, n - at < piece ? n - at : piece);
}

static void the_cuts_of_the_carrier_change_nothing(void **state)
{
    (void)state;
    struct json_t *all = test_vectors("src/proto/mux/testdata/mux.json");
    const struct json_t *list = json_get(all, "frames");
    for (size_t i = 0; i < json_array_len(list); i++) {
        uint8_t wire[HEX_MAX], whole[HEX_MAX], got[HEX_MAX];
        size_t n = bytes_of(wire, json_get_str(json_at(list, i), "stream", ""));
        struct rig once, cut;
        rig_init(&once);
        rig_feed(&once, wire, n);
        for (size_t piece = 1; piece < 8; piece++) {
            rig_init(&cut);
            feed_in_pieces(&cut, wire, n, piece);
            assert_string_equal(cut.log, once.log);
            for (unsigned s = 0; s < 3; s++) {
                size_t a = bufq_peek(&once.streams[s].up, whole, sizeof(whole));
                assert_int_equal(bufq_peek(&cut.streams[s].up, got, sizeof(got)), a);
                assert_memory_equal(got, whole, a);
                assert_int_equal(cut.streams[s].mux.udp ? cut.streams[s].up.count : 0,
                                 once.streams[s].mux.udp ? once.streams[s].up.count : 0);
            }
            rig_fini(&cut);
        }
        rig_fini(&once);
    }
    json_unref(all);
}

static void a_failing_allocation_breaks_nothing(void **state)
{
    (void)state;
    uint8_t wire[HEX_MAX];
    size_t n =
        bytes_of(wire, "0014000001010200350108080808a1a2a3a4a5a6a7a800027131000e0000020102003502"
                       "057a2e6f726700013000140001010101"
                       "01bb020b6578616d706c652e636f6d000568656c6c6f00040001020100046d6f7265000400"
                       "09020100016f");
    for (unsigned nth = 1; nth < 12; nth++) {
        struct rig r;
        rig_init(&r);
        assert_int_equal(bufq_put(&r.in, wire, n, r.pool), ST_OK);
        pool_fail_after(r.pool, nth, true);
        enum status st = rig_run(&r);
        assert_true(st == ST_E_NOMEM || (st == ST_MORE && r.in.head == NULL));
        pool_fail_after(r.pool, 0, false);
        rig_fini(&r);
    }
}

/* ---- streams ---- */

static void an_id_used_again_drops_the_old_stream(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    feed(&r, "000c00010100018d04017f000001000c00010101018d05017f000001000178");
    assert_string_equal(r.log,
                        "open 1 tcp 127.0.0.1:36100\nreplaced 1\nopen 1 tcp 127.0.0.1:36101\n");
    assert_queue(&r.out, "");
    assert_int_equal(r.mux.count, 1);
    assert_text(&rig_stream(&r, 1)->up, "x");
    rig_fini(&r);
}

static void a_refused_stream_gets_its_end_and_its_data_is_skipped(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.refuse = true;
    assert_int_equal(feed(&r, "000c00020101018d04017f000001000178000400050400"), ST_MORE);
    assert_queue(&r.out, "000400020302");
    assert_int_equal(r.in.bytes, 0);
    rig_fini(&r);
}

static void a_closed_stream_sends_its_end_once_and_after_its_bytes(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    feed(&r, "000c00010100018d04017f000001000c00020100018d04017f000001");
    push(&r, 1, "last", 4, NULL);
    assert_int_equal(mux_tx(&r.mux, &r.out), ST_OK);
    assert_ptr_equal(mux_take_drained(&r.mux), &rig_stream(&r, 1)->mux);
    assert_null(mux_take_drained(&r.mux));
    mux_close(&r.mux, &rig_stream(&r, 1)->mux, false);
    mux_close(&r.mux, &rig_stream(&r, 2)->mux, true);
    /* What the client sends until it hears of the end goes nowhere. */
    feed(&r, "000400010201000568656c6c6f");
    assert_int_equal(mux_tx(&r.mux, &r.out), ST_OK);
    assert_queue(&r.out, "00040001020100046c617374000400010300000400020302");
    assert_ptr_equal(mux_take_closed(&r.mux), &rig_stream(&r, 1)->mux);
    assert_ptr_equal(mux_take_closed(&r.mux), &rig_stream(&r, 2)->mux);
    assert_int_equal(r.mux.count, 0);
    assert_int_equal(mux_tx(&r.mux, &r.out), ST_OK);
    rig_fini(&r);
}

static void many_streams_are_found_by_their_ids(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    for (unsigned i = 0; i < RIG_STREAMS; i++) {
        uint8_t open[] = {0, 12, (uint8_t)(i * 9 >> 8), (uint8_t)(i * 9), 1, 0, 1, 0, 80, 1, 1, 2,
                          3, 4};
        rig_feed(&r, open, sizeof(open));
    }
    assert_true(r.mux.bucket_count > MUX_BUCKETS_MIN);
    unsigned found = 0;
    for (unsigned i = 0; i < RIG_STREAMS; i++) {
        uint8_t data[] = {0, 4, (uint8_t)(i * 9 >> 8), (uint8_t)(i * 9), 2, 1, 0, 1, 'x'};
        rig_feed(&r, data, sizeof(data));
        struct rig_stream *s = rig_stream(&r, get_be16(data + 2));
        found += s != NULL && s->up.bytes >= 1;
    }
    assert_int_equal(found, RIG_STREAMS);
    assert_int_equal(r.mux.unknown, 0);
    rig_fini(&r);
}

/* ---- limits ---- */

static void keep_bytes(struct rig *r, uint16_t id, size_t n)
{
    static uint8_t data[65535];
    uint8_t head[MUX_KEEP_LEN];
    while (n > 0 && r->st != ST_FULL) {
        size_t one = n < sizeof(data) ? n : sizeof(data);
        size_t len = mux_frame_keep(head, id, (uint16_t)one);
        assert_int_equal(bufq_put(&r->in, head, len, r->pool), ST_OK);
        rig_feed(r, data, one);
        n -= one;
    }
}

static void a_stream_that_nobody_reads_stops_the_carrier_until_half_is_read(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    feed(&r, "000c00010100018d04017f000001");
    keep_bytes(&r, 1, 1024 * 1024);
    struct rig_stream *s = rig_stream(&r, 1);
    assert_int_equal(r.st, ST_FULL);
    assert_true(s->up.bytes >= MUX_UP_MAX && s->up.bytes < MUX_UP_MAX + 65536);
    bufq_drop(&s->up, 65536, r.pool);
    assert_false(mux_taken(&r.mux, &s->mux));
    bufq_drop(&s->up, s->up.bytes - MUX_UP_MAX / 2, r.pool);
    assert_true(mux_taken(&r.mux, &s->mux));
    assert_false(mux_taken(&r.mux, &s->mux)); /* said once */
    assert_int_equal(rig_run(&r), ST_MORE);
    rig_fini(&r);
}

static void all_streams_together_have_a_bound_too(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    for (uint8_t i = 0; i < 20; i++) {
        uint8_t open[] = {0, 12, 0, i, 1, 0, 1, 0, 80, 1, 1, 2, 3, 4};
        if (r.st != ST_FULL)
            rig_feed(&r, open, sizeof(open));
        keep_bytes(&r, i, MUX_UP_MAX - 65536);
    }
    assert_int_equal(r.st, ST_FULL);
    assert_true(r.mux.up_queued < MUX_UP_ALL_MAX + 65536);
    rig_fini(&r);
}

static void datagrams_beyond_the_bound_are_dropped_and_the_carrier_goes_on(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    feed(&r, "000c00010100028d04017f000001");
    for (unsigned i = 0; i < 2 * MUX_UP_COUNT_MAX; i++)
        assert_int_equal(feed(&r, "000400010201000131"), ST_MORE);
    assert_int_equal(rig_stream(&r, 1)->up.count, MUX_UP_COUNT_MAX);
    assert_int_equal(r.mux.dropped, MUX_UP_COUNT_MAX);
    bufq_clear(&rig_stream(&r, 1)->up, r.pool);
    mux_taken(&r.mux, &rig_stream(&r, 1)->mux);
    keep_bytes(&r, 1, 65535); /* no datagram of that size is taken, and it does no harm */
    assert_int_equal(r.st, ST_MORE);
    assert_int_equal(rig_stream(&r, 1)->up.count, 0);
    feed(&r, "000400010201000131");
    assert_int_equal(rig_stream(&r, 1)->up.count, 1);
    rig_fini(&r);
}

static void datagrams_too_large_for_a_client_do_not_reach_it(void **state)
{
    (void)state;
    static uint8_t big[MUX_DATAGRAM_MAX + 1];
    struct rig r;
    rig_init(&r);
    feed(&r, "000c00010100028d04017f000001");
    push(&r, 1, big, sizeof(big), "1.2.3.4");
    push(&r, 1, big, 0, "1.2.3.4");
    assert_int_equal(mux_tx(&r.mux, &r.out), ST_OK);
    assert_int_equal(r.out.bytes, 0);
    push(&r, 1, big, sizeof(big) - 1, "1.2.3.4");
    assert_int_equal(mux_tx(&r.mux, &r.out), ST_OK);
    assert_int_equal(r.out.bytes, MUX_DATAGRAM_MAX + 16);
    rig_fini(&r);
}

static void answers_to_strange_frames_wait_for_room(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.out.cap = 0;
    enum status st = ST_MORE;
    unsigned n = 0;
    for (; st == ST_MORE && n < 10000; n++)
        st = feed(&r, "000400090201000178");
    assert_int_equal(st, ST_FULL);
    assert_true(r.out.bytes <= 20 * 1024);
    bufq_clear(&r.out, r.pool);
    assert_int_equal(rig_run(&r), ST_MORE);
    rig_fini(&r);
}

/* ---- turns ---- */

static void a_stream_with_little_is_not_kept_waiting_by_one_with_much(void **state)
{
    (void)state;
    static uint8_t block[BLK_DATA];
    uint8_t head[8];
    struct rig r;
    rig_init(&r);
    r.out.cap = 40000;
    feed(&r, "000c00010100018d04017f000001000c00020100018d04017f000001");
    for (unsigned i = 0; i < 64; i++)
        push(&r, 1, block, sizeof(block), NULL);
    push(&r, 2, "quick", 5, NULL);
    assert_true(r.mux.down_queued > 64 * 16384);
    assert_int_equal(mux_tx(&r.mux, &r.out), ST_FULL);
    assert_true(bufq_peek_at(&r.out, MUX_KEEP_LEN + BLK_DATA, head, sizeof(head)));
    assert_int_equal(get_be16(head + 2), 2);
    assert_ptr_equal(mux_take_drained(&r.mux), &rig_stream(&r, 2)->mux);
    assert_null(mux_take_drained(&r.mux));
    while (r.mux.down_queued > 0) {
        bufq_clear(&r.out, r.pool);
        enum status st = mux_tx(&r.mux, &r.out);
        assert_true(st == ST_FULL || st == ST_OK);
    }
    assert_ptr_equal(mux_take_drained(&r.mux), &rig_stream(&r, 1)->mux);
    rig_fini(&r);
}

static void two_streams_share_the_carrier_evenly(void **state)
{
    (void)state;
    static uint8_t block[BLK_DATA];
    struct rig r;
    uint32_t sent[3] = {0};
    rig_init(&r);
    r.out.cap = 100000;
    feed(&r, "000c00010100018d04017f000001000c00020100018d04017f000001");
    for (unsigned i = 0; i < 32; i++)
        push(&r, 1, block, sizeof(block), NULL);
    for (unsigned i = 0; i < 512; i++)
        push(&r, 2, block, 1024, NULL);
    assert_int_equal(mux_tx(&r.mux, &r.out), ST_FULL);
    for (const struct span *s = r.out.head; s != NULL; s = s->next)
        sent[get_be16(span_data(s) + 2)] += s->len;
    assert_in_range(sent[1], sent[2] - 2 * MUX_QUANTUM, sent[2] + 2 * MUX_QUANTUM);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_frames_are_cut_where_the_client_cut_them),
        cmocka_unit_test(every_prefix_of_a_head_waits_for_more),
        cmocka_unit_test(what_the_real_server_answers_we_answer),
        cmocka_unit_test(broken_frames_end_the_carrier),
        cmocka_unit_test(xudp_goes_to_whom_each_datagram_names),
        cmocka_unit_test(the_first_datagram_of_a_resumed_flow_goes_where_new_says),
        cmocka_unit_test(an_answer_of_the_named_target_bears_its_name),
        cmocka_unit_test(the_cuts_of_the_carrier_change_nothing),
        cmocka_unit_test(a_failing_allocation_breaks_nothing),
        cmocka_unit_test(an_id_used_again_drops_the_old_stream),
        cmocka_unit_test(a_refused_stream_gets_its_end_and_its_data_is_skipped),
        cmocka_unit_test(a_closed_stream_sends_its_end_once_and_after_its_bytes),
        cmocka_unit_test(many_streams_are_found_by_their_ids),
        cmocka_unit_test(a_stream_that_nobody_reads_stops_the_carrier_until_half_is_read),
        cmocka_unit_test(all_streams_together_have_a_bound_too),
        cmocka_unit_test(datagrams_beyond_the_bound_are_dropped_and_the_carrier_goes_on),
        cmocka_unit_test(datagrams_too_large_for_a_client_do_not_reach_it),
        cmocka_unit_test(answers_to_strange_frames_wait_for_room),
        cmocka_unit_test(a_stream_with_little_is_not_kept_waiting_by_one_with_much),
        cmocka_unit_test(two_streams_share_the_carrier_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
