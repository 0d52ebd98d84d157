#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "codec/test_vectors.h"
#include "policy/key_index.h"
#include "proto/vless/header.h"
#include "proto/vless/vless.h"
#include "stream/test_bench.h"

#define UUID_HEX   "66ad4540b58c4ad29926ea63445a9b57"
#define ID         "00" UUID_HEX "00" /* version, uuid, no addons */
#define TCP_HEX    ID "0101bb0101020304"
#define UDP_HEX    ID "0200350108080808"
#define WIRE_MAX   4096
#define VISION_HEX "00" UUID_HEX "120a1078746c732d727072782d766973696f6e"

static struct user_rt user = {.uid = 7};
static struct user_index *users;
static const struct vless_conf plain_conf, fallback_conf = {.fallback = true};

static int set_up(void **state)
{
    static struct user_rt *const list[] = {&user};
    (void)state;
    if (hex_decode(user.uuid, UUID_HEX, 32) != ST_OK)
        return -1;
    const struct user_index_build b = {.users = list, .count = 1};
    return uuid_index_ops.build(&b, &users) == ST_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    user_index_free(users);
    return 0;
}

static void open_bench(struct test_bench *b, bool fallback)
{
    const struct env env = {.users = users};
    test_bench_open(b, &env, &vless_server_ops, fallback ? &fallback_conf : &plain_conf);
}

static size_t bytes_of(uint8_t dst[WIRE_MAX], const char *hex)
{
    return test_hex(hex, dst, WIRE_MAX);
}

static enum status feed(struct test_bench *b, const char *hex)
{
    uint8_t wire[WIRE_MAX];
    size_t n = bytes_of(wire, hex);
    return test_bench_feed(b, wire, n);
}

static void assert_queue(const struct bufq *q, const char *hex)
{
    uint8_t want[WIRE_MAX];
    size_t n = bytes_of(want, hex);
    test_bench_holds(q, want, n);
}

/* ---- vectors of the reference ---------------------------------------------------------------- */

static void decides_like_the_reference(void **state)
{
    struct json_t *all = test_vectors("src/proto/vless/testdata/vless.json");
    const struct json_t *list = json_get(all, "decode_outcomes");

    (void)state;
    assert_true(json_array_len(list) >= 24);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json_t *o = json_at(list, i);
        bool fallback = json_get_bool(o, "fallbacks_configured", false);
        bool falls_back = json_get_bool(o, "falls_back", false);
        bool ok = json_get_bool(o, "ok", false);
        struct test_bench b;

        open_bench(&b, fallback);
        enum status st = feed(&b, json_get_str(o, "hex", ""));
        assert_int_equal((b.ev.mask & EV_DIVERT) != 0, falls_back);
        assert_int_equal((b.ev.mask & EV_REQUEST) != 0, ok);
        assert_int_equal(st < 0, !ok && !falls_back);
        if (st < 0)
            assert_non_null(b.ev.why.text);
        if (falls_back) {
            chain_divert(&b.chain);
            assert_queue(chain_up(&b.chain), json_get_str(o, "hex", ""));
        }
        if (ok)
            assert_ptr_equal(b.ev.request.user, &user);
        assert_int_equal(chain_bottom_out(&b.chain)->bytes, 0);
        test_bench_close(&b);
    }
    json_unref(all);
}

static void reads_the_requests_of_the_reference(void **state)
{
    struct json_t *all = test_vectors("src/proto/vless/testdata/vless.json");
    const struct json_t *list = json_get(all, "requests");

    (void)state;
    assert_true(json_array_len(list) >= 8);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json_t *o = json_at(list, i);
        const char *address = json_get_str(o, "address", "");
        int64_t command = json_get_int(o, "command", 0);
        struct vless_header h;
        struct why why = {0};
        uint8_t wire[WIRE_MAX];
        char text[TARGET_STRLEN], want[TARGET_STRLEN];
        size_t n = bytes_of(wire, json_get_str(o, "hex", ""));

        for (size_t cut = 0; cut < n; cut++)
            assert_int_equal(vless_header_parse(wire, cut, &h, &why), ST_MORE);
        assert_int_equal(vless_header_parse(wire, n, &h, &why), ST_OK);
        assert_int_equal(h.len, n);
        assert_int_equal(h.command, command);
        assert_int_equal(h.flow,
                         json_get_str(o, "flow", "")[0] ? VLESS_FLOW_IS_VISION : VLESS_FLOW_NONE);
        if (command > VLESS_UDP)
            continue;
        snprintf(want, sizeof(want), "%s:%d", address, (int)json_get_int(o, "port", -1));
        assert_string_equal(target_str(&h.target, text), want);
    }
    json_unref(all);
}

