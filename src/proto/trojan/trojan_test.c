#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/frame.h"
#include "base/uuid.h"
#include "codec/json.h"
#include "codec/test_vectors.h"
#include "proto/trojan/trojan.h"
#include "proto/trojan/users.h"
#include "stream/test_bench.h"

#define WIRE_MAX 4096
/* hex of SHA-224("password") as text, then CR LF */
#define KEY     "d63dc919e201d7bc4c825630d2cf25fdc93d4b2f0d46706d29038d01"
#define REQUEST KEY "\r\n"
#define TCP     REQUEST "\x01\x01\x01\x02\x03\x04\x01\xbb\r\n"
#define TCP_LEN (56 + 2 + 8 + 2)
#define UDP     REQUEST "\x03\x01\x08\x08\x08\x08\0\x35\r\n"

static struct user_rt user = {.uid = 7, .secret = "password"};
static struct user_index *users;
static const struct trojan_conf plain_conf, fallback_conf = {.fallback = true};

static int set_up(void **state)
{
    static struct user_rt *const list[] = {&user};
    const struct user_index_build b = {.users = list, .count = 1, .seed = 5};

    (void)state;
    return trojan_users_ops.build(&b, &users) == ST_OK ? 0 : -1;
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
    test_bench_open(b, &env, &trojan_server_ops, fallback ? &fallback_conf : &plain_conf);
}

/* ---- vectors of the reference ---------------------------------------------------------------- */

static const struct json_t *packets_of(const struct json_t *o)
{
    return json_get(o, "udp_packets");
}

static void assert_packets(struct test_bench *b, const struct json_t *packets)
{
    struct bufq *up = chain_up(&b->chain);

    assert_int_equal(up->count, json_array_len(packets));
    for (size_t i = 0; i < json_array_len(packets); i++) {
        const struct json_t *p = json_at(packets, i);
        struct span *s = bufq_pop(up);
        struct target to = {.addr = s->peer};
        char text[TARGET_STRLEN];
        uint8_t payload[WIRE_MAX];
        size_t n = test_hex_of(p, "payload", payload, WIRE_MAX);
        if (s->peer.family == ADDR_NAME)
            frame_get_target(s, &to);
        assert_string_equal(target_str(&to, text), json_get_str(p, "dest", "") + strlen("udp:"));
        assert_int_equal(s->len, n);
        assert_memory_equal(span_data(s), payload, n);
        span_free(b->pool, s);
    }
}

static void reads_the_requests_of_the_reference(void **state)
{
    struct json_t *all = test_vectors("src/proto/trojan/testdata/trojan.json");
    const struct json_t *list = json_get(all, "requests");

    (void)state;
    assert_true(json_array_len(list) >= 10);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json_t *o = json_at(list, i);
        const char *dest = json_get_str(o, "dest", "");
        bool udp = strncmp(dest, "udp:", 4) == 0;
        char password[64], text[TARGET_STRLEN];
        uint8_t wire[WIRE_MAX];
        size_t n = test_hex_of(o, "stream", wire, WIRE_MAX);
        struct user_rt one = {.uid = 1, .secret = password};
        struct user_rt *const few[] = {&one};
        const struct user_index_build build = {.users = few, .count = 1};
        struct user_index *ix;
        struct test_bench b;

        snprintf(password, sizeof(password), "%s", json_get_str(o, "password", ""));
        /* A uuid in its usual spelling needs no text of its own. */
        if (uuid_parse(one.uuid, password, strlen(password)) == ST_OK)
            one.secret = NULL;
        assert_int_equal(trojan_users_ops.build(&build, &ix), ST_OK);
        open_bench(&b, false);
        b.env.users = ix;
        assert_int_equal(test_bench_feed(&b, wire, n), ST_OK);
        assert_int_equal(b.ev.mask & EV_REQUEST, EV_REQUEST);
        assert_ptr_equal(b.ev.request.user, &one);
        assert_int_equal(b.ev.request.network, udp ? NETWORK_UDP : NETWORK_TCP);
        assert_int_equal(b.ev.request.addressed, udp);
        assert_string_equal(target_str(&b.ev.request.target, text), dest + 4);
        if (udp)
            assert_packets(&b, packets_of(o));
        else
            test_bench_holds(chain_up(&b.chain), "GET / HTTP/1.1\r\n\r\n", 18);
        assert_int_equal(chain_raw(&b.chain, CHAIN_TX) == CHAIN_RAW_NOW, !udp);
        test_bench_close(&b);
        user_index_free(ix);
    }
    json_unref(all);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void a_stranger_is_refused_at_his_first_wrong_byte(void **state)
{
    static const struct {
        const char *first;
        size_t len;
        enum status st; /* ST_OK: may still become ours */
    } cases[] = {
        {"", 0, ST_OK},
        {"d63d", 4, ST_OK},
        {"D", 1, ST_E_AUTH},
        {"GET / HTTP/1.1\r\n", 16, ST_E_AUTH},
        {"d63g", 4, ST_E_AUTH},
        {KEY, 56, ST_OK},
        {KEY "\n", 57, ST_E_AUTH},
        {KEY "\r", 57, ST_OK}, /* known already, the rest is waited for */
        {"d63dc919e201d7bc4c825630d2cf25fdc93d4b2f0d46706d29038d02\r", 57, ST_E_AUTH},
        {"e63dc919e201d7bc4c825630d2cf25fdc93d4b2f0d46706d29038d01\r", 57, ST_E_AUTH},
    };
    (void)state;
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        bool fallback = i % 2 != 0;
        struct test_bench b;
        open_bench(&b, fallback);
        enum status st = test_bench_feed(&b, cases[i / 2].first, cases[i / 2].len);
        assert_int_equal(st, fallback ? ST_OK : cases[i / 2].st);
        assert_int_equal(b.ev.mask, fallback && cases[i / 2].st < 0 ? EV_DIVERT : 0);
        if (b.ev.mask & EV_DIVERT) {
            chain_divert(&b.chain);
            test_bench_holds(chain_up(&b.chain), cases[i / 2].first, cases[i / 2].len);
        }
        assert_int_equal(chain_bottom_out(&b.chain)->bytes, 0);
        test_bench_close(&b);
    }
}

