/* Streams under block rules: what is blocked before it is dialled, what passes unharmed, and
 * sessions that end while they are looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "codec/ws_frame.h"
#include "proto/mux/frame.h"
#include "session/test_screen.h"
#include "sniff/test_initial.h"

/* ---- streams: the target --------------------------------------------------------------------- */

static void a_blocked_name_is_neither_looked_up_nor_dialled(void **state)
{
    struct test_screen *s = *state;
    uint8_t head[128];

    int fd = bench_dial(s->b);
    bench_send(fd, head, test_screen_header(s, "WWW.blocked.example", 1, 443, head));
    test_screen_blocked(s, fd, 1,
                        "tcp:WWW.blocked.example:443 blocked by rule 1: domain:blocked.example");
    fd = bench_dial(s->b);
    bench_send(fd, head, test_screen_header(s, "localhost", 1, s->b->target_port, head));
    test_screen_blocked(s, fd, 2, " blocked by rule 2: full:localhost");
    test_screen_no_dial(s);
    test_screen_no_lookup(s);
}

static void a_blocked_network_is_not_dialled(void **state)
{
    struct test_screen *s = *state;
    uint8_t head[64];

    int fd = bench_dial(s->b);
    size_t n = bench_header(s->b, 0, 1, s->b->target_port, head);
    memcpy(head + n - 4, "\x7f\x42\1\1", 4); /* 127.66.1.1, where the kernel would connect to */
    bench_send(fd, head, n);
    test_screen_blocked(s, fd, 1, "blocked by rule 4: ip:127.66.0.0/16");
    test_screen_no_dial(s);
}

/* ---- streams: what they say ------------------------------------------------------------------ */

static void a_blocked_name_is_found_in_a_hello(void **state)
{
    struct test_screen *s = *state;
    uint8_t hello[256];
    size_t n = test_initial_hello(hello, "a.Blocked.example");

    int fd = test_screen_ask(s);
    bench_send(fd, hello, n);
    test_screen_blocked(s, fd, 1,
                        " (tls a.blocked.example) blocked by rule 1: domain:blocked.example");
    test_screen_no_dial(s);
}

/* Byte by byte, each seen by the worker before the next is sent; and in records of three bytes. */
static void a_hello_may_come_in_crumbs(void **state)
{
    struct test_screen *s = *state;
    uint8_t hello[256], records[1024];
    size_t n = test_initial_hello(hello, "blocked.example"), len = 0;

    int fd = test_screen_ask(s);
    for (size_t i = 0; i + 1 < n; i++) {
        bench_send(fd, hello + i, 1);
        bench_settle(s->b);
    }
    assert_int_equal(audit_hits_sum(s->hits).hits, 0);
    bench_send(fd, hello + n - 1, 1);
    test_screen_blocked(s, fd, 1, "(tls blocked.example)");
    for (size_t at = 5; at < n; at += 3) {
        size_t part = n - at < 3 ? n - at : 3;
        memcpy(records + len, hello, 3);
        put_be16(records + len + 3, (uint16_t)part);
        memcpy(records + len + 5, hello + at, part);
        len += 5 + part;
    }
    fd = test_screen_ask(s);
    bench_send(fd, records, len);
    test_screen_blocked(s, fd, 2, "(tls blocked.example)");
    test_screen_no_dial(s);
}

static void http_and_bittorrent_are_found(void **state)
{
    struct test_screen *s = *state;
    static const char request[] = "GET / HTTP/1.1\r\nHost: blocked.example:8080\r\n";
    static const char peer[] = "\x13"
                               "BitTorrent protocol";

    int fd = test_screen_ask(s);
    bench_send(fd, request, strlen(request));
    test_screen_blocked(s, fd, 1, "(http1 blocked.example) blocked by rule 1");
    static const char both[] = "GET http://a.example/ HTTP/1.1\r\nHost: blocked.example\r\n";
    fd = test_screen_ask(s);
    bench_send(fd, both, strlen(both));
    test_screen_blocked(s, fd, 2, "(http1 blocked.example) blocked by rule 1");
    fd = test_screen_ask(s);
    bench_send(fd, peer, strlen(peer));
    test_screen_blocked(s, fd, 3, "(bittorrent) blocked by rule 3: protocol:bittorrent");
    test_screen_no_dial(s);
}

