/* transport/vlessenc/vlessenc_aead.h - one direction's authenticated encryption: a key derived by
 * BLAKE3 and a counting nonce (Xray-core 25.12.1 proxy/vless/encryption/common.go). Pure. */
#ifndef TRANSPORT_VLESSENC_AEAD_H
#define TRANSPORT_VLESSENC_AEAD_H

#include "crypto/aead.h"

/* Holds a secret: crypto_wipe when done. */
struct vlessenc_aead {
    uint64_t seq; /* of the last nonce used; the first one is 1 */
    uint8_t key[32];
    uint8_t alg; /* AEAD_AES_256_GCM or AEAD_CHACHA20_POLY1305 */
};

/* The key is BLAKE3's derive_key of @secret for @context. */
void vlessenc_aead_init(struct vlessenc_aead *a, enum aead_alg alg, const void *context,
                        size_t context_len, const void *secret, size_t secret_len);
/* Steps to the next nonce: big-endian. 2^64 of them are not reached, so the key change of the
 * protocol after 2^96 does not happen. */
void vlessenc_aead_nonce(struct vlessenc_aead *a, uint8_t nonce[AEAD_IV_LEN]);
/* One message in place, no additional data: @len bytes, the tag behind them. ST_OK; ST_E_AUTH
 * (opening); ST_E_CRYPTO. */
NODISCARD enum status vlessenc_aead_seal(struct vlessenc_aead *a, struct crypto_ctx *cc,
                                         uint8_t *data, size_t len);
NODISCARD enum status vlessenc_aead_open(struct vlessenc_aead *a, struct crypto_ctx *cc,
                                         uint8_t *data, size_t len);

#endif
