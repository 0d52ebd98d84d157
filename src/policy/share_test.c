#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/share.h"

#define SECOND_US UINT64_C(1000000)
#define MBIT      1000u  /* kbit/s */
#define TICK_US   8000u  /* the resolution of a worker's timers */
#define FIRST     32000u /* bytes of the first turn at 8 Mbit/s, when nobody else is there */
#define USERS     1000
#define SESSIONS  1500

/* A node whose sessions run on one clock: each looks when it asked to be woken, at the next tick,
 * one after the other in the order in which they asked. */
struct user {
    struct share share;
    struct bucket own;
    uint32_t kbps; /* his own limit; 0: none */
    uint64_t moved;
};

struct session {
    struct user *user;
    struct pace pace;
    struct stake stake;
    uint32_t every_us, bytes; /* a trickle of so much so often; 0: always has bytes */
    uint64_t wake_us, moved, has_us;
    unsigned order;
};

struct node {
    struct share_total total;
    struct user users[USERS];
    struct session sessions[SESSIONS];
    unsigned session_count, order;
    uint64_t now_us, slowest_us; /* longest that a trickle had to wait */
};

static struct session *add(struct node *n, unsigned user)
{
    struct session *s = &n->sessions[n->session_count];

    s->user = &n->users[user];
    s->order = n->session_count++;
    return s;
}

static struct node *node_new(uint32_t kbps)
{
    size_t size = (sizeof(struct node) + 63) / 64 * 64;
    struct node *n = aligned_alloc(64, size);

    assert_non_null(n);
    memset(n, 0, size);
    share_total_set(&n->total, kbps);
    n->now_us = SECOND_US;
    return n;
}

static uint32_t rate_of(const struct node *n)
{
    return atomic_load(&n->total.kbps);
}

static void wait_until(struct node *n, struct session *s, uint64_t us)
{
    s->wake_us = (us / TICK_US + 1) * TICK_US;
    s->order = n->order++;
}

static size_t room_of(struct node *n, struct session *s, size_t want, uint64_t *wake)
{
    struct user *u = s->user;
    size_t room = want;

    if (u->kbps != 0) {
        room = pace_room(&s->pace, &u->own, u->kbps, n->now_us);
        *wake = pace_wake_us(&s->pace, n->now_us);
        room = room < want ? room : want;
    }
    if (room == 0)
        return 0;
    return stake_room(&s->stake, &u->share, &n->total.down, rate_of(n), room, n->now_us, wake);
}

/* One turn of a relay: asks, reads what is there, counts it. */
static void run(struct node *n, struct session *s)
{
    size_t want = s->every_us != 0 ? s->bytes : 1024 * 1024;
    uint64_t wake = 0;

    if (s->every_us != 0 && s->has_us > n->now_us) { /* its target has sent nothing yet */
        wait_until(n, s, s->has_us);
        return;
    }
    /* As a relay: it asks before it knows how much there is. */
    size_t room = room_of(n, s, 1024 * 1024, &wake), used = room < want ? room : want;
    if (room == 0) {
        wait_until(n, s, wake);
        return;
    }
    stake_take(&s->stake, &s->user->share, used);
    if (s->user->kbps != 0)
        pace_take(&s->pace, &s->user->own, used);
    stake_end(&s->stake, &s->user->share, &n->total.down, n->now_us);
    s->moved += used;
    s->user->moved += used;
    if (s->every_us != 0) {
        uint64_t late = n->now_us - s->has_us;
        n->slowest_us = late > n->slowest_us ? late : n->slowest_us;
        s->has_us = n->now_us + s->every_us;
        wait_until(n, s, s->has_us);
    } else {
        s->order = n->order++; /* once more, after the others */
    }
}

static void go(struct node *n, uint64_t until_us)
{
    for (;;) {
        struct session *next = &n->sessions[0];
        for (unsigned i = 1; i < n->session_count; i++) {
            struct session *s = &n->sessions[i];
            if (s->wake_us < next->wake_us ||
                (s->wake_us == next->wake_us && s->order - next->order > UINT32_MAX / 2))
                next = s;
        }
        if (next->wake_us >= until_us)
            break;
        n->now_us = next->wake_us > n->now_us ? next->wake_us : n->now_us;
        next->wake_us = n->now_us;
        run(n, next);
    }
    n->now_us = until_us;
}

static void forget(struct node *n)
{
    for (unsigned i = 0; i < USERS; i++)
        n->users[i].moved = 0;
    for (unsigned i = 0; i < SESSIONS; i++)
        n->sessions[i].moved = 0;
    n->slowest_us = 0;
}

static uint64_t sum_of(const struct node *n)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < USERS; i++)
        sum += n->users[i].moved;
    return sum;
}

static uint64_t exact(const struct node *n, uint64_t us)
{
    return rate_of(n) * us / 8000;
}