static void what_is_allowed_arrives_as_it_was_sent(void **state)
{
    struct test_screen *s = *state;
    static uint8_t data[200000];
    uint64_t n;
    size_t len = test_initial_hello(data, "allowed.example");

    for (size_t i = len; i < sizeof(data); i++)
        data[i] = bench_pattern(i);
    int fd = test_screen_ask(s);
    bench_send(fd, data, 100);
    bench_settle(s->b);
    bench_send(fd, data + 100, sizeof(data) - 100);
    shutdown(fd, SHUT_WR);
    int target = test_screen_accept(s);
    for (size_t at = 0; at < sizeof(data); at += 50000)
        test_screen_bytes(target, data + at, 50000);
    assert_true(bench_drain(target, &n));
    assert_int_equal(n, 0);
    bench_send(target, "answer", 6);
    close(target);
    assert_true(bench_answered(fd));
    test_screen_bytes(fd, "answer", 6);
    assert_true(bench_at_end(fd));
    close(fd);
    bench_wait_open(s->b, 0);
    assert_int_equal(bench_counted(s->b, 0, true), sizeof(data));
    assert_int_equal(bench_counted(s->b, 0, false), 6);
    assert_int_equal(audit_hits_sum(s->hits).hits, 0);
}

/* No wait where the first byte decides: it would last an hour. */
static void what_is_none_of_them_goes_on_at_once(void **state)
{
    struct test_screen *s = *state;
    static const char *const first[] = {"SSH-2.0-x\r\n", "EHLO x\r\n", "\x80\x01\x02\x03"};

    for (unsigned i = 0; i < 3; i++) {
        int fd = test_screen_ask(s);
        bench_send(fd, first[i], strlen(first[i]));
        int target = test_screen_accept(s);
        test_screen_bytes(target, first[i], strlen(first[i]));
        close(fd);
        close(target);
    }
}

/* ---- streams: what a name stands for --------------------------------------------------------- */

static const char here[4] = "\x7f\0\0\1", inside[4] = "\x7f\x42\1\1";

/* Says at once that it is none of the protocols. */
static int ask_name(struct test_screen *s, const char *name)
{
    uint8_t head[128];
    int fd = bench_dial(s->b);
    size_t n = test_screen_header(s, name, 1, s->b->target_port, head);

    memcpy(head + n, "\x80hello", 6);
    bench_send(fd, head, n + 6);
    return fd;
}

static void expect_visit(struct test_screen *s, const char *end)
{
    pthread_mutex_lock(&s->lock);
    if (strstr(s->visits, end) == NULL)
        fail_msg("not in the access log: %s, but %s", end, s->visits);
    s->visits[0] = '\0';
    pthread_mutex_unlock(&s->lock);
}

/* One address of several is enough. Once in each log. */
static void a_name_in_a_blocked_network_is_not_dialled(void **state)
{
    struct test_screen *s = *state;
    char line[128];
    char ips[2][4];

    memcpy(ips[0], here, 4);
    memcpy(ips[1], inside, 4);
    int fd = ask_name(s, "Inside.example");
    test_screen_answer(s, ips, 2);
    snprintf(line, sizeof(line), "tcp:inside.example:%u (127.66.1.1) blocked by rule 4: ip:127.66.",
             s->b->target_port);
    test_screen_blocked(s, fd, 1, line);
    snprintf(line, sizeof(line), "accepted tcp:Inside.example:%u [test -> block] user: 11\n",
             s->b->target_port);
    expect_visit(s, line);
    test_screen_no_dial(s);
}

/* Without a question to anybody: localhost is ::1 and 127.0.0.1. */
static void a_name_whose_addresses_are_known_is_not_dialled(void **state)
{
    struct test_screen *s = *state;
    static const char *const lines[] = {"10.0.0.0/8", "ip:::1"};

    bench_change(s->b)->audit = test_screen_rules(s, 1, lines, 2);
    bench_open(s->b);
    bench_settle(s->b);
    int fd = ask_name(s, "x.LocalHost");
    test_screen_blocked(s, fd, 1, " (::1) blocked by rule 2: ip:::1");
    expect_visit(s, "[test -> block]");
    fd = test_screen_ask(s);
    int target = test_screen_accept(s);
    close(fd);
    close(target);
    test_screen_no_lookup(s);
}

