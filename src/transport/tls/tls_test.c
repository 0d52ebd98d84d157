/* The TLS layer against OpenSSL's own client, in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "codec/json.h"
#include "crypto/ctx.h"
#include "crypto/rng.h"
#include "stream/chain.h"
#include "tls/alert.h"
#include "tls/test_client.h"
#include "transport/tls/tls.h"

#define DATA_MAX (4u * 1024 * 1024)

static struct crypto_ctx crypto;
static struct rng rng;
static uint8_t data[DATA_MAX], received[DATA_MAX];

/* ---- a configuration ------------------------------------------------------------------------- */

struct listener {
    struct arena *arena;
    const void *conf;
};

static const struct conf_context DEFAULT_CONTEXT = {
    .self_signed = true,
    .cert_domain = "*.Example.test",
};

/* All tests run with both. */
static enum tls_engine engine;

static struct listener listen_with(const char *settings, const struct conf_context *ctx)
{
    struct listener l = {.arena = arena_new()};
    struct conf_context with_engine = *ctx;
    struct conf_error err;
    struct json_error jerr;
    struct json_t *json = NULL;

    with_engine.tls_engine = engine;
    if (settings != NULL)
        assert_int_equal(json_parse(settings, strlen(settings), &json, &jerr), ST_OK);
    assert_int_equal(transport_tls.parse_conf(l.arena, json, &with_engine, &l.conf, &err), ST_OK);
    json_unref(json);
    return l;
}

static void unlisten(struct listener *l)
{
    transport_tls.free_conf(l->conf);
    arena_free(l->arena);
}

/* ---- one connection -------------------------------------------------------------------------- */

struct link {
    struct listener l;
    struct pool *pool;
    struct env env;
    struct conn_info info;
    struct chain chain;
    struct events ev;
    struct test_client *client;
    enum status st;
    uint32_t seen;
    size_t out_len;     /* bytes written to the wire */
    size_t up_len, cut; /* cut: bytes a read, 0 = as they come */
    unsigned tamper;    /* flip a bit of this byte from the client (1 = first) */
};

static void link_open(struct link *k, const char *settings, const struct conf_context *ctx,
                      const struct test_client_options *o)
{
    memset(k, 0, sizeof(*k));
    k->l = listen_with(settings, ctx);
    k->pool = pool_new(0);
    k->env = (struct env){.pool = k->pool, .rng = &rng, .crypto = &crypto, .info = &k->info};
    const struct chain_stage stage = {transport_tls.server, k->l.conf};
    assert_int_equal(chain_init(&k->chain, &k->env, &stage, 1), ST_OK);
    k->client = test_client_new(o);
    assert_non_null(k->client);
}

static void link_close(struct link *k)
{
    chain_fini(&k->chain);
    conn_info_clear(k->pool, &k->info);
    test_client_free(k->client);
    assert_int_equal(pool_used(k->pool), 0);
    pool_free(k->pool);
    unlisten(&k->l);
}

static void run(struct link *k)
{
    uint64_t wake = UINT64_MAX;

    if (k->st < 0)
        return;
    k->st = chain_run(&k->chain, &k->ev, 1, 1, &wake);
    k->seen |= k->ev.mask;
    if (k->st < 0)
        assert_non_null(k->ev.why.text);
    struct span *s;
    while ((s = bufq_pop(chain_up(&k->chain))) != NULL) {
        assert_true(k->up_len + s->len <= sizeof(received));
        memcpy(received + k->up_len, span_data(s), s->len);
        k->up_len += s->len;
        span_free(k->pool, s);
    }
}

static void feed(struct link *k, const uint8_t *p, size_t n)
{
    while (n > 0 && k->st >= 0) {
        size_t step = k->cut > 0 ? k->cut : BLK_READ;
        step = step < n ? step : n;
        struct span *s = span_new_for(k->pool, step);
        memcpy(span_data(s), p, step);
        s->len = (uint32_t)step;
        bufq_push(chain_bottom_in(&k->chain), s);
        run(k);
        p += step;
        n -= step;
    }
}

/* Lets both ends talk until neither has more to say. */
static void pump(struct link *k)
{
    static uint8_t out[65536], in[65536];
    size_t n_in, n_out;

    do {
        run(k);
        struct bufq *q = chain_bottom_out(&k->chain);
        n_out = bufq_peek(q, out, sizeof(out));
        bufq_drop(q, n_out, k->pool);
        k->out_len += n_out;
        n_in = test_client_talk(k->client, out, n_out, in, sizeof(in));
        if (k->tamper > 0 && n_in >= k->tamper && test_client_ready(k->client)) {
            in[k->tamper - 1] ^= 1;
            k->tamper = 0;
        }
        feed(k, in, n_in);
    } while (n_in > 0 || n_out > 0);
}

