#include "tls/ossl.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "crypto/mem.h"
#include "tls/alert.h"
#include "tls/ossl_io.h"

#define IDLE_MAX  32u   /* as in tls/record_open.c */
#define COPY_MAX  256u  /* as in tls/record_open.c */
#define MERGE_MAX 4096u /* as in tls/record_seal.c */

enum status ossl_init(struct ossl *o, const struct ossl_conf *c)
{
    BIO *bio;

    ERR_clear_error();
    o->conf = c;
    o->ssl = SSL_new(c->ctx);
    if (o->ssl == NULL)
        return ST_E_NOMEM;
    bio = BIO_new(c->bio);
    if (bio == NULL) {
        ossl_fini(o);
        return ST_E_NOMEM;
    }
    BIO_set_data(bio, o);
    SSL_set_bio(o->ssl, bio, bio);
    SSL_set_app_data(o->ssl, o);
    SSL_set_accept_state(o->ssl);
    return ST_OK;
}

void ossl_fini(struct ossl *o)
{
    SSL_free(o->ssl);
    crypto_wipe(o, sizeof(*o));
}

static void lend(struct ossl *o, struct pool *p, struct bufq *in, struct bufq *out)
{
    ERR_clear_error();
    o->pool = p;
    o->in = in;
    o->out = out;
    o->flags = 0;
    o->window = 0;
}

static void take_back(struct ossl *o)
{
    o->in = o->out = NULL;
    o->pool = NULL;
}

/* Why the library gave up, from its error queue. Reasons from 1000 on are alerts that came from
 * the peer. */
static enum status explain(struct ossl *o, struct why *why)
{
    unsigned long e = ERR_peek_error();
    int reason = ERR_GET_REASON(e);

    ERR_clear_error();
    if (o->nomem)
        return why_set(why, ST_E_NOMEM, "no memory for a TLS record", 0);
    if (ERR_GET_LIB(e) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET)
        return why_set(why, ST_E_CLOSED, "the client sent a TLS alert",
                       reason - SSL_AD_REASON_OFFSET);
    if (o->alert == TLS_ALERT_UNRECOGNIZED_NAME)
        return why_set(why, ST_E_REFUSED, "TLS server name not served", o->alert);
    if (o->alert == TLS_ALERT_NO_APPLICATION_PROTOCOL)
        return why_set(why, ST_E_REFUSED, "no TLS application protocol in common", o->alert);
    if (ERR_GET_LIB(e) == ERR_LIB_SSL && reason == ERR_R_MALLOC_FAILURE)
        return why_set(why, ST_E_NOMEM, "no memory for TLS", 0);
    /* ERR_reason_error_string gives static text of the library's tables. */
    const char *text = e != 0 ? ERR_reason_error_string(e) : NULL;
    return why_set(why, ST_E_PROTO, text != NULL ? text : "TLS handshake failed", o->alert);
}

/* After a call of the library that did not succeed: ST_OK when the next record may bring it on. */
static enum status go_on(struct ossl *o, int ret, struct why *why)
{
    switch (SSL_get_error(o->ssl, ret)) {
    case SSL_ERROR_WANT_READ:
        return o->nomem ? explain(o, why) : ST_OK;
    case SSL_ERROR_ZERO_RETURN:
        o->eof = true;
        return ST_OK;
    default:
        return explain(o, why);
    }
}

enum status ossl_handshake(struct ossl *o, struct pool *p, struct bufq *in, struct bufq *out,
                           struct why *why)
{
    enum status st;

    lend(o, p, in, out);
    do {
        st = ossl_next_record(o);
        if (st != ST_OK)
            break;
        int ret = SSL_do_handshake(o->ssl);
        if (ret == 1)
            break;
        st = go_on(o, ret, why);
        if (st == ST_OK && o->eof)
            st = why_set(why, ST_E_CLOSED, "the client left during the TLS handshake", 0);
    } while (st == ST_OK);
    take_back(o);
    if (st == ST_MORE && in->eof)
        st = why_set(why, ST_E_CLOSED, "the client left during the TLS handshake", 0);
    return st;
}

bool ossl_is_tls13(const struct ossl *o)
{
    return SSL_version(o->ssl) == TLS1_3_VERSION;
}

const char *ossl_sni(const struct ossl *o)
{
    return SSL_get_servername(o->ssl, TLSEXT_NAMETYPE_host_name);
}

const uint8_t *ossl_alpn(const struct ossl *o, unsigned *len)
{
    const unsigned char *name;

    SSL_get0_alpn_selected(o->ssl, &name, len);
    return name;
}