static void a_name_outside_is_dialled(void **state)
{
    struct test_screen *s = *state;

    int fd = ask_name(s, "outside.example");
    test_screen_answer(s, &here, 1);
    int target = test_screen_accept(s);
    test_screen_bytes(target, "\x80hello", 6);
    expect_visit(s, "[test -> direct] user: 11\n");
    close(fd);
    close(target);
    bench_wait_open(s->b, 0);
    fd = ask_name(s, "nowhere.example");
    test_screen_answer(s, NULL, 0);
    assert_true(bench_answered(fd) && bench_at_end(fd));
    close(fd);
    bench_wait_open(s->b, 0);
    expect_visit(s, "[test -> direct] user: 11\n");
    assert_int_equal(audit_hits_sum(s->hits).hits, 0);
    assert_int_equal(s->failures, 1);
}

/* A question waits for its answer. */
static void await_lookup(struct test_screen *s)
{
    char c;

    assert_int_equal(recv(s->dns, &c, 1, MSG_PEEK), 1);
}

static void rules_that_come_before_the_answer_hold(void **state)
{
    struct test_screen *s = *state;
    static const char *const lines[] = {"ip:127.0.0.0/24"};

    int fd = ask_name(s, "outside.example");
    await_lookup(s);
    bench_change(s->b)->audit = test_screen_rules(s, 1, lines, 1);
    bench_open(s->b);
    bench_settle(s->b);
    test_screen_answer(s, &here, 1);
    test_screen_blocked(s, fd, 1, " (127.0.0.1) blocked by rule 1: ip:127.0.0.0/24");
    test_screen_no_dial(s);
}

static void a_session_may_end_while_its_name_is_looked_up(void **state)
{
    struct test_screen *s = *state;

    int fd = ask_name(s, "inside.example");
    await_lookup(s);
    struct user_rt *removed[] = {&s->b->users[0]};
    bench_publish(s->b, 0, removed, 1);
    bench_wait_open(s->b, 0);
    expect_visit(s, "[test -> direct] user: 11\n");
    test_screen_answer(s, &inside, 1);
    bench_settle(s->b);
    assert_int_equal(audit_hits_sum(s->hits).hits, 0);
    close(fd);
}

/* What is found in first bytes serves the rules; nobody looks it up. */
static void a_name_that_was_sniffed_is_not_looked_up(void **state)
{
    struct test_screen *s = *state;
    static const char request[] = "GET / HTTP/1.1\r\nHost: inside.example\r\n\r\n";
    uint8_t hello[256];

    uint8_t head[512];
    size_t n = test_screen_header(s, "outside.example", 1, s->b->target_port, head);
    size_t len = test_initial_hello(hello, "blocked.example");
    memcpy(head + n, hello, len);
    int fd = bench_dial(s->b);
    bench_send(fd, head, n + len);
    test_screen_blocked(s, fd, 1, "(tls blocked.example) blocked by rule 1");
    fd = test_screen_ask(s);
    bench_send(fd, request, strlen(request));
    int target = test_screen_accept(s);
    test_screen_bytes(target, request, strlen(request));
    close(fd);
    close(target);
    test_screen_no_lookup(s);
}

/* ---- streams: silence and ends --------------------------------------------------------------- */

static void a_silent_client_gets_its_target_after_the_wait(void **state)
{
    struct test_screen *s = *state;
    test_screen_sniff_for(s, 1, 1);
    int fd = test_screen_ask(s), target = test_screen_accept(s);
    bench_send(target, "220 hello", 9);
    assert_true(bench_answered(fd));
    test_screen_bytes(fd, "220 hello", 9);
    bench_send(fd, "\x16\x03\x01", 3); /* said after the wait */
    test_screen_bytes(target, "\x16\x03\x01", 3);
    close(fd);
    close(target);
}

