#include "transport/vlessenc/vlessenc_aead.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/blake3.h"

void vlessenc_aead_init(struct vlessenc_aead *a, enum aead_alg alg, const void *context,
                        size_t context_len, const void *secret, size_t secret_len)
{
    a->seq = 0;
    a->alg = (uint8_t)alg;
    blake3_derive_key(context, context_len, secret, secret_len, a->key);
}

void vlessenc_aead_nonce(struct vlessenc_aead *a, uint8_t nonce[AEAD_IV_LEN])
{
    a->seq++;
    memset(nonce, 0, AEAD_IV_LEN - 8);
    put_be64(nonce + AEAD_IV_LEN - 8, a->seq);
}

enum status vlessenc_aead_seal(struct vlessenc_aead *a, struct crypto_ctx *cc, uint8_t *data,
                               size_t len)
{
    uint8_t nonce[AEAD_IV_LEN];

    vlessenc_aead_nonce(a, nonce);
    return aead_seal(cc, (enum aead_alg)a->alg, a->key, nonce, NULL, 0, data, len, data + len);
}

enum status vlessenc_aead_open(struct vlessenc_aead *a, struct crypto_ctx *cc, uint8_t *data,
                               size_t len)
{
    uint8_t nonce[AEAD_IV_LEN];

    vlessenc_aead_nonce(a, nonce);
    return aead_open(cc, (enum aead_alg)a->alg, a->key, nonce, NULL, 0, data, len, data + len);
}
