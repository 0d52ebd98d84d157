#include "crypto/mlkem_poly.h"

#include <string.h>

#include "crypto/keccak.h"
#include "crypto/mem.h"

#define Q         3329u
#define N_INVERSE 3303u    /* 128^-1 mod q: the transform has 7 levels */
#define BARRETT   1290167u /* 2^32 / q, rounded down */
#define ROUNDING  1290168u /* rounded up: exact for what compress divides */

/* 17^bitrev7(i) mod q. */
static const uint16_t ZETA[128] = {
    1,    1729, 2580, 3289, 2642, 630,  1897, 848,  1062, 1919, 193,  797,  2786, 3260, 569,  1746,
    296,  2447, 1339, 1476, 3046, 56,   2240, 1333, 1426, 2094, 535,  2882, 2393, 2879, 1974, 821,
    289,  331,  3253, 1756, 1197, 2304, 2277, 2055, 650,  1977, 2513, 632,  2865, 33,   1320, 1915,
    2319, 1435, 807,  452,  1438, 2868, 1534, 2402, 2647, 2617, 1481, 648,  2474, 3110, 1227, 910,
    17,   2761, 583,  2649, 1637, 723,  2288, 1100, 1409, 2662, 3281, 233,  756,  2156, 3015, 3050,
    1703, 1651, 2789, 1789, 1847, 952,  1461, 2687, 939,  2308, 2437, 2388, 733,  2337, 268,  641,
    1584, 2298, 2037, 3220, 375,  2549, 2090, 1645, 1063, 319,  2773, 757,  2099, 561,  2466, 2594,
    2804, 1092, 403,  1026, 1143, 2150, 2775, 886,  1722, 1212, 1874, 1029, 2110, 2935, 885,  2154,
};

/* @x in 0..2q-1 to 0..q-1 without a branch. */
static inline uint16_t reduce_once(uint32_t x)
{
    uint32_t r = x - Q;
    return (uint16_t)(r + (Q & (0u - (r >> 31))));
}

static inline uint16_t reduce(uint32_t x)
{
    uint32_t quotient = (uint32_t)(((uint64_t)x * BARRETT) >> 32);
    return reduce_once(x - quotient * Q);
}

static inline uint16_t add(uint16_t a, uint16_t b)
{
    return reduce_once((uint32_t)a + b);
}

static inline uint16_t sub(uint16_t a, uint16_t b)
{
    return reduce_once((uint32_t)a + Q - b);
}

static inline uint16_t mul(uint16_t a, uint16_t b)
{
    return reduce((uint32_t)a * b);
}

void mlkem_poly_add(struct mlkem_poly *r, const struct mlkem_poly *a)
{
    for (int i = 0; i < MLKEM_N; i++)
        r->c[i] = add(r->c[i], a->c[i]);
}

void mlkem_poly_sub(struct mlkem_poly *r, const struct mlkem_poly *a)
{
    for (int i = 0; i < MLKEM_N; i++)
        r->c[i] = sub(r->c[i], a->c[i]);
}

/* FIPS 203 algorithm 9. */
void mlkem_poly_ntt(struct mlkem_poly *p)
{
    unsigned k = 1;

    for (int len = 128; len >= 2; len /= 2) {
        for (int start = 0; start < MLKEM_N; start += 2 * len) {
            uint16_t zeta = ZETA[k++];
            for (int j = start; j < start + len; j++) {
                uint16_t t = mul(zeta, p->c[j + len]);
                p->c[j + len] = sub(p->c[j], t);
                p->c[j] = add(p->c[j], t);
            }
        }
    }
}

/* FIPS 203 algorithm 10. */
void mlkem_poly_inverse_ntt(struct mlkem_poly *p)
{
    unsigned k = 127;

    for (int len = 2; len <= 128; len *= 2) {
        for (int start = 0; start < MLKEM_N; start += 2 * len) {
            uint16_t zeta = ZETA[k--];
            for (int j = start; j < start + len; j++) {
                uint16_t t = p->c[j];
                p->c[j] = add(t, p->c[j + len]);
                p->c[j + len] = mul(zeta, sub(p->c[j + len], t));
            }
        }
    }
    for (int i = 0; i < MLKEM_N; i++)
        p->c[i] = mul(p->c[i], N_INVERSE);
}

