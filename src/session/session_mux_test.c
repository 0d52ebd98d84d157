/* The data plane with carriers: streams and flows inside one connection, their ends, their bounds,
 * flows that come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "proto/mux/frame.h"
#include "proto/vless/vless.h"
#include "session/test_plane.h"

#define CMD_MUX 3

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

/* ---- a client of streams --------------------------------------------------------------------- */

/* A carrier of user @who, nothing sent but the request. */
static int carrier(const struct bench *b, unsigned who)
{
    uint8_t head[64];
    int fd = bench_dial(b);
    bench_header(b, who, CMD_MUX, 0, head);
    bench_send(fd, head, 19); /* no port, no address */
    return fd;
}

/* New to a loopback port, with @n bytes of data if @data is given. */
static void open_with_id(int fd, uint16_t id, uint8_t network, uint16_t port, const void *data,
                         uint16_t n, const char *global)
{
    uint8_t f[64] = {
        0, (uint8_t)(global ? 20 : 12), 0, 0, MUX_NEW, data != NULL, network, 0, 0, 1, 127, 0, 0,
        1};
    size_t len = 14;
    put_be16(f + 2, id);
    put_be16(f + 7, port);
    if (global) {
        memcpy(f + len, global, MUX_GLOBAL_LEN);
        len += MUX_GLOBAL_LEN;
    }
    if (data) {
        put_be16(f + len, n);
        memcpy(f + len + 2, data, n);
        len += 2u + n;
    }
    bench_send(fd, f, len);
}

static void open_stream(int fd, uint16_t id, uint16_t port, const char *data)
{
    open_with_id(fd, id, MUX_TCP, port, data, (uint16_t)(data ? strlen(data) : 0), NULL);
}

static void keep(int fd, uint16_t id, const void *data, size_t n)
{
    uint8_t head[MUX_KEEP_LEN];
    while (n > 0) {
        uint16_t part = (uint16_t)(n < 60000 ? n : 60000);
        bench_send(fd, head, mux_frame_keep(head, id, part));
        bench_send(fd, data, part);
        data = (const uint8_t *)data + part;
        n -= part;
    }
}

static void end(int fd, uint16_t id)
{
    uint8_t f[MUX_END_LEN];
    bench_send(fd, f, mux_frame_end(f, id, false));
}

/* Reads a frame; its data goes to @data (65535 bytes). */
static bool next_frame(int fd, struct mux_frame *f, uint8_t *data)
{
    uint8_t head[MUX_HEAD_MAX];
    struct why why = {0};
    size_t used;
    if (!bench_read(fd, head, 2))
        return false;
    size_t meta = get_be16(head);
    assert_true(meta <= MUX_META_MAX);
    assert_true(bench_read(fd, head + 2, meta));
    size_t n = 2 + meta;
    if (head[5] & MUX_OPT_DATA) {
        assert_true(bench_read(fd, head + n, 2));
        n += 2;
    }
    assert_int_equal(mux_frame_parse(head, n, f, &used, &why), ST_OK);
    assert_true(bench_read(fd, data, f->data_len));
    return true;
}

static void expect_data(int fd, uint16_t id, const char *want)
{
    static uint8_t data[65536];
    struct mux_frame f;
    assert_true(next_frame(fd, &f, data));
    data[f.data_len] = 0;
    assert_int_equal(f.status, MUX_KEEP);
    assert_int_equal(f.option, MUX_OPT_DATA);
    assert_int_equal(f.id, id);
    assert_string_equal((char *)data, want);
}

static void expect_end(int fd, uint16_t id, uint8_t option)
{
    static uint8_t data[65536];
    struct mux_frame f;
    assert_true(next_frame(fd, &f, data));
    assert_int_equal(f.status, MUX_END);
    assert_int_equal(f.id, id);
    assert_int_equal(f.option, option);
}

static bool closed(int fd)
{
    uint64_t n;
    bench_drain(fd, &n);
    close(fd);
    return n == 0;
}