enum status ossl_take_keys(const struct ossl *o, struct crypto_ctx *cc, struct record_keys *rx,
                           struct record_keys *tx)
{
    uint16_t suite = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(o->ssl));
    enum status st = record_keys_init(rx, cc, suite, o->client_secret, o->secret_len);

    if (st == ST_OK)
        st = record_keys_init(tx, cc, suite, o->server_secret, o->secret_len);
    return st;
}

/* ---- TLS 1.2 --------------------------------------------------------------------------------- */

/* Takes over @s: small pieces are copied behind what is queued, so that a peer who sends a byte
 * at a time does not hold one blk a byte. */
static enum status deliver(struct ossl *o, struct span *s, struct bufq *up)
{
    if (s->len > COPY_MAX) {
        bufq_push(up, s);
        return ST_OK;
    }
    enum status st = bufq_put(up, span_data(s), s->len, o->pool);
    span_free(o->pool, s);
    return st;
}

/* Reads one record, which lies in the window, into @up. ST_OK or an error. */
static enum status read_record(struct ossl *o, struct bufq *up, struct why *why)
{
    /* A record is known to carry no more than it has on the wire. */
    uint32_t want = o->window < BLK_SMALL_DATA ? BLK_SMALL_DATA : BLK_DATA;
    struct span *s = span_new_for(o->pool, want);
    size_t got = 0;

    if (s == NULL)
        return why_set(why, ST_E_NOMEM, "no memory for a TLS record", 0);
    int ret = SSL_read_ex(o->ssl, span_data(s), want, &got);
    s->len = (uint32_t)got;
    if (ret == 1) {
        o->idle = 0;
        if (deliver(o, s, up) != ST_OK)
            return why_set(why, ST_E_NOMEM, "no memory for a TLS record", 0);
        return ST_OK;
    }
    span_free(o->pool, s);
    /* Refused renegotiations are answered by alerts, which must not pile up. */
    if (++o->idle > IDLE_MAX)
        return why_set(why, ST_E_LIMIT, "too many TLS records without data", 0);
    return go_on(o, ret, why);
}

enum status ossl_read(struct ossl *o, struct pool *p, struct bufq *in, struct bufq *up,
                      struct bufq *out, struct why *why)
{
    enum status st = ST_OK;

    lend(o, p, in, out);
    while (st == ST_OK && !o->eof && in->bytes > 0) {
        if (bufq_room(up) == 0) {
            st = ST_FULL;
            break;
        }
        st = ossl_next_record(o);
        if (st == ST_OK)
            st = read_record(o, up, why);
    }
    take_back(o);
    if (o->eof) {
        up->eof = true;
        bufq_clear(in, p);
    }
    return st;
}

static enum status write_bytes(struct ossl *o, const uint8_t *data, size_t len, struct why *why)
{
    size_t put;

    /* Our BIO takes everything, so a write is whole or failed. */
    if (SSL_write_ex(o->ssl, data, len, &put) == 1)
        return ST_OK;
    return explain(o, why);
}

/* Bytes that go into the next record: the first span and the small ones behind it. */
static uint32_t plan(const struct span *first)
{
    uint32_t n = first->len;

    if (first->flags & SPAN_ALONE)
        return n;
    for (const struct span *s = first->next; s != NULL && s->flags == 0 && n + s->len <= MERGE_MAX;
         s = s->next)
        n += s->len;
    return n;
}

enum status ossl_write(struct ossl *o, struct pool *p, struct bufq *down, struct bufq *out,
                       struct why *why)
{
    enum status st = ST_OK;

    lend(o, p, NULL, out);
    while (st == ST_OK && down->head != NULL) {
        if (down->head->len == 0) {
            span_free(p, bufq_pop(down));
            continue;
        }
        if (bufq_room(out) == 0) {
            st = ST_FULL;
            break;
        }
        uint32_t n = plan(down->head);
        uint8_t flags = down->head->flags;
        const uint8_t *data =
            n == down->head->len ? span_data(down->head) : bufq_pullup(down, n, p);
        if (data == NULL) {
            st = why_set(why, ST_E_NOMEM, "no memory for a TLS record", 0);
            break;
        }
        o->flags = flags;
        st = write_bytes(o, data, n, why);
        bufq_drop(down, n, p);
    }
    take_back(o);
    return st;
}

enum status ossl_close(struct ossl *o, struct pool *p, struct bufq *out, struct why *why)
{
    lend(o, p, NULL, out);
    int ret = SSL_shutdown(o->ssl);
    enum status st = ret < 0 ? explain(o, why) : ST_OK;
    take_back(o);
    return st;
}
