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
    assert_int_equal(c.count[CONN_TCP], 4);
    assert_false(conns_leave(&c, &e[0]));
    assert_true(conns_leave(&c, &e[1]));
    assert_int_equal(c.count[CONN_TCP], 3);
    assert_int_equal(enter(&c, &e[5], CONN_TCP, 4, 4000, &gone), 0);
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
    assert_int_equal(c.count[CONN_TCP], 5);
    assert_false(e[36].out);
    assert_true(e[35].out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_ends_for_the_newest),
        cmocka_unit_test(idle_ones_go_first),
        cmocka_unit_test(classes_have_the_limit_each),
        cmocka_unit_test(a_burst_is_refused_at_its_end),
        cmocka_unit_test(a_lowered_limit_is_kept_by_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
