#include "session/test_screen.h"

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
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "proto/mux/frame.h"

static void keep_line(struct log_sink *sink, const char *line, size_t len)
{
    struct test_screen *s = LIST_ENTRY(sink, struct test_screen, sink);

    pthread_mutex_lock(&s->lock);
    if (memmem(line, len, " blocked by rule ", 17) != NULL)
        snprintf(s->line, sizeof(s->line), "%.*s", (int)len, line);
    s->failures += memmem(line, len, " failed: ", 9) != NULL;
    pthread_mutex_unlock(&s->lock);
}

static void keep_visit(struct log_sink *sink, const char *line, size_t len)
{
    struct test_screen *s = LIST_ENTRY(sink, struct test_screen, access);

    pthread_mutex_lock(&s->lock);
    size_t have = strlen(s->visits);
    snprintf(s->visits + have, sizeof(s->visits) - have, "%.*s", (int)len, line);
    pthread_mutex_unlock(&s->lock);
}

static void bad_rule(void *arg, const struct audit_item *item, bool used, const char *problem)
{
    (void)arg;
    (void)used;
    fail_msg("%s: %s", item->text, problem);
}

/* The rules of @no, as separate lines. */
const struct audit *test_screen_rules(struct test_screen *s, unsigned no, const char *const *lines,
                                      size_t n)
{
    struct audit_item items[8];

    for (size_t i = 0; i < n; i++)
        items[i] = (struct audit_item){
            .text = lines[i], .len = strlen(lines[i]), .id = (uint32_t)i + 1, .as = AUDIT_AS_ANY};
    assert_int_equal(audit_list_build(s->arena, items, n, bad_rule, NULL, &s->list[no]), ST_OK);
    s->audit[no] = (struct audit){.lists = {s->list[no]}, .count = 1};
    return &s->audit[no];
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

int test_screen_setup(void **state)
{
    static const char *const lines[] = {"domain:blocked.example", "full:localhost",
                                        "protocol:bittorrent", "ip:127.66.0.0/16"};
    struct test_screen *s = calloc(1, sizeof(*s));
    uint16_t port;

    assert_non_null(s);
    s->dns = udp_socket(&port);
    snprintf(s->name_servers, sizeof(s->name_servers), "127.0.0.1:%u", port);
    s->access.write = keep_visit;
    const struct bench_conf conf = {.name_servers = s->name_servers, .access = &s->access};
    pthread_mutex_init(&s->lock, NULL);
    s->arena = arena_new();
    s->hits = audit_hits_new();
    s->b = bench_new(&conf);
    s->sink.write = keep_line;
    s->b->log.sink = &s->sink;
    s->b->node.audit = test_screen_rules(s, 0, lines, 4);
    s->b->node.audit_hits = s->hits;
    s->b->node.sniff =
        (struct view_sniff){.first_ms = TEST_SCREEN_HOUR, .whole_ms = TEST_SCREEN_HOUR};
    s->udp = udp_socket(&s->udp_port);
    bench_open(s->b);
    *state = s;
    return 0;
}

int test_screen_teardown(void **state)
{
    struct test_screen *s = *state;

    bench_free(s->b);
    for (unsigned i = 0; i < 2; i++)
        audit_list_fini(s->list[i]);
    arena_free(s->arena);
    audit_hits_free(s->hits);
    close(s->udp);
    close(s->dns);
    pthread_mutex_destroy(&s->lock);
    free(s);
    return 0;
}

/* ---- what is seen ---------------------------------------------------------------------------- */

/* Nobody has connected to the test's target. All sessions have ended before. */
void test_screen_no_dial(struct test_screen *s)
{
    int flags = fcntl(s->b->target_fd, F_GETFL);

    assert_int_equal(fcntl(s->b->target_fd, F_SETFL, flags | O_NONBLOCK), 0);
    assert_int_equal(accept(s->b->target_fd, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(fcntl(s->b->target_fd, F_SETFL, flags), 0);
}

void test_screen_no_lookup(struct test_screen *s)
{
    char got;

    assert_int_equal(recv(s->dns, &got, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

/* One question a message; what comes again is answered again. */
void test_screen_answer(struct test_screen *s, const char (*ips)[4], size_t n)
{
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4};
    bool four = false, six = false;

    while (!four || !six) {
        uint8_t q[512];
        struct sockaddr_in from;
        socklen_t len = sizeof(from);
        ssize_t got = recvfrom(s->dns, q, sizeof(q), 0, (struct sockaddr *)&from, &len);
        assert_true(got > 17);
        size_t end = 12;
        while (q[end] != 0)
            end += q[end] + 1u;
        bool a = q[end + 2] == 1;
        *(a ? &four : &six) = true;
        end += 5;
        q[2] |= 0x80;
        q[7] = a ? (uint8_t)n : 0;
        q[11] = 0; /* no additional records */
        for (size_t i = 0; a && i < n; i++) {
            memcpy(q + end, record, sizeof(record));
            memcpy(q + end + sizeof(record), ips[i], 4);
            end += sizeof(record) + 4;
        }
        assert_int_equal(sendto(s->dns, q, end, 0, (struct sockaddr *)&from, len), end);
    }
}

/* @fd is ended as if its target could not be reached: nothing comes but the two bytes that VLESS
 * answers with; so often has a rule been hit, and this was said last. */
void test_screen_blocked(struct test_screen *s, int fd, unsigned hits, const char *line)
{
    uint64_t n;

    (void)bench_drain(fd, &n);
    assert_int_equal(n, 2);
    close(fd);
    bench_wait_open(s->b, 0);
    assert_int_equal(audit_hits_sum(s->hits).hits, hits);
    pthread_mutex_lock(&s->lock);
    if (strstr(s->line, line) == NULL)
        fail_msg("not in the log: %s, but %s", line, s->line);
    assert_non_null(strstr(s->line, "[test] user=11 "));
    assert_int_equal(s->failures, 0);
    pthread_mutex_unlock(&s->lock);
    assert_int_equal(bench_counted(s->b, 0, true) + bench_counted(s->b, 0, false), 0);
}

void test_screen_bytes(int fd, const void *data, size_t n)
{
    static uint8_t got[65536];

    assert_true(n <= sizeof(got));
    assert_true(bench_read(fd, got, n));
    assert_memory_equal(got, data, n);
}

/* ---- what is said ---------------------------------------------------------------------------- */

/* A request for a name; command 1 TCP, 2 UDP. */
size_t test_screen_header(struct test_screen *s, const char *name, uint8_t cmd, uint16_t port,
                          uint8_t *out)
{
    size_t n = bench_header(s->b, 0, cmd, port, out) - 5, len = strlen(name);

    out[n++] = 2;
    out[n++] = (uint8_t)len;
    memcpy(out + n, name, len);
    return n + len;
}

/* Asks for the test's target by its address. */
int test_screen_ask(struct test_screen *s)
{
    uint8_t head[64];
    const int on = 1;
    int fd = bench_dial(s->b);

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    bench_send(fd, head, bench_header(s->b, 0, 1, s->b->target_port, head));
    return fd;
}

int test_screen_accept(struct test_screen *s)
{
    int fd = accept(s->b->target_fd, NULL, NULL);

    assert_true(fd >= 0);
    return fd;
}
void test_screen_sniff_for(struct test_screen *s, uint32_t first_ms, uint32_t whole_ms)
{
    bench_change(s->b)->sniff = (struct view_sniff){.first_ms = first_ms, .whole_ms = whole_ms};
    bench_open(s->b);
    bench_settle(s->b);
}

void test_screen_new_stream(int fd, uint16_t id, uint8_t network, const char *ip, uint16_t port,
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

int test_screen_carrier(struct test_screen *s)
{
    uint8_t head[64];
    int fd = bench_dial(s->b);

    bench_header(s->b, 0, 3, 0, head);
    bench_send(fd, head, 19);
    return fd;
}

void test_screen_failed_end(int fd, uint16_t id)
{
    uint8_t got[MUX_END_LEN];

    assert_true(bench_read(fd, got, sizeof(got)));
    assert_int_equal(get_be16(got + 2), id);
    assert_int_equal(got[4], MUX_END);
    assert_int_equal(got[5], MUX_OPT_ERROR);
}
