#include "codec/test_vectors.h"
#include "proto/shadowsocks/packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>

#include "base/bytes.h"
#include "codec/json.h"
#include "crypto/xchacha.h"
#include "proto/shadowsocks/test_shadowsocks.h"

#define SERVER_KEY_16 "MDEyMzQ1Njc4OWFiY2RlZg=="
#define SERVER_KEY_32 "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#define ADDRESS       "\x01\x01\x02\x03\x04\x16\x2e" /* 1.2.3.4:5678 */

static const struct {
    const char *method, *server_key;
} kinds[] = {
    {"aes-128-gcm", NULL},
    {"aes-256-gcm", NULL},
    {"chacha20-poly1305", NULL},
    {"xchacha20-poly1305", NULL},
    {"none", NULL},
    {"2022-blake3-aes-128-gcm", SERVER_KEY_16},
    {"2022-blake3-aes-256-gcm", SERVER_KEY_32},
    {"2022-blake3-chacha20-poly1305", SERVER_KEY_32},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct bench {
    struct test_node n;
    struct packet_env env;
    void *flow;
    size_t flow_size;
    bool known; /* the flow is one */
    struct packet p;
};

static struct bench b;

static void ready(void)
{
    b.env = (struct packet_env){.conf = &b.n.conf,
                                .pool = b.n.pool,
                                .rng = &b.n.rng,
                                .crypto = &b.n.cc,
                                .users = b.n.index,
                                .shared = &b.n.shared,
                                .now_us = 1,
                                .unix_s = TEST_TIME};
    b.flow_size = ss_packet_ops.flow_size(&b.n.conf);
    b.flow = calloc(1, b.flow_size + 1);
    assert_non_null(b.flow);
}

static void open_bench(size_t kind)
{
    memset(&b, 0, sizeof(b));
    assert_true(test_node_open(&b.n, kinds[kind].method, kinds[kind].server_key,
                               ss_method_find(kinds[kind].method)->identity));
    ready();
}

static void close_bench(void)
{
    ss_packet_ops.fini(b.flow, b.flow_size);
    free(b.flow);
    test_node_close(&b.n);
}

/* Opens a datagram as the listener does, in the one flow there is. */
static enum status take(const void *wire, size_t len, struct span **out)
{
    struct span *s = span_new_for(b.n.pool, len);
    enum status st;

    memcpy(span_data(s), wire, len);
    s->len = (uint32_t)len;
    memset(&b.p, 0, sizeof(b.p));
    b.p.from = b.n.info.peer;
    st = ss_packet_ops.identify(&b.env, s, &b.p);
    if (st == ST_OK)
        do
            st = ss_packet_ops.open(&b.env, b.flow, s, &b.p);
        while (st == ST_YIELD);
    b.known = b.known || st == ST_OK;
    if (!b.known) /* as the listener, who forgets it */
        memset(b.flow, 0, b.flow_size);
    if (st == ST_OK && out != NULL)
        *out = s;
    else
        span_free(b.n.pool, s);
    return st;
}

static void assert_takes(const void *wire, size_t len, const char *payload)
{
    struct span *s = NULL;

    assert_int_equal(take(wire, len, &s), ST_OK);
    assert_int_equal(s->len, strlen(payload));
    assert_memory_equal(span_data(s), payload, s->len);
    span_free(b.n.pool, s);
}

/* ---- vectors of the reference ---------------------------------------------------------------- */

static void reads_the_datagrams_of_the_reference(void **state)
{
    struct json_t *aead = test_vectors("src/proto/shadowsocks/testdata/aead.json"),
                  *all = test_vectors("src/proto/shadowsocks/testdata/2022.json");
    char target[TARGET_STRLEN];
    uint8_t wire[512];

    (void)state;
    for (size_t i = 0; i < json_array_len(json_get(aead, "cases")); i++) {
        const struct json_t *o = json_at(json_get(aead, "cases"), i);
        memset(&b, 0, sizeof(b));
        assert_true(test_node_open(&b.n, json_get_str(o, "method", ""), NULL, false));
        ready();
        assert_takes(wire, test_hex(json_get_str(o, "udp_packet", ""), wire, sizeof(wire)),
                     "dnsquery");
        assert_string_equal(target_str(&b.p.target, target), "8.8.8.8:53");
        assert_ptr_equal(b.p.user, &b.n.users[TEST_USER]);
        close_bench();
    }
    for (size_t i = 0; i < json_array_len(json_get(all, "cases")); i++) {
        const struct json_t *o = json_at(json_get(all, "cases"), i);
        const struct json_t *list = json_get(o, "udp_requests");
        bool many = json_get_bool(o, "multi_user", false);
        memset(&b, 0, sizeof(b));
        assert_true(test_node_open(&b.n, json_get_str(o, "method", ""),
                                   json_get_str(o, "server_psk_b64", ""), many));
        ready();
        for (size_t k = 0; k < json_array_len(list); k++) {
            assert_takes(wire, test_hex(json_str(json_at(list, k)), wire, sizeof(wire)),
                         k == 0 ? "udp packet 0" : "udp packet 1");
            assert_string_equal(target_str(&b.p.target, target), "1.2.3.4:5678");
            if (k == 0)
                assert_ptr_equal(b.p.user, &b.n.users[many ? TEST_USER : 0]);
        }
        close_bench();
    }
    json_unref(aead);
    json_unref(all);
}

/* ---- answers, read by a client of our own ---------------------------------------------------- */

struct answer {
    uint8_t session[8];
    uint64_t number;
    uint8_t body[4096];
    size_t len;
};

static void open_with(const struct test_client *c, const uint8_t *key, const uint8_t iv[12],
                      uint8_t *data, size_t len)
{
    assert_int_equal(aead_open(c->cc, c->m->alg, key, iv, NULL, 0, data, len, data + len), ST_OK);
}

/* Address and payload of an answer. */
static void read_answer(const struct test_client *c, const struct span *s, struct answer *a)
{
    uint8_t wire[8192], key[SS_KEY_MAX], iv[12] = {0};
    size_t k = c->m->key_len, len = s->len, at = k;

    memset(a, 0, sizeof(*a));
    memcpy(wire, span_data(s), len);
    if (c->m->family == SS_AEAD) {
        ss_subkey(c->m, c->key, wire, key);
        if (c->m->wide) {
            static const uint8_t nonce[24];
            uint8_t wide[32];
            memcpy(wide, key, 32);
            xchacha_begin(wide, nonce, key, iv);
        }
        open_with(c, key, iv, wire + k, len - k - SS_TAG);
    } else if (c->m->wide) {
        xchacha_begin(c->server_key, wire, key, iv);
        open_with(c, key, iv, wire + 24, len - 24 - SS_TAG);
        at = 24;
    } else if (c->m->family == SS_2022) {
        struct aes_block aes;
        aes_block_init(&aes, c->key, k, true);
        assert_int_equal(aes_block_run(&aes, wire, wire), ST_OK);
        ss2022_subkey(c->m, c->key, wire, 8, key);
        memcpy(iv, wire + 4, 12);
        open_with(c, key, iv, wire + 16, len - 16 - SS_TAG);
        at = 0;
    }
    if (c->m->family == SS_2022) {
        memcpy(a->session, wire + at, 8);
        a->number = get_be64(wire + at + 8);
        at += 16;
        assert_int_equal(wire[at], 1);
        assert_int_equal(get_be64(wire + at + 1), TEST_TIME);
        assert_memory_equal(wire + at + 9, c->session, 8);
        assert_int_equal(get_be16(wire + at + 17), 0);
        at += 19;
    }
    a->len = len - at - (c->m->family == SS_PLAIN ? 0 : SS_TAG);
    memcpy(a->body, wire + at, a->len);
}

static struct span *answer_of(size_t len, bool small)
{
    struct span *s = small ? span_new_small(b.n.pool) : span_new(b.n.pool);

    memset(span_data(s), 'a', len);
    s->len = (uint32_t)len;
    s->peer = (struct addr){.family = ADDR_IP4, .port = 5678, .ip = {1, 2, 3, 4}};
    return s;
}

static void seals_answers(void **state)
{
    uint8_t wire[512];

    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct test_client c;
        struct answer a, first = {.number = 0};
        open_bench(k);
        test_client_init(&c, &b.n, TEST_USER, 1);
        assert_takes(wire, test_client_packet(&c, 0, ADDRESS, 7, "hello", 5, wire), "hello");
        for (unsigned i = 0; i < 4; i++) {
            size_t len = i == 0 ? 0 : 400 * i;
            struct span *s = answer_of(len, i % 2 == 0), *other = NULL;
            if (i == 3)
                other = span_share(b.n.pool, s); /* must not be written to */
            s = ss_packet_ops.seal(&b.env, b.flow, s);
            assert_non_null(s);
            read_answer(&c, s, &a);
            assert_int_equal(a.len, 7 + len);
            assert_memory_equal(a.body, ADDRESS, 7);
            for (size_t n = 0; n < len; n++)
                assert_int_equal(a.body[7 + n], 'a');
            if (i == 0)
                first = a;
            assert_memory_equal(a.session, first.session, 8);
            if (c.m->family == SS_2022)
                assert_int_equal(a.number, i);
            if (other != NULL)
                assert_int_equal(span_data(other)[0], 'a');
            span_free(b.n.pool, s);
            span_free(b.n.pool, other);
        }
        pool_fail_after(b.n.pool, 1, true);
        close_bench();
    }
}

