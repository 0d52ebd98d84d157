#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/conns.h"

#define MANY 64

static unsigned enter(struct conns *c, struct conn_entry *e, enum conn_class class, uint32_t limit,
                      uint64_t now_ms, struct conn_entry **last)
{
    struct list out;
    unsigned n = 0;

    list_init(&out);
    if (conns_enter(c, e, class, limit, now_ms, &out) != ST_OK)
        return MANY;
    LIST_FOREACH(node, tmp, &out) {
        *last = LIST_ENTRY(node, struct conn_entry, node);
        assert_true((*last)->out);
        list_del(node);
        n++;
    }
    return n;
}

static void the_oldest_ends_for_the_newest(void **state)
{
    struct conns c;
    struct conn_entry e[MANY], *gone = NULL;

    (void)state;
    conns_init(&c);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(enter(&c, &e[i], CONN_TCP, 4, 1000 * i, &gone), 0);
    assert_int_equal(enter(&c, &e[4], CONN_TCP, 4, 4000, &gone), 1);
    assert_ptr_equal(gone, &e[0]);
    assert_int_equal(c.of[CONN_TCP].count, 4);
    assert_false(conns_leave(&c, &e[0]));
    assert_true(conns_leave(&c, &e[1]));
    assert_int_equal(c.of[CONN_TCP].count, 3);
    assert_int_equal(enter(&c, &e[5], CONN_TCP, 4, 4000, &gone), 0);
}

static void one_that_is_counted_late_goes_by_its_age(void **state)
{
    struct conns c;
    struct conn_entry e[MANY], *gone = NULL;

    (void)state;
    conns_init(&c);
    assert_int_equal(enter(&c, &e[0], CONN_TCP, 3, 5000, &gone), 0);
    assert_int_equal(enter(&c, &e[1], CONN_TCP, UINT32_MAX, 2000, &gone), 0);
    assert_int_equal(enter(&c, &e[2], CONN_TCP, UINT32_MAX, 1000, &gone), 0);
    assert_int_equal(enter(&c, &e[3], CONN_TCP, 3, 7000, &gone), 1);
    assert_ptr_equal(gone, &e[2]);
    assert_int_equal(enter(&c, &e[4], CONN_TCP, 3, 7000, &gone), 1);
    assert_ptr_equal(gone, &e[1]);
}

static void idle_ones_go_first(void **state)
{
    struct conns c;
    struct conn_entry e[MANY], *gone = NULL;

    (void)state;
    conns_init(&c);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(enter(&c, &e[i], CONN_TCP, 3, i, &gone), 0);
    atomic_store(&e[0].active_s, 20);
    atomic_store(&e[1].active_s, 6);
    atomic_store(&e[2].active_s, 5);
    assert_int_equal(enter(&c, &e[3], CONN_TCP, 3, 21000, &gone), 1);
    assert_ptr_equal(gone, &e[1]); /* the older of the two that are idle */
}

static void classes_have_the_limit_each(void **state)
{
    struct conns c;
    struct conn_entry e[MANY], *gone = NULL;

    (void)state;
    conns_init(&c);
    assert_int_equal(enter(&c, &e[0], CONN_TCP, 1, 0, &gone), 0);
    assert_int_equal(enter(&c, &e[1], CONN_UDP, 1, 0, &gone), 0);
    assert_int_equal(enter(&c, &e[2], CONN_UDP, 1, 9000, &gone), 1);
    assert_ptr_equal(gone, &e[1]);
}

static void a_burst_is_refused_at_its_end(void **state)
{
    struct conns c;
    struct conn_entry e[MANY], *gone = NULL;

    (void)state;
    conns_init(&c);
    assert_int_equal(enter(&c, &e[0], CONN_TCP, 2, 100, &gone), 0);
    assert_int_equal(enter(&c, &e[1], CONN_TCP, 2, 101, &gone), 0);
    assert_int_equal(enter(&c, &e[2], CONN_TCP, 2, 1099, &gone), MANY);
    assert_int_equal(enter(&c, &e[2], CONN_TCP, 2, 1100, &gone), 1);
}

