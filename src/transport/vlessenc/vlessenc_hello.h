/* transport/vlessenc/vlessenc_hello.h - the key exchange: reading a client's hello and making ours
 * (Xray-core 25.12.1 proxy/vless/encryption/server.go). Works on whole messages; what is secret is
 * wiped by the caller with struct vlessenc_hello. Pure. */
#ifndef TRANSPORT_VLESSENC_HELLO_H
#define TRANSPORT_VLESSENC_HELLO_H

#include "base/span.h"
#include "transport/vlessenc/vlessenc_aead.h"
#include "transport/vlessenc/vlessenc_conf.h"
#include "transport/vlessenc/vlessenc_tickets.h"

#define VLESSENC_IV_LEN        16u
#define VLESSENC_SEALED_LEN    18u /* a length of two bytes */
#define VLESSENC_UNITED_LEN    (VLESSENC_PFS_LEN + VLESSENC_NFS_LEN)
#define VLESSENC_SEALED_TICKET (VLESSENC_TICKET_LEN + AEAD_TAG_LEN)
/* A client's keys with the tag; later clients may send more of them. */
#define VLESSENC_KEYS_MIN     (MLKEM_PUBLIC_LEN + X25519_LEN + AEAD_TAG_LEN)
#define VLESSENC_KEYS_LEN_MAX 16384u
/* Ours: ciphertext, public key and tag, then the ticket. */
#define VLESSENC_ANSWER_KEYS (MLKEM_CIPHER_LEN + X25519_LEN)
#define VLESSENC_ANSWER_LEN  (VLESSENC_ANSWER_KEYS + AEAD_TAG_LEN + VLESSENC_SEALED_TICKET)

/* Between a client's first bytes and its last. */
struct vlessenc_hello {
    uint8_t iv[VLESSENC_IV_LEN];
    uint8_t united[VLESSENC_UNITED_LEN]; /* the exchange's own secrets, then that of the relays */
    struct vlessenc_aead nfs;            /* keyed by iv and the relays' secret */
    uint32_t len;                        /* what the sealed length said */
};

/* Bytes of the first part: iv, relays, sealed length. */
static inline size_t vlessenc_hello_len(const struct vlessenc_conf *c)
{
    return VLESSENC_IV_LEN + c->relays_len + VLESSENC_SEALED_LEN;
}
/* Reads the first part, vlessenc_hello_len bytes at @data, which it overwrites: iv, nfs, the last
 * 32 bytes of united, and len. ST_OK; ST_E_AUTH: the client has not our keys; ST_E_PROTO: a share
 * that no client sends; ST_E_NOMEM, ST_E_CRYPTO. */
NODISCARD enum status vlessenc_hello_open(struct vlessenc_hello *h, const struct vlessenc_conf *c,
                                          struct crypto_ctx *cc, uint8_t *data);
/* Opens a sealed length in place. ST_OK, ST_E_AUTH, ST_E_CRYPTO. */
NODISCARD enum status vlessenc_hello_length(struct vlessenc_hello *h, struct crypto_ctx *cc,
                                            uint8_t data[VLESSENC_SEALED_LEN], uint32_t *len);
/* 1-RTT: opens the client's keys, h->len bytes at @data, makes ours into @answer, completes united
 * and keys both directions: @down goes on behind the ticket. @ticket gets lifetime and name of the
 * ticket sent. ST_OK, ST_E_AUTH, ST_E_PROTO (no valid keys), ST_E_CRYPTO. */
NODISCARD enum status vlessenc_hello_answer(struct vlessenc_hello *h, const struct vlessenc_conf *c,
                                            struct crypto_ctx *cc, struct rng *rng, uint8_t *data,
                                            uint8_t answer[VLESSENC_ANSWER_LEN],
                                            uint8_t ticket[VLESSENC_TICKET_LEN],
                                            struct vlessenc_aead *up, struct vlessenc_aead *down);
/* Appends @total bytes of padding (VLESSENC_PADDING_MIN..MAX) to @out: its sealed length, and zeros
 * sealed. ST_OK, ST_E_NOMEM, ST_E_CRYPTO; @out may then hold a part. */
NODISCARD enum status vlessenc_hello_pad(struct vlessenc_aead *down, struct crypto_ctx *cc,
                                         struct pool *p, uint32_t total, struct bufq *out);
/* 0-RTT: opens the ticket, VLESSENC_SEALED_TICKET bytes at @data, into @ticket. ST_OK, ST_E_AUTH,
 * ST_E_CRYPTO. */
NODISCARD enum status vlessenc_hello_ticket(struct vlessenc_hello *h, struct crypto_ctx *cc,
                                            const uint8_t *data,
                                            uint8_t ticket[VLESSENC_TICKET_LEN]);
/* ... and, united complete, keys both directions: @data as before, @random opens our direction. */
void vlessenc_hello_resume(const struct vlessenc_hello *h, const uint8_t *data,
                           const uint8_t random[VLESSENC_IV_LEN], struct vlessenc_aead *up,
                           struct vlessenc_aead *down);

#endif
