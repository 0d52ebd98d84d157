/* Our handshake in another server's shape: judged by OpenSSL's client, and against handshakes of
 * real peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/hex.h"
#include "codec/json.h"
#include "crypto/ctx.h"
#include "tls/alert.h"
#include "tls/flight.h"
#include "tls/flight_cert.h"
#include "tls/schedule.h"
#include "tls/server_hello.h"
#include "tls/test_client.h"
#include "tls/test_target.h"

static struct crypto_ctx crypto;
static struct pool *pool;
static struct flight_identity identity;
static const uint8_t auth_key[32] = {9, 8, 7}, x25519[32] = {5, 5}, mlkem[32] = {6};
static const uint8_t seed[32] = {1, 2, 3};

/* One connection of OpenSSL's client. */
struct bench {
    struct test_client *client;
    struct bufq in, out; /* of our side */
    uint8_t msg[4096], answer[32768];
    size_t msg_len, answer_len;
    struct flight_shape shape;
    struct hello hello;
    struct flight flight;
};

static void from_client(struct bench *b)
{
    static uint8_t buf[32768];
    static uint8_t sent[32768];
    size_t n = bufq_peek(&b->out, sent, sizeof(sent));

    bufq_drop(&b->out, n, pool);
    n = test_client_talk(b->client, sent, n, buf, sizeof(buf));
    assert_int_equal(bufq_put(&b->in, buf, n, pool), ST_OK);
}

static void open_bench(struct bench *b, const struct test_target *target, const char *suite)
{
    const struct test_client_options o = {.version = 0x0304, .suites = suite, .groups = "X25519"};
    size_t wire;

    memset(b, 0, sizeof(*b));
    bufq_init(&b->in, 65536);
    bufq_init(&b->out, 65536);
    b->client = test_client_new(&o);
    assert_non_null(b->client);
    from_client(b);
    assert_int_equal(hello_locate(&b->in, sizeof(b->msg), &wire, &b->msg_len), ST_OK);
    hello_copy(&b->in, b->msg, b->msg_len);
    bufq_drop(&b->in, wire, pool);
    assert_int_equal(hello_parse(b->msg, b->msg_len, &b->hello), ST_OK);
    b->answer_len = test_target_answer(target, b->msg, b->msg_len, b->answer, sizeof(b->answer));
    b->shape = test_target_shape(target);
}

static void close_bench(struct bench *b)
{
    test_client_free(b->client);
    bufq_clear(&b->in, pool);
    bufq_clear(&b->out, pool);
    flight_wipe(&b->flight);
}

static enum status build(struct bench *b)
{
    const struct flight_input in = {
        .client_hello = b->msg,
        .client_hello_len = b->msg_len,
        .client = &b->hello,
        .server_hello = b->answer + RECORD_HEADER,
        .server_hello_len = b->shape.len[FLIGHT_SERVER_HELLO] - RECORD_HEADER,
        .shape = &b->shape,
        .auth_key = auth_key,
        .identity = &identity,
        .x25519 = x25519,
        .mlkem = mlkem,
    };
    return flight_build(&b->flight, &in, &crypto, pool, &b->out);
}

/* Record by record the same lengths and types as the other server's. */
static void compare_shape(const struct bench *b)
{
    size_t at = 0;

    assert_int_equal(b->out.bytes, b->answer_len);
    while (at < b->answer_len) {
        uint8_t header[RECORD_HEADER];
        assert_true(bufq_peek_at(&b->out, at, header, sizeof(header)));
        assert_memory_equal(header, b->answer + at, sizeof(header));
        at += RECORD_HEADER + get_be16(header + 3);
    }
}

