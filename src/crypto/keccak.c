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

/* Lanes in the order rho and pi visit them from lane 1 on, and how far each is turned. */
static const uint8_t PI[ROUNDS] = {10, 7,  11, 17, 18, 3, 5,  16, 8,  21, 24, 4,
                                   15, 23, 19, 13, 12, 2, 20, 14, 22, 9,  6,  1};
static const uint8_t RHO[ROUNDS] = {1,  3,  6,  10, 15, 21, 28, 36, 45, 55, 2,  14,
                                    27, 41, 56, 8,  25, 43, 62, 18, 39, 61, 20, 44};

static inline uint64_t rotl(uint64_t x, unsigned n)
{
    return (x << n) | (x >> (64 - n));
}

static void permute(uint64_t a[25])
{
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t c[5], last = a[1];
        for (int x = 0; x < 5; x++)
            c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        for (int x = 0; x < 5; x++) {
            uint64_t d = c[(x + 4) % 5] ^ rotl(c[(x + 1) % 5], 1);
            for (int y = 0; y < 25; y += 5)
                a[y + x] ^= d;
        }
        last = a[1];
        for (int i = 0; i < ROUNDS; i++) {
            uint64_t next = a[PI[i]];
            a[PI[i]] = rotl(last, RHO[i]);
            last = next;
        }
        for (int y = 0; y < 25; y += 5) {
            uint64_t row[5] = {a[y], a[y + 1], a[y + 2], a[y + 3], a[y + 4]};
            for (int x = 0; x < 5; x++)
                a[y + x] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5]);
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
