/* Two controllers on one database: an upgrade without sockets and processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "control/fake_next.h"

static unsigned all_calls(const struct world *w)
{
    unsigned n = 0;
    for (int i = 0; i < ACTIONS; i++)
        n += w->calls[i];
    return n;
}

/* It serves what is cached, and nobody hears of it before it is its turn. */
static void the_new_one_waits(void **state)
{
    struct world *w = *state;
    struct next n;
    uint32_t rows[VIEW_NODES_MAX], other = 12345;
    run(w);
    assert_int_equal(controller_listening(w->c, rows), 1);
    unsigned calls = all_calls(w);
    start_next(w, &n);
    assert_true(controller_waits_for(n.c, rows, 1));
    assert_false(controller_waits_for(n.c, &other, 1)); /* not configured here: not waited for */
    UNTIL(w, n.listens > 0);
    assert_false(controller_waits_for(n.c, rows, 1));
    assert_int_equal(n.plane.nodes[0].view->users->count, 2);
    go_round(w);
    assert_int_equal(all_calls(w), calls);
    controller_stop(n.c, 0, 5000, on_next_stopped, &n); /* the upgrade has failed */
    UNTIL(w, n.stopped);
    end_next(&n);
    assert_int_equal(all_calls(w), calls);
}

/* The sums of both, each once, and all of them by the new one. */
static void one_reports_for_both(void **state)
{
    struct world *w = *state;
    struct next n;
    run(w);
    controller_poke(w->c); /* it is the one that reports */
    traffic(w, UUID_A, 100, 200);
    start_next(w, &n);
    unsigned pushes = w->calls[PUSH];
    traffic(w, UUID_A, 10, 20);
    leave(w);
    UNTIL(w, w->stopped);
    assert_false(controller_is_pushing(w->c));
    controller_give_reports(w->c);
    assert_int_equal(w->calls[PUSH], pushes);
    unsigned pulls = w->calls[CONFIG];
    controller_begin(n.c, w->cfg);
    UNTIL(w, w->calls[CONFIG] > pulls);
    assert_int_equal(w->calls[PUSH], pushes);
    controller_report(n.c);
    UNTIL(w, w->calls[PUSH] > pushes);
    assert_non_null(strstr(w->body[PUSH], "\"1\":[110,220]"));
    controller_stop(n.c, 0, 5000, on_next_stopped, &n);
    UNTIL(w, n.stopped);
    end_next(&n);
    end(w);
}

/* No upgrade, but a second service that was started on the same state: the first one reports, and
 * when it has ended the other does. */
static void of_two_services_one_reports(void **state)
{
    struct world *w = *state;
    struct next n;
    run(w);
    traffic(w, UUID_A, 100, 200);
    unsigned pushes = w->calls[PUSH];
    controller_poke(w->c);
    start_beside(w, &n, false);
    UNTIL(w, n.listens > 0);
    controller_poke(n.c);
    assert_int_equal(w->calls[PUSH], pushes); /* one is on its way, the other waits */
    UNTIL(w, w->calls[PUSH] > pushes);
    go_round(w);
    controller_poke(n.c);
    go_round(w);
    assert_int_equal(w->calls[PUSH], pushes + 1);
    traffic(w, UUID_A, 1, 2);
    end(w);
    pushes = w->calls[PUSH];
    controller_poke(n.c);
    UNTIL(w, w->calls[PUSH] > pushes);
    assert_non_null(strstr(w->body[PUSH], "\"1\":[1,2]"));
    controller_stop(n.c, 0, 5000, on_next_stopped, &n);
    UNTIL(w, n.stopped);
    end_next(&n);
}

/* A push is under way when the other takes over: that one must not send the same batch. */
static void a_push_under_way_is_told(void **state)
{
    struct world *w = *state;
    run(w);
    traffic(w, UUID_A, 1, 1);
    assert_false(controller_is_pushing(w->c));
    unsigned pushes = w->calls[PUSH];
    controller_poke(w->c);
    assert_true(controller_is_pushing(w->c));
    leave(w);
    assert_true(controller_is_pushing(w->c));
    UNTIL(w, w->stopped);
    assert_false(controller_is_pushing(w->c));
    assert_int_equal(w->calls[PUSH], pushes + 1);
    end(w);
}

/* Three in a row: the second has not been told that the first does not push any more when it is
 * replaced itself. Neither may it tell so, nor end. */
