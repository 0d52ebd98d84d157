#include "crypto/lanes.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/hkdf.h"

static const unsigned widths[] = {0, 16, 8, 4, 1};

static uint64_t state;

static uint32_t noise(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

static void fill(void *p, size_t n)
{
    uint8_t *b = p;

    for (size_t i = 0; i < n; i++)
        b[i] = (uint8_t)noise();
}

static void bytes_of(const uint32_t (*v)[LANES], unsigned words, unsigned lane, uint8_t *out)
{
    for (unsigned i = 0; i < words && i < 8; i++)
        put_be32(out + 4 * i, v[i][lane]);
}

static void derives_like_hkdf(void **unused)
{
    (void)unused;
    for (unsigned round = 0; round < 20; round++) {
        unsigned words = round % 3 == 0 ? 4 : round % 3 == 1 ? 8 : 6;
        uint32_t secret[8][LANES], out[8][LANES];
        uint8_t salt[32], key[32], prk[20], want[32], got[32];
        size_t salt_len = round % 2 ? 16 : 32;
        struct lanes_salt s;

        fill(secret, sizeof(secret));
        fill(salt, sizeof(salt));
        lanes_salt_init(&s, salt, salt_len);
        for (size_t k = 0; k < sizeof(widths) / sizeof(widths[0]); k++) {
            memset(out, 0, sizeof(out));
            lanes_hkdf(&s, "ss-subkey", 9, (const uint32_t(*)[LANES])secret, words, out, widths[k]);
            for (unsigned l = 0; l < (widths[k] == 1 ? 1 : LANES); l++) {
                bytes_of((const uint32_t(*)[LANES])secret, words, l, key);
                assert_int_equal(hkdf_extract(NULL, HASH_SHA1, salt, salt_len, key, 4 * words, prk),
                                 ST_OK);
                assert_int_equal(hkdf_expand(NULL, HASH_SHA1, prk, "ss-subkey", 9, want, 4 * words),
                                 ST_OK);
                bytes_of((const uint32_t(*)[LANES])out, words, l, got);
                assert_memory_equal(got, want, 4 * words);
            }
        }
    }
}

static void library(const EVP_CIPHER *cipher, const uint8_t *key, const uint8_t *iv,
                    const uint8_t in[16], uint8_t out[16])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;

    assert_int_equal(EVP_EncryptInit_ex(ctx, cipher, NULL, key, iv), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, out, &n, in, 16), 1);
    EVP_CIPHER_CTX_free(ctx);
}

static void makes_the_key_stream_of_chacha20(void **unused)
{
    static const uint8_t zeros[16];
    uint32_t keys[8][LANES];
    uint8_t iv[16], got[LANES][16], key[32], want[16];

    (void)unused;
    fill(keys, sizeof(keys));
    fill(iv, sizeof(iv));
    uint32_t counter = __builtin_bswap32(get_be32(iv)); /* the library's is in front of the nonce */
    for (size_t k = 0; k < sizeof(widths) / sizeof(widths[0]); k++) {
        lanes_chacha((const uint32_t(*)[LANES])keys, counter, iv + 4, got, widths[k]);
        for (unsigned l = 0; l < (widths[k] == 1 ? 1 : LANES); l++) {
            bytes_of((const uint32_t(*)[LANES])keys, 8, l, key);
            library(EVP_chacha20(), key, iv, zeros, want);
            assert_memory_equal(got[l], want, 16);
        }
    }
}

/* draft-irtf-cfrg-xchacha-03 section 2.2.1 */
static void hchacha20_of_the_draft(void **unused)
{
    static const uint8_t nonce[16] = {0, 0, 0, 9, 0,    0,    0,    0x4a,
                                      0, 0, 0, 0, 0x31, 0x41, 0x59, 0x27};
    static const uint32_t want[8] = {0x82413b42, 0x27b27bfe, 0xd30e4250, 0x8a877d73,
                                     0xa0f9e4d5, 0x8a74a853, 0xc12ec413, 0x26d3ecdc};
    uint32_t keys[8][LANES], got[8][LANES];

    (void)unused;
    for (unsigned i = 0; i < 8; i++)
        for (unsigned l = 0; l < LANES; l++)
            keys[i][l] = 0x00010203u + 0x04040404u * i;
    for (size_t k = 0; k < sizeof(widths) / sizeof(widths[0]); k++) {
        lanes_hchacha((const uint32_t(*)[LANES])keys, nonce, got, widths[k]);
        for (unsigned l = 0; l < (widths[k] == 1 ? 1 : LANES); l++)
            for (unsigned i = 0; i < 8; i++)
                assert_int_equal(got[i][l], want[i]);
    }
}

static void makes_the_first_blocks_of_gcm(void **unused)
{
    static const uint8_t blocks[LANES_GCM_BLOCKS][16] = {
        [LANES_GCM_MASK] = {[15] = 1}, [LANES_GCM_STREAM] = {[15] = 2}};
    uint8_t got[LANES][LANES_GCM_BLOCKS][16], key[32], want[16];
    uint32_t keys[8][LANES];

    (void)unused;
    for (unsigned words = 4; words <= 8; words += 4) {
        fill(keys, sizeof(keys));
        assert_int_equal(lanes_gcm((const uint32_t(*)[LANES])keys, words, got), ST_OK);
        for (unsigned l = 0; l < LANES; l++) {
            bytes_of((const uint32_t(*)[LANES])keys, words, l, key);
            for (unsigned i = 0; i < LANES_GCM_BLOCKS; i++) {
                library(words == 4 ? EVP_aes_128_ecb() : EVP_aes_256_ecb(), key, NULL, blocks[i],
                        want);
                assert_memory_equal(got[l][i], want, 16);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derives_like_hkdf),
        cmocka_unit_test(makes_the_key_stream_of_chacha20),
        cmocka_unit_test(hchacha20_of_the_draft),
        cmocka_unit_test(makes_the_first_blocks_of_gcm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
