#include "crypto/ghash.h"

#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"

/* Numbers are strings of bits whose first is the coefficient of 1; the polynomial is x^128 + x^7 +
 * x^2 + x + 1. */

static void times_portable(uint8_t x[16], const uint8_t h[16])
{
    uint64_t high = get_be64(h), low = get_be64(h + 8), sum_high = 0, sum_low = 0;

    for (unsigned i = 0; i < 128; i++) {
        uint64_t take = 0 - (uint64_t)(x[i / 8] >> (7 - i % 8) & 1);
        uint64_t over = 0 - (low & 1);
        sum_high ^= high & take;
        sum_low ^= low & take;
        low = low >> 1 | high << 63;
        high = high >> 1 ^ (over & 0xe100000000000000u);
    }
    put_be64(x, sum_high);
    put_be64(x + 8, sum_low);
}

#if defined(__x86_64__)

#include <immintrin.h>

#define CLMUL __attribute__((target("pclmul,ssse3")))

CLMUL static __m128i load(const uint8_t *p)
{
    const __m128i reverse = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), reverse);
}

CLMUL static void times_fast(uint8_t x[16], const uint8_t h[16])
{
    const __m128i a = load(x), b = load(h);
    __m128i low = _mm_clmulepi64_si128(a, b, 0x00), high = _mm_clmulepi64_si128(a, b, 0x11);
    __m128i middle =
        _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x10), _mm_clmulepi64_si128(a, b, 0x01));

    low = _mm_xor_si128(low, _mm_slli_si128(middle, 8));
    high = _mm_xor_si128(high, _mm_srli_si128(middle, 8));
    /* The product of two reflected numbers is reflected but for one place. */
    __m128i out_of_low = _mm_srli_epi32(low, 31), out_of_high = _mm_srli_epi32(high, 31);
    low = _mm_or_si128(_mm_slli_epi32(low, 1), _mm_slli_si128(out_of_low, 4));
    high = _mm_or_si128(_mm_slli_epi32(high, 1), _mm_slli_si128(out_of_high, 4));
    high = _mm_or_si128(high, _mm_srli_si128(out_of_low, 12));
    /* What is over 127 comes back at 0, 1, 2 and 7: in two steps, for some of it is over again. */
    __m128i fold = _mm_xor_si128(_mm_xor_si128(_mm_slli_epi32(low, 31), _mm_slli_epi32(low, 30)),
                                 _mm_slli_epi32(low, 25));
    low = _mm_xor_si128(low, _mm_slli_si128(fold, 12));
    __m128i rest = _mm_xor_si128(_mm_xor_si128(_mm_srli_epi32(low, 1), _mm_srli_epi32(low, 2)),
                                 _mm_srli_epi32(low, 7));
    rest = _mm_xor_si128(_mm_xor_si128(rest, _mm_srli_si128(fold, 4)), low);
    __m128i product = _mm_xor_si128(high, rest);
    const __m128i reverse = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm_storeu_si128((__m128i *)(void *)x, _mm_shuffle_epi8(product, reverse));
}

static void times(uint8_t x[16], const uint8_t h[16])
{
    if (__builtin_cpu_supports("pclmul") && __builtin_cpu_supports("ssse3"))
        times_fast(x, h);
    else
        times_portable(x, h);
}

#else

static void times(uint8_t x[16], const uint8_t h[16])
{
    times_portable(x, h);
}

#endif

static void tag_by(void (*multiply)(uint8_t *, const uint8_t *), const uint8_t h[16],
                   const uint8_t mask[16], const uint8_t *text, size_t len, uint8_t tag[16])
{
    uint8_t x[16] = {0};

    memcpy(x, text, len);
    multiply(x, h);
    x[15] = (uint8_t)(x[15] ^ (len * 8)); /* at most 128 */
    multiply(x, h);
    for (unsigned i = 0; i < 16; i++)
        tag[i] = x[i] ^ mask[i];
}

void ghash_tag(const uint8_t h[16], const uint8_t mask[16], const uint8_t *text, size_t len,
               uint8_t tag[16])
{
    tag_by(times, h, mask, text, len, tag);
}

void ghash_tag_portable(const uint8_t h[16], const uint8_t mask[16], const uint8_t *text,
                        size_t len, uint8_t tag[16])
{
    tag_by(times_portable, h, mask, text, len, tag);
}