static void handshake(struct link *k)
{
    pump(k);
    assert_int_equal(k->st, ST_OK);
    assert_true(test_client_ready(k->client));
    assert_true(k->seen & EV_READY);
}

/* Puts @len bytes of data from @at on into the chain's down queue, as a reader would. */
static void send_down(struct link *k, size_t at, size_t len, size_t piece)
{
    while (len > 0) {
        size_t n = piece < len ? piece : len;
        struct span *s = span_new_for(k->pool, n);
        memcpy(span_data(s), data + at, n);
        s->len = (uint32_t)n;
        bufq_push(chain_down(&k->chain), s);
        at += n;
        len -= n;
        if (bufq_room(chain_down(&k->chain)) == 0)
            pump(k);
    }
    pump(k);
}

static void send_up(struct link *k, size_t at, size_t len)
{
    while (len > 0) {
        size_t n = len < 16384 ? len : 16384;
        assert_true(test_client_send(k->client, data + at, n));
        pump(k);
        at += n;
        len -= n;
    }
}

static void assert_down(struct link *k, size_t len)
{
    size_t n;
    const uint8_t *p = test_client_data(k->client, &n);

    assert_int_equal(n, len);
    assert_memory_equal(p, data, len);
}

static void assert_up(struct link *k, size_t len)
{
    assert_int_equal(k->up_len, len);
    assert_memory_equal(received, data, len);
}

static void close_down(struct link *k)
{
    chain_down(&k->chain)->eof = true;
    pump(k);
    assert_true(test_client_eof(k->client));
    assert_true(chain_bottom_out(&k->chain)->eof);
}

/* ---- tests ----------------------------------------------------------------------------------- */

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
#define CLIENTS_MAX (sizeof(CLIENTS) / sizeof(CLIENTS[0]))

static void test_transfers(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        struct link k;
        link_open(&k, NULL, &DEFAULT_CONTEXT, &CLIENTS[i]);
        handshake(&k);
        assert_int_equal(k.info.tls13, CLIENTS[i].version == 0x0304);
        if (CLIENTS[i].sni != NULL)
            assert_string_equal(k.info.sni, CLIENTS[i].sni);
        else
            assert_null(k.info.sni);
        if (CLIENTS[i].suites != NULL)
            assert_string_equal(test_client_suite(k.client), CLIENTS[i].suites);
        send_down(&k, 0, 1, 1);
        send_down(&k, 1, 2999, 50);
        send_down(&k, 3000, 500000, BLK_READ);
        send_down(&k, 503000, 500000, 16384);
        send_up(&k, 0, 1);
        send_up(&k, 1, 777776);
        assert_down(&k, 1003000);
        assert_up(&k, 777777);
        test_client_close(k.client);
        pump(&k);
        assert_true(chain_up(&k.chain)->eof);
        send_down(&k, 1003000, 100, 100); /* one direction ended, the other goes on */
        assert_down(&k, 1003100);
        close_down(&k);
        link_close(&k);
    }
}

static void test_odd_cuts(void **state)
{
    static const size_t cuts[] = {1, 5, 6, 17, 100, 1447, 5000};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(cuts) / sizeof(cuts[0]); i++) {
        struct link k;
        link_open(&k, NULL, &DEFAULT_CONTEXT, &CLIENTS[i % 2 == 0 ? 0 : 5]);
        k.cut = cuts[i / 2];
        handshake(&k);
        send_up(&k, 0, 40000);
        send_down(&k, 0, 40000, 7000);
        assert_up(&k, 40000);
        assert_down(&k, 40000);
        link_close(&k);
    }
}

static void test_idle_costs_keys_only(void **state)
{
    struct link k;

    (void)state;
    link_open(&k, NULL, &DEFAULT_CONTEXT, &CLIENTS[0]);
    size_t before = pool_used(k.pool);
    assert_false(tls_server_handshaking(k.chain.layers[0]));
    handshake(&k);
    assert_false(tls_server_handshaking(k.chain.layers[0]));
    conn_info_clear(k.pool, &k.info);
    assert_int_equal(pool_used(k.pool), before);
    assert_true(tls_server_ops.size <= 256);
    link_close(&k);
}

