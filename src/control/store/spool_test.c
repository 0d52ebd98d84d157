#include "control/store/test_spool.h"

#include <time.h>

static void traffic_moves_once(void **state)
{
    (void)state;
    struct side d;
    struct spool_batch b;

    open_side(&d);
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_E_NOTFOUND);
    uint32_t x = take(&d, 11), y = take(&d, 12);
    add(&d, 0, x, 5, 7);
    add(&d, 1, x, 10, 0);
    sample(&d);
    sample(&d);
    add(&d, 1, x, 1, 0);
    add(&d, 0, y, 0, 3);
    expect_pending(&d, 15, 7);
    sample(&d);
    expect_pending(&d, 16, 10);

    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    assert_int_equal(b.seq, 1);
    assert_int_equal(b.rows, 2);
    assert_false(b.tried);
    add(&d, 0, x, 100, 0); /* after the freeze: the next batch */
    sample(&d);
    struct rows r = rows_of(&d, b.seq);
    assert_int_equal(r.n, 2);
    assert_int_equal(r.uid[0], 11);
    assert_int_equal(r.up[0], 16);
    assert_int_equal(r.down[0], 7);
    assert_int_equal(r.uid[1], 12);
    assert_int_equal(r.down[1], 3);

    assert_int_equal(spool_sending(d.s, d.node, b.seq), ST_OK);
    /* The same batch again, with its mark, as long as it is not done. */
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    assert_int_equal(b.seq, 1);
    assert_true(b.tried);
    assert_int_equal(spool_done(d.s, d.node, b.seq), ST_OK);
    expect_pending(&d, 100, 0);
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    assert_int_equal(b.seq, 2);
    assert_int_equal(spool_sending(d.s, d.node, b.seq), ST_OK);
    assert_int_equal(spool_back(d.s, d.node, b.seq, false), ST_OK);
    close_side(&d);

    open_side(&d);
    expect_pending(&d, 100, 0);
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    assert_int_equal(b.seq, 2);
    assert_false(b.tried);
    close_side(&d);
    assert_int_equal(lines, 0);
}

static void slot_is_reused_from_zero(void **state)
{
    (void)state;
    struct side d;
    struct spool_batch b;

    open_side(&d);
    uint32_t x = take(&d, 11);
    add(&d, 0, x, 10, 20);
    counters_retire(d.c, x);
    assert_int_equal(counters_used(d.c), 1); /* not before its sums are safe */
    sample(&d);
    assert_int_equal(take(&d, 12), x);
    add(&d, 1, x, 1, 2);
    sample(&d);
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    struct rows r = rows_of(&d, b.seq);
    assert_int_equal(r.n, 2);
    assert_int_equal(r.up[0], 10);
    assert_int_equal(r.uid[1], 12);
    assert_int_equal(r.up[1], 1);
    close_side(&d);
}

