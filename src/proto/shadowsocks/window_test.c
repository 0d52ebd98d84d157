#include "proto/shadowsocks/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static bool take(struct ss_window *w, uint64_t n)
{
    if (!ss_window_fits(w, n))
        return false;
    ss_window_mark(w, n);
    return true;
}

static void each_number_once(void **state)
{
    struct ss_window w = {0};

    (void)state;
    for (uint64_t n = 0; n < 30000; n++) {
        assert_true(take(&w, n));
        assert_false(take(&w, n));
    }
}

static void late_ones_while_they_are_in_the_window(void **state)
{
    struct ss_window w = {0};

    (void)state;
    assert_true(take(&w, 20000));
    assert_true(take(&w, 20000 - SS_WINDOW + 1));
    assert_false(take(&w, 20000 - SS_WINDOW));
    assert_false(take(&w, 0));
    assert_true(take(&w, 19999));
    assert_false(take(&w, 19999));
    assert_true(take(&w, 20001));
}

static void a_leap_forgets_what_lies_between(void **state)
{
    struct ss_window w = {0};

    (void)state;
    for (uint64_t n = 0; n < 200; n++)
        assert_true(take(&w, n));
    assert_true(take(&w, 1000000));
    for (uint64_t n = 1000000 - SS_WINDOW + 1; n < 1000000; n++)
        assert_true(take(&w, n));
    assert_true(take(&w, UINT64_MAX));
    assert_false(take(&w, UINT64_MAX));
    assert_false(take(&w, 1000001));
}

/* Against a list of all numbers. */
static void agrees_with_a_list(void **state)
{
    static uint8_t taken[40000];
    struct ss_window w = {0};
    uint64_t seed = 1, last = 0;

    (void)state;
    for (unsigned i = 0; i < 60000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t n = i / 2 + (seed >> 40) % 10000;
        bool fits = (n > last || last - n < SS_WINDOW) && !taken[n];
        assert_int_equal(take(&w, n), fits);
        taken[n] |= fits;
        last = fits && n > last ? n : last;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_number_once),
        cmocka_unit_test(late_ones_while_they_are_in_the_window),
        cmocka_unit_test(a_leap_forgets_what_lies_between),
        cmocka_unit_test(agrees_with_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