/* ---- header ---------------------------------------------------------------------------------- */

static void judges_addons_like_a_protobuf_library(void **state)
{
    static const struct {
        const char *hex;
        enum status st;
        enum vless_flow flow;
    } cases[] = {
        {"", ST_OK, VLESS_FLOW_NONE},
        {"0a00", ST_OK, VLESS_FLOW_NONE},
        {"0a0178", ST_OK, VLESS_FLOW_OTHER},
        {"0a1078746c732d727072782d766973696f6e", ST_OK, VLESS_FLOW_IS_VISION},
        {"0a1078746c732d727072782d766973696f6e0a00", ST_OK, VLESS_FLOW_NONE}, /* last one wins */
        {"0a0278c3", ST_E_PROTO, VLESS_FLOW_NONE},                            /* cut UTF-8 */
        {"0a03eda080", ST_E_PROTO, VLESS_FLOW_NONE},                          /* surrogate */
        {"0a02c3a9", ST_OK, VLESS_FLOW_OTHER},
        {"0801", ST_OK, VLESS_FLOW_NONE}, /* flow with another wire type: unknown */
        {"1a02c328", ST_OK, VLESS_FLOW_NONE},
        {"0900000000000000", ST_E_PROTO, VLESS_FLOW_NONE},
        {"090000000000000000", ST_OK, VLESS_FLOW_NONE},
        {"0d00000000", ST_OK, VLESS_FLOW_NONE},
        {"0d000000", ST_E_PROTO, VLESS_FLOW_NONE},
        {"1b0a01781c", ST_OK, VLESS_FLOW_NONE}, /* flow inside a group is not ours */
        {"1b2b2c1c", ST_OK, VLESS_FLOW_NONE},
        {"1b2c", ST_E_PROTO, VLESS_FLOW_NONE},
        {"1b", ST_E_PROTO, VLESS_FLOW_NONE},
        {"1c", ST_E_PROTO, VLESS_FLOW_NONE},
        {"0201", ST_E_PROTO, VLESS_FLOW_NONE}, /* field 0 */
        {"1e", ST_E_PROTO, VLESS_FLOW_NONE},   /* wire type 6 */
        {"18ffffffffffffffffff01", ST_OK, VLESS_FLOW_NONE},
        {"18ffffffffffffffffff02", ST_E_PROTO, VLESS_FLOW_NONE},
        {"18ff", ST_E_PROTO, VLESS_FLOW_NONE},
        {"f8ffffff0f01", ST_OK, VLESS_FLOW_NONE},    /* the largest field number */
        {"8080808010", ST_E_PROTO, VLESS_FLOW_NONE}, /* one more */
        {"0affffffffffffffffff01", ST_E_PROTO, VLESS_FLOW_NONE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t wire[WIRE_MAX];
        size_t n = bytes_of(wire, cases[i].hex);
        enum vless_flow flow;
        enum status st = vless_addons_parse(wire, n, &flow);
        if (st != cases[i].st || (st == ST_OK && flow != cases[i].flow))
            fail_msg("%s: %s, flow %d", cases[i].hex, status_str(st), (int)flow);
    }
}

static void unmaps_ip4_and_reads_literal_names(void **state)
{
    static const struct {
        const char *hex, *text;
    } cases[] = {
        {ID "0101bb0300000000000000000000ffff01020304", "1.2.3.4:443"},
        {ID "0101bb0207312e322e332e34", "1.2.3.4:443"},
        {ID "0101bb02055b3a3a315d", "[::1]:443"},
        {ID "01000002015f", "_:0"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vless_header h;
        struct why why = {0};
        uint8_t wire[WIRE_MAX];
        char text[TARGET_STRLEN];
        size_t n = bytes_of(wire, cases[i].hex);
        assert_int_equal(vless_header_parse(wire, n, &h, &why), ST_OK);
        assert_string_equal(target_str(&h.target, text), cases[i].text);
    }
}

static void the_longest_header_fits(void **state)
{
    uint8_t wire[VLESS_HEADER_MAX];
    struct vless_header h;
    struct why why = {0};

    (void)state;
    memset(wire, 0, sizeof(wire));
    wire[17] = 255;
    wire[18] = 0x12; /* seed of 252 bytes */
    wire[19] = 0xfc;
    wire[20] = 0x01;
    uint8_t *p = wire + 18 + 255;
    *p++ = VLESS_TCP;
    p += 2;
    *p++ = 2;
    *p++ = 255;
    memset(p, 'a', 255);
    assert_int_equal(vless_header_parse(wire, sizeof(wire) - 1, &h, &why), ST_MORE);
    assert_int_equal(vless_header_parse(wire, sizeof(wire), &h, &why), ST_OK);
    assert_int_equal(h.len, VLESS_HEADER_MAX);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void refuses_what_it_does_not_do(void **state)
{
    static const struct {
        const char *hex;
        enum status st;
    } cases[] = {
        {ID "04", ST_E_UNSUPPORTED},
        {ID "05", ST_E_PROTO},
        {ID "00", ST_E_PROTO},
        {VISION_HEX "0101bb0101020304", ST_E_AUTH},
        {VISION_HEX "03", ST_E_AUTH},
        {"00" UUID_HEX "030a01780101bb0101020304", ST_E_UNSUPPORTED},
        {"00" UUID_HEX "020a05", ST_E_PROTO},
        {ID "0101bb0200", ST_E_PROTO},
    };
    (void)state;
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_bench b;
        open_bench(&b, i % 2 != 0); /* with a fallback too: the user is known */
        assert_int_equal(feed(&b, cases[i / 2].hex), cases[i / 2].st);
        assert_int_equal(b.ev.mask, 0);
        assert_non_null(b.ev.why.text);
        assert_int_equal(chain_bottom_out(&b.chain)->bytes, 0);
        test_bench_close(&b);
    }
}

/* The table of docs/internals/reality-and-vision.md. */
static void flows_are_judged_as_the_table_says(void **state)
{
    static const struct vless_conf vision = {.vision = true};
    static const struct {
        const char *hex;
        bool tls13;
        enum status st;
        enum network network;
    } cases[] = {
        {VISION_HEX "0101bb0101020304", true, ST_OK, NETWORK_TCP},
        {VISION_HEX "0101bb0101020304", false, ST_E_PROTO, 0},
        {VISION_HEX "0200350108080808", true, ST_E_PROTO, 0},
        {VISION_HEX "03", true, ST_OK, NETWORK_MUX},
        {VISION_HEX "03", false, ST_E_PROTO, 0},
        {TCP_HEX, true, ST_E_AUTH, 0},
        {UDP_HEX, true, ST_OK, NETWORK_UDP},
        {UDP_HEX, false, ST_OK, NETWORK_UDP},
        {ID "03", false, ST_OK, NETWORK_MUX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_bench b;
        open_bench(&b, false);
        test_bench_reopen(&b, &vless_server_ops, &vision);
        b.info.tls13 = cases[i].tls13;
        assert_int_equal(feed(&b, cases[i].hex), cases[i].st);
        assert_int_equal(b.ev.mask & EV_REQUEST, cases[i].st == ST_OK ? EV_REQUEST : 0);
        assert_int_equal(b.ev.request.network, cases[i].network);
        if (cases[i].network == NETWORK_MUX)
            assert_true(b.ev.request.datagrams_only);
        test_bench_close(&b);
    }
}

static void an_unknown_user_is_refused_at_his_last_byte(void **state)
{
    struct test_bench b;

    (void)state;
    open_bench(&b, false);
    /* 16 bytes: may still become our user */
    assert_int_equal(feed(&b, "0066ad4540b58c4ad29926ea63445a9b"), ST_OK);
    assert_int_equal(b.ev.mask, 0);
    assert_int_equal(feed(&b, "58"), ST_E_AUTH);
    test_bench_close(&b);

    open_bench(&b, false);
    assert_int_equal(feed(&b, "47"), ST_E_AUTH); /* GET ... */
    test_bench_close(&b);
}

static void a_removed_user_is_unknown(void **state)
{
    struct test_bench b;

    (void)state;
    atomic_store(&user.removed, true);
    open_bench(&b, false);
    assert_int_equal(feed(&b, TCP_HEX), ST_E_AUTH);
    test_bench_close(&b);
    atomic_store(&user.removed, false);
}

static void a_short_first_read_falls_back(void **state)
{
    static const char *const first[] = {"00", "0066ad4540b58c4ad29926ea63445a9b57", "616263"};

    (void)state;
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        struct test_bench b;
        open_bench(&b, true);
        assert_int_equal(feed(&b, first[i]), ST_OK);
        assert_int_equal(b.ev.mask, EV_DIVERT);
        chain_divert(&b.chain);
        assert_queue(chain_up(&b.chain), first[i]);
        test_bench_close(&b);
    }
}

/* A known user whose header comes in two reads, the first long enough, stays ours. */
static void the_first_read_decides_once(void **state)
{
    struct test_bench b;

    (void)state;
    open_bench(&b, true);
    assert_int_equal(feed(&b, ID "01"), ST_OK);
    assert_int_equal(b.ev.mask, 0);
    assert_int_equal(feed(&b, "01bb0101020304"), ST_OK);
    assert_int_equal(b.ev.mask, EV_REQUEST | EV_READY);
    test_bench_close(&b);
}

static void an_early_end_is_told(void **state)
{
    static const char *const first[] = {"", "0066", ID "01"};

    (void)state;
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        struct test_bench b;
        open_bench(&b, false);
        chain_bottom_in(&b.chain)->eof = true;
        assert_int_equal(feed(&b, first[i]), ST_E_CLOSED);
        test_bench_close(&b);
    }
}

/* ---- down ------------------------------------------------------------------------------------ */

static void push_down(struct test_bench *b, const char *hex)
{
    uint8_t wire[WIRE_MAX];
    size_t n = bytes_of(wire, hex);
    struct span *s = span_new_for(b->pool, n);
    assert_non_null(s);
    memcpy(span_data(s), wire, n);
    s->len = (uint32_t)n;
    bufq_push(chain_down(&b->chain), s);
}

static void the_response_header_shares_the_first_span(void **state)
{
    struct test_bench b;

    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        struct span *twin = NULL;
        open_bench(&b, false);
        assert_int_equal(feed(&b, TCP_HEX "ffee"), ST_OK);
        assert_queue(chain_up(&b.chain), "ffee");
        assert_int_equal(chain_bottom_out(&b.chain)->bytes, 0);
        assert_int_equal(chain_raw(&b.chain, CHAIN_TX), CHAIN_RAW_LATER);
        push_down(&b, "0102");
        push_down(&b, "03");
        if (shared)
            twin = span_share(b.pool, chain_down(&b.chain)->head);
        assert_int_equal(test_bench_run(&b), ST_OK);
        assert_queue(chain_bottom_out(&b.chain), "0000010203");
        assert_int_equal(chain_bottom_out(&b.chain)->head->len, 4);
        if (shared) {
            assert_int_equal(span_data(twin)[0], 1);
            span_free(b.pool, twin);
        }
        bufq_clear(chain_bottom_out(&b.chain), b.pool);
        bufq_clear(chain_up(&b.chain), b.pool);
        assert_int_equal(chain_raw(&b.chain, CHAIN_TX), CHAIN_RAW_NOW);
        assert_int_equal(chain_raw(&b.chain, CHAIN_RX), CHAIN_RAW_NOW);
        test_bench_close(&b);
    }
}