static void small_sums_wait(void **state)
{
    (void)state;
    struct side d;
    struct spool_batch b;

    open_side(&d);
    uint32_t x = take(&d, 1), y = take(&d, 2), z = take(&d, 3);
    add(&d, 0, x, 999, 0);
    add(&d, 0, y, 500, 500);
    add(&d, 0, z, 1, 0);
    counters_retire(d.c, z); /* gone: reported with whatever there is */
    sample(&d);
    assert_int_equal(spool_freeze(d.s, d.node, 1000, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    struct rows r = rows_of(&d, b.seq);
    assert_int_equal(r.n, 2);
    assert_int_equal(r.uid[0], 2);
    assert_int_equal(r.uid[1], 3);
    assert_int_equal(spool_done(d.s, d.node, b.seq), ST_OK);
    assert_int_equal(spool_freeze(d.s, d.node, 1000, SPOOL_ROWS_MAX, 1000, NULL, &b),
                     ST_E_NOTFOUND);
    assert_int_equal(spool_freeze(d.s, d.node, 1000, SPOOL_ROWS_MAX, 1000 + SPOOL_WAIT_S, NULL, &b),
                     ST_OK);
    assert_int_equal(rows_of(&d, b.seq).uid[0], 1);
    assert_int_equal(spool_done(d.s, d.node, b.seq), ST_OK);
    add(&d, 0, x, 1, 0);
    sample(&d);
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    close_side(&d);
}

/* They once waited until the clock came to where it had been, and ten minutes more. */
static void small_sums_do_not_wait_for_a_clock_set_back(void **state)
{
    (void)state;
    struct side d;
    struct spool_batch b;

    open_side(&d);
    add(&d, 0, take(&d, 1), 999, 0);
    sample(&d); /* at 1000 */
    assert_int_equal(spool_freeze(d.s, d.node, 1000, SPOOL_ROWS_MAX, 1000, NULL, &b),
                     ST_E_NOTFOUND);
    assert_int_equal(spool_freeze(d.s, d.node, 1000, SPOOL_ROWS_MAX, 999, NULL, &b), ST_OK);
    assert_int_equal(b.rows, 1);
    close_side(&d);
}

static void large_batches_split(void **state)
{
    (void)state;
    struct side d;
    struct spool_batch b;

    open_side(&d);
    for (uint64_t uid = 1; uid <= 5; uid++)
        add(&d, 0, take(&d, uid), uid, 0);
    sample(&d);
    assert_int_equal(spool_freeze(d.s, d.node, 0, 4, 1000, NULL, &b), ST_OK);
    assert_int_equal(b.rows, 4);
    assert_int_equal(spool_split(d.s, d.node, b.seq), ST_OK);
    expect_pending(&d, 15, 0);
    assert_int_equal(spool_freeze(d.s, d.node, 0, 4, 1000, NULL, &b), ST_OK);
    assert_int_equal(b.seq, 2);
    assert_int_equal(b.rows, 2);
    assert_int_equal(rows_of(&d, 2).uid[1], 2);
    assert_int_equal(rows_of(&d, 3).uid[0], 3);
    assert_int_equal(spool_split(d.s, d.node, 2), ST_OK);
    assert_int_equal(spool_done(d.s, d.node, 3), ST_OK);
    assert_int_equal(spool_freeze(d.s, d.node, 0, 4, 1000, NULL, &b), ST_OK);
    assert_int_equal(b.rows, 1);
    assert_int_equal(spool_split(d.s, d.node, b.seq), ST_E_NOTFOUND);
    expect_pending(&d, 8, 0); /* 1 + 2 and the one that was never frozen */
    close_side(&d);
}

static void expect_next(struct side *d, uint32_t most, uint64_t *cursor, uint64_t first,
                        unsigned rows, bool more)
{
    struct spool_batch b;

    assert_int_equal(spool_freeze(d->s, d->node, 10, most, 1000, cursor, &b), ST_OK);
    assert_int_equal(b.rows, rows);
    assert_int_equal(b.more, more);
    struct rows r = rows_of(d, b.seq);
    assert_int_equal(r.n, rows);
    assert_int_equal(r.uid[0], first);
    assert_int_equal(spool_done(d->s, d->node, b.seq), ST_OK);
}

/* Each batch begins behind the last one, then with the first account again; one that was passed by
 * is not forgotten. */
static void batches_go_round(void **state)
{
    (void)state;
    struct side d;
    struct spool_batch b;
    uint64_t cursor = 0;
    uint32_t slot[6];

    open_side(&d);
    for (uint64_t uid = 1; uid <= 6; uid++)
        slot[uid - 1] = take(&d, uid);
    for (unsigned i = 0; i < 6; i++)
        add(&d, 0, slot[i], i == 1 ? 9 : 10, 0); /* the second user's is too little */
    sample(&d);
    expect_next(&d, 2, &cursor, 1, 2, true); /* 1, 3 */
    add(&d, 0, slot[0], 10, 0);
    add(&d, 0, slot[1], 1, 0);
    sample(&d);
    expect_next(&d, 2, &cursor, 4, 2, true);  /* 4, 5 */
    expect_next(&d, 2, &cursor, 6, 1, false); /* 6, the last */
    expect_next(&d, 3, &cursor, 1, 2, false); /* 1, 2 */
    assert_int_equal(spool_freeze(d.s, d.node, 0, 2, 1000, &cursor, &b), ST_E_NOTFOUND);
    expect_pending(&d, 0, 0);
    /* Two accounts of a user are one row where they come together; what ended goes with them. */
    counters_retire(d.c, slot[5]);
    slot[5] = take(&d, 6);
    add(&d, 0, slot[5], 7, 0);
    counters_retire(d.c, slot[5]);
    slot[5] = take(&d, 6);
    add(&d, 0, slot[5], 11, 0);
    sample(&d);
    expect_next(&d, 3, &cursor, 6, 1, false);
    expect_pending(&d, 0, 0);
    close_side(&d);
}

static void living_owner_is_left_alone(void **state)
{
    (void)state;
    struct side d, e;

    open_side(&d);
    uint32_t x = take(&d, 1);
    add(&d, 0, x, 3, 0);
    sample(&d);
    open_side(&e); /* an upgrade: both for a while */
    expect_pending(&e, 3, 0);
    add(&d, 0, x, 4, 0);
    sample(&d);
    close_side(&d);
    expect_pending(&e, 7, 0);
    close_side(&e);
}

static void many_slots(void **state)
{
    (void)state;
    struct side d;

    open_side(&d);
    assert_int_equal(counters_reserve(d.c, COUNTERS_SLOTS + 1), ST_E_LIMIT);
    for (uint32_t i = 0; i < 3 * COUNTERS_CHUNK; i++)
        counters_take(d.c, d.node, i + 1);
    add(&d, 1, 3 * COUNTERS_CHUNK - 1, 9, 0);
    sample(&d);
    expect_pending(&d, 9, 0);
    close_side(&d);
}

static double ms_since(const struct timespec *t)
{
    struct timespec n;
    clock_gettime(CLOCK_MONOTONIC, &n);
    return (double)(n.tv_sec - t->tv_sec) * 1e3 + (double)(n.tv_nsec - t->tv_nsec) / 1e6;
}

static void hundred_thousand_dirty_slots(void **state)
{
    (void)state;
    struct timespec t;
    struct spool_batch b;
    struct side d;

    open_side(&d);
    assert_int_equal(counters_reserve(d.c, 100000), ST_OK);
    for (uint32_t i = 0; i < 100000; i++)
        add(&d, i % 2, counters_take(d.c, d.node, i + 1), 1, 2);
    for (int round = 1; round <= 2; round++) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        sample(&d);
        print_message("sample %d of 100,000 users: %.0f ms\n", round, ms_since(&t));
        expect_pending(&d, (uint64_t)round * 100000, (uint64_t)round * 200000);
        for (uint32_t i = 0; i < 100000; i++)
            add(&d, i % 2, i, 1, 2);
    }
    clock_gettime(CLOCK_MONOTONIC, &t);
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    print_message("freeze of %u: %.0f ms\n", b.rows, ms_since(&t));
    clock_gettime(CLOCK_MONOTONIC, &t);
    sample(&d);
    sample(&d);
    print_message("sample: %.0f ms\n", ms_since(&t));
    close_side(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(traffic_moves_once),
        TEST(slot_is_reused_from_zero),
        TEST(small_sums_wait),
        TEST(small_sums_do_not_wait_for_a_clock_set_back),
        TEST(large_batches_split),
        TEST(batches_go_round),
        TEST(hundred_thousand_dirty_slots),
        TEST(living_owner_is_left_alone),
        TEST(many_slots),
    };
    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