/* Silent for longer than the wait: dialled, and looked at when it speaks. */
static void a_client_that_speaks_late_is_heard_all_the_same(void **state)
{
    struct test_screen *s = *state;
    uint8_t hello[256];
    uint64_t got;
    size_t n = test_initial_hello(hello, "blocked.example");

    test_screen_sniff_for(s, 1, TEST_SCREEN_HOUR);
    int fd = test_screen_ask(s), target = test_screen_accept(s);
    bench_send(target, "220 hello", 9);
    assert_true(bench_answered(fd));
    test_screen_bytes(fd, "220 hello", 9);
    bench_send(fd, hello, n / 2);
    bench_settle(s->b);
    bench_send(fd, hello + n / 2, n - n / 2);
    (void)bench_drain(target, &got);
    assert_int_equal(got, 0);
    assert_true(bench_at_end(fd));
    close(fd);
    close(target);
    bench_wait_open(s->b, 0);
    assert_int_equal(audit_hits_sum(s->hits).hits, 1);
    assert_int_equal(bench_counted(s->b, 0, true), 0);
    assert_int_equal(bench_counted(s->b, 0, false), 9);
    fd = test_screen_ask(s);
    target = test_screen_accept(s);
    n = test_initial_hello(hello, "allowed.example");
    bench_send(fd, hello, 7);
    bench_settle(s->b);
    bench_send(fd, hello + 7, n - 7);
    test_screen_bytes(target, hello, n);
    bench_send(target, "late", 4);
    assert_true(bench_answered(fd));
    test_screen_bytes(fd, "late", 4);
    bench_send(fd, hello, n); /* looked at no more */
    test_screen_bytes(target, hello, n);
    close(fd);
    close(target);
}

/* A client's frame; its mask changes nothing. */
static size_t put_frame(uint8_t *dst, uint8_t opcode, const void *data, size_t n)
{
    size_t head = ws_frame_build(dst, opcode, n, (const uint8_t[4]){0});

    memcpy(dst + head, data, n);
    return head + n;
}

/* What says nothing fills the first read: the rest of what is there is not the relay's. */
static void a_late_word_behind_much_else_is_heard(void **state)
{
    struct test_screen *s = *state;
    static const struct conf_context none;
    static const char request[] = "GET /w HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    static uint8_t wire[64 * 1024];
    uint8_t text[256] = {0};
    uint64_t got;

    bench_put_below(s->b, "ws", "{\"path\": \"/w\"}", &none)->sniff =
        (struct view_sniff){.first_ms = 1, .whole_ms = TEST_SCREEN_HOUR};
    bench_open(s->b);
    bench_settle(s->b);
    int fd = bench_dial(s->b);
    bench_send(fd, request, strlen(request));
    size_t n = bench_header(s->b, 0, 1, s->b->target_port, text);
    bench_send(fd, wire, put_frame(wire, WS_BINARY, text, n));
    int target = test_screen_accept(s);
    bench_settle(s->b);
    n = 0;
    while (n < 2 * BLK_READ)
        n += put_frame(wire + n, WS_PONG, text, WS_FRAME_CONTROL_MAX);
    size_t len = test_initial_hello(text, "blocked.example");
    bench_send(fd, wire, n + put_frame(wire + n, WS_BINARY, text, len));
    (void)bench_drain(target, &got);
    assert_int_equal(got, 0);
    close(fd);
    close(target);
    bench_wait_open(s->b, 0);
    assert_int_equal(audit_hits_sum(s->hits).hits, 1);
}

/* It is waited for the rest of what it says, but not for ever; and the end of it is an end. */
static void half_a_hello_that_comes_late_goes_on(void **state)
{
    struct test_screen *s = *state;
    uint8_t hello[256];
    uint64_t rest;
    size_t n = test_initial_hello(hello, "blocked.example");

    test_screen_sniff_for(s, 1, 1);
    int fd = test_screen_ask(s), target = test_screen_accept(s);
    bench_send(fd, hello, 9);
    test_screen_bytes(target, hello, 9);
    bench_send(fd, hello + 9, n - 9);
    test_screen_bytes(target, hello + 9, n - 9);
    close(fd);
    close(target);
    test_screen_sniff_for(s, 1, TEST_SCREEN_HOUR);
    fd = test_screen_ask(s);
    target = test_screen_accept(s);
    bench_send(fd, hello, 9);
    shutdown(fd, SHUT_WR);
    test_screen_bytes(target, hello, 9);
    assert_true(bench_drain(target, &rest));
    close(target);
    close(fd);
    fd = test_screen_ask(s); /* nothing is said at all */
    target = test_screen_accept(s);
    shutdown(fd, SHUT_WR);
    assert_true(bench_drain(target, &rest));
    bench_send(target, "late", 4);
    close(target);
    assert_true(bench_answered(fd));
    test_screen_bytes(fd, "late", 4);
    assert_true(bench_at_end(fd));
    close(fd);
    bench_wait_open(s->b, 0);
    assert_int_equal(audit_hits_sum(s->hits).hits, 0);
}

