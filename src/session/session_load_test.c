/* Much at once, and peers that are slow: nothing stalls, nothing is lost, memory stays within its
 * budget. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "codec/ws_frame.h"
#include "session/test_plane.h"

#define LARGE (64u * 1024 * 1024)

static struct bench *tight(bool websocket)
{
    static const struct conf_context none;
    /* The budget is what bounds memory: a relay that wants more fails. */
    const struct bench_conf conf = {.workers = 1, .memory_budget = 6u * 1024 * 1024};
    struct bench *b = bench_new(&conf);
    if (websocket)
        bench_put_below(b, "ws", "{\"path\": \"/w\"}", &none);
    bench_open(b);
    return b;
}

static void finish(struct bench *b)
{
    bench_wait_open(b, 0);
    bench_free(b);
}

static void shrink(int fd, int option)
{
    const int small = 256 * 1024; /* less than a few segments of loopback would wait for timers */
    setsockopt(fd, SOL_SOCKET, option, &small, sizeof(small));
}

struct writer {
    int fd;
    size_t size;
    bool then_end;
};

static void *write_pattern(void *arg)
{
    const struct writer *w = arg;
    uint8_t block[16384];
    for (size_t at = 0; at < w->size; at += sizeof(block)) {
        for (size_t i = 0; i < sizeof(block); i++)
            block[i] = bench_pattern(at + i);
        bench_send(w->fd, block, sizeof(block));
    }
    if (w->then_end)
        shutdown(w->fd, SHUT_WR);
    return NULL;
}

static pthread_t start(struct writer *w)
{
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, write_pattern, w), 0);
    return t;
}

/* Reads with pieces of @piece bytes, which keeps the sender waiting all the time. */
static void expect_pattern(int fd, size_t size, size_t piece)
{
    static uint8_t buf[65536];
    for (size_t at = 0; at < size;) {
        ssize_t n = recv(fd, buf, piece, 0);
        if (n <= 0)
            fail_msg("ended after %zu of %zu bytes", at, size);
        for (size_t i = 0; i < (size_t)n; i++)
            if (buf[i] != bench_pattern(at + i))
                fail_msg("byte %zu is wrong", at + i);
        at += (size_t)n;
    }
}

static void a_slow_reader_gets_64_mib_spliced(void **state)
{
    (void)state;
    struct bench *b = tight(false);
    int target, fd = bench_pair(b, 0, &target);
    shrink(fd, SO_RCVBUF);
    struct writer w = {target, LARGE, true};
    pthread_t t = start(&w);
    assert_true(bench_answered(fd));
    expect_pattern(fd, LARGE, 20000);
    assert_true(bench_at_end(fd));
    pthread_join(t, NULL);
    close(fd);
    close(target);
    assert_int_equal(bench_counted(b, 0, false), LARGE);
    finish(b);
}

static void a_slow_target_gets_64_mib_spliced(void **state)
{
    (void)state;
    struct bench *b = tight(false);
    int target, fd = bench_pair(b, 0, &target);
    shrink(target, SO_RCVBUF);
    struct writer w = {fd, LARGE, true};
    pthread_t t = start(&w);
    expect_pattern(target, LARGE, 20000);
    assert_true(bench_at_end(target));
    pthread_join(t, NULL);
    close(fd);
    close(target);
    bench_wait_open(b, 0);
    assert_int_equal(bench_counted(b, 0, true), LARGE);
    finish(b);
}

/* ---- through the process: WebSocket never leaves ---- */

static const char upgrade[] =
    "GET /w HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

/* Dials the node and asks for the test's target in one frame; payload follows in frames of the
 * caller. */
static int ws_pair(struct bench *b, int *target)
{
    static const uint8_t mask[4] = {0, 0, 0, 0};
    uint8_t head[64], frame[80], line[4] = {0};
    int fd = bench_dial(b);
    bench_send(fd, upgrade, sizeof(upgrade) - 1);
    while (memcmp(line, "\r\n\r\n", 4) != 0) {
        memmove(line, line + 1, 3);
        assert_true(bench_read(fd, line + 3, 1));
    }
    size_t n = bench_header(b, 0, 1, b->target_port, head);
    size_t at = ws_frame_build(frame, WS_BINARY, n, mask);
    memcpy(frame + at, head, n);
    bench_send(fd, frame, at + n);
    *target = accept(b->target_fd, NULL, NULL);
    assert_true(*target >= 0);
    return fd;
}

