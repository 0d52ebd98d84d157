/* The data plane against real sockets: two workers, a VLESS node on a loopback port, an origin
 * in a thread, clients with blocking sockets. The control plane is this thread: it publishes
 * views and pumps its loop for what workers tell it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/loop.h"
#include "io/sockaddr.h"
#include "base/arena.h"
#include "policy/fallback.h"
#include "registry/registry.h"
#include "proto/vless/vless.h"
#include "session/workers.h"

#define WORKERS 2
#define SLOTS   64
#define BULK    (8u * 1024 * 1024)

/* ---- the origin: answers by the first byte it gets ---- */

enum origin_wish {
    WISH_ECHO = 'e',   /* sends back what follows, ends when the client ends */
    WISH_SOURCE = 's', /* sends BULK bytes and ends */
    WISH_COUNT = 'c',  /* reads to the end, then answers with the sum in 8 bytes */
    WISH_HOLD = 'h',   /* says 'H' and waits for the end */
};

static void send_all(int fd, const void *data, size_t n)
{
    const uint8_t *p = data;
    while (n > 0) {
        ssize_t put = send(fd, p, n, MSG_NOSIGNAL);
        if (put <= 0)
            return;
        p += put;
        n -= (size_t)put;
    }
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 7 + i / 253);
}

static void serve_source(int fd)
{
    static uint8_t block[65536];
    for (size_t at = 0; at < BULK; at += sizeof(block)) {
        for (size_t i = 0; i < sizeof(block); i++)
            block[i] = pattern(at + i);
        send_all(fd, block, sizeof(block));
    }
}

static void serve_count(int fd)
{
    uint8_t buf[65536];
    uint64_t sum = 0;
    ssize_t n;
    while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
        sum += (uint64_t)n;
    send_all(fd, &sum, sizeof(sum));
}

static void *serve_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char wish = 0, buf[65536];
    ssize_t n = recv(fd, &wish, 1, 0);
    if (n == 1 && wish == WISH_ECHO)
        while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
            send_all(fd, buf, (size_t)n);
    if (n == 1 && wish == WISH_SOURCE)
        serve_source(fd);
    if (n == 1 && wish == WISH_COUNT)
        serve_count(fd);
    if (n == 1 && wish == WISH_HOLD) {
        send_all(fd, "H", 1);
        while (recv(fd, buf, sizeof(buf), 0) > 0)
            ;
    }
    close(fd);
    return NULL;
}

static void *origin_main(void *arg)
{
    int lfd = (int)(intptr_t)arg, fd;
    while ((fd = accept(lfd, NULL, NULL)) >= 0) {
        pthread_t t;
        if (pthread_create(&t, NULL, serve_one, (void *)(intptr_t)fd) == 0)
            pthread_detach(t);
    }
    return NULL;
}

static int listen_loopback(uint16_t *port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    *port = ntohs(sa.sin_port);
    return fd;
}

/* ---- the plane under test ---- */

struct bench {
    struct loop *loop;
    struct workers *workers;
    struct plane plane;
    struct plane_sink sink;
    struct meter meters[WORKERS];
    struct meter_cell cells[WORKERS][SLOTS];
    _Atomic uint64_t dirty[WORKERS][1];
    struct log log;
    struct log_sink log_sink;
    struct vless_conf vless;
    struct view_node node, moved; /* const once published */
    const struct view_node *current;
    struct user_rt users[2];
    struct arena *arena;
    uint16_t port, origin_port;
    int origin_fd;
    pthread_t origin;
    bool listening, busy, gone;
    unsigned released, views;
    size_t alive_n;
    struct plane_alive alive[8];
    bool alive_told;
};

static void on_listening(void *self, uint32_t node_no, struct why why, const struct addr *where)
{
    struct bench *b = self;
    (void)node_no;
    (void)where;
    b->listening = why.text == NULL;
    b->busy = why.status == ST_E_BUSY;
}

