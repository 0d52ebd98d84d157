#include "crypto/xchacha.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "crypto/aead.h"

/* draft-irtf-cfrg-xchacha-03 section 2.2.1 */
static void makes_the_subkey_of_the_draft(void **state)
{
    static const uint8_t nonce[24] = {0,    0,    0,    9,    0, 0, 0, 0x4a, 0, 0, 0, 0,
                                      0x31, 0x41, 0x59, 0x27, 1, 2, 3, 4,    5, 6, 7, 8};
    static const uint8_t want[32] = {0x82, 0x41, 0x3b, 0x42, 0x27, 0xb2, 0x7b, 0xfe,
                                     0xd3, 0x0e, 0x42, 0x50, 0x8a, 0x87, 0x7d, 0x73,
                                     0xa0, 0xf9, 0xe4, 0xd5, 0x8a, 0x74, 0xa8, 0x53,
                                     0xc1, 0x2e, 0xc4, 0x13, 0x26, 0xd3, 0xec, 0xdc};
    static const uint8_t rest[12] = {0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t key[32], subkey[32], iv[12];

    (void)state;
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)i;
    xchacha_begin(key, nonce, subkey, iv);
    assert_memory_equal(subkey, want, sizeof(want));
    assert_memory_equal(iv, rest, sizeof(rest));
}

/* Appendix A.3.1 of the draft. */
static void seals_the_example_of_the_draft(void **state)
{
    static const char text[] = "Ladies and Gentlemen of the class of '99: If I could offer you "
                               "only one tip for the future, sunscreen would be it.";
    static const uint8_t aad[12] = {0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1,
                                    0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7};
    static const uint8_t begin[16] = {0xbd, 0x6d, 0x17, 0x9d, 0x3e, 0x83, 0xd4, 0x3b,
                                      0x95, 0x76, 0x57, 0x94, 0x93, 0xc0, 0xe9, 0x39};
    static const uint8_t tag_wanted[16] = {0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79,
                                           0x47, 0xde, 0xaf, 0xd8, 0x78, 0x0a, 0xcf, 0x49};
    uint8_t key[32], nonce[24], subkey[32], iv[12], data[sizeof(text) - 1], tag[16];
    struct crypto_ctx cc;

    (void)state;
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(0x80 + i);
    for (size_t i = 0; i < sizeof(nonce); i++)
        nonce[i] = (uint8_t)(0x40 + i);
    memcpy(data, text, sizeof(data));
    assert_int_equal(crypto_ctx_init(&cc), ST_OK);
    xchacha_begin(key, nonce, subkey, iv);
    assert_int_equal(aead_seal(&cc, AEAD_CHACHA20_POLY1305, subkey, iv, aad, sizeof(aad), data,
                               sizeof(data), tag),
                     ST_OK);
    assert_memory_equal(data, begin, sizeof(begin));
    assert_memory_equal(tag, tag_wanted, sizeof(tag));
    crypto_ctx_fini(&cc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_the_subkey_of_the_draft),
        cmocka_unit_test(seals_the_example_of_the_draft),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
