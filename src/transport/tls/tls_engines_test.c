/* Our handshake beside OpenSSL's: the same bytes get the same answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "crypto/aead.h"
#include "crypto/ctx.h"
#include "crypto/rng.h"
#include "stream/chain.h"
#include "tls/record_keys.h"
#include "tls/test_client.h"
#include "transport/tls/tls.h"

#define ENGINES 2

static struct crypto_ctx crypto;
static struct rng rng;

/* One certificate in two listeners: [enum tls_engine]. */
struct pair {
    struct arena *arena;
    const void *conf[ENGINES];
};

/* A connection to one of them, without a client. */
struct link {
    struct env env;
    struct conn_info info;
    struct chain chain;
    struct events ev;
    enum status st;
    uint32_t seen;
    uint8_t out[32768]; /* all that came */
    size_t out_len;
};

static const char *path_of(const char *name, char buf[512])
{
    const char *root = getenv("V2SP_SOURCE_ROOT");

    snprintf(buf, 512, "%s/src/tls/testdata/%s", root != NULL ? root : ".", name);
    return buf;
}

static struct pair pair_open(bool rsa, bool strict)
{
    char chain[512], key[512];
    struct conf_error err;
    struct pair p = {.arena = arena_new()};

    for (int i = 0; i < ENGINES; i++) {
        const struct conf_context ctx = {
            .cert_file = path_of(rsa ? "rsa.crt" : "ec.crt", chain),
            .key_file = path_of(rsa ? "rsa_as_ec.key" : "ec_with_parameters.key", key),
            .reject_unknown_sni = strict,
            .tls_engine = (enum tls_engine)i};
        assert_int_equal(transport_tls.parse_conf(p.arena, NULL, &ctx, &p.conf[i], &err), ST_OK);
    }
    return p;
}

static void pair_close(struct pair *p)
{
    for (int i = 0; i < ENGINES; i++)
        transport_tls.free_conf(p->conf[i]);
    arena_free(p->arena);
}

static void link_open(struct link *k, const void *conf)
{
    const struct chain_stage stage = {transport_tls.server, conf};

    memset(k, 0, sizeof(*k));
    k->env = (struct env){.pool = pool_new(0), .rng = &rng, .crypto = &crypto, .info = &k->info};
    assert_int_equal(chain_init(&k->chain, &k->env, &stage, 1), ST_OK);
}

static void link_close(struct link *k)
{
    chain_fini(&k->chain);
    conn_info_clear(k->env.pool, &k->info);
    assert_int_equal(pool_used(k->env.pool), 0);
    pool_free(k->env.pool);
}

static void feed(struct link *k, const uint8_t *p, size_t n)
{
    uint64_t wake = UINT64_MAX;

    if (k->st < 0)
        return;
    assert_int_equal(bufq_put(chain_bottom_in(&k->chain), p, n, k->env.pool), ST_OK);
    k->st = chain_run(&k->chain, &k->ev, 1, 1, &wake);
    k->seen |= k->ev.mask;
    struct bufq *q = chain_bottom_out(&k->chain);
    size_t got = bufq_peek(q, k->out + k->out_len, sizeof(k->out) - k->out_len);
    bufq_drop(q, got, k->env.pool);
    k->out_len += got;
}

static bool is_ours(const struct link *k)
{
    return k->st >= 0 && !tls_server_handshaking(k->chain.layers[0]);
}

/* ---- what is seen on the wire ---------------------------------------------------------------- */

/* Lengths and types of records must be the same, ServerHello but for random number and key share,
 * and everything else that is not encrypted. An ECDSA signature has 70 to 72 bytes. */
