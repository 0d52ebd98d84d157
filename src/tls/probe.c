#include "tls/probe.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "tls/record.h"

struct tls_probe {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *to_ssl, *from_ssl; /* owned by ssl */
    char name[256];
    int64_t now_s;
    bool ready, eof, failed;
    char error[128];
};

static const char *suite_name(uint16_t suite)
{
    switch (suite) {
    case RECORD_AES_128_GCM_SHA256:
        return "TLS_AES_128_GCM_SHA256";
    case RECORD_AES_256_GCM_SHA384:
        return "TLS_AES_256_GCM_SHA384";
    case RECORD_CHACHA20_POLY1305_SHA256:
        return "TLS_CHACHA20_POLY1305_SHA256";
    default:
        return NULL;
    }
}

static bool offer_alpn(struct tls_probe *p, enum tls_probe_alpn alpn)
{
    static const uint8_t both[] = "\x02h2\x08http/1.1";
    const uint8_t *wire = alpn == TLS_PROBE_HTTP11 ? both + 3 : both;
    unsigned len = (unsigned)(sizeof(both) - 1 - (size_t)(wire - both));

    return alpn == TLS_PROBE_NO_ALPN || SSL_set_alpn_protos(p->ssl, wire, len) == 0;
}

/* @suite NULL: whatever the library offers. */
static bool set_up(struct tls_probe *p, enum tls_probe_alpn alpn, const char *suite)
{
    p->ctx = SSL_CTX_new(TLS_client_method());
    if (p->ctx == NULL)
        return false;
    if (suite != NULL && (SSL_CTX_set_min_proto_version(p->ctx, TLS1_3_VERSION) != 1 ||
                          SSL_CTX_set_ciphersuites(p->ctx, suite) != 1))
        return false;
    /* The chain is judged afterwards; without roots it is merely not trusted. */
    if (suite == NULL)
        (void)SSL_CTX_set_default_verify_paths(p->ctx);
    SSL_CTX_set_verify(p->ctx, SSL_VERIFY_NONE, NULL);
    p->ssl = SSL_new(p->ctx);
    if (p->ssl == NULL)
        return false;
    p->to_ssl = BIO_new(BIO_s_mem());
    p->from_ssl = BIO_new(BIO_s_mem());
    if (p->to_ssl == NULL || p->from_ssl == NULL) {
        BIO_free(p->to_ssl);
        BIO_free(p->from_ssl);
        return false;
    }
    SSL_set_bio(p->ssl, p->to_ssl, p->from_ssl);
    SSL_set_connect_state(p->ssl);
    return offer_alpn(p, alpn) &&
           (p->name[0] == '\0' || SSL_set_tlsext_host_name(p->ssl, p->name) == 1);
}

static enum status make(const char *name, enum tls_probe_alpn alpn, const char *suite,
                        int64_t now_s, struct tls_probe **out)
{
    struct tls_probe *p = OPENSSL_zalloc(sizeof(*p));

    *out = NULL;
    if (p == NULL)
        return ST_E_NOMEM;
    p->now_s = now_s;
    snprintf(p->name, sizeof(p->name), "%s", name);
    if (!set_up(p, alpn, suite)) {
        tls_probe_free(p);
        ERR_clear_error();
        return ST_E_CRYPTO;
    }
    *out = p;
    return ST_OK;
}

enum status tls_probe_new(const char *name, enum tls_probe_alpn alpn, int64_t now_s,
                          struct tls_probe **out)
{
    return make(name, alpn, NULL, now_s, out);
}

enum status tls_probe_new_suite(const char *name, enum tls_probe_alpn alpn, uint16_t suite,
                                struct tls_probe **out)
{
    *out = NULL;
    return suite_name(suite) != NULL ? make(name, alpn, suite_name(suite), 0, out)
                                     : ST_E_UNSUPPORTED;
}

void tls_probe_free(struct tls_probe *p)
{
    if (p == NULL)
        return;
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
    OPENSSL_free(p);
}

/* After a call that did not succeed. */
static enum status judge(struct tls_probe *p, int ret)
{
    int e = SSL_get_error(p->ssl, ret);

