/* Datagrams under block rules: flows that end, destinations that get nothing, and what goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "proto/mux/frame.h"
#include "session/test_screen.h"
#include "sniff/sniff.h"
#include "sniff/test_initial.h"

static int ask_udp(struct test_screen *s)
{
    uint8_t head[64];
    int fd = bench_dial(s->b);

    bench_send(fd, head, bench_header(s->b, 0, 2, s->udp_port, head));
    return fd;
}

static void send_datagram(int fd, const void *data, size_t n)
{
    uint8_t f[2048];

    put_be16(f, (uint16_t)n);
    memcpy(f + 2, data, n);
    bench_send(fd, f, n + 2);
}

static void expect_datagram(struct test_screen *s, const void *data, size_t n)
{
    uint8_t got[2048];

    assert_int_equal(recv(s->udp, got, sizeof(got), 0), n);
    assert_memory_equal(got, data, n);
}

static void expect_no_datagram(struct test_screen *s)
{
    char got;

    assert_int_equal(recv(s->udp, &got, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

/* A datagram with bytes @at to @end of @name's hello. */
static size_t initial(struct test_screen *s, uint8_t *out, const char *name, size_t at, size_t end)
{
    uint8_t hello[256], frames[512];
    size_t n = test_initial_hello(hello, name) - 5;

    n = test_initial_crypto(frames, at, hello + 5 + at, (end < n ? end : n) - at);
    return test_initial_seal(&s->b->crypto, TEST_INITIAL_V1, (uint16_t)at, frames, n, out);
}

static void datagrams_to_a_blocked_name_are_not_sent(void **state)
{
    struct test_screen *s = *state;
    uint8_t head[128];

    int fd = bench_dial(s->b);
    size_t n = test_screen_header(s, "x.blocked.example", 2, 443, head);
    bench_send(fd, head, n);
    test_screen_blocked(s, fd, 1, "udp:x.blocked.example:443 blocked by rule 1");
}

static void datagrams_to_a_name_in_a_blocked_network_are_not_sent(void **state)
{
    struct test_screen *s = *state;
    static const char ips[2][4] = {"\x7f\0\0\1", "\x7f\x42\1\1"};
    uint8_t head[128];

    int fd = bench_dial(s->b);
    bench_send(fd, head, test_screen_header(s, "Inside.example", 2, s->udp_port, head));
    send_datagram(fd, "waits", 5);
    test_screen_answer(s, ips, 2);
    test_screen_blocked(s, fd, 1, " (127.66.1.1) blocked by rule 4: ip:127.66.0.0/16");
    expect_no_datagram(s);
}

static void quic_to_a_blocked_name_ends_its_flow(void **state)
{
    struct test_screen *s = *state;
    uint8_t p[2048];
    char c;

    int fd = ask_udp(s);
    send_datagram(fd, p, initial(s, p, "blocked.example", 0, 1000));
    test_screen_blocked(s, fd, 1, "(quic blocked.example) blocked by rule 1");
    expect_no_datagram(s);
    /* in two datagrams, the end first: that one passes, and is all that does */
    fd = ask_udp(s);
    size_t first = initial(s, p, "blocked.example", 30, 1000);
    send_datagram(fd, p, first);
    expect_datagram(s, p, first);
    send_datagram(fd, p, initial(s, p, "blocked.example", 0, 30));
    while (recv(fd, &c, 1, 0) > 0)
        continue;
    close(fd);
    bench_wait_open(s->b, 0);
    expect_no_datagram(s);
    assert_int_equal(audit_hits_sum(s->hits).hits, 2);
    assert_int_equal(bench_counted(s->b, 0, true), first);
}

/* To one address, from one socket: each connection's name counts, however late it begins. */
static void every_connection_of_quic_is_looked_at(void **state)
{
    struct test_screen *s = *state;
    uint8_t p[2048];
    char c;

    int fd = ask_udp(s);
    for (unsigned i = 0; i < 2 * SNIFF_DATAGRAMS_MAX; i++) {
        send_datagram(fd, "noise", 5);
        expect_datagram(s, "noise", 5);
    }
    size_t n = initial(s, p, "allowed.example", 0, 1000);
    send_datagram(fd, p, n);
    expect_datagram(s, p, n);
    p[n - 1] ^= 1; /* which nobody can open: nothing is made of it */
    send_datagram(fd, p, n);
    expect_datagram(s, p, n);
    size_t first = initial(s, p, "blocked.example", 30, 1000);
    send_datagram(fd, p, first);
    expect_datagram(s, p, first);
    send_datagram(fd, p, initial(s, p, "blocked.example", 0, 30));
    while (recv(fd, &c, 1, 0) > 0)
        continue;
    close(fd);
    bench_wait_open(s->b, 0);
    expect_no_datagram(s);
    assert_int_equal(audit_hits_sum(s->hits).hits, 1);
    assert_int_equal(bench_counted(s->b, 0, true), 2 * SNIFF_DATAGRAMS_MAX * 5 + 2 * n + first);
}

