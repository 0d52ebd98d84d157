/* The data plane under block rules: what is blocked before it is dialled, what passes unharmed, and
 * sessions that end while they are looked at. Nothing here depends on time: where a wait must not
 * end it is an hour. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "policy/audit_hits.h"
#include "policy/audit_list.h"
#include "proto/mux/frame.h"
#include "session/plane_bench.h"
#include "sniff/test_initial.h"

#define HOUR_MS (3600u * 1000)

static struct crypto_ctx cryptos[BENCH_WORKERS_MAX + 1];

static struct setup {
    struct bench *b;
    struct arena *arena;
    struct audit_list *list[2];
    struct audit audit[2];
    struct audit_hits *hits;
    int udp; /* a target */
    uint16_t udp_port;
    pthread_mutex_t lock;
    char line[512]; /* the last one about a block */
    unsigned failures;
} s;

static void keep_line(struct log_sink *sink, const char *line, size_t len)
{
    (void)sink;
    pthread_mutex_lock(&s.lock);
    if (memmem(line, len, " blocked by rule ", 17) != NULL)
        snprintf(s.line, sizeof(s.line), "%.*s", (int)len, line);
    s.failures += memmem(line, len, " failed: ", 9) != NULL;
    pthread_mutex_unlock(&s.lock);
}

static void bad_rule(void *arg, const struct audit_item *item, bool used, const char *problem)
{
    (void)arg;
    (void)used;
    fail_msg("%s: %s", item->text, problem);
}

/* The rules of @no, as separate lines. */
static const struct audit *rules(unsigned no, const char *const *lines, size_t n)
{
    struct audit_item items[8];

    for (size_t i = 0; i < n; i++)
        items[i] = (struct audit_item){
            .text = lines[i], .len = strlen(lines[i]), .id = (uint32_t)i + 1, .as = AUDIT_AS_ANY};
    assert_int_equal(audit_list_build(s.arena, items, n, bad_rule, NULL, &s.list[no]), ST_OK);
    s.audit[no] = (struct audit){.lists = {s.list[no]}, .count = 1};
    return &s.audit[no];
}

static int udp_socket(uint16_t *port)
{
    const struct timeval patience = {.tv_sec = 20};
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    *port = ntohs(sa.sin_port);
    return fd;
}

static int setup(void **state)
{
    static const char *const lines[] = {"domain:blocked.example", "full:localhost",
                                        "protocol:bittorrent", "ip:127.66.0.0/16"};
    static struct crypto_ctx *lent[BENCH_WORKERS_MAX];
    const struct bench_conf conf = {.cryptos = lent};

    (void)state;
    memset(&s, 0, sizeof(s));
    pthread_mutex_init(&s.lock, NULL);
    for (unsigned i = 0; i <= BENCH_WORKERS_MAX; i++)
        assert_int_equal(crypto_ctx_init(&cryptos[i]), ST_OK);
    for (unsigned i = 0; i < BENCH_WORKERS_MAX; i++)
        lent[i] = &cryptos[i];
    s.arena = arena_new();
    s.hits = audit_hits_new();
    s.b = bench_new(&conf);
    s.b->log_sink.write = keep_line;
    s.b->node.audit = rules(0, lines, 4);
    s.b->node.audit_hits = s.hits;
    s.b->node.sniff = (struct view_sniff){.first_ms = HOUR_MS, .whole_ms = HOUR_MS};
    s.udp = udp_socket(&s.udp_port);
    bench_open(s.b);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bench_free(s.b);
    for (unsigned i = 0; i < 2; i++)
        audit_list_fini(s.list[i]);
    arena_free(s.arena);
    audit_hits_free(s.hits);
    close(s.udp);
    for (unsigned i = 0; i <= BENCH_WORKERS_MAX; i++)
        crypto_ctx_fini(&cryptos[i]);
    return 0;
}

/* ---- what is seen ---------------------------------------------------------------------------- */