/* ---- streams --------------------------------------------------------------------------------- */

static void a_stream_echoes_and_only_its_payload_is_counted(void **state)
{
    struct bench *b = *state;
    int fd = carrier(b, 0);
    open_stream(fd, 1, b->origin_port, "ehello");
    assert_true(bench_answered(fd));
    expect_data(fd, 1, "hello");
    keep(fd, 1, "again", 5);
    expect_data(fd, 1, "again");
    end(fd, 1);
    expect_end(fd, 1, MUX_OPT_ERROR);
    keep(fd, 1, "late", 4);
    expect_end(fd, 1, 0);
    close(fd);
    bench_wait_open(b, 0);
    assert_int_equal(bench_counted(b, 0, true), 11);
    assert_int_equal(bench_counted(b, 0, false), 10);
    assert_int_equal(b->users[0].sessions, 0);
}

static void a_target_that_ends_ends_its_stream_after_its_last_byte(void **state)
{
    struct bench *b = *state;
    int fd = carrier(b, 0), target;
    open_stream(fd, 7, b->target_port, NULL);
    target = accept(b->target_fd, NULL, NULL);
    bench_send(target, "last", 4);
    close(target);
    assert_true(bench_answered(fd));
    expect_data(fd, 7, "last");
    expect_end(fd, 7, 0);
    close(fd);
}

static void a_target_that_refuses_ends_its_stream_with_the_error_mark(void **state)
{
    struct bench *b = *state;
    uint16_t nobody;
    close(bench_listen(&nobody, 1));
    int fd = carrier(b, 0);
    open_stream(fd, 2, nobody, "x");
    assert_true(bench_answered(fd));
    expect_end(fd, 2, MUX_OPT_ERROR);
    open_stream(fd, 2, b->origin_port, "estill here"); /* the carrier goes on, the id is free */
    expect_data(fd, 2, "still here");
    close(fd);
}

static void large_streams_side_by_side_arrive_whole(void **state)
{
    struct bench *b = *state;
    static uint8_t data[65536];
    struct mux_frame f;
    size_t got[4] = {0};
    unsigned ended = 0, quick = 0;
    int fd = carrier(b, 0);
    for (uint16_t id = 1; id <= 3; id++)
        open_stream(fd, id, b->origin_port, "s");
    assert_true(bench_answered(fd));
    while (ended < 3 || quick < 2) {
        assert_true(next_frame(fd, &f, data));
        if (f.id > 3) {
            quick += f.data_len;
            continue;
        }
        for (size_t i = 0; i < f.data_len; i++)
            if (data[i] != bench_pattern(got[f.id] + i))
                fail_msg("stream %u, byte %zu is wrong", f.id, got[f.id] + i);
        got[f.id] += f.data_len;
        ended += f.status == MUX_END;
        /* In the middle of it all a small one is served, too. (Before the large ones are through,
         * unless they lie in the sockets already.) */
        if (got[1] > 100000 && quick == 0 && f.id == 1) {
            open_stream(fd, 4, b->origin_port, "eq");
            quick = 1;
        }
    }
    for (unsigned id = 1; id <= 3; id++)
        assert_int_equal(got[id], BENCH_BULK);
    assert_int_equal(quick, 2);
    close(fd);
    assert_int_equal(bench_counted(b, 0, false), 3 * BENCH_BULK + 1);
}

static void an_end_lets_what_was_sent_arrive(void **state)
{
    struct bench *b = *state;
    uint8_t *data = calloc(1, BENCH_BULK);
    uint64_t n;
    int fd = carrier(b, 0), target;
    assert_non_null(data);
    open_stream(fd, 1, b->target_port, NULL);
    target = accept(b->target_fd, NULL, NULL);
    bench_send(target, "unread by the client, and no reset", 34);
    keep(fd, 1, data, 200000); /* fits a stream's queue: nobody reads yet */
    end(fd, 1);
    keep(fd, 2, "x", 1); /* answered: all before it has been read */
    assert_true(bench_answered(fd));
    static uint8_t got[65536];
    struct mux_frame f = {0};
    do
        assert_true(next_frame(fd, &f, got));
    while (f.id != 2);
    assert_true(bench_drain(target, &n));
    assert_int_equal(n, 200000);
    close(target);
    free(data);
    close(fd);
}

