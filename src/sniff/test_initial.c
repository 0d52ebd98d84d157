#include "sniff/test_initial.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/aead.h"
#include "crypto/aes_block.h"

#define ID_LEN 8u

static const uint8_t first_id[ID_LEN] = {0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08};
static const uint8_t servers_id[ID_LEN] = {1, 2, 3, 4, 5, 6, 7, 8};

struct keys {
    uint8_t key[16], iv[12], hp[16];
};

static const struct keys v1 = {
    {0x1f, 0x36, 0x96, 0x13, 0xdd, 0x76, 0xd5, 0x46, 0x77, 0x30, 0xef, 0xcb, 0xe3, 0xb1, 0xa2,
     0x2d},
    {0xfa, 0x04, 0x4b, 0x2f, 0x42, 0xa3, 0xfd, 0x3b, 0x46, 0xfb, 0x25, 0x5c},
    {0x9f, 0x50, 0x44, 0x9e, 0x04, 0xa0, 0xe8, 0x10, 0x28, 0x3a, 0x1e, 0x99, 0x33, 0xad, 0xed,
     0xd2},
};

static const struct keys v2 = {
    {0x8b, 0x1a, 0x0b, 0xc1, 0x21, 0x28, 0x42, 0x90, 0xa2, 0x9e, 0x09, 0x71, 0xb5, 0xcd, 0x04,
     0x5d},
    {0x91, 0xf7, 0x3e, 0x23, 0x51, 0xd8, 0xfa, 0x91, 0x66, 0x0e, 0x90, 0x9f},
    {0x45, 0xb9, 0x5e, 0x15, 0x23, 0x5d, 0x6f, 0x45, 0xa6, 0xb1, 0x9c, 0xbc, 0xb0, 0x29, 0x4b,
     0xa9},
};

static size_t seal(struct crypto_ctx *cc, uint32_t version, const uint8_t id[ID_LEN], uint16_t pn,
                   const uint8_t *frames, size_t n, uint8_t *out)
{
    const struct keys *k = version == TEST_INITIAL_V2 ? &v2 : &v1;
    uint8_t iv[12], mask[AES_BLOCK_LEN];
    struct aes_block hp;
    size_t at = 0;

    out[at++] = version == TEST_INITIAL_V2 ? 0xd1 : 0xc1; /* Initial, a number of two bytes */
    put_be32(out + at, version);
    at += 4;
    out[at++] = ID_LEN;
    memcpy(out + at, id, ID_LEN);
    at += ID_LEN;
    out[at++] = 0; /* no source connection id, no token */
    out[at++] = 0;
    put_be16(out + at, (uint16_t)(0x4000 | (2 + n + AEAD_TAG_LEN)));
    at += 2;
    size_t pn_at = at;
    put_be16(out + at, pn);
    at += 2;

    memcpy(iv, k->iv, sizeof(iv));
    iv[10] ^= (uint8_t)(pn >> 8);
    iv[11] ^= (uint8_t)pn;
    memcpy(out + at, frames, n);
    BUG_ON(aead_seal(cc, AEAD_AES_128_GCM, k->key, iv, out, at, out + at, n, out + at + n) !=
           ST_OK);
    aes_block_init(&hp, k->hp, sizeof(k->hp), false);
    BUG_ON(aes_block_run(&hp, out + pn_at + 4, mask) != ST_OK);
    out[0] ^= mask[0] & 0x0f;
    out[pn_at] ^= mask[1];
    out[pn_at + 1] ^= mask[2];
    return at + n + AEAD_TAG_LEN;
}

size_t test_initial_seal(struct crypto_ctx *cc, uint32_t version, uint16_t pn,
                         const uint8_t *frames, size_t n, uint8_t *out)
{
    return seal(cc, version, first_id, pn, frames, n, out);
}

size_t test_initial_seal_answered(struct crypto_ctx *cc, uint32_t version, uint16_t pn,
                                  const uint8_t *frames, size_t n, uint8_t *out)
{
    return seal(cc, version, servers_id, pn, frames, n, out);
}

size_t test_initial_crypto(uint8_t *out, size_t at, const uint8_t *data, size_t n)
{
    out[0] = 6;
    put_be32(out + 1, 0x80000000u | (uint32_t)at);
    put_be32(out + 5, 0x80000000u | (uint32_t)n);
    memcpy(out + 9, data, n);
    return 9 + n;
}

size_t test_initial_hello(uint8_t *out, const char *name)
{
    static const uint8_t fixed[] = {0, 0, 2, 0x13, 1, 1, 0};
    size_t n = strlen(name), at = 9;

    memset(out, 0, 64);
    put_be16(out + at, 0x0303);
    at += 2 + 32;
    memcpy(out + at, fixed, sizeof(fixed));
    at += sizeof(fixed);
    put_be16(out + at, (uint16_t)(n + 9));
    put_be16(out + at + 4, (uint16_t)(n + 5));
    put_be16(out + at + 6, (uint16_t)(n + 3));
    put_be16(out + at + 9, (uint16_t)n);
    memcpy(out + at + 11, name, n);
    at += 11 + n;
    out[0] = 0x16;
    out[1] = 3;
    out[2] = 1;
    put_be16(out + 3, (uint16_t)(at - 5));
    out[5] = 1;
    put_be24(out + 6, (uint32_t)(at - 9));
    return at;
}
