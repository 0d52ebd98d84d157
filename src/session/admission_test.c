#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "session/admission.h"

static struct addr ip4(uint32_t n)
{
    struct addr a = {.family = ADDR_IP4, .port = 1};
    memcpy(a.ip, &n, 4);
    return a;
}

static struct addr ip6(uint64_t net, uint64_t host)
{
    struct addr a = {.family = ADDR_IP6, .port = 1};
    memcpy(a.ip, &net, 8);
    memcpy(a.ip + 8, &host, 8);
    return a;
}

static void a_source_has_a_bound_of_strangers(void **state)
{
    (void)state;
    struct admission a;
    struct addr one = ip4(1), other = ip4(2);
    assert_int_equal(admission_init(&a, 1000), ST_OK);
    for (int i = 0; i < 3; i++)
        assert_true(admission_enter(&a, &one, 3));
    assert_false(admission_enter(&a, &one, 3));
    assert_true(admission_enter(&a, &other, 3));
    admission_known(&a, &one); /* one of them turned out to be a user */
    assert_true(admission_enter(&a, &one, 3));
    assert_int_equal(a.strangers, 4);
    assert_int_equal(a.sessions, 5);
    admission_fini(&a);
}

static void an_ipv6_source_is_its_network(void **state)
{
    (void)state;
    struct admission a;
    struct addr x = ip6(7, 1), y = ip6(7, 2), z = ip6(8, 1);
    assert_int_equal(admission_init(&a, 1000), ST_OK);
    assert_true(admission_enter(&a, &x, 1));
    assert_false(admission_enter(&a, &y, 1));
    assert_true(admission_enter(&a, &z, 1));
    admission_fini(&a);
}

static void strangers_get_an_eighth_and_users_the_rest(void **state)
{
    (void)state;
    struct admission a;
    assert_int_equal(admission_init(&a, 800), ST_OK);
    for (uint32_t i = 0; i < 100; i++) {
        struct addr s = ip4(i);
        assert_true(admission_enter(&a, &s, 1));
    }
    struct addr late = ip4(5000);
    assert_false(admission_enter(&a, &late, 1));
    for (uint32_t i = 0; i < 100; i++) {
        struct addr s = ip4(i);
        admission_known(&a, &s);
    }
    assert_int_equal(a.strangers, 0);
    assert_true(admission_enter(&a, &late, 1));
    admission_fini(&a);
}

static void accepting_stops_at_the_bound_and_resumes_below_it(void **state)
{
    (void)state;
    static const size_t bounds[] = {1, 16, 20, 100, 4096};
    for (size_t k = 0; k < sizeof(bounds) / sizeof(bounds[0]); k++) {
        struct admission a;
        struct addr s = ip4(1);
        assert_int_equal(admission_init(&a, bounds[k]), ST_OK);
        while (admission_enter(&a, &s, UINT32_MAX))
            admission_known(&a, &s);
        assert_true(admission_full(&a));
        assert_false(admission_may_resume(&a));
        size_t left = 0;
        while (!admission_may_resume(&a)) {
            admission_leave(&a);
            left++;
        }
        assert_true(a.sessions > 0); /* not only when everybody has gone */
        assert_true(left <= a.sessions_max / 20 + 1);
        admission_fini(&a);
    }
}

static void a_renamed_stranger_counts_where_he_comes_from(void **state)
{
    (void)state;
    struct admission a;
    struct addr balancer = ip4(1), x = ip4(2), y = ip4(3);
    assert_int_equal(admission_init(&a, 1000), ST_OK);
    assert_true(admission_enter(&a, &balancer, 2));
    assert_true(admission_enter(&a, &balancer, 2));
    assert_true(admission_rename(&a, &balancer, &x, 1));
    assert_true(admission_enter(&a, &balancer, 2));
    assert_false(admission_rename(&a, &balancer, &x, 1)); /* stays the balancer's */
    assert_true(admission_rename(&a, &balancer, &y, 1));
    assert_true(admission_rename(&a, &balancer, &balancer, 1));
    assert_int_equal(a.strangers, 3);
    admission_known(&a, &x);
    admission_known(&a, &y);
    admission_known(&a, &balancer);
    assert_int_equal(a.strangers, 0);
    assert_int_equal(a.sessions, 3);
    admission_fini(&a);
}

/* The table against a plain array, with sources that collide and leave in any order. */
static void the_table_agrees_with_a_simple_one(void **state)
{
    (void)state;
    enum { SOURCES = 400, STEPS = 200000 };
    static unsigned count[SOURCES];
    struct admission a;
    uint64_t seed = 1;
    size_t all = 0;
    assert_int_equal(admission_init(&a, 2400), ST_OK);
    for (unsigned i = 0; i < STEPS; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        unsigned n = (unsigned)(seed >> 40) % SOURCES;
        struct addr s = n % 2 ? ip4(n) : ip6(n, seed);
        if (seed >> 63) {
            bool fits = all < a.strangers_max && count[n] < 3;
            assert_int_equal(admission_enter(&a, &s, 3), fits);
            count[n] += fits;
            all += fits;
        } else if (count[n] > 0) {
            admission_known(&a, &s);
            admission_leave(&a);
            count[n]--;
            all--;
        }
        assert_int_equal(a.strangers, all);
        assert_int_equal(a.sessions, all);
    }
    admission_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_has_a_bound_of_strangers),
        cmocka_unit_test(an_ipv6_source_is_its_network),
        cmocka_unit_test(strangers_get_an_eighth_and_users_the_rest),
        cmocka_unit_test(accepting_stops_at_the_bound_and_resumes_below_it),
        cmocka_unit_test(a_renamed_stranger_counts_where_he_comes_from),
        cmocka_unit_test(the_table_agrees_with_a_simple_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