/* Data in the same segment as the client's Finished. */
static void test_glued_data(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        struct test_client_options o = CLIENTS[i];
        struct link k;
        o.send = data;
        o.send_len = 3000;
        o.close = true;
        link_open(&k, NULL, &DEFAULT_CONTEXT, &o);
        handshake(&k);
        assert_up(&k, 3000);
        assert_true(chain_up(&k.chain)->eof);
        link_close(&k);
    }
}

static void test_key_update(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct link k;
        link_open(&k, NULL, &DEFAULT_CONTEXT, &CLIENTS[i]);
        handshake(&k);
        for (size_t n = 0; n < 40; n++) {
            size_t before = k.out_len;
            assert_true(test_client_update(k.client, n % 2 == 0));
            pump(&k);
            /* asked, the server answers with a KeyUpdate of its own, and with nothing else */
            assert_int_equal(k.out_len - before, n % 2 == 0 ? 5 + 5 + 17 : 0);
            send_up(&k, n * 1000, 1000);
            send_down(&k, n * 1000, 1000, 1000);
        }
        assert_up(&k, 40000);
        assert_down(&k, 40000);
        assert_false(test_client_failed(k.client));
        link_close(&k);
    }
}

static void test_key_update_flood(void **state)
{
    struct link k;

    (void)state;
    link_open(&k, NULL, &DEFAULT_CONTEXT, &CLIENTS[0]);
    handshake(&k);
    for (unsigned n = 0; n < 60 && k.st == ST_OK && test_client_update(k.client, true); n++)
        pump(&k);
    assert_int_equal(k.st, ST_E_LIMIT);
    pump(&k);
    assert_int_equal(test_client_alert(k.client), TLS_ALERT_UNEXPECTED_MESSAGE);
    link_close(&k);
}

static void test_tampered_record(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        struct link k;
        link_open(&k, NULL, &DEFAULT_CONTEXT, &CLIENTS[i]);
        handshake(&k);
        k.tamper = 20;
        test_client_send(k.client, data, 500);
        pump(&k);
        assert_int_equal(k.up_len, 0);
        assert_true(k.st == ST_E_AUTH || k.st == ST_E_PROTO);
        pump(&k);
        assert_int_equal(test_client_alert(k.client), TLS_ALERT_BAD_RECORD_MAC);
        link_close(&k);
    }
}

/* Nothing may follow a fatal alert, whatever is still queued. */
static void test_silence_after_alert(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLIENTS_MAX; i += 5) {
        struct link k;
        uint64_t wake = UINT64_MAX;
        link_open(&k, NULL, &DEFAULT_CONTEXT, &CLIENTS[i]);
        handshake(&k);
        static const uint8_t bad[] = {0x17, 3, 3, 0, 24, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1,
                                      2,    3, 4, 5, 6,  7, 8, 9, 1, 2, 3, 4, 5, 6};
        feed(&k, bad, sizeof(bad));
        assert_true(k.st < 0);
        size_t alert = chain_bottom_out(&k.chain)->bytes;
        assert_in_range(alert, 7, 40);
        assert_int_equal(bufq_put(chain_down(&k.chain), data, 100, k.pool), ST_OK);
        (void)!chain_run(&k.chain, &k.ev, 1, 1, &wake);
        assert_int_equal(chain_bottom_out(&k.chain)->bytes, alert);
        link_close(&k);
    }
}

/* Half of all clients close with a bare FIN; one in the middle of a record loses that record. */
static void test_bare_fin(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        struct link k;
        link_open(&k, NULL, &DEFAULT_CONTEXT, &CLIENTS[i]);
        handshake(&k);
        send_up(&k, 0, 1000);
        if (i % 2 == 0) {
            static const uint8_t half[] = {0x17, 3, 3, 1, 0, 9, 9, 9};
            feed(&k, half, sizeof(half));
        }
        chain_bottom_in(&k.chain)->eof = true;
        pump(&k);
        assert_int_equal(k.st, ST_OK);
        assert_up(&k, 1000);
        assert_true(chain_up(&k.chain)->eof);
        send_down(&k, 0, 1000, 1000);
        assert_down(&k, 1000);
        close_down(&k);
        link_close(&k);
    }
}

static void test_not_tls(void **state)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n",
                                        "\x16\x03\x01\x40\x01", "\x16\x03\x01\x01\x01\x02",
                                        "\x05\x01"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct link k;
        link_open(&k, NULL, &DEFAULT_CONTEXT, &CLIENTS[0]);
        feed(&k, (const uint8_t *)texts[i], strlen(texts[i]));
        assert_int_equal(k.st, ST_E_PROTO);
        assert_int_equal(chain_bottom_out(&k.chain)->bytes, 0);
        link_close(&k);
    }
}

