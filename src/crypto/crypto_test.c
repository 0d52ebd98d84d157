/* The primitives against the vectors of their standards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/hkdf.h"
#include "crypto/mem.h"
#include "crypto/rng.h"
#include "crypto/siphash.h"
#include "crypto/x25519.h"

static size_t unhex(uint8_t *out, const char *hex)
{
    size_t n = 0;
    for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
        unsigned v = 0;
        for (int i = 0; i < 2; i++)
            v = v * 16 + (unsigned)(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
        out[n++] = (uint8_t)v;
    }
    return n;
}

static void assert_hex(const uint8_t *got, const char *hex)
{
    uint8_t want[512];
    size_t n = unhex(want, hex);
    assert_memory_equal(got, want, n);
}

static int setup(void **state)
{
    static struct crypto_ctx cc;
    *state = &cc;
    return crypto_ctx_init(&cc) == ST_OK ? 0 : -1;
}

static int teardown(void **state)
{
    crypto_ctx_fini(*state);
    return 0;
}

/* ---- AEAD ------------------------------------------------------------------------------------ */

struct aead_case {
    enum aead_alg alg;
    const char *key, *iv, *aad, *plain, *cipher, *tag;
};

/* GCM: test cases 4 and 16 of McGrew and Viega's specification; RFC 8439 section 2.8.2. */
static const struct aead_case AEAD_CASES[] = {
    {AEAD_AES_128_GCM, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
     "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
     "5bc94fbc3221a5db94fae95ae7121a47"},
    {AEAD_AES_256_GCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
    {AEAD_CHACHA20_POLY1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a204966"
     "204920636f756c64206f6666657220796f75206f6e6c79206f6e652074697020666f7220746865206675747572"
     "652c2073756e73637265656e20776f756c642062652069742e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69"
     "da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad67594"
     "5585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116",
     "1ae10b594f09e26a7e902ecbd0600691"},
};

static void test_aead_vectors(void **state)
{
    for (size_t i = 0; i < sizeof(AEAD_CASES) / sizeof(AEAD_CASES[0]); i++) {
        const struct aead_case *c = &AEAD_CASES[i];
        uint8_t key[32], iv[12], aad[32], data[128], tag[16];
        assert_int_equal(unhex(key, c->key), aead_key_len(c->alg));
        unhex(iv, c->iv);
        size_t aad_len = unhex(aad, c->aad), len = unhex(data, c->plain);

        assert_int_equal(aead_seal(*state, c->alg, key, iv, aad, aad_len, data, len, tag), ST_OK);
        assert_hex(data, c->cipher);
        assert_hex(tag, c->tag);
        assert_int_equal(aead_open(*state, c->alg, key, iv, aad, aad_len, data, len, tag), ST_OK);
        assert_hex(data, c->plain);

        unhex(data, c->cipher);
        tag[15] ^= 1;
        assert_int_equal(aead_open(*state, c->alg, key, iv, aad, aad_len, data, len, tag),
                         ST_E_AUTH);
        tag[15] ^= 1;
        aad[0] ^= 1;
        unhex(data, c->cipher);
        assert_int_equal(aead_open(*state, c->alg, key, iv, aad, aad_len, data, len, tag),
                         ST_E_AUTH);
    }
}

/* What gcm_fast.h does on some processors must be what OpenSSL does on all: same vectors, and
 * the same results for every length around a block and for many pieces. */
static void test_aead_openssl_alone(void **state)
{
    struct crypto_ctx *cc = *state;
    struct gcm_fast *gcm = cc->gcm;
    uint8_t key[32] = {7}, iv[12] = {1}, a[700], b[700], tag_a[16], tag_b[16];

    cc->gcm = NULL;
    test_aead_vectors(state);
    for (size_t len = 0; len < sizeof(a); len += len < 70 ? 1 : 97) {
        for (int alg = AEAD_AES_128_GCM; alg <= AEAD_AES_256_GCM; alg++) {
            key[1] = (uint8_t)len;
            memset(a, 0x5a, sizeof(a));
            memset(b, 0x5a, sizeof(b));
            cc->gcm = gcm;
            assert_int_equal(aead_seal(cc, (enum aead_alg)alg, key, iv, "aad", 3, a, len, tag_a),
                             ST_OK);
            cc->gcm = NULL;
            assert_int_equal(aead_seal(cc, (enum aead_alg)alg, key, iv, "aad", 3, b, len, tag_b),
                             ST_OK);
            assert_memory_equal(a, b, sizeof(a));
            assert_memory_equal(tag_a, tag_b, sizeof(tag_a));
        }
    }
    cc->gcm = gcm;
}

/* A record may lie in any number of pieces, and be moved while it is worked on. */
static void test_aead_pieces(void **state)
{
    static const size_t cuts[] = {1, 15, 16, 17, 31, 63, 64, 65, 200, 1000};
    uint8_t key[32] = {1, 2, 3}, iv[12] = {9}, whole[3000], parts[3000], tag[16], tag2[16];

    for (int alg = 0; alg < AEAD_ALGS; alg++) {
        for (size_t i = 0; i < sizeof(whole); i++)
            whole[i] = (uint8_t)(i * 7);
        memset(parts, 0, sizeof(parts));
        assert_int_equal(aead_begin(*state, (enum aead_alg)alg, AEAD_SEAL, key, iv, "ad", 2),
                         ST_OK);
        for (size_t off = 0, c = 0; off < sizeof(whole); c++) {
            size_t n = cuts[c % (sizeof(cuts) / sizeof(cuts[0]))];
            n = n < sizeof(whole) - off ? n : sizeof(whole) - off;
            assert_int_equal(aead_update(*state, parts + off, whole + off, n), ST_OK);
            off += n;
        }
        assert_int_equal(aead_seal_end(*state, tag), ST_OK);
        assert_int_equal(
            aead_seal(*state, (enum aead_alg)alg, key, iv, "ad", 2, whole, sizeof(whole), tag2),
            ST_OK);
        assert_memory_equal(whole, parts, sizeof(whole));
        assert_memory_equal(tag, tag2, 16);
    }
}

/* The contexts are shared by all connections of a worker: keys alternate and an operation may be
 * given up. */
static void test_aead_rekey(void **state)
{
    uint8_t a[16] = {1}, b[16] = {2}, iv[12] = {0}, tag_a[16], tag_b[16], tag[16], data[40] = {0};

    assert_int_equal(aead_seal(*state, AEAD_AES_128_GCM, a, iv, NULL, 0, data, 40, tag_a), ST_OK);
    memset(data, 0, sizeof(data));
    assert_int_equal(aead_seal(*state, AEAD_AES_128_GCM, b, iv, NULL, 0, data, 40, tag_b), ST_OK);
    assert_memory_not_equal(tag_a, tag_b, 16);
    for (int i = 0; i < 4; i++) {
        memset(data, 0, sizeof(data));
        if (i == 2)
            crypto_ctx_forget(*state);
        assert_int_equal(aead_begin(*state, AEAD_AES_128_GCM, AEAD_SEAL, b, iv, "x", 1), ST_OK);
        assert_int_equal(aead_update(*state, data, data, 3), ST_OK);
        memset(data, 0, sizeof(data));
        const uint8_t *key = i % 2 == 0 ? a : b;
        assert_int_equal(aead_seal(*state, AEAD_AES_128_GCM, key, iv, NULL, 0, data, 40, tag),
                         ST_OK);
        assert_memory_equal(tag, i % 2 == 0 ? tag_a : tag_b, 16);
    }
}

static void test_aead_empty(void **state)
{
    uint8_t key[32] = {0}, iv[12] = {0}, tag[16];
    /* GCM test case 1: nothing sealed, nothing authenticated. */
    assert_int_equal(aead_seal(*state, AEAD_AES_128_GCM, key, iv, NULL, 0, NULL, 0, tag), ST_OK);
    assert_hex(tag, "58e2fccefa7e3061367f1d57a4e7455a");
    assert_int_equal(aead_open(*state, AEAD_AES_128_GCM, key, iv, NULL, 0, NULL, 0, tag), ST_OK);
}

/* ---- hashes ---------------------------------------------------------------------------------- */

static void test_hash_vectors(void **state)
{
    struct crypto_ctx *ctx[] = {*state, NULL};
    for (int i = 0; i < 2; i++) {
        uint8_t out[48];
        assert_int_equal(hash_sum(ctx[i], HASH_SHA224, "abc", 3, out), ST_OK);
        assert_hex(out, "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7");
        assert_int_equal(hash_sum(ctx[i], HASH_SHA1, "abc", 3, out), ST_OK);
        assert_hex(out, "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_int_equal(hash_sum(ctx[i], HASH_SHA256, "abc", 3, out), ST_OK);
        assert_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_int_equal(hash_sum(ctx[i], HASH_SHA384, "abc", 3, out), ST_OK);
        assert_hex(out, "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
                        "8086072ba1e7cc2358baeca134c825a7");
        struct hash_piece p[] = {{"a", 1}, {"", 0}, {"bc", 2}};
        assert_int_equal(hash_pieces(ctx[i], HASH_SHA1, p, 3, out), ST_OK);
        assert_hex(out, "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}

/* RFC 4231 cases 2 and 6 (a key longer than the block), RFC 2202 case 2. */
static void test_hmac_vectors(void **state)
{
    static const char what[] = "what do ya want for nothing?";
    static const char larger[] = "Test Using Larger Than Block-Size Key - Hash Key First";
    struct hash_piece p[] = {{what, 10}, {what + 10, sizeof(what) - 11}};
    struct hash_piece l = {larger, sizeof(larger) - 1};
    uint8_t out[48], key[131];

    assert_int_equal(hash_hmac(*state, HASH_SHA256, "Jefe", 4, p, 2, out), ST_OK);
    assert_hex(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_int_equal(hash_hmac(*state, HASH_SHA384, "Jefe", 4, p, 2, out), ST_OK);
    assert_hex(out, "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
                    "8e2240ca5e69e2c78b3239ecfab21649");
    assert_int_equal(hash_hmac(*state, HASH_SHA1, "Jefe", 4, p, 2, out), ST_OK);
    assert_hex(out, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    memset(key, 0xaa, sizeof(key));
    assert_int_equal(hash_hmac(*state, HASH_SHA256, key, sizeof(key), &l, 1, out), ST_OK);
    assert_hex(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    assert_int_equal(hash_hmac(*state, HASH_SHA384, key, sizeof(key), &l, 1, out), ST_OK);
    assert_hex(out, "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c6"
                    "0c2ef6ab4030fe8296248df163f44952");
}

/* RFC 5869 appendix A.1; RFC 8448 section 3 (server handshake traffic key and iv). */
static void test_hkdf_vectors(void **state)
{
    uint8_t ikm[22], salt[13], info[10], prk[48], okm[42], secret[32];

    memset(ikm, 0x0b, sizeof(ikm));
    unhex(salt, "000102030405060708090a0b0c");
    unhex(info, "f0f1f2f3f4f5f6f7f8f9");
    assert_int_equal(hkdf_extract(*state, HASH_SHA256, salt, 13, ikm, 22, prk), ST_OK);
    assert_hex(prk, "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
    assert_int_equal(hkdf_expand(*state, HASH_SHA256, prk, info, 10, okm, 42), ST_OK);
    assert_hex(okm, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
                    "34007208d5b887185865");

    unhex(secret, "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38");
    assert_int_equal(hkdf_expand_label(*state, HASH_SHA256, secret, "key", NULL, 0, okm, 16),
                     ST_OK);
    assert_hex(okm, "3fce516009c21727d0f2e4e86ee403bc");
    assert_int_equal(hkdf_expand_label(*state, HASH_SHA256, secret, "iv", NULL, 0, okm, 12), ST_OK);
    assert_hex(okm, "5d313eb2671276ee13000b30");
}

/* ---- the rest -------------------------------------------------------------------------------- */

/* RFC 7748 section 6.1. */
static void test_x25519_vectors(void **state)
{
    uint8_t a[32], b[32], a_pub[32], b_pub[32], k[32], zero[32] = {0};
    struct rng rng;

    (void)state;
    unhex(a, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    unhex(b, "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    assert_int_equal(x25519_public(a, a_pub), ST_OK);
    assert_hex(a_pub, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    assert_int_equal(x25519_public(b, b_pub), ST_OK);
    assert_hex(b_pub, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    assert_int_equal(x25519_shared(a, b_pub, k), ST_OK);
    assert_hex(k, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_int_equal(x25519_shared(b, a_pub, k), ST_OK);
    assert_hex(k, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_int_equal(x25519_shared(a, zero, k), ST_E_CRYPTO);

    uint8_t p1[32], q1[32], p2[32], q2[32], k2[32];
    assert_int_equal(rng_init(&rng), ST_OK);
    assert_int_equal(x25519_keypair(&rng, p1, q1), ST_OK);
    assert_int_equal(x25519_keypair(&rng, p2, q2), ST_OK);
    assert_memory_not_equal(p1, p2, 32);
    assert_int_equal(x25519_shared(p1, q2, k), ST_OK);
    assert_int_equal(x25519_shared(p2, q1, k2), ST_OK);
    assert_memory_equal(k, k2, 32);
    rng_fini(&rng);
}

static void test_x25519_from_node(void **state)
{
    uint8_t priv[32], pub[32];

    (void)state;
    assert_int_equal(x25519_from_node(1, "VLess", "your_api_key", priv), ST_OK);
    assert_int_equal(x25519_public(priv, pub), ST_OK);
    assert_hex(priv, "5098cb889ca1c9dbc67f205a1d7852f639e513f3b51871ffee42d1a493583d61");
    assert_hex(pub, "a1d0fc8e3b33f536f8bd741da26e48efd52e94a8d6e50a527d88fd666ee61f43");
    assert_int_equal(x25519_from_node(209, "vless", "mykey123", priv), ST_OK);
    assert_int_equal(x25519_public(priv, pub), ST_OK);
    assert_hex(priv, "30f28f2c31e419e47e6aa7f6c4e4fc74df61fb33e0e8d0028691b63c1cf22644");
    assert_hex(pub, "149e6ee9b68cc30837bb19012b0cc0700aec6fb270226c2843266282b2312923");
    assert_int_equal(x25519_from_node(1, "a type name much longer than any there is", "k", priv),
                     ST_E_LIMIT);
}

/* First and last vectors of the authors' table: key 00..0f, input 00, 01, 02 ... */
static void test_siphash_vectors(void **state)
{
    uint8_t key[16], in[64];

    (void)state;
    for (uint8_t i = 0; i < 64; i++)
        in[i] = i;
    memcpy(key, in, 16);
    assert_int_equal(siphash(key, in, 0), 0x726fdb47dd0e0e31);
    assert_int_equal(siphash(key, in, 1), 0x74f839c593dc67fd);
    assert_int_equal(siphash(key, in, 8), 0x93f5f5799a932462);
    assert_int_equal(siphash(key, in, 15), 0xa129ca6149be45e5);
    assert_int_equal(siphash(key, in, 63), 0x958a324ceb064572);
    assert_int_equal(siphash_fast(key, in, 0), 0xabac0158050fc4dc);
}

static void test_mem(void **state)
{
    uint8_t a[4] = {1, 2, 3, 4}, b[4] = {1, 2, 3, 5};

    (void)state;
    assert_false(crypto_ct_equal(a, b, 4));
    assert_true(crypto_ct_equal(a, b, 3));
    assert_true(crypto_ct_equal(NULL, NULL, 0));
    crypto_wipe(a, 4);
    assert_hex(a, "00000000");
    crypto_wipe(NULL, 0);
}

static void test_rng(void **state)
{
    struct rng r;
    uint8_t big[3000], seen[7] = {0};
    unsigned bits = 0;

    (void)state;
    assert_int_equal(rng_init(&r), ST_OK);
    assert_int_not_equal(rng_u64(&r), rng_u64(&r));
    memset(big, 0, sizeof(big));
    for (size_t i = 0; i < sizeof(big); i += 100) /* across refills */
        rng_bytes(&r, big + i, 100);
    for (size_t i = 0; i < sizeof(big); i++)
        bits += (unsigned)__builtin_popcount(big[i]);
    assert_in_range(bits, 11000, 13000); /* 12000 +- 13 standard deviations */
    rng_bytes(&r, big, sizeof(big));
    for (int i = 0; i < 1000; i++) {
        uint64_t v = rng_below(&r, 7);
        assert_true(v < 7);
        seen[v] = 1;
    }
    assert_int_equal(rng_below(&r, 1), 0);
    for (int i = 0; i < 7; i++)
        assert_int_equal(seen[i], 1);
    rng_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aead_vectors),
        cmocka_unit_test(test_aead_openssl_alone),
        cmocka_unit_test(test_aead_pieces),
        cmocka_unit_test(test_aead_rekey),
        cmocka_unit_test(test_aead_empty),
        cmocka_unit_test(test_hash_vectors),
        cmocka_unit_test(test_hmac_vectors),
        cmocka_unit_test(test_hkdf_vectors),
        cmocka_unit_test(test_x25519_vectors),
        cmocka_unit_test(test_x25519_from_node),
        cmocka_unit_test(test_siphash_vectors),
        cmocka_unit_test(test_mem),
        cmocka_unit_test(test_rng),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