static void compare_answers(const struct link *a, const struct link *b, bool ecdsa)
{
    size_t x = 0, y = 0;

    for (unsigned i = 0; x < a->out_len && y < b->out_len; i++) {
        const uint8_t *p = a->out + x, *q = b->out + y;
        size_t n = RECORD_HEADER + get_be16(p + 3), m = RECORD_HEADER + get_be16(q + 3);
        assert_memory_equal(p, q, 3);
        assert_true(x + n <= a->out_len && y + m <= b->out_len);
        if (i == 4 && ecdsa)
            assert_true(n >= 5 + 8 + 68 + 17 && n <= m + 4 && m <= n + 4);
        else
            assert_int_equal(n, m);
        if (p[0] == RECORD_HANDSHAKE) {
            uint8_t one[2048], two[2048];
            assert_true(n < sizeof(one) && p[5] == 2);
            memcpy(one, p, n);
            memcpy(two, q, n);
            memset(one + 11, 0, 32);
            memset(two + 11, 0, 32);
            memset(one + n - 32, 0, 32); /* X25519 */
            memset(two + n - 32, 0, 32);
            assert_memory_equal(one, two, n);
        } else if (p[0] != RECORD_DATA) {
            assert_memory_equal(p, q, n);
        }
        x += n;
        y += m;
    }
    assert_int_equal(x, a->out_len);
    assert_int_equal(y, b->out_len);
}

/* Gives the same hello to both; returns whether we answered it ourselves. */
static bool ask_both(const struct pair *p, const uint8_t *hello, size_t n, bool ecdsa)
{
    static struct link k[ENGINES];

    for (int i = 0; i < ENGINES; i++) {
        link_open(&k[i], p->conf[i]);
        feed(&k[i], hello, n);
    }
    bool ours = is_ours(&k[TLS_ENGINE_AUTO]) && k[TLS_ENGINE_AUTO].out_len > 0;
    assert_int_equal(k[0].st, k[1].st);
    if (k[0].st < 0) {
        assert_int_equal(k[0].ev.why.number, k[1].ev.why.number);
        assert_string_equal(k[0].ev.why.text, k[1].ev.why.text);
    }
    if (ours) {
        compare_answers(&k[0], &k[1], ecdsa);
    } else {
        assert_int_equal(k[0].out_len > 7, k[1].out_len > 7);
        if (k[0].out_len <= 7) { /* an alert or nothing */
            assert_int_equal(k[0].out_len, k[1].out_len);
            assert_memory_equal(k[0].out, k[1].out, k[0].out_len);
        }
    }
    for (int i = 0; i < ENGINES; i++)
        link_close(&k[i]);
    return ours;
}

static size_t hello_of(const struct test_client_options *o, uint8_t *hello, size_t cap)
{
    struct test_client *c = test_client_new(o);

    assert_non_null(c);
    size_t n = test_client_talk(c, NULL, 0, hello, cap);
    test_client_free(c);
    return n;
}

static void test_same_answers(void **state)
{
    static const struct {
        struct test_client_options client;
        bool ours;
    } cases[] = {
        {{.suites = "TLS_AES_128_GCM_SHA256"}, true},
        {{.suites = "TLS_AES_256_GCM_SHA384", .sni = "a.test"}, true},
        {{.suites = "TLS_CHACHA20_POLY1305_SHA256", .alpn = "h2"}, true},
        {{.suites = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"}, true},
        {{.sni = "rsa.test", .alpn = "http/1.1:h2"}, true},
        {{.sni = "a.test", .alpn = "x:http/1.1", .bare = true}, true},
        {{.bare = true, .version = 0x0304}, true},
        {{.alpn = "acme-tls/1"}, false},
        {{.groups = "X25519:P-256"}, true},
        {{.groups = "P-256:X25519"}, false},
        {{.groups = "P-521"}, false},
        {{.version = 0x0303}, false},
    };

    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        struct pair p = pair_open(kind % 2 != 0, kind >= 2);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            uint8_t hello[4096];
            size_t n = hello_of(&cases[i].client, hello, sizeof(hello));
            bool ours = ask_both(&p, hello, n, kind % 2 == 0);
            bool named = cases[i].client.sni != NULL && kind == 3 &&
                         strcmp(cases[i].client.sni, "rsa.test") == 0;
            if (kind < 2 || named)
                assert_int_equal(ours, cases[i].ours);
            else if (kind == 3)
                assert_false(ours); /* another name or none is refused */
        }
        pair_close(&p);
    }
}

