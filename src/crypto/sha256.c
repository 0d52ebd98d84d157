#include "crypto/sha256.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/mem.h"

static const uint32_t ROUND[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotr(uint32_t x, unsigned n)
{
    return (x >> n) | (x << (32 - n));
}

static void expand(uint32_t w[64], const uint8_t *block)
{
    for (unsigned i = 0; i < 16; i++)
        w[i] = get_be32(block + 4 * i);
    for (unsigned i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (rotr(a, 7) ^ rotr(a, 18) ^ (a >> 3)) +
               (rotr(b, 17) ^ rotr(b, 19) ^ (b >> 10));
    }
}

void sha256_mix_portable(struct sha256_state *s, const uint8_t *data, size_t blocks)
{
    uint32_t w[64];

    for (; blocks > 0; blocks--, data += SHA256_BLOCK) {
        struct sha256_state v = *s;
        uint32_t *x = v.word;

        expand(w, data);
        for (unsigned i = 0; i < 64; i++) {
            uint32_t t1 = x[7] + (rotr(x[4], 6) ^ rotr(x[4], 11) ^ rotr(x[4], 25)) +
                          ((x[4] & x[5]) ^ (~x[4] & x[6])) + ROUND[i] + w[i];
            uint32_t t2 = (rotr(x[0], 2) ^ rotr(x[0], 13) ^ rotr(x[0], 22)) +
                          ((x[0] & x[1]) ^ (x[0] & x[2]) ^ (x[1] & x[2]));
            memmove(x + 1, x, 7 * sizeof(*x));
            x[4] += t1;
            x[0] = t1 + t2;
        }
        for (unsigned i = 0; i < 8; i++)
            s->word[i] += x[i];
    }
    crypto_wipe(w, sizeof(w));
}

void sha256_start(struct sha256_state *s)
{
    static const struct sha256_state empty = {{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
    *s = empty;
}

void sha256_end(sha256_mix_fn *mix, const struct sha256_state *s, size_t before, const void *tail,
                size_t n, uint8_t out[SHA256_LEN])
{
    struct sha256_state v = *s;
    uint8_t block[SHA256_BLOCK] = {0};

    if (n > 0)
        memcpy(block, tail, n);
    block[n] = 0x80;
    put_be64(block + SHA256_BLOCK - 8, (uint64_t)(before + n) * 8);
    mix(&v, block, 1);
    for (unsigned i = 0; i < 8; i++)
        put_be32(out + 4 * i, v.word[i]);
    crypto_wipe(block, sizeof(block));
    crypto_wipe(&v, sizeof(v));
}

#ifdef __x86_64__

#include <immintrin.h>

#include "crypto/cpu.h"

/* The instructions hold the state as ABEF and CDGH. */
__attribute__((target("sha,sse4.1"))) static void mix_sha(struct sha256_state *s,
                                                          const uint8_t *data, size_t blocks)
{
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i dcba = _mm_loadu_si128((const __m128i *)(const void *)&s->word[0]);
    __m128i hgfe = _mm_loadu_si128((const __m128i *)(const void *)&s->word[4]);
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);

    for (; blocks > 0; blocks--, data += SHA256_BLOCK) {
        __m128i abef_was = abef, cdgh_was = cdgh, w[4];

        for (unsigned i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(data + 16 * i)),
                                    order);
        CPU_UNROLL
        for (unsigned i = 0; i < 16; i++) {
            __m128i k = _mm_load_si128((const __m128i *)(const void *)&ROUND[4 * i]);
            __m128i wk = _mm_add_epi32(w[i % 4], k);

            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));
            if (i < 12) {
                __m128i next = _mm_sha256msg1_epu32(w[i % 4], w[(i + 1) % 4]);
                next = _mm_add_epi32(next, _mm_alignr_epi8(w[(i + 3) % 4], w[(i + 2) % 4], 4));
                w[i % 4] = _mm_sha256msg2_epu32(next, w[(i + 3) % 4]);
            }
        }
        abef = _mm_add_epi32(abef, abef_was);
        cdgh = _mm_add_epi32(cdgh, cdgh_was);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    dcba = _mm_blend_epi16(feba, dchg, 0xf0);
    hgfe = _mm_alignr_epi8(dchg, feba, 8);
    _mm_storeu_si128((__m128i *)(void *)&s->word[0], dcba);
    _mm_storeu_si128((__m128i *)(void *)&s->word[4], hgfe);
}

sha256_mix_fn *sha256_mix_best(void)
{
    return cpu_features() & CPU_SHA ? mix_sha : sha256_mix_portable;
}

#else

sha256_mix_fn *sha256_mix_best(void)
{
    return sha256_mix_portable;
}

#endif