static void a_lowered_limit_is_kept_by_the_next(void **state)
{
    struct conns c;
    struct conn_entry e[MANY], *gone = NULL;

    (void)state;
    conns_init(&c);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(enter(&c, &e[i], CONN_TCP, 40, i, &gone), 0);
    assert_int_equal(enter(&c, &e[40], CONN_TCP, 5, 5000, &gone), 36);
    assert_int_equal(c.of[CONN_TCP].count, 5);
    assert_false(e[36].out);
    assert_true(e[35].out);
}

static void older(struct conns *c, uint32_t tcp)
{
    const uint32_t n[CONN_CLASSES] = {[CONN_TCP] = tcp};

    conns_set_older(c, n);
}

/* What the earlier process may keep of TCP under a limit; MANY: there is nothing to tell. */
static uint32_t granted(struct conns *c, uint32_t limit)
{
    uint32_t n[CONN_CLASSES];

    return conns_grant(c, limit, n) ? n[CONN_TCP] : MANY;
}

static unsigned allow(struct conns *c, uint32_t tcp, uint64_t now_ms, struct conn_entry **last)
{
    const uint32_t n[CONN_CLASSES] = {[CONN_TCP] = tcp, [CONN_UDP] = CONNS_ANY};
    struct list out;
    unsigned gone = 0;

    list_init(&out);
    conns_allow(c, n, now_ms, &out);
    LIST_FOREACH(node, tmp, &out) {
        *last = LIST_ENTRY(node, struct conn_entry, node);
        list_del(node);
        gone++;
    }
    return gone;
}

/* Those of an earlier process are older than all that are here, so their places go first. */
static void an_earlier_process_gives_its_places(void **state)
{
    struct conns c;
    struct conn_entry e[MANY], *gone = NULL;

    (void)state;
    conns_init(&c);
    older(&c, 2);
    assert_int_equal(granted(&c, 3), MANY); /* they fit */
    assert_int_equal(enter(&c, &e[0], CONN_TCP, 3, 0, &gone), 0);
    assert_false(atomic_load(&c.owes));
    assert_int_equal(granted(&c, 3), MANY);
    assert_int_equal(enter(&c, &e[1], CONN_TCP, 3, 0, &gone), 0);
    assert_true(atomic_load(&c.owes));
    assert_int_equal(granted(&c, 3), 1);
    assert_int_equal(granted(&c, 3), MANY); /* said once */
    assert_int_equal(enter(&c, &e[2], CONN_TCP, 3, 0, &gone), 0);
    assert_int_equal(granted(&c, 3), 0);
    /* It has none left: from here on it is as ever. */
    assert_int_equal(enter(&c, &e[3], CONN_TCP, 3, 5000, &gone), 1);
    assert_ptr_equal(gone, &e[0]);
    assert_int_equal(granted(&c, 3), MANY);
    /* Places that come free are its again. */
    assert_true(conns_leave(&c, &e[1]));
    assert_int_equal(granted(&c, 3), 1);
    assert_int_equal(granted(&c, 0), CONNS_ANY);
    conns_no_older(&c);
    assert_int_equal(enter(&c, &e[4], CONN_TCP, 3, 5000, &gone), 0);
    assert_int_equal(granted(&c, 3), MANY);
}

/* Its mux carriers take new streams, and what is known of it here is a few seconds old. */
static void an_earlier_process_that_has_more_than_it_may(void **state)
{
    struct conns c;
    struct conn_entry e[MANY], *gone = NULL;

    (void)state;
    conns_init(&c);
    assert_int_equal(enter(&c, &e[0], CONN_TCP, 3, 0, &gone), 0);
    older(&c, 3);
    assert_int_equal(granted(&c, 3), 2);
    older(&c, UINT32_MAX);
    assert_int_equal(granted(&c, 3), MANY);                            /* it has been told */
    assert_int_equal(enter(&c, &e[1], CONN_TCP, 1, 500, &gone), MANY); /* as ever: a burst */
    assert_int_equal(granted(&c, 1), 0);
}

