/* crypto/gcm_fast.h - AES-GCM by Intel's multi-buffer library, on processors with VAES: there it
 * takes a sixth of the time of OpenSSL 3.0 (0.7 against 4.2 us for a 16 KiB record), which is a
 * quarter of what a bulk TLS connection costs. Elsewhere, and in builds without the library,
 * there is no gcm_fast and aead.c stays with OpenSSL. One a worker, part of crypto_ctx; not
 * thread-safe. */
#ifndef CRYPTO_GCM_FAST_H
#define CRYPTO_GCM_FAST_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/ctx.h"

struct gcm_fast;

/* NULL: not built in, the processor lacks VAES, or no memory. Use OpenSSL then. */
struct gcm_fast *gcm_fast_new(void);
void gcm_fast_free(struct gcm_fast *g); /* wipes; NULL is fine */
/* Forgets the keys it still holds. */
void gcm_fast_forget(struct gcm_fast *g);

/* One operation at a time: begin -> update* -> end. @key is expanded only if it differs from the
 * last one of @alg (AEAD_AES_128_GCM or AEAD_AES_256_GCM). None of these fail. */
void gcm_fast_begin(struct gcm_fast *g, enum aead_alg alg, enum aead_dir dir, const uint8_t *key,
                    const uint8_t iv[12], const void *aad, size_t aad_len);
void gcm_fast_update(struct gcm_fast *g, uint8_t *dst, const uint8_t *src, size_t len);
void gcm_fast_end(struct gcm_fast *g, uint8_t tag[16]);

#endif
