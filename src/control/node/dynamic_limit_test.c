#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/config/config_limits.h"
#include "control/node/dynamic_limit.h"

#define NODE 7u
#define MB   UINT64_C(1000000)

/* 100 MB within a minute: 5 Mbit/s for ten. */
static const struct config_limits usual = {.dynamic = true,
                                           .dynamic_period_s = 60,
                                           .dynamic_speed_kbps = 5000,
                                           .dynamic_expire_s = 600,
                                           .dynamic_traffic = 100 * MB};

struct world {
    struct dynamic_limits *d;
    uint64_t now_ms;
    unsigned calls;
    struct {
        uint32_t node, kbps;
        uint64_t uid, bytes;
    } last;
};

static void on_changed(void *arg, uint32_t node, uint64_t uid, uint32_t kbps, uint64_t bytes)
{
    struct world *w = arg;

    w->calls++;
    w->last.node = node;
    w->last.uid = uid;
    w->last.kbps = kbps;
    w->last.bytes = bytes;
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    w->d = dynamic_limits_new(on_changed, w);
    w->now_ms = 1000000;
    assert_int_equal(dynamic_limits_rule(w->d, NODE, &usual), ST_OK);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    dynamic_limits_free(w->d);
    free(w);
    return 0;
}

static void moves(struct world *w, uint64_t uid, uint64_t bytes)
{
    dynamic_limits_moved(w->d, NODE, uid, bytes, w->now_ms);
}

static void pass(struct world *w, uint64_t s)
{
    w->now_ms += s * 1000;
    dynamic_limits_tick(w->d, w->now_ms);
}

static uint32_t limit_of(const struct world *w, uint64_t uid)
{
    return dynamic_limits_get(w->d, NODE, uid, NULL);
}

static void it_begins_and_ends(void **state)
{
    struct world *w = *state;
    uint64_t until = 0;

    for (unsigned i = 0; i < 9; i++, pass(w, 5))
        moves(w, 1, 11 * MB);
    moves(w, 2, 99 * MB);
    assert_int_equal(w->calls, 0);
    assert_int_equal(dynamic_limits_next_ms(w->d), UINT64_MAX);
    moves(w, 1, 1 * MB);
    assert_int_equal(w->calls, 1);
    assert_int_equal(w->last.node, NODE);
    assert_int_equal(w->last.uid, 1);
    assert_int_equal(w->last.kbps, 5000);
    assert_int_equal(w->last.bytes, 100 * MB);
    assert_int_equal(dynamic_limits_get(w->d, NODE, 1, &until), 5000);
    assert_int_equal(until, w->now_ms + 600000);
    assert_int_equal(dynamic_limits_next_ms(w->d), until);
    assert_int_equal(dynamic_limits_get(w->d, NODE + 1, 1, NULL), 0);
    moves(w, 1, 1000 * MB); /* neither longer nor twice */
    pass(w, 599);
    assert_int_equal(w->calls, 1);
    pass(w, 1);
    assert_int_equal(w->calls, 2);
    assert_int_equal(w->last.kbps, 0);
    assert_int_equal(limit_of(w, 1), 0);
    moves(w, 1, 99 * MB); /* he begins anew */
    assert_int_equal(w->calls, 2);
    moves(w, 1, 1 * MB);
    assert_int_equal(w->calls, 3);
}

static void spread_over_more_than_a_period_it_is_fine(void **state)
{
    struct world *w = *state;

    for (unsigned i = 0; i < 1000; i++, pass(w, 5))
        moves(w, 1, 8 * MB);
    assert_int_equal(w->calls, 0);
}

static void warnings_are_for_periods_in_a_row(void **state)
{
    struct world *w = *state;
    struct config_limits rule = usual;

    rule.dynamic_warnings = 2;
    assert_int_equal(dynamic_limits_rule(w->d, NODE, &rule), ST_OK);
    for (unsigned i = 0; i < 24; i++, pass(w, 5))
        moves(w, 1, 10 * MB); /* 120 MB a minute, two of them */
    assert_int_equal(w->calls, 0);
    pass(w, 120); /* and a rest: all is forgiven */
    for (unsigned i = 0; i < 24; i++, pass(w, 5))
        moves(w, 1, 10 * MB);
    assert_int_equal(w->calls, 0);
    for (unsigned i = 0; i < 12; i++, pass(w, 5))
        moves(w, 1, 10 * MB);
    assert_int_equal(w->calls, 1);
    assert_int_equal(limit_of(w, 1), 5000);
}

