/* The hashes that are our own: MD5, SHA-256 by hand, CRC-32, FNV-1a. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/checksum.h"
#include "crypto/hash.h"
#include "crypto/md5.h"
#include "crypto/sha256.h"

static void assert_hex(const uint8_t *got, size_t n, const char *want)
{
    char text[2 * HASH_MAX_LEN + 1];

    for (size_t i = 0; i < n; i++)
        snprintf(text + 2 * i, 3, "%02x", got[i]);
    assert_string_equal(text, want);
}

static void md5_of_the_standard(void **state)
{
    /* RFC 1321 appendix A.5 */
    static const char *const cases[][2] = {
        {"", "d41d8cd98f00b204e9800998ecf8427e"},
        {"a", "0cc175b9c0f1b6a831c399e269772661"},
        {"abc", "900150983cd24fb0d6963f7d28e17f72"},
        {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
        {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
         "d174ab98d277d9f5a5611c2c9f419d9f"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
         "57edf4a22be3c955ac49da2e2107b67a"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t out[MD5_LEN];
        md5_sum(cases[i][0], strlen(cases[i][0]), out);
        assert_hex(out, sizeof(out), cases[i][1]);
    }
}

/* Lengths around the one where the padding needs a block of its own. */
static void md5_of_every_length(void **state)
{
    uint8_t data[130], sum[MD5_LEN], all[MD5_LEN] = {0};

    (void)state;
    memset(data, 'x', sizeof(data));
    for (size_t n = 0; n <= sizeof(data); n++) {
        md5_sum(data, n, sum);
        for (size_t i = 0; i < MD5_LEN; i++)
            all[i] ^= sum[i];
    }
    assert_hex(all, sizeof(all), "0f43a0e99cc88428c79d41423f481b90");
}

static void checksums_of_known_texts(void **state)
{
    (void)state;
    assert_int_equal(checksum_crc32("123456789", 9), 0xcbf43926u);
    assert_int_equal(checksum_crc32("", 0), 0);
    assert_int_equal(checksum_fnv1a("foobar", 6), 0xbf9cf968u);
    assert_int_equal(checksum_fnv1a("", 0), 0x811c9dc5u);
}

static void check_sha256(sha256_mix_fn *mix)
{
    uint8_t data[5 * SHA256_BLOCK + SHA256_TAIL_MAX], want[SHA256_LEN], got[SHA256_LEN];

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + i / 64);
    for (size_t blocks = 0; blocks <= 5; blocks++) {
        for (size_t n = 0; n <= SHA256_TAIL_MAX; n++) {
            size_t whole = blocks * SHA256_BLOCK;
            struct sha256_state s;

            sha256_start(&s);
            mix(&s, data, blocks);
            sha256_end(mix, &s, whole, data + whole, n, got);
            assert_int_equal(hash_sum(NULL, HASH_SHA256, data, whole + n, want), ST_OK);
            assert_memory_equal(got, want, SHA256_LEN);
        }
    }
}

static void sha256_like_the_library(void **state)
{
    (void)state;
    check_sha256(sha256_mix_portable);
    check_sha256(sha256_mix_best());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(md5_of_the_standard),
        cmocka_unit_test(md5_of_every_length),
        cmocka_unit_test(checksums_of_known_texts),
        cmocka_unit_test(sha256_like_the_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