static void an_answer_of_ipv6_and_of_any_size(void **state)
{
    uint8_t wire[512];

    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct test_client c;
        open_bench(k);
        test_client_init(&c, &b.n, TEST_USER, 1);
        assert_takes(wire, test_client_packet(&c, 0, ADDRESS, 7, "hello", 5, wire), "hello");
        struct span *s = answer_of(BLK_DATA, false);
        s->peer = (struct addr){.family = ADDR_IP6, .port = 53, .ip = {0x20, 1}};
        s = ss_packet_ops.seal(&b.env, b.flow, s);
        assert_non_null(s);
        assert_true(s->len > BLK_DATA + 18 && s->len < BLK_DATA + 120);
        span_free(b.n.pool, s);
        close_bench();
    }
}

/* ---- what is dropped ------------------------------------------------------------------------- */

static uint64_t refused(enum ss_cause cause)
{
    return atomic_load(&b.n.shared.refused[cause]);
}

static void drops_what_is_altered_or_cut(void **state)
{
    uint8_t wire[512], copy[512];

    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct test_client c;
        open_bench(k);
        if (b.n.conf.method->family == SS_PLAIN) {
            close_bench();
            continue;
        }
        test_client_init(&c, &b.n, TEST_USER, 1);
        size_t len = test_client_packet(&c, 0, ADDRESS, 7, "hello", 5, wire);
        for (size_t i = 0; i < len; i++) {
            memcpy(copy, wire, len);
            copy[i] ^= 0x40;
            assert_true(take(copy, len, NULL) < 0);
            assert_true(take(wire, i, NULL) < 0);
        }
        test_client_init(&c, &b.n, 1000, 1);
        assert_true(
            c.m->family == SS_2022 && !c.identity
                ? true
                : take(copy, test_client_packet(&c, 0, ADDRESS, 7, "hello", 5, copy), NULL) < 0);
        /* and is none the worse for it */
        assert_takes(wire, len, "hello");
        close_bench();
    }
}

