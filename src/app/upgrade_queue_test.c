#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/upgrade_queue.h"

static void they_come_in_the_order_they_went(void **state)
{
    struct upgrade_queue q = {.each = sizeof(uint32_t), .most = 10};
    uint32_t in[6], out[10], told = 0, next = 0;

    (void)state;
    assert_int_equal(upgrade_queue_peek(&q, out, 10), 0);
    assert_true(upgrade_queue_add(&q, NULL, 0));
    for (unsigned round = 0; round < 1000; round++) {
        size_t n = round % 7;
        for (size_t i = 0; i < n; i++)
            in[i] = next + (uint32_t)i;
        size_t before = q.count;
        assert_int_equal(upgrade_queue_add(&q, in, n), before + n <= 10);
        assert_int_equal(q.count, before + (before + n <= 10 ? n : 0)); /* all or none */
        next += before + n <= 10 ? (uint32_t)n : 0;
        size_t sent = upgrade_queue_peek(&q, out, 1 + round % 4);
        for (size_t i = 0; i < sent; i++)
            assert_int_equal(out[i], told + i);
        told += (uint32_t)sent;
        upgrade_queue_drop(&q, sent);
    }
    assert_true(told > 1000);
    upgrade_queue_fini(&q);
    assert_int_equal(q.count, 0);
    assert_true(upgrade_queue_add(&q, in, 6));
    assert_false(upgrade_queue_add(&q, in, 5));
    assert_false(upgrade_queue_add(&q, in, 11));
    upgrade_queue_fini(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_come_in_the_order_they_went),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