static void a_new_rule_counts_for_who_is_limited(void **state)
{
    struct world *w = *state;
    struct config_limits rule = usual;

    moves(w, 1, 100 * MB);
    rule.dynamic_speed_kbps = 9000;
    rule.dynamic_expire_s = 5;
    assert_int_equal(dynamic_limits_rule(w->d, NODE, &rule), ST_OK);
    assert_int_equal(w->calls, 2);
    assert_int_equal(w->last.kbps, 9000);
    assert_int_equal(w->last.bytes, 0);
    assert_int_equal(dynamic_limits_rule(w->d, NODE, &rule), ST_OK);
    assert_int_equal(w->calls, 2);
    moves(w, 2, 100 * MB); /* for five seconds: before the other */
    assert_int_equal(w->calls, 3);
    pass(w, 5);
    assert_int_equal(w->calls, 4);
    assert_int_equal(w->last.uid, 2);
    assert_int_equal(w->last.kbps, 0);
    rule.dynamic = false;
    assert_int_equal(dynamic_limits_rule(w->d, NODE, &rule), ST_OK);
    assert_int_equal(w->calls, 5);
    assert_int_equal(w->last.uid, 1);
    assert_int_equal(w->last.kbps, 0);
    moves(w, 1, 1000 * MB);
    assert_int_equal(w->calls, 5);
}

static void half_a_rule_is_none(void **state)
{
    struct world *w = *state;
    struct config_limits rule = usual;

    rule.dynamic_traffic = 0;
    assert_int_equal(dynamic_limits_rule(w->d, NODE, &rule), ST_OK);
    moves(w, 1, 1000 * MB);
    rule = usual;
    rule.dynamic_speed_kbps = 0;
    assert_int_equal(dynamic_limits_rule(w->d, NODE, &rule), ST_OK);
    moves(w, 1, 1000 * MB);
    assert_int_equal(w->calls, 0);
}

static void many_users_and_nodes(void **state)
{
    struct world *w = *state;
    struct config_limits rule = usual;

    for (uint32_t n = 100; n > 0; n--) {
        rule.dynamic_expire_s = 1 + n;
        assert_int_equal(dynamic_limits_rule(w->d, n, &rule), ST_OK);
    }
    for (uint64_t uid = 0; uid < 20000; uid++)
        dynamic_limits_moved(w->d, 1 + (uint32_t)(uid % 100), uid, (uid % 3 + 98) * MB, w->now_ms);
    assert_int_equal(w->calls, 20000 / 3);
    unsigned limited = 0;
    for (uint64_t uid = 0; uid < 20000; uid++)
        limited += dynamic_limits_get(w->d, 1 + (uint32_t)(uid % 100), uid, NULL) == 5000;
    assert_int_equal(limited, 20000 / 3);
    for (unsigned s = 0; s < 300; s++) {
        pass(w, 1);
        if (w->calls > 20000 / 3 && dynamic_limits_next_ms(w->d) != UINT64_MAX)
            assert_true(dynamic_limits_next_ms(w->d) > w->now_ms);
    }
    assert_int_equal(w->calls, 2 * (20000 / 3));
    assert_int_equal(dynamic_limits_next_ms(w->d), UINT64_MAX);
}

/* What an earlier process has left: for as long as it said, as fast as the rule of now says. */
static void it_goes_on_from_an_earlier_process(void **state)
{
    struct world *w = *state;
    struct config_limits slower = usual, off = usual;
    uint64_t until_ms = 0;

    assert_true(dynamic_limits_has_rule(w->d, NODE));
    assert_int_equal(dynamic_limits_resume(w->d, NODE, 1, 7000, w->now_ms + 60000), ST_OK);
    assert_int_equal(limit_of(w, 1), 5000);
    assert_int_equal(w->last.kbps, 5000);
    assert_int_equal(dynamic_limits_get(w->d, NODE, 1, &until_ms), 5000);
    assert_true(until_ms == w->now_ms + 60000);
    assert_true(dynamic_limits_next_ms(w->d) == until_ms);
    moves(w, 2, 40 * MB); /* he is known, and not limited */
    assert_int_equal(dynamic_limits_resume(w->d, NODE, 2, 7000, w->now_ms + 30000), ST_OK);
    pass(w, 30);
    assert_int_equal(limit_of(w, 2), 0);
    assert_int_equal(limit_of(w, 1), 5000);
    /* Of a node whose rule comes later. */
    assert_false(dynamic_limits_has_rule(w->d, NODE + 1));
    for (uint32_t i = 1; i <= 2; i++)
        assert_int_equal(dynamic_limits_resume(w->d, NODE + i, i, 7000, w->now_ms + 600000), ST_OK);
    assert_int_equal(dynamic_limits_get(w->d, NODE + 1, 1, NULL), 7000);
    slower.dynamic_speed_kbps = 1000;
    off.dynamic = false;
    assert_int_equal(dynamic_limits_rule(w->d, NODE + 1, &slower), ST_OK);
    assert_int_equal(dynamic_limits_rule(w->d, NODE + 2, &off), ST_OK);
    assert_int_equal(dynamic_limits_get(w->d, NODE + 1, 1, NULL), 1000);
    assert_int_equal(dynamic_limits_get(w->d, NODE + 2, 2, NULL), 0);
    pass(w, 30);
    assert_int_equal(limit_of(w, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_begins_and_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(spread_over_more_than_a_period_it_is_fine, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(warnings_are_for_periods_in_a_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_rule_counts_for_who_is_limited, set_up, tear_down),
        cmocka_unit_test_setup_teardown(half_a_rule_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_users_and_nodes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_goes_on_from_an_earlier_process, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
