/* What a connection says of its beginning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/conn.h"
#include "io/sockaddr.h"

struct bench {
    struct loop *loop;
    int listener, peer;
    struct conn c;
    unsigned news;
};

static void on_news(struct conn *c)
{
    LIST_ENTRY(c, struct bench, c)->news++;
}

static int setup(void **state)
{
    static struct bench b;
    b = (struct bench){.loop = loop_new(), .listener = -1, .peer = -1};
    *state = &b;
    return b.loop == NULL;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    conn_close(&b->c, false);
    close(b->listener);
    if (b->peer >= 0)
        close(b->peer);
    loop_free(b->loop);
    return 0;
}

/* A socket on its way to a listener of ours. */
static int start(struct bench *b)
{
    struct addr a = {.family = ADDR_IP4, .ip = {127, 0, 0, 1}};
    union sockaddr_any sa;
    socklen_t len = sockaddr_from_addr(&sa, &a);
    b->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(b->listener, &sa.any, len), 0);
    assert_int_equal(listen(b->listener, 1), 0);
    sockaddr_local(b->listener, &a);
    len = sockaddr_from_addr(&sa, &a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(connect(fd, &sa.any, len) == 0 || errno == EINPROGRESS);
    b->peer = accept(b->listener, NULL, NULL);
    assert_true(b->peer >= 0);
    return fd;
}

static enum status await(struct bench *b, int *err)
{
    enum status st;
    while ((st = conn_connected(&b->c, err)) == ST_MORE)
        loop_once(b->loop, -1);
    return st;
}

static void a_connect_that_worked(void **state)
{
    struct bench *b = *state;
    int err = -1, fd = start(b);
    assert_int_equal(conn_open(&b->c, b->loop, fd, true, on_news), ST_OK);
    assert_false(b->c.writable);
    assert_int_equal(conn_connected(&b->c, &err), ST_MORE);
    assert_int_equal(await(b, &err), ST_OK);
    assert_int_equal(err, 0);
    assert_false(b->c.connecting);
    assert_int_equal(b->news, 1);
}

static void a_connect_to_who_has_left_already(void **state)
{
    struct bench *b = *state;
    int err = -1, fd = start(b);
    shutdown(b->peer, SHUT_WR);
    assert_int_equal(conn_open(&b->c, b->loop, fd, true, on_news), ST_OK);
    assert_int_equal(await(b, &err), ST_OK);
    assert_int_equal(err, 0);
}

/* A refusal over loopback is answered by connect() itself; a reset leaves the same kind of error in
 * the socket. */
static void a_connect_that_failed_says_why(void **state)
{
    struct bench *b = *state;
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    int err = 0, fd = start(b);
    assert_int_equal(setsockopt(b->peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(b->peer);
    b->peer = -1;
    assert_int_equal(conn_open(&b->c, b->loop, fd, true, on_news), ST_OK);
    assert_int_equal(await(b, &err), ST_E_IO);
    assert_int_equal(err, ECONNRESET);
}

static void look(struct bench *b)
{
    loop_once(b->loop, 0);
    loop_once(b->loop, 0);
}

static void what_comes_while_muted_is_not_told_of(void **state)
{
    struct bench *b = *state;
    struct bufq q;
    struct pool *pool = pool_new(1u << 20);
    int err = 0, fd = start(b);

    assert_int_equal(conn_open(&b->c, b->loop, fd, true, on_news), ST_OK);
    assert_int_equal(await(b, &err), ST_OK);
    conn_mute(&b->c);
    assert_false(b->c.muted); /* nothing to read: it has to be told */
    assert_int_equal(send(b->peer, "one", 3, 0), 3);
    while (!b->c.readable)
        loop_once(b->loop, -1);
    conn_mute(&b->c);
    conn_mute(&b->c);
    assert_true(b->c.muted && b->c.readable);
    look(b);
    b->news = 0;
    assert_int_equal(send(b->peer, "two", 3, 0), 3);
    look(b);
    assert_int_equal(b->news, 0);

    bufq_init(&q, UINT32_MAX);
    while (b->c.readable)
        assert_true(conn_read(&b->c, &q, BLK_READ, pool, &err) >= 0);
    assert_int_equal(q.bytes, 6);
    assert_false(b->c.muted);
    assert_int_equal(send(b->peer, "three", 5, 0), 5);
    while (!b->c.readable)
        loop_once(b->loop, -1);
    conn_mute(&b->c);
    assert_int_equal(shutdown(b->peer, SHUT_WR), 0); /* an end is always told of */
    while (!b->c.hup)
        loop_once(b->loop, -1);
    bufq_clear(&q, pool);
    pool_free(pool);
}

static uint32_t pacing(const struct conn *c)
{
    uint32_t rate = 0;
    socklen_t len = sizeof(rate);
    assert_int_equal(getsockopt(c->watch.fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &len), 0);
    return rate;
}

static void is_paced_until_it_is_not(void **state)
{
    struct bench *b = *state;
    int err = 0, fd = start(b);

    assert_int_equal(conn_open(&b->c, b->loop, fd, true, on_news), ST_OK);
    assert_int_equal(await(b, &err), ST_OK);
    assert_int_equal(pacing(&b->c), UINT32_MAX);
    conn_pace(&b->c, true);
    assert_true(pacing(&b->c) < UINT32_MAX);
    conn_pace(&b->c, false);
    assert_int_equal(pacing(&b->c), UINT32_MAX);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_connect_that_worked),          CASE(a_connect_to_who_has_left_already),
        CASE(a_connect_that_failed_says_why), CASE(what_comes_while_muted_is_not_told_of),
        CASE(is_paced_until_it_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
