#include "crypto/mldsa.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

/* Names of OpenSSL 3.5's provider: asked for by text, so that a program built against 3.0 uses
 * them where a later library runs it. */
#define ALGORITHM           "ML-DSA-65"
#define PARAM_SEED          "seed"
#define PARAM_DETERMINISTIC "deterministic"

bool mldsa_available(void)
{
    EVP_SIGNATURE *alg = EVP_SIGNATURE_fetch(NULL, ALGORITHM, NULL);
    bool there = alg != NULL;

    EVP_SIGNATURE_free(alg);
    return there;
}

static enum status load(const uint8_t seed[MLDSA_SEED_LEN], EVP_PKEY **key)
{
    *key = NULL;
    if (!mldsa_available())
        return ST_E_UNSUPPORTED;
    /* The parameter is only read, whatever its type says. */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(PARAM_SEED, (void *)(uintptr_t)seed, MLDSA_SEED_LEN),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, ALGORITHM, NULL);
    int ok = ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
             EVP_PKEY_fromdata(ctx, key, EVP_PKEY_KEYPAIR, params) == 1;

    EVP_PKEY_CTX_free(ctx);
    return ok ? ST_OK : ST_E_CRYPTO;
}

enum status mldsa_public(const uint8_t seed[MLDSA_SEED_LEN], uint8_t pub[MLDSA_PUBLIC_LEN])
{
    EVP_PKEY *key;
    size_t len = 0;
    enum status st = load(seed, &key);

    if (st == ST_OK && (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, pub,
                                                        MLDSA_PUBLIC_LEN, &len) != 1 ||
                        len != MLDSA_PUBLIC_LEN))
        st = ST_E_CRYPTO;
    EVP_PKEY_free(key);
    return st;
}

enum status mldsa_sign(const uint8_t seed[MLDSA_SEED_LEN], const void *msg, size_t len,
                       uint8_t sig[MLDSA_SIG_LEN])
{
    int deterministic = 1;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(PARAM_DETERMINISTIC, &deterministic),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *key;
    EVP_MD_CTX *ctx = NULL;
    size_t sig_len = MLDSA_SIG_LEN;
    enum status st = load(seed, &key);

    if (st == ST_OK) {
        ctx = EVP_MD_CTX_new();
        if (ctx == NULL || EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, key, params) != 1 ||
            EVP_DigestSign(ctx, sig, &sig_len, msg, len) != 1 || sig_len != MLDSA_SIG_LEN)
            st = ST_E_CRYPTO;
    }
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return st;
}
