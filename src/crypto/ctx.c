#include "crypto/ctx.h"

#include <openssl/evp.h>
#include <string.h>

#include "crypto/gcm_fast.h"
#include "crypto/mem.h"

static const char *const CIPHER_NAMES[AEAD_ALGS] = {
    [AEAD_AES_128_GCM] = "AES-128-GCM",
    [AEAD_AES_256_GCM] = "AES-256-GCM",
    [AEAD_CHACHA20_POLY1305] = "ChaCha20-Poly1305",
};

static const char *const MD_NAMES[HASH_ALGS] = {
    [HASH_SHA1] = "SHA1",       [HASH_SHA224] = "SHA2-224", [HASH_SHA256] = "SHA2-256",
    [HASH_SHA384] = "SHA2-384", [HASH_SHA512] = "SHA2-512",
};

static enum status open_slot(struct crypto_slot *s, const EVP_CIPHER *cipher, int encrypt)
{
    s->evp = EVP_CIPHER_CTX_new();
    if (s->evp == NULL)
        return ST_E_NOMEM;
    return EVP_CipherInit_ex2(s->evp, cipher, NULL, NULL, encrypt, NULL) == 1 ? ST_OK : ST_E_CRYPTO;
}

enum status crypto_ctx_init(struct crypto_ctx *cc)
{
    enum status st = ST_OK;

    memset(cc, 0, sizeof(*cc));
    for (int i = 0; i < AEAD_ALGS && st == ST_OK; i++) {
        cc->cipher[i] = EVP_CIPHER_fetch(NULL, CIPHER_NAMES[i], NULL);
        st = cc->cipher[i] != NULL ? ST_OK : ST_E_CRYPTO;
        for (int d = 0; d < 2 && st == ST_OK; d++)
            st = open_slot(&cc->slot[i][d], cc->cipher[i], d == AEAD_SEAL);
    }
    for (int i = 0; i < HASH_ALGS && st == ST_OK; i++) {
        cc->md[i] = EVP_MD_fetch(NULL, MD_NAMES[i], NULL);
        cc->md_ctx[i] = EVP_MD_CTX_new();
        if (cc->md[i] == NULL || cc->md_ctx[i] == NULL)
            st = ST_E_CRYPTO;
    }
    if (st != ST_OK)
        crypto_ctx_fini(cc);
    else
        cc->gcm = gcm_fast_new();
    return st;
}

void crypto_ctx_fini(struct crypto_ctx *cc)
{
    for (int i = 0; i < AEAD_ALGS; i++) {
        for (int d = 0; d < 2; d++)
            EVP_CIPHER_CTX_free(cc->slot[i][d].evp);
        EVP_CIPHER_free(cc->cipher[i]);
    }
    for (int i = 0; i < HASH_ALGS; i++) {
        EVP_MD_CTX_free(cc->md_ctx[i]);
        EVP_MD_free(cc->md[i]);
    }
    gcm_fast_free(cc->gcm);
    crypto_wipe(cc, sizeof(*cc));
}

void crypto_ctx_forget(struct crypto_ctx *cc)
{
    static const uint8_t zero[AEAD_KEY_MAX];

    gcm_fast_forget(cc->gcm);
    for (int i = 0; i < AEAD_ALGS; i++) {
        for (int d = 0; d < 2; d++) {
            struct crypto_slot *s = &cc->slot[i][d];
            if (!s->keyed)
                continue;
            s->keyed = false;
            crypto_wipe(s->key, sizeof(s->key));
            /* The context is in order without a key too; a failure leaves nothing to do about it.
             */
            (void)EVP_CipherInit_ex2(s->evp, NULL, zero, NULL, d == AEAD_SEAL, NULL);
        }
    }
}