static void a_number_counts_once(void **state)
{
    uint8_t wire[512];

    (void)state;
    for (size_t k = 5; k < KINDS; k++) {
        struct test_client c;
        open_bench(k);
        test_client_init(&c, &b.n, TEST_USER, 1);
        size_t len = test_client_packet(&c, 7, ADDRESS, 7, "hello", 5, wire);
        assert_takes(wire, len, "hello");
        assert_int_equal(take(wire, len, NULL), ST_E_PROTO);
        assert_int_equal(refused(SS_CAUSE_REPLAY), 1);
        len = test_client_packet(&c, 6, ADDRESS, 7, "late", 4, wire);
        assert_takes(wire, len, "late");
        len = test_client_packet(&c, 10000, ADDRESS, 7, "leap", 4, wire);
        assert_takes(wire, len, "leap");
        len = test_client_packet(&c, 8, ADDRESS, 7, "too late", 8, wire);
        assert_int_equal(take(wire, len, NULL), ST_E_PROTO);
        close_bench();
    }
}

static void a_clock_may_be_half_a_minute_off(void **state)
{
    uint8_t wire[512];

    (void)state;
    for (size_t k = 5; k < KINDS; k++) {
        for (int off = -31; off <= 31; off++) {
            struct test_client c;
            open_bench(k);
            test_client_init(&c, &b.n, TEST_USER, 1);
            c.unix_s += off;
            size_t len = test_client_packet(&c, 7, ADDRESS, 7, "hello", 5, wire);
            bool good = off >= -30 && off <= 30;
            assert_int_equal(take(wire, len, NULL), good ? ST_OK : ST_E_PROTO);
            assert_int_equal(refused(SS_CAUSE_STALE), !good);
            close_bench();
        }
    }
}

