/* tls/accept.h - TLS 1.3 server handshakes of our own for ordinary hellos (RFC 8446). Pure: a
 * function of messages, keys and random bytes given.
 *
 * An ordinary hello offers TLS 1.3, one of our three suites, a key share of the server's first
 * group and a scheme our key can sign with, and holds nothing that OpenSSL's server would refuse,
 * answer by a HelloRetryRequest or take for a resumption. Everything else is for tls/ossl.h; so
 * whatever refuses a hello, its alert is OpenSSL's. On the wire the answer has the form of
 * OpenSSL's: same extensions in the same order, a record a message.
 *
 * struct accept_conf is made once a node and read by all workers. struct accept is one handshake.
 * Life: accept_hello -> accept_finish until it is not ST_MORE -> accept_wipe. */
#ifndef TLS_ACCEPT_H
#define TLS_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "crypto/hash.h"
#include "tls/hello.h"
#include "tls/ossl.h"
#include "tls/record.h"
#include "tls/sign.h"

struct rng;

/* Certificate message; a longer chain leaves its node to OpenSSL. With it a whole flight fits a
 * blk. */
#define ACCEPT_CERTIFICATE_MAX (12u * 1024)

struct accept_conf {
    struct sign_key key;
    const struct ossl_conf *ossl; /* names and protocols */
    const uint8_t *certificate;   /* the message, with its header */
    size_t certificate_len;
    uint16_t leaf_scheme; /* the leaf is signed with it; 0: some other */
};

/* @o was made from @s and outlives @c; the certificate goes to @a. ST_OK; ST_E_UNSUPPORTED: all
 * handshakes of this node are OpenSSL's; ST_E_NOMEM. After an error nothing is left to free. */
NODISCARD enum status accept_conf_init(struct accept_conf *c, struct arena *a,
                                       const struct ossl_conf *o, const struct ossl_settings *s);
void accept_conf_fini(struct accept_conf *c);

/* What becomes of an ordinary hello. Views into the hello and the configuration. */
struct accept_choice {
    uint16_t suite;      /* enum record_suite */
    uint16_t group;      /* enum tls_group */
    const uint8_t *peer; /* the client's share */
    const uint8_t *alpn; /* length and name; NULL: none */
    bool sni;            /* to be acknowledged */
};

/* True if @h is an ordinary hello for @c. */
bool accept_choose(const struct accept_conf *c, const struct hello *h,
                   struct accept_choice *choice);

/* What the client's Finished needs. Secret. */
struct accept {
    struct record_keys handshake; /* the client's */
    uint8_t finished[HASH_MAX_LEN];
    uint8_t finished_len;
    uint8_t skipped;  /* change_cipher_spec records that came */
    uint8_t warnings; /* alerts that end nothing */
    uint8_t have;     /* bytes in message */
    uint8_t message[4 + HASH_MAX_LEN];
};

/* One call's surroundings. */
struct accept_env {
    struct crypto_ctx *cc;
    struct rng *rng;
    struct pool *pool;
};

/* Judges the ClientHello @msg, which @h was parsed from, and if it is ordinary appends the whole
 * flight to @out and sets the keys of both directions for after the handshake; alerts go out under
 * @tx from now on. ST_OK with @choice. ST_E_UNSUPPORTED: nothing was done, the hello is OpenSSL's.
 * ST_E_NOMEM, ST_E_CRYPTO: nothing was sent, and only accept_wipe may be called. */
NODISCARD enum status accept_hello(struct accept *a, const struct accept_conf *c,
                                   const struct accept_env *env, const uint8_t *msg, size_t len,
                                   struct accept_choice *choice, struct hello *h,
                                   struct record_keys *rx, struct record_keys *tx,
                                   struct bufq *out);
/* Eats the client's second flight from the head of @in. ST_OK; ST_MORE; ST_E_PROTO, ST_E_LIMIT,
 * ST_E_AUTH with note->alert; ST_E_CLOSED with note->peer_alert (0: close_notify); ST_E_CRYPTO. */
NODISCARD enum status accept_finish(struct accept *a, const struct accept_env *env, struct bufq *in,
                                    struct record_note *note);
void accept_wipe(struct accept *a);

#endif
