#include "policy/trial_budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define COST  500000u /* half a millisecond of work */
#define START (UINT64_C(1000) * 60 * 1000000)

/* A quarter for all and a fiftieth for one; 250 ms and 50 ms of work at once. */
static const struct trial_rule RULE = {
    .all_share = 4, .source_share = 50, .all_burst_ns = 250000000, .source_burst_ns = 50000000};

static uint64_t source(uint64_t n)
{
    return n << 32;
}

static unsigned takes(struct trial_budget *b, uint64_t n, uint64_t now_us)
{
    unsigned taken = 0;

    while (taken < 100000 && trial_budget_take(b, source(n), &RULE, COST, now_us))
        taken++;
    return taken;
}

static void a_source_has_its_share(void **state)
{
    static struct trial_budget b;

    (void)state;
    assert_int_equal(takes(&b, 1, START), 100);
    assert_int_equal(takes(&b, 1, START), 0);
    assert_int_equal(takes(&b, 1, START + 500000), 20);
    /* Another worker's clock may be a little behind. */
    assert_int_equal(takes(&b, 1, START + 499000), 0);
    trial_budget_give(&b, source(1), &RULE, COST);
    assert_int_equal(takes(&b, 1, START + 500000), 1);
}

static void all_together_have_one_too(void **state)
{
    static struct trial_budget b;
    unsigned all = 0;

    (void)state;
    for (uint64_t n = 1; n < 100; n++)
        all += takes(&b, n, START);
    assert_int_equal(all, 500);
    assert_int_equal(takes(&b, 3000, START), 0);
    /* What was refused for all was not taken from the source. */
    assert_int_equal(takes(&b, 3000, START + 100000), 50);
    assert_int_equal(takes(&b, 3000, START + 200000), 50);
}

static void who_owes_nothing_may_begin(void **state)
{
    static struct trial_budget b;

    (void)state;
    assert_true(trial_budget_take(&b, source(9), &RULE, UINT64_C(10000) * COST, START));
    assert_false(trial_budget_take(&b, source(9), &RULE, 1, START));
    assert_false(trial_budget_take(&b, source(8), &RULE, 1, START));
    trial_budget_give(&b, source(9), &RULE, UINT64_C(10000) * COST);
    assert_true(trial_budget_take(&b, source(8), &RULE, 1, START));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_has_its_share),
        cmocka_unit_test(all_together_have_one_too),
        cmocka_unit_test(who_owes_nothing_may_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
