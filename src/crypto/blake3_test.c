/* BLAKE3 against known answers: the inputs and the context of its authors' test vectors, and
 * derive_key with binary contexts of all lengths. AES-CTR against OpenSSL run from the start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/aes_ctr.h"
#include "crypto/blake3.h"

#define INPUT_MAX 102400

static void from_hex(const char *hex, uint8_t out[32])
{
    for (int i = 0; i < 32; i++) {
        unsigned v;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
        out[i] = (uint8_t)v;
    }
}

static void test_vectors(void **state)
{
    static const char context[] = "BLAKE3 2019-12-27 16:29:52 test vectors context";
    static uint8_t input[INPUT_MAX];
    const char *root = getenv("V2SP_SOURCE_ROOT");
    char path[512], line[512], hash[65], keyed[65], binary[65];
    uint8_t want[32], got[32];
    unsigned n, count = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(input); i++)
        input[i] = (uint8_t)(i % 251);
    snprintf(path, sizeof(path), "%s/src/crypto/testdata/blake3.txt", root != NULL ? root : ".");
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (line[0] == '#')
            continue;
        assert_int_equal(sscanf(line, "%u %64s %64s %64s", &n, hash, keyed, binary), 4);
        assert_true(n <= sizeof(input));
        blake3_hash(input, n, got);
        from_hex(hash, want);
        assert_memory_equal(got, want, 32);
        blake3_derive_key(context, sizeof(context) - 1, input, n, got);
        from_hex(keyed, want);
        assert_memory_equal(got, want, 32);
        blake3_derive_key(input, n, "material", 8, got);
        from_hex(binary, want);
        assert_memory_equal(got, want, 32);
        count++;
    }
    fclose(f);
    assert_int_equal(count, 35);
}

/* The stream from a later block is the rest of the stream, also where the counter carries. */
static void test_ctr_offset(void **state)
{
    uint8_t key[32], iv[16], whole[256], part[256];

    (void)state;
    for (int i = 0; i < 32; i++)
        key[i] = (uint8_t)(i * 3);
    memset(iv, 0xff, sizeof(iv));
    iv[0] = 7;
    memset(whole, 0, sizeof(whole));
    assert_int_equal(aes_ctr_xor(key, iv, 0, whole, sizeof(whole)), ST_OK);
    for (unsigned block = 0; block < 16; block++) {
        size_t n = sizeof(whole) - block * 16;
        memset(part, 0, n);
        assert_int_equal(aes_ctr_xor(key, iv, block, part, n), ST_OK);
        assert_memory_equal(part, whole + block * 16, n);
    }
}

/* NIST SP 800-38A, F.5.5, first block. */
static void test_ctr_vector(void **state)
{
    static const uint8_t key[32] = {0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe,
                                    0x2b, 0x73, 0xae, 0xf0, 0x85, 0x7d, 0x77, 0x81,
                                    0x1f, 0x35, 0x2c, 0x07, 0x3b, 0x61, 0x08, 0xd7,
                                    0x2d, 0x98, 0x10, 0xa3, 0x09, 0x14, 0xdf, 0xf4};
    static const uint8_t iv[16] = {0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7,
                                   0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff};
    static const uint8_t want[16] = {0x60, 0x1e, 0xc3, 0x13, 0x77, 0x57, 0x89, 0xa5,
                                     0xb7, 0xa7, 0xf5, 0x04, 0xbb, 0xf3, 0xd2, 0x28};
    uint8_t data[16] = {0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96,
                        0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a};

    (void)state;
    assert_int_equal(aes_ctr_xor(key, iv, 0, data, sizeof(data)), ST_OK);
    assert_memory_equal(data, want, sizeof(want));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_ctr_offset),
        cmocka_unit_test(test_ctr_vector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
