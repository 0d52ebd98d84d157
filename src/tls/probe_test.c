#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "tls/hello.h"
#include "tls/probe.h"
#include "tls/probe_hello.h"
#include "tls/server_hello.h"
#include "tls/test_server.h"
#include "tls/test_target.h"

/* ---- the hello ---- */

static size_t make(uint8_t out[PROBE_HELLO_MAX], const char *name)
{
    uint8_t seed[PROBE_HELLO_SEED];
    for (size_t i = 0; i < sizeof(seed); i++)
        seed[i] = (uint8_t)(i * 7 + 1);
    return probe_hello_build(out, name, seed);
}

static void the_hello_is_well_formed(void **state)
{
    (void)state;
    char longest[256];
    memset(longest, 'a', 255);
    longest[255] = '\0';
    const char *const names[] = {"www.example.org", "", longest};
    for (size_t i = 0; i < 3; i++) {
        uint8_t out[PROBE_HELLO_MAX];
        struct hello h;
        size_t len = make(out, names[i]);
        assert_true(len > 1400 && len <= sizeof(out));
        assert_int_equal(get_be16(out + 3), len - 5);
        assert_int_equal(hello_parse(out + 5, len - 5, &h), ST_OK);
        assert_int_equal(reader_left(&h.sni), strlen(names[i]));
        assert_memory_equal(h.sni.p, names[i], strlen(names[i]));
        assert_true(hello_has_u16(h.versions, 0x0304));
        assert_true(hello_has_alpn(&h, "h2"));
        assert_true(hello_has_alpn(&h, "http/1.1"));
        struct reader share = hello_key_share(&h, TLS_GROUP_X25519MLKEM768);
        assert_int_equal(reader_left(&share), TLS_SHARE_MLKEM_CLIENT);
        share = hello_key_share(&h, TLS_GROUP_X25519);
        assert_int_equal(reader_left(&share), 32);
        assert_int_equal(reader_left(&h.session_id), 32);
    }
}

/* ---- OpenSSL's server in memory ---- */

struct server {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
};

static void server_init(struct server *s, uint16_t max_version, const char *groups)
{
    s->ctx = test_server_new("\x02h2\x08http/1.1");
    assert_non_null(s->ctx);
    assert_int_equal(SSL_CTX_set_max_proto_version(s->ctx, max_version), 1);
    if (groups != NULL)
        assert_int_equal(SSL_CTX_set1_groups_list(s->ctx, groups), 1);
    s->ssl = SSL_new(s->ctx);
    s->in = BIO_new(BIO_s_mem());
    s->out = BIO_new(BIO_s_mem());
    SSL_set_bio(s->ssl, s->in, s->out);
    SSL_set_accept_state(s->ssl);
}

static void server_fini(struct server *s)
{
    SSL_free(s->ssl);
    SSL_CTX_free(s->ctx);
}

/* Gives @len bytes to the server; returns what it answers. */
static size_t serve(struct server *s, const void *in, size_t len, uint8_t *out, size_t cap)
{
    if (len > 0)
        BIO_write(s->in, in, (int)len);
    if (!SSL_is_init_finished(s->ssl))
        (void)SSL_do_handshake(s->ssl);
    int n = BIO_read(s->out, out, (int)cap);
    return n > 0 ? (size_t)n : 0;
}