/* Bytes of real hellos turned over one at a time. */
static void test_altered_hellos(void **state)
{
    static const struct test_client_options clients[] = {
        {.sni = "a.test", .alpn = "h2:http/1.1"}, {.suites = "TLS_CHACHA20_POLY1305_SHA256"}};
    static const char *const files[] = {"hello_chrome.bin", "hello_fuzz/xray-firefox.bin",
                                        "hello_fuzz/sing-chrome.bin"};
    static const uint8_t flips[] = {0x01, 0x80, 0xff, 0x04};
    struct pair p = pair_open(false, false);
    unsigned ours = 0, all = 0;

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        uint8_t hello[4096];
        size_t n;
        if (i < 2) {
            n = hello_of(&clients[i], hello, sizeof(hello));
        } else {
            char path[512];
            FILE *f = fopen(path_of(files[i - 2], path), "rb");
            assert_non_null(f);
            if (i > 2)
                (void)fgetc(f);
            n = fread(hello, 1, sizeof(hello), f);
            fclose(f);
        }
        assert_true(ask_both(&p, hello, n, true));
        for (size_t at = 0; at < n; at++) {
            uint8_t flip = flips[(at + i) % sizeof(flips)];
            hello[at] ^= flip;
            ours += ask_both(&p, hello, n, true);
            hello[at] ^= flip;
            all++;
        }
    }
    assert_in_range(ours, all / 4, all); /* random numbers, keys, session ids */
    pair_close(&p);
}

/* A hello in records of all sizes, and with something behind it. */
static void test_hello_in_records(void **state)
{
    static const struct test_client_options o = {.sni = "a.test"};
    struct pair p = pair_open(false, false);
    uint8_t hello[4096], cut[16384];
    size_t n = hello_of(&o, hello, sizeof(hello));

    (void)state;
    for (size_t step = 1; step < n - RECORD_HEADER; step += 13) {
        size_t len = 0;
        for (size_t at = RECORD_HEADER; at < n; at += step) {
            size_t part = n - at < step ? n - at : step;
            memcpy(cut + len, hello, 3);
            put_be16(cut + len + 3, (uint16_t)part);
            memcpy(cut + len + RECORD_HEADER, hello + at, part);
            len += RECORD_HEADER + part;
        }
        assert_true(ask_both(&p, cut, len, true));
    }
    for (size_t more = 1; more < 6; more++) {
        memcpy(cut, hello, n);
        memset(cut + n, 0, more);
        put_be16(cut + 3, (uint16_t)(n - RECORD_HEADER + more));
        assert_false(ask_both(&p, cut, n + more, true));
    }
    pair_close(&p);
}

/* ---- the second flight ----------------------------------------------------------------------- */

enum kind {
    END,
    RAW,      /* bytes as they are */
    SEALED,   /* a record of @type with the bytes, @pad zeros behind */
    DAMAGED,  /* the same with a bit turned over */
    FINISHED, /* the true Finished: bytes from @from on, @len of them, then the bytes */
};

struct part {
    enum kind kind;
    uint8_t type;
    uint16_t from, len; /* FINISHED; len 0: to the end */
    uint16_t pad;
    uint8_t repeat;
    uint8_t n;
    uint8_t bytes[72];
};

#define HANDSHAKE(...)                                                                             \
    .type = RECORD_HANDSHAKE, .n = sizeof((uint8_t[]){__VA_ARGS__}), .bytes = {__VA_ARGS__}
#define BYTES(...) .n = sizeof((uint8_t[]){__VA_ARGS__}), .bytes = {__VA_ARGS__}
#define FIN                                                                                        \
    {                                                                                              \
        FINISHED, .type = RECORD_HANDSHAKE                                                         \
    }
#define CCS_RECORD RECORD_CCS, 3, 3, 0, 1, 1

