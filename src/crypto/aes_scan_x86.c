#include "crypto/aes_scan_x86.h"

#ifdef __x86_64__

#include <immintrin.h>

#include "crypto/cpu.h"

/* One decryption waits four cycles a round for itself; so many independent ones fill the unit. */
#define GROUPS_AESNI 2 /* 8 registers of one key each */
#define GROUPS_WIDE  4 /* 8 of two keys, or 4 of four */

/* The first key from @from on among those of groups @g.. of which bit i of @hits tells. */
static size_t first_of(unsigned hits, size_t g, size_t from)
{
    size_t base = g * AES_SCAN_LANES;

    if (from > base)
        hits &= from - base < 32 ? ~0u << (from - base) : 0;
    return hits != 0 ? base + (size_t)__builtin_ctz(hits) : AES_SCAN_NONE;
}

/* ---- AES-NI: a register a key ---------------------------------------------------------------- */

#define TARGET_AESNI __attribute__((target("aes,sse4.1")))

/* Bit i: key i of @groups groups fits. */
TARGET_AESNI static inline __attribute__((always_inline)) unsigned
hits_aesni(const struct aes_scan_group *g, unsigned groups, __m128i block)
{
    __m128i x[GROUPS_AESNI * AES_SCAN_LANES];
    unsigned hits = 0, keys = groups * AES_SCAN_LANES;

    CPU_UNROLL
    for (unsigned i = 0; i < keys; i++)
        x[i] = _mm_xor_si128(block, ((const __m128i *)(const void *)g[i / 4].round[0])[i % 4]);
    CPU_UNROLL
    for (unsigned r = 1; r < 10; r++) {
        CPU_UNROLL
        for (unsigned i = 0; i < keys; i++)
            x[i] =
                _mm_aesdec_si128(x[i], ((const __m128i *)(const void *)g[i / 4].round[r])[i % 4]);
    }
    CPU_UNROLL
    for (unsigned i = 0; i < keys; i++) {
        x[i] =
            _mm_aesdeclast_si128(x[i], ((const __m128i *)(const void *)g[i / 4].round[10])[i % 4]);
        hits |= (unsigned)(_mm_cvtsi128_si32(x[i]) == 0) << i;
    }
    return hits;
}

TARGET_AESNI size_t aes_scan_find_aesni(const struct aes_scan_group *groups, size_t n, size_t from,
                                        const uint8_t block[AES_SCAN_BLOCK])
{
    __m128i b = _mm_loadu_si128((const __m128i *)(const void *)block);
    size_t g = from / AES_SCAN_LANES, found;

    for (; g + GROUPS_AESNI <= n; g += GROUPS_AESNI) {
        unsigned hits = hits_aesni(groups + g, GROUPS_AESNI, b);
        if (hits != 0 && (found = first_of(hits, g, from)) != AES_SCAN_NONE)
            return found;
    }
    for (; g < n; g++) {
        unsigned hits = hits_aesni(groups + g, 1, b);
        if (hits != 0 && (found = first_of(hits, g, from)) != AES_SCAN_NONE)
            return found;
    }
    return AES_SCAN_NONE;
}

/* ---- VAES on 256 bits: a register two keys --------------------------------------------------- */

#define TARGET_VAES256 __attribute__((target("vaes,avx2")))

