#include "codec/test_vectors.h"
#include "proto/shadowsocks/shadowsocks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>

#include "base/arena.h"
#include "codec/json.h"
#include "crypto/mem.h"
#include "proto/shadowsocks/test_shadowsocks.h"
#include "stream/test_bench.h"

#define SERVER_KEY_16 "MDEyMzQ1Njc4OWFiY2RlZg=="
#define SERVER_KEY_32 "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#define ADDRESS       "\x01\x01\x02\x03\x04\x01\xbb"
#define ADDRESS_LEN   7

static const struct {
    const char *method, *server_key;
} kinds[] = {
    {"aes-128-gcm", NULL},
    {"aes-256-gcm", NULL},
    {"chacha20-poly1305", NULL},
    {"xchacha20-poly1305", NULL},
    {"2022-blake3-aes-128-gcm", SERVER_KEY_16},
    {"2022-blake3-aes-256-gcm", SERVER_KEY_32},
    {"2022-blake3-chacha20-poly1305", SERVER_KEY_32},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void open_kind(struct test_node *n, size_t i)
{
    const struct ss_method *m = ss_method_find(kinds[i].method);
    assert_true(test_node_open(n, kinds[i].method, kinds[i].server_key, m->identity));
}

/* ---- one chain of the layer alone ------------------------------------------------------------ */

struct bench {
    struct test_node n;
    struct test_bench t;
};

static void open_chain(struct bench *b)
{
    test_bench_open(&b->t, &b->n.env, &ss_server_ops, &b->n.conf);
    b->t.info = b->n.info;
    b->t.unix_s = TEST_TIME;
}

static void open_bench(struct bench *b, size_t kind)
{
    memset(b, 0, sizeof(*b));
    open_kind(&b->n, kind);
    open_chain(b);
}

static void close_bench(struct bench *b)
{
    test_bench_close(&b->t);
    test_node_close(&b->n);
}

static enum status run(struct bench *b)
{
    return test_bench_run(&b->t);
}

static enum status feed(struct bench *b, const void *bytes, size_t n)
{
    return test_bench_feed(&b->t, bytes, n);
}

/* ---- vectors of the reference ---------------------------------------------------------------- */

static size_t field(const struct json_t *o, const char *key, uint8_t *out, size_t room)
{
    return test_hex(json_get_str(o, key, ""), out, room);
}

static void derives_the_keys_of_the_reference(void **state)
{
    struct json_t *aead = test_vectors("src/proto/shadowsocks/testdata/aead.json"),
                  *all = test_vectors("src/proto/shadowsocks/testdata/2022.json");
    uint8_t want[64], got[64], salt[64], key[64];

    (void)state;
    for (size_t i = 0; i < json_array_len(json_get(aead, "cases")); i++) {
        const struct json_t *o = json_at(json_get(aead, "cases"), i);
        const struct ss_method *m = ss_method_find(json_get_str(o, "method", ""));
        assert_non_null(m);
        ss_master_key(m, json_get_str(o, "password", ""), got);
        assert_int_equal(field(o, "key", want, sizeof(want)), m->key_len);
        assert_memory_equal(got, want, m->key_len);
        uint8_t request[1024];
        field(o, "tcp_request", request, sizeof(request));
        ss_subkey(m, got, request, key);
        field(o, "tcp_session_subkey", want, sizeof(want));
        assert_memory_equal(key, want, m->key_len);
    }
    for (size_t i = 0; i < json_array_len(json_get(all, "cases")); i++) {
        const struct json_t *o = json_at(json_get(all, "cases"), i);
        const struct ss_method *m = ss_method_find(json_get_str(o, "method", ""));
        uint8_t server[SS_KEY_MAX];
        assert_int_equal(ss2022_read_key(m, json_get_str(o, "server_psk_b64", ""), server), ST_OK);
        field(o, "request_salt", salt, sizeof(salt));
        memcpy(key, server, sizeof(server));
        if (json_get_bool(o, "multi_user", false)) {
            assert_true(ss2022_user_key(m, json_get_str(o, "user_uuid", ""), key));
            ss2022_user_name(m, key, got);
            field(o, "user_psk_hash16", want, sizeof(want));
            assert_memory_equal(got, want, SS2022_NAME_LEN);
            ss2022_identity_key(m, server, salt, got);
            field(o, "identity_subkey", want, sizeof(want));
            assert_memory_equal(got, want, m->key_len);
        }
        ss2022_subkey(m, key, salt, m->key_len, got);
        field(o, "request_subkey", want, sizeof(want));
        assert_memory_equal(got, want, m->key_len);
    }
    json_unref(aead);
    json_unref(all);
}

static void knows_methods_by_all_their_names(void **state)
{
    static const char *const names[] = {"AES-128-GCM",
                                        "aead_aes_256_gcm",
                                        "chacha20-ietf-poly1305",
                                        "XChaCha20-IETF-Poly1305",
                                        "plain",
                                        "none",
                                        "2022-BLAKE3-aes-128-gcm"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_non_null(ss_method_find(names[i]));
    assert_null(ss_method_find("aes-192-gcm"));
    assert_null(ss_method_find(""));
    assert_null(ss_method_find("rc4-md5"));
}

static void reads_the_requests_of_the_reference(void **state)
{
    struct json_t *all = test_vectors("src/proto/shadowsocks/testdata/aead.json");
    const struct json_t *list = json_get(all, "cases");
    uint8_t wire[2048];

    (void)state;
    assert_int_equal(json_array_len(list), 4);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json_t *o = json_at(list, i);
        struct bench b;
        memset(&b, 0, sizeof(b));
        assert_true(test_node_open(&b.n, json_get_str(o, "method", ""), NULL, false));
        open_chain(&b);
        assert_true(feed(&b, wire, field(o, "tcp_request", wire, sizeof(wire))) >= 0);
        assert_int_equal(b.t.ev.mask, EV_REQUEST | EV_READY);
        assert_ptr_equal(b.t.ev.request.user, &b.n.users[TEST_USER]);
        assert_string_equal(b.t.ev.request.target.host, "example.com");
        assert_int_equal(b.t.ev.request.target.addr.port, 443);
        test_bench_takes(&b.t, chain_up(&b.t.chain), "helloworld!", 11);
        close_bench(&b);
    }
    json_unref(all);
}

static void reads_the_requests_of_2022(void **state)
{
    struct json_t *all = test_vectors("src/proto/shadowsocks/testdata/2022.json");
    const struct json_t *list = json_get(all, "cases");
    uint8_t wire[4096];

    (void)state;
    assert_int_equal(json_array_len(list), 5);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json_t *o = json_at(list, i);
        bool many = json_get_bool(o, "multi_user", false);
        struct bench b;
        memset(&b, 0, sizeof(b));
        assert_true(test_node_open(&b.n, json_get_str(o, "method", ""),
                                   json_get_str(o, "server_psk_b64", ""), many));
        open_chain(&b);
        assert_true(feed(&b, wire, field(o, "tcp_request", wire, sizeof(wire))) >= 0);
        assert_int_equal(b.t.ev.mask, EV_REQUEST | EV_READY);
        assert_ptr_equal(b.t.ev.request.user, &b.n.users[many ? TEST_USER : 0]);
        assert_string_equal(b.t.ev.request.target.host, "example.com");
        test_bench_takes(&b.t, chain_up(&b.t.chain), "hellosecond chunk", 17);
        close_bench(&b);
    }
    json_unref(all);
}

