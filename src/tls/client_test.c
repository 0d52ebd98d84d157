/* The client against OpenSSL's server in memory: whom it believes, and what it says of others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tls/cert.h"
#include "tls/client.h"

#define NAME "redis.example"

/* A directory with pairs: NAME's, an address's, somebody's. */
struct world {
    char dir[64], file[3][2][96]; /* certificate, key */
    char pipe[96];
};
enum { NAMED, NUMBERED, OTHER };

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
    static const char *const domains[] = {NAME, "192.0.2.7", "other.example"};
    static struct world w;

    strcpy(w.dir, "/tmp/v2sp-client-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    for (size_t i = 0; i < 3; i++) {
        struct cert_pem pem;
        assert_int_equal(cert_self_signed(domains[i], &pem), ST_OK);
        snprintf(w.file[i][0], sizeof(w.file[i][0]), "%s/%zu.crt", w.dir, i);
        snprintf(w.file[i][1], sizeof(w.file[i][1]), "%s/%zu.key", w.dir, i);
        put(w.file[i][0], pem.chain);
        put(w.file[i][1], pem.key);
    }
    snprintf(w.pipe, sizeof(w.pipe), "%s/pipe", w.dir);
    assert_int_equal(mkfifo(w.pipe, 0600), 0);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    for (size_t i = 0; i < 3; i++) {
        unlink(w->file[i][0]);
        unlink(w->file[i][1]);
    }
    unlink(w->pipe);
    return rmdir(w->dir);
}

/* Trusts the certificate of @root, -1: the system's roots. */
static struct tls_client_conf conf_of(const struct world *w, const char *name, int root)
{
    return (struct tls_client_conf){
        .name = name, .ca = root < 0 ? "" : w->file[root][0], .cert = "", .key = ""};
}

static int take_any(int good, X509_STORE_CTX *chain)
{
    (void)good;
    return X509_STORE_CTX_get0_cert(chain) != NULL;
}

/* A server with the pair @pair; @asks: for a certificate, any. */
struct server {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
};

