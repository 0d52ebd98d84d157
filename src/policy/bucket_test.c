#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/bucket.h"

#define SECOND_US UINT64_C(1000000)
#define SESSIONS  64
#define MBIT      1000u /* kbit/s */

static uint64_t bytes_in(uint32_t kbps, uint64_t us)
{
    return kbps * us / 8000;
}

/* Sessions that always have bytes, each in turns of at most @turn, looked at when they asked to
 * be. Returns what each has moved. */
static void saturate(struct bucket *b, uint32_t kbps, unsigned sessions, size_t turn,
                     uint64_t from_us, uint64_t us, uint64_t *moved)
{
    struct pace paces[SESSIONS] = {{0}};
    uint64_t wake[SESSIONS];

    for (unsigned i = 0; i < sessions; i++)
        wake[i] = from_us;
    for (;;) {
        unsigned next = 0;
        for (unsigned i = 1; i < sessions; i++)
            if (wake[i] < wake[next])
                next = i;
        uint64_t now = wake[next];
        if (now >= from_us + us)
            break;
        size_t room = pace_room(&paces[next], b, kbps, now);
        if (room == 0) {
            wake[next] = pace_wake_us(&paces[next], now);
            assert_true(wake[next] > now);
            continue;
        }
        size_t n = room < turn ? room : turn;
        pace_take(&paces[next], b, n);
        moved[next] += n;
    }
    for (unsigned i = 0; i < sessions; i++)
        pace_end(&paces[i], b);
}

static void the_average_is_the_rate(void **state)
{
    static const uint32_t rates[] = {500, 1000, 1500, 10000, 100000, 1000000, 10000000};
    static const unsigned counts[] = {1, 8, 64};

    (void)state;
    for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
        for (size_t c = 0; c < 3; c++) {
            struct bucket b = {0};
            uint64_t moved[SESSIONS] = {0}, sum = 0, least = UINT64_MAX, most = 0;
            saturate(&b, rates[r], counts[c], 16384, SECOND_US, 10 * SECOND_US, moved);
            for (unsigned i = 0; i < counts[c]; i++) {
                sum += moved[i];
                least = moved[i] < least ? moved[i] : least;
                most = moved[i] > most ? moved[i] : most;
            }
            uint64_t exact = bytes_in(rates[r], 10 * SECOND_US);
            if (sum < exact * 95 / 100 || sum > exact * 102 / 100 + BUCKET_BURST_MIN)
                fail_msg("%u kbit/s over %u: %llu of %llu bytes", rates[r], counts[c],
                         (unsigned long long)sum, (unsigned long long)exact);
            /* Who asked first had what a rested user may move at once. */
            uint64_t ahead = bytes_in(rates[r], SECOND_US / 10) + 2 * BUCKET_QUANTUM_MAX;
            if (most - least > most / 20 + ahead)
                fail_msg("%u kbit/s over %u: one %llu, one %llu bytes", rates[r], counts[c],
                         (unsigned long long)least, (unsigned long long)most);
        }
    }
}

static void nobody_waits_long_when_many_ask(void **state)
{
    struct bucket b = {0};
    struct pace paces[SESSIONS] = {{0}};
    uint64_t last = 0;

    (void)state;
    for (unsigned i = 0; i < SESSIONS; i++)
        if (pace_room(&paces[i], &b, 1 * MBIT, SECOND_US) == 0)
            last = paces[i].at_us;
    assert_in_range(last, SECOND_US, 2 * SECOND_US + SECOND_US / 10);
    /* Each looks earlier than that: his rate may have changed. */
    assert_in_range(pace_wake_us(&paces[SESSIONS - 1], SECOND_US), SECOND_US,
                    SECOND_US + BUCKET_LOOK_US);
}

static void what_was_not_used_is_given_back(void **state)
{
    struct bucket b = {0};
    struct pace p = {0};

    (void)state;
    assert_int_equal(pace_room(&p, &b, 8 * MBIT, SECOND_US), 32000);
    uint64_t whole = atomic_load(&b.spent);
    pace_take(&p, &b, 4000);
    pace_end(&p, &b);
    assert_int_equal(p.granted, 0);
    assert_int_equal(whole - atomic_load(&b.spent), UINT64_C(28000) * 16000); /* a byte a us */
    pace_end(&p, &b);
    assert_int_equal(whole - atomic_load(&b.spent), UINT64_C(28000) * 16000);
}

static void more_than_was_granted_is_a_debt(void **state)
{
    struct bucket b = {0};
    struct pace p = {0};

    (void)state;
    assert_int_equal(pace_room(&p, &b, 8 * MBIT, SECOND_US), 32000);
    pace_take(&p, &b, 32000 + 1000000); /* a second of the rate */
    assert_int_equal(pace_room(&p, &b, 8 * MBIT, SECOND_US), 0);
    assert_in_range(p.at_us, 2 * SECOND_US - SECOND_US / 10, 2 * SECOND_US);
}

static void a_new_rate_counts_at_once(void **state)
{
    struct bucket b = {0};
    struct pace p = {0};
    uint64_t now = SECOND_US;
    size_t room;

    (void)state;
    while ((room = pace_room(&p, &b, 1 * MBIT, now)) > 0)
        pace_take(&p, &b, room);
    bucket_reset(&b);
    assert_int_equal(pace_room(&p, &b, 100 * MBIT, now), 400000); /* 32 ms of it */
    assert_int_equal(pace_room(&p, &b, 0, now), SIZE_MAX);
    assert_int_equal(pace_room(&p, &b, 1 * MBIT, now), 4000);
}

static void a_rested_user_moves_a_tenth_of_a_second_at_once(void **state)
{
    struct bucket b = {0};
    struct pace p = {0};
    uint64_t moved = 0, now = 50 * SECOND_US;
    size_t room;

    (void)state;
    while ((room = pace_room(&p, &b, 80 * MBIT, now)) > 0) {
        pace_take(&p, &b, room);
        moved += room;
    }
    assert_in_range(moved, 1000000, 1000000 + 2 * 320000);
}

static void datagrams_pass_or_are_dropped(void **state)
{
    struct bucket b = {0};
    uint64_t passed = 0, now = SECOND_US;

    (void)state;
    /* 12,000 a second of 1,000 bytes at 8 Mbit/s: one in twelve. */
    for (unsigned i = 0; i < 120000; i++, now += 83)
        passed += bucket_pass(&b, 8 * MBIT, 1000, now, 50000) ? 1 : 0;
    uint64_t exact = (now - SECOND_US) / 1000;
    assert_in_range(passed, exact * 98 / 100, exact * 102 / 100 + 100 + 50);
    assert_true(bucket_pass(&b, 0, 1000, now, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_average_is_the_rate),
        cmocka_unit_test(nobody_waits_long_when_many_ask),
        cmocka_unit_test(what_was_not_used_is_given_back),
        cmocka_unit_test(more_than_was_granted_is_a_debt),
        cmocka_unit_test(a_new_rate_counts_at_once),
        cmocka_unit_test(a_rested_user_moves_a_tenth_of_a_second_at_once),
        cmocka_unit_test(datagrams_pass_or_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