static void other_flows_go_on(void **state)
{
    struct test_screen *s = *state;
    uint8_t p[2048];

    int fd = ask_udp(s);
    size_t n = initial(s, p, "allowed.example", 0, 40);
    send_datagram(fd, p, n);
    expect_datagram(s, p, n);
    uint64_t sum = n;
    n = initial(s, p, "allowed.example", 40, 1000);
    send_datagram(fd, p, n);
    expect_datagram(s, p, n);
    sum += n;
    for (unsigned i = 0; i < 20; i++) {
        send_datagram(fd, "payload", 7);
        expect_datagram(s, "payload", 7);
    }
    close(fd);
    bench_wait_open(s->b, 0);
    assert_int_equal(bench_counted(s->b, 0, true), sum + 140);
    assert_int_equal(audit_hits_sum(s->hits).hits, 0);
}

static void nothing_is_looked_at_where_sniffing_is_off(void **state)
{
    struct test_screen *s = *state;
    uint8_t hello[256], head[64], p[2048];
    size_t n = test_initial_hello(hello, "blocked.example");

    test_screen_sniff_for(s, 0, 0);
    int fd = test_screen_ask(s), target = test_screen_accept(s); /* silent, and no wait */
    bench_send(fd, hello, n);
    test_screen_bytes(target, hello, n);
    close(fd);
    close(target);
    bench_wait_open(s->b, 0);
    fd = ask_udp(s);
    n = initial(s, p, "blocked.example", 0, 1000);
    send_datagram(fd, p, n);
    expect_datagram(s, p, n);
    close(fd);
    bench_wait_open(s->b, 0);
    fd = bench_dial(s->b); /* targets are judged all the same */
    bench_send(fd, head, test_screen_header(s, "blocked.example", 1, 443, head));
    assert_true(bench_answered(fd) && bench_at_end(fd));
    close(fd);
    assert_int_equal(audit_hits_sum(s->hits).hits, 1);
}

static void bittorrent_ends_its_flow(void **state)
{
    struct test_screen *s = *state;
    static const char ping[] = "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";

    int fd = ask_udp(s);
    send_datagram(fd, ping, strlen(ping));
    test_screen_blocked(s, fd, 1, "(bittorrent) blocked by rule 3");
    fd = test_screen_carrier(s);
    test_screen_new_stream(fd, 3, MUX_UDP, "\x7f\0\0\1", s->udp_port, ping, strlen(ping));
    assert_true(bench_answered(fd));
    test_screen_failed_end(fd, 3);
    close(fd);
    bench_wait_open(s->b, 0);
    expect_no_datagram(s);
}

/* A datagram of stream @id with its own destination. */
static void keep_to(int fd, uint16_t id, const char *ip, uint16_t port, const char *data)
{
    uint8_t f[64] = {0, 12, 0, 0, MUX_KEEP, MUX_OPT_DATA, MUX_UDP, 0, 0, 1};

    put_be16(f + 2, id);
    put_be16(f + 7, port);
    memcpy(f + 10, ip, 4);
    put_be16(f + 14, (uint16_t)strlen(data));
    memcpy(f + 16, data, strlen(data));
    bench_send(fd, f, 16 + strlen(data));
}

/* In one flow: a blocked destination loses its datagrams, the others nothing; more of them than are
 * remembered. */
static void every_destination_of_a_flow_is_judged(void **state)
{
    struct test_screen *s = *state;
    static const char ips[6][4] = {"\x7f\0\0\2", "\x7f\0\0\3", "\x7f\0\0\4",
                                   "\x7f\0\0\5", "\x7f\0\0\6", "\x7f\0\0\7"};

    int fd = test_screen_carrier(s);
    test_screen_new_stream(fd, 9, MUX_UDP, "\x7f\0\0\1", s->udp_port, "one", 3);
    expect_datagram(s, "one", 3);
    for (unsigned i = 0; i < 3; i++) {
        keep_to(fd, 9, "\x7f\x42\0\1", s->udp_port, "blocked");
        keep_to(fd, 9, "\x7f\0\0\1", s->udp_port, "more");
        expect_datagram(s, "more", 4);
    }
    assert_int_equal(audit_hits_sum(s->hits).hits, 1); /* told once */
    for (unsigned i = 0; i < 6; i++)
        keep_to(fd, 9, ips[i], 9, "elsewhere");
    keep_to(fd, 9, "\x7f\x42\0\1", s->udp_port, "blocked");
    keep_to(fd, 9, "\x7f\0\0\1", s->udp_port, "last");
    expect_datagram(s, "last", 4);
    assert_int_equal(audit_hits_sum(s->hits).hits, 2);
    close(fd);
    bench_wait_open(s->b, 0);
    assert_int_equal(bench_counted(s->b, 0, true), 3 + 3 * 4 + 6 * 9 + 4);
}

