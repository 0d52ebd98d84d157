/* crypto/lanes_body.h - the vector code of crypto/lanes.c, included once for each width: W lanes,
 * functions named by FN, compiled for TARGET. No include guard: that is its purpose. */

#if W == 1
typedef uint32_t FN(vec);
#else
typedef uint32_t FN(vec) __attribute__((vector_size(4 * W), aligned(4), may_alias));
#endif

#define VEC       FN(vec)
#define ALL(x)    FN(all)(x)
#define ROL(x, n) (((x) << (n)) | ((x) >> (32 - (n))))
#define INLINE    static inline __attribute__((always_inline)) UNCHECKED TARGET
#define AT(p)     (*(const VEC *)(const void *)(p))
#define PUT(p, v) (*(VEC *)(void *)(p) = (v))
#define SCHEDULED(i)                                                                               \
    (w[(i)&15] = ROL(w[((i) + 13) & 15] ^ w[((i) + 8) & 15] ^ w[((i) + 2) & 15] ^ w[(i)&15], 1))
#define STEP(a, b, c, d, e, f, k, x)                                                               \
    do {                                                                                           \
        (e) += ROL(a, 5) + f(b, c, d) + ALL(k) + (x);                                              \
        (b) = ROL(b, 30);                                                                          \
    } while (0)
#define FIVE(f, k, x0, x1, x2, x3, x4)                                                             \
    do {                                                                                           \
        STEP(a, b, c, d, e, f, k, x0);                                                             \
        STEP(e, a, b, c, d, f, k, x1);                                                             \
        STEP(d, e, a, b, c, f, k, x2);                                                             \
        STEP(c, d, e, a, b, f, k, x3);                                                             \
        STEP(b, c, d, e, a, f, k, x4);                                                             \
    } while (0)
#define FIVE_OF(f, k, i)                                                                           \
    FIVE(f, k, SCHEDULED(i), SCHEDULED((i) + 1), SCHEDULED((i) + 2), SCHEDULED((i) + 3),           \
         SCHEDULED((i) + 4))

INLINE VEC FN(all)(uint32_t x)
{
#if W == 1
    return x;
#else
    return (VEC){0} + x;
#endif
}

/* One compression of SHA-1 (FIPS 180-4 section 6.1.2) from @from to @h; @w is spent. */
INLINE void FN(sha1)(VEC h[5], const VEC from[5], VEC w[16])
{
    VEC a = from[0], b = from[1], c = from[2], d = from[3], e = from[4];

    FIVE(CHOOSE, 0x5a827999, w[0], w[1], w[2], w[3], w[4]);
    FIVE(CHOOSE, 0x5a827999, w[5], w[6], w[7], w[8], w[9]);
    FIVE(CHOOSE, 0x5a827999, w[10], w[11], w[12], w[13], w[14]);
    FIVE(CHOOSE, 0x5a827999, w[15], SCHEDULED(16), SCHEDULED(17), SCHEDULED(18), SCHEDULED(19));
    FIVE_OF(PARITY, 0x6ed9eba1, 20);
    FIVE_OF(PARITY, 0x6ed9eba1, 25);
    FIVE_OF(PARITY, 0x6ed9eba1, 30);
    FIVE_OF(PARITY, 0x6ed9eba1, 35);
    FIVE_OF(MAJORITY, 0x8f1bbcdc, 40);
    FIVE_OF(MAJORITY, 0x8f1bbcdc, 45);
    FIVE_OF(MAJORITY, 0x8f1bbcdc, 50);
    FIVE_OF(MAJORITY, 0x8f1bbcdc, 55);
    FIVE_OF(PARITY, 0xca62c1d6, 60);
    FIVE_OF(PARITY, 0xca62c1d6, 65);
    FIVE_OF(PARITY, 0xca62c1d6, 70);
    FIVE_OF(PARITY, 0xca62c1d6, 75);
    h[0] = from[0] + a;
    h[1] = from[1] + b;
    h[2] = from[2] + c;
    h[3] = from[3] + d;
    h[4] = from[4] + e;
}

/* The last block of a message: @n words in @w, the bit behind them, its length in bytes. */
INLINE void FN(pad)(VEC w[16], unsigned n, uint32_t bytes)
{
    w[n] = ALL(0x80000000u);
    for (unsigned i = n + 1; i < 15; i++)
        w[i] = ALL(0);
    w[15] = ALL(bytes * 8);
}

/* The outer half of an HMAC: @h becomes the digest. */
INLINE void FN(outer)(VEC h[5], const VEC state[5])
{
    VEC w[16];

    for (unsigned i = 0; i < 5; i++)
        w[i] = h[i];
    FN(pad)(w, 5, 64 + 20);
    FN(sha1)(h, state, w);
}

/* A block of HKDF's expansion: @have words of the block before it, then @tail. */
INLINE void FN(expand)(VEC t[5], const VEC pads[2][5], unsigned have, const uint32_t tail[16])
{
    VEC w[16], h[5];

    for (unsigned i = 0; i < 16; i++)
        w[i] = i < have ? t[i] : ALL(tail[i]);
    FN(sha1)(h, pads[0], w);
    FN(outer)(h, pads[1]);
    for (unsigned i = 0; i < 5; i++)
        t[i] = h[i];
}

static UNCHECKED TARGET void FN(hkdf)(const struct lanes_salt *s, const struct tails *tails,
                                      const uint32_t (*in)[LANES], unsigned words,
                                      uint32_t (*out)[LANES], unsigned at)
{
    VEC w[16], prk[5], state[5], pads[2][5], t[5];

    for (unsigned i = 0; i < words; i++)
        w[i] = AT(&in[i][at]);
    FN(pad)(w, words, 64 + 4 * words);
    for (unsigned i = 0; i < 5; i++)
        state[i] = ALL(s->inner[i]);
    FN(sha1)(prk, state, w);
    for (unsigned i = 0; i < 5; i++)
        state[i] = ALL(s->outer[i]);
    FN(outer)(prk, state);

    for (unsigned i = 0; i < 5; i++)
        state[i] = ALL(SHA1_START[i]);
    for (unsigned k = 0; k < 2; k++) {
        uint32_t pad = k == 0 ? 0x36363636 : 0x5c5c5c5c;
        for (unsigned i = 0; i < 16; i++)
            w[i] = (i < 5 ? prk[i] : ALL(0)) ^ ALL(pad);
        FN(sha1)(pads[k], state, w);
    }
    FN(expand)(t, pads, 0, tails->first);
    for (unsigned i = 0; i < 5 && i < words; i++)
        PUT(&out[i][at], t[i]);
    if (words > 5) {
        FN(expand)(t, pads, 5, tails->second);
        for (unsigned i = 5; i < words; i++)
            PUT(&out[i][at], t[i - 5]);
    }
}

#include "crypto/lanes_chacha.h"

#undef VEC
#undef ALL
#undef ROL
#undef INLINE
#undef AT
#undef PUT
#undef SCHEDULED
#undef STEP
#undef FIVE
#undef FIVE_OF
