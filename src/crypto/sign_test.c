/* Signatures and SHA-512 against published answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/ed25519.h"
#include "crypto/hash.h"
#include "crypto/mldsa.h"

static size_t unhex(uint8_t *out, size_t cap, const char *hex)
{
    size_t n = 0;
    unsigned v;

    for (; sscanf(hex, "%2x", &v) == 1 && hex[0] != '\n'; hex += 2) {
        assert_true(n < cap);
        out[n++] = (uint8_t)v;
    }
    return n;
}

/* RFC 4231 test case 2; RFC 6234's "abc". */
static void test_sha512(void **state)
{
    uint8_t got[HASH_SHA512_LEN], want[HASH_SHA512_LEN];
    const char text[] = "what do ya want for nothing?";

    (void)state;
    unhex(want, sizeof(want),
          "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
          "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
    assert_int_equal(hash_sum(NULL, HASH_SHA512, "abc", 3, got), ST_OK);
    assert_memory_equal(got, want, sizeof(want));
    unhex(want, sizeof(want),
          "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
          "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737");
    assert_int_equal(hash_hmac(NULL, HASH_SHA512, "Jefe", 4,
                               &(struct hash_piece){text, sizeof(text) - 1}, 1, got),
                     ST_OK);
    assert_memory_equal(got, want, sizeof(want));
}

/* RFC 8032 section 7.1, tests 1 and 2. */
static void test_ed25519(void **state)
{
    static const char *const cases[][4] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e3970"
         "1cf9b46bd25bf5f0595bbe24655141438e7a100b"},
        {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613"
         "d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        uint8_t seed[32], pub[32], msg[8], sig[64], want[64];
        unhex(seed, sizeof(seed), cases[i][0]);
        size_t len = unhex(msg, sizeof(msg), cases[i][2]);
        assert_int_equal(ed25519_public(seed, pub), ST_OK);
        unhex(want, sizeof(want), cases[i][1]);
        assert_memory_equal(pub, want, sizeof(pub));
        assert_int_equal(ed25519_sign(seed, msg, len, sig), ST_OK);
        unhex(want, sizeof(want), cases[i][3]);
        assert_memory_equal(sig, want, sizeof(sig));
        assert_int_equal(ed25519_verify(pub, msg, len, sig), ST_OK);
        sig[5] ^= 1;
        assert_int_equal(ed25519_verify(pub, msg, len, sig), ST_E_AUTH);
    }
}

/* Key and signature of a REALITY server, checked by its client (testdata/README). */
static void test_mldsa(void **state)
{
    static uint8_t want[4][MLDSA_SIG_LEN], got[MLDSA_SIG_LEN];
    static char line[2 * MLDSA_SIG_LEN + 2];
    FILE *f = fopen("src/crypto/testdata/mldsa65.hex", "r");
    size_t len[4];

    (void)state;
    assert_non_null(f);
    for (int i = 0; i < 4; i++) {
        assert_non_null(fgets(line, sizeof(line), f));
        len[i] = unhex(want[i], sizeof(want[i]), line);
    }
    fclose(f);
    assert_int_equal(len[0], MLDSA_SEED_LEN);
    assert_int_equal(len[1], MLDSA_PUBLIC_LEN);
    assert_int_equal(len[3], MLDSA_SIG_LEN);
    if (!mldsa_available()) {
        assert_int_equal(mldsa_public(want[0], got), ST_E_UNSUPPORTED);
        assert_int_equal(mldsa_sign(want[0], want[2], len[2], got), ST_E_UNSUPPORTED);
        return;
    }
    assert_int_equal(mldsa_public(want[0], got), ST_OK);
    assert_memory_equal(got, want[1], len[1]);
    assert_int_equal(mldsa_sign(want[0], want[2], len[2], got), ST_OK);
    assert_memory_equal(got, want[3], len[3]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha512),
        cmocka_unit_test(test_ed25519),
        cmocka_unit_test(test_mldsa),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
