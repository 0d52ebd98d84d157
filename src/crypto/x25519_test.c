/* Our own Curve25519 against the RFC's vectors and against the library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/rng.h"
#include "crypto/x25519.h"
#include "crypto/x25519_field.h"

#ifdef X25519_OWN

static void from_hex(uint8_t out[32], const char *hex)
{
    for (size_t i = 0; i < 32; i++) {
        unsigned v = 0;
        for (size_t j = 0; j < 2; j++) {
            char c = hex[2 * i + j];
            v = v << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        out[i] = (uint8_t)v;
    }
}

/* RFC 7748 section 5.2 */
static void test_vectors(void **state)
{
    static const char *const v[][3] = {
        {"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
         "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
         "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
        {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
         "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
         "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"}};
    uint8_t k[32], u[32], want[32], got[32];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        from_hex(k, v[i][0]);
        from_hex(u, v[i][1]);
        from_hex(want, v[i][2]);
        x25519_ladder(k, u, got);
        assert_memory_equal(got, want, 32);
    }
}

/* The iterated test of the same section, to 1,000 steps. */
static void test_iterated(void **state)
{
    uint8_t k[32] = {9}, u[32] = {9}, r[32], want[32];

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        x25519_ladder(k, u, r);
        memcpy(u, k, 32);
        memcpy(k, r, 32);
    }
    from_hex(want, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
    assert_memory_equal(k, want, 32);
}

/* Scalars and points with long runs of one bit find lost carries. */
static void odd_bytes(struct rng *r, uint8_t p[32])
{
    rng_bytes(r, p, 32);
    if (rng_below(r, 2) == 0) {
        size_t from = rng_below(r, 32), n = rng_below(r, 33 - from);
        memset(p + from, rng_below(r, 2) == 0 ? 0xff : 0, n);
    }
}

static void test_same_as_the_library(void **state)
{
    static const uint8_t nine[32] = {9};
    struct rng r;

    (void)state;
    assert_int_equal(rng_init(&r), ST_OK);
    for (unsigned i = 0; i < 2000; i++) {
        uint8_t k[32], peer[32], a[32], b[32], pub[32];
        odd_bytes(&r, k);
        odd_bytes(&r, peer);
        assert_int_equal(x25519_public(k, a), ST_OK);
        x25519_base(k, b);
        assert_memory_equal(a, b, 32);
        x25519_ladder(k, nine, b);
        assert_memory_equal(a, b, 32);
        enum status theirs = x25519_shared(k, peer, a), ours = x25519_exchange(k, peer, pub, b);
        assert_int_equal(theirs, ours);
        if (theirs == ST_OK)
            assert_memory_equal(a, b, 32);
    }
    rng_fini(&r);
}

/* Points of low order, and the same written with the modulus added: no secret comes of them. */
static void test_low_order(void **state)
{
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"};
    uint8_t k[32] = {1, 2, 3}, peer[32], pub[32], out[32];

    (void)state;
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        from_hex(peer, points[i]);
        assert_int_equal(x25519_exchange(k, peer, pub, out), ST_E_CRYPTO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors), cmocka_unit_test(test_iterated),
        cmocka_unit_test(test_same_as_the_library), cmocka_unit_test(test_low_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    return 0;
}

#endif
