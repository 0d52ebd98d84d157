/* crypto/hash.h - SHA-1, SHA-224, SHA-256, SHA-384, SHA-512 (FIPS 180-4) and HMAC (RFC 2104)
 * over one or several pieces. Pure. A worker passes its crypto_ctx; NULL works too and costs an
 * allocation. */
#ifndef CRYPTO_HASH_H
#define CRYPTO_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "crypto/ctx.h"

#define HASH_SHA1_LEN   20u
#define HASH_SHA224_LEN 28u
#define HASH_SHA256_LEN 32u
#define HASH_SHA384_LEN 48u
#define HASH_SHA512_LEN 64u
#define HASH_MAX_LEN    64u
#define HASH_BLOCK_MAX  128u

struct hash_piece {
    const void *p;
    size_t len;
};

/* Bytes of the digest: 20, 28, 32, 48 or 64. */
size_t hash_len(enum hash_alg alg);

/* Digest of @len bytes into @out (hash_len bytes). ST_OK, ST_E_NOMEM (@cc NULL only), ST_E_CRYPTO.
 */
NODISCARD enum status hash_sum(struct crypto_ctx *cc, enum hash_alg alg, const void *data,
                               size_t len, uint8_t *out);
/* Digest of @n pieces one after the other. Same answers. */
NODISCARD enum status hash_pieces(struct crypto_ctx *cc, enum hash_alg alg,
                                  const struct hash_piece *pieces, size_t n, uint8_t *out);
/* HMAC of @n pieces (at most HASH_HMAC_PIECES). @out may overlap @key. Same answers. */
#define HASH_HMAC_PIECES 6u
NODISCARD enum status hash_hmac(struct crypto_ctx *cc, enum hash_alg alg, const void *key,
                                size_t key_len, const struct hash_piece *pieces, size_t n,
                                uint8_t *out);

#endif