static void a_known_user_does_not_fall_back(void **state)
{
    static const struct {
        const char *wire;
        size_t len;
        enum status st;
    } cases[] = {
        {REQUEST "\x7f\x03\x01z\0\x50\r\n", 58 + 8, ST_E_UNSUPPORTED},
        {REQUEST "\x01\x02", 60, ST_E_PROTO},
        {REQUEST "\x01\x03\0", 61, ST_E_PROTO},
        {UDP "\x05", 69, ST_E_PROTO},
    };
    (void)state;
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_bench b;
        open_bench(&b, i % 2 != 0);
        assert_int_equal(test_bench_feed(&b, cases[i / 2].wire, cases[i / 2].len), cases[i / 2].st);
        assert_non_null(b.ev.why.text);
        assert_int_equal(b.ev.mask & EV_DIVERT, 0);
        test_bench_close(&b);
    }
}

static void an_early_end_is_told(void **state)
{
    static const size_t cuts[] = {0, 10, 56, 57, 60, TCP_LEN - 1};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(cuts) / sizeof(cuts[0]); i++) {
        bool fallback = i % 2 != 0;
        size_t n = cuts[i / 2];
        struct test_bench b;
        open_bench(&b, fallback);
        chain_bottom_in(&b.chain)->eof = true;
        enum status st = test_bench_feed(&b, TCP, n);
        bool diverts = fallback && n > 0 && n <= 56;
        assert_int_equal(b.ev.mask, diverts ? EV_DIVERT : 0);
        if (!diverts)
            assert_int_equal(st, n > 0 && n <= 56 ? ST_E_AUTH : ST_E_CLOSED);
        test_bench_close(&b);
    }
}

static void a_removed_user_is_unknown(void **state)
{
    struct test_bench b;

    (void)state;
    atomic_store(&user.removed, true);
    open_bench(&b, false);
    assert_int_equal(test_bench_feed(&b, TCP, TCP_LEN), ST_E_AUTH);
    test_bench_close(&b);
    atomic_store(&user.removed, false);
}

/* ---- datagrams ------------------------------------------------------------------------------- */

static void push_down(struct test_bench *b, size_t len)
{
    struct span *s = span_new_for(b->pool, len);
    assert_non_null(s);
    memset(span_data(s), 'x', len);
    s->len = (uint32_t)len;
    s->peer = (struct addr){.family = ADDR_IP4, .port = 0x1234, .ip = {1, 2, 3, 4}};
    bufq_push(chain_down(&b->chain), s);
}

