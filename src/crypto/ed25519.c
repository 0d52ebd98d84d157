#include "crypto/ed25519.h"

#include <openssl/evp.h>

enum status ed25519_public(const uint8_t seed[ED25519_SEED_LEN], uint8_t pub[ED25519_PUBLIC_LEN])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, ED25519_SEED_LEN);
    size_t len = ED25519_PUBLIC_LEN;
    int ok = key != NULL && EVP_PKEY_get_raw_public_key(key, pub, &len) == 1;

    EVP_PKEY_free(key);
    return ok ? ST_OK : ST_E_CRYPTO;
}

static enum status sign(EVP_PKEY *key, const void *msg, size_t len, uint8_t sig[ED25519_SIG_LEN])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t sig_len = ED25519_SIG_LEN;
    enum status st = ST_E_CRYPTO;

    if (key == NULL || ctx == NULL)
        st = ST_E_NOMEM;
    else if (EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
             EVP_DigestSign(ctx, sig, &sig_len, msg, len) == 1 && sig_len == ED25519_SIG_LEN)
        st = ST_OK;
    EVP_MD_CTX_free(ctx);
    return st;
}

enum status ed25519_sign(const uint8_t seed[ED25519_SEED_LEN], const void *msg, size_t len,
                         uint8_t sig[ED25519_SIG_LEN])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, ED25519_SEED_LEN);
    enum status st = sign(key, msg, len, sig);

    EVP_PKEY_free(key);
    return st;
}

/* An opaque name for the library's key object, which signing does not change. */
enum status ed25519_key_new(const uint8_t seed[ED25519_SEED_LEN], struct ed25519_key **out)
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, ED25519_SEED_LEN);

    *out = (struct ed25519_key *)(void *)key;
    return key != NULL ? ST_OK : ST_E_CRYPTO;
}

void ed25519_key_free(struct ed25519_key *key)
{
    EVP_PKEY_free((EVP_PKEY *)(void *)key);
}

enum status ed25519_key_sign(const struct ed25519_key *key, const void *msg, size_t len,
                             uint8_t sig[ED25519_SIG_LEN])
{
    return sign((EVP_PKEY *)(uintptr_t)key, msg, len, sig);
}

enum status ed25519_verify(const uint8_t pub[ED25519_PUBLIC_LEN], const void *msg, size_t len,
                           const uint8_t sig[ED25519_SIG_LEN])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, pub, ED25519_PUBLIC_LEN);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    enum status st = ST_E_AUTH;

    if (key == NULL || ctx == NULL)
        st = ST_E_NOMEM;
    else if (EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
             EVP_DigestVerify(ctx, sig, ED25519_SIG_LEN, msg, len) == 1)
        st = ST_OK;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return st;
}
