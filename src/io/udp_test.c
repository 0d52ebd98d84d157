#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "io/sockaddr.h"
#include "io/udp.h"

/* Two sockets on loopback and what is needed to drive them. */
struct bench {
    struct pool *pool;
    struct udp_batch *batch;
    int a, b;
    bool dual_a, dual_b;
    struct addr at_a, at_b;
    struct bufq q;
};

static void open_bench(struct bench *t)
{
    const struct addr loopback = {.family = ADDR_IP4, .ip = {127, 0, 0, 1}};
    const struct addr none = {.family = ADDR_NONE};
    int err;

    memset(t, 0, sizeof(*t));
    t->pool = pool_new(0);
    assert_int_equal(udp_batch_new(t->pool, &t->batch), ST_OK);
    assert_int_equal(udp_open(&none, &t->a, &t->dual_a, &err), ST_OK);
    assert_int_equal(udp_open(&loopback, &t->b, &t->dual_b, &err), ST_OK);
    assert_false(t->dual_b);
    sockaddr_local(t->b, &t->at_b);
    bufq_init(&t->q, 256 * 1024);
}

static void close_bench(struct bench *t)
{
    bufq_clear(&t->q, t->pool);
    close(t->a);
    close(t->b);
    udp_batch_free(t->batch);
    assert_int_equal(pool_used(t->pool), 0);
    pool_free(t->pool);
}

static void push(struct bench *t, size_t len, uint8_t fill, const struct addr *peer)
{
    struct span *s = span_new_for(t->pool, len);
    assert_non_null(s);
    memset(span_data(s), fill, len);
    s->len = (uint32_t)len;
    if (peer != NULL)
        s->peer = *peer;
    bufq_push(&t->q, s);
}

static void send_all(struct bench *t, const struct addr *dflt, size_t dropped)
{
    size_t lost = 0;
    int err = 0;
    assert_int_equal(udp_send(t->batch, t->a, t->dual_a, &t->q, dflt, &lost, &err), ST_OK);
    assert_true(bufq_empty(&t->q));
    assert_int_equal(lost, dropped);
}

static void wait_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
}

static void a_dual_socket_talks_to_ip4_and_tells_the_source(void **state)
{
    struct bench t;
    struct addr at_a;

    (void)state;
    open_bench(&t);
    push(&t, 5, 'x', &t.at_b);
    push(&t, 0, 'x', NULL);
    push(&t, 1400, 'y', NULL);
    send_all(&t, &t.at_b, 0);
    wait_readable(t.b);
    assert_int_equal(udp_recv(t.batch, t.b, &t.q), ST_OK);
    assert_int_equal(t.q.count, 3);
    assert_int_equal(t.q.head->len, 5);
    assert_int_equal(t.q.head->next->len, 0);
    assert_int_equal(t.q.tail->len, 1400);
    assert_int_equal(span_data(t.q.tail)[1399], 'y');
    sockaddr_local(t.a, &at_a);
    assert_int_equal(t.q.head->peer.family, ADDR_IP4);
    assert_int_equal(t.q.head->peer.port, at_a.port);
    /* And back: what came in goes out to where it came from. */
    int err;
    assert_int_equal(udp_send(t.batch, t.b, t.dual_b, &t.q, NULL, NULL, &err), ST_OK);
    wait_readable(t.a);
    assert_int_equal(udp_recv(t.batch, t.a, &t.q), ST_OK);
    assert_int_equal(t.q.count, 3);
    assert_true(addr_equal(&t.q.head->peer, &t.at_b));
    close_bench(&t);
}

static void large_datagrams_arrive_whole_and_larger_ones_not_at_all(void **state)
{
    struct bench t;
    static uint8_t big[20000];
    union sockaddr_any sa;
    socklen_t len;

    (void)state;
    open_bench(&t);
    push(&t, 1920, 'a', NULL);
    push(&t, 1921, 'b', NULL);
    push(&t, BLK_DATA, 'c', NULL);
    send_all(&t, &t.at_b, 0);
    len = sockaddr_from_addr_mapped(&sa, &t.at_b);
    assert_int_equal(sendto(t.a, big, sizeof(big), 0, &sa.any, len), sizeof(big));
    push(&t, 3, 'd', NULL);
    send_all(&t, &t.at_b, 0);
    wait_readable(t.b);
    assert_int_equal(udp_recv(t.batch, t.b, &t.q), ST_OK);
    assert_int_equal(t.q.count, 4);
    static const uint32_t lens[] = {1920, 1921, BLK_DATA, 3};
    const struct span *s = t.q.head;
    for (unsigned i = 0; i < 4; i++, s = s->next) {
        assert_int_equal(s->len, lens[i]);
        for (uint32_t k = 0; k < s->len; k++)
            assert_int_equal(span_data(s)[k], 'a' + i);
    }
    close_bench(&t);
}

static void many_datagrams_take_several_batches(void **state)
{
    struct bench t;
    enum status st;
    unsigned calls = 0;

    (void)state;
    open_bench(&t);
    for (unsigned i = 0; i < 100; i++)
        push(&t, 100, (uint8_t)i, NULL);
    send_all(&t, &t.at_b, 0);
    wait_readable(t.b);
    do {
        st = udp_recv(t.batch, t.b, &t.q);
        calls++;
    } while (st == ST_YIELD);
    assert_int_equal(st, ST_OK);
    assert_int_equal(calls, 100 / UDP_BATCH + 1);
    assert_int_equal(t.q.count, 100);
    unsigned i = 0;
    for (const struct span *s = t.q.head; s != NULL; s = s->next)
        assert_int_equal(span_data(s)[0], i++);
    close_bench(&t);
}

