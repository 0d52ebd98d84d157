/* Keccak against OpenSSL's, ML-KEM-768 against known answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "crypto/keccak.h"
#include "crypto/mlkem.h"

static void reference(const char *name, const uint8_t *in, size_t len, uint8_t *out, size_t n)
{
    EVP_MD *md = EVP_MD_fetch(NULL, name, NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool xof = strncmp(name, "SHAKE", 5) == 0;

    assert_int_equal(EVP_DigestInit_ex2(ctx, md, NULL), 1);
    assert_int_equal(EVP_DigestUpdate(ctx, in, len), 1);
    assert_int_equal(xof ? EVP_DigestFinalXOF(ctx, out, n) : EVP_DigestFinal_ex(ctx, out, NULL), 1);
    EVP_MD_CTX_free(ctx);
    EVP_MD_free(md);
}

static void test_keccak(void **state)
{
    static uint8_t in[700], want[500], got[500];
    struct keccak k;

    (void)state;
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)(i * 7 + 1);
    for (size_t n = 0; n < sizeof(in); n += n < 300 ? 1 : 37) {
        reference("SHA3-256", in, n, want, 32);
        keccak_sha3_256(got, in, n / 3, in + n / 3, n - n / 3);
        assert_memory_equal(got, want, 32);
        reference("SHA3-512", in, n, want, 64);
        keccak_sha3_512(got, in, n / 2, in + n / 2, n - n / 2);
        assert_memory_equal(got, want, 64);
        reference("SHAKE256", in, n, want, sizeof(want));
        keccak_shake256(got, sizeof(got), in, n, NULL, 0);
        assert_memory_equal(got, want, sizeof(want));
        reference("SHAKE128", in, n, want, sizeof(want));
        keccak_init(&k, KECCAK_SHAKE128);
        keccak_absorb(&k, in, n);
        keccak_finish(&k);
        keccak_squeeze(&k, got, n % 400);
        keccak_squeeze(&k, got + n % 400, sizeof(got) - n % 400);
        assert_memory_equal(got, want, sizeof(want));
    }
}

/* The accumulated test that the authors of several implementations agreed on (C2SP CCTV,
 * ML-KEM): all keys, ciphertexts and secrets of 100 runs, each with a wrong ciphertext too. */
static void test_accumulated(void **state)
{
    static const uint8_t want[32] = {0x11, 0x14, 0xb1, 0xb6, 0x69, 0x9e, 0xd1, 0x91,
                                     0x73, 0x4f, 0xa3, 0x39, 0x37, 0x6a, 0xfa, 0x7e,
                                     0x28, 0x5c, 0x9e, 0x6a, 0xcf, 0x6f, 0xf0, 0x17,
                                     0x7d, 0x34, 0x66, 0x96, 0xce, 0x56, 0x44, 0x15};
    uint8_t seed[MLKEM_SEED_LEN], pub[MLKEM_PUBLIC_LEN], random[MLKEM_RANDOM_LEN];
    uint8_t cipher[MLKEM_CIPHER_LEN], shared[MLKEM_SHARED_LEN], again[MLKEM_SHARED_LEN];
    struct keccak in, out;

    (void)state;
    keccak_init(&in, KECCAK_SHAKE128);
    keccak_finish(&in);
    keccak_init(&out, KECCAK_SHAKE128);
    for (int i = 0; i < 100; i++) {
        keccak_squeeze(&in, seed, sizeof(seed));
        mlkem_public(seed, pub);
        keccak_absorb(&out, pub, sizeof(pub));
        keccak_squeeze(&in, random, sizeof(random));
        assert_int_equal(mlkem_encapsulate(pub, random, cipher, shared), ST_OK);
        keccak_absorb(&out, cipher, sizeof(cipher));
        keccak_absorb(&out, shared, sizeof(shared));
        mlkem_decapsulate(seed, cipher, again);
        assert_memory_equal(again, shared, sizeof(shared));
        keccak_squeeze(&in, cipher, sizeof(cipher));
        mlkem_decapsulate(seed, cipher, again);
        keccak_absorb(&out, again, sizeof(again));
    }
    keccak_finish(&out);
    keccak_squeeze(&out, shared, sizeof(want));
    assert_memory_equal(shared, want, sizeof(want));
}

static void test_refuses_bad_key(void **state)
{
    uint8_t seed[MLKEM_SEED_LEN] = {1}, pub[MLKEM_PUBLIC_LEN], random[MLKEM_RANDOM_LEN] = {2};
    uint8_t cipher[MLKEM_CIPHER_LEN], shared[MLKEM_SHARED_LEN];

    (void)state;
    mlkem_public(seed, pub);
    pub[0] = 0x01; /* 3329 = 0xd01 */
    pub[1] = (uint8_t)((pub[1] & 0xf0) | 0x0d);
    assert_int_equal(mlkem_encapsulate(pub, random, cipher, shared), ST_E_PROTO);
    pub[0] = 0x00;
    assert_int_equal(mlkem_encapsulate(pub, random, cipher, shared), ST_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keccak),
        cmocka_unit_test(test_accumulated),
        cmocka_unit_test(test_refuses_bad_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