static void the_right_to_report_is_passed_on(void **state)
{
    struct world *w = *state;
    struct next n;
    run(w);
    start_next(w, &n);
    UNTIL(w, n.listens > 0);
    controller_begin(n.c, w->cfg);
    controller_leave(n.c, on_next_stopped, &n);
    go_round(w);
    assert_true(controller_is_pushing(n.c));
    assert_false(n.stopped);
    controller_report(n.c);
    assert_false(controller_is_pushing(n.c));
    controller_guests_gone(n.c);
    UNTIL(w, n.stopped);
    end_next(&n);
}

/* The new one hears of it, the old one has the session. */
static void removed_users_go_in_the_old_one_too(void **state)
{
    struct world *w = *state;
    struct next n;
    run(w);
    struct user_rt *b = find_user(w, UUID_B), *a = find_user(w, UUID_A);
    start_next(w, &n);
    UNTIL(w, n.listens > 0);
    controller_begin(n.c, w->cfg);
    set_users(w, USER_A);
    controller_poke(n.c);
    UNTIL(w, n.removed > 0);
    assert_int_equal(n.removed, 1);
    controller_remove_users(w->c, &n.gone, 1);
    assert_true(b->removed);
    assert_false(a->removed);
    assert_int_equal(w->plane.nodes[0].closed_removed, 1);
    n.gone.row++; /* of another node */
    n.gone.uid = 1;
    memcpy(n.gone.uuid, a->uuid, UUID_LEN);
    controller_remove_users(w->c, &n.gone, 1);
    assert_false(a->removed);
    controller_stop(n.c, 0, 5000, on_next_stopped, &n);
    UNTIL(w, n.stopped);
    end_next(&n);
}

/* Its users go on in the new one, which tells who is online from then on, and who is not. */
static void the_old_one_takes_nobody_back(void **state)
{
    struct world *w = *state;
    struct next n, last;
    struct plane_alive *a = w->plane.alive;
    run(w);
    start_next(w, &n);
    beside = &last;
    leave(w);
    UNTIL(w, w->stopped);
    for (uint64_t uid = 1; uid <= 2; uid++) {
        a[uid - 1] = (struct plane_alive){.uid = uid, .bytes = 5000};
        assert_int_equal(addr_parse_ip(&a[uid - 1].ip, "1.2.3.4", 7), ST_OK);
    }
    memcpy(n.plane.alive, a, 2 * sizeof(*a));
    n.plane.alive_count = 2;
    UNTIL(w, n.listens > 0);
    unsigned told = w->calls[ALIVE];
    controller_begin(n.c, w->cfg);
    controller_report(n.c); /* it asks at once */
    UNTIL(w, w->calls[ALIVE] > told);
    assert_string_equal(w->body[ALIVE], "{\"1\":[\"1.2.3.4\"],\"2\":[\"1.2.3.4\"]}");
    told = w->calls[ALIVE];
    start_next(w, &last);
    UNTIL(w, last.listens > 0);
    controller_close_ports(n.c);
    uint32_t row[VIEW_NODES_MAX];
    assert_int_equal(controller_listening(n.c, row), 1);
    controller_leave(n.c, on_next_stopped, &n);
    /* The first one has ended only now: the second passes on whom that had told. Lists of several
     * nodes, and of a node that was there twice, lie together. */
    const struct controller_user late[] = {
        {.uid = 9, .row = row[0]}, {.uid = 2, .row = row[0]}, {.uid = 9, .row = row[0]}};
    controller_take_online(n.c, late, 3);
    controller_guests_gone(n.c);
    UNTIL(w, n.stopped);
    end_next(&n);
    assert_int_equal(w->calls[ALIVE], told);
    assert_int_equal(last.left, 5);
    last.plane.alive[0] = a[1];
    last.plane.alive_count = 1;
    controller_begin(last.c, w->cfg);
    controller_report(last.c);
    UNTIL(w, w->calls[ALIVE] > told);
    assert_string_equal(w->body[ALIVE], "{\"1\":[],\"2\":[\"1.2.3.4\"],\"9\":[]}");
    controller_stop(last.c, 0, 5000, on_next_stopped, &last);
    UNTIL(w, last.stopped);
    assert_string_equal(w->body[ALIVE], "{\"2\":[]}");
    end_next(&last);
    beside = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_new_one_waits),
        TEST(one_reports_for_both),
        TEST(of_two_services_one_reports),
        TEST(a_push_under_way_is_told),
        TEST(the_right_to_report_is_passed_on),
        TEST(removed_users_go_in_the_old_one_too),
        TEST(the_old_one_takes_nobody_back),
    };
    return cmocka_run_group_tests_name("controller in an upgrade", tests, NULL, NULL);
}