/* The same, to a name. */
static void keep_to_name(struct test_screen *s, int fd, uint16_t id, const char *name,
                         const char *data)
{
    uint8_t f[128] = {0, 0, 0, 0, MUX_KEEP, MUX_OPT_DATA, MUX_UDP};
    size_t len = strlen(name), at = 11 + len;

    put_be16(f + 2, id);
    put_be16(f + 7, s->udp_port);
    f[9] = 2;
    f[10] = (uint8_t)len;
    memcpy(f + 11, name, len);
    put_be16(f, (uint16_t)(at - 2));
    put_be16(f + at, (uint16_t)strlen(data));
    memcpy(f + at + 2, data, strlen(data));
    bench_send(fd, f, at + 2 + strlen(data));
}

/* In one flow, each looked up once: a name inside loses its datagrams, one outside does not.
 * What is not sent is not counted, whether it waited for its name or came later. */
static void every_name_of_a_flow_is_judged_by_its_addresses(void **state)
{
    struct test_screen *s = *state;
    static const char here[4] = "\x7f\0\0\1", inside[4] = "\x7f\x42\1\1";

    int fd = test_screen_carrier(s);
    test_screen_new_stream(fd, 9, MUX_UDP, here, s->udp_port, "one", 3);
    expect_datagram(s, "one", 3);
    keep_to_name(s, fd, 9, "outside.example", "waits");
    test_screen_answer(s, &here, 1);
    expect_datagram(s, "waits", 5);
    keep_to_name(s, fd, 9, "inside.example", "blocked");
    test_screen_answer(s, &inside, 1);
    while (audit_hits_sum(s->hits).hits == 0)
        bench_settle(s->b);
    keep_to_name(s, fd, 9, "inside.example", "blocked");
    keep_to_name(s, fd, 9, "outside.example", "more");
    expect_datagram(s, "more", 4);
    keep_to(fd, 9, here, s->udp_port, "last");
    expect_datagram(s, "last", 4);
    assert_int_equal(audit_hits_sum(s->hits).hits, 1);
    assert_non_null(strstr(s->line, " (127.66.1.1) blocked by rule 4"));
    close(fd);
    bench_wait_open(s->b, 0);
    assert_int_equal(bench_counted(s->b, 0, true), 3 + 5 + 4 + 4);
}

/* New rules are for the datagrams that come after them. */
static void rules_may_change_under_a_flow(void **state)
{
    struct test_screen *s = *state;
    char lines[1][16];
    const char *const list[] = {lines[0]};

    int fd = test_screen_carrier(s);
    test_screen_new_stream(fd, 9, MUX_UDP, "\x7f\0\0\1", s->udp_port, "one", 3);
    expect_datagram(s, "one", 3);
    snprintf(lines[0], sizeof(lines[0]), "port:%u", s->udp_port);
    const struct audit *old = s->b->current->audit;
    bench_change(s->b)->audit = test_screen_rules(s, 1, list, 1);
    bench_open(s->b);
    bench_settle(s->b);
    keep_to(fd, 9, "\x7f\0\0\1", s->udp_port, "two");
    while (audit_hits_sum(s->hits).hits == 0)
        bench_settle(s->b);
    bench_change(s->b)->audit = old;
    bench_open(s->b);
    bench_settle(s->b);
    keep_to(fd, 9, "\x7f\0\0\1", s->udp_port, "three");
    expect_datagram(s, "three", 5);
    close(fd);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, test_screen_setup, test_screen_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(datagrams_to_a_blocked_name_are_not_sent),
        CASE(datagrams_to_a_name_in_a_blocked_network_are_not_sent),
        CASE(quic_to_a_blocked_name_ends_its_flow),
        CASE(every_connection_of_quic_is_looked_at),
        CASE(other_flows_go_on),
        CASE(nothing_is_looked_at_where_sniffing_is_off),
        CASE(bittorrent_ends_its_flow),
        CASE(every_destination_of_a_flow_is_judged),
        CASE(every_name_of_a_flow_is_judged_by_its_addresses),
        CASE(rules_may_change_under_a_flow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