static void test_left_early(void **state)
{
    (void)state;
    for (unsigned stop = 0; stop < 3; stop++) {
        static uint8_t hello[4096], out[8192];
        struct link k;
        link_open(&k, NULL, &DEFAULT_CONTEXT, &CLIENTS[0]);
        size_t n = test_client_talk(k.client, NULL, 0, hello, sizeof(hello));
        if (stop > 0)
            feed(&k, hello, stop == 1 ? n - 1 : n);
        if (stop == 1)
            assert_false(tls_server_handshaking(k.chain.layers[0]));
        if (stop == 2) {
            assert_int_equal(tls_server_handshaking(k.chain.layers[0]),
                             engine == TLS_ENGINE_OPENSSL);
            assert_true(bufq_peek(chain_bottom_out(&k.chain), out, sizeof(out)) > 500);
        }
        chain_bottom_in(&k.chain)->eof = true;
        run(&k);
        assert_int_equal(k.st, ST_E_CLOSED);
        link_close(&k);
    }
}

static void test_huge_hello(void **state)
{
    static const uint8_t head[] = {22, 3, 1, 1, 0, 1, 0, 0x80, 0};
    struct link k;

    (void)state;
    link_open(&k, NULL, &DEFAULT_CONTEXT, &CLIENTS[0]);
    feed(&k, head, sizeof(head));
    assert_int_equal(k.st, ST_E_LIMIT);
    link_close(&k);
}

static void try_alpn(const char *const *server, size_t count, const char *client, const char *want)
{
    struct conf_context ctx = DEFAULT_CONTEXT;

    ctx.alpn = server;
    ctx.alpn_count = count;
    for (unsigned version = 0x0303; version <= 0x0304; version++) {
        const struct test_client_options o = {.version = (uint16_t)version, .alpn = client};
        struct link k;
        link_open(&k, NULL, &ctx, &o);
        pump(&k);
        if (want == NULL) {
            assert_int_equal(k.st, ST_E_REFUSED);
            assert_int_equal(k.ev.why.number, TLS_ALERT_NO_APPLICATION_PROTOCOL);
            pump(&k);
            assert_int_equal(test_client_alert(k.client), TLS_ALERT_NO_APPLICATION_PROTOCOL);
        } else {
            handshake(&k);
            assert_string_equal(test_client_alpn(k.client), want);
            assert_string_equal(k.info.alpn != NULL ? k.info.alpn : "", want);
        }
        link_close(&k);
    }
}

static void test_alpn(void **state)
{
    static const char *const both[] = {"h2", "http/1.1"}, *const ws[] = {"http/1.1"};

    (void)state;
    try_alpn(both, 2, "http/1.1:h2", "h2"); /* the server's order counts */
    try_alpn(both, 2, "http/1.1", "http/1.1");
    try_alpn(ws, 1, "h2:http/1.1", "http/1.1");
    try_alpn(ws, 1, "h2:h3", NULL);
    try_alpn(both, 2, NULL, "");
    try_alpn(NULL, 0, "h2", "h2");
}

static void test_reject_unknown_sni(void **state)
{
    static const struct {
        const char *sni;
        bool ok;
    } cases[] = {{"a.example.test", true},      {"A.Example.Test", true},
                 {"a.b.example.test", false},   {"example.test", false},
                 {"other.test", false},         {NULL, false},
                 {"x.example.test.evil", false}};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        const struct test_client_options o = {.version = i % 2 == 0 ? 0x0304 : 0x0303,
                                              .sni = cases[i / 2].sni};
        struct conf_context ctx = DEFAULT_CONTEXT;
        struct link k;
        ctx.reject_unknown_sni = i % 3 == 0;
        link_open(&k, i % 3 == 0 ? "[]" : "{\"reject_unknown_sni\":\"1\"}", &ctx, &o);
        pump(&k);
        if (cases[i / 2].ok) {
            handshake(&k);
            assert_string_equal(k.info.sni, "a.example.test");
        } else {
            assert_int_equal(k.st, ST_E_REFUSED);
            assert_int_equal(k.ev.why.number, TLS_ALERT_UNRECOGNIZED_NAME);
            pump(&k);
            assert_int_equal(test_client_alert(k.client), TLS_ALERT_UNRECOGNIZED_NAME);
        }
        link_close(&k);
    }
}