static void server_init(struct server *s, const struct world *w, int pair, int version, bool asks)
{
    s->ctx = SSL_CTX_new(TLS_server_method());
    assert_non_null(s->ctx);
    assert_int_equal(SSL_CTX_use_certificate_file(s->ctx, w->file[pair][0], SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(s->ctx, w->file[pair][1], SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(s->ctx, version), 1);
    if (asks) {
        SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, take_any);
    }
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
    ERR_clear_error();
}

/* Carries what both have to say to each other, a byte a call towards the client. */
static enum status carry(struct tls_client *c, struct server *s)
{
    enum status st = tls_client_feed(c, "", 0);
    uint8_t piece[4096];
    char got;
    size_t n;
    int m;

    for (bool moved = true; moved;) {
        moved = false;
        while ((n = tls_client_take(c, piece, sizeof(piece))) > 0) {
            assert_int_equal(BIO_write(s->in, piece, (int)n), n);
            moved = true;
        }
        if (!SSL_is_init_finished(s->ssl))
            (void)SSL_do_handshake(s->ssl);
        else
            (void)SSL_peek(s->ssl, &got, 1);
        ERR_clear_error();
        while ((m = BIO_read(s->out, piece, sizeof(piece))) > 0) {
            for (int i = 0; i < m && (st == ST_OK || st == ST_MORE); i++)
                st = tls_client_feed(c, piece + i, 1);
            moved = true;
        }
    }
    return st;
}

/* NULL: they understand each other, and say so. */
static void expect(const struct world *w, const struct tls_client_conf *conf, int pair, int version,
                   bool asks, const char *why)
{
    struct cert_error err;
    struct tls_client *c;
    struct server s;
    char got[16];

    assert_int_equal(tls_client_new(conf, &c, &err), ST_OK);
    server_init(&s, w, pair, version, asks);
    enum status st = carry(c, &s);
    if (why != NULL) {
        assert_int_equal(st, ST_E_PROTO);
        if (strstr(tls_client_error(c), why) == NULL)
            fail_msg("\"%s\", not \"%s\"", tls_client_error(c), why);
        assert_int_equal(tls_client_say(c, "AUTH", 4), ST_E_PROTO);
        assert_int_equal(tls_client_hear(c, got, sizeof(got)), 0);
        assert_int_equal(tls_client_feed(c, "x", 1), ST_E_PROTO);
    } else {
        if (st != ST_OK)
            fail_msg("%s", tls_client_error(c));
        assert_string_equal(tls_client_error(c), "");
        assert_int_equal(tls_client_say(c, "PING", 4), ST_OK);
        assert_int_equal(carry(c, &s), ST_OK);
        assert_int_equal(SSL_read(s.ssl, got, sizeof(got)), 4);
        assert_int_equal(SSL_write(s.ssl, "+PONG\r\n", 7), 7);
        assert_int_equal(carry(c, &s), ST_OK);
        assert_int_equal(tls_client_hear(c, got, 5), 5);
        assert_int_equal(tls_client_hear(c, got + 5, sizeof(got) - 5), 2);
        assert_memory_equal(got, "+PONG\r\n", 7);
        assert_int_equal(SSL_shutdown(s.ssl), 0);
        assert_int_equal(carry(c, &s), ST_EOF);
    }
    server_fini(&s);
    tls_client_free(c);
}

static void whom_it_believes(void **state)
{
    const struct world *w = *state;
    static const struct {
        const char *name;
        int root, pair, version;
        bool insecure;
        const char *why;
    } cases[] = {
        {NAME, NAMED, NAMED, TLS1_3_VERSION, false, NULL},
        {"REDIS.example", NAMED, NAMED, TLS1_2_VERSION, false, NULL},
        {NAME ".", NAMED, NAMED, TLS1_3_VERSION, false, NULL},
        {"192.0.2.7", NUMBERED, NUMBERED, TLS1_3_VERSION, false, NULL},
        {NAME, OTHER, NAMED, TLS1_3_VERSION, false, "certificate is refused: self-signed"},
        {NAME, -1, NAMED, TLS1_2_VERSION, false, "certificate is refused: self-signed"},
        {NAME, OTHER, OTHER, TLS1_3_VERSION, false, "certificate is refused: hostname mismatch"},
        {"192.0.2.7", NAMED, NAMED, TLS1_3_VERSION, false, "refused: IP address mismatch"},
        {"192.0.2.8", NUMBERED, NUMBERED, TLS1_3_VERSION, false, "refused: IP address mismatch"},
        {"x." NAME, NAMED, NAMED, TLS1_3_VERSION, false, "certificate is refused: hostname"},
        {NAME, OTHER, NAMED, TLS1_3_VERSION, true, NULL},
        {"else.example", OTHER, NAMED, TLS1_2_VERSION, true, NULL},
        {".", NAMED, NAMED, TLS1_3_VERSION, false, "certificate is refused: hostname mismatch"},
        {NAME, NAMED, NAMED, TLS1_1_VERSION, true, "TLS with it fails: "},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tls_client_conf conf = conf_of(w, cases[i].name, cases[i].root);
        conf.insecure = cases[i].insecure;
        expect(w, &conf, cases[i].pair, cases[i].version, false, cases[i].why);
    }
}

static void it_shows_a_certificate(void **state)
{
    const struct world *w = *state;
    struct tls_client_conf conf = conf_of(w, NAME, NAMED);

    expect(w, &conf, NAMED, TLS1_3_VERSION, true, "certificate required");
    expect(w, &conf, NAMED, TLS1_2_VERSION, true, "TLS with it fails: ");
    conf.cert = w->file[OTHER][0];
    conf.key = w->file[OTHER][1];
    expect(w, &conf, NAMED, TLS1_3_VERSION, true, NULL);
    expect(w, &conf, NAMED, TLS1_2_VERSION, true, NULL);
}

/* It is told no, and nothing waits for it. */
static void another_handshake_is_asked_for(void **state)
{
    const struct world *w = *state;
    const struct tls_client_conf conf = conf_of(w, NAME, NAMED);
    struct cert_error err;
    struct tls_client *c;
    struct server s;
    uint8_t got[256];

    assert_int_equal(tls_client_new(&conf, &c, &err), ST_OK);
    server_init(&s, w, NAMED, TLS1_2_VERSION, false);
    assert_int_equal(carry(c, &s), ST_OK);
    assert_int_equal(SSL_renegotiate(s.ssl), 1);
    assert_int_equal(SSL_do_handshake(s.ssl), 1); /* sends HelloRequest */
    int n = BIO_read(s.out, got, sizeof(got));
    assert_in_range(n, 1, sizeof(got) - 1);
    assert_int_equal(tls_client_feed(c, got, (size_t)n), ST_OK);
    assert_int_equal(tls_client_say(c, "PING", 4), ST_OK);
    server_fini(&s);
    tls_client_free(c);
}

static void it_does_not_speak_tls(void **state)
{
    const struct tls_client_conf conf = conf_of(*state, NAME, NAMED);
    static const char answer[] = "-ERR unknown command\r\n";
    struct cert_error err;
    struct tls_client *c;

    assert_int_equal(tls_client_new(&conf, &c, &err), ST_OK);
    assert_int_equal(tls_client_feed(c, "", 0), ST_MORE);
    assert_int_equal(tls_client_say(c, "PING", 4), ST_E_PROTO);
    assert_int_equal(tls_client_feed(c, answer, sizeof(answer) - 1), ST_E_PROTO);
    assert_string_equal(tls_client_error(c), "it does not speak TLS");
    tls_client_free(c);
}

static void files_that_are_of_no_use(void **state)
{
    const struct world *w = *state;
    const struct tls_client_conf good = conf_of(w, NAME, NAMED);
    const struct {
        const char *ca, *cert, *key, *text;
        enum status st;
    } cases[] = {
        {"/nowhere/ca.pem", "", "", "/nowhere/ca.pem: No such file", ST_E_CONFIG},
        {w->file[NAMED][1], "", "", "no roots in", ST_E_CONFIG},
        {w->dir, "", "", "not a regular file", ST_E_CONFIG},
        {w->pipe, "", "", "not a regular file", ST_E_CONFIG},
        {good.ca, "/nowhere/x.crt", w->file[OTHER][1], "cannot open", ST_E_NOTFOUND},
        {good.ca, w->file[OTHER][0], w->file[NAMED][1], "does not belong", ST_E_CONFIG},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tls_client_conf conf = good;
        struct cert_error err;
        struct tls_client *c;
        conf.ca = cases[i].ca;
        conf.cert = cases[i].cert;
        conf.key = cases[i].key;
        assert_int_equal(tls_client_new(&conf, &c, &err), cases[i].st);
        assert_null(c);
        if (strstr(err.text, cases[i].text) == NULL)
            fail_msg("case %zu: %s", i, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whom_it_believes),
        cmocka_unit_test(it_shows_a_certificate),
        cmocka_unit_test(another_handshake_is_asked_for),
        cmocka_unit_test(it_does_not_speak_tls),
        cmocka_unit_test(files_that_are_of_no_use),
    };
    return cmocka_run_group_tests_name("tls_client", tests, set_up, tear_down);
}