static void a_later_process_says_who_may_stay(void **state)
{
    struct conns c;
    struct conn_entry e[MANY], *gone = NULL;
    uint32_t n[CONN_CLASSES];

    (void)state;
    conns_init(&c);
    assert_false(conns_changed(&c, n));
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(enter(&c, &e[i], CONN_TCP, 4, 0, &gone), 0);
    assert_int_equal(enter(&c, &e[9], CONN_UDP, 4, 0, &gone), 0);
    assert_true(conns_changed(&c, n));
    assert_int_equal(n[CONN_TCP], 4);
    assert_int_equal(n[CONN_UDP], 1);
    assert_false(conns_changed(&c, n));
    for (unsigned i = 0; i < 4; i++)
        atomic_store(&e[i].active_s, i == 2 ? 3 : 19);
    assert_int_equal(allow(&c, 3, 20000, &gone), 1);
    assert_ptr_equal(gone, &e[2]); /* the idle one, as ever */
    assert_int_equal(allow(&c, 2, 20000, &gone), 1);
    assert_ptr_equal(gone, &e[0]);
    assert_true(conns_changed(&c, n));
    assert_int_equal(n[CONN_TCP], 2);
    assert_int_equal(enter(&c, &e[4], CONN_TCP, 4, 20000, &gone), 1); /* a mux carrier's */
    assert_ptr_equal(gone, &e[1]);
    assert_int_equal(allow(&c, 3, 20000, &gone), 0);
    assert_int_equal(enter(&c, &e[5], CONN_TCP, 4, 20000, &gone), 0);
    assert_int_equal(allow(&c, 0, 20500, &gone), 3);                  /* fresh or not */
    assert_int_equal(enter(&c, &e[6], CONN_TCP, 4, 20500, &gone), 0); /* one has a place */
    assert_int_equal(enter(&c, &e[7], CONN_TCP, 4, 22000, &gone), 1);
    assert_int_equal(enter(&c, &e[8], CONN_UDP, 4, 22000, &gone), 0);
}

/* Three in a row: the one in the middle speaks for the first. */
static void places_of_the_first_of_three_go_first(void **state)
{
    struct conns c;
    struct conn_entry e[MANY], *gone = NULL;
    uint32_t n[CONN_CLASSES];

    (void)state;
    conns_init(&c);
    older(&c, 2);
    assert_int_equal(enter(&c, &e[0], CONN_TCP, 4, 0, &gone), 0);
    assert_int_equal(enter(&c, &e[1], CONN_TCP, 4, 0, &gone), 0);
    assert_true(conns_changed(&c, n));
    assert_int_equal(n[CONN_TCP], 4);
    assert_int_equal(allow(&c, 3, 5000, &gone), 0);
    assert_int_equal(granted(&c, 4), 1); /* the later one's word is the limit */
    assert_int_equal(allow(&c, 1, 5000, &gone), 1);
    assert_ptr_equal(gone, &e[0]);
    assert_int_equal(granted(&c, 4), 0);
    assert_true(conns_changed(&c, n));
    assert_int_equal(n[CONN_TCP], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_ends_for_the_newest),
        cmocka_unit_test(one_that_is_counted_late_goes_by_its_age),
        cmocka_unit_test(idle_ones_go_first),
        cmocka_unit_test(classes_have_the_limit_each),
        cmocka_unit_test(a_burst_is_refused_at_its_end),
        cmocka_unit_test(a_lowered_limit_is_kept_by_the_next),
        cmocka_unit_test(an_earlier_process_gives_its_places),
        cmocka_unit_test(an_earlier_process_that_has_more_than_it_may),
        cmocka_unit_test(a_later_process_says_who_may_stay),
        cmocka_unit_test(places_of_the_first_of_three_go_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