/* All of the stream is there before the target is, and more than its socket takes at once. What it
 * says meanwhile must not cut the rest off. */
static void an_end_that_comes_before_the_target_lets_what_was_sent_arrive(void **state)
{
    struct bench *b = *state;
    static uint8_t all[14 + MUX_KEEP_LEN + 50000 + MUX_END_LEN] = {0, 12, 0, 1,   MUX_NEW, 0, 1,
                                                                   0, 0,  1, 127, 0,       0, 1};
    const int small = 4096;
    size_t at = 14;
    uint64_t n;
    setsockopt(b->target_fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    put_be16(all + 7, b->target_port);
    at += mux_frame_keep(all + at, 1, 50000) + 50000;
    at += mux_frame_end(all + at, 1, false);
    int fd = carrier(b, 0);
    bench_send(fd, all, at);
    assert_true(bench_answered(fd));
    expect_end(fd, 1, MUX_OPT_ERROR);
    int target = accept(b->target_fd, NULL, NULL);
    bench_settle(b);
    bench_send(target, "unread by the client, and no reset", 34);
    assert_true(bench_drain(target, &n));
    assert_int_equal(n, 50000);
    close(target);
    close(fd);
}

struct sender {
    int fd;
    const uint8_t *data;
};

static void *send_bulk(void *arg)
{
    const struct sender *s = arg;
    keep(s->fd, 1, s->data, BENCH_BULK);
    end(s->fd, 1);
    return NULL;
}

static void a_target_that_does_not_read_holds_the_client_back_and_loses_nothing(void **state)
{
    struct bench *b = *state;
    uint8_t *data = calloc(1, BENCH_BULK);
    struct sender s = {carrier(b, 0), data};
    const int small = 65536;
    pthread_t thread;
    uint64_t n;
    assert_non_null(data);
    setsockopt(b->target_fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    open_stream(s.fd, 1, b->target_port, NULL);
    int target = accept(b->target_fd, NULL, NULL);
    assert_int_equal(pthread_create(&thread, NULL, send_bulk, &s), 0);
    char first;
    assert_true(bench_read(target, &first, 1)); /* under way; the rest fits no buffer */
    assert_true(bench_drain(target, &n));
    assert_int_equal(n + 1, BENCH_BULK);
    pthread_join(thread, NULL);
    close(target);
    close(s.fd);
    free(data);
    assert_int_equal(bench_counted(b, 0, true), BENCH_BULK);
}

/* Frames for streams that are not there are answered one by one; who does not read his answers
 * is not read on, until he does. */
static void answers_that_nobody_reads_hold_a_carrier_up_and_lose_nothing(void **state)
{
    enum { FRAMES = 1000000, LEN = MUX_KEEP_LEN, ROUNDS = 3000 };
    struct bench *b = *state;
    uint8_t *all = malloc((size_t)FRAMES * LEN);
    const size_t size = (size_t)FRAMES * LEN;
    size_t sent = 0, left = (size_t)FRAMES * MUX_END_LEN;
    static uint8_t got[65536];
    unsigned still = 0;
    int fd = carrier(b, 0);
    assert_non_null(all);
    for (size_t at = 0; at < size; at += LEN)
        (void)mux_frame_keep(all + at, 9, 0);
    while (sent < size || left > 0) {
        ssize_t put = send(fd, all + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put > 0) {
            sent += (size_t)put;
            still = 0;
        } else if (left == (size_t)FRAMES * MUX_END_LEN && still++ < ROUNDS) {
            bench_settle(b); /* as full as it gets before anything is read */
        } else {
            if (left == (size_t)FRAMES * MUX_END_LEN)
                assert_true(bench_answered(fd));
            ssize_t n = recv(fd, got, left < sizeof(got) ? left : sizeof(got), 0);
            assert_true(n > 0);
            left -= (size_t)n;
        }
    }
    close(fd);
    free(all);
}

static void the_end_of_the_carrier_ends_its_streams(void **state)
{
    struct bench *b = *state;
    uint64_t n;
    for (int how = 0; how < 2; how++) {
        int fd = carrier(b, 0), target;
        open_stream(fd, 1, b->target_port, "bye");
        target = accept(b->target_fd, NULL, NULL);
        char got[3];
        assert_true(bench_read(target, got, 3));
        if (how == 0)
            close(fd);
        else
            bench_reset(fd);
        bool fin = bench_drain(target, &n);
        assert_int_equal(fin, how == 0); /* a reset is passed on */
        close(target);
        bench_wait_open(b, 0);
    }
}

static void a_broken_frame_ends_the_carrier_and_its_streams(void **state)
{
    struct bench *b = *state;
    uint64_t n;
    int fd = carrier(b, 0), target;
    char got;
    open_stream(fd, 1, b->target_port, "x");
    target = accept(b->target_fd, NULL, NULL);
    assert_true(bench_read(target, &got, 1));
    bench_send(fd, "\2\x5c\0\1", 4);
    assert_false(bench_drain(target, &n)); /* a reset: it must not be taken for the end */
    close(target);
    assert_true(closed(fd));
}

static void a_carrier_may_be_asked_for_by_name(void **state)
{
    struct bench *b = *state;
    uint8_t head[64];
    int fd = bench_dial(b);
    bench_header(b, 0, 1, 9527, head);
    bench_send(fd, head, 21);
    bench_send(fd, "\2\x0bv1.mux.cool", 13);
    open_stream(fd, 1, b->origin_port, "enamed");
    assert_true(bench_answered(fd));
    expect_data(fd, 1, "named");
    /* ... but not inside of one */
    bench_send(fd, "\0\x14\0\2\1\0\1\0\x50\2\x0bv1.mux.cool", 22);
    expect_end(fd, 2, MUX_OPT_ERROR);
    close(fd);
}

static void another_kind_of_multiplex_is_closed(void **state)
{
    struct bench *b = *state;
    uint8_t head[64];
    int fd = bench_dial(b);
    bench_header(b, 0, 1, 444, head);
    bench_send(fd, head, 21);
    bench_send(fd, "\2\x14sp.mux.sing-box.arpa\0\2", 24);
    assert_true(bench_answered(fd));
    assert_true(closed(fd));
}

static void streams_of_bytes_are_refused_where_only_datagrams_are_allowed(void **state)
{
    struct bench *b = *state;
    static const struct vless_conf vision = {.vision = true};
    bench_change(b)->stages[0].conf = &vision;
    bench_publish(b, 2, NULL, 0);
    bench_settle(b);
    int fd = carrier(b, 0);
    open_stream(fd, 1, b->origin_port, "e");
    assert_true(closed(fd));
}

static void a_removed_user_loses_carrier_streams_and_flows(void **state)
{
    struct bench *b = *state;
    uint64_t n;
    int fd = carrier(b, 1), target;
    open_stream(fd, 1, b->target_port, NULL);
    target = accept(b->target_fd, NULL, NULL);
    open_with_id(fd, 2, MUX_UDP, b->target_port, "x", 1, "12345678");
    end(fd, 2); /* this one waits for its client */
    bench_wait_open(b, 3);
    struct user_rt *removed[] = {&b->users[1]};
    bench_publish(b, 1, removed, 1);
    bench_drain(target, &n);
    bench_drain(fd, &n);
    close(target);
    close(fd);
    while (b->released == 0)
        loop_once(b->loop, 1000);
    bench_wait_open(b, 0);
}

/* ---- flows of datagrams ---------------------------------------------------------------------- */

static int udp_target(uint16_t *port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    *port = ntohs(sa.sin_port);
    return fd;
}

/* Receives one that must be @want; returns the port it came from. */
static uint16_t expect_datagram(int udp, const char *want, struct sockaddr_in *from)
{
    char got[256] = "";
    socklen_t len = sizeof(*from);
    ssize_t n = recvfrom(udp, got, sizeof(got) - 1, 0, (struct sockaddr *)from, &len);
    assert_true(n >= 0);
    assert_string_equal(got, want);
    return ntohs(from->sin_port);
}

static void keep_datagram(int fd, uint16_t id, uint16_t port, const char *data)
{
    uint8_t f[MUX_KEEP_ADDR_MAX];
    struct addr to = {.family = ADDR_IP4, .port = port, .ip = {127, 0, 0, 1}};
    size_t n = strlen(data);
    bench_send(fd, f, mux_frame_keep_from_ip(f, id, &to, (uint16_t)n));
    bench_send(fd, data, n);
}

static void one_flow_reaches_many_targets_and_answers_bear_their_source(void **state)
{
    struct bench *b = *state;
    uint16_t pa, pb;
    int a = udp_target(&pa), c = udp_target(&pb), fd = carrier(b, 0);
    struct sockaddr_in from;
    struct mux_frame f;
    static uint8_t data[65536];
    open_with_id(fd, 0, MUX_UDP, pa, "one", 3, NULL);
    keep_datagram(fd, 0, pb, "two");
    keep(fd, 0, "three", 5);
    uint16_t port = expect_datagram(a, "one", &from);
    assert_int_equal(expect_datagram(a, "three", &from), port); /* no address: the first target */
    assert_int_equal(expect_datagram(c, "two", &from), port);
    assert_int_equal(sendto(c, "answer", 6, 0, (struct sockaddr *)&from, sizeof(from)), 6);
    assert_true(bench_answered(fd));
    assert_true(next_frame(fd, &f, data));
    assert_int_equal(f.id, 0);
    assert_int_equal(f.option, MUX_OPT_DATA);
    assert_int_equal(f.network, MUX_UDP);
    assert_int_equal(f.target.addr.port, pb);
    assert_memory_equal(data, "answer", 6);
    end(fd, 0);
    expect_end(fd, 0, MUX_OPT_ERROR);
    close(fd);
    close(a);
    close(c);
    bench_wait_open(b, 0);
    assert_int_equal(bench_counted(b, 0, true), 11);
    assert_int_equal(bench_counted(b, 0, false), 6);
}

static void a_flow_keeps_its_port_over_carriers_and_workers(void **state)
{
    struct bench *b = *state;
    uint16_t port, seen = 0;
    int udp = udp_target(&port);
    struct sockaddr_in from;
    /* Each carrier comes to one worker or the other. */
    for (unsigned i = 0; i < 24; i++) {
        int fd = carrier(b, 0);
        open_with_id(fd, 0, MUX_UDP, port, "hi", 2, "abcdefgh");
        uint16_t got = expect_datagram(udp, "hi", &from);
        assert_true(i == 0 || got == seen);
        seen = got;
        sendto(udp, "back", 4, 0, (struct sockaddr *)&from, sizeof(from));
        assert_true(bench_answered(fd));
        expect_data(fd, 0, "back");
        if (i % 3 == 0) { /* ended in order; or with its carrier; or by a reset */
            end(fd, 0);
            expect_end(fd, 0, MUX_OPT_ERROR);
        }
        if (i % 3 == 2)
            bench_reset(fd);
        else
            close(fd);
    }
    close(udp);
}

static void a_flow_that_is_taken_over_ends_where_it_was(void **state)
{
    struct bench *b = *state;
    uint16_t port;
    int udp = udp_target(&port), old[12];
    struct sockaddr_in from;
    for (unsigned i = 0; i < 12; i++) {
        old[i] = carrier(b, 0);
        open_with_id(old[i], 5, MUX_UDP, port, "hi", 2, "abcdefgh");
        expect_datagram(udp, "hi", &from);
        if (i == 0)
            continue;
        assert_true(bench_answered(old[i - 1]));
        expect_end(old[i - 1], 5, 0);
    }
    sendto(udp, "to the last", 11, 0, (struct sockaddr *)&from, sizeof(from));
    assert_true(bench_answered(old[11]));
    expect_data(old[11], 5, "to the last");
    for (unsigned i = 0; i < 12; i++)
        close(old[i]);
    close(udp);
}

static void the_same_id_of_another_user_is_another_flow(void **state)
{
    struct bench *b = *state;
    uint16_t port;
    int udp = udp_target(&port), mine = carrier(b, 0), other = carrier(b, 1);
    struct sockaddr_in from, from_other;
    open_with_id(mine, 0, MUX_UDP, port, "mine", 4, "abcdefgh");
    uint16_t seen = expect_datagram(udp, "mine", &from);
    open_with_id(other, 0, MUX_UDP, port, "other", 5, "abcdefgh");
    assert_int_not_equal(expect_datagram(udp, "other", &from_other), seen);
    sendto(udp, "for me", 6, 0, (struct sockaddr *)&from, sizeof(from));
    assert_true(bench_answered(mine));
    expect_data(mine, 0, "for me");
    close(mine);
    close(other);
    close(udp);
}

static void what_comes_while_a_flow_waits_is_delivered_when_it_is_back(void **state)
{
    struct bench *b = *state;
    uint16_t port;
    int udp = udp_target(&port);
    struct sockaddr_in from;
    for (unsigned i = 0; i < 8; i++) {
        int fd = carrier(b, 0);
        open_with_id(fd, 0, MUX_UDP, port, "hi", 2, "abcdefgh");
        expect_datagram(udp, "hi", &from);
        if (i > 0) {
            assert_true(bench_answered(fd));
            expect_data(fd, 0, "missed you");
        }
        close(fd);
        bench_wait_open(b, 1); /* the flow alone */
        sendto(udp, "missed you", 10, 0, (struct sockaddr *)&from, sizeof(from));
    }
    close(udp);
}

static void a_node_that_goes_does_not_wait_for_flows_that_wait(void **state)
{
    struct bench *b = *state;
    uint16_t port;
    int udp = udp_target(&port), fd = carrier(b, 0);
    struct sockaddr_in from;
    open_with_id(fd, 0, MUX_UDP, port, "hi", 2, "abcdefgh");
    expect_datagram(udp, "hi", &from);
    close(fd);
    bench_wait_open(b, 1);
    b->plane.remove(b->plane.self, 0, 600000);
    bench_pump_until(b, &b->gone);
    close(udp);
}

/* Its client has no way to open them elsewhere. */
static void a_carrier_of_a_node_that_goes_takes_streams(void **state)
{
    struct bench *b = *state;
    int fd = carrier(b, 0);
    open_stream(fd, 1, b->origin_port, "ebefore");
    assert_true(bench_answered(fd));
    expect_data(fd, 1, "before");
    b->plane.remove(b->plane.self, 0, 600000);
    bench_settle(b);
    open_stream(fd, 2, b->origin_port, "eafter");
    expect_data(fd, 2, "after");
    close(fd);
    bench_pump_until(b, &b->gone);
}

static void flows_that_wait_are_few(void **state)
{
    /* Not the bench of the other cases: room for 16 sessions, so for two that wait. */
    const struct bench_conf conf = {.workers = 1, .sessions_max = 16};
    struct bench *b = bench_new(&conf);
    uint16_t port;
    int udp = udp_target(&port);
    (void)state;
    bench_open(b);
    int fd = carrier(b, 0);
    for (char i = 0; i < 9; i++) {
        char id[] = "flow....";
        struct sockaddr_in from;
        id[7] = i;
        open_with_id(fd, (uint16_t)i, MUX_UDP, port, "hi", 2, id);
        expect_datagram(udp, "hi", &from);
        end(fd, (uint16_t)i);
        bench_wait_open(b, i < 2 ? 2u + (unsigned)i : 3);
    }
    close(fd);
    close(udp);
    bench_free(b);
}

static void with_little_memory_streams_are_slow_or_end_and_nothing_else_does(void **state)
{
    const struct bench_conf conf = {.workers = 1, .memory_budget = 1536 * 1024};
    struct bench *b = bench_new(&conf);
    static uint8_t data[65536];
    size_t got[13] = {0};
    struct mux_frame f;
    unsigned ended = 0;
    (void)state;
    bench_open(b);
    int fd = carrier(b, 0);
    for (uint16_t id = 1; id <= 12; id++)
        open_stream(fd, id, b->origin_port, "s");
    bool answered = bench_answered(fd);
    while (answered && ended < 12 && next_frame(fd, &f, data)) {
        for (size_t i = 0; i < f.data_len; i++)
            if (data[i] != bench_pattern(got[f.id] + i))
                fail_msg("stream %u, byte %zu is wrong", f.id, got[f.id] + i);
        got[f.id] += f.data_len;
        ended += f.status == MUX_END;
    }
    close(fd);
    bench_wait_open(b, 0);
    fd = carrier(b, 0);
    open_stream(fd, 1, b->origin_port, "ealive");
    assert_true(bench_answered(fd));
    expect_data(fd, 1, "alive");
    close(fd);
    bench_free(b);
}

static void a_full_worker_refuses_streams_and_keeps_the_carrier(void **state)
{
    const struct bench_conf conf = {.workers = 1, .sessions_max = 16};
    struct bench *b = bench_new(&conf);
    (void)state;
    bench_open(b);
    int fd = carrier(b, 0);
    for (uint16_t id = 1; id <= 20; id++)
        open_stream(fd, id, b->origin_port, "h");
    assert_true(bench_answered(fd));
    static uint8_t data[65536];
    struct mux_frame f;
    unsigned held = 0, refused = 0;
    while (held + refused < 20) {
        assert_true(next_frame(fd, &f, data));
        held += f.status == MUX_KEEP;
        refused += f.status == MUX_END && f.option == MUX_OPT_ERROR;
    }
    assert_int_equal(held, 15);
    assert_int_equal(refused, 5);
    close(fd);
    bench_free(b);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_stream_echoes_and_only_its_payload_is_counted),
        CASE(a_target_that_ends_ends_its_stream_after_its_last_byte),
        CASE(a_target_that_refuses_ends_its_stream_with_the_error_mark),
        CASE(large_streams_side_by_side_arrive_whole),
        CASE(an_end_lets_what_was_sent_arrive),
        CASE(an_end_that_comes_before_the_target_lets_what_was_sent_arrive),
        CASE(a_target_that_does_not_read_holds_the_client_back_and_loses_nothing),
        CASE(answers_that_nobody_reads_hold_a_carrier_up_and_lose_nothing),
        CASE(the_end_of_the_carrier_ends_its_streams),
        CASE(a_broken_frame_ends_the_carrier_and_its_streams),
        CASE(a_carrier_may_be_asked_for_by_name),
        CASE(another_kind_of_multiplex_is_closed),
        CASE(streams_of_bytes_are_refused_where_only_datagrams_are_allowed),
        CASE(a_removed_user_loses_carrier_streams_and_flows),
        CASE(one_flow_reaches_many_targets_and_answers_bear_their_source),
        CASE(a_flow_keeps_its_port_over_carriers_and_workers),
        CASE(a_flow_that_is_taken_over_ends_where_it_was),
        CASE(the_same_id_of_another_user_is_another_flow),
        CASE(what_comes_while_a_flow_waits_is_delivered_when_it_is_back),
        CASE(a_node_that_goes_does_not_wait_for_flows_that_wait),
        CASE(a_carrier_of_a_node_that_goes_takes_streams),
        cmocka_unit_test(flows_that_wait_are_few),
        cmocka_unit_test(with_little_memory_streams_are_slow_or_end_and_nothing_else_does),
        cmocka_unit_test(a_full_worker_refuses_streams_and_keeps_the_carrier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