/* ---- the laws -------------------------------------------------------------------------------- */

static const char DOWN[] = "an answer of some length";
#define LAW_TIME 1763726047 /* the law's clock */
#define LAW_WIRE 20000u

/* A client whose salt is another in each run, for none is taken twice. */
struct law_client {
    struct test_node *n;
    struct test_client c;
    uint8_t payload[16000];
    uint8_t wire[LAW_WIRE];
    size_t len, at;
    uint32_t runs;
    uint8_t answer[LAW_WIRE];
    size_t answer_len;
};

static void *law_open(void *arg)
{
    struct law_client *l = arg;

    test_client_init(&l->c, l->n, TEST_USER, 9);
    memcpy(l->c.salt, &l->runs, sizeof(l->runs));
    l->runs++;
    l->c.unix_s = LAW_TIME;
    l->at = l->answer_len = 0;
    l->len = test_client_begin(&l->c, ADDRESS, ADDRESS_LEN, l->payload, 900, l->wire);
    l->len += test_client_chunk(&l->c, l->payload + 900, 1, l->wire + l->len);
    l->len += test_client_chunk(&l->c, l->payload + 901, 15099, l->wire + l->len);
    assert_true(l->len <= LAW_WIRE);
    return l;
}

static size_t law_talk(void *peer, const uint8_t *in, size_t len, uint8_t *out, size_t cap)
{
    struct law_client *l = peer;
    size_t n = l->len - l->at < cap ? l->len - l->at : cap;

    assert_true(l->answer_len + len <= LAW_WIRE);
    if (len > 0)
        memcpy(l->answer + l->answer_len, in, len);
    l->answer_len += len;
    memcpy(out, l->wire + l->at, n);
    l->at += n;
    return n;
}

