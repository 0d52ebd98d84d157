/* tls/flight.h - our half of a TLS 1.3 handshake in the shape of another server's (xtls/reality
 * 20251014 handshake_server_tls13.go). Pure: a function of the messages, keys and random bytes
 * given.
 *
 * The other server's ServerHello is taken over with our key share in it; EncryptedExtensions,
 * Certificate, CertificateVerify and Finished are ours, in records padded to the lengths of its
 * records. The certificate carries, in place of a signature, a proof that only the holder of the
 * authentication key can check.
 * Life: flight_build -> flight_finish until it is ST_OK -> rx and tx are taken -> flight_wipe. */
#ifndef TLS_FLIGHT_H
#define TLS_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "crypto/ed25519.h"
#include "crypto/mldsa.h"
#include "tls/hello.h"
#include "tls/record.h"

#define FLIGHT_AUTH_KEY_LEN 32u
/* Longest record that a client takes: RFC 8446 section 5.2, inner plaintext of 2^14 + 1 bytes. */
#define FLIGHT_RECORD_MAX (RECORD_OVERHEAD + RECORD_PLAIN_MAX)
/* Empty records that a client tolerates in a row (Go's TLS, as the real clients use it). */
#define FLIGHT_EMPTY_MAX 32u

enum flight_part {
    FLIGHT_SERVER_HELLO,
    FLIGHT_CCS,
    FLIGHT_EXTENSIONS, /* or all four messages, when combined */
    FLIGHT_CERTIFICATE,
    FLIGHT_VERIFY,
    FLIGHT_FINISHED,
    FLIGHT_EXTRA, /* what followed at once, such as a ticket; 0: nothing */
    FLIGHT_PARTS
};

/* Records of the other server: total lengths, with headers. */
struct flight_shape {
    uint16_t len[FLIGHT_PARTS];
    bool combined;
};

/* The certificate's key; one for as long as a listener lives. Secret. Read by all workers. */
struct flight_identity {
    struct ed25519_key *key;
    uint8_t pub[ED25519_PUBLIC_LEN];
    bool mldsa; /* also prove ourselves by ML-DSA-65 */
    uint8_t mldsa_seed[MLDSA_SEED_LEN];
};

/* Makes the key of @seed (ED25519_SEED_LEN bytes), without ML-DSA. ST_OK or ST_E_CRYPTO. */
NODISCARD enum status flight_identity_init(struct flight_identity *id, const uint8_t *seed);
/* Wipes; safe on a zeroed one and twice. */
void flight_identity_fini(struct flight_identity *id);

/* Everything borrowed for the call. */
struct flight_input {
    const uint8_t *client_hello; /* message */
    size_t client_hello_len;
    const struct hello *client;  /* parsed from it */
    const uint8_t *server_hello; /* the other server's message, as server_hello_parse likes it */
    size_t server_hello_len;
    const struct flight_shape *shape;
    const uint8_t *auth_key; /* FLIGHT_AUTH_KEY_LEN */
    const struct flight_identity *identity;
    const uint8_t *x25519; /* 32 fresh random bytes: our private key */
    const uint8_t *mlkem;  /* 32 fresh random bytes */
};

/* What the client's answer needs, and the keys for after it. Secret. */
struct flight {
    struct record_keys handshake; /* the client's, for its Finished */
    uint8_t finished[RECORD_SECRET_MAX];
    uint8_t finished_len;
    uint8_t skipped; /* change_cipher_spec records that came, */
    bool opened;     /* and a record that only the holder of the client's key can have made */
    uint32_t passed; /* bytes of those change_cipher_spec records */
    struct record_keys rx, tx; /* application data; tx counts a FLIGHT_EXTRA already sent */
};

/* Appends the whole flight to @out. ST_OK. ST_E_LIMIT: our messages need more than the other
 * server's records, or one of those is longer than a client takes. ST_E_UNSUPPORTED: a ServerHello
 * we cannot stand in for, a group the client sent no share of, or ML-DSA without a library for it.
 * ST_E_PROTO: a key share that cannot be used. ST_E_NOMEM, ST_E_CRYPTO. After any error @out is as
 * it was and only flight_wipe may be called. */
NODISCARD enum status flight_build(struct flight *f, const struct flight_input *in,
                                   struct crypto_ctx *cc, struct pool *p, struct bufq *out);

/* Eats change_cipher_spec and the client's Finished from the head of @in, at once, when both are
 * there and good; until then, and after any error, @in is as it was. ST_OK; ST_MORE; ST_E_PROTO,
 * ST_E_LIMIT, ST_E_AUTH with note->alert; ST_E_CLOSED with note->peer_alert; ST_E_NOMEM,
 * ST_E_CRYPTO. After an error f->opened tells the client from somebody who does not know the keys.
 */
NODISCARD enum status flight_finish(struct flight *f, struct crypto_ctx *cc, struct pool *p,
                                    struct bufq *in, struct record_note *note);
void flight_wipe(struct flight *f);

/* Appends an empty application data record of @total bytes (RECORD_OVERHEAD..FLIGHT_RECORD_MAX),
 * zeros behind its type, which clients skip. ST_OK, ST_E_NOMEM, ST_E_CRYPTO. */
NODISCARD enum status flight_seal_empty(struct record_keys *tx, struct crypto_ctx *cc,
                                        struct pool *p, uint16_t total, struct bufq *out);

#endif