static const struct test_target TARGETS[] = {
    {RECORD_AES_128_GCM_SHA256, TLS_GROUP_X25519, {0, 0, 28, 213, 94, 58, 0}},
    {RECORD_AES_128_GCM_SHA256, TLS_GROUP_X25519, {0, 0, 41, 3000, 281, 58, 271}},
    {RECORD_AES_256_GCM_SHA384, TLS_GROUP_X25519, {0, 0, 41, 16406, 286, 74, 22}},
    {RECORD_CHACHA20_POLY1305_SHA256, TLS_GROUP_X25519, {0, 0, 1200, 0, 0, 0, 0}},
    {RECORD_AES_256_GCM_SHA384, TLS_GROUP_X25519, {0, 0, 513, 0, 0, 0, 0}},
};
static const char *const SUITES[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256",
                                     "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
                                     "TLS_AES_256_GCM_SHA384"};

static void test_openssl_client(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(TARGETS) / sizeof(TARGETS[0]); i++) {
        struct record_note note = {0};
        struct bufq plain;
        struct bench b;
        size_t len;

        open_bench(&b, &TARGETS[i], SUITES[i]);
        assert_int_equal(build(&b), ST_OK);
        compare_shape(&b);
        from_client(&b);
        assert_true(test_client_ready(b.client));
        assert_int_equal(flight_finish(&b.flight, &crypto, pool, &b.in, &note), ST_OK);

        bufq_init(&plain, 65536);
        assert_int_equal(flight_seal_empty(&b.flight.tx, &crypto, pool, 271, &b.out), ST_OK);
        assert_int_equal(bufq_put(&plain, "hello", 5, pool), ST_OK);
        assert_int_equal(record_seal(&b.flight.tx, &crypto, pool, &plain, &b.out), ST_OK);
        assert_true(test_client_send(b.client, (const uint8_t *)"hallo", 5));
        from_client(&b);
        assert_memory_equal(test_client_data(b.client, &len), "hello", 5);
        assert_int_equal(len, 5);
        assert_int_equal(record_open(&b.flight.rx, &crypto, pool, &b.in, &plain, 0, &note), ST_OK);
        assert_int_equal(plain.bytes, 5);
        bufq_clear(&plain, pool);
        close_bench(&b);
    }
}

static void test_wrong_finished(void **state)
{
    struct record_note note = {0};
    struct bench b;

    (void)state;
    open_bench(&b, &TARGETS[0], SUITES[0]);
    assert_int_equal(build(&b), ST_OK);
    from_client(&b);
    uint8_t *p = bufq_pullup(&b.in, b.in.bytes, pool);
    uint8_t *last = p + b.in.bytes - 1;
    *last ^= 1;
    assert_int_equal(flight_finish(&b.flight, &crypto, pool, &b.in, &note), ST_E_AUTH);
    assert_int_equal(note.alert, TLS_ALERT_BAD_RECORD_MAC);
    *last ^= 1;
    b.flight.finished[0] ^= 1;
    assert_int_equal(flight_finish(&b.flight, &crypto, pool, &b.in, &note), ST_E_AUTH);
    assert_int_equal(note.alert, TLS_ALERT_DECRYPT_ERROR);
    b.flight.finished[0] ^= 1;
    assert_int_equal(flight_finish(&b.flight, &crypto, pool, &b.in, &note), ST_OK);
    close_bench(&b);
}

