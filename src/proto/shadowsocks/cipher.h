/* proto/shadowsocks/cipher.h - one direction of a stream: its key, its counting nonce (SIP004
 * section 1.1, little-endian and as long as the nonce), and the chunks of length and payload that
 * both families cut it into. Pure. */
#ifndef PROTO_SHADOWSOCKS_CIPHER_H
#define PROTO_SHADOWSOCKS_CIPHER_H

#include "base/span.h"
#include "crypto/aead.h"
#include "proto/shadowsocks/method.h"

#define SS_LENGTH_LEN (2u + SS_TAG) /* a sealed length */
/* The largest chunk that every client reads (SIP004: 0x3fff). */
#define SS_CHUNK_MAX 16383u

/* Holds a secret: crypto_wipe when done. */
struct ss_cipher {
    uint64_t seq; /* operations done */
    uint8_t key[SS_KEY_MAX];
    uint8_t alg; /* enum aead_alg */
    bool wide;
};

/* @subkey has the method's key_len. Streams of 2022 are never wide. */
void ss_cipher_init(struct ss_cipher *c, const struct ss_method *m, const uint8_t *subkey);
/* The next operation, in place over @len bytes, the tag behind them. ST_OK; ST_E_AUTH (opening);
 * ST_E_CRYPTO. */
NODISCARD enum status ss_cipher_seal(struct ss_cipher *c, struct crypto_ctx *cc, uint8_t *data,
                                     size_t len);
NODISCARD enum status ss_cipher_open(struct ss_cipher *c, struct crypto_ctx *cc, uint8_t *data,
                                     size_t len);
/* Opens the first @len bytes of @in where they lie; the tag behind them must be queued, too. Both
 * stay in @in. Same answers. */
NODISCARD enum status ss_cipher_open_queued(struct ss_cipher *c, struct crypto_ctx *cc,
                                            struct bufq *in, uint32_t len);

/* ---- chunks ---------------------------------------------------------------------------------- */

/* Eats chunks of @in, their payload goes to @up while it has room; *@want (0 at first) is what
 * was read of a length and is not there yet, the tag included. Empty chunks are passed over:
 * Xray-core's client sends one when its application has nothing to say at first. @max > 0: at most
 * so many chunks.
 *   ST_OK     all eaten, or @max chunks
 *   ST_MORE   the beginning of a chunk stays in @in
 *   ST_FULL   @up is at its cap
 *   ST_E_AUTH, ST_E_CRYPTO, ST_E_NOMEM */
NODISCARD enum status ss_chunks_open(struct ss_cipher *c, struct crypto_ctx *cc, struct pool *p,
                                     uint32_t *want, struct bufq *in, struct bufq *up,
                                     unsigned max);

/* Makes what stands in front of the payload of the first chunk in place of its sealed length: @n
 * bytes of payload follow. Returns through @len how many bytes of @head it filled. */
#define SS_HEAD_MAX 128u
typedef enum status ss_head_fn(void *arg, uint32_t n, uint8_t head[SS_HEAD_MAX], uint32_t *len);

/* Seals @down in chunks into @out while that has room: in place where the blk is ours, small spans
 * gathered. Empty spans are dropped. @first (NULL: none, else called once and set to NULL) makes
 * the beginning of the stream. ST_OK, ST_FULL, ST_E_NOMEM, ST_E_CRYPTO. */
NODISCARD enum status ss_chunks_seal(struct ss_cipher *c, struct crypto_ctx *cc, struct pool *p,
                                     ss_head_fn **first, void *arg, struct bufq *down,
                                     struct bufq *out);

#endif
