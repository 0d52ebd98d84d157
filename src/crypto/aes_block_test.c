#include "crypto/aes_block.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

/* FIPS 197 appendix C.1 and C.3. */
static const uint8_t plain[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                  0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
static const struct {
    size_t key_len;
    uint8_t sealed[16];
} cases[] = {
    {16,
     {0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30, 0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4, 0xc5,
      0x5a}},
    {32,
     {0x8e, 0xa2, 0xb7, 0xca, 0x51, 0x67, 0x45, 0xbf, 0xea, 0xfc, 0x49, 0x90, 0x4b, 0x49, 0x60,
      0x89}},
};

static void follows_the_standard(void **state)
{
    uint8_t key[32], out[16];
    struct aes_block a;

    (void)state;
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)i;
    for (size_t i = 0; i < 2; i++) {
        aes_block_init(&a, key, cases[i].key_len, false);
        assert_int_equal(aes_block_run(&a, plain, out), ST_OK);
        assert_memory_equal(out, cases[i].sealed, 16);
        aes_block_init(&a, key, cases[i].key_len, true);
        assert_int_equal(aes_block_run(&a, out, out), ST_OK);
        assert_memory_equal(out, plain, 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(follows_the_standard)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