static void law_close(void *peer)
{
    (void)peer;
}

static bool reads_answer(void *arg, const uint8_t *wire, size_t len)
{
    struct law_client *l = arg;
    static uint8_t plain[LAW_WIRE];
    size_t n = 0;

    return test_client_read(&l->c, wire, len, plain, &n) && n == sizeof(DOWN) &&
           memcmp(plain, DOWN, n) == 0;
}

static void keeps_the_laws(void **state)
{
    static const struct law_peer peer = {law_open, law_talk, law_close};
    static struct law_client l;
    char err[LAW_ERR_LEN];

    (void)state;
    for (size_t i = 0; i < sizeof(l.payload); i++)
        l.payload[i] = (uint8_t)(i * 7 + i / 251);
    for (size_t k = 0; k < KINDS; k++) {
        struct test_node n;
        open_kind(&n, k);
        l.n = &n;
        const struct chain_stage stage = {&ss_server_ops, &n.conf};
        const struct law_case law = {.stages = &stage,
                                     .count = 1,
                                     .env = &n.env,
                                     .arg = &l,
                                     .peer = &peer,
                                     .wire_eof = true,
                                     .plain = l.payload,
                                     .plain_len = sizeof(l.payload),
                                     .plain_eof = true,
                                     .down = (const uint8_t *)DOWN,
                                     .down_len = sizeof(DOWN),
                                     .down_eof = true,
                                     .events = EV_REQUEST | EV_READY,
                                     .runs = 6,
                                     .written = reads_answer};
        if (!law_check(&law, err))
            fail_msg("%s: %s", kinds[k].method, err);
        test_node_close(&n);
    }
}

/* ---- streams --------------------------------------------------------------------------------- */

static const uint8_t long_payload[40000] = {1, 2, 3};

static size_t begin(struct bench *b, struct test_client *c, unsigned user, uint8_t salt,
                    uint8_t *wire)
{
    test_client_init(c, &b->n, user, salt);
    return test_client_begin(c, ADDRESS, ADDRESS_LEN, "hello", 5, wire);
}

static void answers_in_chunks_that_every_client_reads(void **state)
{
    static uint8_t wire[200000], plain[200000];

    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct bench b;
        struct test_client c;
        size_t n = 0;
        open_bench(&b, k);
        assert_true(feed(&b, wire, begin(&b, &c, TEST_USER, 1, wire)) >= 0);
        test_bench_takes(&b.t, chain_up(&b.t.chain), "hello", 5);
        assert_int_equal(chain_bottom_out(&b.t.chain)->bytes, 0);
        struct bufq *down = chain_down(&b.t.chain), *out = chain_bottom_out(&b.t.chain);
        assert_int_equal(bufq_put(down, long_payload, sizeof(long_payload), b.t.pool), ST_OK);
        for (int i = 0; i < 50; i++) { /* small ones go together */
            struct span *s = span_new_small(b.t.pool);
            s->len = 20;
            memset(span_data(s), 1, 20);
            bufq_push(down, s);
        }
        assert_int_equal(run(&b), ST_OK);
        size_t len = bufq_peek(out, wire, out->bytes);
        assert_true(len < sizeof(long_payload) + 1000 + 8 * 34 + 150);
        bufq_clear(out, b.t.pool);
        assert_true(test_client_read(&c, wire, len, plain, &n));
        assert_int_equal(n, sizeof(long_payload) + 1000);
        assert_memory_equal(plain, long_payload, sizeof(long_payload));
        assert_null(((struct ss *)(void *)b.t.chain.layers[0])->opening);
        /* and nothing is said at the end */
        down->eof = true;
        assert_int_equal(run(&b), ST_OK);
        assert_int_equal(out->bytes, 0);
        assert_true(out->eof);
        close_bench(&b);
    }
}

