#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "control/fake_world.h"

#include "stream/layer.h"

/* ---- serving ---- */

static void first_start(void **state)
{
    struct world *w = *state;

    run(w);
    assert_int_equal(w->plane.nodes[0].published, 1);
    const struct view_node *v = w->plane.nodes[0].view->node;
    assert_int_equal(v->listen[0].port, 1443);
    assert_int_equal(v->stage_count, 1);
    assert_string_equal(v->stages[0].ops->name, "vless");
    assert_int_equal(users(w), 2);
    assert_int_equal(find_user(w, UUID_A)->uid, 1);
    assert_int_equal(find_user(w, UUID_A)->speed_kbps, 100000);
    assert_string_equal(status(w, 0).state, "running");
    assert_string_equal(status(w, 0).problem, "");
    assert_int_equal(status(w, 0).users, 2);
    assert_string_equal(w->etag[CONFIG], "");
    /* The second pull changes nothing. */
    pull(w);
    assert_string_equal(w->etag[CONFIG], "\"0-2\"");
    assert_string_equal(w->etag[USER], "\"1-2\"");
    assert_int_equal(w->plane.nodes[0].published, 1);
    assert_int_equal(w->calls[PUSH], 0);
    stop(w);
    assert_int_equal(w->calls[PUSH], 0);
    assert_int_equal(w->warnings, 0);
}

static void the_same_without_etags_is_not_rebuilt(void **state)
{
    struct world *w = *state;
    w->etags = false;
    run(w);
    set_config(w,
               "{\"base_config\":{\"pull_interval\":\"60\",\"push_interval\":60.0},\"tls\":\"0\","
               "\"server_port\":\"1443\",\"network\":\"tcp\",\"node_type\":\"vless\"}");
    pull(w);
    assert_int_equal(w->plane.nodes[0].published, 1);
}

static void users_come_and_go(void **state)
{
    struct world *w = *state;

    run(w);
    struct user_rt *a = find_user(w, UUID_A), *b = find_user(w, UUID_B);
    set_users(w, "{\"id\":1,\"uuid\":\"" UUID_A "\",\"speed_limit\":20}," USER_C);
    traffic(w, UUID_B, 10, 20);
    w->plane.hold_removed = true;
    pull(w);
    assert_ptr_equal(find_user(w, UUID_A), a); /* the object is his as long as he is */
    assert_int_equal(a->speed_kbps, 20000);
    assert_int_equal(find_user(w, UUID_C)->device_limit, 2);
    assert_null(find_user(w, UUID_B));
    assert_true(b->removed);
    assert_int_equal(w->plane.removed, 1);
    /* His session still moves bytes until it has ended. */
    meter_add(controller_meter(w->c, 0), b->slot, 1, 2);
    w->plane.hold_removed = false;
    loop_task_add(w->loop, &w->plane.later);
    loop_once(w->loop, 0);
    push(w); /* the first part went out with the pull */
    assert_string_equal(w->body[PUSH], "{\"2\":[1,2]}");
    UNTIL(w, status(w, 0).pushed_up == 11 && status(w, 0).pushed_down == 22);
    /* A limit alone needs no new view. */
    unsigned published = w->plane.nodes[0].published;
    set_users(w, USER_A "," USER_C);
    pull(w);
    assert_int_equal(w->plane.nodes[0].published, published);
    assert_int_equal(a->speed_kbps, 100000);
    /* A new credential of the same user: another object, the old one goes. */
    set_users(w, "{\"id\":1,\"uuid\":\"" UUID_B "\"}," USER_C);
    pull(w);
    assert_int_equal(find_user(w, UUID_B)->uid, 1);
    assert_null(find_user(w, UUID_A));
    assert_int_equal(w->plane.removed, 2);
}

static void config_changes(void **state)
{
    struct world *w = *state;

    run(w);
    struct user_rt *a = find_user(w, UUID_A);
    set_config(w, "{\"node_type\":\"vless\",\"server_port\":1444,\"network\":\"ws\","
                  "\"networkSettings\":{\"path\":\"/ray\"}}");
    pull(w);
    const struct view_node *v = w->plane.nodes[0].view->node;
    assert_int_equal(v->listen[0].port, 1444);
    assert_int_equal(v->stage_count, 2);
    assert_string_equal(v->stages[1].ops->name, "vless");
    assert_ptr_equal(find_user(w, UUID_A), a);
    assert_int_equal(w->plane.removed, 0);
}