    if (e == SSL_ERROR_ZERO_RETURN) {
        p->eof = true;
        return ST_EOF;
    }
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
        ERR_clear_error();
        return p->ready ? ST_OK : ST_MORE;
    }
    const char *why = ERR_reason_error_string(ERR_peek_error());
    snprintf(p->error, sizeof(p->error), "%s", why != NULL ? why : "no TLS");
    ERR_clear_error();
    p->failed = true;
    return ST_E_PROTO;
}

enum status tls_probe_feed(struct tls_probe *p, const void *in, size_t len)
{
    char byte;

    if (p->failed || p->eof)
        return p->failed ? ST_E_PROTO : ST_EOF;
    ERR_clear_error();
    if (len > INT32_MAX || (len > 0 && BIO_write(p->to_ssl, in, (int)len) != (int)len))
        return ST_E_NOMEM;
    if (!p->ready) {
        int ret = SSL_do_handshake(p->ssl);
        if (ret != 1)
            return judge(p, ret);
        p->ready = true;
    }
    /* Looks at what has come, so that errors and the end show here. */
    int ret = SSL_peek(p->ssl, &byte, 1);
    return ret > 0 ? ST_OK : judge(p, ret);
}

size_t tls_probe_take(struct tls_probe *p, void *out, size_t cap)
{
    int n = cap > 0 && cap <= INT32_MAX ? BIO_read(p->from_ssl, out, (int)cap) : 0;
    return n > 0 ? (size_t)n : 0;
}

enum status tls_probe_say(struct tls_probe *p, const void *data, size_t len)
{
    ERR_clear_error();
    return p->ready && len <= INT32_MAX && SSL_write(p->ssl, data, (int)len) == (int)len
               ? ST_OK
               : ST_E_PROTO;
}

size_t tls_probe_hear(struct tls_probe *p, void *out, size_t cap)
{
    size_t got = 0;

    if (!p->ready || p->failed)
        return 0;
    ERR_clear_error();
    while (got < cap) {
        int room = cap - got > 16384 ? 16384 : (int)(cap - got);
        int n = SSL_read(p->ssl, (char *)out + got, room);
        if (n <= 0) {
            (void)judge(p, n);
            break;
        }
        got += (size_t)n;
    }
    return got;
}

const char *tls_probe_error(const struct tls_probe *p)
{
    return p->error;
}

static bool covers(X509 *leaf, const char *name)
{
    return X509_check_host(leaf, name, strlen(name), 0, NULL) == 1 ||
           X509_check_ip_asc(leaf, name, 0) == 1;
}

void tls_probe_facts(const struct tls_probe *p, struct tls_probe_facts *out)
{
    const unsigned char *alpn = NULL;
    unsigned len = 0;
    X509 *leaf = SSL_get0_peer_certificate(p->ssl);
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(p->ssl);
    long verdict = SSL_get_verify_result(p->ssl);
    int days = 0, seconds = 0;

    memset(out, 0, sizeof(*out));
    out->version = (uint16_t)SSL_version(p->ssl);
    SSL_get0_alpn_selected(p->ssl, &alpn, &len);
    snprintf(out->alpn, sizeof(out->alpn), "%.*s", (int)len,
             alpn != NULL ? (const char *)alpn : "");
    for (int i = 0; i < sk_X509_num(chain); i++) {
        int n = i2d_X509(sk_X509_value(chain, i), NULL);
        out->chain_bytes += n > 0 ? (size_t)n : 0;
    }
    out->trusted = leaf != NULL && verdict == X509_V_OK;
    if (!out->trusted)
        snprintf(out->doubt, sizeof(out->doubt), "%s", X509_verify_cert_error_string(verdict));
    if (leaf == NULL)
        return;
    out->covers_name = covers(leaf, p->name);
    ASN1_TIME *now = ASN1_TIME_set(NULL, p->now_s);
    if (now != NULL && ASN1_TIME_diff(&days, &seconds, now, X509_get0_notAfter(leaf)) == 1)
        out->expires_s = (int64_t)days * 86400 + seconds;
    ASN1_TIME_free(now);
    ERR_clear_error();
}
