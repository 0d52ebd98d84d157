#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "session/brake.h"

#define SECOND UINT64_C(1000000)

/* Reads as fast as it may, @each bytes at a time, until @end_us; the bytes that came through. */
static uint64_t run(const struct aux_limit *l, size_t each, uint64_t end_us)
{
    struct brake b;
    uint64_t now = 77, sum = 0, stop = now + end_us;

    brake_init(&b, l, now);
    while (now < stop) {
        size_t room = brake_room(&b, now);
        if (room == 0) {
            uint64_t next = brake_ready_us(&b);
            assert_true(next > now);
            now = next;
            assert_true(brake_room(&b, now) > 0); /* never woken in vain */
            continue;
        }
        size_t n = room < each ? room : each;
        brake_take(&b, n);
        sum += n;
        now++; /* a read takes time */
    }
    return sum;
}

static void about(uint64_t got, uint64_t want, uint64_t slack)
{
    if (got > want + slack || got + slack < want)
        fail_msg("%llu, not %llu", (unsigned long long)got, (unsigned long long)want);
}

static void no_rate_no_brake(void **state)
{
    (void)state;
    const struct aux_limit l = {.after = 5};
    struct brake b;
    brake_init(&b, &l, 0);
    for (int i = 0; i < 3; i++) {
        assert_true(brake_room(&b, 0) == SIZE_MAX);
        brake_take(&b, SIZE_MAX / 2);
    }
}

static void the_bucket_first_then_the_rate(void **state)
{
    (void)state;
    const struct aux_limit l = {.rate = 100000, .burst = 300000};
    about(run(&l, 16384, 10 * SECOND), 300000 + 10 * 100000, 16384);
    const struct aux_limit small = {.rate = 100000, .burst = 1}; /* no smaller than the rate */
    about(run(&small, 16384, 10 * SECOND), 100000 + 10 * 100000, 16384);
}

static void every_rate_is_kept(void **state)
{
    (void)state;
    static const uint64_t rates[] = {1, 3, 7, 999, 1000003, UINT64_C(1) << 30};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        const struct aux_limit l = {.rate = rates[i]};
        about(run(&l, 1 << 20, 20 * SECOND), 21 * rates[i], (1 << 20) + rates[i] / 20 + 1);
    }
    const struct aux_limit slow = {.rate = 3};
    about(run(&slow, 1000, 1000 * SECOND), 3003, 1);
}

static void free_bytes_come_first_and_the_read_that_crosses_is_free(void **state)
{
    (void)state;
    const struct aux_limit l = {.after = 1000, .rate = 10, .burst = 20};
    struct brake b;
    brake_init(&b, &l, 0);
    brake_take(&b, 999);
    assert_true(brake_room(&b, 0) == SIZE_MAX);
    brake_take(&b, 50000);
    assert_int_equal(brake_room(&b, 0), 20);
}

/* A read that took more than there was is paid back. */
static void debts_are_paid(void **state)
{
    (void)state;
    const struct aux_limit l = {.rate = 1000, .burst = 1000};
    struct brake b;
    brake_init(&b, &l, 0);
    assert_int_equal(brake_room(&b, 0), 1000);
    brake_take(&b, 16000);
    assert_int_equal(brake_room(&b, 0), 0);
    assert_int_equal(brake_ready_us(&b), 15 * SECOND + SECOND / 20);
    assert_int_equal(brake_room(&b, 15 * SECOND), 0);
    assert_int_equal(brake_room(&b, 15 * SECOND + SECOND / 20), 50);
}

static void a_long_pause_saves_no_more_than_the_bucket(void **state)
{
    (void)state;
    const struct aux_limit l = {.rate = UINT64_MAX, .burst = UINT64_MAX};
    struct brake b;
    brake_init(&b, &l, 0);
    brake_take(&b, 1);
    assert_int_equal(brake_room(&b, UINT64_MAX), UINT64_C(1) << 60);
    const struct aux_limit small = {.rate = 5, .burst = 9};
    brake_init(&b, &small, 0);
    brake_take(&b, 9);
    assert_int_equal(brake_room(&b, 3600 * SECOND), 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_rate_no_brake),
        cmocka_unit_test(the_bucket_first_then_the_rate),
        cmocka_unit_test(every_rate_is_kept),
        cmocka_unit_test(free_bytes_come_first_and_the_read_that_crosses_is_free),
        cmocka_unit_test(debts_are_paid),
        cmocka_unit_test(a_long_pause_saves_no_more_than_the_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
