#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "control/fake_world.h"

/* ---- the panel is down ---- */

static void starts_from_cache(void **state)
{
    struct world *w = *state;

    run(w);
    stop(w);
    fake_close(&w->panel);
    start(w);
    apply(w, node_text(w, 7, ""));
    UNTIL(w, status(w, 0).serving); /* before any call could have failed */
    assert_int_equal(users(w), 2);
    assert_int_equal(find_user(w, UUID_A)->speed_kbps, 100000);
    UNTIL(w, status(w, 0).problem[0] != '\0');
    assert_non_null(strstr(status(w, 0).problem, "not reachable"));
    assert_string_equal(status(w, 0).state, "running");
    /* And it is back, with one user less. */
    set_users(w, USER_A);
    fake_open(&w->panel, w->loop);
    pull(w);
    assert_int_equal(users(w), 1);
    UNTIL(w, status(w, 0).problem[0] == '\0');
    stop(w);
    start(w);
    fake_close(&w->panel);
    apply(w, node_text(w, 7, ""));
    assert_int_equal(status(w, 0).users, 1);
    fake_open(&w->panel, w->loop);
}

/* ---- reporting ---- */

static void push_is_acknowledged_once(void **state)
{
    struct world *w = *state;

    run(w);
    traffic(w, UUID_A, 100, 200);
    push(w);
    assert_string_equal(w->body[PUSH], "{\"1\":[100,200]}");
    assert_true(w->key[0] == '7');
    UNTIL(w, status(w, 0).pushed_up == 100);
    traffic(w, UUID_A, 1, 0);
    traffic(w, UUID_B, 0, 5);
    push(w);
    assert_string_equal(w->body[PUSH], "{\"1\":[1,0],\"2\":[0,5]}");
    assert_string_not_equal(w->key, w->last_key);
    UNTIL(w, status(w, 0).pushed_down == 205);
    pull(w);
    assert_int_equal(w->calls[PUSH], 2);
}

static void unknown_outcome_is_sent_again_as_it_was(void **state)
{
    static const struct act acts[] = {
        {.end = FAKE_DROP, .times = 1},
        {.end = FAKE_HALF, .times = 1},
        {.status = 500, .times = 1},
        {.status = 502, .body = "<html>", .times = 1},
        {.status = 200, .body = "<html>login", .times = 1},
        {.status = 503, .times = 1},
        {.status = 401, .times = 1},
    };
    struct world *w = *state;

    run(w);
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        char key[128];
        traffic(w, UUID_A, 100, 0);
        w->act[PUSH] = acts[i];
        push(w);
        strcpy(key, w->key);
        assert_string_equal(w->body[PUSH], "{\"1\":[100,0]}");
        UNTIL(w, status(w, 0).problem[0] != '\0');
        traffic(w, UUID_A, 7, 0); /* goes into the next one */
        push(w);
        UNTIL(w, status(w, 0).pushed_up == (i + 1) * 107);
        assert_string_equal(w->last_key, key);
        assert_string_equal(w->body[PUSH], "{\"1\":[7,0]}");
        assert_string_not_equal(w->key, key);
    }
}

/* Whatever panel it is, and whether it knows keys. */
static void at_most_once_parks_what_may_be_booked(void **state)
{
    static const struct act acts[] = {
        {.end = FAKE_DROP, .times = 1},
        {.end = FAKE_HALF, .times = 1},
        {.status = 500, .times = 1},
        {.status = 502, .body = "<html>", .times = 1},
        {.status = 200, .body = "<html>login", .times = 1},
    };
    struct world *w = *state;

    apply(w, node_text(w, 7, ",\"ReportPolicy\":\"at-most-once\""));
    UNTIL(w, status(w, 0).serving);
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        traffic(w, UUID_A, 100, 0);
        w->act[PUSH] = acts[i];
        push(w);
        UNTIL(w, status(w, 0).problem[0] != '\0');
        traffic(w, UUID_A, 7, 0);
        push(w);
        assert_string_equal(w->body[PUSH], "{\"1\":[7,0]}");
        UNTIL(w, status(w, 0).pushed_up == (i + 1) * 7);
    }
    /* What was certainly not booked is no question. */
    traffic(w, UUID_A, 100, 0);
    w->act[PUSH] = (struct act){.status = 503, .times = 1};
    push(w);
    UNTIL(w, status(w, 0).problem[0] != '\0');
    push(w);
    assert_string_equal(w->body[PUSH], "{\"1\":[100,0]}");
    UNTIL(w, status(w, 0).pushed_up == 135);
}

static void at_most_once_parks_after_a_crash(void **state)
{
    const char *policy = ",\"ReportPolicy\":\"at-most-once\"";
    struct world *w = *state;

    apply(w, node_text(w, 7, policy));
    UNTIL(w, status(w, 0).serving);
    traffic(w, UUID_A, 100, 0);
    w->act[PUSH] = (struct act){.end = FAKE_HOLD, .times = 1};
    push(w);
    kill_and_start(w);
    apply(w, node_text(w, 7, policy));
    UNTIL(w, status(w, 0).serving);
    traffic(w, UUID_B, 3, 4);
    push(w);
    assert_string_equal(w->body[PUSH], "{\"2\":[3,4]}");
    UNTIL(w, status(w, 0).pushed_down == 4);
    assert_int_equal(status(w, 0).pushed_up, 3);
}

