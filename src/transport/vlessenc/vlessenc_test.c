/* VLESS encryption against conversations of the real client and server (testdata/vectors.json), and
 * what is refused: bytes altered anywhere, replays, unknown tickets, messages too long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "codec/base64.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "stream/chain.h"
#include "transport/vlessenc/test_vlessenc.h"
#include "transport/vlessenc/vlessenc.h"

#define BYTES_MAX 4096

static struct crypto_ctx crypto;
static struct rng rng;
static struct json_t *vectors;

/* ---- a server -------------------------------------------------------------------------------- */

struct server {
    struct vlessenc_conf conf;
    struct env env;
    struct conn_info info;
    struct chain chain;
    struct events ev;
    uint64_t now_us, wake;
    uint32_t seen;
    enum status st;
};

static void server_connect(struct server *s)
{
    const struct chain_stage stage = {&vlessenc_server_ops, &s->conf};

    s->env = (struct env){.pool = pool_new(0), .rng = &rng, .crypto = &crypto, .info = &s->info};
    s->info = (struct conn_info){0};
    s->seen = 0;
    s->st = ST_OK;
    s->now_us = 1000000;
    assert_int_equal(chain_init(&s->chain, &s->env, &stage, 1), ST_OK);
}

static void server_leave(struct server *s)
{
    chain_fini(&s->chain);
    assert_int_equal(pool_used(s->env.pool), 0);
    pool_free(s->env.pool);
}

static void server_init(struct server *s, const char *decryption)
{
    struct conf_error err = {""};

    memset(s, 0, sizeof(*s));
    if (vlessenc_conf_read(&s->conf, decryption, &err) != ST_OK)
        fail_msg("%s", err.text);
    server_connect(s);
}

static void server_fini(struct server *s)
{
    server_leave(s);
    vlessenc_conf_wipe(&s->conf);
}

static void server_run(struct server *s)
{
    s->wake = UINT64_MAX;
    s->st = chain_run(&s->chain, &s->ev, s->now_us, 1, &s->wake);
    s->seen |= s->ev.mask;
}

static void server_feed(struct server *s, const void *data, size_t len)
{
    assert_int_equal(bufq_put(chain_bottom_in(&s->chain), data, len, s->env.pool), ST_OK);
    server_run(s);
}

static size_t server_said(struct server *s, uint8_t *dst, size_t cap)
{
    struct bufq *q = chain_bottom_out(&s->chain);
    size_t n = bufq_peek(q, dst, cap);

    bufq_drop(q, n, s->env.pool);
    return n;
}

/* ---- vectors --------------------------------------------------------------------------------- */

/* Bytes of a member, in one of a few buffers that go round. */
struct hex_bytes {
    uint8_t p[BYTES_MAX];
    size_t len;
};

static const struct hex_bytes *field(const struct json_t *v, const char *key)
{
    static struct hex_bytes ring[16];
    static unsigned at;
    struct hex_bytes *b = &ring[at++ % 16];
    const char *text = json_get_str(v, key, "");

    b->len = strlen(text) / 2;
    assert_true(b->len > 0 && b->len <= sizeof(b->p));
    assert_int_equal(hex_decode(b->p, text, b->len * 2), ST_OK);
    return b;
}

static void decryption_of(const struct json_t *v, const char *seconds, char text[1024])
{
    const struct json_t *keys = json_get(v, "server_private_keys");
    int n = snprintf(text, 1024, "mlkem768x25519plus.%s.%s", json_get_str(v, "mode", ""), seconds);

    for (size_t i = 0; i < json_array_len(keys); i++) {
        const char *hex = json_str(json_at(keys, i));
        uint8_t key[64];
        assert_int_equal(hex_decode(key, hex, strlen(hex)), ST_OK);
        text[n++] = '.';
        n += (int)base64_encode(text + n, key, strlen(hex) / 2, BASE64_URL | BASE64_UNPADDED);
    }
}

static struct vlessenc_mask *mask_of(const struct json_t *v, struct vlessenc_mask *m,
                                     const struct hex_bytes *united, const uint8_t *iv)
{
    if (strcmp(json_get_str(v, "mode", ""), "random") != 0)
        return NULL;
    vlessenc_mask_init(m, united->p, united->len, iv);
    return m;
}

