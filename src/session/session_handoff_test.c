/* Two sets of workers and the same listening sockets: an upgrade without the processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "session/handoff.h"
#include "session/test_plane.h"

static void set(void *arg)
{
    *(bool *)arg = true;
}

static void export_all(struct bench *b, struct handoff *h)
{
    bool done = false;
    workers_export(b->workers, h, set, &done);
    bench_pump_until(b, &done);
}

static void yield(struct bench *b)
{
    bool done = false;
    workers_yield(b->workers, set, &done);
    bench_pump_until(b, &done);
}

static struct bench *start(unsigned workers, struct handoff *h, uint16_t port)
{
    const struct bench_conf conf = {.workers = workers, .handoff = h, .port = port};
    struct bench *b = bench_new(&conf);
    bench_open(b);
    bench_settle(b); /* all listeners, not only the first one's */
    return b;
}

/* Says hello to the origin through the node at the port of @b. */
static void ask(int fd, const struct bench *b)
{
    uint8_t head[64], got;
    size_t n = bench_header(b, 0, 1, b->origin_port, head);
    head[n++] = WISH_HOLD;
    bench_send(fd, head, n);
    assert_true(bench_answered(fd));
    assert_true(bench_read(fd, &got, 1));
    assert_int_equal(got, 'H');
}

/* As many connections as make it unlikely that a socket of a group gets none. */
#define MANY 64

/* From @before workers to @after: connections of before live, those that came in between, when
 * nobody accepted, are served, and every one that comes after. */
static void hand_over(unsigned before, unsigned after)
{
    struct handoff *h = handoff_new();
    struct bench *old = start(before, NULL, 0);
    int early[MANY], between[MANY];
    for (int i = 0; i < MANY; i++)
        ask(early[i] = bench_dial(old), old);
    export_all(old, h);
    assert_int_equal(handoff_count(h), before);
    struct bench *new = start(after, h, old->port);
    yield(old);
    for (int i = 0; i < MANY; i++)
        between[i] = bench_dial(old);
    old->plane.remove(old->plane.self, 0, 3600 * 1000);
    bench_settle(old);
    workers_release(new->workers);
    for (int i = 0; i < MANY; i++)
        ask(between[i], new);
    bench_settle(new);
    for (int i = 0; i < MANY; i++) {
        int fd = bench_dial(new);
        ask(fd, new);
        close(fd);
    }
    assert_int_equal(bench_stats(old).open, MANY);
    for (int i = 0; i < MANY; i++) {
        close(early[i]);
        close(between[i]);
    }
    bench_pump_until(old, &old->gone);
    bench_free(old);
    bench_wait_open(new, 0);
    bench_free(new);
    handoff_free(h);
}

static void sockets_go_to_as_many_workers(void **state)
{
    (void)state;
    hand_over(2, 2);
}

static void sockets_go_to_fewer_workers(void **state)
{
    (void)state;
    hand_over(4, 1);
}

static void sockets_go_to_more_workers(void **state)
{
    (void)state;
    hand_over(1, 4);
}

/* An upgrade that fails: the new workers have held the sockets, and nobody was theirs. */
static void workers_that_are_held_take_nobody(void **state)
{
    (void)state;
    struct handoff *h = handoff_new();
    struct bench *old = start(2, NULL, 0);
    export_all(old, h);
    struct bench *new = start(4, h, old->port);
    for (int i = 0; i < MANY; i++) {
        int fd = bench_dial(old);
        ask(fd, old);
        close(fd);
    }
    bench_free(new);
    handoff_free(h);
    for (int i = 0; i < MANY; i++) {
        int fd = bench_dial(old);
        ask(fd, old);
        close(fd);
    }
    bench_wait_open(old, 0);
    bench_free(old);
}