/* Nobody has connected to the test's target. All sessions have ended before. */
static void expect_no_dial(void)
{
    int flags = fcntl(s.b->target_fd, F_GETFL);

    assert_int_equal(fcntl(s.b->target_fd, F_SETFL, flags | O_NONBLOCK), 0);
    assert_int_equal(accept(s.b->target_fd, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(fcntl(s.b->target_fd, F_SETFL, flags), 0);
}

/* @fd is ended as if its target could not be reached: nothing comes but the two bytes that VLESS
 * answers with; so often has a rule been hit, and this was said last. */
static void expect_blocked(int fd, unsigned hits, const char *line)
{
    uint64_t n;

    (void)bench_drain(fd, &n);
    assert_int_equal(n, 2);
    close(fd);
    bench_wait_open(s.b, 0);
    assert_int_equal(audit_hits_sum(s.hits).hits, hits);
    pthread_mutex_lock(&s.lock);
    if (strstr(s.line, line) == NULL)
        fail_msg("not in the log: %s, but %s", line, s.line);
    assert_non_null(strstr(s.line, "[test] user=11 "));
    assert_int_equal(s.failures, 0);
    pthread_mutex_unlock(&s.lock);
    assert_int_equal(bench_counted(s.b, 0, true) + bench_counted(s.b, 0, false), 0);
}

static void expect_bytes(int fd, const void *data, size_t n)
{
    static uint8_t got[65536];

    assert_true(n <= sizeof(got));
    assert_true(bench_read(fd, got, n));
    assert_memory_equal(got, data, n);
}

/* ---- what is said ---------------------------------------------------------------------------- */

/* A ClientHello for @name in one record; bytes from 5 on are the message. */
static size_t hello_for(uint8_t *out, const char *name)
{
    static const uint8_t fixed[] = {0, 0, 2, 0x13, 1, 1, 0};
    size_t n = strlen(name), at = 9;

    memset(out, 0, 64);
    put_be16(out + at, 0x0303);
    at += 2 + 32;
    memcpy(out + at, fixed, sizeof(fixed));
    at += sizeof(fixed);
    put_be16(out + at, (uint16_t)(n + 9));
    put_be16(out + at + 4, (uint16_t)(n + 5));
    put_be16(out + at + 6, (uint16_t)(n + 3));
    put_be16(out + at + 9, (uint16_t)n);
    memcpy(out + at + 11, name, n);
    at += 11 + n;
    out[0] = 0x16;
    out[1] = 3;
    out[2] = 1;
    put_be16(out + 3, (uint16_t)(at - 5));
    out[5] = 1;
    put_be24(out + 6, (uint32_t)(at - 9));
    return at;
}

/* A request for a name; command 1 TCP, 2 UDP. */
static size_t header_for(const char *name, uint8_t cmd, uint16_t port, uint8_t *out)
{
    size_t n = bench_header(s.b, 0, cmd, port, out) - 5, len = strlen(name);

    out[n++] = 2;
    out[n++] = (uint8_t)len;
    memcpy(out + n, name, len);
    return n + len;
}

/* Asks for the test's target by its address. */
static int ask_target(void)
{
    uint8_t head[64];
    const int on = 1;
    int fd = bench_dial(s.b);

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    bench_send(fd, head, bench_header(s.b, 0, 1, s.b->target_port, head));
    return fd;
}

static int accept_target(void)
{
    int fd = accept(s.b->target_fd, NULL, NULL);

    assert_true(fd >= 0);
    return fd;
}

/* ---- streams: the target --------------------------------------------------------------------- */

static void a_blocked_name_is_neither_looked_up_nor_dialled(void **state)
{
    uint8_t head[128];

    (void)state;
    int fd = bench_dial(s.b);
    bench_send(fd, head, header_for("WWW.blocked.example", 1, 443, head));
    expect_blocked(fd, 1, "tcp:WWW.blocked.example:443 blocked by rule 1: domain:blocked.example");
    fd = bench_dial(s.b);
    bench_send(fd, head, header_for("localhost", 1, s.b->target_port, head));
    expect_blocked(fd, 2, " blocked by rule 2: full:localhost");
    expect_no_dial();
}

static void a_blocked_network_is_not_dialled(void **state)
{
    uint8_t head[64];

    (void)state;
    int fd = bench_dial(s.b);
    size_t n = bench_header(s.b, 0, 1, s.b->target_port, head);
    memcpy(head + n - 4, "\x7f\x42\1\1", 4); /* 127.66.1.1, where the kernel would connect to */
    bench_send(fd, head, n);
    expect_blocked(fd, 1, "blocked by rule 4: ip:127.66.0.0/16");
    expect_no_dial();
}

/* ---- streams: what they say ------------------------------------------------------------------ */

static void a_blocked_name_is_found_in_a_hello(void **state)
{
    uint8_t hello[256];
    size_t n = hello_for(hello, "a.Blocked.example");

    (void)state;
    int fd = ask_target();
    bench_send(fd, hello, n);
    expect_blocked(fd, 1, " (tls a.blocked.example) blocked by rule 1: domain:blocked.example");
    expect_no_dial();
}

/* Byte by byte, each seen by the worker before the next is sent; and in records of three bytes. */
static void a_hello_may_come_in_crumbs(void **state)
{
    uint8_t hello[256], records[1024];
    size_t n = hello_for(hello, "blocked.example"), len = 0;

    (void)state;
    int fd = ask_target();
    for (size_t i = 0; i + 1 < n; i++) {
        bench_send(fd, hello + i, 1);
        bench_settle(s.b);
    }
    assert_int_equal(audit_hits_sum(s.hits).hits, 0);
    bench_send(fd, hello + n - 1, 1);
    expect_blocked(fd, 1, "(tls blocked.example)");
    for (size_t at = 5; at < n; at += 3) {
        size_t part = n - at < 3 ? n - at : 3;
        memcpy(records + len, hello, 3);
        put_be16(records + len + 3, (uint16_t)part);
        memcpy(records + len + 5, hello + at, part);
        len += 5 + part;
    }
    fd = ask_target();
    bench_send(fd, records, len);
    expect_blocked(fd, 2, "(tls blocked.example)");
    expect_no_dial();
}

static void http_and_bittorrent_are_found(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: blocked.example:8080\r\n";
    static const char peer[] = "\x13"
                               "BitTorrent protocol";

    (void)state;
    int fd = ask_target();
    bench_send(fd, request, strlen(request));
    expect_blocked(fd, 1, "(http1 blocked.example) blocked by rule 1");
    fd = ask_target();
    bench_send(fd, peer, strlen(peer));
    expect_blocked(fd, 2, "(bittorrent) blocked by rule 3: protocol:bittorrent");
    expect_no_dial();
}

static void what_is_allowed_arrives_as_it_was_sent(void **state)
{
    static uint8_t data[200000];
    uint64_t n;
    size_t len = hello_for(data, "allowed.example");

    (void)state;
    for (size_t i = len; i < sizeof(data); i++)
        data[i] = bench_pattern(i);
    int fd = ask_target();
    bench_send(fd, data, 100);
    bench_settle(s.b);
    bench_send(fd, data + 100, sizeof(data) - 100);
    shutdown(fd, SHUT_WR);
    int target = accept_target();
    for (size_t at = 0; at < sizeof(data); at += 50000)
        expect_bytes(target, data + at, 50000);
    assert_true(bench_drain(target, &n));
    assert_int_equal(n, 0);
    bench_send(target, "answer", 6);
    close(target);
    assert_true(bench_answered(fd));
    expect_bytes(fd, "answer", 6);
    assert_true(bench_at_end(fd));
    close(fd);
    bench_wait_open(s.b, 0);
    assert_int_equal(bench_counted(s.b, 0, true), sizeof(data));
    assert_int_equal(bench_counted(s.b, 0, false), 6);
    assert_int_equal(audit_hits_sum(s.hits).hits, 0);
}

/* No wait where the first byte decides: it would last an hour. */
static void what_is_none_of_them_goes_on_at_once(void **state)
{
    static const char *const first[] = {"SSH-2.0-x\r\n", "EHLO x\r\n", "\x80\x01\x02\x03"};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        int fd = ask_target();
        bench_send(fd, first[i], strlen(first[i]));
        int target = accept_target();
        expect_bytes(target, first[i], strlen(first[i]));
        close(fd);
        close(target);
    }
}

/* ---- streams: silence and ends --------------------------------------------------------------- */

static void sniff_for(uint32_t first_ms, uint32_t whole_ms)
{
    bench_change(s.b)->sniff = (struct view_sniff){.first_ms = first_ms, .whole_ms = whole_ms};
    bench_open(s.b);
    bench_settle(s.b);
}

static void a_silent_client_gets_its_target_after_the_wait(void **state)
{
    (void)state;
    sniff_for(1, 1);
    int fd = ask_target(), target = accept_target();
    bench_send(target, "220 hello", 9);
    assert_true(bench_answered(fd));
    expect_bytes(fd, "220 hello", 9);
    bench_send(fd, "\x16\x03\x01", 3); /* said after the wait */
    expect_bytes(target, "\x16\x03\x01", 3);
    close(fd);
    close(target);
}

/* The rest of a hello is waited for longer, but not for ever; what it is then, counts. */
static void half_a_hello_is_judged_as_what_it_is(void **state)
{
    static const char *const lines[] = {"protocol:tls"};
    uint8_t hello[256];
    size_t n = hello_for(hello, "blocked.example");

    (void)state;
    sniff_for(1, 2);
    int fd = ask_target();
    bench_send(fd, hello, n / 2);
    int target = accept_target();
    expect_bytes(target, hello, n / 2);
    close(fd);
    close(target);
    bench_wait_open(s.b, 0);
    uint64_t before = bench_counted(s.b, 0, true);
    assert_int_equal(before, n / 2);
    bench_change(s.b)->audit = rules(1, lines, 1);
    bench_open(s.b);
    bench_settle(s.b);
    fd = ask_target();
    bench_send(fd, hello, n / 2);
    assert_true(bench_answered(fd) && bench_at_end(fd));
    close(fd);
    bench_wait_open(s.b, 0);
    assert_int_equal(audit_hits_sum(s.hits).hits, 1);
    assert_int_equal(bench_counted(s.b, 0, true), before);
    expect_no_dial();
}

/* What has begun to speak gets the longer time. */
static void the_rest_of_a_hello_is_waited_for_longer(void **state)
{
    uint8_t hello[256], head[512];
    size_t n = hello_for(hello, "blocked.example");

    (void)state;
    sniff_for(1, HOUR_MS);
    int fd = bench_dial(s.b);
    size_t len = bench_header(s.b, 0, 1, s.b->target_port, head);
    memcpy(head + len, hello, n / 2);
    bench_send(fd, head, len + n / 2);
    for (unsigned i = 0; i < 2000; i++)
        bench_settle(s.b);
    bench_send(fd, hello + n / 2, n - n / 2);
    expect_blocked(fd, 1, "(tls blocked.example)");
    expect_no_dial();
}

/* 5900 is a port where the server speaks first; nobody listens there. */
static void ports_of_servers_that_speak_first_are_dialled_at_once(void **state)
{
    uint8_t head[64];
    uint64_t n;

    (void)state;
    int fd = bench_dial(s.b);
    size_t len = bench_header(s.b, 0, 1, 5900, head);
    memcpy(head + len - 4, "\x7f\x53\x54\x55", 4);
    bench_send(fd, head, len);
    (void)bench_drain(fd, &n); /* refused */
    assert_int_equal(n, 2);
    close(fd);
    bench_wait_open(s.b, 0);
}

static void the_end_of_a_client_ends_the_wait(void **state)
{
    uint8_t hello[256];
    uint64_t n;
    size_t len = hello_for(hello, "allowed.example") / 2;

    (void)state;
    int fd = ask_target();
    bench_send(fd, hello, len);
    bench_settle(s.b);
    shutdown(fd, SHUT_WR);
    int target = accept_target();
    expect_bytes(target, hello, len);
    assert_true(bench_drain(target, &n));
    bench_send(target, "late", 4); /* the other direction goes on */
    assert_true(bench_answered(fd));
    expect_bytes(fd, "late", 4);
    close(target);
    close(fd);
}

static void a_session_may_end_while_it_is_looked_at(void **state)
{
    struct user_rt *gone[] = {&s.b->users[0]};

    (void)state;
    int fd = ask_target();
    bench_wait_open(s.b, 1);
    bench_reset(fd);
    bench_wait_open(s.b, 0);
    fd = ask_target();
    while (atomic_load(&s.b->users[0].sessions) == 0)
        bench_settle(s.b);
    bench_publish(s.b, 0, gone, 1);
    assert_true(bench_answered(fd) && bench_at_end(fd));
    close(fd);
    bench_wait_open(s.b, 0);
    expect_no_dial();
}

/* ---- streams in carriers --------------------------------------------------------------------- */

static void new_stream(int fd, uint16_t id, uint8_t network, const char *ip, uint16_t port,
                       const void *data, size_t n)
{
    uint8_t f[2048] = {0, 12, 0, 0, MUX_NEW, data != NULL, network, 0, 0, 1};

    put_be16(f + 2, id);
    put_be16(f + 7, port);
    memcpy(f + 10, ip, 4);
    if (data != NULL) {
        put_be16(f + 14, (uint16_t)n);
        memcpy(f + 16, data, n);
    }
    bench_send(fd, f, data != NULL ? 16 + n : 14);
}

static int carrier(void)
{
    uint8_t head[64];
    int fd = bench_dial(s.b);

    bench_header(s.b, 0, 3, 0, head);
    bench_send(fd, head, 19);
    return fd;
}

static void expect_failed_end(int fd, uint16_t id)
{
    uint8_t got[MUX_END_LEN];

    assert_true(bench_read(fd, got, sizeof(got)));
    assert_int_equal(get_be16(got + 2), id);
    assert_int_equal(got[4], MUX_END);
    assert_int_equal(got[5], MUX_OPT_ERROR);
}

static void streams_of_a_carrier_are_screened_each(void **state)
{
    uint8_t hello[256], got[64];
    uint64_t rest;
    size_t n = hello_for(hello, "blocked.example");

    (void)state;
    int fd = carrier();
    new_stream(fd, 1, MUX_TCP, "\x7f\0\0\1", s.b->target_port, NULL, 0); /* silent */
    new_stream(fd, 2, MUX_TCP, "\x7f\0\0\1", s.b->target_port, hello, n / 2);
    bench_send(fd, got, mux_frame_keep(got, 2, (uint16_t)(n - n / 2)));
    bench_send(fd, hello + n / 2, n - n / 2);
    assert_true(bench_answered(fd));
    expect_failed_end(fd, 2);
    new_stream(fd, 3, MUX_TCP, "\x7f\x42\1\1", s.b->target_port, NULL, 0);
    expect_failed_end(fd, 3);
    bench_send(fd, got, mux_frame_keep(got, 1, 5)); /* the first goes on */
    bench_send(fd, "hello", 5);
    int target = accept_target();
    expect_bytes(target, "hello", 5);
    assert_int_equal(audit_hits_sum(s.hits).hits, 2);
    new_stream(fd, 4, MUX_TCP, "\x7f\0\0\1", s.b->target_port, "GE", 2);
    bench_settle(s.b);
    bench_send(fd, got, mux_frame_end(got, 4, false)); /* what it sent still arrives */
    int second = accept_target();
    expect_bytes(second, "GE", 2);
    assert_true(bench_at_end(second));
    new_stream(fd, 5, MUX_TCP, "\x7f\0\0\1", s.b->target_port, NULL, 0);
    bench_settle(s.b);
    bench_send(fd, got, mux_frame_end(got, 5, false)); /* and what said nothing is not dialled */
    assert_true(bench_read(fd, got, 2 * MUX_END_LEN)); /* the answers to both */
    close(fd);
    (void)bench_drain(target, &rest);
    close(target);
    close(second);
    bench_wait_open(s.b, 0);
    expect_no_dial();
}

/* ---- datagrams ------------------------------------------------------------------------------- */

static int ask_udp(void)
{
    uint8_t head[64];
    int fd = bench_dial(s.b);

    bench_send(fd, head, bench_header(s.b, 0, 2, s.udp_port, head));
    return fd;
}

static void send_datagram(int fd, const void *data, size_t n)
{
    uint8_t f[2048];

    put_be16(f, (uint16_t)n);
    memcpy(f + 2, data, n);
    bench_send(fd, f, n + 2);
}

static void expect_datagram(const void *data, size_t n)
{
    uint8_t got[2048];

    assert_int_equal(recv(s.udp, got, sizeof(got), 0), n);
    assert_memory_equal(got, data, n);
}

static void expect_no_datagram(void)
{
    char got;

    assert_int_equal(recv(s.udp, &got, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

/* A datagram with bytes @at to @end of @name's hello. */
static size_t initial(uint8_t *out, const char *name, size_t at, size_t end)
{
    uint8_t hello[256], frames[512];
    size_t n = hello_for(hello, name) - 5;

    n = test_initial_crypto(frames, at, hello + 5 + at, (end < n ? end : n) - at);
    return test_initial_seal(&cryptos[BENCH_WORKERS_MAX], TEST_INITIAL_V1, (uint16_t)at, frames, n,
                             out);
}

static void datagrams_to_a_blocked_name_are_not_sent(void **state)
{
    uint8_t head[128];

    (void)state;
    int fd = bench_dial(s.b);
    size_t n = header_for("x.blocked.example", 2, 443, head);
    bench_send(fd, head, n);
    expect_blocked(fd, 1, "udp:x.blocked.example:443 blocked by rule 1");
}

static void quic_to_a_blocked_name_ends_its_flow(void **state)
{
    uint8_t p[2048];
    char c;

    (void)state;
    int fd = ask_udp();
    send_datagram(fd, p, initial(p, "blocked.example", 0, 1000));
    expect_blocked(fd, 1, "(quic blocked.example) blocked by rule 1");
    expect_no_datagram();
    /* in two datagrams, the end first: that one passes, and is all that does */
    fd = ask_udp();
    size_t first = initial(p, "blocked.example", 30, 1000);
    send_datagram(fd, p, first);
    expect_datagram(p, first);
    send_datagram(fd, p, initial(p, "blocked.example", 0, 30));
    while (recv(fd, &c, 1, 0) > 0)
        continue;
    close(fd);
    bench_wait_open(s.b, 0);
    expect_no_datagram();
    assert_int_equal(audit_hits_sum(s.hits).hits, 2);
    assert_int_equal(bench_counted(s.b, 0, true), first);
}

static void other_flows_go_on(void **state)
{
    uint8_t p[2048];

    (void)state;
    int fd = ask_udp();
    size_t n = initial(p, "allowed.example", 0, 40);
    send_datagram(fd, p, n);
    expect_datagram(p, n);
    uint64_t sum = n;
    n = initial(p, "allowed.example", 40, 1000);
    send_datagram(fd, p, n);
    expect_datagram(p, n);
    sum += n;
    for (unsigned i = 0; i < 20; i++) {
        send_datagram(fd, "payload", 7);
        expect_datagram("payload", 7);
    }
    close(fd);
    bench_wait_open(s.b, 0);
    assert_int_equal(bench_counted(s.b, 0, true), sum + 140);
    assert_int_equal(audit_hits_sum(s.hits).hits, 0);
}

static void nothing_is_looked_at_where_sniffing_is_off(void **state)
{
    uint8_t hello[256], head[64], p[2048];
    size_t n = hello_for(hello, "blocked.example");

    (void)state;
    sniff_for(0, 0);
    int fd = ask_target(), target = accept_target(); /* silent, and no wait */
    bench_send(fd, hello, n);
    expect_bytes(target, hello, n);
    close(fd);
    close(target);
    bench_wait_open(s.b, 0);
    fd = ask_udp();
    n = initial(p, "blocked.example", 0, 1000);
    send_datagram(fd, p, n);
    expect_datagram(p, n);
    close(fd);
    bench_wait_open(s.b, 0);
    fd = bench_dial(s.b); /* targets are judged all the same */
    bench_send(fd, head, header_for("blocked.example", 1, 443, head));
    assert_true(bench_answered(fd) && bench_at_end(fd));
    close(fd);
    assert_int_equal(audit_hits_sum(s.hits).hits, 1);
}

static void bittorrent_ends_its_flow(void **state)
{
    static const char ping[] = "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";

    (void)state;
    int fd = ask_udp();
    send_datagram(fd, ping, strlen(ping));
    expect_blocked(fd, 1, "(bittorrent) blocked by rule 3");
    fd = carrier();
    new_stream(fd, 3, MUX_UDP, "\x7f\0\0\1", s.udp_port, ping, strlen(ping));
    assert_true(bench_answered(fd));
    expect_failed_end(fd, 3);
    close(fd);
    bench_wait_open(s.b, 0);
    expect_no_datagram();
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
    static const char ips[6][4] = {"\x7f\0\0\2", "\x7f\0\0\3", "\x7f\0\0\4",
                                   "\x7f\0\0\5", "\x7f\0\0\6", "\x7f\0\0\7"};

    (void)state;
    int fd = carrier();
    new_stream(fd, 9, MUX_UDP, "\x7f\0\0\1", s.udp_port, "one", 3);
    expect_datagram("one", 3);
    for (unsigned i = 0; i < 3; i++) {
        keep_to(fd, 9, "\x7f\x42\0\1", s.udp_port, "blocked");
        keep_to(fd, 9, "\x7f\0\0\1", s.udp_port, "more");
        expect_datagram("more", 4);
    }
    assert_int_equal(audit_hits_sum(s.hits).hits, 1); /* told once */
    for (unsigned i = 0; i < 6; i++)
        keep_to(fd, 9, ips[i], 9, "elsewhere");
    keep_to(fd, 9, "\x7f\x42\0\1", s.udp_port, "blocked");
    keep_to(fd, 9, "\x7f\0\0\1", s.udp_port, "last");
    expect_datagram("last", 4);
    assert_int_equal(audit_hits_sum(s.hits).hits, 2);
    close(fd);
    bench_wait_open(s.b, 0);
    assert_int_equal(bench_counted(s.b, 0, true), 3 + 3 * 4 + 6 * 9 + 4);
}

/* New rules are for the datagrams that come after them. */
static void rules_may_change_under_a_flow(void **state)
{
    char lines[1][16];
    const char *const list[] = {lines[0]};

    (void)state;
    int fd = carrier();
    new_stream(fd, 9, MUX_UDP, "\x7f\0\0\1", s.udp_port, "one", 3);
    expect_datagram("one", 3);
    snprintf(lines[0], sizeof(lines[0]), "port:%u", s.udp_port);
    const struct audit *old = s.b->current->audit;
    bench_change(s.b)->audit = rules(1, list, 1);
    bench_open(s.b);
    bench_settle(s.b);
    keep_to(fd, 9, "\x7f\0\0\1", s.udp_port, "two");
    while (audit_hits_sum(s.hits).hits == 0)
        bench_settle(s.b);
    bench_change(s.b)->audit = old;
    bench_open(s.b);
    bench_settle(s.b);
    keep_to(fd, 9, "\x7f\0\0\1", s.udp_port, "three");
    expect_datagram("three", 5);
    close(fd);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
        CASE(a_silent_client_gets_its_target_after_the_wait),
        CASE(half_a_hello_is_judged_as_what_it_is),
        CASE(the_rest_of_a_hello_is_waited_for_longer),
        CASE(ports_of_servers_that_speak_first_are_dialled_at_once),
        CASE(the_end_of_a_client_ends_the_wait),
        CASE(a_session_may_end_while_it_is_looked_at),
        CASE(nothing_is_looked_at_where_sniffing_is_off),
        CASE(streams_of_a_carrier_are_screened_each),
        CASE(datagrams_to_a_blocked_name_are_not_sent),
        CASE(quic_to_a_blocked_name_ends_its_flow),
        CASE(other_flows_go_on),
        CASE(bittorrent_ends_its_flow),
        CASE(every_destination_of_a_flow_is_judged),
        CASE(rules_may_change_under_a_flow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