static void etag_is_kept_after_all_was_applied(void **state)
{
    struct world *w = *state;

    w->act[USER] = (struct act){.status = 500, .body = "{\"message\":\"boom\"}", .times = 1};
    apply(w, node_text(w, 7, ""));
    UNTIL(w, w->calls[USER] == 1 && status(w, 0).problem[0] != '\0');
    assert_non_null(strstr(status(w, 0).problem, "boom"));
    assert_int_equal(w->plane.nodes[0].published, 0);
    pull(w);
    assert_string_equal(w->etag[CONFIG], "");
    UNTIL(w, status(w, 0).serving && status(w, 0).problem[0] == '\0');
    /* The same for a change. */
    set_config(w, "{\"node_type\":\"vless\",\"server_port\":1555}");
    w->act[USER] = (struct act){.status = 503, .times = 1};
    controller_poke(w->c);
    UNTIL(w, w->calls[USER] == 3 && status(w, 0).problem[0] != '\0');
    assert_int_equal(w->plane.nodes[0].view->node->listen[0].port, 1443);
    pull(w);
    assert_string_equal(w->etag[CONFIG], "\"0-2\"");
    assert_int_equal(w->plane.nodes[0].view->node->listen[0].port, 1555);
}

static void refused_settings_wait(void **state)
{
    struct world *w = *state;
    static const char *const bad[][2] = {
        {"{\"node_type\":\"vless\",\"server_port\":1,\"tls\":2}", "REALITY"},
        {"{\"node_type\":\"vless\",\"server_port\":1,\"tls\":2,\"tls_settings\":{\"private_key\":"
         "\"x\"}}",
         "REALITY privateKey: must be 32 bytes"},
        {"{\"node_type\":\"vless\",\"server_port\":1,\"network\":\"grpc\"}", "grpc"},
        {"{\"node_type\":\"hysteria2\",\"server_port\":1}", "hysteria2"},
        {"{\"node_type\":\"vless\",\"server_port\":1,\"flow\":\"xtls-rprx-direct\"}", "flow"},
        {"{\"node_type\":\"vless\"}", "server_port"},
        {"<html>", "HTML"},
        {"{\"server_port\":", "JSON"},
    };

    set_config(w, bad[0][0]);
    apply(w, node_text(w, 7, ""));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        set_config(w, bad[i][0]);
        controller_poke(w->c);
        UNTIL(w, strstr(status(w, 0).problem, bad[i][1]) != NULL);
        assert_string_equal(status(w, 0).state, "starting");
    }
    assert_int_equal(w->calls[USER], 0);
    unsigned said = w->warnings;
    unsigned calls = w->calls[CONFIG];
    controller_poke(w->c);
    UNTIL(w, w->calls[CONFIG] > calls);
    loop_once(w->loop, 0);
    assert_int_equal(w->warnings, said); /* once */
    set_config(w, CONFIG_1);
    controller_poke(w->c);
    UNTIL(w, status(w, 0).serving);
    assert_string_equal(status(w, 0).problem, "");
    /* A node that is served goes on with what it had, and its users still change. */
    set_config(w, bad[0][0]);
    set_users(w, USER_A);
    pull(w);
    assert_non_null(strstr(status(w, 0).problem, "REALITY"));
    assert_string_equal(status(w, 0).state, "running");
    assert_int_equal(users(w), 1);
    assert_int_equal(w->plane.nodes[0].view->node->listen[0].port, 1443);
}

static void a_bad_node_does_not_touch_the_other(void **state)
{
    struct world *w = *state;
    char two[2048];

    snprintf(two, sizeof(two),
             "%s,{\"ApiHost\":\"http://127.0.0.1:1/x\",\"ApiKey\":\"secret\",\"NodeID\":8}",
             node_text(w, 7, ""));
    apply(w, two);
    UNTIL(w, status(w, 0).serving && status(w, 1).problem[0] != '\0');
    assert_string_equal(status(w, 1).state, "starting");
    assert_non_null(strstr(status(w, 1).problem, "not reachable"));
}