static void a_full_shared_blk_is_split(void **state)
{
    struct test_bench b;
    uint8_t head[3];

    (void)state;
    open_bench(&b, false);
    assert_int_equal(feed(&b, TCP_HEX), ST_OK);
    struct span *s = span_new(b.pool);
    assert_non_null(s);
    memset(span_data(s), 'x', BLK_DATA);
    s->len = BLK_DATA;
    struct span *twin = span_share(b.pool, s);
    bufq_push(chain_down(&b.chain), s);
    assert_int_equal(test_bench_run(&b), ST_OK);
    const struct bufq *out = chain_bottom_out(&b.chain);
    assert_int_equal(out->bytes, BLK_DATA + 2);
    assert_true(out->head->len <= BLK_DATA);
    assert_int_equal(bufq_peek(out, head, 3), 3);
    assert_memory_equal(head, "\0\0x", 3);
    span_free(b.pool, twin);
    test_bench_close(&b);
}

static void a_silent_target_still_gives_a_response_header(void **state)
{
    static const char *const request[] = {TCP_HEX, UDP_HEX};
    struct test_bench b;

    (void)state;
    for (int i = 0; i < 2; i++) {
        open_bench(&b, false);
        assert_int_equal(feed(&b, request[i]), ST_OK);
        chain_down(&b.chain)->eof = true;
        assert_int_equal(test_bench_run(&b), ST_OK);
        assert_queue(chain_bottom_out(&b.chain), "0000");
        assert_true(chain_bottom_out(&b.chain)->eof);
        test_bench_close(&b);
    }
    open_bench(&b, false); /* before a request nothing is said */
    chain_down(&b.chain)->eof = true;
    assert_int_equal(test_bench_run(&b), ST_OK);
    assert_int_equal(chain_bottom_out(&b.chain)->bytes, 0);
    test_bench_close(&b);
}