/* FIPS 203 algorithms 11 and 12: pairs are polynomials modulo X^2 - gamma. */
void mlkem_poly_mul_add(struct mlkem_poly *r, const struct mlkem_poly *a,
                        const struct mlkem_poly *b)
{
    for (int i = 0; i < MLKEM_N; i += 2) {
        uint16_t zeta = ZETA[64 + i / 4];
        uint16_t gamma = i % 4 == 0 ? zeta : (uint16_t)(Q - zeta);
        uint16_t high = mul(mul(a->c[i + 1], b->c[i + 1]), gamma);
        uint32_t low = (uint32_t)a->c[i] * b->c[i] + high + r->c[i];
        uint32_t cross = (uint32_t)a->c[i] * b->c[i + 1] + (uint32_t)a->c[i + 1] * b->c[i];

        r->c[i] = reduce(low);
        r->c[i + 1] = reduce(cross + r->c[i + 1]);
    }
}

/* FIPS 203 algorithm 7. */
void mlkem_poly_matrix(struct mlkem_poly *p, const uint8_t rho[32], uint8_t i, uint8_t j)
{
    struct keccak k;
    uint8_t place[2] = {j, i}, block[KECCAK_SHAKE128];
    size_t at = sizeof(block);

    keccak_init(&k, KECCAK_SHAKE128);
    keccak_absorb(&k, rho, 32);
    keccak_absorb(&k, place, sizeof(place));
    keccak_finish(&k);
    for (int n = 0; n < MLKEM_N; at += 3) {
        if (at == sizeof(block)) {
            keccak_squeeze(&k, block, sizeof(block));
            at = 0;
        }
        uint16_t d1 = (uint16_t)(block[at] | (block[at + 1] & 15) << 8);
        uint16_t d2 = (uint16_t)(block[at + 1] >> 4 | block[at + 2] << 4);
        if (d1 < Q)
            p->c[n++] = d1;
        if (d2 < Q && n < MLKEM_N)
            p->c[n++] = d2;
    }
}

/* FIPS 203 algorithm 8 with eta 2: two bits less two bits. */
void mlkem_poly_noise(struct mlkem_poly *p, const uint8_t secret[32], uint8_t nonce)
{
    uint8_t bytes[MLKEM_N / 2];

    keccak_shake256(bytes, sizeof(bytes), secret, 32, &nonce, 1);
    for (int i = 0; i < MLKEM_N; i++) {
        unsigned bits = (unsigned)bytes[i / 2] >> (4 * (i & 1));
        uint16_t x = (uint16_t)((bits & 1) + (bits >> 1 & 1));
        uint16_t y = (uint16_t)((bits >> 2 & 1) + (bits >> 3 & 1));
        p->c[i] = sub(x, y);
    }
    crypto_wipe(bytes, sizeof(bytes));
}

void mlkem_poly_write(uint8_t out[MLKEM_POLY_LEN], const struct mlkem_poly *p)
{
    for (int i = 0; i < MLKEM_N; i += 2, out += 3) {
        uint16_t a = p->c[i], b = p->c[i + 1];
        out[0] = (uint8_t)a;
        out[1] = (uint8_t)(a >> 8 | b << 4);
        out[2] = (uint8_t)(b >> 4);
    }
}

bool mlkem_poly_read(struct mlkem_poly *p, const uint8_t in[MLKEM_POLY_LEN])
{
    bool good = true;

    for (int i = 0; i < MLKEM_N; i += 2, in += 3) {
        p->c[i] = (uint16_t)(in[0] | (in[1] & 15) << 8);
        p->c[i + 1] = (uint16_t)(in[1] >> 4 | in[2] << 4);
        good &= p->c[i] < Q && p->c[i + 1] < Q;
    }
    return good;
}

void mlkem_poly_compress(uint8_t *out, const struct mlkem_poly *p, unsigned bits)
{
    uint32_t held = 0;
    unsigned have = 0;

    for (int i = 0; i < MLKEM_N; i++) {
        /* A division instruction would take as long as its operand is big. */
        uint32_t scaled = ((uint32_t)p->c[i] << bits) + Q / 2;
        uint32_t x = (uint32_t)(((uint64_t)scaled * ROUNDING) >> 32);
        held |= (x & ((1u << bits) - 1)) << have;
        for (have += bits; have >= 8; have -= 8, held >>= 8)
            *out++ = (uint8_t)held;
    }
}

void mlkem_poly_decompress(struct mlkem_poly *p, const uint8_t *in, unsigned bits)
{
    uint32_t held = 0;
    unsigned have = 0;

    for (int i = 0; i < MLKEM_N; i++) {
        for (; have < bits; have += 8)
            held |= (uint32_t)*in++ << have;
        uint32_t x = held & ((1u << bits) - 1);
        p->c[i] = (uint16_t)((x * Q + (1u << (bits - 1))) >> bits);
        held >>= bits;
        have -= bits;
    }
}