static void what_a_server_answers_to_the_hello(void **state)
{
    (void)state;
    static const struct {
        uint16_t version;
        const char *groups, *why;
    } cases[] = {
        {0x0304, NULL, NULL},
        {0x0303, NULL, "it does not speak TLS 1.3"},
        {0x0304, "P-256", "it speaks TLS 1.3 but neither X25519 nor X25519MLKEM768"},
        {0x0304, "X448", "it refuses the handshake, perhaps the server name"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t hello[PROBE_HELLO_MAX], answer[8192];
        struct server s;
        struct server_hello h;
        server_init(&s, cases[i].version, cases[i].groups);
        size_t len = make(hello, "target.example");
        len = serve(&s, hello, len, answer, sizeof(answer));
        assert_true(len > 5);
        enum status st = server_hello_parse(answer + 5, get_be16(answer + 3), &h);
        if (cases[i].why == NULL) {
            assert_int_equal(st, ST_OK);
            assert_int_equal(h.group, TLS_GROUP_X25519);
        } else {
            assert_int_not_equal(st, ST_OK);
            assert_string_equal(probe_hello_why(answer, len), cases[i].why);
            /* However it is cut: nothing, or the same. */
            for (size_t n = 0; n < len && n < 200; n++)
                (void)probe_hello_why(answer, n);
        }
        server_fini(&s);
    }
    assert_string_equal(probe_hello_why((const uint8_t *)"HTTP/1.1 400", 12),
                        "it does not speak TLS");
    assert_string_equal(probe_hello_why((const uint8_t *)"\x16\x03\x03\x00\x05", 5), "");
    assert_string_equal(probe_hello_why((const uint8_t *)"", 0), "");
}

static void a_hybrid_target_is_understood(void **state)
{
    (void)state;
    struct test_target t = {
        .suite = 0x1302, .group = TLS_GROUP_X25519MLKEM768, .len = {0, 0, 40, 900, 110, 74}};
    uint8_t hello[PROBE_HELLO_MAX], answer[8192];
    struct server_hello h;
    size_t len = make(hello, "target.example");
    len = test_target_answer(&t, hello + 5, len - 5, answer, sizeof(answer));
    assert_true(len > 1200);
    assert_int_equal(server_hello_parse(answer + 5, get_be16(answer + 3), &h), ST_OK);
    assert_int_equal(h.group, TLS_GROUP_X25519MLKEM768);
}

/* Runs both until neither has more to say. */
static enum status talk(struct tls_probe *p, struct server *s)
{
    uint8_t a[16384], b[16384];
    size_t n = 0;
    enum status st;
    do {
        st = tls_probe_feed(p, b, n);
        size_t m = tls_probe_take(p, a, sizeof(a));
        n = serve(s, a, m, b, sizeof(b));
        if (m == 0 && n == 0)
            break;
    } while (st == ST_OK || st == ST_MORE);
    return st;
}

static void facts_of_a_handshake(void **state)
{
    (void)state;
    struct tls_probe *p;
    struct tls_probe_facts f;
    struct server s;
    char text[64];
    server_init(&s, 0x0304, NULL);
    assert_int_equal(tls_probe_new("target.example", TLS_PROBE_H2_FIRST, time(NULL), &p), ST_OK);
    assert_int_equal(talk(p, &s), ST_OK);
    tls_probe_facts(p, &f);
    assert_int_equal(f.version, 0x0304);
    assert_string_equal(f.alpn, "h2");
    assert_true(f.covers_name);
    assert_false(f.trusted);
    assert_string_not_equal(f.doubt, "");
    assert_in_range(f.chain_bytes, 200, 2000);
    assert_in_range(f.expires_s, 9 * 365 * 86400, 11 * 365 * 86400);
    assert_int_equal(tls_probe_say(p, "question", 8), ST_OK);
    uint8_t wire[512];
    (void)serve(&s, wire, tls_probe_take(p, wire, sizeof(wire)), wire, 0);
    assert_int_equal(SSL_read(s.ssl, text, sizeof(text)), 8);
    assert_int_equal(SSL_write(s.ssl, "answer", 6), 6);
    size_t n = serve(&s, NULL, 0, wire, sizeof(wire));
    assert_int_equal(tls_probe_feed(p, wire, n), ST_OK);
    assert_int_equal(tls_probe_hear(p, text, sizeof(text)), 6);
    assert_memory_equal(text, "answer", 6);
    SSL_shutdown(s.ssl);
    n = serve(&s, NULL, 0, wire, sizeof(wire));
    assert_int_equal(tls_probe_feed(p, wire, n), ST_EOF);
    tls_probe_free(p);
    server_fini(&s);
}

static void another_name_and_protocol(void **state)
{
    (void)state;
    struct tls_probe *p;
    struct tls_probe_facts f;
    struct server s;
    server_init(&s, 0x0303, NULL);
    assert_int_equal(tls_probe_new("other.example", TLS_PROBE_HTTP11, time(NULL), &p), ST_OK);
    assert_int_equal(talk(p, &s), ST_OK);
    tls_probe_facts(p, &f);
    assert_int_equal(f.version, 0x0303);
    assert_string_equal(f.alpn, "http/1.1");
    assert_false(f.covers_name);
    tls_probe_free(p);
    server_fini(&s);
}

static void noise_is_an_error_with_a_cause(void **state)
{
    (void)state;
    struct tls_probe *p;
    assert_int_equal(tls_probe_new("", TLS_PROBE_H2_FIRST, 0, &p), ST_OK);
    assert_int_equal(tls_probe_feed(p, "", 0), ST_MORE);
    assert_int_equal(tls_probe_feed(p, "HTTP/1.1 400 Bad Request\r\n\r\n", 28), ST_E_PROTO);
    assert_string_not_equal(tls_probe_error(p), "");
    assert_int_equal(tls_probe_feed(p, "", 0), ST_E_PROTO);
    tls_probe_free(p);
    tls_probe_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hello_is_well_formed),
        cmocka_unit_test(what_a_server_answers_to_the_hello),
        cmocka_unit_test(a_hybrid_target_is_understood),
        cmocka_unit_test(facts_of_a_handshake),
        cmocka_unit_test(another_name_and_protocol),
        cmocka_unit_test(noise_is_an_error_with_a_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
