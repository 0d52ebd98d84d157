/* The data plane in its everyday: streams, datagrams, users and ports that come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "policy/fallback.h"
#include "proto/vless/vless.h"
#include "session/test_plane.h"

#define BULK BENCH_BULK

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

static void read_exactly(int fd, void *dst, size_t n)
{
    assert_true(bench_read(fd, dst, n));
}

static void expect_response_header(int fd)
{
    assert_true(bench_answered(fd));
}

/* ---- cases ---- */

static void an_echo_comes_back_and_is_counted(void **state)
{
    struct bench *b = *state;
    int fd = bench_stream(b, 0, WISH_ECHO);
    char got[6] = "";
    bench_send(fd, "hello", 5);
    expect_response_header(fd);
    read_exactly(fd, got, 5);
    assert_string_equal(got, "hello");
    shutdown(fd, SHUT_WR);
    assert_int_equal(recv(fd, got, 1, 0), 0); /* the end comes through */
    close(fd);
    assert_int_equal(bench_counted(b, 0, true), 6);
    assert_int_equal(bench_counted(b, 0, false), 5);
}

static void a_large_download_arrives_whole(void **state)
{
    struct bench *b = *state;
    int fd = bench_stream(b, 1, WISH_SOURCE);
    uint8_t *got = malloc(BULK);
    assert_non_null(got);
    expect_response_header(fd);
    read_exactly(fd, got, BULK);
    for (size_t i = 0; i < BULK; i++)
        if (got[i] != bench_pattern(i))
            fail_msg("byte %zu is wrong", i);
    assert_int_equal(recv(fd, got, 1, 0), 0);
    close(fd);
    free(got);
    assert_int_equal(bench_counted(b, 1, false), BULK);
}

static void a_large_upload_arrives_whole_and_the_answer_follows_the_half_close(void **state)
{
    struct bench *b = *state;
    int fd = bench_stream(b, 0, WISH_COUNT);
    uint8_t *data = calloc(1, BULK);
    assert_non_null(data);
    bench_send(fd, data, BULK);
    shutdown(fd, SHUT_WR);
    uint64_t sum = 0;
    expect_response_header(fd);
    read_exactly(fd, &sum, sizeof(sum));
    assert_int_equal(sum, BULK);
    close(fd);
    free(data);
    assert_int_equal(bench_counted(b, 0, true), BULK + 1);
}

static void a_stranger_is_closed_and_learns_nothing(void **state)
{
    struct bench *b = *state;
    uint8_t head[64];
    char got;
    size_t n = bench_header(b, 0, 1, b->origin_port, head);
    head[5] ^= 0xff;
    int fd = bench_dial(b);
    bench_send(fd, head, n);
    ssize_t rc = recv(fd, &got, 1, 0);
    assert_true(rc == 0 || (rc < 0 && errno == ECONNRESET));
    close(fd);
}