/* Session ids are the clients' own choice. */
static void sessions_of_two_users_do_not_meet(void **state)
{
    struct packet_key mine, his, other;
    uint8_t wire[512];
    struct test_client c;

    (void)state;
    open_bench(5);
    test_client_init(&c, &b.n, TEST_USER, 1);
    (void)take(wire, test_client_packet(&c, 0, ADDRESS, 7, "hello", 5, wire), NULL);
    mine = b.p.key;
    test_client_init(&c, &b.n, 3, 1);
    (void)take(wire, test_client_packet(&c, 0, ADDRESS, 7, "hello", 5, wire), NULL);
    his = b.p.key;
    memset(c.session, 2, sizeof(c.session));
    (void)take(wire, test_client_packet(&c, 0, ADDRESS, 7, "hello", 5, wire), NULL);
    other = b.p.key;
    assert_int_equal(mine.len, his.len);
    assert_memory_not_equal(mine.bytes, his.bytes, mine.len);
    assert_memory_not_equal(other.bytes, his.bytes, his.len);
    close_bench();
}

/* With AEAD the source is pinned to its user. */
static void a_flow_has_one_user(void **state)
{
    uint8_t wire[512];
    struct test_client c;

    (void)state;
    for (size_t k = 0; k < 4; k++) {
        open_bench(k);
        test_client_init(&c, &b.n, TEST_USER, 1);
        assert_takes(wire, test_client_packet(&c, 0, ADDRESS, 7, "hello", 5, wire), "hello");
        test_client_init(&c, &b.n, 3, 2);
        assert_int_equal(take(wire, test_client_packet(&c, 0, ADDRESS, 7, "x", 1, wire), NULL),
                         ST_E_AUTH);
        test_client_init(&c, &b.n, TEST_USER, 3);
        assert_takes(wire, test_client_packet(&c, 0, ADDRESS, 7, "still I", 7, wire), "still I");
        close_bench();
    }
}

static void names_are_targets_too(void **state)
{
    char target[TARGET_STRLEN];
    uint8_t wire[512];
    struct test_client c;

    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        open_bench(k);
        test_client_init(&c, &b.n, TEST_USER, 1);
        assert_takes(wire, test_client_packet(&c, 0, "\3\x9host.test\0\x35", 13, "q", 1, wire),
                     "q");
        assert_string_equal(target_str(&b.p.target, target), "host.test:53");
        close_bench();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_datagrams_of_the_reference),
        cmocka_unit_test(seals_answers),
        cmocka_unit_test(an_answer_of_ipv6_and_of_any_size),
        cmocka_unit_test(drops_what_is_altered_or_cut),
        cmocka_unit_test(a_number_counts_once),
        cmocka_unit_test(a_clock_may_be_half_a_minute_off),
        cmocka_unit_test(sessions_of_two_users_do_not_meet),
        cmocka_unit_test(a_flow_has_one_user),
        cmocka_unit_test(names_are_targets_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
