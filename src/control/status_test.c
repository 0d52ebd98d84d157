#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <errno.h>

#include "codec/json.h"
#include "control/admin/admin.h"
#include "control/fake_world.h"
#include "control/server/unix_socket.h"

/* Asks the socket; the document is the caller's. */
static struct json_t *ask(struct world *w, const char *method, const char *target, const char *body,
                          unsigned want)
{
    static char text[200000];
    char request[1024];
    struct json_t *v = NULL;
    struct json_error e;
    size_t len = 0;

    snprintf(request, sizeof(request), "%s/" ADMIN_SOCKET, w->dir);
    int fd = unix_socket_connect(request, 0);
    assert_true(fd >= 0);
    snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
             method, target, strlen(body), body);
    assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
    for (;;) {
        ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, MSG_DONTWAIT);
        if (n == 0)
            break;
        if (n > 0)
            len += (size_t)n;
        else if (errno == EAGAIN)
            loop_once(w->loop, 1000);
        else
            fail_msg("the connection broke");
    }
    close(fd);
    text[len] = '\0';
    assert_int_equal(atoi(text + strlen("HTTP/1.1 ")), want);
    const char *json = strstr(text, "\r\n\r\n") + 4;
    if (json_parse(json, strlen(json), &v, &e) != ST_OK)
        fail_msg("no JSON: %s", json);
    return v;
}

static const struct json_t *first(const struct json_t *doc, const char *key)
{
    assert_true(json_array_len(json_get(doc, key)) > 0);
    return json_at(json_get(doc, key), 0);
}

static int64_t pair(const struct json_t *o, const char *key, const char *direction)
{
    return json_get_int(json_get(o, key), direction, -1);
}

static void nodes_and_users(void **state)
{
    struct world *w = *state;

    run(w);
    admin_open(controller_admin(w->c));
    atomic_store(&find_user(w, UUID_A)->sessions, 3);
    traffic(w, UUID_A, 100, 200);
    struct json_t *v = ask(w, "GET", "/status?rates=no", "", 200);
    const struct json_t *n = first(v, "nodes"), *u = first(v, "users");
    assert_string_equal(json_get_str(n, "state", ""), "running");
    assert_true(json_get_bool(n, "serving", false));
    assert_int_equal(json_get_int(n, "users", 0), 2);
    assert_int_equal(json_get_int(n, "users_online", 0), 1);
    assert_int_equal(json_get_int(json_get(n, "panel"), "node_id", 0), 7);
    assert_int_equal(json_array_len(json_get(v, "users")), 1);
    assert_int_equal(json_get_int(v, "users_active", 0), 1);
    assert_int_equal(json_get_int(v, "window_ms", 1), 0);
    assert_int_equal(json_get_int(u, "uid", 0), 1);
    assert_int_equal(json_get_int(u, "connections", 0), 3);
    assert_int_equal(json_get_int(u, "speed_mbps", 0), 100);
    assert_int_equal(pair(u, "bytes", "down"), 200);
    assert_int_equal(pair(u, "rate", "down"), 0);
    assert_int_equal(json_array_len(json_get(v, "workers")), 2);
    json_unref(v);
    atomic_store(&find_user(w, UUID_A)->sessions, 0);
}

/* The first request looks and waits; who asks with it gets his answer from the same two looks. */
static void rates_are_of_the_time_between(void **state)
{
    struct world *w = *state;

    run(w);
    admin_open(controller_admin(w->c));
    traffic(w, UUID_B, 1000, 0); /* before anybody looked: no rate */
    struct json_t *v = ask(w, "GET", "/status", "", 200);
    assert_true(json_get_int(v, "window_ms", 0) >= 900);
    assert_int_equal(json_array_len(json_get(v, "users")), 0);
    json_unref(v);
    traffic(w, UUID_B, 5000, 0);
    traffic(w, UUID_A, 0, 400);
    v = ask(w, "GET", "/status?users=1", "", 200); /* from the last look */
    int64_t window = json_get_int(v, "window_ms", 0);
    assert_true(window >= 400);
    assert_int_equal(json_get_int(v, "users_active", 0), 2);
    assert_int_equal(json_array_len(json_get(v, "users")), 1);
    const struct json_t *u = first(v, "users");
    assert_int_equal(json_get_int(u, "uid", 0), 2); /* the faster one */
    assert_int_equal(pair(u, "bytes", "up"), 6000);
    assert_in_range(pair(u, "rate", "up"), 5000 * 1000 / (window + 1), 5000 * 1000 / window + 1);
    json_unref(v);
    v = ask(w, "GET", "/status?rates=no&node=nobody", "", 200);
    assert_int_equal(json_get_int(v, "users_active", 9), 0);
    json_unref(v);
}

static void the_spool_by_request(void **state)
{
    struct world *w = *state;

    apply(w, node_text(w, 7, ",\"ReportPolicy\":\"at-most-once\""));
    UNTIL(w, status(w, 0).serving);
    admin_open(controller_admin(w->c));
    traffic(w, UUID_A, 100, 0);
    w->act[PUSH] = (struct act){.end = FAKE_DROP, .times = 1};
    push(w);
    UNTIL(w, status(w, 0).problem[0] != '\0');
    traffic(w, UUID_B, 7, 0); /* not sampled yet */
    struct json_t *v = ask(w, "GET", "/spool", "", 200);
    const struct json_t *n = first(v, "nodes"), *b = first(n, "batches");
    assert_int_equal(json_get_int(json_get(n, "accounts"), "up", 0), 7);
    assert_int_equal(json_get_int(b, "up", 0), 100);
    assert_true(json_get_bool(b, "parked", false) && json_get_bool(b, "tried", false));
    json_unref(v);
    v = ask(w, "GET", "/status?rates=no", "", 200);
    assert_int_equal(json_get_int(json_get(first(v, "nodes"), "spool"), "parked", 0), 1);
    json_unref(v);
    json_unref(ask(w, "POST", "/spool/drop", "{\"batch\":99}", 404));
    json_unref(ask(w, "POST", "/spool/drop", "{\"node\":\"1\"}", 409)); /* it is configured */
    json_unref(ask(w, "POST", "/spool/drop", "[1]", 400));
    json_unref(ask(w, "POST", "/spool/replay", "{}", 400));
    json_unref(ask(w, "POST", "/spool/replay", "{\"batch\":1}", 200));
    UNTIL(w, status(w, 0).pushed_up == 107);
    v = ask(w, "GET", "/spool", "", 200);
    assert_int_equal(json_array_len(json_get(first(v, "nodes"), "batches")), 0);
    json_unref(v);
}

static void a_client_that_leaves(void **state)
{
    struct world *w = *state;
    char path[256];

    run(w);
    admin_open(controller_admin(w->c));
    snprintf(path, sizeof(path), "%s/" ADMIN_SOCKET, w->dir);
    int fd = unix_socket_connect(path, 0);
    assert_true(fd >= 0);
    assert_int_equal(send(fd, "GET /status HTTP/1.1\r\nHost: x\r\n\r\n", 34, 0), 34);
    for (int i = 0; i < 3; i++)
        loop_once(w->loop, 0);
    close(fd);
    json_unref(ask(w, "GET", "/status", "", 200));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(nodes_and_users),
        TEST(rates_are_of_the_time_between),
        TEST(the_spool_by_request),
        TEST(a_client_that_leaves),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