static void test_does_not_fit(void **state)
{
    static const struct {
        uint16_t suite;
        uint16_t len[FLIGHT_PARTS];
    } cases[] = {
        {0x1301, {0, 0, 27, 213, 94, 58, 0}},   {0x1301, {0, 0, 28, 212, 94, 58, 0}},
        {0x1301, {0, 0, 28, 213, 93, 58, 0}},   {0x1301, {0, 0, 28, 213, 94, 57, 0}},
        {0x1302, {0, 0, 28, 213, 94, 73, 0}},   {0x1301, {0, 0, 28, 213, 94, 58, 21}},
        {0x1301, {0, 0, 28, 16407, 94, 58, 0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_target t = {cases[i].suite, TLS_GROUP_X25519, {0}};
        struct bench b;
        memcpy(t.len, cases[i].len, sizeof(t.len));
        open_bench(&b, &t, i == 4 ? SUITES[2] : SUITES[0]);
        assert_int_equal(build(&b), ST_E_LIMIT);
        assert_int_equal(b.out.bytes, 0);
        close_bench(&b);
    }
    struct test_target other = TARGETS[0];
    struct bench b;
    open_bench(&b, &other, SUITES[0]);
    /* A group of which the client sent no share. */
    put_be16(b.answer + RECORD_HEADER + 86, 23);
    assert_int_equal(build(&b), ST_E_UNSUPPORTED);
    close_bench(&b);
    open_bench(&b, &other, SUITES[0]);
    identity.mldsa = true;
    assert_int_equal(build(&b), ST_E_LIMIT);
    b.shape.len[FLIGHT_CERTIFICATE] = 3544;
    if (!mldsa_available())
        assert_int_equal(build(&b), ST_E_UNSUPPORTED);
    identity.mldsa = false;
    close_bench(&b);
}

/* ---- against real peers ---------------------------------------------------------------------- */

static struct json_t *load_vectors(void)
{
    static char text[200000];
    struct json_t *v = NULL;
    struct json_error err;
    FILE *f = fopen("src/tls/testdata/reality.json", "r");

    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text), f);
    fclose(f);
    assert_int_equal(json_parse(text, n, &v, &err), ST_OK);
    return v;
}

/* Bytes of hexadecimal text; 0 if there is none. */
static size_t unhex(const char *hex, uint8_t *out, size_t cap)
{
    size_t n = hex != NULL ? strlen(hex) : 0;

    assert_true(n / 2 <= cap);
    assert_int_equal(hex_decode(out, hex != NULL ? hex : "", n), ST_OK);
    return n / 2;
}

static void check_signature(const struct json_t *c, struct schedule *s, const uint8_t *verify)
{
    uint8_t pub[32], text[98 + 64];

    memset(text, ' ', 64);
    memcpy(text + 64, "TLS 1.3, server CertificateVerify", 34);
    assert_int_equal(unhex(json_get_str(c, "ed25519_pub", NULL), pub, 32), 32);
    assert_int_equal(schedule_transcript(s, &crypto, text + 98), ST_OK);
    assert_int_equal(ed25519_verify(pub, text, 98 + hash_len(s->hash), verify + 8), ST_OK);
}

static void check_certificate(const struct json_t *c, const uint8_t *server_hello)
{
    struct flight_identity id = {0};
    uint8_t key[32], der[FLIGHT_CERT_MAX], want[FLIGHT_CERT_MAX];
    const struct flight_input in = {.identity = &id, .auth_key = key};
    size_t len;

    (void)unhex(json_get_str(c, "ed25519_pub", NULL), id.pub, sizeof(id.pub));
    (void)unhex(json_get_str(c, "auth_key", NULL), key, sizeof(key));
    assert_int_equal(flight_cert_write(der, &len, &in, server_hello, &crypto), ST_OK);
    assert_int_equal(len, unhex(json_get_str(c, "cert_der", NULL), want, sizeof(want)));
    assert_memory_equal(der, want, len);
}