static void answers_carry_their_source(void **state)
{
    struct test_bench b;

    (void)state;
    open_bench(&b, false);
    assert_int_equal(test_bench_feed(&b, UDP, 68), ST_OK);
    push_down(&b, 3);
    push_down(&b, 0);
    push_down(&b, TROJAN_DATAGRAM_MAX + 1);
    assert_int_equal(test_bench_run(&b), ST_OK);
    test_bench_holds(chain_bottom_out(&b.chain), "\x01\x01\x02\x03\x04\x12\x34\0\x03\r\nxxx", 14);
    assert_int_equal(chain_bottom_out(&b.chain)->head->peer.family, ADDR_NONE);
    push_down(&b, TROJAN_DATAGRAM_MAX);
    assert_int_equal(test_bench_run(&b), ST_OK);
    assert_int_equal(chain_bottom_out(&b.chain)->bytes, 14 + 11 + TROJAN_DATAGRAM_MAX);
    test_bench_close(&b);
}

/* ---- laws ------------------------------------------------------------------------------------ */

static void keeps_the_laws_with_streams(void **state)
{
    static uint8_t wire[TCP_LEN + 40000], down[30000];
    const struct chain_stage stage = {&trojan_server_ops, &plain_conf};
    const struct env env = {.users = users};
    struct test_bench_bytes e = {down, sizeof(down)};

    (void)state;
    memcpy(wire, TCP, TCP_LEN);
    for (size_t i = TCP_LEN; i < sizeof(wire); i++)
        wire[i] = (uint8_t)(i * 13);
    for (size_t i = 0; i < sizeof(down); i++)
        down[i] = (uint8_t)(i * 7);
    test_bench_laws(&(struct law_case){.stages = &stage,
                                       .count = 1,
                                       .env = &env,
                                       .arg = &e,
                                       .wire = wire,
                                       .wire_len = sizeof(wire),
                                       .wire_eof = true,
                                       .plain = wire + TCP_LEN,
                                       .plain_len = sizeof(wire) - TCP_LEN,
                                       .plain_eof = true,
                                       .down = down,
                                       .down_len = sizeof(down),
                                       .down_eof = true,
                                       .events = EV_REQUEST | EV_READY,
                                       .written = test_bench_wrote});
}

static void keeps_the_laws_with_datagrams(void **state)
{
    static const char to_name[] = "\x03\x0b"
                                  "example.org\0\x35";
    static const char to_ip[] = "\x01\x08\x08\x08\x08\0\x35";
    static uint8_t wire[64 * 1024], plain[64 * 1024];
    const struct chain_stage stage = {&trojan_server_ops, &plain_conf};
    const struct env env = {.users = users};
    size_t n = 68, m = 0;

    (void)state;
    memcpy(wire, UDP, n);
    for (unsigned i = 0; i < 30; i++) {
        static const uint16_t sizes[] = {1, 0, 1400, 17, 2000, 300};
        uint16_t len = i == 5 ? 20000 : sizes[i % 6];
        const char *to = i % 2 != 0 ? to_name : to_ip;
        size_t to_len = (i % 2 != 0 ? sizeof(to_name) : sizeof(to_ip)) - 1;
        memcpy(wire + n, to, to_len);
        n += to_len;
        wire[n++] = (uint8_t)(len >> 8);
        wire[n++] = (uint8_t)len;
        wire[n++] = '\r';
        wire[n++] = '\n';
        for (unsigned k = 0; k < len; k++, n++) {
            wire[n] = (uint8_t)(n * 5);
            if (len <= BLK_DATA)
                plain[m++] = wire[n];
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
    static const uint8_t wire[] = "d63d GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const struct chain_stage stage = {&trojan_server_ops, &fallback_conf};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_requests_of_the_reference),
        cmocka_unit_test(a_stranger_is_refused_at_his_first_wrong_byte),
        cmocka_unit_test(a_known_user_does_not_fall_back),
        cmocka_unit_test(an_early_end_is_told),
        cmocka_unit_test(a_removed_user_is_unknown),
        cmocka_unit_test(answers_carry_their_source),
        cmocka_unit_test(keeps_the_laws_with_streams),
        cmocka_unit_test(keeps_the_laws_with_datagrams),
        cmocka_unit_test(keeps_the_laws_when_it_diverts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
