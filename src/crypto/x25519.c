#include "crypto/x25519.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "crypto/hash.h"
#include "crypto/mem.h"
#include "crypto/x25519_field.h"

#define TYPE_MAX 32u

enum status x25519_keypair(struct rng *r, uint8_t priv[X25519_LEN], uint8_t pub[X25519_LEN])
{
    rng_bytes(r, priv, X25519_LEN);
    priv[0] &= 248;
    priv[31] = (uint8_t)((priv[31] & 127) | 64);
    return x25519_public(priv, pub);
}

enum status x25519_public(const uint8_t priv[X25519_LEN], uint8_t pub[X25519_LEN])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, priv, X25519_LEN);
    size_t len = X25519_LEN;
    int ok = key != NULL && EVP_PKEY_get_raw_public_key(key, pub, &len) == 1;

    EVP_PKEY_free(key);
    return ok ? ST_OK : ST_E_CRYPTO;
}

/* The library's key object is not changed by deriving: it may serve several threads. */
static enum status derive(EVP_PKEY *mine, const uint8_t peer[X25519_LEN], uint8_t out[X25519_LEN])
{
    EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, X25519_LEN);
    EVP_PKEY_CTX *ctx = mine != NULL ? EVP_PKEY_CTX_new(mine, NULL) : NULL;
    size_t len = X25519_LEN;
    /* The library itself refuses an all-zero result. */
    int ok = ctx != NULL && theirs != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
             EVP_PKEY_derive_set_peer_ex(ctx, theirs, 0) == 1 &&
             EVP_PKEY_derive(ctx, out, &len) == 1 && len == X25519_LEN;

    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(theirs);
    return ok ? ST_OK : ST_E_CRYPTO;
}

enum status x25519_shared(const uint8_t priv[X25519_LEN], const uint8_t peer[X25519_LEN],
                          uint8_t out[X25519_LEN])
{
    EVP_PKEY *mine = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, priv, X25519_LEN);
    enum status st = derive(mine, peer, out);

    EVP_PKEY_free(mine);
    return st;
}

#ifdef X25519_OWN
enum status x25519_exchange(const uint8_t priv[X25519_LEN], const uint8_t peer[X25519_LEN],
                            uint8_t pub[X25519_LEN], uint8_t out[X25519_LEN])
{
    static const uint8_t zeros[X25519_LEN];

    x25519_base(priv, pub);
    x25519_ladder(priv, peer, out);
    return crypto_ct_equal(out, zeros, X25519_LEN) ? ST_E_CRYPTO : ST_OK;
}
#else
enum status x25519_exchange(const uint8_t priv[X25519_LEN], const uint8_t peer[X25519_LEN],
                            uint8_t pub[X25519_LEN], uint8_t out[X25519_LEN])
{
    EVP_PKEY *mine = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, priv, X25519_LEN);
    size_t len = X25519_LEN;
    enum status st = ST_E_CRYPTO;

    if (mine != NULL && EVP_PKEY_get_raw_public_key(mine, pub, &len) == 1)
        st = derive(mine, peer, out);
    EVP_PKEY_free(mine);
    return st;
}
#endif

/* An opaque name for the library's key object. */
enum status x25519_key_new(const uint8_t priv[X25519_LEN], struct x25519_key **out)
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, priv, X25519_LEN);

    *out = (struct x25519_key *)(void *)key;
    return key != NULL ? ST_OK : ST_E_CRYPTO;
}

void x25519_key_free(struct x25519_key *key)
{
    EVP_PKEY_free((EVP_PKEY *)(void *)key);
}

enum status x25519_key_shared(const struct x25519_key *key, const uint8_t peer[X25519_LEN],
                              uint8_t out[X25519_LEN])
{
    return derive((EVP_PKEY *)(uintptr_t)key, peer, out);
}

enum status x25519_from_node(uint64_t node_id, const char *type, const char *token,
                             uint8_t priv[X25519_LEN])
{
    char id[24], low[TYPE_MAX];
    size_t type_len = strlen(type);
    int id_len = snprintf(id, sizeof(id), "%" PRIu64, node_id);

    if (type_len > sizeof(low))
        return ST_E_LIMIT;
    for (size_t i = 0; i < type_len; i++)
        low[i] = (char)(type[i] >= 'A' && type[i] <= 'Z' ? type[i] + 32 : type[i]);

    struct hash_piece seed[] = {{id, (size_t)id_len}, {low, type_len}, {token, strlen(token)}};
    enum status st = hash_pieces(NULL, HASH_SHA256, seed, 3, priv);
    priv[0] &= 248;
    priv[31] = (uint8_t)((priv[31] & 127) | 64);
    return st;
}
