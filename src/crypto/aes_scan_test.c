/* Every way to scan against the standard, against the library and against each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "crypto/aes_scan.h"

#define GROUPS_MAX 13 /* more than one round of the widest way, and a rest */
#define KEYS_MAX   (GROUPS_MAX * AES_SCAN_LANES)

static uint32_t seed;

static void fill(uint8_t *p, size_t n)
{
    while (n-- > 0) {
        seed = seed * 1664525u + 1013904223u;
        *p++ = (uint8_t)(seed >> 24);
    }
}

static void encrypt(const uint8_t key[16], const uint8_t plain[16], uint8_t out[16])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;
    assert_non_null(ctx);
    assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_128_ecb(), NULL, key, NULL), 1);
    EVP_CIPHER_CTX_set_padding(ctx, 0);
    assert_int_equal(EVP_EncryptUpdate(ctx, out, &n, plain, 16), 1);
    EVP_CIPHER_CTX_free(ctx);
}

static void decrypts_like_the_standard(void **state)
{
    /* FIPS 197 appendix C.1 */
    static const uint8_t cipher[16] = {0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30,
                                       0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4, 0xc5, 0x5a};
    static struct aes_scan_group g; /* its alignment: see TARGET_VAES512 */
    uint8_t key[16], want[16], got[16];

    (void)state;
    memset(&g, 0, sizeof(g));
    for (unsigned i = 0; i < 16; i++) {
        key[i] = (uint8_t)i;
        want[i] = (uint8_t)(i * 0x11);
    }
    for (unsigned lane = 0; lane < AES_SCAN_LANES; lane++) {
        aes_scan_set(&g, lane, key);
        aes_scan_open(&g, lane, cipher, got);
        assert_memory_equal(got, want, 16);
    }
}

static void decrypts_like_the_library(void **state)
{
    static struct aes_scan_group g;

    (void)state;
    for (unsigned i = 0; i < 500; i++) {
        uint8_t key[16], plain[16], block[16];
        fill(key, 16);
        fill(plain, 16);
        encrypt(key, plain, block);
        aes_scan_set(&g, i % AES_SCAN_LANES, key);
        aes_scan_open(&g, i % AES_SCAN_LANES, block, block);
        assert_memory_equal(block, plain, 16);
    }
}

/* One key at @at fits; every way finds it from every place up to it, and nothing behind it. */
static void every_way_finds_it(const struct aes_scan_group *g, size_t n, size_t at,
                               const uint8_t block[16])
{
    const struct aes_scan *way;

    for (size_t w = 0; (way = aes_scan_at(w)) != NULL; w++) {
        for (size_t from = 0; from <= n * AES_SCAN_LANES; from++) {
            size_t want = at != AES_SCAN_NONE && from <= at ? at : AES_SCAN_NONE;
            assert_int_equal(way->find(g, n, from, block), want);
        }
    }
}

static void every_way_finds_the_key_wherever_it_is(void **state)
{
    static struct aes_scan_group g[GROUPS_MAX];
    static uint8_t keys[KEYS_MAX][16];

    (void)state;
    for (size_t i = 0; i < KEYS_MAX; i++) {
        fill(keys[i], 16);
        aes_scan_set(&g[i / AES_SCAN_LANES], i % AES_SCAN_LANES, keys[i]);
    }
    for (size_t n = 0; n <= GROUPS_MAX; n++) {
        uint8_t plain[16] = {0}, block[16];
        for (size_t at = 0; at < n * AES_SCAN_LANES; at++) {
            fill(plain + 4, 12);
            encrypt(keys[at], plain, block);
            every_way_finds_it(g, n, at, block);
        }
        fill(block, 16);
        every_way_finds_it(g, n, AES_SCAN_NONE, block);
    }
}

/* The word that must be zero is the first one, and all of it. */
static void looks_at_the_first_four_bytes(void **state)
{
    static struct aes_scan_group g[1];
    uint8_t key[16];
    const struct aes_scan *way;

    (void)state;
    fill(key, 16);
    for (unsigned lane = 0; lane < AES_SCAN_LANES; lane++)
        aes_scan_set(g, lane, key);
    for (unsigned bit = 0; bit < 128; bit++) {
        uint8_t plain[16] = {0}, block[16];
        plain[bit / 8] = (uint8_t)(1u << (bit % 8));
        encrypt(key, plain, block);
        for (size_t w = 0; (way = aes_scan_at(w)) != NULL; w++)
            for (size_t from = 0; from < AES_SCAN_LANES; from++)
                assert_int_equal(way->find(g, 1, from, block), bit < 32 ? AES_SCAN_NONE : from);
    }
}

static void the_best_way_is_one_of_them(void **state)
{
    const struct aes_scan *best = aes_scan_best();
    size_t w = 0;

    (void)state;
    while (aes_scan_at(w) != best)
        assert_non_null(aes_scan_at(w++));
    assert_string_equal(aes_scan_at(0)->name, "portable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decrypts_like_the_standard),
        cmocka_unit_test(decrypts_like_the_library),
        cmocka_unit_test(every_way_finds_the_key_wherever_it_is),
        cmocka_unit_test(looks_at_the_first_four_bytes),
        cmocka_unit_test(the_best_way_is_one_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
