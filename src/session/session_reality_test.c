/* Those whom REALITY does not know talk to the target: its patience, its speed, its silence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "crypto/x25519.h"
#include "session/test_plane.h"
#include "tls/server_hello.h"
#include "tls/test_target.h"
#include "transport/reality/test_peer.h"

static const struct conf_context no_context;

static int setup(void **state)
{
    static const struct bench_conf one = {.workers = 1};

    *state = bench_new(&one);
    return 0;
}

static int teardown(void **state)
{
    bench_wait_open(*state, 0);
    bench_free(*state);
    return 0;
}

/* The node stands in for the server at @port. */
static struct view_node *serve(struct bench *b, uint16_t port, const char *more)
{
    char text[512];
    snprintf(text, sizeof(text),
             "{\"privateKey\":\"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc\",\"server_name\":\"a."
             "test\","
             "\"dest\":\"127.0.0.1:%u\"%s}",
             port, more);
    struct view_node *n = bench_put_below(b, "reality", text, &no_context);
    n->timeouts.idle = 3600 * 1000;
    return n;
}

static void stranger(struct bench *b, int *fd, int *target)
{
    *fd = bench_dial(b);
    *target = accept(b->target_fd, NULL, NULL);
    assert_true(*fd >= 0 && *target >= 0);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Half a hello, and no more: the deadline of our handshake is nothing that the target has. */
static void half_a_hello_is_left_to_the_patience_of_the_target(void **state)
{
    struct bench *b = *state;
    static const uint8_t half[] = {22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3};
    char got[sizeof(half)];
    int fd, target;
    serve(b, b->target_port, "")->timeouts.handshake = 30;
    bench_open(b);
    stranger(b, &fd, &target);
    bench_send(fd, half, sizeof(half));
    assert_true(bench_read(target, got, sizeof(half)));
    while (bench_stats(b).handshaking > 0) /* the deadline has passed: adopted */
        ;
    bench_send(fd, "xyz", 3);
    assert_true(bench_read(target, got, 3));
    assert_memory_equal(got, "xyz", 3);
    bench_send(target, "later", 5);
    assert_true(bench_read(fd, got, 5));
    assert_memory_equal(got, "later", 5);
    close(target);
    assert_true(bench_at_end(fd));
    close(fd);
}

/* More of a hello than is kept for a target that is not connected yet: it gets the rest as well, as
 * soon as it is. (Its queue is full: the first SYN is lost, the next comes a second later.) */
static void a_long_hello_reaches_a_target_that_comes_late(void **state)
{
    enum { LEN = 1540 * 13 };
    struct bench *b = *state;
    static uint8_t hello[LEN], got[LEN];
    uint16_t port;
    int busy = bench_listen(&port, 0), first = bench_dial_port(port);
    for (size_t at = 0; at < LEN; at += 13) /* of 16,000 bytes, 8 in a record */
        memcpy(hello + at, "\x16\x03\x01\x00\x08\x01\x00\x3e\x80\x03\x03", 11);
    serve(b, port, "")->timeouts.handshake = 3600 * 1000;
    bench_open(b);
    int fd = bench_dial(b);
    bench_send(fd, hello, LEN);
    bench_settle(b);
    close(accept(busy, NULL, NULL));
    int target = accept(busy, NULL, NULL);
    assert_true(bench_read(target, got, LEN));
    assert_memory_equal(got, hello, LEN);
    close(target);
    close(fd);
    close(first);
    close(busy);
}

/* A friend, or somebody who replays a friend's hello, gets our flight and does not answer: the
 * target would wait, so do we. */
static void our_flight_is_as_patient_as_the_target(void **state)
{
    struct bench *b = *state;
    static const struct test_target target_of = {
        0x1301, TLS_GROUP_X25519, {0, 0, 41, 900, 101, 58, 0}};
    uint8_t key[32], server_public[32], record[4200], msg[4200], buf[8192], head[80];
    struct pool *pool = pool_new(0);
    struct test_peer peer;
    struct bufq out;
    int fd, target;
    memset(key, 7, sizeof(key));
    assert_int_equal(x25519_public(key, server_public), ST_OK);
    const struct test_peer_options o = {.server_public = server_public, .sni = "a.test"};
    assert_true(test_peer_init(&peer, &o, &b->crypto, pool));
    bufq_init(&out, UINT32_MAX);
    serve(b, b->target_port, "")->timeouts.handshake = 30;
    bench_open(b);
    stranger(b, &fd, &target);
    size_t n = test_peer_hello(&peer, record);
    bench_send(fd, record, n);
    assert_true(bench_read(target, msg, n));
    n = test_target_answer(&target_of, msg + RECORD_HEADER, n - RECORD_HEADER, buf, sizeof(buf));
    bench_send(target, buf, n);
    assert_true(bench_read(fd, buf, n)); /* the same lengths */
    test_peer_hear(&peer, buf, n, &out);
    assert_true(peer.ready);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 300), 0);
    n = bench_header(b, 0, 1, b->origin_port, head);
    head[n++] = WISH_ECHO;
    memcpy(head + n, "hello", 5);
    test_peer_say(&peer, head, n + 5, &out);
    n = bufq_peek(&out, buf, sizeof(buf));
    bench_send(fd, buf, n);
    bufq_clear(&out, pool);
    while (peer.data.bytes < 7) {
        ssize_t got = recv(fd, buf, sizeof(buf), 0);
        assert_true(got > 0);
        test_peer_hear(&peer, buf, (size_t)got, &out);
    }
    assert_int_equal(bufq_peek(&peer.data, head, sizeof(head)), 7);
    assert_memory_equal(head, "\0\0hello", 7);
    close(fd);
    close(target);
    bufq_clear(&out, pool);
    test_peer_fini(&peer);
    pool_free(pool);
}