static void reads_chunks_of_any_length(void **state)
{
    static uint8_t wire[70000];

    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct bench b;
        struct test_client c;
        open_bench(&b, k);
        assert_true(feed(&b, wire, begin(&b, &c, TEST_USER, 1, wire)) >= 0);
        bufq_clear(chain_up(&b.t.chain), b.t.pool);
        size_t len = test_client_chunk(&c, long_payload, sizeof(long_payload), wire);
        assert_true(feed(&b, wire, len - 1) >= 0);
        assert_int_equal(chain_up(&b.t.chain)->bytes, 0);
        assert_int_equal(feed(&b, wire + len - 1, 1), ST_OK);
        test_bench_takes(&b.t, chain_up(&b.t.chain), long_payload, sizeof(long_payload));
        len = test_client_chunk(&c, "x", 1, wire);
        wire[len - 1] ^= 1;
        assert_int_equal(feed(&b, wire, len), ST_E_AUTH);
        assert_int_equal(b.t.ev.mask & EV_RESET, 0);
        close_bench(&b);
    }
}

/* Xray-core's client sends one where its application has nothing to say at first, and its server
 * takes it for the end. */
static void empty_chunks_are_passed_over(void **state)
{
    uint8_t wire[1000];
    struct bench b;
    struct test_client c;

    (void)state;
    open_bench(&b, 0);
    assert_true(feed(&b, wire, begin(&b, &c, TEST_USER, 1, wire)) >= 0);
    bufq_clear(chain_up(&b.t.chain), b.t.pool);
    size_t len = test_client_chunk(&c, NULL, 0, wire);
    len += test_client_chunk(&c, "hello", 5, wire + len);
    assert_int_equal(feed(&b, wire, len), ST_OK);
    test_bench_takes(&b.t, chain_up(&b.t.chain), "hello", 5);
    assert_false(chain_up(&b.t.chain)->eof);
    close_bench(&b);
}

/* An address may come in several chunks, and with payload behind it. */
static void an_address_may_be_cut(void **state)
{
    uint8_t wire[1000];

    (void)state;
    for (size_t k = 0; k < 4; k++) {
        struct bench b;
        struct test_client c;
        open_bench(&b, k);
        test_client_init(&c, &b.n, TEST_USER, 1);
        size_t len = test_client_begin(&c, ADDRESS, 1, NULL, 0, wire);
        assert_true(feed(&b, wire, len) >= 0); /* too short to be looked at */
        assert_int_equal(b.t.ev.mask, 0);
        assert_true(feed(&b, wire, test_client_chunk(&c, &ADDRESS[1], 3, wire)) >= 0);
        assert_int_equal(b.t.ev.mask, 0);
        assert_true(feed(&b, wire, test_client_chunk(&c, &(ADDRESS "rest")[4], 7, wire)) >= 0);
        assert_int_equal(b.t.ev.mask, EV_REQUEST | EV_READY);
        assert_ptr_equal(b.t.ev.request.user, &b.n.users[TEST_USER]);
        close_bench(&b);
    }
}

/* ---- strangers ------------------------------------------------------------------------------- */

/* Feeds until the layer gives up; returns after how many bytes. */
static size_t drained(struct bench *b, const uint8_t *wire, size_t len, enum status want)
{
    size_t n = 0;
    enum status st = feed(b, wire, len);

    for (n = len; st >= 0 && n < 10000; n++)
        st = feed(b, "x", 1);
    assert_int_equal(st, want);
    assert_int_equal(b->t.ev.mask & (EV_REQUEST | EV_RESET), 0);
    return n;
}