/* ---- datagrams ------------------------------------------------------------------------------- */

static void frames_become_datagrams_one_span_each(void **state)
{
    struct test_bench b;

    (void)state;
    open_bench(&b, false);
    assert_int_equal(feed(&b, UDP_HEX "000568656c6c6f"
                                      "0000"
                                      "000177"
                                      "0003"),
                     ST_OK);
    assert_int_equal(b.ev.request.network, NETWORK_UDP);
    const struct bufq *up = chain_up(&b.chain);
    assert_int_equal(up->count, 2);
    assert_int_equal(up->head->len, 5);
    assert_int_equal(up->head->peer.family, ADDR_NONE);
    assert_int_equal(up->tail->len, 1);
    assert_int_equal(feed(&b, "00"), ST_OK);
    assert_int_equal(up->count, 2);
    assert_int_equal(feed(&b, "0102"), ST_OK);
    assert_int_equal(up->count, 3);
    assert_queue(up, "68656c6c6f77000102");
    assert_int_equal(chain_raw(&b.chain, CHAIN_RX), CHAIN_RAW_LATER);
    test_bench_close(&b);
}

static void oversized_datagrams_are_dropped(void **state)
{
    struct test_bench b;
    uint8_t block[4000] = {0};

    (void)state;
    open_bench(&b, false);
    assert_int_equal(feed(&b, UDP_HEX "ffff"), ST_OK);
    for (size_t left = 65535; left > 0;) {
        size_t n = left < sizeof(block) ? left : sizeof(block);
        assert_int_equal(test_bench_feed(&b, block, n), ST_OK);
        assert_int_equal(chain_bottom_in(&b.chain)->bytes, 0);
        left -= n;
    }
    assert_int_equal(feed(&b, "000161"), ST_OK);
    assert_queue(chain_up(&b.chain), "61");

    struct span *s = span_new(b.pool);
    assert_non_null(s);
    s->len = VLESS_DATAGRAM_MAX + 1;
    memset(span_data(s), 0, s->len);
    bufq_push(chain_down(&b.chain), s);
    s = span_new_small(b.pool); /* an empty one */
    bufq_push(chain_down(&b.chain), s);
    assert_int_equal(test_bench_run(&b), ST_OK);
    assert_int_equal(chain_bottom_out(&b.chain)->bytes, 0);
    s = span_new(b.pool);
    assert_non_null(s);
    s->len = VLESS_DATAGRAM_MAX;
    memset(span_data(s), 0, s->len);
    bufq_push(chain_down(&b.chain), s);
    assert_int_equal(test_bench_run(&b), ST_OK);
    assert_int_equal(chain_bottom_out(&b.chain)->bytes, 2 + 2 + VLESS_DATAGRAM_MAX);
    test_bench_close(&b);
}