static void datagrams_go_and_come(void **state)
{
    struct bench *b = *state;
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(udp, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(getsockname(udp, (struct sockaddr *)&sa, &len), 0);
    uint8_t head[128], got[64];
    size_t n = bench_header(b, 0, 2, ntohs(sa.sin_port), head);
    memcpy(head + n, "\0\3one\0\5three", 12);
    int fd = bench_dial(b);
    bench_send(fd, head, n + 12);
    struct sockaddr_in from;
    len = sizeof(from);
    assert_int_equal(recvfrom(udp, got, sizeof(got), 0, (struct sockaddr *)&from, &len), 3);
    assert_memory_equal(got, "one", 3);
    assert_int_equal(recv(udp, got, sizeof(got), 0), 5);
    assert_memory_equal(got, "three", 5);
    assert_int_equal(sendto(udp, "pong", 4, 0, (struct sockaddr *)&from, len), 4);
    expect_response_header(fd);
    read_exactly(fd, got, 6);
    assert_memory_equal(got, "\0\4pong", 6);
    close(fd);
    close(udp);
    assert_int_equal(bench_counted(b, 0, true), 8);
    assert_int_equal(bench_counted(b, 0, false), 4);
}

static void a_removed_user_is_cut_and_others_are_not(void **state)
{
    struct bench *b = *state;
    char got;
    int gone = bench_stream(b, 1, WISH_HOLD), stays = bench_stream(b, 0, WISH_ECHO);
    expect_response_header(gone);
    read_exactly(gone, &got, 1);
    bench_send(stays, "x", 1);
    expect_response_header(stays);
    read_exactly(stays, &got, 1);
    struct user_rt *removed[] = {&b->users[1]};
    bench_publish(b, 1, removed, 1);
    assert_int_equal(recv(gone, &got, 1, 0), 0);
    close(gone);
    while (b->released == 0)
        loop_once(b->loop, 1000);
    assert_int_equal(b->released, 1);
    bench_send(stays, "y", 1);
    read_exactly(stays, &got, 1);
    assert_int_equal(got, 'y');
    close(stays);
    int again = bench_stream(b, 1, WISH_ECHO);
    ssize_t rc = recv(again, &got, 1, 0);
    assert_true(rc <= 0);
    close(again);
}

static void a_busy_port_is_told_and_taken_when_it_is_free(void **state)
{
    struct bench *b = *state;
    uint16_t taken;
    int other = bench_listen(&taken, 1);
    bench_change(b)->listen[0].port = taken;
    b->listening = false;
    bench_publish(b, 2, NULL, 0);
    bench_pump_until(b, &b->busy);
    assert_false(b->listening);
    close(other);
    bench_pump_until(b, &b->listening);
    b->port = taken;
    int fd = bench_stream(b, 0, WISH_ECHO);
    close(fd);
}

static void sources_with_traffic_are_told_once(void **state)
{
    struct bench *b = *state;
    char got;
    int fd = bench_stream(b, 0, WISH_HOLD);
    expect_response_header(fd);
    read_exactly(fd, &got, 1);
    b->plane.collect_alive(b->plane.self, 0);
    bench_pump_until(b, &b->alive_told);
    assert_int_equal(b->alive_n, 1);
    assert_int_equal(b->alive[0].uid, 11);
    assert_int_equal(b->alive[0].bytes, 2);
    assert_int_equal(b->alive[0].ip.ip[0], 127);
    assert_int_equal(b->alive[0].ip.port, 0);
    b->alive_told = false;
    b->plane.collect_alive(b->plane.self, 0);
    bench_pump_until(b, &b->alive_told);
    assert_int_equal(b->alive_n, 1); /* it still holds a session */
    assert_int_equal(b->alive[0].bytes, 0);
    close(fd);
}

static void a_node_goes_when_its_sessions_have_gone(void **state)
{
    struct bench *b = *state;
    char got;
    int fd = bench_stream(b, 0, WISH_HOLD);
    expect_response_header(fd);
    read_exactly(fd, &got, 1);
    b->plane.remove(b->plane.self, 0, 50);
    bench_pump_until(b, &b->gone);
    assert_true(recv(fd, &got, 1, 0) <= 0);
    close(fd);
    int refused = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(b->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(refused, (struct sockaddr *)&sa, sizeof(sa)), -1);
    close(refused);
}

static void a_stranger_reaches_the_fallback_with_all_he_said(void **state)
{
    struct bench *b = *state;
    char dest[16], got[32] = "";
    snprintf(dest, sizeof(dest), "127.0.0.1:%u", b->origin_port);
    struct fallback_rule rule = {.name = "", .alpn = "", .path = "", .dest = dest};
    size_t bad = 0;
    struct view_node *n = bench_change(b);
    assert_int_equal(fallback_build(b->arena, &rule, 1, &n->fallback, &bad), ST_OK);
    static const struct vless_conf diverts = {.fallback = true};
    n->stages[0].conf = &diverts;
    bench_publish(b, 2, NULL, 0);
    bench_settle(b);
    int fd = bench_dial(b);
    bench_send(fd, "eGET / HTTP/1.1\r\nHost: x\r\n\r\n", 28);
    read_exactly(fd, got, 27);
    assert_string_equal(got, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    close(fd);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(an_echo_comes_back_and_is_counted),
        CASE(a_large_download_arrives_whole),
        CASE(a_large_upload_arrives_whole_and_the_answer_follows_the_half_close),
        CASE(a_stranger_is_closed_and_learns_nothing),
        CASE(datagrams_go_and_come),
        CASE(a_removed_user_is_cut_and_others_are_not),
        CASE(a_busy_port_is_told_and_taken_when_it_is_free),
        CASE(sources_with_traffic_are_told_once),
        CASE(a_node_goes_when_its_sessions_have_gone),
        CASE(a_stranger_reaches_the_fallback_with_all_he_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