static const struct {
    const char *name;
    struct part parts[4];
} FLIGHTS[] = {
    {"Finished", {FIN}},
    {"padded", {{FINISHED, .type = 22, .pad = 300}}},
    {"padded to the longest", {{FINISHED, .type = 22, .pad = 16384 - 36}}},
    {"padded beyond", {{FINISHED, .type = 22, .pad = 16384 - 35}}},
    {"in two", {{FINISHED, .type = 22, .len = 1}, {FINISHED, .type = 22, .from = 1}}},
    {"in three",
     {{FINISHED, .type = 22, .len = 4},
      {FINISHED, .type = 22, .from = 4, .len = 9, .pad = 5},
      {FINISHED, .type = 22, .from = 13}}},
    {"CCS", {{RAW, BYTES(CCS_RECORD)}, FIN}},
    {"CCS twice", {{RAW, BYTES(CCS_RECORD), .repeat = 2}, FIN}},
    {"CCS 32 times", {{RAW, BYTES(CCS_RECORD), .repeat = 32}, FIN}},
    {"CCS 33 times", {{RAW, BYTES(CCS_RECORD), .repeat = 33}, FIN}},
    {"CCS of 2", {{RAW, BYTES(RECORD_CCS, 3, 3, 0, 1, 2)}, FIN}},
    {"CCS of two bytes", {{RAW, BYTES(RECORD_CCS, 3, 3, 0, 2, 1, 1)}, FIN}},
    {"CCS of none", {{RAW, BYTES(RECORD_CCS, 3, 3, 0, 0)}, FIN}},
    {"CCS of another version", {{RAW, BYTES(RECORD_CCS, 3, 1, 0, 1, 1)}, FIN}},
    {"CCS inside", {{SEALED, .type = RECORD_CCS, BYTES(1)}, FIN}},
    {"wrong Finished",
     {{SEALED, HANDSHAKE(20, 0, 0, 32, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17,
                         18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32)}}},
    {"Finished of 8 bytes", {{SEALED, HANDSHAKE(20, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8)}}},
    {"Finished of none", {{SEALED, HANDSHAKE(20, 0, 0, 0)}}},
    {"Finished of 65", {{SEALED, HANDSHAKE(20, 0, 0, 65)}}},
    {"Finished of 64", {{SEALED, .type = 22, .n = 68, .bytes = {20, 0, 0, 64}}}},
    {"huge Finished", {{SEALED, HANDSHAKE(20, 255, 255, 255)}}},
    {"KeyUpdate", {{SEALED, HANDSHAKE(24, 0, 0, 1, 0)}}},
    {"KeyUpdate's first byte", {{SEALED, HANDSHAKE(24)}}},
    {"a hello", {{SEALED, HANDSHAKE(1, 0, 0, 1, 0)}}},
    {"a certificate", {{SEALED, HANDSHAKE(11, 0, 0, 4, 0, 0, 0, 0)}}},
    {"end of early data", {{SEALED, HANDSHAKE(5, 0, 0, 0)}}},
    {"Finished and a byte", {{FINISHED, .type = 22, BYTES(24)}}},
    {"Finished and KeyUpdate", {{FINISHED, .type = 22, BYTES(24, 0, 0, 1, 0)}}},
    {"data", {{SEALED, .type = RECORD_DATA, BYTES(1, 2, 3)}}},
    {"no data", {{SEALED, .type = RECORD_DATA}}},
    {"data, then Finished", {{SEALED, .type = RECORD_DATA, BYTES(1)}, FIN}},
    {"nothing but padding", {{SEALED, .type = 0, .pad = 20}, FIN}},
    {"an unknown type inside", {{SEALED, .type = 99, BYTES(1)}, FIN}},
    {"an empty handshake record", {{SEALED, .type = 22}, FIN}},
    {"an empty alert", {{SEALED, .type = 21}, FIN}},
    {"fatal alert", {{SEALED, .type = 21, BYTES(2, 40)}}},
    {"fatal alert called a warning", {{SEALED, .type = 21, BYTES(1, 40)}}},
    {"unknown alert", {{SEALED, .type = 21, BYTES(9, 200)}}},
    {"close_notify", {{SEALED, .type = 21, BYTES(1, 0)}}},
    {"fatal close_notify", {{SEALED, .type = 21, BYTES(2, 0)}}},
    {"canceled, then Finished", {{SEALED, .type = 21, BYTES(1, 90)}, FIN}},
    {"fatally canceled, then Finished", {{SEALED, .type = 21, BYTES(2, 90)}, FIN}},
    {"canceled four times", {{SEALED, .type = 21, BYTES(1, 90), .repeat = 4}, FIN}},
    {"canceled five times", {{SEALED, .type = 21, BYTES(1, 90), .repeat = 5}, FIN}},
    {"alert of one byte", {{SEALED, .type = 21, BYTES(2)}}},
    {"alert of three bytes", {{SEALED, .type = 21, BYTES(2, 40, 0)}}},
    {"plain alert", {{RAW, BYTES(21, 3, 3, 0, 2, 2, 48)}}},
    {"plain warning", {{RAW, BYTES(21, 3, 3, 0, 2, 1, 48)}}},
    {"plain close_notify", {{RAW, BYTES(21, 3, 3, 0, 2, 1, 0)}}},
    {"plainly canceled, then Finished", {{RAW, BYTES(21, 3, 3, 0, 2, 1, 90)}, FIN}},
    {"plain alert of one byte", {{RAW, BYTES(21, 3, 3, 0, 1, 2)}}},
    {"plain alert of three bytes", {{RAW, BYTES(21, 3, 3, 0, 3, 2, 48, 0)}}},
    {"plain alert of none", {{RAW, BYTES(21, 3, 3, 0, 0)}, FIN}},
    {"plain alert of another version", {{RAW, BYTES(21, 3, 1, 0, 2, 2, 48)}}},
    {"plain alert after a piece",
     {{FINISHED, .type = 22, .len = 7}, {RAW, BYTES(21, 3, 3, 0, 2, 2, 48)}}},
    {"alert after a piece", {{FINISHED, .type = 22, .len = 7}, {SEALED, .type = 21, BYTES(2, 48)}}},
    {"CCS after a piece",
     {{FINISHED, .type = 22, .len = 7},
      {RAW, BYTES(CCS_RECORD)},
      {FINISHED, .type = 22, .from = 7}}},
    {"damaged", {{DAMAGED, HANDSHAKE(20, 0, 0, 32)}}},
    {"a record of 16 bytes", {{RAW, .n = 21, .bytes = {23, 3, 3, 0, 16}}}},
    {"a record of 1 byte", {{RAW, .n = 6, .bytes = {23, 3, 3, 0, 1}}}},
    {"a record of none", {{RAW, .n = 5, .bytes = {23, 3, 3, 0, 0}}, FIN}},
    {"a record of 17 bytes", {{RAW, .n = 22, .bytes = {23, 3, 3, 0, 17}}}},
    {"a record of 20000", {{RAW, .n = 5, .bytes = {23, 3, 3, 0x4e, 0x20}}}},
    {"record version 3.1", {{RAW, .n = 30, .bytes = {23, 3, 1, 0, 25}}}},
    {"record version 4.3", {{RAW, .n = 30, .bytes = {23, 4, 3, 0, 25}}}},
    {"a plain handshake record", {{RAW, BYTES(22, 3, 3, 0, 4, 20, 0, 0, 32)}}},
    {"an unknown record type", {{RAW, BYTES(99, 3, 3, 0, 1, 0)}}},
    {"no TLS at all", {{RAW, BYTES('G', 'E', 'T', 0, 2, 'x', 'y')}}},
};