static void on_gone(void *self, uint32_t node_no)
{
    (void)node_no;
    ((struct bench *)self)->gone = true;
}

static void on_alive(void *self, uint32_t node_no, const struct plane_alive *list, size_t n)
{
    struct bench *b = self;
    (void)node_no;
    b->alive_n = n < 8 ? n : 8;
    memcpy(b->alive, list, b->alive_n * sizeof(list[0]));
    b->alive_told = true;
}

static void on_released(void *self, struct user_rt *u)
{
    (void)u;
    ((struct bench *)self)->released++;
}

static void drop_line(struct log_sink *s, const char *line, size_t len)
{
    (void)s;
    (void)line;
    (void)len;
}

static void release_view(struct view *v)
{
    user_index_free(v->users);
    free(v);
}

static void publish(struct bench *b, unsigned users, struct user_rt *const *removed, size_t n)
{
    struct user_rt *list[2] = {&b->users[0], &b->users[1]};
    struct view *v = calloc(1, sizeof(*v));
    assert_non_null(v);
    v->refs = 1;
    v->node = b->current;
    v->release = release_view;
    assert_int_equal(user_index_new(list, users, 1, &v->users, NULL), ST_OK);
    b->plane.publish(b->plane.self, v, removed, n);
}

static void pump_until(struct bench *b, const bool *flag)
{
    while (!*flag)
        loop_once(b->loop, 1000);
}

static int setup(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    struct bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    *state = b;
    b->loop = loop_new();
    assert_non_null(b->loop);
    b->origin_fd = listen_loopback(&b->origin_port);
    pthread_create(&b->origin, NULL, origin_main, (void *)(intptr_t)b->origin_fd);
    close(listen_loopback(&b->port));
    b->log_sink.write = drop_line;
    b->log = (struct log){.sink = &b->log_sink, .level = LOG_DEBUG};
    b->sink = (struct plane_sink){.self = b,
                                  .listening = on_listening,
                                  .node_gone = on_gone,
                                  .alive = on_alive,
                                  .user_released = on_released};
    struct rng *rngs[WORKERS] = {0};
    struct crypto_ctx *cryptos[WORKERS] = {0};
    for (unsigned i = 0; i < WORKERS; i++)
        b->meters[i] = (struct meter){b->cells[i], b->dirty[i], SLOTS};
    struct workers_conf conf = {.count = WORKERS,
                                .control = b->loop,
                                .sink = &b->sink,
                                .log = &b->log,
                                .meters = b->meters,
                                .rngs = rngs,
                                .cryptos = cryptos,
                                .sessions_max = 4096};
    assert_int_equal(workers_new(&conf, &b->workers), ST_OK);
    workers_plane(b->workers, &b->plane);
    b->node = (struct view_node){
        .tag = "test",
        .listen = {{.family = ADDR_IP4, .port = b->port, .ip = {127, 0, 0, 1}}},
        .listen_count = 1,
        .stages = {{&vless_server_ops, &b->vless}},
        .stage_count = 1,
        .timeouts = {.handshake = 20000, .idle = 60000, .uplink_only = 5000, .downlink_only = 5000},
        .allow_private = true,
        .source_max = 256};
    b->current = &b->node;
    for (unsigned i = 0; i < 2; i++) {
        b->users[i] = (struct user_rt){.uid = 11 + i, .slot = i, .refs = 1};
        memset(b->users[i].uuid, 0x41 + (int)i, UUID_LEN);
        b->users[i].uuid[6] = b->users[i].uuid[7] = 0;
    }
    publish(b, 2, NULL, 0);
    pump_until(b, &b->listening);
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    workers_free(b->workers);
    shutdown(b->origin_fd, SHUT_RDWR);
    pthread_join(b->origin, NULL);
    close(b->origin_fd);
    loop_free(b->loop);
    arena_free(b->arena);
    free(b);
    return 0;
}

/* ---- the client ---- */

