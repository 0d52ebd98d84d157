#include "tls/test_client.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

struct test_client {
    struct test_client_options opt;
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *to_ssl, *from_ssl; /* owned by ssl */
    BIO *data;
    size_t sent;
    bool ready, failed, eof, closed;
    int alert;
    char alpn[256];
    uint8_t secret[64];
    size_t secret_len;
};

static void see_alert(const SSL *ssl, int where, int ret)
{
    struct test_client *c = SSL_get_app_data(ssl);

    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && ret >> 8 == 2)
        c->alert = ret & 255;
}

/* A line is "LABEL <client random, hex> <secret, hex>". */
static void see_secret(const SSL *ssl, const char *line)
{
    static const char label[] = "CLIENT_HANDSHAKE_TRAFFIC_SECRET ";
    struct test_client *c = SSL_get_app_data(ssl);

    if (strncmp(line, label, sizeof(label) - 1) != 0)
        return;
    const char *hex = strchr(line + sizeof(label) - 1, ' ');
    if (hex == NULL ||
        OPENSSL_hexstr2buf_ex(c->secret, sizeof(c->secret), &c->secret_len, hex + 1, '\0') != 1)
        c->secret_len = 0;
}

static bool set_alpn(SSL *ssl, const char *names)
{
    uint8_t wire[256];
    size_t at = 0;

    while (*names != '\0') {
        size_t n = strcspn(names, ":");
        if (at + 1 + n > sizeof(wire))
            return false;
        wire[at] = (uint8_t)n;
        memcpy(wire + at + 1, names, n);
        at += 1 + n;
        names += n;
        names += *names == ':';
    }
    return SSL_set_alpn_protos(ssl, wire, (unsigned)at) == 0;
}

static bool apply(struct test_client *c)
{
    const struct test_client_options *o = &c->opt;

    SSL_set_app_data(c->ssl, c);
    SSL_set_info_callback(c->ssl, see_alert);
    if (o->bare)
        SSL_clear_options(c->ssl, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
    SSL_set_connect_state(c->ssl);
    return (o->version == 0 || (SSL_set_min_proto_version(c->ssl, o->version) == 1 &&
                                SSL_set_max_proto_version(c->ssl, o->version) == 1)) &&
           (o->suites == NULL || SSL_set_ciphersuites(c->ssl, o->suites) == 1) &&
           (o->ciphers == NULL || SSL_set_cipher_list(c->ssl, o->ciphers) == 1) &&
           (o->groups == NULL || SSL_set1_groups_list(c->ssl, o->groups) == 1) &&
           (o->sni == NULL || SSL_set_tlsext_host_name(c->ssl, o->sni) == 1) &&
           (o->alpn == NULL || set_alpn(c->ssl, o->alpn));
}

struct test_client *test_client_new(const struct test_client_options *o)
{
    struct test_client *c = OPENSSL_zalloc(sizeof(*c));

    if (c == NULL)
        return NULL;
    c->opt = *o;
    c->alert = -1;
    c->ctx = SSL_CTX_new(TLS_client_method());
    if (c->ctx != NULL)
        SSL_CTX_set_keylog_callback(c->ctx, see_secret);
    c->ssl = c->ctx != NULL ? SSL_new(c->ctx) : NULL;
    c->data = BIO_new(BIO_s_mem());
    if (c->ssl != NULL && c->data != NULL) {
        c->to_ssl = BIO_new(BIO_s_mem());
        c->from_ssl = BIO_new(BIO_s_mem());
        SSL_set_bio(c->ssl, c->to_ssl, c->from_ssl);
        if (c->to_ssl != NULL && c->from_ssl != NULL && apply(c))
            return c;
    }
    test_client_free(c);
    return NULL;
}

void test_client_free(struct test_client *c)
{
    if (c == NULL)
        return;
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    BIO_free(c->data);
    OPENSSL_free(c);
}

/* After a call that did not succeed: notes an error or the end. */
static void judge(struct test_client *c, int ret)
{
    int e = SSL_get_error(c->ssl, ret);

    if (e == SSL_ERROR_ZERO_RETURN)
        c->eof = true;
    else if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
        c->failed = true;
    ERR_clear_error();
}

static void read_all(struct test_client *c)
{
    uint8_t buf[16384];

    while (!c->eof && !c->failed) {
        int n = SSL_read(c->ssl, buf, sizeof(buf));
        if (n > 0)
            BIO_write(c->data, buf, n);
        else
            judge(c, n);
        if (n <= 0)
            return;
    }
}

static void go_on(struct test_client *c)
{
    if (!c->ready && !c->failed) {
        int ret = SSL_do_handshake(c->ssl);
        c->ready = ret == 1;
        if (!c->ready)
            judge(c, ret);
        if (c->ready && c->opt.send_len > 0)
            test_client_send(c, c->opt.send, c->opt.send_len);
        if (c->ready && c->opt.close)
            test_client_close(c);
    }
    if (c->ready)
        read_all(c);
}

size_t test_client_talk(struct test_client *c, const uint8_t *in, size_t len, uint8_t *out,
                        size_t cap)
{
    ERR_clear_error();
    if (len > 0)
        BIO_write(c->to_ssl, in, (int)len);
    go_on(c);
    int n = cap > 0 ? BIO_read(c->from_ssl, out, (int)cap) : 0;
    return n > 0 ? (size_t)n : 0;
}

bool test_client_send(struct test_client *c, const uint8_t *data, size_t len)
{
    int ret = SSL_write(c->ssl, data, (int)len);

    if (ret <= 0)
        judge(c, ret);
    return ret == (int)len;
}

bool test_client_update(struct test_client *c, bool ask)
{
    return SSL_key_update(c->ssl, ask ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) ==
               1 &&
           SSL_do_handshake(c->ssl) == 1;
}

void test_client_close(struct test_client *c)
{
    if (!c->closed)
        (void)SSL_shutdown(c->ssl);
    c->closed = true;
}

bool test_client_ready(const struct test_client *c)
{
    return c->ready;
}

bool test_client_failed(const struct test_client *c)
{
    return c->failed;
}

bool test_client_eof(const struct test_client *c)
{
    return c->eof;
}

int test_client_alert(const struct test_client *c)
{
    return c->alert;
}

const uint8_t *test_client_data(const struct test_client *c, size_t *len)
{
    char *p = NULL;
    long n = BIO_get_mem_data(c->data, &p);

    *len = n > 0 ? (size_t)n : 0;
    return (const uint8_t *)p;
}

const char *test_client_alpn(const struct test_client *c)
{
    const unsigned char *name;
    unsigned len;
    struct test_client *w = (struct test_client *)(uintptr_t)c;

    SSL_get0_alpn_selected(c->ssl, &name, &len);
    memcpy(w->alpn, name != NULL ? (const char *)name : "", name != NULL ? len : 0);
    w->alpn[name != NULL ? len : 0] = '\0';
    return w->alpn;
}

bool test_client_is_tls13(const struct test_client *c)
{
    return SSL_version(c->ssl) == TLS1_3_VERSION;
}

const char *test_client_suite(const struct test_client *c)
{
    return SSL_get_cipher_name(c->ssl);
}

const uint8_t *test_client_handshake_secret(const struct test_client *c, size_t *len)
{
    *len = c->secret_len;
    return c->secret_len > 0 ? c->secret : NULL;
}

int test_client_chain_len(const struct test_client *c)
{
    return sk_X509_num(SSL_get_peer_cert_chain(c->ssl));
}