static void test_versions(void **state)
{
    (void)state;
    struct link k;
    link_open(&k, "{\"minVersion\":\"1.3\"}", &DEFAULT_CONTEXT, &CLIENTS[5]);
    pump(&k);
    assert_int_equal(k.st, ST_E_PROTO);
    pump(&k);
    assert_int_equal(test_client_alert(k.client), TLS_ALERT_PROTOCOL_VERSION);
    link_close(&k);
    const struct test_client_options any = {.groups = "P-256:X25519"};
    link_open(&k,
              "{\"max_version\":\"1.2\",\"cipherSuites\":\"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_"
              "SHA256\",\"curvePreferences\":[\"X25519MLKEM768\",\"CurveP256\"]}",
              &DEFAULT_CONTEXT, &any);
    handshake(&k);
    assert_false(test_client_is_tls13(k.client));
    assert_string_equal(test_client_suite(k.client), "ECDHE-ECDSA-CHACHA20-POLY1305");
    link_close(&k);
}

/* A client that guessed the wrong group is asked to try again. */
static void test_hello_retry(void **state)
{
    const struct test_client_options o = {.version = 0x0304, .groups = "P-256:X25519"};
    struct link k;

    (void)state;
    link_open(&k, "{\"curvePreferences\":[\"X25519\"]}", &DEFAULT_CONTEXT, &o);
    k.cut = 7;
    handshake(&k);
    send_up(&k, 0, 3000);
    send_down(&k, 0, 3000, 500);
    assert_up(&k, 3000);
    assert_down(&k, 3000);
    link_close(&k);
}

static const char *path_of(const char *name, char buf[512])
{
    const char *root = getenv("V2SP_SOURCE_ROOT");

    snprintf(buf, 512, "%s/src/tls/testdata/%s", root != NULL ? root : ".", name);
    return buf;
}

/* An RSA certificate from files, sent with its intermediate. */
static void test_file_certificate(void **state)
{
    static const char *const suites12[] = {"ECDHE-RSA-AES128-GCM-SHA256",
                                           "ECDHE-RSA-CHACHA20-POLY1305"};
    char chain[512], key[512];
    const struct conf_context ctx = {.cert_file = path_of("rsa.crt", chain),
                                     .key_file = path_of("rsa_as_ec.key", key),
                                     .reject_unknown_sni = true};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct test_client_options o = {.version = i == 2 ? 0x0304 : 0x0303,
                                              .ciphers = i == 2 ? NULL : suites12[i],
                                              .sni = "RSA.test"};
        struct link k;
        link_open(&k, NULL, &ctx, &o);
        handshake(&k);
        assert_int_equal(test_client_chain_len(k.client), 2);
        send_down(&k, 0, 3000, 500);
        assert_down(&k, 3000);
        link_close(&k);
    }
}

/* GREASE, ECH, ALPS, a hybrid key share: what we do not know is passed over. */
static void test_browser_hello(void **state)
{
    static uint8_t hello[4096], out[8192];
    char path[512];
    struct link k;

    (void)state;
    FILE *f = fopen(path_of("hello_chrome.bin", path), "rb");
    assert_non_null(f);
    size_t n = fread(hello, 1, sizeof(hello), f);
    fclose(f);
    link_open(&k, NULL, &DEFAULT_CONTEXT, &CLIENTS[0]);
    feed(&k, hello, n);
    assert_int_equal(k.st, ST_OK);
    assert_int_equal(tls_server_handshaking(k.chain.layers[0]), engine == TLS_ENGINE_OPENSSL);
    assert_true(bufq_peek(chain_bottom_out(&k.chain), out, sizeof(out)) > 500);
    assert_memory_equal(out, "\x16\x03\x03", 3);
    assert_int_equal(out[5], 2); /* ServerHello */
    link_close(&k);
}

