#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/protobuf.h"
#include "control/stats/stats_request.h"

#define BYTES(s) ((const uint8_t *)(s)), sizeof(s) - 1

static void test_get(void **state)
{
    (void)state;
    struct stats_get q;
    assert_int_equal(stats_request_get(BYTES("\x0a\x03"
                                             "a>b\x10\x01"),
                                       &q),
                     ST_OK);
    assert_true(q.reset && q.name.len == 3 && memcmp(q.name.p, "a>b", 3) == 0);
    assert_int_equal(stats_request_get(BYTES(""), &q), ST_OK);
    assert_true(!q.reset && q.name.len == 0);
    /* Unknown fields of all types, the last of two names, and a name that is a number. */
    assert_int_equal(stats_request_get(BYTES("\x0a\x01x\x78\x05\x0a\x01y\x7d"
                                             "abcd\x79"
                                             "abcdefgh\x08\x01\x10\x00"),
                                       &q),
                     ST_OK);
    assert_true(!q.reset && q.traffic && q.name.len == 1 && q.name.p[0] == 'y');
    assert_int_equal(stats_request_get(BYTES("\x0a\xff"), &q), ST_E_PROTO);
    assert_int_equal(stats_request_get(BYTES("\x0a\x01\xff"), &q), ST_E_UNSUPPORTED);
}

static void test_query(void **state)
{
    (void)state;
    static struct stats_query q;
    assert_int_equal(stats_request_query(BYTES("\x0a\x04user\x1a\x01"
                                               "a\x1a\x00\x10\x01\x20\x01"),
                                         &q),
                     ST_OK);
    assert_true(q.reset && q.regexp && q.count == 3);
    assert_true(q.patterns[0].len == 1 && q.patterns[1].len == 0 && q.patterns[2].len == 4);
    assert_int_equal(stats_request_query(BYTES("\x0a\x00"), &q), ST_OK);
    assert_true(!q.reset && !q.regexp && q.count == 0);
    assert_int_equal(stats_request_query(BYTES("\x1a\x01\xc0"), &q), ST_E_UNSUPPORTED);
    assert_int_equal(stats_request_query(BYTES("\x1a\x05x"), &q), ST_E_PROTO);
}

static void test_too_many_patterns(void **state)
{
    (void)state;
    static struct stats_query q;
    uint8_t buf[3 * STATS_PATTERNS_MAX + 8];
    struct protobuf_writer w = {.p = buf, .cap = sizeof(buf)};
    protobuf_put_bytes(&w, 1, "p", 1);
    for (unsigned i = 0; i + 1 < STATS_PATTERNS_MAX; i++)
        protobuf_put_bytes(&w, 3, "p", 1);
    assert_int_equal(stats_request_query(buf, w.len, &q), ST_OK);
    assert_int_equal(q.count, STATS_PATTERNS_MAX);
    protobuf_put_bytes(&w, 3, "p", 1);
    assert_false(w.full);
    assert_int_equal(stats_request_query(buf, w.len, &q), ST_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_too_many_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
