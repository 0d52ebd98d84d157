#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "app/block_list.h"

static char out[64], problem[BLOCK_LIST_PROBLEM];

static void rules_become_lines(void **state)
{
    (void)state;
    assert_int_equal(
        block_list_read("domain:a.example, protocol:bittorrent,\nport:25,465,10.0.0.0/8", out,
                        sizeof(out), problem),
        ST_OK);
    assert_string_equal(out, "domain:a.example\nprotocol:bittorrent\nport:25,465\n10.0.0.0/8");
    assert_int_equal(block_list_read(out, out, sizeof(out), problem), ST_OK);
    assert_string_equal(out, "domain:a.example\nprotocol:bittorrent\nport:25,465\n10.0.0.0/8");
    assert_int_equal(block_list_read("*.a.example", out, sizeof(out), problem), ST_OK);
    assert_int_equal(block_list_read("", out, sizeof(out), problem), ST_OK);
    assert_string_equal(out, "");
}

static void what_is_no_rule_is_told(void **state)
{
    (void)state;
    assert_int_equal(block_list_read("a,regexp:b(c", out, sizeof(out), problem), ST_E_CONFIG);
    assert_string_equal(problem, "\"regexp:b(c\": missing closing parenthesis, at character 3");
    assert_int_equal(block_list_read("port:0", out, sizeof(out), problem), ST_E_CONFIG);
    assert_int_equal(
        block_list_read("keyword:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                        "aaaaaaaaaaaaaaaa",
                        out, sizeof(out), problem),
        ST_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_become_lines),
        cmocka_unit_test(what_is_no_rule_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
