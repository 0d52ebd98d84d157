#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/hex.h"

static void test_round_trip(void **state)
{
    (void)state;
    const uint8_t raw[] = {0x00, 0x7f, 0xa5, 0xff};
    char text[9];
    uint8_t back[4];
    assert_string_equal(hex_encode(text, raw, 4), "007fa5ff");
    assert_int_equal(hex_decode(back, "007Fa5fF", 8), ST_OK);
    assert_memory_equal(back, raw, 4);
    assert_int_equal(hex_decode(back, "", 0), ST_OK);
}

static void test_refused(void **state)
{
    (void)state;
    uint8_t out[4];
    assert_int_equal(hex_decode(out, "0", 1), ST_E_PROTO);
    assert_int_equal(hex_decode(out, "0g", 2), ST_E_PROTO);
    assert_int_equal(hex_decode(out, " 0", 2), ST_E_PROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