/* Taken out of the file and put back while a push was under way, it sent the same batch twice. */
static void a_node_that_comes_back_waits_for_its_own_push(void **state)
{
    struct world *w = *state;
    char key[128];

    run(w);
    traffic(w, UUID_A, 100, 0);
    w->act[PUSH] = (struct act){.end = FAKE_HOLD, .times = 1};
    push(w);
    strcpy(key, w->key);
    apply(w, node_text(w, 8, ""));
    apply(w, node_text(w, 7, ""));
    pull(w);
    pull(w);
    assert_int_equal(w->calls[PUSH], 1);
    fake_close(&w->panel);
    fake_open(&w->panel, w->loop);
    UNTIL(w, w->calls[PUSH] == 2);
    assert_string_equal(w->key, key);
    assert_string_equal(w->body[PUSH], "{\"1\":[100,0]}");
}

static void killed_while_pushing(void **state)
{
    struct world *w = *state;
    char key[128];

    run(w);
    traffic(w, UUID_A, 100, 0);
    w->act[PUSH] = (struct act){.end = FAKE_HOLD, .times = 1};
    push(w);
    strcpy(key, w->key);
    traffic(w, UUID_B, 3, 4); /* never sampled */
    kill_and_start(w);
    apply(w, node_text(w, 7, ""));
    push(w);
    UNTIL(w, status(w, 0).pushed_up == 103);
    assert_string_equal(w->last_key, key);
    assert_string_equal(w->body[PUSH], "{\"2\":[3,4]}");
}

static void too_large_a_push_is_split(void **state)
{
    struct world *w = *state;

    run(w);
    traffic(w, UUID_A, 1, 0);
    traffic(w, UUID_B, 2, 0);
    w->act[PUSH] = (struct act){.status = 413, .times = 1};
    push(w);
    UNTIL(w, status(w, 0).pushed_up == 3);
    assert_int_equal(w->calls[PUSH], 3);
    assert_string_equal(w->body[PUSH], "{\"2\":[2,0]}");
}

static void the_end_pushes_everything(void **state)
{
    struct world *w = *state;

    apply(w, node_text(w, 7, ",\"ReportMinTraffic\":1000"));
    UNTIL(w, status(w, 0).serving);
    traffic(w, UUID_A, 1, 2);
    pull(w);
    assert_int_equal(w->calls[PUSH], 0);
    stop(w);
    assert_int_equal(w->calls[PUSH], 1);
    assert_string_equal(w->body[PUSH], "{\"1\":[1,2]}");
}

static void the_end_does_not_wait_for_ever(void **state)
{
    struct world *w = *state;
    char key[128];

    run(w);
    traffic(w, UUID_A, 1, 2);
    w->act[PUSH] = (struct act){.end = FAKE_HOLD, .times = 1};
    controller_stop(w->c, 10, 600, on_stopped, w);
    UNTIL(w, w->stopped);
    strcpy(key, w->key);
    assert_int_equal(w->calls[PUSH], 1);
    end(w);
    start(w);
    apply(w, node_text(w, 7, ""));
    push(w);
    UNTIL(w, status(w, 0).pushed_up == 1);
    assert_string_equal(w->key, key);
}

static void see(struct world *w, size_t i, uint64_t uid, const char *ip, uint64_t bytes)
{
    struct plane_alive *a = &w->plane.alive[i];
    memset(a, 0, sizeof(*a));
    assert_int_equal(addr_parse_ip(&a->ip, ip, strlen(ip)), ST_OK);
    a->uid = uid;
    a->bytes = bytes;
    w->plane.alive_count = i + 1;
}

static void alive(struct world *w)
{
    unsigned n = w->calls[ALIVE];
    controller_poke(w->c);
    UNTIL(w, w->calls[ALIVE] > n);
}

static void online_users(void **state)
{
    struct world *w = *state;

    apply(w, node_text(w, 7, ",\"DeviceOnlineMinTraffic\":1"));
    UNTIL(w, status(w, 0).serving);
    see(w, 0, 2, "1.2.3.4", 5000);
    see(w, 1, 1, "2001:db8::1", 600); /* two workers */
    see(w, 2, 1, "2001:db8::1", 600);
    see(w, 3, 1, "9.9.9.9", 10); /* a ping */
    alive(w);
    assert_string_equal(w->body[ALIVE], "{\"1\":[\"2001:db8::1\"],\"2\":[\"1.2.3.4\"]}");
    /* A quiet session stays, one that has ended is told once. */
    see(w, 0, 2, "1.2.3.4", 0);
    w->plane.alive[0].presence = PLANE_OPEN;
    alive(w);
    assert_string_equal(w->body[ALIVE], "{\"1\":[],\"2\":[\"1.2.3.4\"]}");
    w->act[ALIVE] = (struct act){.status = 500, .times = 1};
    w->plane.alive_count = 0;
    alive(w);
    assert_string_equal(w->body[ALIVE], "{\"2\":[]}");
    UNTIL(w, status(w, 0).problem[0] != '\0');
    alive(w); /* the panel has not taken it */
    assert_string_equal(w->body[ALIVE], "{\"2\":[]}");
    UNTIL(w, status(w, 0).problem[0] == '\0');
    unsigned n = w->calls[ALIVE];
    pull(w);
    pull(w);
    assert_int_equal(w->calls[ALIVE], n); /* nobody, and nobody to take back */
}