static void check_connection(const struct json_t *c)
{
    static uint8_t ch[4096], sh[2048], msg[4][1024];
    uint8_t secret[64], finished[64], want[64];
    const struct json_t *keys = json_get(c, "keylog");
    const struct json_t *records = json_get(c, "server_handshake_records");
    struct server_hello h;
    struct schedule s;

    size_t ch_len = unhex(json_get_str(c, "client_hello_record", NULL), ch, sizeof(ch));
    size_t sh_len = unhex(json_get_str(c, "server_hello_record", NULL), sh, sizeof(sh));
    assert_int_equal(server_hello_parse(sh + 5, sh_len - 5, &h), ST_OK);
    assert_int_equal(schedule_init(&s, h.suite), ST_OK);
    schedule_add(&s, ch + 5, ch_len - 5);
    schedule_add(&s, sh + 5, sh_len - 5);
    for (size_t i = 0; i < 4; i++) {
        size_t n = unhex(json_str(json_at(records, i)), msg[i], sizeof(msg[i]));
        if (i == 2)
            check_signature(c, &s, msg[i]);
        if (i == 3) {
            unhex(json_get_str(keys, "SERVER_HANDSHAKE_TRAFFIC_SECRET", NULL), secret, 64);
            assert_int_equal(schedule_finished(&s, &crypto, secret, finished), ST_OK);
            assert_memory_equal(finished, msg[i] + 4, n - 4);
        }
        schedule_add(&s, msg[i], n);
    }
    unhex(json_get_str(keys, "CLIENT_HANDSHAKE_TRAFFIC_SECRET", NULL), secret, 64);
    assert_int_equal(schedule_finished(&s, &crypto, secret, finished), ST_OK);
    size_t n = unhex(json_get_str(c, "client_finished_plain", NULL), want, sizeof(want));
    assert_memory_equal(finished, want + 4, n - 4);
    check_certificate(c, sh + 5);
    schedule_wipe(&s);
}

static void test_real_handshakes(void **state)
{
    struct json_t *v = load_vectors();
    const struct json_t *all = json_get(v, "connections");
    unsigned checked = 0;

    (void)state;
    for (size_t i = 0; i < json_array_len(all); i++) {
        if (json_get(json_at(all, i), "server_handshake_records") == NULL)
            continue;
        check_connection(json_at(all, i));
        checked++;
    }
    assert_int_equal(checked, 5);
    json_unref(v);
}

static void test_server_hello(void **state)
{
    const struct test_target t = {0x1301, TLS_GROUP_X25519, {0}};
    uint8_t ch[200] = {1, 0, 0, 77, 3, 3}, out[200], changed[200];
    struct server_hello h;

    (void)state;
    ch[38] = 32;
    memcpy(ch + 71, "\0\2\x13\1\1\0\0\0", 8);
    ch[3] = 75;
    size_t len = test_target_answer(&t, ch, 79, out, sizeof(out)) - 6 - RECORD_HEADER;
    assert_int_equal(server_hello_parse(out + 5, len, &h), ST_OK);
    assert_int_equal(h.share_off, 90);
    assert_int_equal(h.share_len, 32);
    static const struct {
        size_t at;
        uint8_t value;
        enum status want;
    } changes[] = {
        {4, 2, ST_E_UNSUPPORTED},  {72, 4, ST_E_UNSUPPORTED},  {73, 1, ST_E_UNSUPPORTED},
        {81, 3, ST_E_UNSUPPORTED}, {87, 24, ST_E_UNSUPPORTED}, {77, 44, ST_E_UNSUPPORTED},
        {83, 43, ST_E_PROTO},      {0, 1, ST_E_PROTO},         {3, 117, ST_E_PROTO},
        {75, 45, ST_E_PROTO},      {89, 31, ST_E_PROTO},       {38, 33, ST_E_PROTO},
    };
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        memcpy(changed, out + 5, len);
        changed[changes[i].at] = changes[i].value;
        if (server_hello_parse(changed, len, &h) != changes[i].want)
            fail_msg("change %zu", i);
    }
    for (size_t n = 0; n < len; n++)
        assert_int_equal(server_hello_parse(out + 5, n, &h), ST_E_PROTO);
}

static int setup(void **state)
{
    (void)state;
    pool = pool_new(0);
    return pool != NULL && crypto_ctx_init(&crypto) == ST_OK &&
                   flight_identity_init(&identity, seed) == ST_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    crypto_ctx_fini(&crypto);
    flight_identity_fini(&identity);
    assert_int_equal(pool_used(pool), 0);
    pool_free(pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openssl_client), cmocka_unit_test(test_wrong_finished),
        cmocka_unit_test(test_does_not_fit),   cmocka_unit_test(test_real_handshakes),
        cmocka_unit_test(test_server_hello),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
