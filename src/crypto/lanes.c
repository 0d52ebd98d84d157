#include "crypto/lanes.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/mem.h"

static const uint32_t SHA1_START[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
static const uint32_t CHACHA_WORDS[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

/* What follows in the two blocks of HKDF's expansion behind the block before, padding included. */
struct tails {
    uint32_t first[16], second[16];
};

/* The functions of SHA-1's rounds (FIPS 180-4 section 4.1.1). */
#define CHOOSE(b, c, d)   ((d) ^ ((b) & ((c) ^ (d))))
#define PARITY(b, c, d)   ((b) ^ (c) ^ (d))
#define MAJORITY(b, c, d) (((b) & (c)) | ((d) & ((b) ^ (c))))

/* Unsigned words at constant places; with a check at each of them clang needs minutes for this
 * file. */
#define UNCHECKED __attribute__((no_sanitize("undefined")))

#define W     1
#define FN(x) x##_1
#define TARGET
#include "crypto/lanes_body.h"
#undef W
#undef FN
#define W     4
#define FN(x) x##_4
#include "crypto/lanes_body.h"
#undef W
#undef FN
#undef TARGET

#if defined(__x86_64__)
#include <immintrin.h>
#define HAVE_WIDE 1
#define W         8
#define FN(x)     x##_8
#define TARGET    __attribute__((target("avx2")))
#include "crypto/lanes_body.h"
#undef W
#undef FN
#undef TARGET
#define W      16
#define FN(x)  x##_16
#define TARGET __attribute__((target("avx512f")))
#include "crypto/lanes_body.h"
#undef W
#undef FN
#undef TARGET
#endif

unsigned lanes_width(void)
{
#ifdef HAVE_WIDE
    if (__builtin_cpu_supports("avx512f"))
        return 16;
    if (__builtin_cpu_supports("avx2"))
        return 8;
#endif
    return 4;
}

/* The width to use where @wanted is asked for. */
static unsigned choose(unsigned wanted)
{
    unsigned best = lanes_width();

    if (wanted == 0)
        return best;
    return wanted <= best ? wanted : 4;
}

/* ---- HKDF ------------------------------------------------------------------------------------ */

void lanes_salt_init(struct lanes_salt *s, const uint8_t *salt, size_t len)
{
    uint8_t block[64];
    uint32_t w[16];

    for (unsigned k = 0; k < 2; k++) {
        memset(block, 0, sizeof(block));
        memcpy(block, salt, len);
        for (unsigned i = 0; i < 16; i++)
            w[i] = get_be32(block + 4 * i) ^ (k == 0 ? 0x36363636 : 0x5c5c5c5c);
        sha1_1(k == 0 ? s->inner : s->outer, SHA1_START, w);
    }
}

/* @have bytes precede @info in the message of one expansion. */
static void tail_of(uint32_t tail[16], const void *info, size_t info_len, size_t have, uint8_t no)
{
    uint8_t block[64] = {0};

    memcpy(block + have, info, info_len);
    block[have + info_len] = no;
    block[have + info_len + 1] = 0x80;
    put_be32(block + 60, (uint32_t)(64 + have + info_len + 1) * 8);
    for (unsigned i = 0; i < 16; i++)
        tail[i] = get_be32(block + 4 * i);
}

void lanes_hkdf(const struct lanes_salt *s, const void *info, size_t info_len,
                const uint32_t (*secret_be)[LANES], unsigned words, uint32_t (*out_be)[LANES],
                unsigned width)
{
    unsigned step = choose(width), lanes = width == 1 ? 1 : LANES;
    struct tails t;

    tail_of(t.first, info, info_len, 0, 1);
    tail_of(t.second, info, info_len, 20, 2);
    for (unsigned at = 0; at < lanes; at += step) {
        switch (step) {
#ifdef HAVE_WIDE
        case 16:
            hkdf_16(s, &t, secret_be, words, out_be, at);
            break;
        case 8:
            hkdf_8(s, &t, secret_be, words, out_be, at);
            break;
#endif
        case 1:
            hkdf_1(s, &t, secret_be, words, out_be, at);
            break;
        default:
            hkdf_4(s, &t, secret_be, words, out_be, at);
        }
    }
}

/* ---- ChaCha20 -------------------------------------------------------------------------------- */

/* Words 0..3 and 12..15 of the state after all rounds. */
static void rounds(const uint32_t key_be[8][LANES], const uint32_t in[16], uint32_t out[8][LANES],
                   bool plus, unsigned width)
{
    unsigned step = choose(width), lanes = width == 1 ? 1 : LANES;
    uint32_t key[8][LANES];

    for (unsigned i = 0; i < 8; i++)
        for (unsigned l = 0; l < LANES; l++)
            key[i][l] = __builtin_bswap32(key_be[i][l]);
    for (unsigned at = 0; at < lanes; at += step) {
        switch (step) {
#ifdef HAVE_WIDE
        case 16:
            chacha_16(in, key, out, plus, at);
            break;
        case 8:
            chacha_8(in, key, out, plus, at);
            break;
#endif
        case 1:
            chacha_1(in, key, out, plus, at);
            break;
        default:
            chacha_4(in, key, out, plus, at);
        }
    }
    crypto_wipe(key, sizeof(key));
}

void lanes_chacha(const uint32_t key_be[8][LANES], uint32_t counter, const uint8_t nonce[12],
                  uint8_t out[LANES][16], unsigned width)
{
    uint32_t in[16] = {0}, words[8][LANES] = {{0}};

    memcpy(in, CHACHA_WORDS, sizeof(CHACHA_WORDS));
    in[12] = counter;
    for (unsigned i = 0; i < 3; i++)
        in[13 + i] = get_le32(nonce + 4 * i);
    rounds(key_be, in, words, true, width);
    for (unsigned l = 0; l < LANES; l++)
        for (unsigned i = 0; i < 4; i++)
            put_be32(out[l] + 4 * i, __builtin_bswap32(words[i][l]));
    crypto_wipe(words, sizeof(words));
}

void lanes_hchacha(const uint32_t key_be[8][LANES], const uint8_t nonce[16],
                   uint32_t out_be[8][LANES], unsigned width)
{
    uint32_t in[16] = {0}, words[8][LANES] = {{0}};

    memcpy(in, CHACHA_WORDS, sizeof(CHACHA_WORDS));
    for (unsigned i = 0; i < 4; i++)
        in[12 + i] = get_le32(nonce + 4 * i);
    rounds(key_be, in, words, false, width);
    for (unsigned i = 0; i < 8; i++)
        for (unsigned l = 0; l < LANES; l++)
            out_be[i][l] = __builtin_bswap32(words[i][l]);
    crypto_wipe(words, sizeof(words));
}

/* ---- AES ------------------------------------------------------------------------------------- */

static void lane_key(const uint32_t (*key_be)[LANES], unsigned words, unsigned lane,
                     uint8_t key[32])
{
    for (unsigned i = 0; i < words; i++)
        put_be32(key + 4 * i, key_be[i][lane]);
}

#ifdef HAVE_WIDE

#define AES __attribute__((target("aes,sse2")))

/* The next round key of the schedule (FIPS 197 section 5.2), made from the one @words before it and
 * what the rotated and substituted last word is. */
AES static inline __m128i next_key(__m128i key, __m128i word)
{
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
    return _mm_xor_si128(key, word);
}

#define WORD3(x, rcon) _mm_shuffle_epi32(_mm_aeskeygenassist_si128(x, rcon), 0xff)
#define WORD2(x)       _mm_shuffle_epi32(_mm_aeskeygenassist_si128(x, 0), 0xaa)

/* One round of all blocks. */
AES static inline void round_of(__m128i x[LANES_GCM_BLOCKS], __m128i key)
{
    for (unsigned i = 0; i < LANES_GCM_BLOCKS; i++)
        x[i] = _mm_aesenc_si128(x[i], key);
}

AES static inline void last_round(__m128i x[LANES_GCM_BLOCKS], __m128i key)
{
    for (unsigned i = 0; i < LANES_GCM_BLOCKS; i++)
        x[i] = _mm_aesenclast_si128(x[i], key);
}

AES static void aes128(const uint8_t *key, __m128i x[LANES_GCM_BLOCKS])
{
    __m128i k = _mm_loadu_si128((const __m128i *)(const void *)key);

    for (unsigned i = 0; i < LANES_GCM_BLOCKS; i++)
        x[i] = _mm_xor_si128(x[i], k);
#define ROUND(rcon)                                                                                \
    k = next_key(k, WORD3(k, rcon));                                                               \
    round_of(x, k)
    ROUND(0x01);
    ROUND(0x02);
    ROUND(0x04);
    ROUND(0x08);
    ROUND(0x10);
    ROUND(0x20);
    ROUND(0x40);
    ROUND(0x80);
    ROUND(0x1b);
#undef ROUND
    last_round(x, next_key(k, WORD3(k, 0x36)));
}

AES static void aes256(const uint8_t *key, __m128i x[LANES_GCM_BLOCKS])
{
    __m128i k = _mm_loadu_si128((const __m128i *)(const void *)key);
    __m128i m = _mm_loadu_si128((const __m128i *)(const void *)(key + 16));

    for (unsigned i = 0; i < LANES_GCM_BLOCKS; i++)
        x[i] = _mm_xor_si128(x[i], k);
    round_of(x, m);
#define ROUNDS(rcon)                                                                               \
    k = next_key(k, WORD3(m, rcon));                                                               \
    round_of(x, k);                                                                                \
    m = next_key(m, WORD2(k));                                                                     \
    round_of(x, m)
    ROUNDS(0x01);
    ROUNDS(0x02);
    ROUNDS(0x04);
    ROUNDS(0x08);
    ROUNDS(0x10);
    ROUNDS(0x20);
#undef ROUNDS
    last_round(x, next_key(k, WORD3(m, 0x40)));
}

AES static void gcm_fast(const uint32_t (*key_be)[LANES], unsigned words,
                         uint8_t out[LANES][LANES_GCM_BLOCKS][16])
{
    uint8_t key[32];

    for (unsigned l = 0; l < LANES; l++) {
        __m128i x[LANES_GCM_BLOCKS] = {_mm_setzero_si128(), _mm_set_epi32(0x01000000, 0, 0, 0),
                                       _mm_set_epi32(0x02000000, 0, 0, 0)};
        lane_key(key_be, words, l, key);
        if (words == 4)
            aes128(key, x);
        else
            aes256(key, x);
        for (unsigned i = 0; i < LANES_GCM_BLOCKS; i++)
            _mm_storeu_si128((__m128i *)(void *)out[l][i], x[i]);
    }
    crypto_wipe(key, sizeof(key));
}

#endif

static enum status gcm_library(const uint32_t (*key_be)[LANES], unsigned words,
                               uint8_t out[LANES][LANES_GCM_BLOCKS][16])
{
    static const uint8_t blocks[LANES_GCM_BLOCKS * 16] = {[31] = 1, [47] = 2};
    const EVP_CIPHER *cipher = words == 4 ? EVP_aes_128_ecb() : EVP_aes_256_ecb();
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    enum status st = ctx != NULL ? ST_OK : ST_E_CRYPTO;
    uint8_t key[32];
    int n;

    for (unsigned l = 0; l < LANES && st == ST_OK; l++) {
        lane_key(key_be, words, l, key);
        if (EVP_EncryptInit_ex(ctx, l == 0 ? cipher : NULL, NULL, key, NULL) != 1 ||
            EVP_EncryptUpdate(ctx, out[l][0], &n, blocks, sizeof(blocks)) != 1)
            st = ST_E_CRYPTO;
    }
    EVP_CIPHER_CTX_free(ctx);
    crypto_wipe(key, sizeof(key));
    return st;
}

enum status lanes_gcm(const uint32_t (*key_be)[LANES], unsigned words,
                      uint8_t out[LANES][LANES_GCM_BLOCKS][16])
{
#ifdef HAVE_WIDE
    if (__builtin_cpu_supports("aes")) {
        gcm_fast(key_be, words, out);
        return ST_OK;
    }
#endif
    return gcm_library(key_be, words, out);
}