static void replies_are_framed_like_the_reference(void **state)
{
    struct json_t *all = test_vectors("src/proto/vless/testdata/vless.json");
    const struct json_t *frames = json_get(all, "udp_frames_hello_and_300xaa");
    char want[WIRE_MAX], aa[601];
    struct test_bench b;

    (void)state;
    snprintf(want, sizeof(want), "%s%s%s", json_get_str(all, "response_header", ""),
             json_str(json_at(frames, 0)), json_str(json_at(frames, 1)));
    memset(aa, 'a', 600);
    aa[600] = '\0';
    open_bench(&b, false);
    assert_int_equal(feed(&b, UDP_HEX), ST_OK);
    push_down(&b, "68656c6c6f");
    chain_down(&b.chain)->head->peer = (struct addr){.family = ADDR_IP4, .port = 53};
    push_down(&b, aa);
    assert_int_equal(test_bench_run(&b), ST_OK);
    assert_queue(chain_bottom_out(&b.chain), want);
    assert_int_equal(chain_bottom_out(&b.chain)->head->peer.family, ADDR_NONE);
    test_bench_close(&b);
    json_unref(all);
}

/* ---- laws ------------------------------------------------------------------------------------ */

static void keeps_the_laws_with_streams(void **state)
{
    static uint8_t wire[26 + 40000], down[2 + 30000];
    const struct chain_stage stage = {&vless_server_ops, &plain_conf};
    const struct env env = {.users = users};
    struct test_bench_bytes e = {down, sizeof(down)};
    size_t n = bytes_of(wire, TCP_HEX);

    (void)state;
    for (size_t i = n; i < sizeof(wire); i++)
        wire[i] = (uint8_t)(i * 13);
    for (size_t i = 2; i < sizeof(down); i++)
        down[i] = (uint8_t)(i * 7);
    test_bench_laws(&(struct law_case){.stages = &stage,
                                       .count = 1,
                                       .env = &env,
                                       .arg = &e,
                                       .wire = wire,
                                       .wire_len = sizeof(wire),
                                       .wire_eof = true,
                                       .plain = wire + n,
                                       .plain_len = sizeof(wire) - n,
                                       .plain_eof = true,
                                       .down = down + 2,
                                       .down_len = sizeof(down) - 2,
                                       .down_eof = true,
                                       .events = EV_REQUEST | EV_READY,
                                       .written = test_bench_wrote});
}