static void wrong_token_and_disabled_node(void **state)
{
    struct world *w = *state;

    run(w);
    w->act[CONFIG] = (struct act){.status = 403, .body = "{\"message\":\"disabled\"}", .times = 3};
    for (unsigned i = 0; i < 3; i++) {
        unsigned n = w->calls[CONFIG];
        controller_poke(w->c);
        UNTIL(w, w->calls[CONFIG] > n && status(w, 0).problem[0] != '\0');
        loop_once(w->loop, 0);
    }
    assert_int_equal(w->warnings, 1);
    assert_non_null(strstr(status(w, 0).problem, "disabled"));
    assert_string_equal(status(w, 0).state, "running");
    assert_int_equal(users(w), 2);
}

static void port_in_use(void **state)
{
    struct world *w = *state;

    w->plane.busy = true;
    apply(w, node_text(w, 7, ""));
    UNTIL(w, w->plane.nodes[0].published == 1 && status(w, 0).problem[0] != '\0');
    assert_string_equal(status(w, 0).state, "waiting");
    assert_false(status(w, 0).serving);
    w->plane.busy = false;
    UNTIL(w, status(w, 0).serving);
    assert_int_equal(w->plane.nodes[0].published, 2);
    assert_string_equal(status(w, 0).problem, "");
}

static void many_users(char *t, size_t cap, int n)
{
    size_t at = 0;
    for (int i = 1; i <= n; i++)
        at += (size_t)snprintf(t + at, cap - at,
                               "%s{\"id\":%d,\"uuid\":\"00000000-0000-4000-8000-%012d\"}",
                               i > 1 ? "," : "", i, i);
}

static void mass_deletion_is_said_twice(void **state)
{
    struct world *w = *state;
    char t[8000];

    many_users(t, sizeof(t), 60);
    set_users(w, t);
    run(w);
    assert_int_equal(users(w), 60);
    set(&w->users, "{\"data\":[]}"); /* no list at all: nothing happens however often it is said */
    w->version++;
    for (int i = 0; i < 2; i++) {
        unsigned n = w->calls[USER];
        controller_poke(w->c);
        UNTIL(w, w->calls[USER] > n && status(w, 0).problem[0] != '\0');
    }
    assert_int_equal(users(w), 60);
    set_users(w, "");
    pull(w);
    assert_int_equal(users(w), 60);
    pull(w);
    assert_int_equal(users(w), 0);
    assert_int_equal(w->plane.removed, 60);
    /* Few of few is no accident. */
    many_users(t, sizeof(t), 20);
    set_users(w, t);
    pull(w);
    set_users(w, "");
    pull(w);
    assert_int_equal(users(w), 0);
}

static void bad_users_are_skipped(void **state)
{
    struct world *w = *state;

    set_users(w,
              USER_A ",{\"id\":\"x\"}," USER_B ",{\"id\":9,\"uuid\":\"this is no uuid and far too "
                     "long for a name\"},{\"id\":5,\"uuid\":\"short\"}");
    run(w);
    assert_int_equal(users(w), 3);
    assert_int_equal(w->warnings, 1);
    assert_non_null(strstr(last_warning, "2 entries"));
}

static void an_odd_limit_costs_nobody_his_place(void **state)
{
    struct world *w = *state;

    set_users(w, USER_A ",{\"id\":8,\"uuid\":\"odd\",\"speed_limit\":\"fast\"}");
    apply(w, node_text(w, 7, ",\"LimitConfig\":{\"SpeedLimit\":50}"));
    run(w);
    assert_int_equal(users(w), 2);
    assert_int_equal(w->warnings, 1);
    assert_non_null(strstr(last_warning, "user 8: speed_limit is no number"));
}

/* ---- reload ---- */

