#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "panelserver/token.h"

static void tokens_are_random_and_compared_whole(void **state)
{
    (void)state;
    char a[TOKEN_STRLEN], b[TOKEN_STRLEN], id[UUID_STRLEN];
    uint8_t raw[UUID_LEN];
    assert_int_equal(token_new(a), ST_OK);
    assert_int_equal(token_new(b), ST_OK);
    assert_int_equal(strlen(a), 43);
    assert_string_not_equal(a, b);
    assert_true(token_equal(a, a, 43));
    assert_false(token_equal(a, b, 43));
    assert_false(token_equal(a, a, 42));
    assert_false(token_equal("", "", 0));
    assert_int_equal(token_uuid(id), ST_OK);
    assert_int_equal(uuid_parse(raw, id, strlen(id)), ST_OK);
    assert_int_equal(raw[6] >> 4, 4);
    assert_int_equal(raw[8] >> 6, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_random_and_compared_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
