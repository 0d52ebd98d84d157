#include "proto/shadowsocks/sources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

static struct addr ip4(uint32_t n)
{
    struct addr a = {.family = ADDR_IP4, .port = (uint16_t)n};
    memcpy(a.ip, &n, sizeof(n));
    return a;
}

static int open_sources(void **state)
{
    static struct ss_sources s;
    *state = &s;
    return ss_sources_init(&s, 7) == ST_OK ? 0 : -1;
}

static int close_sources(void **state)
{
    ss_sources_fini(*state);
    return 0;
}

static void keeps_the_last_users_of_a_source(void **state)
{
    struct ss_sources *s = *state;
    struct addr a = ip4(1), b = ip4(2);
    uint64_t uids[SS_SOURCE_USERS];

    assert_int_equal(ss_sources_find(s, &a, uids), 0);
    for (uint64_t uid = 0; uid < 6; uid++)
        ss_sources_note(s, &a, uid);
    ss_sources_note(s, &b, 77);
    ss_sources_note(s, &a, 3);
    a.port = 999; /* ports do not count */
    assert_int_equal(ss_sources_find(s, &a, uids), 4);
    assert_int_equal(uids[0], 3);
    assert_int_equal(uids[1], 5);
    assert_int_equal(uids[2], 4);
    assert_int_equal(uids[3], 2);
    assert_int_equal(ss_sources_find(s, &b, uids), 1);
    assert_int_equal(uids[0], 77);
    assert_int_equal(atomic_load(&s->recent[77]), 78);
}

static void a_source_of_ipv6_is_its_64(void **state)
{
    struct ss_sources *s = *state;
    struct addr a = {.family = ADDR_IP6, .ip = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 2, 3}};
    uint64_t uids[SS_SOURCE_USERS];

    ss_sources_note(s, &a, 9);
    a.ip[15] = 7;
    assert_int_equal(ss_sources_find(s, &a, uids), 1);
    a.ip[7] = 2;
    assert_int_equal(ss_sources_find(s, &a, uids), 0);
}

/* However many come, there is room for a set number, and the last ones are there. */
static void is_bounded(void **state)
{
    struct ss_sources *s = *state;
    uint64_t uids[SS_SOURCE_USERS];
    size_t found = 0;

    for (uint32_t i = 0; i < 100000; i++) {
        struct addr a = ip4(i);
        ss_sources_note(s, &a, i);
        assert_int_equal(ss_sources_find(s, &a, uids), 1);
        assert_int_equal(uids[0], i);
    }
    for (uint32_t i = 0; i < 100000; i++) {
        struct addr a = ip4(i);
        found += ss_sources_find(s, &a, uids);
    }
    assert_true(found <= SS_SOURCE_SETS * SS_SOURCE_WAYS);
    assert_true(found > SS_SOURCE_SETS * SS_SOURCE_WAYS * 9 / 10);
}

static void a_source_has_an_eighth_of_the_budget(void **state)
{
    struct ss_sources *s = *state;
    uint64_t now = 5000000;
    unsigned own = 0, all = 0;
    struct addr a = ip4(1);

    while (ss_sources_take(s, &a, 100, 8000, 0, now))
        own++;
    assert_int_equal(own, SS_BUDGET_BURST_S * 10);
    for (uint32_t i = 2; i < 2000; i++) {
        struct addr b = ip4(i);
        while (ss_sources_take(s, &b, 100, 8000, 0, now))
            all++;
    }
    assert_int_equal(own + all, SS_BUDGET_BURST_S * 80);
    /* it comes back with time, and at once where a user was found */
    assert_false(ss_sources_take(s, &a, 100, 8000, 0, now + 50000));
    assert_true(ss_sources_take(s, &a, 100, 8000, 0, now + 100000));
    assert_false(ss_sources_take(s, &a, 100, 8000, 0, now + 100000));
    ss_sources_give(s, &a, 100);
    assert_true(ss_sources_take(s, &a, 100, 8000, 0, now + 100000));
    /* another worker's clock may be a little behind */
    assert_false(ss_sources_take(s, &a, 100, 8000, 0, now));
}

static void one_whole_search_is_always_possible(void **state)
{
    struct ss_sources *s = *state;
    struct addr a = ip4(1);
    uint32_t n = 0;

    while (ss_sources_take(s, &a, 1000, 1000, 100000, 1))
        n += 1000;
    assert_int_equal(n, 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeps_the_last_users_of_a_source, open_sources,
                                        close_sources),
        cmocka_unit_test_setup_teardown(a_source_of_ipv6_is_its_64, open_sources, close_sources),
        cmocka_unit_test_setup_teardown(is_bounded, open_sources, close_sources),
        cmocka_unit_test_setup_teardown(a_source_has_an_eighth_of_the_budget, open_sources,
                                        close_sources),
        cmocka_unit_test_setup_teardown(one_whole_search_is_always_possible, open_sources,
                                        close_sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