/* A link with a real client that has heard the answer; its own second flight was taken away. */
struct meeting {
    struct link link;
    struct test_client *client;
    struct record_keys keys; /* the client's */
    uint8_t finished[64];    /* its Finished message */
    size_t finished_len;
    size_t heard;
};

static void hear(struct meeting *m, uint8_t *words, size_t cap, size_t *n)
{
    *n =
        test_client_talk(m->client, m->link.out + m->heard, m->link.out_len - m->heard, words, cap);
    m->heard = m->link.out_len;
}

static void read_finished(struct meeting *m, uint8_t *words, size_t n)
{
    uint8_t nonce[AEAD_IV_LEN];
    size_t at = 6, len, secret_len; /* behind change_cipher_spec */
    const uint8_t *secret = test_client_handshake_secret(m->client, &secret_len);

    assert_non_null(secret);
    assert_int_equal(
        record_keys_init(&m->keys, &crypto,
                         secret_len == 48 ? RECORD_AES_256_GCM_SHA384 : RECORD_AES_128_GCM_SHA256,
                         secret, secret_len),
        ST_OK);
    len = get_be16(words + at + 3);
    assert_int_equal(at + RECORD_HEADER + len, n);
    record_nonce(&m->keys, nonce);
    assert_int_equal(aead_open(&crypto, (enum aead_alg)m->keys.alg, m->keys.key, nonce, words + at,
                               RECORD_HEADER, words + at + RECORD_HEADER, len - AEAD_TAG_LEN,
                               words + at + RECORD_HEADER + len - AEAD_TAG_LEN),
                     ST_OK);
    m->finished_len = len - RECORD_TAIL;
    assert_int_equal(m->finished_len, 4 + secret_len);
    memcpy(m->finished, words + at + RECORD_HEADER, m->finished_len);
}