static void check_keys(const struct json_t *v, enum aead_alg alg)
{
    const struct hex_bytes *united = field(v, "united"), *ours = field(v, "server_keys");
    const struct hex_bytes *theirs = field(v, "client_keys");
    struct vlessenc_aead a;

    vlessenc_aead_init(&a, alg, theirs->p, theirs->len, united->p, united->len);
    assert_memory_equal(a.key, field(v, "up_key")->p, 32);
    vlessenc_aead_init(&a, alg, ours->p, ours->len, united->p, united->len);
    assert_memory_equal(a.key, field(v, "down_key")->p, 32);
}

static void check_records(const struct json_t *v, enum aead_alg alg)
{
    const struct hex_bytes *united = field(v, "united"), *wire = field(v, "up_wire");
    const struct hex_bytes *plain = field(v, "up_plain");
    struct pool *p = pool_new(0);
    struct vlessenc_mask m, *mask = mask_of(v, &m, united, field(v, "iv")->p);
    struct vlessenc_aead a = {.alg = (uint8_t)alg};
    const uint8_t *none = NULL;
    struct bufq in, out;
    uint8_t got[200];

    bufq_init(&in, 1000);
    bufq_init(&out, 1000);
    memcpy(a.key, field(v, "up_key")->p, 32);
    assert_int_equal(bufq_put(&in, wire->p, wire->len, p), ST_OK);
    assert_int_equal(vlessenc_record_open(&a, mask, &crypto, p, &in, &out, 0), ST_OK);
    assert_int_equal(bufq_peek(&out, got, sizeof(got)), plain->len);
    assert_memory_equal(got, plain->p, plain->len);
    bufq_clear(&out, p);

    mask = mask_of(v, &m, united, field(v, "ticket")->p);
    memcpy(a.key, field(v, "down_key")->p, 32);
    a.seq = 3;
    plain = field(v, "down_plain");
    wire = field(v, "down_wire");
    assert_int_equal(bufq_put(&in, plain->p, plain->len, p), ST_OK);
    assert_int_equal(vlessenc_record_seal(&a, mask, &crypto, p, &none, &in, &out), ST_OK);
    assert_int_equal(bufq_peek(&out, got, sizeof(got)), wire->len);
    assert_memory_equal(got, wire->p, wire->len);
    bufq_clear(&out, p);
    pool_free(p);
}

/* The real client's hello: read, answered, its padding accepted. */
static void check_hello(const struct json_t *v, const char *decryption)
{
    const struct hex_bytes *hello = field(v, "client_hello");
    struct server s;
    struct vlessenc_hello h;
    uint8_t copy[BYTES_MAX], answer[80000];

    server_init(&s, decryption);
    memcpy(copy, hello->p, hello->len);
    assert_int_equal(vlessenc_hello_open(&h, &s.conf, &crypto, copy), ST_OK);
    assert_memory_equal(h.united + VLESSENC_PFS_LEN, field(v, "nfs_key")->p, 32);
    assert_memory_equal(h.nfs.key, field(v, "nfs_aead_key")->p, 32);
    server_feed(&s, hello->p, hello->len);
    assert_int_equal(s.st, ST_OK);
    assert_int_equal(s.seen, EV_READY);
    assert_true(s.info.encrypted);
    size_t n = server_said(&s, answer, sizeof(answer));
    assert_true(n >= VLESSENC_ANSWER_LEN + VLESSENC_PADDING_MIN);
    server_fini(&s);
}