static void assert_near(const char *what, uint64_t is, uint64_t should, unsigned below,
                        unsigned above)
{
    if (is < should * (100 - below) / 100 || is > should * (100 + above) / 100)
        fail_msg("%s: %llu, not %llu bytes", what, (unsigned long long)is,
                 (unsigned long long)should);
}

static const uint32_t rates[] = {10 * MBIT, 100 * MBIT, 1000 * MBIT};

static void ten_seconds(struct node *n)
{
    go(n, n->now_us + 2 * SECOND_US);
    forget(n);
    go(n, n->now_us + 10 * SECOND_US);
    assert_near("all", sum_of(n), exact(n, 10 * SECOND_US), 5, 2);
}

static void a_user_has_one_share_whatever_his_sessions(void **state)
{
    (void)state;
    for (unsigned r = 0; r < 3; r++) {
        struct node *n = node_new(rates[r]);
        for (unsigned i = 0; i < 64; i++)
            add(n, 0);
        add(n, 1);
        for (unsigned i = 0; i < 8; i++)
            add(n, 2);
        ten_seconds(n);
        uint64_t third = exact(n, 10 * SECOND_US) / 3;
        for (unsigned u = 0; u < 3; u++)
            assert_near("user", n->users[u].moved, third, 10, 10);
        uint64_t least = UINT64_MAX;
        for (unsigned i = 0; i < 64; i++)
            least = n->sessions[i].moved < least ? n->sessions[i].moved : least;
        if (least < third / 64 / 2)
            fail_msg("%u kbit/s: a session of 64 had %llu bytes", rates[r],
                     (unsigned long long)least);
        free(n);
    }
}

static void hundreds_of_users_are_equal(void **state)
{
    static const unsigned counts[] = {2, 10, 100, 1000};

    (void)state;
    for (unsigned c = 0; c < 4; c++) {
        struct node *n = node_new(100 * MBIT);
        for (unsigned i = 0; i < counts[c]; i++)
            for (unsigned k = 0; k <= i % 2 && n->session_count < SESSIONS; k++)
                add(n, i);
        ten_seconds(n);
        for (unsigned i = 0; i < counts[c]; i++)
            assert_near("user", n->users[i].moved, exact(n, 10 * SECOND_US) / counts[c], 10, 10);
        free(n);
    }
}

static void the_limit_holds_on_a_host_that_is_up_for_years(void **state)
{
    (void)state;
    struct node *n = node_new(100 * MBIT);
    for (unsigned i = 0; i < 10; i++)
        add(n, i % 2);
    n->now_us = 10 * 365 * 86400 * SECOND_US;
    ten_seconds(n);
    assert_near("user", n->users[0].moved, exact(n, 5 * SECOND_US), 10, 10);
    free(n);
}

static void what_one_leaves_is_the_others(void **state)
{
    struct node *n = node_new(100 * MBIT);

    (void)state;
    n->users[0].kbps = 10 * MBIT;
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < 4; k++)
            add(n, i);
    ten_seconds(n);
    assert_near("the slow one", n->users[0].moved, UINT64_C(12500000), 5, 2);
    for (unsigned i = 1; i < 4; i++)
        assert_near("another", n->users[i].moved, UINT64_C(37500000), 10, 10);
    /* They end: the rest is his who goes on. */
    for (unsigned i = 0; i < 12; i++)
        n->sessions[i].wake_us = UINT64_MAX;
    ten_seconds(n);
    assert_near("the last", n->users[3].moved, exact(n, 10 * SECOND_US), 5, 2);
    free(n);
}

static void limits_below_the_share_are_reached_in_a_crowd(void **state)
{
    struct node *n = node_new(100 * MBIT);

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        n->users[i].kbps = i < 50 ? 1 * MBIT : 0; /* of 1: just what their share would be */
        add(n, i);
    }
    for (unsigned i = 0; i < 25; i++)
        n->sessions[i].wake_us = UINT64_MAX;
    ten_seconds(n);
    uint64_t limit = 1250000, rest = (exact(n, 10 * SECOND_US) - 25 * limit) / 50;
    for (unsigned i = 25; i < 50; i++)
        assert_near("limited", n->users[i].moved, limit, 10, 2);
    for (unsigned i = 50; i < 100; i++)
        assert_near("free", n->users[i].moved, rest, 10, 10);
    free(n);
}

static void who_needs_little_gets_it_soon_and_costs_little(void **state)
{
    struct node *n = node_new(100 * MBIT);

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        add(n, i);
    for (unsigned i = 10; i < 110; i++) { /* a page now and then */
        struct session *s = add(n, i);
        s->every_us = 300000 + i * 7000;
        s->bytes = 1200;
    }
    ten_seconds(n);
    assert_in_range(n->slowest_us, 0, 250000);
    for (unsigned i = 0; i < 10; i++)
        assert_near("bulk", n->users[i].moved, exact(n, 10 * SECOND_US) / 10, 12, 10);
    free(n);
}

