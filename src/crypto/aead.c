#include "crypto/aead.h"

#include <openssl/evp.h>
#include <string.h>

#include "crypto/gcm_fast.h"
#include "crypto/mem.h"

#define UPDATE_MAX (1u << 30) /* the library counts in int */

size_t aead_key_len(enum aead_alg alg)
{
    return alg == AEAD_AES_128_GCM ? 16 : 32;
}

enum status aead_begin(struct crypto_ctx *cc, enum aead_alg alg, enum aead_dir dir,
                       const uint8_t *key, const uint8_t iv[AEAD_IV_LEN], const void *aad,
                       size_t aad_len)
{
    struct crypto_slot *s = &cc->slot[alg][dir];
    size_t key_len = aead_key_len(alg);
    int out;

    cc->on_gcm = cc->gcm != NULL && alg != AEAD_CHACHA20_POLY1305;
    if (cc->on_gcm) {
        gcm_fast_begin(cc->gcm, alg, dir, key, iv, aad, aad_len);
        return ST_OK;
    }
    cc->now = s;
    if (s->keyed && crypto_ct_equal(s->key, key, key_len)) {
        key = NULL;
    } else {
        memcpy(s->key, key, key_len);
        s->keyed = true;
    }
    if (EVP_CipherInit_ex2(s->evp, NULL, key, iv, dir == AEAD_SEAL, NULL) != 1)
        goto fail;
    if (aad_len > 0 &&
        (aad_len > UPDATE_MAX || EVP_CipherUpdate(s->evp, NULL, &out, aad, (int)aad_len) != 1))
        goto fail;
    return ST_OK;
fail:
    s->keyed = false; /* what the context holds now is unknown */
    return ST_E_CRYPTO;
}

enum status aead_update(struct crypto_ctx *cc, uint8_t *dst, const uint8_t *src, size_t len)
{
    int out;

    if (len == 0)
        return ST_OK; /* the library takes an empty update for the end of some ciphers */
    if (cc->on_gcm) {
        gcm_fast_update(cc->gcm, dst, src, len);
        return ST_OK;
    }
    if (len > UPDATE_MAX || EVP_CipherUpdate(cc->now->evp, dst, &out, src, (int)len) != 1 ||
        (size_t)out != len)
        return ST_E_CRYPTO;
    return ST_OK;
}

enum status aead_seal_end(struct crypto_ctx *cc, uint8_t tag[AEAD_TAG_LEN])
{
    if (cc->on_gcm) {
        gcm_fast_end(cc->gcm, tag);
        return ST_OK;
    }
    EVP_CIPHER_CTX *evp = cc->now->evp;
    uint8_t none[16];
    int out;

    if (EVP_EncryptFinal_ex(evp, none, &out) != 1 ||
        EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN, tag) != 1)
        return ST_E_CRYPTO;
    return ST_OK;
}

enum status aead_open_end(struct crypto_ctx *cc, const uint8_t tag[AEAD_TAG_LEN])
{
    uint8_t expected[AEAD_TAG_LEN];
    if (cc->on_gcm) {
        gcm_fast_end(cc->gcm, expected);
        return crypto_ct_equal(expected, tag, AEAD_TAG_LEN) ? ST_OK : ST_E_AUTH;
    }
    EVP_CIPHER_CTX *evp = cc->now->evp;
    uint8_t none[16];
    int out;

    memcpy(expected, tag, sizeof(expected));
    if (EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_LEN, expected) != 1 ||
        EVP_DecryptFinal_ex(evp, none, &out) != 1)
        return ST_E_AUTH;
    return ST_OK;
}

enum status aead_seal(struct crypto_ctx *cc, enum aead_alg alg, const uint8_t *key,
                      const uint8_t iv[AEAD_IV_LEN], const void *aad, size_t aad_len, uint8_t *data,
                      size_t len, uint8_t tag[AEAD_TAG_LEN])
{
    enum status st = aead_begin(cc, alg, AEAD_SEAL, key, iv, aad, aad_len);
    if (st == ST_OK)
        st = aead_update(cc, data, data, len);
    if (st == ST_OK)
        st = aead_seal_end(cc, tag);
    return st;
}

enum status aead_open(struct crypto_ctx *cc, enum aead_alg alg, const uint8_t *key,
                      const uint8_t iv[AEAD_IV_LEN], const void *aad, size_t aad_len, uint8_t *data,
                      size_t len, const uint8_t tag[AEAD_TAG_LEN])
{
    enum status st = aead_begin(cc, alg, AEAD_OPEN, key, iv, aad, aad_len);
    if (st == ST_OK)
        st = aead_update(cc, data, data, len);
    if (st == ST_OK)
        st = aead_open_end(cc, tag);
    return st;
}
