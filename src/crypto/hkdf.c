#include "crypto/hkdf.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/mem.h"

#define LABEL_PREFIX "tls13 "
#define LABEL_MAX    255u

enum status hkdf_extract(struct crypto_ctx *cc, enum hash_alg alg, const void *salt,
                         size_t salt_len, const void *ikm, size_t ikm_len, uint8_t *prk)
{
    return hash_hmac(cc, alg, salt, salt_len, &(struct hash_piece){ikm, ikm_len}, 1, prk);
}

enum status hkdf_expand(struct crypto_ctx *cc, enum hash_alg alg, const uint8_t *prk,
                        const void *info, size_t info_len, uint8_t *out, size_t len)
{
    uint8_t block[HASH_MAX_LEN];
    size_t step = hash_len(alg), have = 0; /* have: bytes of the previous block */
    enum status st = ST_OK;

    BUG_ON(len > 255 * step);
    for (uint8_t i = 1; len > 0 && st == ST_OK; i++) {
        struct hash_piece in[] = {{block, have}, {info, info_len}, {&i, 1}};
        st = hash_hmac(cc, alg, prk, step, in, 3, block);
        have = step;
        size_t n = len < step ? len : step;
        if (st == ST_OK)
            memcpy(out, block, n);
        out += n;
        len -= n;
    }
    crypto_wipe(block, sizeof(block));
    return st;
}

enum status hkdf_expand_label(struct crypto_ctx *cc, enum hash_alg alg, const uint8_t *secret,
                              const char *label, const void *context, size_t context_len,
                              uint8_t *out, size_t len)
{
    uint8_t info[2 + 1 + LABEL_MAX + 1 + 255];
    size_t prefix_len = sizeof(LABEL_PREFIX) - 1, label_len = strlen(label);
    uint8_t *p = info;

    BUG_ON(prefix_len + label_len > LABEL_MAX || context_len > 255 || len > UINT16_MAX);
    put_be16(p, (uint16_t)len);
    p[2] = (uint8_t)(prefix_len + label_len);
    p += 3;
    memcpy(p, LABEL_PREFIX, prefix_len);
    memcpy(p + prefix_len, label, label_len);
    p += prefix_len + label_len;
    *p++ = (uint8_t)context_len;
    if (context_len > 0)
        memcpy(p, context, context_len);
    p += context_len;
    return hkdf_expand(cc, alg, secret, info, (size_t)(p - info), out, len);
}