/* Neither side says a word: the bound is the one of an idle relay. */
static void silence_is_bounded_by_the_idle_time(void **state)
{
    struct bench *b = *state;
    uint64_t bytes;
    int fd, target;
    struct view_node *n = serve(b, b->target_port, "");
    n->timeouts.handshake = 20;
    n->timeouts.idle = 40;
    bench_open(b);
    stranger(b, &fd, &target);
    (void)bench_drain(fd, &bytes);
    assert_int_equal(bytes, 0);
    close(fd);
    close(target);
}

/* What passes in @bytes with the given limit, in each direction, takes at least so long. */
static void slow(struct bench *b, bool up)
{
    static uint8_t data[65536];
    const size_t after = 30000, rate = 200000, sum = 400000;
    char limit[200], hello[64];
    int fd, target;
    snprintf(limit, sizeof(limit),
             ",\"limitFallback%s\":{\"afterBytes\":%zu,\"bytesPerSec\":%zu,\"burstBytesPerSec\":1}",
             up ? "Upload" : "Download", after, rate);
    serve(b, b->target_port, limit);
    bench_open(b);
    stranger(b, &fd, &target);
    bench_send(fd, "GET / HTTP/1.1\r\n\r\n", 18);
    assert_true(bench_read(target, hello, 18));
    /* The other direction knows no limit. */
    double start = now_s();
    int from = up ? fd : target, to = up ? target : fd;
    size_t sent = 0;
    for (size_t got = 0; got < sum;) {
        size_t piece = sum - sent < sizeof(data) ? sum - sent : sizeof(data);
        for (size_t i = 0; i < piece; i++)
            data[i] = bench_pattern(sent + i);
        if (piece > 0)
            bench_send(from, data, piece);
        sent += piece;
        while (got < sent) {
            ssize_t n = recv(to, data, sizeof(data), 0);
            assert_true(n > 0);
            for (ssize_t i = 0; i < n; i++)
                if (data[i] != bench_pattern(got + (size_t)i))
                    fail_msg("byte %zu is wrong", got + (size_t)i);
            got += (size_t)n;
        }
    }
    /* Free are the first bytes with the read that crosses them and a full bucket of a second. */
    assert_true(now_s() - start > (double)(sum - after - 65536 - rate) / (double)rate * 0.9);
    start = now_s();
    for (int i = 0; i < 16; i++) {
        bench_send(to, data, sizeof(data));
        for (size_t got = 0; got < sizeof(data);) {
            ssize_t n = recv(from, data, sizeof(data) - got, 0);
            assert_true(n > 0);
            got += (size_t)n;
        }
    }
    close(target);
    assert_true(bench_at_end(fd));
    close(fd);
}

static void uploads_are_slowed_down(void **state)
{
    slow(*state, true);
}

static void downloads_are_slowed_down(void **state)
{
    slow(*state, false);
}

/* The end of a direction that is slowed down comes behind its last byte. */
static void the_end_comes_through_a_brake(void **state)
{
    struct bench *b = *state;
    static uint8_t data[40000];
    char got[18];
    uint64_t bytes = 0;
    int fd, target;
    serve(b, b->target_port,
          ",\"limitFallbackDownload\":{\"bytesPerSec\":20000},"
          "\"limitFallbackUpload\":{\"bytesPerSec\":20000}");
    bench_open(b);
    stranger(b, &fd, &target);
    bench_send(fd, "GET / HTTP/1.1\r\n\r\n", 18);
    assert_true(bench_read(target, got, 18));
    bench_send(target, data, sizeof(data));
    close(target);
    assert_true(bench_drain(fd, &bytes));
    assert_int_equal(bytes, sizeof(data));
    close(fd);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(half_a_hello_is_left_to_the_patience_of_the_target),
        CASE(a_long_hello_reaches_a_target_that_comes_late),
        CASE(our_flight_is_as_patient_as_the_target),
        CASE(silence_is_bounded_by_the_idle_time),
        CASE(uploads_are_slowed_down),
        CASE(downloads_are_slowed_down),
        CASE(the_end_comes_through_a_brake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
