#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/traffic_window.h"

#define MINUTE_MS 60000u

static void it_holds_the_last_minute(void **state)
{
    struct traffic_window w = {0};
    uint64_t now = 1234567, sum = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++, now += 1000)
        sum = traffic_window_add(&w, MINUTE_MS, now, 10);
    assert_in_range(sum, 550, 600);
    assert_in_range(traffic_window_add(&w, MINUTE_MS, now + MINUTE_MS / 2, 0), 240, 300);
    assert_int_equal(traffic_window_add(&w, MINUTE_MS, now + MINUTE_MS, 7), 7);
}

static void nothing_older_counts(void **state)
{
    struct traffic_window w = {0};

    (void)state;
    assert_int_equal(traffic_window_add(&w, MINUTE_MS, 1000, 5), 5);
    assert_int_equal(traffic_window_add(&w, MINUTE_MS, 1000, 5), 10);
    assert_int_equal(traffic_window_add(&w, MINUTE_MS, 54999, 1), 11);
    assert_int_equal(traffic_window_add(&w, MINUTE_MS, 61000, 1), 2);
    assert_int_equal(traffic_window_add(&w, MINUTE_MS, UINT64_C(1) << 50, 3), 3);
}

static void a_long_pause_costs_no_more_than_a_window(void **state)
{
    struct traffic_window w = {0};

    (void)state;
    (void)traffic_window_add(&w, TRAFFIC_WINDOW_PARTS, 5, 5);
    assert_int_equal(traffic_window_add(&w, TRAFFIC_WINDOW_PARTS, UINT64_MAX / 2, 3), 3);
    assert_int_equal(traffic_window_add(&w, TRAFFIC_WINDOW_PARTS, UINT64_MAX / 2 + 11, 4), 7);
    assert_int_equal(traffic_window_add(&w, TRAFFIC_WINDOW_PARTS, UINT64_MAX / 2 + 12, 4), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_the_last_minute),
        cmocka_unit_test(nothing_older_counts),
        cmocka_unit_test(a_long_pause_costs_no_more_than_a_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