/* An address that the new process does not serve is closed, not left with a queue nobody reads. */
static void what_nobody_takes_is_closed(void **state)
{
    (void)state;
    struct handoff *h = handoff_new();
    struct bench *old = start(2, NULL, 0);
    export_all(old, h);
    uint16_t port = old->port;
    struct bench *new = start(2, h, 0);
    assert_int_not_equal(new->port, port);
    yield(old);
    workers_release(new->workers);
    bench_settle(new);
    bench_settle(
        new); /* the answer of the first overtakes nothing: the sockets are closed by now */
    assert_int_equal(bench_dial_port(port), -1);
    bench_free(new);
    bench_free(old);
    handoff_free(h);
}

static int some_fd(void)
{
    return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
}

static void shares_are_even_and_whole(void **state)
{
    (void)state;
    struct handoff *h = handoff_new();
    struct handoff_key key = {.where = {.family = ADDR_IP6, .port = 443}}, got;
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(handoff_add(h, &key, some_fd()), ST_OK);
    const unsigned expected[3] = {3, 2, 2};
    for (unsigned part = 0; part < 3; part++) {
        unsigned n = 0;
        for (int fd; (fd = handoff_take(h, &key, part, 3)) >= 0; n++)
            close(fd);
        assert_int_equal(n, expected[part]);
    }
    assert_int_equal(handoff_count(h), 7);
    assert_int_equal(handoff_peek(h, 6, &got), -1);
    handoff_free(h);
}

static void kinds_of_sockets_are_told_apart(void **state)
{
    (void)state;
    struct handoff *h = handoff_new();
    struct handoff_key key = {.where = {.family = ADDR_IP6, .port = 443}, .v6only = true};
    assert_int_equal(handoff_add(h, &key, some_fd()), ST_OK);
    struct handoff_key udp = key, dual = key, port = key;
    udp.udp = true;
    dual.v6only = false;
    port.where.port = 444;
    assert_int_equal(handoff_take(h, &udp, 0, 1), -1);
    assert_int_equal(handoff_take(h, &dual, 0, 1), -1);
    assert_int_equal(handoff_take(h, &port, 0, 1), -1);
    int fd = handoff_take(h, &key, 0, 1);
    assert_true(fd >= 0);
    close(fd);
    key.where.family = ADDR_IP4; /* has no such thing as V6ONLY */
    assert_int_equal(handoff_add(h, &key, some_fd()), ST_OK);
    key.v6only = false;
    fd = handoff_take(h, &key, 0, 1);
    assert_true(fd >= 0);
    close(fd);
    handoff_free(h);
}

static void what_is_left_is_closed(void **state)
{
    (void)state;
    struct handoff *h = handoff_new();
    const struct handoff_key key = {.where = {.family = ADDR_IP4, .port = 1}};
    int fd = some_fd();
    assert_int_equal(handoff_add(h, &key, fd), ST_OK);
    handoff_free(h);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(errno, EBADF);
}

static void knows_when_one_is_missing(void **state)
{
    (void)state;
    struct handoff *h = handoff_new();
    struct handoff_key key = {.where = {.family = ADDR_IP4, .port = 1}};
    int fd = some_fd();
    assert_int_equal(handoff_add_copy(h, &key, fd), ST_OK);
    assert_true(handoff_is_whole(h));
    assert_int_not_equal(handoff_peek(h, 0, &key), fd);
    close(fd);
    assert_int_equal(handoff_add_copy(h, &key, fd), ST_E_IO); /* it is not there any more */
    assert_int_equal(handoff_count(h), 1);
    assert_false(handoff_is_whole(h));
    handoff_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets_go_to_as_many_workers),
        cmocka_unit_test(sockets_go_to_fewer_workers),
        cmocka_unit_test(sockets_go_to_more_workers),
        cmocka_unit_test(workers_that_are_held_take_nobody),
        cmocka_unit_test(what_nobody_takes_is_closed),
        cmocka_unit_test(shares_are_even_and_whole),
        cmocka_unit_test(kinds_of_sockets_are_told_apart),
        cmocka_unit_test(what_is_left_is_closed),
        cmocka_unit_test(knows_when_one_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
