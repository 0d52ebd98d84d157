#include "crypto/keccak.h"

#include "crypto/mem.h"

#define ROUNDS      24
#define PAD_SHA3    0x06
#define PAD_SHAKE   0x1f
#define RATE_SHA256 136
#define RATE_SHA512 72

static const uint64_t ROUND[ROUNDS] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000,
    0x000000000000808b, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
    0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

static inline uint64_t rotl(uint64_t x, unsigned n)
{
    return (x << n) | (x >> (64 - n));
}

/* Theta, rho and pi of all lanes written out: with tables the same takes three times as long. */
static void permute(uint64_t a[25])
{
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t b[25], c[5], d[5];
        for (int x = 0; x < 5; x++)
            c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        d[0] = c[4] ^ rotl(c[1], 1);
        d[1] = c[0] ^ rotl(c[2], 1);
        d[2] = c[1] ^ rotl(c[3], 1);
        d[3] = c[2] ^ rotl(c[4], 1);
        d[4] = c[3] ^ rotl(c[0], 1);
        b[0] = a[0] ^ d[0];
        b[1] = rotl(a[6] ^ d[1], 44);
        b[2] = rotl(a[12] ^ d[2], 43);
        b[3] = rotl(a[18] ^ d[3], 21);
        b[4] = rotl(a[24] ^ d[4], 14);
        b[5] = rotl(a[3] ^ d[3], 28);
        b[6] = rotl(a[9] ^ d[4], 20);
        b[7] = rotl(a[10] ^ d[0], 3);
        b[8] = rotl(a[16] ^ d[1], 45);
        b[9] = rotl(a[22] ^ d[2], 61);
        b[10] = rotl(a[1] ^ d[1], 1);
        b[11] = rotl(a[7] ^ d[2], 6);
        b[12] = rotl(a[13] ^ d[3], 25);
        b[13] = rotl(a[19] ^ d[4], 8);
        b[14] = rotl(a[20] ^ d[0], 18);
        b[15] = rotl(a[4] ^ d[4], 27);
        b[16] = rotl(a[5] ^ d[0], 36);
        b[17] = rotl(a[11] ^ d[1], 10);
        b[18] = rotl(a[17] ^ d[2], 15);
        b[19] = rotl(a[23] ^ d[3], 56);
        b[20] = rotl(a[2] ^ d[2], 62);
        b[21] = rotl(a[8] ^ d[3], 55);
        b[22] = rotl(a[14] ^ d[4], 39);
        b[23] = rotl(a[15] ^ d[0], 41);
        b[24] = rotl(a[21] ^ d[1], 2);
        for (int y = 0; y < 25; y += 5) {
            a[y] = b[y] ^ (~b[y + 1] & b[y + 2]);
            a[y + 1] = b[y + 1] ^ (~b[y + 2] & b[y + 3]);
            a[y + 2] = b[y + 2] ^ (~b[y + 3] & b[y + 4]);
            a[y + 3] = b[y + 3] ^ (~b[y + 4] & b[y]);
            a[y + 4] = b[y + 4] ^ (~b[y] & b[y + 1]);
        }
        a[0] ^= ROUND[round];
    }
}

static void put(struct keccak *k, unsigned at, uint8_t byte)
{
    k->lane[at / 8] ^= (uint64_t)byte << (8 * (at % 8));
}

void keccak_init(struct keccak *k, enum keccak_rate rate)
{
    *k = (struct keccak){.rate = (uint8_t)rate};
}

void keccak_absorb(struct keccak *k, const void *data, size_t n)
{
    const uint8_t *p = data;

    for (size_t i = 0; i < n; i++) {
        put(k, k->at, p[i]);
        if (++k->at == k->rate) {
            permute(k->lane);
            k->at = 0;
        }
    }
}

static void finish(struct keccak *k, uint8_t pad)
{
    put(k, k->at, pad);
    put(k, k->rate - 1u, 0x80);
    permute(k->lane);
    k->at = 0;
}

void keccak_finish(struct keccak *k)
{
    finish(k, PAD_SHAKE);
}

void keccak_squeeze(struct keccak *k, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (k->at == k->rate) {
            permute(k->lane);
            k->at = 0;
        }
        out[i] = (uint8_t)(k->lane[k->at / 8] >> (8 * (k->at % 8)));
        k->at++;
    }
}

void keccak_wipe(struct keccak *k)
{
    crypto_wipe(k, sizeof(*k));
}

static void digest(uint8_t rate, uint8_t pad, uint8_t *out, size_t n, const void *a, size_t a_len,
                   const void *b, size_t b_len)
{
    struct keccak k = {.rate = rate};

    keccak_absorb(&k, a, a_len);
    keccak_absorb(&k, b, b_len);
    finish(&k, pad);
    keccak_squeeze(&k, out, n);
    keccak_wipe(&k);
}

void keccak_sha3_256(uint8_t out[KECCAK_SHA3_256_LEN], const void *a, size_t a_len, const void *b,
                     size_t b_len)
{
    digest(RATE_SHA256, PAD_SHA3, out, KECCAK_SHA3_256_LEN, a, a_len, b, b_len);
}

void keccak_sha3_512(uint8_t out[KECCAK_SHA3_512_LEN], const void *a, size_t a_len, const void *b,
                     size_t b_len)
{
    digest(RATE_SHA512, PAD_SHA3, out, KECCAK_SHA3_512_LEN, a, a_len, b, b_len);
}

void keccak_shake256(uint8_t *out, size_t n, const void *a, size_t a_len, const void *b,
                     size_t b_len)
{
    digest(KECCAK_SHAKE256, PAD_SHAKE, out, n, a, a_len, b, b_len);
}