static void keeps_the_laws_with_datagrams(void **state)
{
    static uint8_t wire[64 * 1024], plain[64 * 1024];
    const struct chain_stage stage = {&vless_server_ops, &plain_conf};
    const struct env env = {.users = users};
    size_t n = bytes_of(wire, UDP_HEX), m = 0;

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        static const uint16_t sizes[] = {1, 0, 1400, 17, 2000, 20000, 300};
        uint16_t len = i == 39 ? 9000 : i == 5 ? 20000 : sizes[i % 7 == 5 ? 0 : i % 7];
        wire[n++] = (uint8_t)(len >> 8);
        wire[n++] = (uint8_t)len;
        for (unsigned k = 0; k < len; k++) {
            wire[n] = (uint8_t)(n * 5);
            if (len <= BLK_DATA)
                plain[m++] = wire[n];
            n++;
        }
    }
    test_bench_laws(&(struct law_case){.stages = &stage,
                                       .count = 1,
                                       .env = &env,
                                       .wire = wire,
                                       .wire_len = n,
                                       .wire_eof = true,
                                       .plain = plain,
                                       .plain_len = m,
                                       .plain_eof = true,
                                       .events = EV_REQUEST | EV_READY});
}

static void keeps_the_laws_when_it_diverts(void **state)
{
    static const uint8_t wire[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const struct chain_stage stage = {&vless_server_ops, &fallback_conf};
    const struct env env = {.users = users};

    (void)state;
    test_bench_laws(&(struct law_case){.stages = &stage,
                                       .count = 1,
                                       .env = &env,
                                       .wire = wire,
                                       .wire_len = sizeof(wire),
                                       .plain = wire,
                                       .plain_len = sizeof(wire),
                                       .events = EV_DIVERT});
}

static void keeps_the_laws_when_it_refuses(void **state)
{
    uint8_t wire[WIRE_MAX];
    const struct chain_stage stage = {&vless_server_ops, &plain_conf};
    const struct env env = {.users = users};
    struct test_bench_bytes nothing = {wire, 0};

    (void)state;
    test_bench_laws(&(struct law_case){.stages = &stage,
                                       .count = 1,
                                       .env = &env,
                                       .arg = &nothing,
                                       .wire = wire,
                                       .wire_len = bytes_of(wire, ID "04001122"),
                                       .plain = wire,
                                       .end = ST_E_UNSUPPORTED,
                                       .written = test_bench_wrote});
}

/* ---- configuration --------------------------------------------------------------------------- */

static void reads_the_settings_of_a_node(void **state)
{
    static const struct {
        const char *text;
        enum status st;
    } cases[] = {
        {"{}", ST_OK},
        {"{\"flow\": \"\", \"encryption\": \"none\"}", ST_OK},
        {"{\"flow\": null}", ST_OK},
        {"{\"flow\": \"xtls-rprx-vision\"}", ST_OK},
        {"{\"flow\": \"other\"}", ST_E_CONFIG},
        {"{\"encryption\": \"mlkem768x25519plus\"}", ST_OK}, /* a layer of its own */
    };
    struct arena *a = arena_new();

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct conf_context ctx = {.fallback = i % 2 == 0};
        const void *conf = NULL;
        struct conf_error err = {""};
        struct json_error bad;
        struct json_t *v;
        assert_int_equal(json_parse(cases[i].text, strlen(cases[i].text), &v, &bad), ST_OK);
        assert_int_equal(proto_vless.parse_conf(a, v, &ctx, &conf, &err), cases[i].st);
        if (cases[i].st == ST_OK)
            assert_int_equal(((const struct vless_conf *)conf)->fallback, ctx.fallback);
        else
            assert_true(strncmp(err.text, "vless ", 6) == 0);
        json_unref(v);
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decides_like_the_reference),
        cmocka_unit_test(reads_the_requests_of_the_reference),
        cmocka_unit_test(judges_addons_like_a_protobuf_library),
        cmocka_unit_test(unmaps_ip4_and_reads_literal_names),
        cmocka_unit_test(the_longest_header_fits),
        cmocka_unit_test(refuses_what_it_does_not_do),
        cmocka_unit_test(flows_are_judged_as_the_table_says),
        cmocka_unit_test(an_unknown_user_is_refused_at_his_last_byte),
        cmocka_unit_test(a_removed_user_is_unknown),
        cmocka_unit_test(a_short_first_read_falls_back),
        cmocka_unit_test(the_first_read_decides_once),
        cmocka_unit_test(an_early_end_is_told),
        cmocka_unit_test(the_response_header_shares_the_first_span),
        cmocka_unit_test(a_full_shared_blk_is_split),
        cmocka_unit_test(a_silent_target_still_gives_a_response_header),
        cmocka_unit_test(frames_become_datagrams_one_span_each),
        cmocka_unit_test(oversized_datagrams_are_dropped),
        cmocka_unit_test(replies_are_framed_like_the_reference),
        cmocka_unit_test(keeps_the_laws_with_streams),
        cmocka_unit_test(keeps_the_laws_with_datagrams),
        cmocka_unit_test(keeps_the_laws_when_it_diverts),
        cmocka_unit_test(keeps_the_laws_when_it_refuses),
        cmocka_unit_test(reads_the_settings_of_a_node),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