/* Bit i: key i of @groups groups fits. */
TARGET_VAES256 static inline __attribute__((always_inline)) unsigned
hits_vaes256(const struct aes_scan_group *g, unsigned groups, __m256i block)
{
    __m256i x[GROUPS_WIDE * 2];
    unsigned hits = 0, pairs = groups * 2;

    CPU_UNROLL
    for (unsigned i = 0; i < pairs; i++)
        x[i] = _mm256_xor_si256(block, ((const __m256i *)(const void *)g[i / 2].round[0])[i % 2]);
    CPU_UNROLL
    for (unsigned r = 1; r < 10; r++) {
        CPU_UNROLL
        for (unsigned i = 0; i < pairs; i++)
            x[i] = _mm256_aesdec_epi128(x[i],
                                        ((const __m256i *)(const void *)g[i / 2].round[r])[i % 2]);
    }
    CPU_UNROLL
    for (unsigned i = 0; i < pairs; i++) {
        x[i] = _mm256_aesdeclast_epi128(x[i],
                                        ((const __m256i *)(const void *)g[i / 2].round[10])[i % 2]);
        __m256i zero = _mm256_cmpeq_epi32(x[i], _mm256_setzero_si256());
        unsigned words = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(zero));
        hits |= ((words & 1) | ((words >> 3) & 2)) << (2 * i);
    }
    return hits;
}

TARGET_VAES256 size_t aes_scan_find_vaes256(const struct aes_scan_group *groups, size_t n,
                                            size_t from, const uint8_t block[AES_SCAN_BLOCK])
{
    __m256i b = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)block));
    size_t g = from / AES_SCAN_LANES, found;

    for (; g + GROUPS_WIDE <= n; g += GROUPS_WIDE) {
        unsigned hits = hits_vaes256(groups + g, GROUPS_WIDE, b);
        if (hits != 0 && (found = first_of(hits, g, from)) != AES_SCAN_NONE)
            return found;
    }
    for (; g < n; g++) {
        unsigned hits = hits_vaes256(groups + g, 1, b);
        if (hits != 0 && (found = first_of(hits, g, from)) != AES_SCAN_NONE)
            return found;
    }
    return AES_SCAN_NONE;
}

/* ---- VAES on 512 bits: a register a group ---------------------------------------------------- */

/* gcc 12's AddressSanitizer puts locals of 64 bytes at multiples of 32 when it looks for uses after
 * return, and the aligned stores to them fault. */
#define TARGET_VAES512 __attribute__((target("vaes,avx512f"), no_sanitize("address")))

/* Bit i: key i of @count groups fits. */
TARGET_VAES512 static inline __attribute__((always_inline)) unsigned
hits_vaes512(const struct aes_scan_group *g, unsigned count, __m512i block)
{
    __m512i x[GROUPS_WIDE];
    unsigned hits = 0;

    CPU_UNROLL
    for (unsigned i = 0; i < count; i++)
        x[i] = _mm512_xor_si512(block, *(const __m512i *)(const void *)g[i].round[0]);
    CPU_UNROLL
    for (unsigned r = 1; r < 10; r++) {
        CPU_UNROLL
        for (unsigned i = 0; i < count; i++)
            x[i] = _mm512_aesdec_epi128(x[i], *(const __m512i *)(const void *)g[i].round[r]);
    }
    CPU_UNROLL
    for (unsigned i = 0; i < count; i++) {
        x[i] = _mm512_aesdeclast_epi128(x[i], *(const __m512i *)(const void *)g[i].round[10]);
        unsigned words = _mm512_testn_epi32_mask(x[i], x[i]) & 0x1111u;
        hits |= ((words | words >> 3 | words >> 6 | words >> 9) & 0xfu) << (4 * i);
    }
    return hits;
}

TARGET_VAES512 size_t aes_scan_find_vaes512(const struct aes_scan_group *groups, size_t n,
                                            size_t from, const uint8_t block[AES_SCAN_BLOCK])
{
    __m512i b = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)block));
    size_t g = from / AES_SCAN_LANES, found;

    for (; g + GROUPS_WIDE <= n; g += GROUPS_WIDE) {
        unsigned hits = hits_vaes512(groups + g, GROUPS_WIDE, b);
        if (hits != 0 && (found = first_of(hits, g, from)) != AES_SCAN_NONE)
            return found;
    }
    for (; g < n; g++) {
        unsigned hits = hits_vaes512(groups + g, 1, b);
        if (hits != 0 && (found = first_of(hits, g, from)) != AES_SCAN_NONE)
            return found;
    }
    return AES_SCAN_NONE;
}

#endif