/* The rest of a hello is waited for longer, but not for ever; what it is then, counts. */
static void half_a_hello_is_judged_as_what_it_is(void **state)
{
    struct test_screen *s = *state;
    static const char *const lines[] = {"protocol:tls"};
    uint8_t hello[256];
    size_t n = test_initial_hello(hello, "blocked.example");

    test_screen_sniff_for(s, 1, 2);
    int fd = test_screen_ask(s);
    bench_send(fd, hello, n / 2);
    int target = test_screen_accept(s);
    test_screen_bytes(target, hello, n / 2);
    close(fd);
    close(target);
    bench_wait_open(s->b, 0);
    uint64_t before = bench_counted(s->b, 0, true);
    assert_int_equal(before, n / 2);
    bench_change(s->b)->audit = test_screen_rules(s, 1, lines, 1);
    bench_open(s->b);
    bench_settle(s->b);
    fd = test_screen_ask(s);
    bench_send(fd, hello, n / 2);
    assert_true(bench_answered(fd) && bench_at_end(fd));
    close(fd);
    bench_wait_open(s->b, 0);
    assert_int_equal(audit_hits_sum(s->hits).hits, 1);
    assert_int_equal(bench_counted(s->b, 0, true), before);
    test_screen_no_dial(s);
}

/* What has begun to speak gets the longer time. */
static void the_rest_of_a_hello_is_waited_for_longer(void **state)
{
    struct test_screen *s = *state;
    uint8_t hello[256], head[512];
    size_t n = test_initial_hello(hello, "blocked.example");

    test_screen_sniff_for(s, 1, TEST_SCREEN_HOUR);
    int fd = bench_dial(s->b);
    size_t len = bench_header(s->b, 0, 1, s->b->target_port, head);
    memcpy(head + len, hello, n / 2);
    bench_send(fd, head, len + n / 2);
    for (unsigned i = 0; i < 2000; i++)
        bench_settle(s->b);
    bench_send(fd, hello + n / 2, n - n / 2);
    test_screen_blocked(s, fd, 1, "(tls blocked.example)");
    test_screen_no_dial(s);
}

/* 5900 is a port where the server speaks first; nobody listens there. */
static void ports_of_servers_that_speak_first_are_dialled_at_once(void **state)
{
    struct test_screen *s = *state;
    uint8_t head[64];
    uint64_t n;

    int fd = bench_dial(s->b);
    size_t len = bench_header(s->b, 0, 1, 5900, head);
    memcpy(head + len - 4, "\x7f\x53\x54\x55", 4);
    bench_send(fd, head, len);
    (void)bench_drain(fd, &n); /* refused */
    assert_int_equal(n, 2);
    close(fd);
    bench_wait_open(s->b, 0);
}

static void the_end_of_a_client_ends_the_wait(void **state)
{
    struct test_screen *s = *state;
    uint8_t hello[256];
    uint64_t n;
    size_t len = test_initial_hello(hello, "allowed.example") / 2;

    int fd = test_screen_ask(s);
    bench_send(fd, hello, len);
    bench_settle(s->b);
    shutdown(fd, SHUT_WR);
    int target = test_screen_accept(s);
    test_screen_bytes(target, hello, len);
    assert_true(bench_drain(target, &n));
    bench_send(target, "late", 4); /* the other direction goes on */
    assert_true(bench_answered(fd));
    test_screen_bytes(fd, "late", 4);
    close(target);
    close(fd);
}