/* The real client's second visit, its replay, and the same with a ticket that we do not know. */
static void check_resumption(const struct json_t *v, const char *decryption, enum aead_alg alg)
{
    const struct hex_bytes *bytes = field(v, "resume_client"), *ticket = field(v, "ticket");
    const struct hex_bytes *united = field(v, "resume_united");
    const struct hex_bytes *early = field(v, "early_plain"), *reply = field(v, "reply_plain");
    struct server s;
    uint8_t got[4096];

    server_init(&s, decryption);
    vlessenc_tickets_put(s.conf.tickets, ticket->p, united->p, 1);
    server_feed(&s, bytes->p, bytes->len);
    assert_int_equal(s.st, ST_OK);
    assert_int_equal(s.seen, EV_READY);
    assert_int_equal(bufq_peek(chain_up(&s.chain), got, sizeof(got)), early->len);
    assert_memory_equal(got, early->p, early->len);
    assert_int_equal(server_said(&s, got, sizeof(got)), 0);
    assert_int_equal(bufq_put(chain_down(&s.chain), reply->p, reply->len, s.env.pool), ST_OK);
    server_run(&s);
    size_t n = server_said(&s, got, sizeof(got));
    assert_int_equal(n, field(v, "resume_server")->len);
    /* Their random bytes give their key. */
    struct vlessenc_aead a;
    vlessenc_aead_init(&a, alg, field(v, "resume_server")->p, 16, united->p, united->len);
    assert_memory_equal(a.key, field(v, "resume_down_key")->p, 32);
    vlessenc_aead_init(&a, alg, got, 16, united->p, united->len);
    uint8_t nonce[12], *rec = got + 16;
    struct vlessenc_mask m, *mask = mask_of(v, &m, united, got);
    if (mask != NULL)
        assert_int_equal(vlessenc_mask_xor(mask, rec, 5), ST_OK);
    vlessenc_aead_nonce(&a, nonce);
    assert_int_equal(
        aead_open(&crypto, alg, a.key, nonce, rec, 5, rec + 5, reply->len, rec + 5 + reply->len),
        ST_OK);
    assert_memory_equal(rec + 5, reply->p, reply->len);

    server_leave(&s);
    server_connect(&s);
    server_feed(&s, bytes->p, bytes->len);
    assert_int_equal(s.st, ST_E_REFUSED);
    assert_int_equal(server_said(&s, got, sizeof(got)), 0);
    server_fini(&s);

    server_init(&s, decryption);
    server_feed(&s, bytes->p, bytes->len);
    assert_int_equal(s.st, ST_E_REFUSED);
    n = server_said(&s, got, sizeof(got));
    assert_in_range(n, 1279, 2278);
    server_fini(&s);
}

static void test_vectors(void **state)
{
    (void)state;
    assert_int_equal(json_array_len(vectors), 6);
    for (size_t i = 0; i < json_array_len(vectors); i++) {
        const struct json_t *v = json_at(vectors, i);
        enum aead_alg alg =
            json_get_bool(v, "chacha", false) ? AEAD_CHACHA20_POLY1305 : AEAD_AES_256_GCM;
        char text[1024];

        decryption_of(v, "600s", text);
        check_keys(v, alg);
        check_records(v, alg);
        check_hello(v, text);
        check_resumption(v, text, alg);
    }
}

/* A byte altered anywhere in the hello, but for the wire's last ones that mean nothing, ends the
 * connection without ready. */
static void test_every_byte_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < json_array_len(vectors); i++) {
        const struct json_t *v = json_at(vectors, i);
        const struct hex_bytes *hello = field(v, "client_hello");
        uint8_t copy[BYTES_MAX];
        struct server s;
        char text[1024];

        decryption_of(v, "600s", text);
        server_init(&s, text);
        size_t step = i == 0 ? 1 : 97; /* ML-KEM is slow in a sanitizer build */
        for (size_t at = 0; at < hello->len; at += step) {
            memcpy(copy, hello->p, hello->len);
            copy[at] ^= (uint8_t)(1u << (at % 8));
            server_feed(&s, copy, hello->len);
            assert_false(s.seen & EV_READY);
            assert_true(s.st < 0 || s.st == ST_OK);
            if (at < hello->len - VLESSENC_PADDING_MIN) {
                /* Nothing is said to who does not know the key. */
                if (at < VLESSENC_IV_LEN + s.conf.relays_len + VLESSENC_SEALED_LEN)
                    assert_true(bufq_empty(chain_bottom_out(&s.chain)));
            }
            server_leave(&s);
            server_connect(&s);
        }
        server_fini(&s);
    }
}

/* The highest bit of an X25519 share is ignored by the curve, not by us. */
static void test_high_bit(void **state)
{
    const struct json_t *v = json_at(vectors, 0);
    const struct hex_bytes *hello = field(v, "client_hello");
    uint8_t copy[BYTES_MAX];
    struct server s;
    char text[1024];

    (void)state;
    decryption_of(v, "600s", text);
    server_init(&s, text);
    memcpy(copy, hello->p, hello->len);
    copy[VLESSENC_IV_LEN + 31] |= 0x80;
    server_feed(&s, copy, hello->len);
    assert_int_equal(s.st, ST_E_PROTO);
    server_fini(&s);
}

/* ---- our own client -------------------------------------------------------------------------- */

struct pair {
    struct server s;
    struct test_vlessenc_options o;
    struct test_vlessenc *c;
    uint8_t priv[X25519_LEN], pub[X25519_LEN];
};