static void a_debt_is_its_makers(void **state)
{
    struct node *n = node_new(10 * MBIT);
    uint64_t wake;

    (void)state;
    add(n, 0);
    add(n, 1);
    go(n, n->now_us + SECOND_US);
    forget(n);
    /* A megabyte at once: his next eight tenths of a second. */
    (void)stake_room(&n->sessions[0].stake, &n->users[0].share, &n->total.down, 10 * MBIT, 1,
                     n->now_us, &wake);
    stake_take(&n->sessions[0].stake, &n->users[0].share, 1000000);
    go(n, n->now_us + SECOND_US);
    assert_near("the other", n->users[1].moved, exact(n, SECOND_US) / 2, 10, 15);
    assert_in_range(n->users[0].moved, 0, exact(n, SECOND_US) / 20);
    go(n, n->now_us + 9 * SECOND_US);
    assert_near("he", n->users[0].moved + 1000000, exact(n, 10 * SECOND_US) / 2, 10, 10);
    free(n);
}

static void a_new_rate_counts_at_once(void **state)
{
    struct node *n = node_new(1 * MBIT);

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        add(n, i);
    go(n, n->now_us + 5 * SECOND_US);
    share_total_set(&n->total, 1000 * MBIT);
    for (unsigned i = 0; i < 100; i++)
        share_reset(&n->users[i].share);
    forget(n);
    go(n, n->now_us + SECOND_US);
    assert_in_range(sum_of(n), exact(n, SECOND_US * 7 / 10), exact(n, SECOND_US * 12 / 10));
    share_total_set(&n->total, 0);
    uint64_t wake;
    assert_int_equal(stake_room(&n->sessions[0].stake, &n->users[0].share, &n->total.down, 0, 5,
                                n->now_us, &wake),
                     SIZE_MAX);
    free(n);
}

static void what_is_taken_and_not_used_comes_back(void **state)
{
    struct share_total t = {0};
    struct share s = {0};
    struct stake a = {0}, b = {0};
    uint64_t wake = 0;

    (void)state;
    assert_int_equal(stake_room(&a, &s, &t.down, 8 * MBIT, SIZE_MAX, SECOND_US, &wake), FIRST);
    uint64_t spent = atomic_load(&t.down.bucket.spent);
    stake_take(&a, &s, 4000);
    stake_end(&a, &s, &t.down, SECOND_US);
    stake_end(&a, &s, &t.down, SECOND_US);
    assert_int_equal(stake_room(&b, &s, &t.down, 8 * MBIT, 5000, SECOND_US, &wake), 5000);
    assert_int_equal(stake_room(&b, &s, &t.down, 8 * MBIT, 40000, SECOND_US, &wake), FIRST - 4000);
    stake_end(&b, &s, &t.down, SECOND_US);
    assert_int_equal(atomic_load(&t.down.bucket.spent), spent);
    /* Long after, the rest goes back to the node, which has forgotten it. */
    assert_int_equal(stake_room(&b, &s, &t.down, 8 * MBIT, SIZE_MAX, 60 * SECOND_US, &wake), FIRST);
    assert_true(stake_room(&a, &s, &t.down, 8 * MBIT, SIZE_MAX, 60 * SECOND_US, &wake) > 0);
    assert_true(atomic_load(&t.down.bucket.spent) <= (60 * SECOND_US + 80000) * 16000);
}

static void datagrams_are_dropped_fairly(void **state)
{
    struct share_total t = {0};
    struct share users[4] = {{0}};
    uint64_t passed[4] = {0}, now = SECOND_US, bytes = 0;

    (void)state;
    /* 8 Mbit/s: each sends more than its quarter, the last one ten times as much. */
    for (unsigned i = 0; i < 200000; i++, now += 50) {
        unsigned u = i % 16 < 3 ? i % 16 : 3;
        if (share_pass(&users[u], &t.down, 8 * MBIT, 1000, now, 50000)) {
            passed[u] += 1000;
            bytes += 1000;
        }
    }
    assert_near("all", bytes, (now - SECOND_US), 5, 4);
    for (unsigned u = 0; u < 4; u++)
        assert_near("user", passed[u], (now - SECOND_US) / 4, 10, 10);
    assert_true(share_pass(&users[0], &t.down, 0, 1000, now, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_has_one_share_whatever_his_sessions),
        cmocka_unit_test(hundreds_of_users_are_equal),
        cmocka_unit_test(the_limit_holds_on_a_host_that_is_up_for_years),
        cmocka_unit_test(what_one_leaves_is_the_others),
        cmocka_unit_test(limits_below_the_share_are_reached_in_a_crowd),
        cmocka_unit_test(who_needs_little_gets_it_soon_and_costs_little),
        cmocka_unit_test(a_debt_is_its_makers),
        cmocka_unit_test(a_new_rate_counts_at_once),
        cmocka_unit_test(what_is_taken_and_not_used_comes_back),
        cmocka_unit_test(datagrams_are_dropped_fairly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