static void a_slow_reader_gets_64_mib_through_websocket(void **state)
{
    (void)state;
    struct bench *b = tight(true);
    int target, fd = ws_pair(b, &target);
    shrink(fd, SO_RCVBUF);
    struct writer w = {target, LARGE, true};
    pthread_t t = start(&w);
    static uint8_t payload[65536];
    size_t at = 0;
    for (bool first = true; at < LARGE; first = false) {
        uint8_t head[WS_FRAME_HEAD_MAX];
        struct ws_frame f;
        size_t n = 0;
        do {
            assert_true(bench_read(fd, head + n++, 1));
        } while (ws_frame_parse(head, n, &f) == ST_MORE);
        assert_int_equal(f.opcode, WS_BINARY);
        assert_true(f.len <= sizeof(payload));
        assert_true(bench_read(fd, payload, (size_t)f.len));
        for (size_t i = first ? 2 : 0; i < f.len; i++, at++)
            if (payload[i] != bench_pattern(at))
                fail_msg("byte %zu is wrong", at);
    }
    pthread_join(t, NULL);
    close(fd);
    close(target);
    assert_int_equal(bench_counted(b, 0, false), LARGE);
    finish(b);
}

static void a_slow_target_gets_64_mib_through_websocket(void **state)
{
    (void)state;
    struct bench *b = tight(true);
    int target, fd = ws_pair(b, &target);
    static const uint8_t mask[4] = {0, 0, 0, 0};
    uint8_t head[WS_FRAME_HEAD_MAX];
    shrink(target, SO_RCVBUF);
    bench_send(fd, head, ws_frame_build(head, WS_BINARY, LARGE, mask)); /* one frame of 64 MiB */
    struct writer w = {fd, LARGE, false};
    pthread_t t = start(&w);
    expect_pattern(target, LARGE, 20000);
    pthread_join(t, NULL);
    close(fd);
    close(target);
    bench_wait_open(b, 0);
    assert_int_equal(bench_counted(b, 0, true), LARGE);
    finish(b);
}

/* ---- many at once ---- */

struct visitor {
    struct bench *b;
    unsigned no;
    bool good;
};

static bool read_source(int fd)
{
    uint8_t buf[16384];
    size_t at = 0;
    for (ssize_t n; (n = recv(fd, buf, sizeof(buf), 0)) > 0; at += (size_t)n)
        for (size_t i = 0; i < (size_t)n; i++)
            if (buf[i] != bench_pattern(at + i))
                return false;
    return at == BENCH_BULK;
}

static bool count_up(int fd)
{
    static const uint8_t block[10000];
    uint64_t sum = 0;
    for (int i = 0; i < 100; i++)
        bench_send(fd, block, sizeof(block));
    shutdown(fd, SHUT_WR);
    return bench_answered(fd) && bench_read(fd, &sum, sizeof(sum)) && sum == 100 * sizeof(block);
}

static bool echo(int fd)
{
    bool answered = false;
    for (int i = 0; i < 50; i++) {
        char got[6];
        bench_send(fd, "abcdef", 6);
        if (!answered && !bench_answered(fd))
            return false;
        answered = true;
        if (!bench_read(fd, got, 6) || memcmp(got, "abcdef", 6) != 0)
            return false;
    }
    return true;
}

static void *visit(void *arg)
{
    struct visitor *v = arg;
    static const enum bench_wish wishes[] = {WISH_SOURCE, WISH_COUNT, WISH_ECHO, WISH_SOURCE};
    enum bench_wish wish = wishes[v->no % 4];
    int fd = bench_stream(v->b, v->no % 2, wish);
    switch (v->no % 4) {
    case 0:
        v->good = bench_answered(fd) && read_source(fd);
        break;
    case 1:
        v->good = count_up(fd);
        break;
    case 2:
        v->good = echo(fd);
        break;
    default: /* goes away in the middle */
        v->good = bench_answered(fd);
        bench_reset(fd);
        return NULL;
    }
    close(fd);
    return NULL;
}

static void a_hundred_streams_of_all_kinds(void **state)
{
    (void)state;
    enum { VISITORS = 100 };
    static struct visitor v[VISITORS];
    static pthread_t t[VISITORS];
    struct bench *b = bench_new(NULL);
    bench_open(b);
    for (unsigned i = 0; i < VISITORS; i++) {
        v[i] = (struct visitor){.b = b, .no = i};
        assert_int_equal(pthread_create(&t[i], NULL, visit, &v[i]), 0);
    }
    for (unsigned i = 0; i < VISITORS; i++) {
        pthread_join(t[i], NULL);
        if (!v[i].good)
            fail_msg("stream %u", i);
    }
    bench_wait_open(b, 0);
    struct plane_stats st = bench_stats(b);
    assert_int_equal(st.accepted, VISITORS);
    assert_int_equal(st.handshaking, 0);
    assert_int_equal(st.up, bench_counted(b, 0, true) + bench_counted(b, 1, true));
    assert_int_equal(st.down, bench_counted(b, 0, false) + bench_counted(b, 1, false));
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(b->users[i].sessions, 0);
    bench_free(b);
}

/* ---- datagrams ---- */