static void pair_init(struct pair *t, const char *mode, const char *rest, enum vlessenc_mode m)
{
    char text[512], key[64];

    memset(t, 0, sizeof(*t));
    assert_int_equal(x25519_keypair(&rng, t->priv, t->pub), ST_OK);
    base64_encode(key, t->priv, sizeof(t->priv), BASE64_URL | BASE64_UNPADDED);
    snprintf(text, sizeof(text), "mlkem768x25519plus.%s.%s.%s", mode, rest, key);
    server_init(&t->s, text);
    t->o = (struct test_vlessenc_options){
        .mode = m, .alg = AEAD_AES_256_GCM, .pub = {t->pub}, .pub_len = {X25519_LEN}, .keys = 1};
}

static void pair_open(struct pair *t)
{
    t->c = test_vlessenc_new(&t->o, &crypto, &rng);
    assert_non_null(t->c);
}

static void pair_fini(struct pair *t)
{
    test_vlessenc_free(t->c);
    server_fini(&t->s);
}

/* Until neither says anything more; the clock stands still. */
static void converse(struct pair *t)
{
    static uint8_t a[100000], b[100000];
    size_t up, down;

    do {
        down = server_said(&t->s, a, sizeof(a));
        up = test_vlessenc_talk(t->c, a, down, b, sizeof(b));
        server_feed(&t->s, b, up);
    } while (t->s.st >= 0 && (up > 0 || down > 0));
}

static void test_pauses(void **state)
{
    struct pair t;
    uint8_t piece[4000];

    (void)state;
    pair_init(&t, "native", "0s.100-100-100.100-20-20.100-50-50.100-30-30.100-7-7",
              VLESSENC_NATIVE);
    pair_open(&t);
    size_t n = test_vlessenc_talk(t.c, NULL, 0, piece, sizeof(piece));
    server_feed(&t.s, piece, n);
    assert_int_equal(t.s.seen, EV_READY);
    assert_int_equal(server_said(&t.s, piece, sizeof(piece)), VLESSENC_ANSWER_LEN + 100);
    assert_int_equal(t.s.wake, t.s.now_us + 20000);
    /* What the relay says waits for the hello to be over. */
    assert_int_equal(bufq_put(chain_down(&t.s.chain), "x", 1, t.s.env.pool), ST_OK);
    t.s.now_us += 19999;
    server_run(&t.s);
    assert_int_equal(server_said(&t.s, piece, sizeof(piece)), 0);
    t.s.now_us++;
    server_run(&t.s);
    assert_int_equal(server_said(&t.s, piece, sizeof(piece)), 50);
    assert_int_equal(t.s.wake, t.s.now_us + 30000);
    t.s.now_us = t.s.wake;
    server_run(&t.s);
    assert_int_equal(server_said(&t.s, piece, sizeof(piece)), 7 + 5 + 1 + 16);
    assert_int_equal(t.s.wake, UINT64_MAX);
    pair_fini(&t);
}

static void test_ticket_round(void **state)
{
    static const char *const modes[] = {"native", "xorpub", "random"};

    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        struct pair t;
        uint8_t got[16];

        pair_init(&t, modes[mode], "300-301s", (enum vlessenc_mode)mode);
        pair_open(&t);
        converse(&t);
        assert_int_equal(t.s.seen, EV_READY);
        t.s.now_us += 1000000;
        server_run(&t.s);
        converse(&t);
        assert_false(t.c->failed);
        assert_int_equal(get_be16(t.c->ticket), 300);
        t.o.resume = true;
        memcpy(t.o.ticket, t.c->ticket, sizeof(t.o.ticket));
        memcpy(t.o.pfs, t.c->hello.united, sizeof(t.o.pfs));
        t.o.send = (const uint8_t *)"early";
        t.o.send_len = 5;
        for (int i = 0; i < 20; i++) {
            test_vlessenc_free(t.c);
            server_leave(&t.s);
            server_connect(&t.s);
            pair_open(&t);
            converse(&t);
            assert_int_equal(t.s.st, ST_OK);
            assert_int_equal(bufq_peek(chain_up(&t.s.chain), got, sizeof(got)), 5);
            assert_int_equal(bufq_put(chain_down(&t.s.chain), "reply", 5, t.s.env.pool), ST_OK);
            server_run(&t.s);
            converse(&t);
            assert_int_equal(bufq_peek(&t.c->data, got, sizeof(got)), 5);
            assert_memory_equal(got, "reply", 5);
        }
        pair_fini(&t);
    }
}

