/* crypto/aead.h - authenticated encryption in pieces: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305
 * (RFC 5116, RFC 8439).
 *
 * One operation at a time a context: aead_begin -> aead_update* -> aead_seal_end | aead_open_end. A
 * record that lies in several blocks is worked through piece by piece, in place or from one place
 * to another. Opening: nothing that came out may be used before aead_open_end said ST_OK. Beginning
 * a new operation abandons an unfinished one. */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "crypto/ctx.h"

#define AEAD_IV_LEN  12u
#define AEAD_TAG_LEN 16u

/* Bytes of the key of @alg: 16 or 32. */
size_t aead_key_len(enum aead_alg alg);

/* Loads @key (aead_key_len bytes; the schedule is run only if it differs from the last one of this
 * cipher and direction), sets @iv and feeds @aad. ST_OK or ST_E_CRYPTO. */
NODISCARD enum status aead_begin(struct crypto_ctx *cc, enum aead_alg alg, enum aead_dir dir,
                                 const uint8_t *key, const uint8_t iv[AEAD_IV_LEN], const void *aad,
                                 size_t aad_len);
/* The next @len bytes from @src to @dst, which are the same or do not overlap. ST_OK or
 * ST_E_CRYPTO. */
NODISCARD enum status aead_update(struct crypto_ctx *cc, uint8_t *dst, const uint8_t *src,
                                  size_t len);
/* Ends sealing and gives the tag. ST_OK or ST_E_CRYPTO. */
NODISCARD enum status aead_seal_end(struct crypto_ctx *cc, uint8_t tag[AEAD_TAG_LEN]);
/* Ends opening. ST_OK, or ST_E_AUTH when the tag does not fit: all that came out is then to be
 * thrown away. */
NODISCARD enum status aead_open_end(struct crypto_ctx *cc, const uint8_t tag[AEAD_TAG_LEN]);

/* Whole operations over one buffer, in place. Same answers. */
NODISCARD enum status aead_seal(struct crypto_ctx *cc, enum aead_alg alg, const uint8_t *key,
                                const uint8_t iv[AEAD_IV_LEN], const void *aad, size_t aad_len,
                                uint8_t *data, size_t len, uint8_t tag[AEAD_TAG_LEN]);
NODISCARD enum status aead_open(struct crypto_ctx *cc, enum aead_alg alg, const uint8_t *key,
                                const uint8_t iv[AEAD_IV_LEN], const void *aad, size_t aad_len,
                                uint8_t *data, size_t len, const uint8_t tag[AEAD_TAG_LEN]);

#endif
