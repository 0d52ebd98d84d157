/* The TLS layer by the laws of stream/law.h, with OpenSSL's client at the other end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "crypto/ctx.h"
#include "crypto/rng.h"
#include "stream/law.h"
#include "tls/test_client.h"
#include "transport/tls/tls.h"

static struct crypto_ctx crypto;
static struct rng rng;
static uint8_t data[2500];

static const struct test_client_options CLIENTS[] = {
    {.version = 0x0304, .suites = "TLS_AES_128_GCM_SHA256", .sni = "a.example.test"},
    {.version = 0x0304, .suites = "TLS_AES_256_GCM_SHA384", .sni = "a.example.test"},
    {.version = 0x0304, .suites = "TLS_CHACHA20_POLY1305_SHA256", .sni = "a.example.test"},
    {.version = 0x0304, .groups = "P-256:X25519"},
    {.version = 0x0304, .groups = "P-384"},
    {.version = 0x0303, .ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256", .sni = "b.example.test"},
    {.version = 0x0303, .ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {.version = 0x0303, .ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305"},
};

static void *peer_open(void *arg)
{
    return test_client_new(arg);
}

static size_t peer_talk(void *peer, const uint8_t *in, size_t len, uint8_t *out, size_t cap)
{
    return test_client_talk(peer, in, len, out, cap);
}

/* Runs that lose an allocation may end early, but never with other bytes. */
static void peer_close(void *peer)
{
    size_t n;
    const uint8_t *p = test_client_data(peer, &n);

    assert_true(n <= sizeof(data));
    if (n > 0)
        assert_memory_equal(p, data, n);
    if (test_client_eof(peer))
        assert_int_equal(n, sizeof(data));
    test_client_free(peer);
}

static void check_laws(enum tls_engine engine)
{
    static const struct law_peer peer = {peer_open, peer_talk, peer_close};

    for (size_t i = 0; i < sizeof(CLIENTS) / sizeof(CLIENTS[0]); i++) {
        const struct conf_context ctx = {
            .self_signed = true, .cert_domain = "a.test", .tls_engine = engine};
        struct arena *arena = arena_new();
        struct conf_error conf_err;
        const void *conf;
        assert_int_equal(transport_tls.parse_conf(arena, NULL, &ctx, &conf, &conf_err), ST_OK);
        struct test_client_options o = CLIENTS[i];
        const struct chain_stage stage = {&tls_server_ops, conf};
        const struct env env = {.rng = &rng, .crypto = &crypto};
        char err[LAW_ERR_LEN];
        o.send = data;
        o.send_len = sizeof(data);
        o.close = true;
        const struct law_case c = {.stages = &stage,
                                   .count = 1,
                                   .env = &env,
                                   .arg = &o,
                                   .peer = &peer,
                                   .plain = data,
                                   .plain_len = sizeof(data),
                                   .plain_eof = true,
                                   .down = data,
                                   .down_len = sizeof(data),
                                   .down_eof = true,
                                   .events = EV_READY,
                                   .runs = 8};
        if (!law_check(&c, err))
            fail_msg("client %zu: %s", i, err);
        transport_tls.free_conf(conf);
        arena_free(arena);
    }
}

static void test_laws(void **state)
{
    (void)state;
    check_laws(TLS_ENGINE_OPENSSL);
}

static void test_laws_ours(void **state)
{
    (void)state;
    check_laws(TLS_ENGINE_AUTO);
}

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31 + (i >> 8));
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_laws),
                                       cmocka_unit_test(test_laws_ours)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
