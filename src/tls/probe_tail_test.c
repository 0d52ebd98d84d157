/* What follows a handshake with OpenSSL's server, both in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/ssl.h>
#include <string.h>

#include "base/bytes.h"
#include "tls/probe_tail.h"
#include "tls/test_server.h"

struct world {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
    struct probe_tail tail;
    size_t cut; /* bytes the client gets at a time */
    enum status st;
};

static void open_world(struct world *w, enum tls_probe_alpn alpn, uint16_t suite, int tickets)
{
    memset(w, 0, sizeof(*w));
    w->cut = SIZE_MAX;
    w->ctx = test_server_new("\x02h2");
    assert_non_null(w->ctx);
    SSL_CTX_set_num_tickets(w->ctx, (size_t)tickets);
    w->ssl = SSL_new(w->ctx);
    w->in = BIO_new(BIO_s_mem());
    w->out = BIO_new(BIO_s_mem());
    SSL_set_bio(w->ssl, w->in, w->out);
    SSL_set_accept_state(w->ssl);
    assert_int_equal(probe_tail_init(&w->tail, "target.example", alpn, suite), ST_OK);
}

static void close_world(struct world *w)
{
    probe_tail_fini(&w->tail);
    probe_tail_fini(&w->tail);
    SSL_free(w->ssl);
    SSL_CTX_free(w->ctx);
}

/* Whether the server had something to say. */
static bool hear_server(struct world *w)
{
    uint8_t buf[65536];
    int n = BIO_read(w->out, buf, sizeof(buf));
    if (n <= 0)
        return false;
    for (size_t at = 0; at < (size_t)n;) {
        size_t piece = (size_t)n - at < w->cut ? (size_t)n - at : w->cut;
        w->st = probe_tail_feed(&w->tail, buf + at, piece);
        at += piece;
    }
    return true;
}

static bool tell_server(struct world *w)
{
    uint8_t buf[4096];
    size_t n = probe_tail_take(&w->tail, buf, sizeof(buf));
    if (n == 0)
        return false;
    BIO_write(w->in, buf, (int)n);
    (void)SSL_do_handshake(w->ssl);
    return true;
}

/* Until the client is ready, and what it has to say is said. */
static void handshake(struct world *w)
{
    assert_true(tell_server(w));
    while (hear_server(w) && w->st == ST_MORE)
        tell_server(w);
}

static void finish(struct world *w)
{
    probe_tail_begin(&w->tail);
    tell_server(w);
    assert_true(SSL_is_init_finished(w->ssl));
}

/* A ticket is a DER structure in blocks of 16 bytes, and of its numbers now and then one is a byte
 * longer: one in some hundred tickets has a block more. */
#define TICKET_BLOCK 16

static void assert_near(uint16_t len, unsigned expected)
{
    assert_in_range(len, expected - TICKET_BLOCK, expected + TICKET_BLOCK);
}

static void tickets_are_counted_for_every_suite(void **state)
{
    static const size_t cuts[] = {SIZE_MAX, 1, 300};
    uint16_t len[3] = {0};
    (void)state;
    for (unsigned i = 0; i < 9; i++) {
        struct world w;
        open_world(&w, TLS_PROBE_NO_ALPN, (uint16_t)(0x1301 + i % 3), 2);
        w.cut = cuts[i / 3];
        handshake(&w);
        assert_int_equal(w.st, ST_OK);
        finish(&w);
        assert_true(hear_server(&w));
        assert_int_equal(w.st, ST_OK);
        assert_int_equal(w.tail.count, 2);
        assert_near(w.tail.len[1], w.tail.len[0]);
        assert_true(w.tail.len[0] > 100);
        len[i % 3] = w.tail.len[0];
        close_world(&w);
    }
    /* SHA-384 makes the secret in a ticket 16 bytes longer. */
    assert_near(len[1], len[0] + 16u);
    assert_near(len[2], len[0]);
}

static void no_ticket_is_a_tail_too(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, TLS_PROBE_HTTP11, 0x1301, 0);
    handshake(&w);
    finish(&w);
    assert_false(hear_server(&w));
    assert_int_equal(w.tail.count, 0);
    close_world(&w);
}