static int dial_node(const struct bench *b)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(b->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

/* Header of a request of user @who to the loopback @port. */
static size_t header(const struct bench *b, unsigned who, uint8_t cmd, uint16_t port, uint8_t *out)
{
    size_t n = 0;
    out[n++] = 0;
    memcpy(out + n, b->users[who].uuid, 16);
    n += 16;
    out[n++] = 0;
    out[n++] = cmd;
    out[n++] = (uint8_t)(port >> 8);
    out[n++] = (uint8_t)port;
    out[n++] = 1;
    memcpy(out + n, "\x7f\0\0\1", 4);
    return n + 4;
}

static int open_stream(const struct bench *b, unsigned who, enum origin_wish wish)
{
    uint8_t head[64];
    size_t n = header(b, who, 1, b->origin_port, head);
    head[n++] = (uint8_t)wish;
    int fd = dial_node(b);
    send_all(fd, head, n);
    return fd;
}

static void read_exactly(int fd, void *dst, size_t n)
{
    uint8_t *p = dst;
    while (n > 0) {
        ssize_t got = recv(fd, p, n, 0);
        if (got <= 0)
            fail_msg("connection ended %zu bytes early", n);
        p += got;
        n -= (size_t)got;
    }
}

static void expect_response_header(int fd)
{
    uint8_t head[2];
    read_exactly(fd, head, 2);
    assert_int_equal(head[0], 0);
    assert_int_equal(head[1], 0);
}

static uint64_t counted(const struct bench *b, unsigned slot, bool up)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < WORKERS; i++)
        sum += up ? b->cells[i][slot].up : b->cells[i][slot].down;
    return sum;
}

/* ---- cases ---- */

static void an_echo_comes_back_and_is_counted(void **state)
{
    struct bench *b = *state;
    int fd = open_stream(b, 0, WISH_ECHO);
    char got[6] = "";
    send_all(fd, "hello", 5);
    expect_response_header(fd);
    read_exactly(fd, got, 5);
    assert_string_equal(got, "hello");
    shutdown(fd, SHUT_WR);
    assert_int_equal(recv(fd, got, 1, 0), 0); /* the end comes through */
    close(fd);
    assert_int_equal(counted(b, 0, true), 6);
    assert_int_equal(counted(b, 0, false), 5);
}

static void a_large_download_arrives_whole(void **state)
{
    struct bench *b = *state;
    int fd = open_stream(b, 1, WISH_SOURCE);
    uint8_t *got = malloc(BULK);
    assert_non_null(got);
    expect_response_header(fd);
    read_exactly(fd, got, BULK);
    for (size_t i = 0; i < BULK; i++)
        if (got[i] != pattern(i))
            fail_msg("byte %zu is wrong", i);
    assert_int_equal(recv(fd, got, 1, 0), 0);
    close(fd);
    free(got);
    assert_int_equal(counted(b, 1, false), BULK);
}

static void a_large_upload_arrives_whole_and_the_answer_follows_the_half_close(void **state)
{
    struct bench *b = *state;
    int fd = open_stream(b, 0, WISH_COUNT);
    uint8_t *data = calloc(1, BULK);
    assert_non_null(data);
    send_all(fd, data, BULK);
    shutdown(fd, SHUT_WR);
    uint64_t sum = 0;
    expect_response_header(fd);
    read_exactly(fd, &sum, sizeof(sum));
    assert_int_equal(sum, BULK);
    close(fd);
    free(data);
    assert_int_equal(counted(b, 0, true), BULK + 1);
}

static void a_stranger_is_closed_and_learns_nothing(void **state)
{
    struct bench *b = *state;
    uint8_t head[64];
    char got;
    size_t n = header(b, 0, 1, b->origin_port, head);
    head[5] ^= 0xff;
    int fd = dial_node(b);
    send_all(fd, head, n);
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
    size_t n = header(b, 0, 2, ntohs(sa.sin_port), head);
    memcpy(head + n, "\0\3one\0\5three", 12);
    int fd = dial_node(b);
    send_all(fd, head, n + 12);
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
    assert_int_equal(counted(b, 0, true), 8);
    assert_int_equal(counted(b, 0, false), 4);
}

