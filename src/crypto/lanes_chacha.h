/* crypto/lanes_chacha.h - the part of crypto/lanes_body.h that is ChaCha (RFC 8439 section 2.3);
 * included by it, once for each width. */

#define QUARTER(a, b, c, d)                                                                        \
    do {                                                                                           \
        (a) += (b);                                                                                \
        (d) = ROL((d) ^ (a), 16);                                                                  \
        (c) += (d);                                                                                \
        (b) = ROL((b) ^ (c), 12);                                                                  \
        (a) += (b);                                                                                \
        (d) = ROL((d) ^ (a), 8);                                                                   \
        (c) += (d);                                                                                \
        (b) = ROL((b) ^ (c), 7);                                                                   \
    } while (0)

/* The twenty rounds of ChaCha over @in (a block's constant words), keys in place of words 4..11.
 * Gives words 0..3 and 12..15, of which @plus adds the beginning. */
static UNCHECKED TARGET void FN(chacha)(const uint32_t in[16], const uint32_t (*keys)[LANES],
                                        uint32_t (*out)[LANES], bool plus, unsigned at)
{
    VEC x[16];

    for (unsigned i = 0; i < 16; i++)
        x[i] = i >= 4 && i < 12 ? AT(&keys[i - 4][at]) : ALL(in[i]);
    for (unsigned i = 0; i < 10; i++) {
        QUARTER(x[0], x[4], x[8], x[12]);
        QUARTER(x[1], x[5], x[9], x[13]);
        QUARTER(x[2], x[6], x[10], x[14]);
        QUARTER(x[3], x[7], x[11], x[15]);
        QUARTER(x[0], x[5], x[10], x[15]);
        QUARTER(x[1], x[6], x[11], x[12]);
        QUARTER(x[2], x[7], x[8], x[13]);
        QUARTER(x[3], x[4], x[9], x[14]);
    }
    for (unsigned i = 0; i < 4; i++) {
        PUT(&out[i][at], x[i] + ALL(plus ? in[i] : 0));
        PUT(&out[i + 4][at], x[i + 12]);
    }
}

#undef QUARTER
