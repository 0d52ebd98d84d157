#include "crypto/hash.h"

#include <openssl/evp.h>
#include <string.h>

#include "crypto/mem.h"

size_t hash_len(enum hash_alg alg)
{
    static const uint8_t len[HASH_ALGS] = {HASH_SHA1_LEN, HASH_SHA224_LEN, HASH_SHA256_LEN,
                                           HASH_SHA384_LEN, HASH_SHA512_LEN};
    return len[alg];
}

static size_t block_len(enum hash_alg alg)
{
    return alg == HASH_SHA384 || alg == HASH_SHA512 ? 128 : 64;
}

static const EVP_MD *md_of(enum hash_alg alg)
{
    switch (alg) {
    case HASH_SHA1:
        return EVP_sha1();
    case HASH_SHA224:
        return EVP_sha224();
    case HASH_SHA384:
        return EVP_sha384();
    case HASH_SHA512:
        return EVP_sha512();
    default:
        return EVP_sha256();
    }
}

enum status hash_pieces(struct crypto_ctx *cc, enum hash_alg alg, const struct hash_piece *pieces,
                        size_t n, uint8_t *out)
{
    EVP_MD_CTX *ctx = cc != NULL ? cc->md_ctx[alg] : EVP_MD_CTX_new();
    const EVP_MD *md = cc != NULL ? cc->md[alg] : md_of(alg);
    enum status st = ST_E_CRYPTO;

    if (ctx == NULL)
        return ST_E_NOMEM;
    if (EVP_DigestInit_ex2(ctx, md, NULL) != 1)
        goto out;
    for (size_t i = 0; i < n; i++) {
        if (EVP_DigestUpdate(ctx, pieces[i].p, pieces[i].len) != 1)
            goto out;
    }
    if (EVP_DigestFinal_ex(ctx, out, NULL) == 1)
        st = ST_OK;
out:
    if (cc == NULL)
        EVP_MD_CTX_free(ctx);
    return st;
}

enum status hash_sum(struct crypto_ctx *cc, enum hash_alg alg, const void *data, size_t len,
                     uint8_t *out)
{
    return hash_pieces(cc, alg, &(struct hash_piece){data, len}, 1, out);
}

static void pad_key(uint8_t *pad, const uint8_t *key, size_t block, uint8_t mask)
{
    for (size_t i = 0; i < block; i++)
        pad[i] = key[i] ^ mask;
}

enum status hash_hmac(struct crypto_ctx *cc, enum hash_alg alg, const void *key, size_t key_len,
                      const struct hash_piece *pieces, size_t n, uint8_t *out)
{
    uint8_t padded[HASH_BLOCK_MAX] = {0}, pad[HASH_BLOCK_MAX], inner[HASH_MAX_LEN];
    struct hash_piece all[HASH_HMAC_PIECES + 1];
    size_t block = block_len(alg);
    enum status st = ST_OK;

    BUG_ON(n > HASH_HMAC_PIECES);
    if (key_len > block)
        st = hash_sum(cc, alg, key, key_len, padded);
    else if (key_len > 0)
        memcpy(padded, key, key_len);
    if (st != ST_OK)
        goto out;

    pad_key(pad, padded, block, 0x36);
    all[0] = (struct hash_piece){pad, block};
    for (size_t i = 0; i < n; i++)
        all[i + 1] = pieces[i];
    st = hash_pieces(cc, alg, all, n + 1, inner);
    if (st != ST_OK)
        goto out;

    pad_key(pad, padded, block, 0x5c);
    all[1] = (struct hash_piece){inner, hash_len(alg)};
    st = hash_pieces(cc, alg, all, 2, out);
out:
    crypto_wipe(padded, sizeof(padded));
    crypto_wipe(pad, sizeof(pad));
    crypto_wipe(inner, sizeof(inner));
    return st;
}