static void a_removed_user_is_cut_and_others_are_not(void **state)
{
    struct bench *b = *state;
    char got;
    int gone = open_stream(b, 1, WISH_HOLD), stays = open_stream(b, 0, WISH_ECHO);
    expect_response_header(gone);
    read_exactly(gone, &got, 1);
    send_all(stays, "x", 1);
    expect_response_header(stays);
    read_exactly(stays, &got, 1);
    struct user_rt *removed[] = {&b->users[1]};
    publish(b, 1, removed, 1);
    assert_int_equal(recv(gone, &got, 1, 0), 0);
    close(gone);
    while (b->released == 0)
        loop_once(b->loop, 1000);
    assert_int_equal(b->released, 1);
    send_all(stays, "y", 1);
    read_exactly(stays, &got, 1);
    assert_int_equal(got, 'y');
    close(stays);
    int again = open_stream(b, 1, WISH_ECHO);
    ssize_t rc = recv(again, &got, 1, 0);
    assert_true(rc <= 0);
    close(again);
}

static void a_busy_port_is_told_and_taken_when_it_is_free(void **state)
{
    struct bench *b = *state;
    uint16_t taken;
    int other = listen_loopback(&taken);
    b->moved = b->node;
    b->moved.listen[0].port = taken;
    b->current = &b->moved;
    b->listening = false;
    publish(b, 2, NULL, 0);
    pump_until(b, &b->busy);
    assert_false(b->listening);
    close(other);
    pump_until(b, &b->listening);
    b->port = taken;
    int fd = open_stream(b, 0, WISH_ECHO);
    close(fd);
}

static void sources_with_traffic_are_told_once(void **state)
{
    struct bench *b = *state;
    char got;
    int fd = open_stream(b, 0, WISH_HOLD);
    expect_response_header(fd);
    read_exactly(fd, &got, 1);
    b->plane.collect_alive(b->plane.self, 0);
    pump_until(b, &b->alive_told);
    assert_int_equal(b->alive_n, 1);
    assert_int_equal(b->alive[0].uid, 11);
    assert_int_equal(b->alive[0].bytes, 2);
    assert_int_equal(b->alive[0].ip.ip[0], 127);
    assert_int_equal(b->alive[0].ip.port, 0);
    b->alive_told = false;
    b->plane.collect_alive(b->plane.self, 0);
    pump_until(b, &b->alive_told);
    assert_int_equal(b->alive_n, 1); /* it still holds a session */
    assert_int_equal(b->alive[0].bytes, 0);
    close(fd);
}

static void a_node_goes_when_its_sessions_have_gone(void **state)
{
    struct bench *b = *state;
    char got;
    int fd = open_stream(b, 0, WISH_HOLD);
    expect_response_header(fd);
    read_exactly(fd, &got, 1);
    b->plane.remove(b->plane.self, 0, 50);
    pump_until(b, &b->gone);
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
    b->arena = arena_new();
    size_t bad = 0;
    b->moved = b->node;
    assert_int_equal(fallback_build(b->arena, &rule, 1, &b->moved.fallback, &bad), ST_OK);
    static const struct vless_conf diverts = {.fallback = true};
    b->moved.stages[0].conf = &diverts;
    b->current = &b->moved;
    publish(b, 2, NULL, 0);
    /* Messages to a worker are carried out in order: once all have answered this, all have the
     * view. */
    b->plane.collect_alive(b->plane.self, 0);
    pump_until(b, &b->alive_told);
    int fd = dial_node(b);
    send_all(fd, "eGET / HTTP/1.1\r\nHost: x\r\n\r\n", 28);
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
