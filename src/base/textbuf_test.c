#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/textbuf.h"

static void json_is(const char *text, const char *want)
{
    struct textbuf t;
    textbuf_init(&t);
    textbuf_json(&t, text);
    textbuf_put(&t, "", 1);
    assert_string_equal(t.p, want);
    textbuf_fini(&t);
}

static void strings_are_escaped_as_json_wants(void **state)
{
    (void)state;
    json_is("", "\"\"");
    json_is("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
    json_is("\n\t\x01\x7f", "\"\\u000a\\u0009\\u0001\x7f\"");
    json_is("Zürich 東京 🎂", "\"Zürich 東京 🎂\"");
}

static void what_is_no_utf8_is_replaced(void **state)
{
    (void)state;
    json_is("a\xff"
            "b",
            "\"a\\ufffdb\"");
    json_is("\xc3", "\"\\ufffd\"");                       /* cut */
    json_is("\xc0\xaf", "\"\\ufffd\\ufffd\"");            /* overlong */
    json_is("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""); /* surrogate */
    json_is("\xf5\x80\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

static void numbers_have_all_their_digits(void **state)
{
    (void)state;
    static const int64_t n[] = {0, 7, -7, 1000000, INT64_MAX, INT64_MIN};
    struct textbuf t;
    textbuf_init(&t);
    for (size_t i = 0; i < sizeof n / sizeof n[0]; i++) {
        textbuf_int(&t, n[i]);
        textbuf_put(&t, " ", 1);
    }
    textbuf_printf(&t, "%d|%s", 42, "x");
    textbuf_put(&t, "", 1);
    assert_string_equal(t.p, "0 7 -7 1000000 9223372036854775807 -9223372036854775808 42|x");
    textbuf_fini(&t);
}

static void it_grows_to_what_is_put_in(void **state)
{
    (void)state;
    struct textbuf t;
    textbuf_init(&t);
    for (int i = 0; i < 100000; i++)
        textbuf_put(&t, "0123456789", 10);
    assert_int_equal(t.len, 1000000);
    assert_memory_equal(t.p + 999990, "0123456789", 10);
    assert_false(t.failed);
    textbuf_fini(&t);
}

static void it_keeps_its_bound(void **state)
{
    (void)state;
    struct textbuf t = {.max = 4096};
    while (!t.failed)
        textbuf_put(&t, "0123456789", 10);
    assert_in_range(t.len, 4000, 4096);
    assert_null(textbuf_room(&t, 1));
    textbuf_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped_as_json_wants),
        cmocka_unit_test(what_is_no_utf8_is_replaced),
        cmocka_unit_test(numbers_have_all_their_digits),
        cmocka_unit_test(it_grows_to_what_is_put_in),
        cmocka_unit_test(it_keeps_its_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