static void a_session_may_end_while_it_is_looked_at(void **state)
{
    struct test_screen *s = *state;
    struct user_rt *gone[] = {&s->b->users[0]};

    int fd = test_screen_ask(s);
    bench_wait_open(s->b, 1);
    bench_reset(fd);
    bench_wait_open(s->b, 0);
    fd = test_screen_ask(s);
    while (atomic_load(&s->b->users[0].sessions) == 0)
        bench_settle(s->b);
    bench_publish(s->b, 0, gone, 1);
    assert_true(bench_answered(fd) && bench_at_end(fd));
    close(fd);
    bench_wait_open(s->b, 0);
    test_screen_no_dial(s);
}

/* ---- streams in carriers --------------------------------------------------------------------- */

static void streams_of_a_carrier_are_screened_each(void **state)
{
    struct test_screen *s = *state;
    uint8_t hello[256], got[64];
    uint64_t rest;
    size_t n = test_initial_hello(hello, "blocked.example");

    int fd = test_screen_carrier(s);
    test_screen_new_stream(fd, 1, MUX_TCP, "\x7f\0\0\1", s->b->target_port, NULL, 0); /* silent */
    test_screen_new_stream(fd, 2, MUX_TCP, "\x7f\0\0\1", s->b->target_port, hello, n / 2);
    bench_send(fd, got, mux_frame_keep(got, 2, (uint16_t)(n - n / 2)));
    bench_send(fd, hello + n / 2, n - n / 2);
    assert_true(bench_answered(fd));
    test_screen_failed_end(fd, 2);
    test_screen_new_stream(fd, 3, MUX_TCP, "\x7f\x42\1\1", s->b->target_port, NULL, 0);
    test_screen_failed_end(fd, 3);
    bench_send(fd, got, mux_frame_keep(got, 1, 5)); /* the first goes on */
    bench_send(fd, "hello", 5);
    int target = test_screen_accept(s);
    test_screen_bytes(target, "hello", 5);
    assert_int_equal(audit_hits_sum(s->hits).hits, 2);
    test_screen_new_stream(fd, 4, MUX_TCP, "\x7f\0\0\1", s->b->target_port, "GE", 2);
    bench_settle(s->b);
    bench_send(fd, got, mux_frame_end(got, 4, false)); /* what it sent still arrives */
    int second = test_screen_accept(s);
    test_screen_bytes(second, "GE", 2);
    assert_true(bench_at_end(second));
    test_screen_new_stream(fd, 5, MUX_TCP, "\x7f\0\0\1", s->b->target_port, NULL, 0);
    bench_settle(s->b);
    bench_send(fd, got, mux_frame_end(got, 5, false)); /* and what said nothing is not dialled */
    assert_true(bench_read(fd, got, 2 * MUX_END_LEN)); /* the answers to both */
    close(fd);
    (void)bench_drain(target, &rest);
    close(target);
    close(second);
    bench_wait_open(s->b, 0);
    test_screen_no_dial(s);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, test_screen_setup, test_screen_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_blocked_name_is_neither_looked_up_nor_dialled),
        CASE(a_blocked_network_is_not_dialled),
        CASE(a_blocked_name_is_found_in_a_hello),
        CASE(a_hello_may_come_in_crumbs),
        CASE(http_and_bittorrent_are_found),
        CASE(what_is_allowed_arrives_as_it_was_sent),
        CASE(what_is_none_of_them_goes_on_at_once),
        CASE(a_name_in_a_blocked_network_is_not_dialled),
        CASE(a_name_whose_addresses_are_known_is_not_dialled),
        CASE(a_name_outside_is_dialled),
        CASE(rules_that_come_before_the_answer_hold),
        CASE(a_session_may_end_while_its_name_is_looked_up),
        CASE(a_name_that_was_sniffed_is_not_looked_up),
        CASE(a_silent_client_gets_its_target_after_the_wait),
        CASE(a_client_that_speaks_late_is_heard_all_the_same),
        CASE(a_late_word_behind_much_else_is_heard),
        CASE(half_a_hello_that_comes_late_goes_on),
        CASE(half_a_hello_is_judged_as_what_it_is),
        CASE(the_rest_of_a_hello_is_waited_for_longer),
        CASE(ports_of_servers_that_speak_first_are_dialled_at_once),
        CASE(the_end_of_a_client_ends_the_wait),
        CASE(a_session_may_end_while_it_is_looked_at),
        CASE(streams_of_a_carrier_are_screened_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
