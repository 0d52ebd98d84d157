#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/ascii.h"

/* Every byte, against the tables of RFC 20. */
static void all_bytes_are_told_apart(void **state)
{
    static const char digits[] = "0123456789", hex[] = "0123456789abcdef";
    static const char small[] = "abcdefghijklmnopqrstuvwxyz", big[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    (void)state;
    for (int i = 0; i < 256; i++) {
        char c = (char)i;
        const char *at = i != 0 ? strchr(big, c) : NULL;
        char low = at != NULL ? small[at - big] : c;
        assert_int_equal(ascii_lower(c), low);
        assert_int_equal(ascii_is_digit(c), i != 0 && strchr(digits, c) != NULL);
        assert_int_equal(ascii_is_letter(c), i != 0 && strchr(small, low) != NULL);
        const char *digit = i != 0 ? strchr(hex, low) : NULL;
        assert_int_equal(ascii_hex(c), digit != NULL ? digit - hex : -1);
    }
}

static void a_text_is_lowered_in_place(void **state)
{
    char text[] = "Az@[\xc3\x84-Z9";

    (void)state;
    assert_ptr_equal(ascii_lower_text(text), text);
    assert_string_equal(text, "az@[\xc3\x84-z9");
    assert_null(ascii_lower_text(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_bytes_are_told_apart),
        cmocka_unit_test(a_text_is_lowered_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