static void settings_are_counted_and_the_goodbye_is_not(void **state)
{
    (void)state;
    struct world w;
    char settings[40] = {0};
    open_world(&w, TLS_PROBE_H2_FIRST, 0x1301, 2);
    handshake(&w);
    finish(&w);
    assert_int_equal(SSL_write(w.ssl, settings, sizeof(settings)), sizeof(settings));
    SSL_shutdown(w.ssl);
    assert_true(hear_server(&w));
    assert_int_equal(w.st, ST_EOF);
    assert_int_equal(w.tail.count, 3);
    assert_int_equal(w.tail.len[2], sizeof(settings) + RECORD_OVERHEAD);
    close_world(&w);
}

/* A server that speaks before it has heard the client's Finished. */
static void what_comes_with_the_flight_is_no_tail(void **state)
{
    (void)state;
    for (int half = 0; half < 2; half++) {
        struct world w;
        uint8_t buf[16384];
        open_world(&w, TLS_PROBE_NO_ALPN, 0x1301, 1);
        size_t early = 0;
        int len = (int)probe_tail_take(&w.tail, buf, sizeof(buf));
        BIO_write(w.in, buf, len);
        assert_int_equal(SSL_read_early_data(w.ssl, buf, sizeof(buf), &early),
                         SSL_READ_EARLY_DATA_FINISH);
        assert_int_equal(SSL_write_early_data(w.ssl, "server", 6, &early), 1);
        int n = BIO_read(w.out, buf, sizeof(buf));
        assert_true(n > 100);
        /* The whole, or but for the end of the last record. */
        int first = half ? n - 3 : n;
        w.st = probe_tail_feed(&w.tail, buf, (size_t)first);
        assert_int_equal(w.st, ST_OK);
        probe_tail_begin(&w.tail);
        w.st = probe_tail_feed(&w.tail, buf + first, (size_t)(n - first));
        assert_int_equal(w.st, ST_OK);
        assert_int_equal(w.tail.count, 0);
        tell_server(&w);
        while (hear_server(&w))
            ;
        assert_int_equal(w.tail.count, 1);
        close_world(&w);
    }
}

static void too_many_records_end_the_count(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, TLS_PROBE_NO_ALPN, 0x1303, 40);
    handshake(&w);
    finish(&w);
    assert_true(hear_server(&w));
    assert_int_equal(w.tail.count, PROBE_TAIL_MAX);
    assert_true(w.tail.over);
    close_world(&w);
}

static void a_suite_that_is_not_served_is_refused(void **state)
{
    (void)state;
    struct world w;
    struct tls_probe *none;
    open_world(&w, TLS_PROBE_NO_ALPN, 0x1303, 2);
    assert_int_equal(SSL_set_ciphersuites(w.ssl, "TLS_AES_128_GCM_SHA256"), 1);
    handshake(&w);
    assert_int_equal(w.st, ST_E_PROTO);
    assert_true(tls_probe_error(w.tail.tls)[0] != '\0');
    close_world(&w);
    open_world(&w, TLS_PROBE_NO_ALPN, 0x1301, 2);
    assert_int_equal(SSL_set_max_proto_version(w.ssl, TLS1_2_VERSION), 1);
    handshake(&w);
    assert_int_equal(w.st, ST_E_PROTO);
    close_world(&w);
    assert_int_equal(tls_probe_new_suite("a", TLS_PROBE_NO_ALPN, 0x1304, &none), ST_E_UNSUPPORTED);
    assert_null(none);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\nand more, for a record that ends soon", 65},
        {"\x16\3\3\xff\xff.", 6},
        {"\x17\3\3\0\1.\x17\3\3\0\1.", 12},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct world w;
        open_world(&w, TLS_PROBE_NO_ALPN, 0x1301, 0);
        enum status st = probe_tail_feed(&w.tail, (const uint8_t *)bad[i].bytes, bad[i].len);
        assert_true(st == ST_E_PROTO || (i == 0 && st == ST_MORE)); /* "P/" is 20 KB */
        close_world(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tickets_are_counted_for_every_suite),
        cmocka_unit_test(no_ticket_is_a_tail_too),
        cmocka_unit_test(settings_are_counted_and_the_goodbye_is_not),
        cmocka_unit_test(what_comes_with_the_flight_is_no_tail),
        cmocka_unit_test(too_many_records_end_the_count),
        cmocka_unit_test(a_suite_that_is_not_served_is_refused),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
