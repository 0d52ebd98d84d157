/* proto/vmess/chunks.h - one direction of a VMess body: chunks of size, sealed payload and padding
 * (Xray-core 25.12.1 common/crypto/auth.go, chunk.go; sing-vmess 0.2.7 chunk_*.go). Pure.
 *
 *   chunk = size 2, or 2 + 16 sealed | payload, tag 16 unless security is none | padding 0..63
 *
 * The size counts all that follows it (sealed: without the payload's tag). Padding and mask are
 * drawn from one SHAKE128 stream over the IV, the padding first. An empty payload ends the
 * direction. Holds keys, nonces and counters, and of the payload nothing but a chunk of more than
 * VMESS_CHUNK_HELD bytes that is not whole yet. Single-threaded. */
#ifndef PROTO_VMESS_CHUNKS_H
#define PROTO_VMESS_CHUNKS_H

#include "base/span.h"
#include "crypto/aead.h"
#include "crypto/keccak.h"
#include "proto/vmess/header.h"

/* The most payload we send in a chunk. sing-box reads payload and tag into a buffer that may be as
 * small as 16384 bytes; this is what a conn reads into one blk, which is so sealed in place. */
#define VMESS_CHUNK_MAX BLK_READ
/* A datagram and all that is around it, at most: the buffer of an Xray client, who would cut a
 * larger one in two. */
#define VMESS_DATAGRAM_WIRE_MAX 8192u
#define VMESS_CHUNK_HELD        32768u

struct rng;

struct vmess_chunks {
    uint8_t alg; /* enum aead_alg, or AEAD_ALGS: none */
    bool masked, padded, sealed_length;
    bool begun;    /* a chunk has passed */
    bool has_size; /* opening: the size is read, the rest of the chunk is not */
    bool ended;    /* opening: the end was announced */
    uint8_t padding;
    uint16_t size;
    uint16_t count; /* of chunks; wraps, which the protocol lives with */
    uint8_t nonce[VMESS_NONCE_LEN], length_nonce[VMESS_NONCE_LEN]; /* first two bytes: the count */
    uint8_t key[AEAD_KEY_MAX], length_key[AEAD_KEY_MAX];
    struct keccak shake;
    struct bufq held;
};

/* One direction of the body that @h asks for, which must not be VMESS_NONE without VMESS_CHUNKS.
 * @key and @iv are the direction's: the request's own, or those of the answer. */
void vmess_chunks_init(struct vmess_chunks *c, const struct vmess_kdf *k,
                       const struct vmess_header *h, const uint8_t key[VMESS_KEY_LEN],
                       const uint8_t iv[VMESS_KEY_LEN]);
void vmess_chunks_fini(struct vmess_chunks *c, struct pool *p); /* wipes */

/* Opens chunks of @in and appends their payload to @up until it is at its cap: bytes, or with
 * @datagrams one span a chunk (those of more than BLK_DATA bytes are dropped). Sets c->ended at the
 * announced end and eats nothing more. An empty first chunk is no end: an Xray client whose
 * application says nothing for 100 ms sends one.
 *   ST_OK, ST_MORE, ST_FULL
 *   ST_E_PROTO  a size that cannot be
 *   ST_E_AUTH   size or payload fails authentication
 *   ST_E_CLOSED @in ends within a chunk
 *   ST_E_NOMEM, ST_E_CRYPTO */
NODISCARD enum status vmess_chunks_open(struct vmess_chunks *c, struct crypto_ctx *cc,
                                        struct pool *p, struct bufq *in, struct bufq *up,
                                        bool datagrams);

/* What goes in front of the first chunk in the same write. */
struct vmess_prefix {
    const uint8_t *p;
    uint32_t len; /* <= VMESS_ANSWER_LEN; 0 once it is out */
};

/* Seals @down into chunks at the end of @out until that is at its cap, in place where the blk is
 * ours alone. Empty spans vanish. With @datagrams each span is one chunk, too large ones are
 * dropped. ST_OK, ST_FULL, ST_E_NOMEM, ST_E_CRYPTO. */
NODISCARD enum status vmess_chunks_seal(struct vmess_chunks *c, struct crypto_ctx *cc,
                                        struct rng *rng, struct pool *p, struct bufq *down,
                                        struct bufq *out, bool datagrams,
                                        struct vmess_prefix *prefix);
/* Announces the end. Same answers. */
NODISCARD enum status vmess_chunks_end(struct vmess_chunks *c, struct crypto_ctx *cc,
                                       struct rng *rng, struct pool *p, struct bufq *out);

#endif