static void meet(struct meeting *m, const void *conf, const char *suite)
{
    const struct test_client_options o = {.version = 0x0304, .suites = suite};
    uint8_t words[4096];
    size_t n;

    memset(m, 0, sizeof(*m));
    link_open(&m->link, conf);
    m->client = test_client_new(&o);
    assert_non_null(m->client);
    hear(m, words, sizeof(words), &n);
    feed(&m->link, words, n);
    hear(m, words, sizeof(words), &n);
    assert_true(test_client_ready(m->client));
    read_finished(m, words, n);
}

static void part_of(struct meeting *m, const struct part *p)
{
    static uint8_t record[RECORD_OVERHEAD + RECORD_PLAIN_MAX + 100];
    uint8_t nonce[AEAD_IV_LEN], *inner = record + RECORD_HEADER;
    size_t len = 0;

    if (p->kind == RAW) {
        feed(&m->link, p->bytes, p->n);
        return;
    }
    if (p->kind == FINISHED) {
        len = p->len > 0 ? p->len : m->finished_len - p->from;
        memcpy(inner, m->finished + p->from, len);
    }
    memcpy(inner + len, p->bytes, p->n);
    len += p->n;
    inner[len++] = p->type;
    memset(inner + len, 0, p->pad);
    len += p->pad;
    record[0] = RECORD_DATA;
    record[1] = record[2] = 3;
    put_be16(record + 3, (uint16_t)(len + AEAD_TAG_LEN));
    record_nonce(&m->keys, nonce);
    m->keys.seq++;
    assert_int_equal(aead_seal(&crypto, (enum aead_alg)m->keys.alg, m->keys.key, nonce, record,
                               RECORD_HEADER, inner, len, inner + len),
                     ST_OK);
    if (p->kind == DAMAGED)
        inner[0] ^= 1;
    feed(&m->link, record, RECORD_HEADER + len + AEAD_TAG_LEN);
}

/* How it ends: 1000 ready, 0..255 our alert, -1 no alert but the end, -2 it waits. */
static int second_flight(const void *conf, const char *suite, const struct part *parts,
                         size_t count)
{
    static struct meeting m;
    uint8_t words[4096];
    size_t n;

    meet(&m, conf, suite);
    for (size_t i = 0; i < count && parts[i].kind != END; i++) {
        for (unsigned r = 0; r < (parts[i].repeat > 0 ? parts[i].repeat : 1u); r++)
            part_of(&m, &parts[i]);
    }
    hear(&m, words, sizeof(words), &n);
    int end = test_client_alert(m.client);
    if (end < 0 && m.link.st >= 0)
        end = m.link.seen & EV_READY ? 1000 : -2;
    link_close(&m.link);
    test_client_free(m.client);
    return end;
}

static void test_second_flights(void **state)
{
    static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"};
    struct pair p = pair_open(false, false);
    unsigned different = 0;

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(FLIGHTS) / sizeof(FLIGHTS[0]); i++) {
        const char *suite = suites[i % 2];
        int theirs = second_flight(p.conf[TLS_ENGINE_OPENSSL], suite, FLIGHTS[i / 2].parts, 4);
        int ours = second_flight(p.conf[TLS_ENGINE_AUTO], suite, FLIGHTS[i / 2].parts, 4);
        if (ours != theirs) {
            print_error("%s, %s: ours %d, OpenSSL's %d\n", FLIGHTS[i / 2].name, suite, ours,
                        theirs);
            different++;
        }
    }
    assert_int_equal(different, 0);
    pair_close(&p);
}

static int setup(void **state)
{
    (void)state;
    return rng_init(&rng) == ST_OK && crypto_ctx_init(&crypto) == ST_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    crypto_ctx_fini(&crypto);
    rng_fini(&rng);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_answers), cmocka_unit_test(test_altered_hellos),
        cmocka_unit_test(test_hello_in_records), cmocka_unit_test(test_second_flights)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
