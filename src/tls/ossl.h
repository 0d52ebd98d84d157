/* tls/ossl.h - server handshakes by OpenSSL, fed record by record from our queues; TLS 1.2
 * connections live on here, TLS 1.3 ones hand their traffic secrets to tls/record.h and are
 * freed.
 *
 * struct ossl_conf is made once a node and read by all workers. struct ossl is one connection:
 * about 45 KiB of the library's memory, so it is made when the whole ClientHello is there and
 * not before.
 * Life: ossl_init -> ossl_handshake* -> (ossl_take_keys | (ossl_read | ossl_write |
 * ossl_close)*) -> ossl_fini. */
#ifndef TLS_OSSL_H
#define TLS_OSSL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "tls/cert.h"
#include "tls/record.h"

/* The vendor's types, by their tags. */
struct ssl_ctx_st;
struct ssl_st;
struct bio_method_st;

#define OSSL_GROUPS 8u

struct ossl_settings {
    const struct cert *cert; /* referenced, not taken */
    const char *const *alpn; /* in the server's order of preference; none: ALPN is not negotiated */
    size_t alpn_count;
    bool reject_unknown_sni;
    uint16_t min_version, max_version; /* 0x0303, 0x0304; 0: 1.2 and 1.3 */
    const char *ciphers12; /* names of RFC suites, colons between; NULL: ECDHE with AEAD */
    const char *groups;    /* library names, colons between; NULL: ours */
};

struct ossl_conf {
    struct ssl_ctx_st *ctx;
    struct bio_method_st *bio;
    const char *const *names; /* of the certificate; only with reject_sni */
    size_t name_count;
    bool reject_sni;
    uint8_t alpn[256]; /* wire form */
    uint16_t alpn_len;
    uint16_t groups[OSSL_GROUPS]; /* numbers in order of preference; 0 groups: not all are known */
    uint8_t group_count;
};

/* Makes the shared part; names are put in @a. ST_OK; ST_E_CONFIG with @err; ST_E_NOMEM;
 * ST_E_CRYPTO. After an error nothing is left to free. */
NODISCARD enum status ossl_conf_init(struct ossl_conf *c, struct arena *a,
                                     const struct ossl_settings *s, struct cert_error *err);
/* Connections that still run keep what they need. */
void ossl_conf_fini(struct ossl_conf *c);

struct ossl {
    struct ssl_st *ssl;
    const struct ossl_conf *conf;
    /* For the duration of one call: */
    struct pool *pool;
    struct bufq *in, *out;
    uint32_t window; /* bytes of @in the library may read: the rest of one record */
    uint8_t flags;   /* enum span_flags for the next byte written */
    bool nomem;
    /* From then on: */
    uint8_t alert; /* a fatal alert we sent in the clear; 0: none seen */
    bool eof;      /* the peer said close_notify (TLS 1.2) */
    uint8_t idle;  /* TLS 1.2: records in a row that brought no data */
    uint8_t secret_len;
    uint8_t client_secret[RECORD_SECRET_MAX], server_secret[RECORD_SECRET_MAX];
};

/* @o zeroed by the caller, at one place until ossl_fini. ST_OK or ST_E_NOMEM. */
NODISCARD enum status ossl_init(struct ossl *o, const struct ossl_conf *c);
/* Wipes and frees; safe on a zeroed one. */
void ossl_fini(struct ossl *o);

/* Goes on with the handshake as far as whole records in @in allow; answers and alerts go to
 * @out.
 *   ST_OK done, and what is left in @in was not looked at; ST_MORE; ST_E_PROTO, ST_E_REFUSED
 *   (name or protocol not served), ST_E_CLOSED (the peer sent an alert or is gone), ST_E_NOMEM,
 *   each with @why. */
NODISCARD enum status ossl_handshake(struct ossl *o, struct pool *p, struct bufq *in,
                                     struct bufq *out, struct why *why);
/* After the handshake. */
bool ossl_is_tls13(const struct ossl *o);
/* The host name the client asked for and the protocol chosen; NULL or length 0: none. Borrowed. */
const char *ossl_sni(const struct ossl *o);
const uint8_t *ossl_alpn(const struct ossl *o, unsigned *len);

/* TLS 1.3: keys of both directions after the handshake. ST_OK, ST_E_CRYPTO. */
NODISCARD enum status ossl_take_keys(const struct ossl *o, struct crypto_ctx *cc,
                                     struct record_keys *rx, struct record_keys *tx);

/* TLS 1.2. Opens whole records of @in into @up; answers go to @out; sets up->eof at close_notify.
 * ST_OK, ST_MORE, ST_FULL, or an error as ossl_handshake; ST_E_LIMIT: a flood of records without
 * data. */
NODISCARD enum status ossl_read(struct ossl *o, struct pool *p, struct bufq *in, struct bufq *up,
                                struct bufq *out, struct why *why);
/* Seals @down into @out, a record a span; small ones share a record unless SPAN_EDGE or
 * SPAN_ALONE forbid it. ST_OK, ST_FULL, or an error as ossl_handshake. */
NODISCARD enum status ossl_write(struct ossl *o, struct pool *p, struct bufq *down,
                                 struct bufq *out, struct why *why);
/* Says close_notify. ST_OK, or an error as ossl_handshake. */
NODISCARD enum status ossl_close(struct ossl *o, struct pool *p, struct bufq *out, struct why *why);

#endif
