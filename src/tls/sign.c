#include "tls/sign.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

static bool is_p256(const EVP_PKEY *key)
{
    char group[32];

    return EVP_PKEY_is_a(key, "EC") == 1 &&
           EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group),
                                          NULL) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

static bool is_rsa(const EVP_PKEY *key)
{
    int bits = EVP_PKEY_get_bits(key);

    return EVP_PKEY_is_a(key, "RSA") == 1 && bits >= 2048 && bits <= (int)SIGN_MAX * 8;
}

enum status sign_key_init(struct sign_key *k, struct evp_pkey_st *key)
{
    EVP_PKEY_CTX *ctx; /* owned by k->ready */
    bool rsa = is_rsa(key);
    enum status st = ST_E_UNSUPPORTED;

    memset(k, 0, sizeof(*k));
    if (!rsa && !is_p256(key))
        goto out;
    st = ST_E_NOMEM;
    k->scheme = rsa ? SIGN_RSA_PSS_SHA256 : SIGN_ECDSA_P256_SHA256;
    k->ready = EVP_MD_CTX_new();
    if (k->ready == NULL)
        goto out;
    st = ST_E_UNSUPPORTED; /* such as a key that a provider keeps for itself */
    if (EVP_DigestSignInit_ex(k->ready, &ctx, "SHA2-256", NULL, NULL, key, NULL) == 1 &&
        (!rsa || (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
                  EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1)))
        st = ST_OK;
out:
    ERR_clear_error();
    if (st != ST_OK)
        sign_key_fini(k);
    return st;
}

void sign_key_fini(struct sign_key *k)
{
    EVP_MD_CTX_free(k->ready);
    memset(k, 0, sizeof(*k));
}

enum status sign_key_sign(const struct sign_key *k, const void *msg, size_t len,
                          uint8_t sig[SIGN_MAX], size_t *sig_len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    enum status st = ST_E_CRYPTO;

    if (ctx == NULL)
        return ST_E_NOMEM;
    *sig_len = SIGN_MAX;
    if (EVP_MD_CTX_copy_ex(ctx, k->ready) == 1 && EVP_DigestSign(ctx, sig, sig_len, msg, len) == 1)
        st = ST_OK;
    EVP_MD_CTX_free(ctx);
    return st;
}
