#include "tls/client.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tls/pipe.h"

#define HOST_MAX 255u

struct tls_client {
    SSL_CTX *ctx;
    struct tls_pipe pipe;
    char error[160];
};

static enum status refuse(struct cert_error *err, const char *what, const char *path)
{
    unsigned long cause = ERR_peek_error();
    const char *why = ERR_SYSTEM_ERROR(cause) ? strerror((int)ERR_GET_REASON(cause))
                                              : ERR_reason_error_string(cause);

    snprintf(err->text, sizeof(err->text), "%s %.150s: %s", what, path,
             why != NULL ? why : "nothing usable");
    ERR_clear_error();
    return ST_E_CONFIG;
}

static enum status set_roots(struct tls_client *c, const char *ca, struct cert_error *err)
{
    struct stat info;

    if (ca[0] == '\0') {
        /* Without any nobody is trusted, which the handshake then says. */
        (void)SSL_CTX_set_default_verify_paths(c->ctx);
        ERR_clear_error();
        return ST_OK;
    }
    /* The library would wait for somebody to write to a pipe, and read a device without an end. */
    if (stat(ca, &info) == 0 && !S_ISREG(info.st_mode)) {
        snprintf(err->text, sizeof(err->text), "no roots in %.150s: not a regular file", ca);
        return ST_E_CONFIG;
    }
    return SSL_CTX_load_verify_file(c->ctx, ca) == 1 ? ST_OK : refuse(err, "no roots in", ca);
}

/* The library checks it together with the chain, so that no byte is sent to anybody else. */
static bool set_name(struct tls_client *c, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(c->pipe.ssl);
    size_t len = strlen(name);
    char host[HOST_MAX + 1];

    if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1)
        return true;
    ERR_clear_error();
    /* "redis.example." is how resolvers know an absolute name, not certificates nor SNI (RFC 6066
     * section 3). An empty name would be any to the library. */
    if (len > 1 && name[len - 1] == '.')
        len--;
    if (len == 0 || len > HOST_MAX)
        return false;
    memcpy(host, name, len);
    host[len] = '\0';
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, host, len) == 1 &&
           SSL_set_tlsext_host_name(c->pipe.ssl, host) == 1;
}

static enum status show_cert(struct tls_client *c, const struct tls_client_conf *conf,
                             struct cert_error *err)
{
    struct cert own;
    enum status st = ST_OK;

    if (conf->cert[0] == '\0')
        return ST_OK;
    st = cert_load(&own, conf->cert, conf->key, err);
    if (st != ST_OK)
        return st;
    if (SSL_use_cert_and_key(c->pipe.ssl, own.leaf, own.key, own.chain, 1) != 1)
        st = refuse(err, "cannot use", conf->cert);
    cert_fini(&own);
    return st;
}

enum status tls_client_new(const struct tls_client_conf *conf, struct tls_client **out,
                           struct cert_error *err)
{
    struct tls_client *c = OPENSSL_zalloc(sizeof(*c));
    enum status st = ST_E_NOMEM;

    *out = NULL;
    err->text[0] = '\0';
    if (c == NULL)
        return st;
    c->ctx = SSL_CTX_new(TLS_client_method());
    if (c->ctx == NULL || SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION) != 1)
        goto out;
    /* A server of TLS 1.2 may ask for another handshake: nothing could be sealed meanwhile. */
    SSL_CTX_set_options(c->ctx, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_verify(c->ctx, conf->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if ((st = set_roots(c, conf->ca, err)) != ST_OK ||
        (st = tls_pipe_init(&c->pipe, c->ctx)) != ST_OK)
        goto out;
    st = set_name(c, conf->name) ? show_cert(c, conf, err) : ST_E_NOMEM;
out:
    ERR_clear_error();
    if (st == ST_OK)
        *out = c;
    else
        tls_client_free(c);
    return st;
}

void tls_client_free(struct tls_client *c)
{
    if (c == NULL)
        return;
    tls_pipe_fini(&c->pipe);
    SSL_CTX_free(c->ctx);
    OPENSSL_free(c);
}

static void explain(struct tls_client *c)
{
    switch (c->pipe.reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        snprintf(c->error, sizeof(c->error), "its certificate is refused: %s",
                 X509_verify_cert_error_string(SSL_get_verify_result(c->pipe.ssl)));
        break;
    case SSL_R_WRONG_VERSION_NUMBER:
        snprintf(c->error, sizeof(c->error), "it does not speak TLS");
        break;
    default:
        snprintf(c->error, sizeof(c->error), "TLS with it fails: %s", c->pipe.error);
    }
}

enum status tls_client_feed(struct tls_client *c, const void *in, size_t len)
{
    enum status st = tls_pipe_feed(&c->pipe, in, len);

    if (st == ST_E_PROTO && c->error[0] == '\0')
        explain(c);
    return st;
}

size_t tls_client_take(struct tls_client *c, void *out, size_t cap)
{
    return tls_pipe_take(&c->pipe, out, cap);
}

enum status tls_client_say(struct tls_client *c, const void *data, size_t len)
{
    return tls_pipe_say(&c->pipe, data, len);
}

size_t tls_client_hear(struct tls_client *c, void *out, size_t cap)
{
    return tls_pipe_hear(&c->pipe, out, cap);
}

const char *tls_client_error(const struct tls_client *c)
{
    return c->error;
}