/* Runs of one size go to the kernel as one message; nobody can tell. */
static void runs_arrive_as_the_datagrams_they_are(void **state)
{
    static const uint32_t lens[] = {1200, 1200, 1200, 700, 1200, 0,    1440, 1440, 1440, 1440,
                                    1441, 1441, 1,    1,   1,    0,    0,    300,  200,  200,
                                    200,  100,  100,  99,  1500, 1500, 1500, 1000, 1000, 1000};
    const struct addr nowhere = {.family = ADDR_IP4, .port = 0, .ip = {127, 0, 0, 1}};
    enum { COUNT = sizeof(lens) / sizeof(lens[0]), TIMES = 8 };
    struct bench t;

    (void)state;
    open_bench(&t);
    for (unsigned n = 0; n < TIMES; n++) {
        for (unsigned i = 0; i < COUNT; i++) {
            push(&t, lens[i], (uint8_t)(n + i), NULL);
            if (i % 11 == 5)
                push(&t, 100, 'x', &nowhere);
        }
        send_all(&t, &t.at_b, 3);
        for (unsigned i = 0; i < COUNT; i++) {
            if (bufq_empty(&t.q)) {
                wait_readable(t.b);
                enum status st = udp_recv(t.batch, t.b, &t.q);
                assert_true(st >= 0);
            }
            struct span *s = bufq_pop(&t.q);
            assert_int_equal(s->len, lens[i]);
            for (uint32_t k = 0; k < s->len; k++)
                assert_int_equal(span_data(s)[k], (uint8_t)(n + i));
            span_free(t.pool, s);
        }
    }
    close_bench(&t);
}

static void a_full_queue_stops_reading(void **state)
{
    struct bench t;

    (void)state;
    open_bench(&t);
    for (unsigned i = 0; i < 4; i++)
        push(&t, 100, 'x', NULL);
    send_all(&t, &t.at_b, 0);
    wait_readable(t.b);
    t.q.cap = 50;
    assert_int_equal(udp_recv(t.batch, t.b, &t.q), ST_YIELD);
    assert_int_equal(t.q.count, 1);
    assert_int_equal(udp_recv(t.batch, t.b, &t.q), ST_FULL);
    bufq_clear(&t.q, t.pool);
    t.q.cap = 64 * 1024;
    assert_int_equal(udp_recv(t.batch, t.b, &t.q), ST_OK);
    assert_int_equal(t.q.count, 3);
    close_bench(&t);
}

static void what_cannot_be_sent_is_dropped_alone(void **state)
{
    const struct addr ip6 = {.family = ADDR_IP6, .port = 9, .ip = {[15] = 1}};
    struct bench t;
    size_t dropped = 0;
    int err;

    (void)state;
    open_bench(&t);
    push(&t, 1, 'x', &t.at_b);
    push(&t, 1, 'x', &ip6); /* wrong family for an IPv4 socket */
    push(&t, 1, 'x', NULL); /* no destination at all */
    push(&t, 1, 'y', &t.at_b);
    assert_int_equal(udp_send(t.batch, t.b, t.dual_b, &t.q, NULL, &dropped, &err), ST_OK);
    assert_int_equal(dropped, 2);
    wait_readable(t.b);
    assert_int_equal(udp_recv(t.batch, t.b, &t.q), ST_OK);
    assert_int_equal(t.q.count, 2);
    close_bench(&t);
}

static void a_dead_socket_and_missing_memory_are_told(void **state)
{
    struct bench t;
    int err = 0;

    (void)state;
    open_bench(&t);
    push(&t, 1, 'x', NULL);
    assert_int_equal(udp_send(t.batch, -1, false, &t.q, &t.at_b, NULL, &err), ST_E_IO);
    assert_int_equal(err, EBADF);
    assert_int_equal(t.q.count, 1);
    send_all(&t, &t.at_b, 0);
    wait_readable(t.b);
    pool_fail_after(t.pool, 1, true);
    assert_int_equal(udp_recv(t.batch, t.b, &t.q), ST_E_NOMEM);
    pool_fail_after(t.pool, 0, false);
    assert_int_equal(udp_recv(t.batch, t.b, &t.q), ST_OK);
    assert_int_equal(t.q.count, 1);
    close_bench(&t);
}

static void a_taken_port_is_told(void **state)
{
    struct bench t;
    bool dual;
    int fd, err = 0;

    (void)state;
    open_bench(&t);
    assert_int_equal(udp_open(&t.at_b, &fd, &dual, &err), ST_E_BUSY);
    assert_int_equal(err, EADDRINUSE);
    assert_int_equal(fd, -1);
    close_bench(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dual_socket_talks_to_ip4_and_tells_the_source),
        cmocka_unit_test(large_datagrams_arrive_whole_and_larger_ones_not_at_all),
        cmocka_unit_test(many_datagrams_take_several_batches),
        cmocka_unit_test(runs_arrive_as_the_datagrams_they_are),
        cmocka_unit_test(a_full_queue_stops_reading),
        cmocka_unit_test(what_cannot_be_sent_is_dropped_alone),
        cmocka_unit_test(a_dead_socket_and_missing_memory_are_told),
        cmocka_unit_test(a_taken_port_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