static void the_end_takes_back_who_was_online(void **state)
{
    struct world *w = *state;

    run(w);
    see(w, 0, 2, "1.2.3.4", 5000);
    alive(w);
    unsigned n = w->calls[ALIVE];
    stop(w);
    assert_int_equal(w->calls[ALIVE], n + 1);
    assert_string_equal(w->body[ALIVE], "{\"2\":[]}");
    /* Nobody is left to take back. */
    w->plane.alive_count = 0;
    start(w);
    apply(w, node_text(w, 7, ""));
    UNTIL(w, status(w, 0).serving);
    stop(w);
    assert_int_equal(w->calls[ALIVE], n + 1);
}

/* The last list comes after the answer to the one before. */
static void the_end_waits_for_a_report_under_way(void **state)
{
    struct world *w = *state;

    run(w);
    see(w, 0, 2, "1.2.3.4", 5000);
    w->act[ALIVE] = (struct act){.end = FAKE_HOLD, .times = 1};
    alive(w);
    unsigned n = w->calls[ALIVE];
    apply(w, node_text(w, 8, "")); /* 7 ends */
    UNTIL(w, w->calls[CONFIG] > 1);
    assert_int_equal(w->calls[ALIVE], n);
    fake_close(&w->panel);
    fake_open(&w->panel, w->loop);
    UNTIL(w, w->calls[ALIVE] > n);
    assert_string_equal(w->body[ALIVE], "{\"2\":[]}");
    UNTIL(w, controller_status(w->c, NULL, 0) == 1);
}

static void the_end_asks_no_panel_that_takes_no_lists(void **state)
{
    struct world *w = *state;

    run(w);
    see(w, 0, 2, "1.2.3.4", 5000);
    w->act[ALIVE] = (struct act){.status = 501, .times = 1};
    alive(w);
    unsigned n = w->calls[ALIVE];
    UNTIL(w, status(w, 0).problem[0] != '\0');
    stop(w);
    assert_int_equal(w->calls[ALIVE], n);
}

static void a_hanging_alive_report_does_not_hold_up_the_end(void **state)
{
    struct world *w = *state;

    run(w);
    see(w, 0, 2, "1.2.3.4", 5000);
    alive(w);
    w->act[ALIVE] = (struct act){.end = FAKE_HOLD, .times = 1};
    controller_stop(w->c, 10, 50, on_stopped, w);
    UNTIL(w, w->stopped);
}

/* Taken out of the file and put back: who is online there is not taken back, who is not is. */
static void a_node_that_comes_back_tells_for_both(void **state)
{
    struct world *w = *state;

    run(w);
    see(w, 0, 1, "9.9.9.9", 5000);
    see(w, 1, 2, "1.2.3.4", 5000);
    alive(w);
    w->plane.hold_gone = true;
    apply(w, node_text(w, 8, ""));
    apply(w, node_text(w, 7, ""));
    UNTIL(w, status(w, 0).serving);
    w->plane.alive_count = 0;
    see(w, 0, 2, "1.2.3.4", 5000);
    unsigned n = w->calls[ALIVE];
    w->plane.hold_gone = false;
    loop_task_add(w->loop, &w->plane.later);
    UNTIL(w, controller_status(w->c, NULL, 0) == 1);
    assert_int_equal(w->calls[ALIVE], n);
    alive(w);
    assert_string_equal(w->body[ALIVE], "{\"1\":[],\"2\":[\"1.2.3.4\"]}");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(starts_from_cache),
        TEST(push_is_acknowledged_once),
        TEST(unknown_outcome_is_sent_again_as_it_was),
        TEST(at_most_once_parks_what_may_be_booked),
        TEST(at_most_once_parks_after_a_crash),
        TEST(a_node_that_comes_back_waits_for_its_own_push),
        TEST(killed_while_pushing),
        TEST(too_large_a_push_is_split),
        TEST(the_end_pushes_everything),
        TEST(the_end_does_not_wait_for_ever),
        TEST(online_users),
        TEST(the_end_takes_back_who_was_online),
        TEST(the_end_waits_for_a_report_under_way),
        TEST(the_end_asks_no_panel_that_takes_no_lists),
        TEST(a_hanging_alive_report_does_not_hold_up_the_end),
        TEST(a_node_that_comes_back_tells_for_both),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("reporter", tests, NULL, NULL);
}
