#include <string.h>

#include "crypto/aead.h"
#include "crypto/hkdf.h"
#include "crypto/mem.h"
#include "tls/record.h"
#include "tls/record_keys.h"

static enum status derive(struct record_keys *k, struct crypto_ctx *cc)
{
    enum hash_alg hash = (enum hash_alg)k->hash;
    enum status st = hkdf_expand_label(cc, hash, k->secret, "key", NULL, 0, k->key,
                                       aead_key_len((enum aead_alg)k->alg));
    if (st == ST_OK)
        st = hkdf_expand_label(cc, hash, k->secret, "iv", NULL, 0, k->iv, sizeof(k->iv));
    k->seq = 0;
    return st;
}

enum status record_keys_init(struct record_keys *k, struct crypto_ctx *cc, uint16_t suite,
                             const uint8_t *secret, size_t secret_len)
{
    memset(k, 0, sizeof(*k));
    k->hash = HASH_SHA256;
    switch (suite) {
    case RECORD_AES_128_GCM_SHA256:
        k->alg = AEAD_AES_128_GCM;
        break;
    case RECORD_AES_256_GCM_SHA384:
        k->alg = AEAD_AES_256_GCM;
        k->hash = HASH_SHA384;
        break;
    case RECORD_CHACHA20_POLY1305_SHA256:
        k->alg = AEAD_CHACHA20_POLY1305;
        break;
    default:
        return ST_E_UNSUPPORTED;
    }
    if (secret_len != hash_len((enum hash_alg)k->hash))
        return ST_E_UNSUPPORTED;
    memcpy(k->secret, secret, secret_len);
    return derive(k, cc);
}

enum status record_keys_update(struct record_keys *k, struct crypto_ctx *cc)
{
    enum hash_alg hash = (enum hash_alg)k->hash;
    uint8_t next[RECORD_SECRET_MAX];
    enum status st =
        hkdf_expand_label(cc, hash, k->secret, "traffic upd", NULL, 0, next, hash_len(hash));

    if (st == ST_OK) {
        memcpy(k->secret, next, hash_len(hash));
        st = derive(k, cc);
    }
    crypto_wipe(next, sizeof(next));
    return st;
}

void record_keys_wipe(struct record_keys *k)
{
    crypto_wipe(k, sizeof(*k));
}

void record_nonce(const struct record_keys *k, uint8_t nonce[12])
{
    memcpy(nonce, k->iv, sizeof(k->iv));
    for (unsigned i = 0; i < 8; i++)
        nonce[4 + i] ^= (uint8_t)(k->seq >> (56 - 8 * i));
}
