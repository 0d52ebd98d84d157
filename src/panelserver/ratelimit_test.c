#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "panelserver/ratelimit.h"

#define SECOND UINT64_C(1000000)
#define START  (77 * SECOND)

static const uint8_t KEY[16] = {1, 2, 3};

static struct addr ip(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse_ip(&a, text, strlen(text)), ST_OK);
    return a;
}

static struct ratelimit *limiter(uint32_t per_s, uint32_t burst)
{
    struct ratelimit *rl = malloc(sizeof *rl);
    ratelimit_init(rl, per_s, burst, KEY);
    return rl;
}

static void a_burst_is_let_through_and_then_the_average(void **state)
{
    (void)state;
    struct ratelimit *rl = limiter(10, 5);
    struct addr a = ip("192.0.2.1"), b = ip("192.0.2.2");
    for (int i = 0; i < 5; i++)
        assert_int_equal(ratelimit_take(rl, &a, 1, START), 0);
    assert_int_equal(ratelimit_take(rl, &a, 1, START), SECOND / 10);
    assert_int_equal(ratelimit_take(rl, &b, 1, START), 0); /* another's bucket */
    assert_int_equal(ratelimit_take(rl, &a, 1, START + SECOND / 10 - 1), 1);
    assert_int_equal(ratelimit_take(rl, &a, 1, START + SECOND / 10), 0);
    assert_true(ratelimit_take(rl, &a, 1, START + SECOND / 10) > 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(ratelimit_take(rl, &a, 1, START + 9 * SECOND), 0);
    assert_true(ratelimit_take(rl, &a, 1, START + 9 * SECOND) > 0);
    free(rl);
}

static void debt_is_bounded(void **state)
{
    (void)state;
    struct ratelimit *rl = limiter(10, 10);
    struct addr a = ip("192.0.2.1");
    for (int i = 0; i < 100; i++)
        ratelimit_charge(rl, &a, 20, START);
    assert_true(ratelimit_take(rl, &a, 1, START) > SECOND);
    assert_int_equal(ratelimit_take(rl, &a, 1, START + SECOND + SECOND / 10), 0);
    free(rl);
}

static void an_ipv6_household_is_one_source(void **state)
{
    (void)state;
    struct ratelimit *rl = limiter(1, 1);
    struct addr a = ip("2001:db8:1:2::1"), b = ip("2001:db8:1:2:ffff::9"),
                c = ip("2001:db8:1:3::1");
    assert_int_equal(ratelimit_take(rl, &a, 1, START), 0);
    assert_true(ratelimit_take(rl, &b, 1, START) > 0);
    assert_int_equal(ratelimit_take(rl, &c, 1, START), 0);
    free(rl);
}

static void a_flood_of_addresses_does_not_free_one_that_keeps_asking(void **state)
{
    (void)state;
    struct ratelimit *rl = limiter(1, 1000);
    struct addr greedy = ip("192.0.2.1");
    while (ratelimit_take(rl, &greedy, 1, START) == 0)
        ;
    for (uint32_t i = 0; i < 100000; i++) {
        struct addr a = {.family = ADDR_IP4,
                         .ip = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
        assert_int_equal(ratelimit_take(rl, &a, 1, START), 0);
    }
    assert_true(ratelimit_take(rl, &greedy, 1, START) > 0);
    free(rl);
}

static void off_is_off(void **state)
{
    (void)state;
    struct ratelimit *rl = limiter(RATELIMIT_OFF, 1);
    struct addr a = ip("192.0.2.1");
    for (int i = 0; i < 1000; i++)
        assert_int_equal(ratelimit_take(rl, &a, 20, START), 0);
    free(rl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_is_let_through_and_then_the_average),
        cmocka_unit_test(debt_is_bounded),
        cmocka_unit_test(an_ipv6_household_is_one_source),
        cmocka_unit_test(a_flood_of_addresses_does_not_free_one_that_keeps_asking),
        cmocka_unit_test(off_is_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