static void eats_as_much_of_every_stranger(void **state)
{
    uint8_t wire[1000];
    size_t least = SIZE_MAX, most = 0;

    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        struct bench b;
        struct test_client c;
        open_bench(&b, i % 4);
        enum status want = ST_E_AUTH;
        size_t n, len = begin(&b, &c, i % 3 == 0 ? 1000 : TEST_USER, 1, wire);
        if (i % 3 == 1) { /* a name of no letters */
            test_client_init(&c, &b.n, TEST_USER, 1);
            len = test_client_begin(&c, "\x03\x01\x01\x01\xbb", 5, "...", 3, wire);
            want = ST_E_PROTO;
        } else if (i % 3 == 2) {
            wire[c.m->key_len + 20] ^= 1;
            want = ST_E_PROTO;
        }
        n = drained(&b, wire, len, want);
        least = n < least ? n : least;
        most = n > most ? n : most;
        assert_int_equal(chain_bottom_out(&b.t.chain)->bytes, 0);
        close_bench(&b);
    }
    assert_true(least >= 54 && most - least < 64 && most < 54 + 3266 + 64);
}

static void a_salt_is_taken_once(void **state)
{
    uint8_t wire[1000];

    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct bench b;
        struct test_client c;
        open_bench(&b, k);
        size_t len = begin(&b, &c, TEST_USER, 1, wire);
        assert_true(feed(&b, wire, len) >= 0);
        assert_int_equal(b.t.ev.mask, EV_REQUEST | EV_READY);
        test_bench_reopen(&b.t, &ss_server_ops, &b.n.conf);
        if (k < 4) {
            drained(&b, wire, len, ST_E_AUTH);
        } else {
            assert_int_equal(feed(&b, wire, len), ST_E_AUTH);
            assert_int_equal(b.t.ev.mask, EV_RESET);
        }
        assert_int_equal(b.n.shared.refused[SS_CAUSE_REPLAY], 1);
        close_bench(&b);
    }
}

/* What we send must not come back as a client's. */
static void our_own_salts_are_refused(void **state)
{
    uint8_t wire[1000], salt[16];
    struct bench b;
    struct test_client c;

    (void)state;
    open_bench(&b, 0);
    assert_true(feed(&b, wire, begin(&b, &c, TEST_USER, 1, wire)) >= 0);
    assert_int_equal(bufq_put(chain_down(&b.t.chain), "x", 1, b.t.pool), ST_OK);
    assert_int_equal(run(&b), ST_OK);
    assert_int_equal(bufq_peek(chain_bottom_out(&b.t.chain), salt, 16), 16);
    test_bench_reopen(&b.t, &ss_server_ops, &b.n.conf);
    test_client_init(&c, &b.n, TEST_USER, 1);
    memcpy(c.salt, salt, 16);
    drained(&b, wire, test_client_begin(&c, ADDRESS, ADDRESS_LEN, "hello", 5, wire), ST_E_AUTH);
    close_bench(&b);
}

static void editions_of_2022_reset_at_once(void **state)
{
    static const struct {
        int64_t off;
        unsigned user;
        int flip; /* byte to change: from the front, or from the end when negative */
        enum ss_cause cause;
        enum status want;
    } cases[] = {
        {31, TEST_USER, 0, SS_CAUSE_STALE, ST_E_AUTH},
        {-31, TEST_USER, 0, SS_CAUSE_STALE, ST_E_AUTH},
        {0, 1000, 0, SS_CAUSE_UNKNOWN, ST_E_AUTH},
        {0, TEST_USER, 40, SS_CAUSE_UNKNOWN, ST_E_AUTH},
        {0, TEST_USER, -1, SS_CAUSE_UNKNOWN, ST_E_AUTH},
    };
    uint8_t wire[1000];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench b;
        struct test_client c;
        open_bench(&b, 4 + i % 2);
        test_client_init(&c, &b.n, cases[i].user, 1);
        c.unix_s += cases[i].off;
        size_t len = test_client_begin(&c, ADDRESS, ADDRESS_LEN, "hello", 5, wire);
        if (cases[i].flip != 0)
            wire[cases[i].flip > 0 ? (size_t)cases[i].flip : len - 1] ^= 1;
        assert_int_equal(feed(&b, wire, len), cases[i].want);
        assert_int_equal(b.t.ev.mask, EV_RESET);
        assert_int_equal(b.n.shared.refused[cases[i].cause], 1);
        assert_int_equal(chain_bottom_out(&b.t.chain)->bytes, 0);
        close_bench(&b);
    }
}

