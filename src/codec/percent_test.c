#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/percent.h"

static void test_decode(void **state)
{
    (void)state;
    char out[32];
    size_t len;
    assert_int_equal(percent_decode(out, &len, "/%77s+%2B", 9, 0), ST_OK);
    assert_string_equal(out, "/ws++");
    assert_int_equal(percent_decode(out, &len, "a+%2b", 5, PERCENT_FORM), ST_OK);
    assert_string_equal(out, "a +");
    assert_int_equal(percent_decode(out, &len, "%00", 3, 0), ST_OK);
    assert_int_equal(len, 1);
    assert_int_equal(percent_decode(out, &len, "", 0, 0), ST_OK);
    assert_int_equal(len, 0);
}

static void test_broken_escapes(void **state)
{
    (void)state;
    static const char *const bad[] = {"%", "%4", "a%", "%4g", "%g4", "%%41"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char out[8];
        size_t len;
        assert_int_equal(percent_decode(out, &len, bad[i], strlen(bad[i]), 0), ST_E_PROTO);
    }
}

static void test_encode(void **state)
{
    (void)state;
    char out[32];
    assert_int_equal(percent_encode(out, "a b/\xc3\xa9~", 7), 15);
    assert_string_equal(out, "a%20b%2F%C3%A9~");
    assert_int_equal(percent_encode(out, "\0", 1), 3);
    assert_string_equal(out, "%00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_broken_escapes),
        cmocka_unit_test(test_encode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
