#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "session/causes.h"

static char texts[2 * CAUSES_MAX];

static void counts_by_node_and_cause(void **state)
{
    static struct causes c;

    (void)state;
    for (int i = 0; i < 3; i++)
        causes_add(&c, 0, &texts[0]);
    causes_add(&c, 1, &texts[0]);
    causes_add(&c, 0, &texts[1]);
    assert_int_equal(causes_count(&c, 0, &texts[0]), 3);
    assert_int_equal(causes_count(&c, 1, &texts[0]), 1);
    assert_int_equal(causes_count(&c, 0, &texts[1]), 1);
    assert_int_equal(causes_count(&c, 1, &texts[1]), 0);
}

static void a_full_table_keeps_what_it_has(void **state)
{
    static struct causes c;

    (void)state;
    for (int twice = 0; twice < 2; twice++)
        for (size_t i = 0; i < sizeof(texts); i++)
            causes_add(&c, 7, &texts[i]);
    for (size_t i = 0; i < sizeof(texts); i++)
        assert_int_equal(causes_count(&c, 7, &texts[i]), i < CAUSES_MAX ? 2 : 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_by_node_and_cause),
        cmocka_unit_test(a_full_table_keeps_what_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