struct udp_target {
    int fd;
    uint16_t port;
};

static struct udp_target udp_open(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    struct udp_target u = {.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(bind(u.fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(getsockname(u.fd, (struct sockaddr *)&sa, &len), 0);
    u.port = ntohs(sa.sin_port);
    return u;
}

/* Sends what it gets back to where it came from, @n times. */
static void udp_echo(const struct udp_target *u, unsigned n)
{
    uint8_t buf[2048];
    while (n-- > 0) {
        struct sockaddr_in from;
        socklen_t len = sizeof(from);
        ssize_t got = recvfrom(u->fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);
        assert_true(got >= 0);
        assert_int_equal(sendto(u->fd, buf, (size_t)got, 0, (struct sockaddr *)&from, len), got);
    }
}

static int open_flow(const struct bench *b, const struct udp_target *u)
{
    uint8_t head[64];
    int fd = bench_dial(b);
    bench_send(fd, head, bench_header(b, 0, 2, u->port, head));
    return fd;
}

static void send_datagram(int fd, uint32_t number, uint16_t size)
{
    uint8_t d[2 + 1400] = {0};
    put_be16(d, size);
    put_be32(d + 2, number);
    bench_send(fd, d, 2u + size);
}

static uint32_t read_datagram(int fd, uint16_t size)
{
    uint8_t d[2 + 1400];
    assert_true(bench_read(fd, d, 2u + size));
    assert_int_equal(get_be16(d), size);
    return get_be32(d + 2);
}

static void many_datagrams_go_and_come_in_order(void **state)
{
    (void)state;
    enum { ROUNDS = 200, BATCH = 20 };
    struct bench *b = bench_new(NULL);
    struct udp_target u = udp_open();
    bench_open(b);
    int fd = open_flow(b, &u);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint16_t size = (uint16_t)(4 + round * 7 % 1396);
        for (uint32_t i = 0; i < BATCH; i++)
            send_datagram(fd, round * BATCH + i, size);
        udp_echo(&u, BATCH);
        if (round == 0)
            assert_true(bench_answered(fd));
        for (uint32_t i = 0; i < BATCH; i++)
            assert_int_equal(read_datagram(fd, size), round * BATCH + i);
    }
    assert_int_equal(bench_counted(b, 0, true), bench_counted(b, 0, false));
    close(fd);
    close(u.fd);
    finish(b);
}

/* A client that did not read left datagrams in a full socket, which makes no more events. */
static void a_flow_goes_on_when_its_client_reads_again(void **state)
{
    (void)state;
    enum { FLOOD = 4000 };
    struct bench *b = tight(false);
    struct udp_target u = udp_open();
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    uint8_t buf[1400] = {0};
    int fd = open_flow(b, &u);
    shrink(fd, SO_RCVBUF);
    send_datagram(fd, 0, 4);
    assert_int_equal(recvfrom(u.fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len), 4);
    for (uint32_t i = 1; i <= FLOOD; i++) {
        put_be32(buf, i);
        (void)!sendto(u.fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, len);
        if (i % 100 == 0)
            bench_settle(b);
    }
    assert_true(bench_answered(fd));
    /* Whatever was dropped: what comes is in order, and a late one still comes. */
    uint32_t last = 0, seen = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (seen != FLOOD + 1) {
        if (poll(&p, 1, 50) == 0) { /* all that was kept has come: one more */
            put_be32(buf, FLOOD + 1);
            assert_int_equal(sendto(u.fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, len),
                             sizeof(buf));
            last = 0;
        }
        seen = read_datagram(fd, sizeof(buf));
        assert_true(seen > last);
        last = seen == FLOOD + 1 ? 0 : seen;
    }
    close(fd);
    close(u.fd);
    finish(b);
}

static void answers_come_after_the_client_has_ended_its_flow(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct udp_target u = udp_open();
    bench_open(b);
    int fd = open_flow(b, &u);
    send_datagram(fd, 7, 4);
    shutdown(fd, SHUT_WR);
    udp_echo(&u, 1);
    assert_true(bench_answered(fd));
    assert_int_equal(read_datagram(fd, 4), 7);
    close(fd);
    close(u.fd);
    bench_free(b); /* the flow itself ends when nothing has come for a while */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_reader_gets_64_mib_spliced),
        cmocka_unit_test(a_slow_target_gets_64_mib_spliced),
        cmocka_unit_test(a_slow_reader_gets_64_mib_through_websocket),
        cmocka_unit_test(a_slow_target_gets_64_mib_through_websocket),
        cmocka_unit_test(a_hundred_streams_of_all_kinds),
        cmocka_unit_test(many_datagrams_go_and_come_in_order),
        cmocka_unit_test(a_flow_goes_on_when_its_client_reads_again),
        cmocka_unit_test(answers_come_after_the_client_has_ended_its_flow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