static void a_clock_may_be_half_a_minute_off(void **state)
{
    uint8_t wire[1000];

    (void)state;
    for (int off = -30; off <= 30; off += 60) {
        struct bench b;
        struct test_client c;
        open_bench(&b, 4);
        test_client_init(&c, &b.n, TEST_USER, 1);
        c.unix_s += off;
        assert_true(feed(&b, wire, test_client_begin(&c, ADDRESS, 7, "x", 1, wire)) >= 0);
        assert_int_equal(b.t.ev.mask, EV_REQUEST | EV_READY);
        close_bench(&b);
    }
}

/* Neither padding nor payload: the reference refuses it, for its length would tell the protocol. */
static void a_request_of_2022_needs_padding_or_payload(void **state)
{
    static const uint8_t variable[] = {1, 1, 2, 3, 4, 1, 0xbb, 0, 0, 0};
    uint8_t wire[1000], fixed[11] = {0};

    (void)state;
    for (unsigned more = 0; more < 2; more++) {
        struct bench b;
        struct test_client c;
        open_bench(&b, 6);
        test_client_init(&c, &b.n, 0, 1);
        uint8_t key[SS_KEY_MAX];
        ss2022_subkey(c.m, c.key, c.salt, 32, key);
        ss_cipher_init(&c.tx, c.m, key);
        memcpy(wire, c.salt, 32);
        for (int i = 0; i < 8; i++)
            fixed[1 + i] = (uint8_t)((uint64_t)TEST_TIME >> (56 - 8 * i));
        fixed[10] = (uint8_t)(9 + more);
        memcpy(wire + 32, fixed, 11);
        assert_int_equal(ss_cipher_seal(&c.tx, &b.n.cc, wire + 32, 11), ST_OK);
        memcpy(wire + 59, variable, sizeof(variable));
        assert_int_equal(ss_cipher_seal(&c.tx, &b.n.cc, wire + 59, 9 + more), ST_OK);
        assert_int_equal(feed(&b, wire, 59 + 9 + more + 16), more ? ST_OK : ST_E_PROTO);
        assert_int_equal(b.t.ev.mask, more ? EV_REQUEST | EV_READY : EV_RESET);
        close_bench(&b);
    }
}

/* ---- users that go --------------------------------------------------------------------------- */

static void a_removed_user_is_a_stranger(void **state)
{
    uint8_t wire[1000];

    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct bench b;
        struct test_client c;
        open_bench(&b, k);
        unsigned user = ss_method_find(kinds[k].method)->identity || k < 4 ? TEST_USER : 0;
        size_t len = begin(&b, &c, user, 1, wire), last = k < 4 ? 45 : 30;
        /* he goes while his request comes in */
        assert_true(feed(&b, wire, len - last) >= 0);
        assert_int_equal(b.t.ev.mask, 0);
        atomic_store(&b.n.users[user].removed, true);
        enum status st = feed(&b, wire + len - last, last);
        assert_int_equal(b.t.ev.mask & EV_REQUEST, 0);
        if (k >= 4)
            assert_int_equal(st, ST_E_AUTH);
        test_bench_reopen(&b.t, &ss_server_ops, &b.n.conf);
        len = begin(&b, &c, user, 2, wire);
        if (k < 4)
            drained(&b, wire, len, ST_E_AUTH);
        else
            assert_int_equal(feed(&b, wire, len), ST_E_AUTH);
        close_bench(&b);
    }
}

/* ---- none ------------------------------------------------------------------------------------ */