static void reload(void **state)
{
    struct world *w = *state;
    char two[2048];

    run(w);
    apply(w, node_text(w, 7, ""));
    pull(w);
    assert_int_equal(w->plane.nodes[0].published, 1); /* untouched */
    assert_string_equal(w->etag[USER], "\"1-2\"");

    unsigned n = w->calls[ALIVELIST];
    apply(w, node_text(w, 7, ",\"LimitConfig\":{\"SpeedLimit\":50,\"ConnLimit\":4}"));
    UNTIL(w, w->calls[ALIVELIST] > n);
    assert_int_equal(w->plane.nodes[0].published, 2);
    assert_int_equal(find_user(w, UUID_A)->speed_kbps, 50000);
    assert_int_equal(find_user(w, UUID_B)->speed_kbps, 50000);
    assert_int_equal(find_user(w, UUID_B)->conn_limit, 4);

    traffic(w, UUID_A, 9, 9);
    snprintf(two, sizeof(two), "%s", node_text(w, 8, ""));
    apply(w, two);
    UNTIL(w, w->plane.nodes[0].removed_nodes == 1 && w->calls[PUSH] == 1);
    assert_string_equal(w->body[PUSH], "{\"1\":[9,9]}");
    UNTIL(w, status(w, 0).serving);
    assert_string_equal(status(w, 0).tag, "n8");
    struct controller_node_status s[4];
    UNTIL(w, controller_status(w->c, s, 4) == 1);
}

/* ---- scale ---- */

static double ms_since(const struct timespec *t)
{
    struct timespec n;
    clock_gettime(CLOCK_MONOTONIC, &n);
    return (double)(n.tv_sec - t->tv_sec) * 1e3 + (double)(n.tv_nsec - t->tv_nsec) / 1e6;
}

static long rss_kib(void)
{
    char line[128];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        sscanf(line, "VmRSS: %ld", &kib);
    if (f != NULL)
        fclose(f);
    return kib;
}

#define SCALE 100000

/* Users 1..SCALE but for those of [from, to), which have another uuid. */
static void scale_users(struct world *w, int from, int to)
{
    char *t = malloc(SCALE * 100 + 100), *p = t;
    p += sprintf(p, "{\"users\":[");
    for (int i = 1; i <= SCALE; i++)
        p += sprintf(
            p, "%s{\"id\":%d,\"uuid\":\"00000000-0000-4000-80%02d-%012d\",\"speed_limit\":100}",
            i > 1 ? "," : "", i, i >= from && i < to, i);
    sprintf(p, "]}");
    free(w->users);
    w->users = t;
    w->version++;
}

static void hundred_thousand_users(void **state)
{
    struct world *w = *state;
    struct timespec t;
    long before = rss_kib();

    scale_users(w, 0, 0);
    long text = rss_kib();
    clock_gettime(CLOCK_MONOTONIC, &t);
    run(w);
    print_message("100,000 users fetched, applied, stored: %.0f ms, RSS +%ld KiB\n", ms_since(&t),
                  rss_kib() - text);
    assert_int_equal(users(w), SCALE);
    scale_users(w, 500, 600);
    clock_gettime(CLOCK_MONOTONIC, &t);
    pull(w);
    print_message("the same with 100 changed: %.0f ms, RSS +%ld KiB since before the list\n",
                  ms_since(&t), rss_kib() - before);
    assert_int_equal(users(w), SCALE);
    assert_int_equal(w->plane.removed, 100);
    clock_gettime(CLOCK_MONOTONIC, &t);
    pull(w);
    print_message("unchanged (304): %.1f ms\n", ms_since(&t));
    stop(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(first_start),
        TEST(the_same_without_etags_is_not_rebuilt),
        TEST(users_come_and_go),
        TEST(config_changes),
        TEST(etag_is_kept_after_all_was_applied),
        TEST(refused_settings_wait),
        TEST(a_bad_node_does_not_touch_the_other),
        TEST(wrong_token_and_disabled_node),
        TEST(port_in_use),
        TEST(mass_deletion_is_said_twice),
        TEST(bad_users_are_skipped),
        TEST(an_odd_limit_costs_nobody_his_place),
        TEST(reload),
        TEST(hundred_thousand_users),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("controller", tests, NULL, NULL);
}
