#include "crypto/ghash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "crypto/aead.h"
#include "crypto/aes_block.h"

/* Against AES-GCM whole, keys and texts of noise. */
static void makes_the_tags_of_gcm(void **state)
{
    static const uint8_t zero[16];
    struct crypto_ctx cc;
    uint64_t seed = 1;

    (void)state;
    assert_int_equal(crypto_ctx_init(&cc), ST_OK);
    for (unsigned round = 0; round < 500; round++) {
        uint8_t key[32], iv[16] = {0}, text[16], h[16], mask[16], want[16], got[16];
        for (unsigned i = 0; i < 64; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            (i < 32   ? key
             : i < 44 ? iv
                      : text)[i < 32   ? i
                              : i < 44 ? i - 32
                                       : i % 16] = (uint8_t)(seed >> 56);
        }
        struct aes_block aes;
        size_t len = round % 17;
        aes_block_init(&aes, key, 32, false);
        iv[15] = 1;
        assert_int_equal(aes_block_run(&aes, zero, h), ST_OK);
        assert_int_equal(aes_block_run(&aes, iv, mask), ST_OK);
        assert_int_equal(aead_seal(&cc, AEAD_AES_256_GCM, key, iv, NULL, 0, text, len, want),
                         ST_OK);
        ghash_tag(h, mask, text, len, got);
        assert_memory_equal(got, want, 16);
        ghash_tag_portable(h, mask, text, len, got);
        assert_memory_equal(got, want, 16);
    }
    crypto_ctx_fini(&cc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(makes_the_tags_of_gcm)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