/* A client whose CPU has no AES puts ChaCha20 first; everyone else gets AES-128. */
static void test_suite_choice(void **state)
{
    static const char *const cases[][2] = {
        {"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
         "TLS_AES_128_GCM_SHA256"},
        {"TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct test_client_options o = {.suites = cases[i][0]};
        struct link k;
        link_open(&k, NULL, &DEFAULT_CONTEXT, &o);
        handshake(&k);
        assert_string_equal(test_client_suite(k.client), cases[i][1]);
        link_close(&k);
    }
}

/* Marks of the layers above come out on the ciphertext. */
static void test_marks(void **state)
{
    static const uint8_t flags[] = {0, 0, SPAN_EDGE, SPAN_ALONE, 0};

    (void)state;
    for (size_t i = 0; i < CLIENTS_MAX; i += 5) {
        struct link k;
        link_open(&k, NULL, &DEFAULT_CONTEXT, &CLIENTS[i]);
        handshake(&k);
        for (size_t n = 0; n < sizeof(flags); n++) {
            struct span *s = span_new_small(k.pool);
            memcpy(span_data(s), data + n * 10, 10);
            s->len = 10;
            s->flags = flags[n];
            bufq_push(chain_down(&k.chain), s);
        }
        run(&k);
        const struct span *s = chain_bottom_out(&k.chain)->head;
        assert_int_equal(chain_bottom_out(&k.chain)->count, 4);
        assert_int_equal(s->flags, 0);
        assert_int_equal(s->next->flags, SPAN_EDGE);
        assert_int_equal(s->next->next->flags, SPAN_ALONE);
        assert_int_equal(s->next->next->next->flags, 0);
        pump(&k);
        assert_down(&k, 50);
        link_close(&k);
    }
}

static void expect_conf_error(const char *settings, const struct conf_context *ctx,
                              const char *part)
{
    struct arena *a = arena_new();
    struct conf_error err = {""};
    struct json_error jerr;
    struct json_t *json = NULL;
    const void *conf;

    assert_int_equal(json_parse(settings, strlen(settings), &json, &jerr), ST_OK);
    assert_int_equal(transport_tls.parse_conf(a, json, ctx, &conf, &err), ST_E_CONFIG);
    assert_null(conf);
    if (strstr(err.text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
    json_unref(json);
    arena_free(a);
}

static void test_conf_errors(void **state)
{
    static const char *const bad_alpn[] = {"h2", ""};
    struct conf_context none = {0}, gone = {.cert_file = "/nonexistent/c.pem",
                                            .key_file = "/nonexistent/k.pem"};
    struct conf_context alpn = DEFAULT_CONTEXT;

    (void)state;
    alpn.alpn = bad_alpn;
    alpn.alpn_count = 2;
    expect_conf_error("{}", &none, "needs a certificate file");
    expect_conf_error("{}", &gone, "/nonexistent/c.pem");
    expect_conf_error("{\"minVersion\":\"2\"}", &DEFAULT_CONTEXT, "minVersion");
    expect_conf_error("{\"minVersion\":\"1.3\",\"maxVersion\":\"1.2\"}", &DEFAULT_CONTEXT, "above");
    expect_conf_error("{\"cipherSuites\":\"NO_SUCH\"}", &DEFAULT_CONTEXT, "NO_SUCH");
    expect_conf_error("{\"curvePreferences\":[\"curve9\"]}", &DEFAULT_CONTEXT, "curve9");
    expect_conf_error("{}", &alpn, "ALPN");
}

static int setup(void **state)
{
    (void)state;
    engine = TLS_ENGINE_OPENSSL;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31 + (i >> 8) + (i >> 16));
    return rng_init(&rng) == ST_OK && crypto_ctx_init(&crypto) == ST_OK ? 0 : -1;
}

static int setup_ours(void **state)
{
    int ret = setup(state);

    engine = TLS_ENGINE_AUTO;
    return ret;
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_transfers),
                                       cmocka_unit_test(test_odd_cuts),
                                       cmocka_unit_test(test_idle_costs_keys_only),
                                       cmocka_unit_test(test_glued_data),
                                       cmocka_unit_test(test_key_update),
                                       cmocka_unit_test(test_key_update_flood),
                                       cmocka_unit_test(test_tampered_record),
                                       cmocka_unit_test(test_silence_after_alert),
                                       cmocka_unit_test(test_bare_fin),
                                       cmocka_unit_test(test_not_tls),
                                       cmocka_unit_test(test_left_early),
                                       cmocka_unit_test(test_huge_hello),
                                       cmocka_unit_test(test_alpn),
                                       cmocka_unit_test(test_reject_unknown_sni),
                                       cmocka_unit_test(test_versions),
                                       cmocka_unit_test(test_hello_retry),
                                       cmocka_unit_test(test_file_certificate),
                                       cmocka_unit_test(test_browser_hello),
                                       cmocka_unit_test(test_suite_choice),
                                       cmocka_unit_test(test_marks),
                                       cmocka_unit_test(test_conf_errors)};
    int failed = cmocka_run_group_tests_name("OpenSSL's handshake", tests, setup, teardown);
    return failed + cmocka_run_group_tests_name("our handshake", tests, setup_ours, teardown);
}
