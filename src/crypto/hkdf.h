/* crypto/hkdf.h - HKDF (RFC 5869) and the labelled expansion of TLS 1.3 (RFC 8446 section 7.1).
 * Pure. */
#ifndef CRYPTO_HKDF_H
#define CRYPTO_HKDF_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "crypto/hash.h"

/* PRK of hash_len(@alg) bytes from @salt and @ikm into @prk. ST_OK, ST_E_NOMEM, ST_E_CRYPTO (see
 * hash_sum). */
NODISCARD enum status hkdf_extract(struct crypto_ctx *cc, enum hash_alg alg, const void *salt,
                                   size_t salt_len, const void *ikm, size_t ikm_len, uint8_t *prk);
/* @len (<= 255 * hash_len) bytes of key material from @prk (hash_len bytes). Same answers. */
NODISCARD enum status hkdf_expand(struct crypto_ctx *cc, enum hash_alg alg, const uint8_t *prk,
                                  const void *info, size_t info_len, uint8_t *out, size_t len);
/* HKDF-Expand-Label of TLS 1.3: @label without its "tls13 " prefix (<= 249 bytes), @context <= 255
 * bytes, @len <= 65535. @out must not overlap @secret. Same answers. */
NODISCARD enum status hkdf_expand_label(struct crypto_ctx *cc, enum hash_alg alg,
                                        const uint8_t *secret, const char *label,
                                        const void *context, size_t context_len, uint8_t *out,
                                        size_t len);

#endif
