#include "tls/pipe.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum status tls_pipe_init(struct tls_pipe *p, SSL_CTX *ctx)
{
    memset(p, 0, sizeof(*p));
    p->ssl = SSL_new(ctx);
    p->to_ssl = BIO_new(BIO_s_mem());
    p->from_ssl = BIO_new(BIO_s_mem());
    if (p->ssl == NULL || p->to_ssl == NULL || p->from_ssl == NULL) {
        SSL_free(p->ssl);
        BIO_free(p->to_ssl);
        BIO_free(p->from_ssl);
        memset(p, 0, sizeof(*p));
        ERR_clear_error();
        return ST_E_NOMEM;
    }
    SSL_set_bio(p->ssl, p->to_ssl, p->from_ssl);
    SSL_set_connect_state(p->ssl);
    return ST_OK;
}

void tls_pipe_fini(struct tls_pipe *p)
{
    SSL_free(p->ssl);
    memset(p, 0, sizeof(*p));
}

/* After a call that did not succeed. */
static enum status judge(struct tls_pipe *p, int ret)
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
    unsigned long cause = ERR_peek_error();
    const char *why = ERR_reason_error_string(cause);
    snprintf(p->error, sizeof(p->error), "%s", why != NULL ? why : "no TLS");
    p->reason = ERR_GET_LIB(cause) == ERR_LIB_SSL ? ERR_GET_REASON(cause) : 0;
    ERR_clear_error();
    p->failed = true;
    return ST_E_PROTO;
}

enum status tls_pipe_feed(struct tls_pipe *p, const void *in, size_t len)
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

size_t tls_pipe_take(struct tls_pipe *p, void *out, size_t cap)
{
    int n = cap > 0 && cap <= INT32_MAX ? BIO_read(p->from_ssl, out, (int)cap) : 0;
    return n > 0 ? (size_t)n : 0;
}

enum status tls_pipe_say(struct tls_pipe *p, const void *data, size_t len)
{
    ERR_clear_error();
    return p->ready && len <= INT32_MAX && SSL_write(p->ssl, data, (int)len) == (int)len
               ? ST_OK
               : ST_E_PROTO;
}

size_t tls_pipe_hear(struct tls_pipe *p, void *out, size_t cap)
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
