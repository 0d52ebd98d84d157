#include "tls/test_server.h"

#include <openssl/pem.h>
#include <string.h>

#include "tls/cert.h"

static int choose(SSL *ssl, const unsigned char **out, unsigned char *outlen,
                  const unsigned char *in, unsigned inlen, void *arg)
{
    const char *ours = arg;
    unsigned char *chosen;

    (void)ssl;
    if (SSL_select_next_proto(&chosen, outlen, (const unsigned char *)ours, (unsigned)strlen(ours),
                              in, inlen) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

SSL_CTX *test_server_new(const char *alpn)
{
    struct cert_pem pem;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (ctx == NULL || cert_self_signed("target.example", &pem) != ST_OK) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    BIO *b = BIO_new_mem_buf(pem.chain, -1);
    X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
    BIO_free(b);
    b = BIO_new_mem_buf(pem.key, -1);
    EVP_PKEY *k = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
    BIO_free(b);
    bool good = SSL_CTX_use_certificate(ctx, x) == 1 && SSL_CTX_use_PrivateKey(ctx, k) == 1;
    X509_free(x);
    EVP_PKEY_free(k);
    SSL_CTX_set_alpn_select_cb(ctx, choose, (void *)(uintptr_t)alpn);
    if (good)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}