static void none_leaves_after_the_address(void **state)
{
    struct bench b;

    (void)state;
    memset(&b, 0, sizeof(b));
    assert_true(test_node_open(&b.n, "none", NULL, false));
    open_chain(&b);
    assert_true(feed(&b, ADDRESS, 3) >= 0);
    assert_int_equal(b.t.ev.mask, 0);
    assert_int_equal(feed(&b, &(ADDRESS "hello")[3], 9), ST_OK);
    assert_int_equal(b.t.ev.mask, EV_REQUEST | EV_READY);
    assert_ptr_equal(b.t.ev.request.user, &b.n.users[0]);
    test_bench_takes(&b.t, chain_up(&b.t.chain), "hello", 5);
    assert_int_equal(chain_raw(&b.t.chain, CHAIN_RX), CHAIN_RAW_NOW);
    assert_int_equal(bufq_put(chain_down(&b.t.chain), "back", 4, b.t.pool), ST_OK);
    assert_int_equal(run(&b), ST_OK);
    test_bench_takes(&b.t, chain_bottom_out(&b.t.chain), "back", 4);
    assert_int_equal(chain_raw(&b.t.chain, CHAIN_TX), CHAIN_RAW_NOW);
    close_bench(&b);
}

/* ---- configuration --------------------------------------------------------------------------- */

static void reads_what_the_panel_says(void **state)
{
    static const struct {
        const char *node, *problem;
    } cases[] = {
        {"{\"cipher\":\"aes-256-gcm\"}", ""},
        {"{\"cipher\":\"none\"}", "nothing is encrypted"},
        {"{\"cipher\":\"aes-256-gcm\",\"obfs\":null,\"obfs_settings\":null,\"plugin\":\"\"}", ""},
        {"{\"cipher\":\"aes-256-gcm\",\"obfs\":\"http\"}", "obfs: http is not supported"},
        {"{\"cipher\":\"aes-256-gcm\",\"plugin\":\"v2ray-plugin\"}", "plugin: v2ray-plugin"},
        {"{}", "cipher: missing"},
        {"{\"cipher\":\"rc4\"}", "cipher: unknown: rc4"},
        {"{\"cipher\":\"2022-blake3-aes-128-gcm\",\"server_key\":\"" SERVER_KEY_16 "\"}", ""},
        {"{\"cipher\":\"2022-blake3-aes-128-gcm\",\"server_key\":\"" SERVER_KEY_32 "\"}", ""},
        {"{\"cipher\":\"2022-blake3-aes-256-gcm\",\"server_key\":\"" SERVER_KEY_16 "\"}",
         "server_key: must be"},
        {"{\"cipher\":\"2022-blake3-aes-256-gcm\",\"server_key\":\"no base64\"}",
         "server_key: must be"},
        {"{\"cipher\":\"2022-blake3-aes-256-gcm\"}", "server_key: missing"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct conf_context ctx = {.fallback = false};
        struct conf_error err = {""};
        struct json_error bad;
        const void *conf = NULL;
        struct json_t *node;
        struct arena *a = arena_new();
        assert_int_equal(json_parse(cases[i].node, strlen(cases[i].node), &node, &bad), ST_OK);
        enum status st = proto_shadowsocks.parse_conf(a, node, &ctx, &conf, &err);
        assert_int_equal(st, conf != NULL ? ST_OK : ST_E_CONFIG);
        if (cases[i].problem[0] == '\0')
            assert_string_equal(err.text, "");
        else
            assert_non_null(strstr(err.text, cases[i].problem));
        if (conf != NULL)
            proto_shadowsocks.free_conf(conf);
        json_unref(node);
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derives_the_keys_of_the_reference),
        cmocka_unit_test(knows_methods_by_all_their_names),
        cmocka_unit_test(reads_the_requests_of_the_reference),
        cmocka_unit_test(reads_the_requests_of_2022),
        cmocka_unit_test(keeps_the_laws),
        cmocka_unit_test(answers_in_chunks_that_every_client_reads),
        cmocka_unit_test(reads_chunks_of_any_length),
        cmocka_unit_test(empty_chunks_are_passed_over),
        cmocka_unit_test(an_address_may_be_cut),
        cmocka_unit_test(eats_as_much_of_every_stranger),
        cmocka_unit_test(a_salt_is_taken_once),
        cmocka_unit_test(our_own_salts_are_refused),
        cmocka_unit_test(editions_of_2022_reset_at_once),
        cmocka_unit_test(a_clock_may_be_half_a_minute_off),
        cmocka_unit_test(a_request_of_2022_needs_padding_or_payload),
        cmocka_unit_test(a_removed_user_is_a_stranger),
        cmocka_unit_test(none_leaves_after_the_address),
        cmocka_unit_test(reads_what_the_panel_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
