#include "tls/probe.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "tls/pipe.h"
#include "tls/record.h"

struct tls_probe {
    SSL_CTX *ctx;
    struct tls_pipe pipe;
    char name[256];
    int64_t now_s;
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

    return alpn == TLS_PROBE_NO_ALPN || SSL_set_alpn_protos(p->pipe.ssl, wire, len) == 0;
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
    if (tls_pipe_init(&p->pipe, p->ctx) != ST_OK)
        return false;
    return offer_alpn(p, alpn) &&
           (p->name[0] == '\0' || SSL_set_tlsext_host_name(p->pipe.ssl, p->name) == 1);
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
    tls_pipe_fini(&p->pipe);
    SSL_CTX_free(p->ctx);
    OPENSSL_free(p);
}

enum status tls_probe_feed(struct tls_probe *p, const void *in, size_t len)
{
    return tls_pipe_feed(&p->pipe, in, len);
}

size_t tls_probe_take(struct tls_probe *p, void *out, size_t cap)
{
    return tls_pipe_take(&p->pipe, out, cap);
}

enum status tls_probe_say(struct tls_probe *p, const void *data, size_t len)
{
    return tls_pipe_say(&p->pipe, data, len);
}

size_t tls_probe_hear(struct tls_probe *p, void *out, size_t cap)
{
    return tls_pipe_hear(&p->pipe, out, cap);
}

const char *tls_probe_error(const struct tls_probe *p)
{
    return p->pipe.error;
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
    X509 *leaf = SSL_get0_peer_certificate(p->pipe.ssl);
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(p->pipe.ssl);
    long verdict = SSL_get_verify_result(p->pipe.ssl);
    int days = 0, seconds = 0;

    memset(out, 0, sizeof(*out));
    out->version = (uint16_t)SSL_version(p->pipe.ssl);
    SSL_get0_alpn_selected(p->pipe.ssl, &alpn, &len);
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