static void test_refused(void **state)
{
    const struct {
        const char *rest;
        uint32_t keys_len;
        bool resume;
        enum status st;
    } cases[] = {
        {"0s", VLESSENC_KEYS_MIN - 1, false, ST_E_PROTO},
        {"0s", 33, false, ST_E_PROTO},
        {"0s", VLESSENC_KEYS_LEN_MAX + 1, false, ST_E_LIMIT},
        {"0s", 0, true, ST_E_PROTO}, /* 0-RTT is off */
        {"600s", 0, true, ST_E_REFUSED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair t;
        pair_init(&t, "native", cases[i].rest, VLESSENC_NATIVE);
        t.o.keys_len = cases[i].keys_len;
        t.o.resume = cases[i].resume;
        pair_open(&t);
        converse(&t);
        assert_int_equal(t.s.st, cases[i].st);
        assert_non_null(t.s.ev.why.text);
        pair_fini(&t);
    }
}

/* The longest padding there is. */
static void test_long_padding(void **state)
{
    struct pair t;

    (void)state;
    pair_init(&t, "random", "0s.100-65553-65553", VLESSENC_RANDOM);
    t.o.padding = VLESSENC_PADDING_MAX;
    pair_open(&t);
    converse(&t);
    assert_int_equal(t.s.seen, EV_READY);
    assert_false(t.c->failed);
    assert_int_equal(t.c->padding, 65535);
    pair_fini(&t);
}

/* ---- leaving --------------------------------------------------------------------------------- */

static void test_leave(void **state)
{
    static const char *const modes[] = {"native", "xorpub", "random"};
    /* Two records of a TLS flow, cut anywhere, and what is none. */
    static const uint8_t flow[] = "\x17\x03\x03\x00\x04"
                                  "abcd"
                                  "\x17\x03\x03\x00\x01"
                                  "e"
                                  "garbage";
    enum { N = sizeof(flow) - 1 };

    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        struct pair t;
        uint8_t wire[N], got[N];

        pair_init(&t, modes[mode], "0s", (enum vlessenc_mode)mode);
        pair_open(&t);
        converse(&t);
        t.s.now_us += 1000000;
        server_run(&t.s);
        converse(&t);
        struct layer *l = t.s.chain.layers[0];
        bool goes = l->ops->leave(l, CHAIN_RX);
        assert_int_equal(goes, l->ops->leave(l, CHAIN_TX));
        assert_int_equal(goes, mode != VLESSENC_RANDOM);
        if (goes) {
            pair_fini(&t);
            continue;
        }
        for (size_t i = 0; i < N; i++)
            assert_int_equal(bufq_put(chain_down(&t.s.chain), flow + i, 1, t.s.env.pool), ST_OK);
        server_run(&t.s);
        assert_int_equal(server_said(&t.s, wire, N), N);
        assert_memory_not_equal(wire, flow, 5);
        assert_memory_equal(wire + 5, "abcd", 4);
        assert_int_equal(wire[14], 'e');
        assert_int_equal(vlessenc_mask_flow(&t.c->down_mask, wire, N, false), ST_OK);
        assert_memory_equal(wire, flow, N);
        /* and up, byte by byte */
        assert_int_equal(vlessenc_mask_flow(&t.c->up_mask, wire, N, true), ST_OK);
        for (size_t i = 0; i < N; i++)
            server_feed(&t.s, wire + i, 1);
        assert_int_equal(bufq_peek(chain_up(&t.s.chain), got, N), N);
        assert_memory_equal(got, flow, N);
        pair_fini(&t);
    }
}

static int setup(void **state)
{
    static char text[200000];
    FILE *f = fopen("src/transport/vlessenc/testdata/vectors.json", "r");
    struct json_error e;

    (void)state;
    if (f == NULL)
        return -1;
    size_t n = fread(text, 1, sizeof(text), f);
    fclose(f);
    return json_parse(text, n, &vectors, &e) == ST_OK && rng_init(&rng) == ST_OK &&
                   crypto_ctx_init(&crypto) == ST_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    json_unref(vectors);
    crypto_ctx_fini(&crypto);
    rng_fini(&rng);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),      cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_high_bit),     cmocka_unit_test(test_pauses),
        cmocka_unit_test(test_ticket_round), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_long_padding), cmocka_unit_test(test_leave),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
