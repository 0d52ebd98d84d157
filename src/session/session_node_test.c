/* Nodes that change, go and come back while their sessions live. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "session/test_plane.h"

static int setup(void **state)
{
    struct bench *b = bench_new(NULL);
    bench_open(b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    bench_free(*state);
    return 0;
}

static uint16_t free_port(void)
{
    uint16_t port;
    close(bench_listen(&port, 1));
    return port;
}

static void expect_alive(int fd, int target)
{
    char got;
    bench_send(fd, "x", 1);
    assert_true(bench_read(target, &got, 1));
    bench_send(target, "y", 1);
    assert_true(bench_read(fd, &got, 1));
    assert_int_equal(got, 'y');
}

static void open_alive(struct bench *b, int *fd, int *target)
{
    *fd = bench_pair(b, 0, target);
    bench_send(*target, "!", 1);
    char got;
    assert_true(bench_answered(*fd));
    assert_true(bench_read(*fd, &got, 1));
}

static void sessions_stay_when_the_port_changes(void **state)
{
    struct bench *b = *state;
    uint16_t old = b->port, port = free_port();
    int fd, target, fd2, target2;
    open_alive(b, &fd, &target);
    bench_change(b)->listen[0].port = port;
    bench_open(b);
    bench_settle(b);
    expect_alive(fd, target);
    assert_int_equal(bench_dial_port(old), -1);
    b->port = port;
    open_alive(b, &fd2, &target2);
    expect_alive(fd2, target2);
    expect_alive(fd, target);
    close(fd);
    close(target);
    close(fd2);
    close(target2);
}

/* All listeners were closed and opened again, which resets what waits in the kernel's queues; and
 * the first worker found the port taken by the others. */
static void an_address_that_goes_leaves_the_others_open(void **state)
{
    struct bench *b = *state;
    struct view_node *n = bench_change(b);
    n->listen[1] = n->listen[0];
    n->listen[1].port = free_port();
    n->listen_count = 2;
    bench_open(b);
    int one = bench_dial_port(n->listen[0].port), two = bench_dial_port(n->listen[1].port);
    assert_true(one >= 0 && two >= 0);
    close(one);
    close(two);
    uint16_t kept = n->listen[1].port, gone = n->listen[0].port;
    struct view_node *less = bench_change(b);
    less->listen[0] = less->listen[1];
    less->listen_count = 1;
    b->listening = b->busy = false;
    bench_publish(b, 2, NULL, 0);
    while (!b->listening && !b->busy)
        loop_once(b->loop, 1000);
    assert_false(b->busy);
    bench_settle(b);
    assert_int_equal(bench_dial_port(gone), -1);
    b->port = kept;
    int fd, target;
    open_alive(b, &fd, &target);
    expect_alive(fd, target);
    close(fd);
    close(target);
}

/* The old address was given up before the new one was had. */
static void a_port_that_is_taken_leaves_the_node_where_it_is(void **state)
{
    struct bench *b = *state;
    uint16_t taken;
    int stranger = bench_listen(&taken, 1), fd, target;
    bench_change(b)->listen[0].port = taken;
    b->busy = false;
    bench_publish(b, 2, NULL, 0);
    bench_pump_until(b, &b->busy);
    open_alive(b, &fd, &target);
    expect_alive(fd, target);
    close(fd);
    close(target);
    close(stranger);
}

/* The same port on an address that overlaps the old one: the probe must not take ourselves for a
 * stranger. */
static void a_node_may_widen_its_address(void **state)
{
    struct bench *b = *state;
    int fd, target;
    memset(bench_change(b)->listen[0].ip, 0, sizeof(b->node.listen[0].ip));
    bench_open(b);
    bench_settle(b);
    open_alive(b, &fd, &target);
    expect_alive(fd, target);
    close(fd);
    close(target);
}

static void a_node_without_sessions_goes_at_once(void **state)
{
    struct bench *b = *state;
    int fd, target;
    open_alive(b, &fd, &target);
    b->plane.remove(b->plane.self, 0, 3600 * 1000); /* an hour for sessions to end */
    bench_settle(b);
    expect_alive(fd, target);
    assert_false(b->gone);
    close(fd);
    close(target);
    bench_pump_until(b, &b->gone);
}

static void a_node_may_come_back_before_it_has_gone(void **state)
{
    struct bench *b = *state;
    int fd, target, fd2, target2;
    open_alive(b, &fd, &target);
    b->plane.remove(b->plane.self, 0, 3600 * 1000);
    bench_open(b);
    expect_alive(fd, target);
    open_alive(b, &fd2, &target2);
    close(fd);
    close(target);
    close(fd2);
    close(target2);
    bench_wait_open(b, 0);
    bench_settle(b);
    assert_false(b->gone);
}

static void users_may_change_all_the_time(void **state)
{
    struct bench *b = *state;
    int fd, target;
    open_alive(b, &fd, &target);
    for (int i = 0; i < 200; i++) {
        int half = bench_dial(b); /* in the handshake while lists change */
        bench_send(half, "\0", 1);
        bench_publish(b, 1 + (unsigned)i % 2, NULL, 0);
        if (i % 10 == 0)
            expect_alive(fd, target);
        close(half);
    }
    bench_settle(b);
    expect_alive(fd, target);
    close(fd);
    close(target);
    bench_wait_open(b, 0);
}

/* A user who came while the client was in the handshake is known to it. */
static void a_handshake_knows_the_latest_users(void **state)
{
    struct bench *b = *state;
    uint8_t head[64];
    char got;
    bench_publish(b, 1, NULL, 0);
    bench_settle(b);
    size_t n = bench_header(b, 1, 1, b->origin_port, head);
    head[n++] = WISH_HOLD;
    int fd = bench_dial(b);
    bench_send(fd, head, 5);
    bench_wait_open(b, 1);
    bench_publish(b, 2, NULL, 0);
    bench_settle(b);
    bench_send(fd, head + 5, n - 5);
    assert_true(bench_answered(fd));
    assert_true(bench_read(fd, &got, 1));
    close(fd);
}

static void nothing_is_opened_after_accepting_has_stopped(void **state)
{
    struct bench *b = *state;
    int fd, target;
    open_alive(b, &fd, &target);
    workers_stop_accepting(b->workers);
    bench_publish(b, 2, NULL, 0);
    bench_settle(b);
    assert_int_equal(bench_dial_port(b->port), -1);
    expect_alive(fd, target);
    close(fd);
    close(target);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(sessions_stay_when_the_port_changes),
        CASE(an_address_that_goes_leaves_the_others_open),
        CASE(a_port_that_is_taken_leaves_the_node_where_it_is),
        CASE(a_node_may_widen_its_address),
        CASE(a_node_without_sessions_goes_at_once),
        CASE(a_node_may_come_back_before_it_has_gone),
        CASE(users_may_change_all_the_time),
        CASE(a_handshake_knows_the_latest_users),
        CASE(nothing_is_opened_after_accepting_has_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
