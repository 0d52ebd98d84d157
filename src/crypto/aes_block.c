#include "crypto/aes_block.h"

#include <openssl/evp.h>
#include <string.h>

#if defined(__x86_64__)

#include <immintrin.h>

#define AES       __attribute__((target("aes,sse2")))
#define KEY(p)    _mm_loadu_si128((const __m128i *)(const void *)(p))
#define PUT(p, x) _mm_storeu_si128((__m128i *)(void *)(p), x)

/* A round key from the one @words before it, and what the schedule makes of its last word. */
AES static inline __m128i next_key(__m128i key, __m128i word)
{
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
    return _mm_xor_si128(key, word);
}

#define WORD3(x, rcon) _mm_shuffle_epi32(_mm_aeskeygenassist_si128(x, rcon), 0xff)
#define WORD2(x)       _mm_shuffle_epi32(_mm_aeskeygenassist_si128(x, 0), 0xaa)

AES static void expand128(__m128i k[15])
{
    k[1] = next_key(k[0], WORD3(k[0], 0x01));
    k[2] = next_key(k[1], WORD3(k[1], 0x02));
    k[3] = next_key(k[2], WORD3(k[2], 0x04));
    k[4] = next_key(k[3], WORD3(k[3], 0x08));
    k[5] = next_key(k[4], WORD3(k[4], 0x10));
    k[6] = next_key(k[5], WORD3(k[5], 0x20));
    k[7] = next_key(k[6], WORD3(k[6], 0x40));
    k[8] = next_key(k[7], WORD3(k[7], 0x80));
    k[9] = next_key(k[8], WORD3(k[8], 0x1b));
    k[10] = next_key(k[9], WORD3(k[9], 0x36));
}

AES static void expand256(__m128i k[15])
{
    k[2] = next_key(k[0], WORD3(k[1], 0x01));
    k[3] = next_key(k[1], WORD2(k[2]));
    k[4] = next_key(k[2], WORD3(k[3], 0x02));
    k[5] = next_key(k[3], WORD2(k[4]));
    k[6] = next_key(k[4], WORD3(k[5], 0x04));
    k[7] = next_key(k[5], WORD2(k[6]));
    k[8] = next_key(k[6], WORD3(k[7], 0x08));
    k[9] = next_key(k[7], WORD2(k[8]));
    k[10] = next_key(k[8], WORD3(k[9], 0x10));
    k[11] = next_key(k[9], WORD2(k[10]));
    k[12] = next_key(k[10], WORD3(k[11], 0x20));
    k[13] = next_key(k[11], WORD2(k[12]));
    k[14] = next_key(k[12], WORD3(k[13], 0x40));
}

AES static void expand(struct aes_block *a, const uint8_t *key)
{
    int rounds = a->key_len == 16 ? 10 : 14;
    __m128i k[15];

    k[0] = KEY(key);
    k[1] = KEY(key + a->key_len - 16);
    if (a->key_len == 16)
        expand128(k);
    else
        expand256(k);
    /* Decryption goes backwards through the keys, the inner ones transformed (section 5.3.5). */
    for (int i = 0; i <= rounds; i++) {
        __m128i x = a->decrypts ? k[rounds - i] : k[i];
        PUT(a->round[i], a->decrypts && i > 0 && i < rounds ? _mm_aesimc_si128(x) : x);
    }
}

AES static void run(const struct aes_block *a, const uint8_t *in, uint8_t *out)
{
    unsigned rounds = a->key_len == 16 ? 10 : 14;
    __m128i x = _mm_xor_si128(KEY(in), KEY(a->round[0]));

    for (unsigned i = 1; i < rounds; i++)
        x = a->decrypts ? _mm_aesdec_si128(x, KEY(a->round[i]))
                        : _mm_aesenc_si128(x, KEY(a->round[i]));
    PUT(out, a->decrypts ? _mm_aesdeclast_si128(x, KEY(a->round[rounds]))
                         : _mm_aesenclast_si128(x, KEY(a->round[rounds])));
}

static bool has_instructions(void)
{
    return __builtin_cpu_supports("aes");
}

#else

static void expand(struct aes_block *a, const uint8_t *key)
{
    (void)a, (void)key;
}

static void run(const struct aes_block *a, const uint8_t *in, uint8_t *out)
{
    (void)a, (void)in, (void)out;
}

static bool has_instructions(void)
{
    return false;
}

#endif

void aes_block_init(struct aes_block *a, const uint8_t *key, size_t key_len, bool decrypts)
{
    memset(a, 0, sizeof(*a));
    a->key_len = (uint8_t)key_len;
    a->decrypts = decrypts;
    if (has_instructions())
        expand(a, key);
    else
        memcpy(a->round, key, key_len);
}

static enum status library(const struct aes_block *a, const uint8_t *in, uint8_t *out)
{
    const EVP_CIPHER *cipher = a->key_len == 16 ? EVP_aes_128_ecb() : EVP_aes_256_ecb();
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    enum status st = ST_E_CRYPTO;
    int n;

    if (ctx == NULL)
        return ST_E_NOMEM;
    if (EVP_CipherInit_ex(ctx, cipher, NULL, a->round[0], NULL, !a->decrypts) == 1 &&
        EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
        EVP_CipherUpdate(ctx, out, &n, in, AES_BLOCK_LEN) == 1 && n == AES_BLOCK_LEN)
        st = ST_OK;
    EVP_CIPHER_CTX_free(ctx);
    return st;
}

enum status aes_block_run(const struct aes_block *a, const uint8_t in[AES_BLOCK_LEN],
                          uint8_t out[AES_BLOCK_LEN])
{
    if (!has_instructions())
        return library(a, in, out);
    run(a, in, out);
    return ST_OK;
}
