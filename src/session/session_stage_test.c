/* Sessions over TLS and WebSocket, as clients see them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/base64.h"
#include "codec/ws_frame.h"
#include "policy/fallback.h"
#include "proto/vless/vless.h"
#include "session/test_plane.h"
#include "tls/test_client.h"

static int setup(void **state)
{
    *state = bench_new(NULL);
    return 0;
}

static int teardown(void **state)
{
    bench_wait_open(*state, 0);
    bench_free(*state);
    return 0;
}

/* ---- a TLS client ---------------------------------------------------------------------------- */

static const struct conf_context self_signed = {.self_signed = true, .cert_domain = "a.test"};

struct tls_link {
    int fd;
    struct test_client *c;
};

static void tls_flush(struct tls_link *l, const uint8_t *in, size_t n)
{
    static uint8_t out[65536];
    size_t said;
    while ((said = test_client_talk(l->c, in, n, out, sizeof(out))) > 0) {
        bench_send(l->fd, out, said);
        n = 0;
    }
}

static struct tls_link tls_open(struct bench *b, const struct test_client_options *o,
                                const void *before, size_t n)
{
    struct tls_link l = {.fd = bench_dial(b), .c = test_client_new(o)};
    assert_non_null(l.c);
    if (n > 0) { /* in one segment with the hello */
        uint8_t out[4096];
        memcpy(out, before, n);
        n += test_client_talk(l.c, NULL, 0, out + n, sizeof(out) - n);
        bench_send(l.fd, out, n);
    } else {
        tls_flush(&l, NULL, 0);
    }
    return l;
}

/* Reads once; false at the end of the connection, *@in_order telling how it ended. */
static bool tls_step(struct tls_link *l, bool *in_order)
{
    static uint8_t in[65536];
    ssize_t n = recv(l->fd, in, sizeof(in), 0);
    *in_order = n == 0;
    if (n <= 0)
        return false;
    tls_flush(l, in, (size_t)n);
    return true;
}

static void tls_read(struct tls_link *l, size_t want)
{
    size_t have = 0;
    bool in_order;
    while ((void)test_client_data(l->c, &have), have < want)
        assert_true(tls_step(l, &in_order));
}

static void tls_close(struct tls_link *l)
{
    close(l->fd);
    test_client_free(l->c);
}

static size_t request(const struct bench *b, enum bench_wish wish, const char *payload,
                      uint8_t *out)
{
    size_t n = bench_header(b, 0, 1, b->origin_port, out);
    out[n++] = (uint8_t)wish;
    memcpy(out + n, payload, strlen(payload));
    return n + strlen(payload);
}

static void echo_over_tls(struct bench *b, uint16_t version, const void *before, size_t n)
{
    uint8_t head[80];
    size_t len = request(b, WISH_ECHO, "hello", head), have;
    const struct test_client_options o = {.version = version, .send = head, .send_len = len};
    struct tls_link l = tls_open(b, &o, before, n);
    bool in_order;
    tls_read(&l, 7);
    assert_memory_equal(test_client_data(l.c, &have), "\0\0hello", 7);
    test_client_close(l.c); /* our end goes to the origin, which ends too */
    tls_flush(&l, NULL, 0);
    while (tls_step(&l, &in_order))
        ;
    assert_true(in_order);
    assert_true(test_client_eof(l.c));
    tls_close(&l);
}

static void streams_run_over_both_versions_of_tls(void **state)
{
    struct bench *b = *state;
    bench_put_below(b, "tls", NULL, &self_signed);
    bench_open(b);
    echo_over_tls(b, 0x0304, NULL, 0);
    echo_over_tls(b, 0x0303, NULL, 0);
}

static void a_proxy_header_and_a_tls_hello_share_a_segment(void **state)
{
    struct bench *b = *state;
    static const char v1[] = "PROXY TCP4 198.51.100.7 203.0.113.1 4000 443\r\n";
    bench_put_below(b, "tls", NULL, &self_signed)->proxy_protocol = true;
    bench_open(b);
    echo_over_tls(b, 0x0304, v1, sizeof(v1) - 1);
}

static void a_large_download_over_tls_arrives_whole(void **state)
{
    struct bench *b = *state;
    uint8_t head[80];
    size_t len = request(b, WISH_SOURCE, "", head), have;
    bench_put_below(b, "tls", NULL, &self_signed);
    bench_open(b);
    const struct test_client_options o = {.send = head, .send_len = len};
    struct tls_link l = tls_open(b, &o, NULL, 0);
    tls_read(&l, 2 + BENCH_BULK);
    const uint8_t *got = test_client_data(l.c, &have);
    for (size_t i = 0; i < BENCH_BULK; i++)
        if (got[i + 2] != bench_pattern(i))
            fail_msg("byte %zu is wrong", i);
    tls_close(&l);
    assert_int_equal(bench_counted(b, 0, false), BENCH_BULK);
}

static void a_refused_handshake_ends_with_its_alert_and_not_with_a_reset(void **state)
{
    struct bench *b = *state;
    const struct conf_context strict = {
        .self_signed = true, .cert_domain = "a.test", .reject_unknown_sni = true};
    const struct test_client_options o = {.sni = "other.test"};
    bool in_order;
    bench_put_below(b, "tls", NULL, &strict);
    bench_open(b);
    struct tls_link l = tls_open(b, &o, NULL, 0);
    bench_send(l.fd, "and something that nobody will read", 35);
    while (tls_step(&l, &in_order))
        ;
    assert_true(in_order);
    assert_int_equal(test_client_alert(l.c), 112);
    tls_close(&l);
}

/* A hello in records of one byte, cut off at 64 KiB, made the worker run in circles until the
 * deadline. */
static void a_hello_that_never_ends_is_closed_at_once(void **state)
{
    struct bench *b = *state;
    static uint8_t wire[65536];
    uint64_t bytes;
    bench_put_below(b, "tls", NULL, &self_signed)->timeouts.handshake = 3600 * 1000;
    bench_open(b);
    for (size_t i = 0; i < sizeof(wire); i++) {
        static const uint8_t record[] = {22, 3, 1, 0, 1, 0}, hello[] = {1, 0, 0x3f, 0xf0};
        wire[i] = i % 6 == 5 && i / 6 < 4 ? hello[i / 6] : record[i % 6];
    }
    int fd = bench_dial(b);
    bench_send(fd, wire, sizeof(wire));
    (void)bench_drain(fd, &bytes);
    close(fd);
    bench_wait_open(b, 0);
}

static void a_fallback_is_chosen_by_the_names_of_tls(void **state)
{
    struct bench *b = *state;
    const struct conf_context ctx = {
        .self_signed = true, .cert_domain = "a.test", .fallback = true};
    static const struct vless_conf diverts = {.fallback = true};
    char dest[24], wrong[24];
    uint16_t port;
    size_t bad, have;
    close(bench_listen(&port, 1));
    snprintf(dest, sizeof(dest), "127.0.0.1:%u", b->origin_port);
    snprintf(wrong, sizeof(wrong), "127.0.0.1:%u", port);
    const struct fallback_rule rules[] = {
        {.name = "", .alpn = "", .path = "", .dest = wrong},
        {.name = "a.test", .alpn = "http/1.1", .path = "", .dest = dest},
    };
    struct view_node *n = bench_put_below(b, "tls", NULL, &ctx);
    n->stages[1].conf = &diverts;
    assert_int_equal(fallback_build(b->arena, rules, 2, &n->fallback, &bad), ST_OK);
    bench_open(b);
    static const uint8_t get[] = "eGET /not-a-client-of-ours HTTP/1.1\r\n\r\n";
    const struct test_client_options o = {
        .sni = "A.test", .alpn = "http/1.1", .send = get, .send_len = sizeof(get) - 1};
    struct tls_link l = tls_open(b, &o, NULL, 0);
    tls_read(&l, sizeof(get) - 2);
    assert_memory_equal(test_client_data(l.c, &have), get + 1, sizeof(get) - 2);
    tls_close(&l);
    assert_int_equal(bench_counted(b, 0, true), 0); /* nobody's traffic */
}

/* ---- a WebSocket client ---------------------------------------------------------------------- */

static int ws_open(struct bench *b, const char *early)
{
    char text[512], line[256];
    size_t at = 0;
    int n =
        snprintf(text, sizeof(text),
                 "GET /w HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                 "%s%s%s\r\n",
                 early ? "Sec-WebSocket-Protocol: " : "", early ? early : "", early ? "\r\n" : "");
    int fd = bench_dial(b);
    bench_send(fd, text, (size_t)n);
    while (at < 4 || memcmp(line + at - 4, "\r\n\r\n", 4) != 0) {
        assert_true(at < sizeof(line));
        assert_true(bench_read(fd, line + at++, 1));
    }
    assert_memory_equal(line, "HTTP/1.1 101", 12);
    return fd;
}

static void ws_send(int fd, uint8_t opcode, const void *data, size_t n)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    uint8_t frame[256];
    assert_true(n + WS_FRAME_HEAD_MAX <= sizeof(frame));
    size_t head = ws_frame_build(frame, opcode, n, mask);
    memcpy(frame + head, data, n);
    (void)ws_mask(frame + head, n, mask, 0);
    bench_send(fd, frame, head + n);
}

/* Reads a frame's head; false at the end of the connection. */
static bool ws_head(int fd, struct ws_frame *f)
{
    uint8_t head[WS_FRAME_HEAD_MAX];
    for (size_t n = 0; n < sizeof(head);) {
        if (!bench_read(fd, head + n++, 1))
            return false;
        if (ws_frame_parse(head, n, f) == ST_OK)
            return true;
    }
    return false;
}

/* Reads @n bytes of payload, Pings left out. */
static void ws_read(int fd, uint8_t *dst, size_t n)
{
    while (n > 0) {
        struct ws_frame f;
        assert_true(ws_head(fd, &f));
        if (f.opcode == WS_PING)
            continue;
        assert_int_equal(f.opcode, WS_BINARY);
        assert_true(f.len <= n);
        assert_true(bench_read(fd, dst, (size_t)f.len));
        dst += f.len;
        n -= (size_t)f.len;
    }
}

static const struct conf_context no_context;

/* What he has sent until then must not be taken for all of it. */
static void a_client_who_breaks_the_rules_resets_his_target(void **state)
{
    struct bench *b = *state;
    uint8_t head[80];
    uint64_t n;
    char got[4];
    bench_put_below(b, "ws", "{\"path\": \"/w\"}", &no_context);
    bench_open(b);
    int fd = ws_open(b, NULL);
    ws_send(fd, WS_BINARY, head, bench_header(b, 0, 1, b->target_port, head));
    ws_send(fd, WS_BINARY, "part", 4);
    int target = accept(b->target_fd, NULL, NULL);
    assert_true(bench_read(target, got, 4));
    bench_send(fd, "\x82\x01x", 3); /* no mask */
    assert_false(bench_drain(target, &n));
    close(target);
    close(fd);
}

static void a_stream_runs_over_websocket_and_ends_with_close(void **state)
{
    struct bench *b = *state;
    uint8_t head[80], got[8];
    struct ws_frame f;
    bench_put_below(b, "ws", "{\"path\": \"/w\"}", &no_context);
    bench_open(b);
    int fd = ws_open(b, NULL);
    ws_send(fd, WS_BINARY, head, request(b, WISH_ECHO, "hello", head));
    ws_read(fd, got, 7);
    assert_memory_equal(got, "\0\0hello", 7);
    ws_send(fd, WS_CLOSE, "\x03\xe8", 2);
    assert_true(ws_head(fd, &f));
    assert_int_equal(f.opcode, WS_CLOSE);
    assert_true(bench_read(fd, got, 2));
    assert_true(bench_at_end(fd));
    close(fd);
}

static void early_data_is_the_request(void **state)
{
    struct bench *b = *state;
    uint8_t head[80], got[8];
    char text[128];
    bench_put_below(b, "ws", "{\"path\": \"/w\"}", &no_context);
    bench_open(b);
    size_t n = request(b, WISH_ECHO, "hello", head);
    base64_encode(text, head, n, BASE64_URL | BASE64_UNPADDED);
    int fd = ws_open(b, text);
    ws_read(fd, got, 7);
    assert_memory_equal(got, "\0\0hello", 7);
    close(fd);
}

/* The layer's wake-up was taken for the deadline of the handshake. */
static void half_a_request_as_early_data_waits_for_the_rest(void **state)
{
    struct bench *b = *state;
    uint8_t head[80], got[8];
    struct ws_frame f;
    char text[128];
    bench_put_below(b, "ws", "{\"path\": \"/w\", \"heartbeatPeriod\": 1}", &no_context);
    bench_open(b);
    size_t n = request(b, WISH_ECHO, "hello", head);
    base64_encode(text, head, 10, BASE64_URL | BASE64_UNPADDED);
    int fd = ws_open(b, text);
    assert_true(ws_head(fd, &f)); /* the layer has been woken */
    assert_int_equal(f.opcode, WS_PING);
    ws_send(fd, WS_BINARY, head + 10, n - 10);
    ws_read(fd, got, 7);
    assert_memory_equal(got, "\0\0hello", 7);
    close(fd);
}

/* Relaying sessions let go of the configuration that their layers go on to use. */
static void a_session_outlives_the_configuration_it_began_with(void **state)
{
    struct bench *b = *state;
    uint8_t head[80], got[8];
    bench_put_below(b, "ws", "{\"path\": \"/w\", \"heartbeatPeriod\": 1}", &no_context);
    bench_open(b);
    int fd = ws_open(b, NULL);
    ws_send(fd, WS_BINARY, head, request(b, WISH_ECHO, "hello", head));
    ws_read(fd, got, 7);
    bench_publish(b, 2, NULL, 0); /* the same node with other users */
    bench_settle(b);
    struct view_node *n = bench_change(b); /* and another one */
    n->stages[0] = b->node.stages[0];
    n->stage_count = 1;
    bench_publish(b, 2, NULL, 0);
    bench_settle(b);
    struct ws_frame f;
    assert_true(ws_head(fd, &f)); /* a Ping: what else would come */
    assert_int_equal(f.opcode, WS_PING);
    ws_send(fd, WS_BINARY, "again", 5);
    ws_read(fd, got, 5);
    assert_memory_equal(got, "again", 5);
    close(fd);
}

static void tls_1_2_outlives_the_configuration_it_began_with(void **state)
{
    struct bench *b = *state;
    uint8_t head[80];
    size_t len = request(b, WISH_ECHO, "hello", head), have;
    const struct test_client_options o = {.version = 0x0303, .send = head, .send_len = len};
    bench_put_below(b, "tls", NULL, &self_signed);
    bench_open(b);
    struct tls_link l = tls_open(b, &o, NULL, 0);
    tls_read(&l, 7);
    struct view_node *n = bench_change(b);
    n->stages[0] = b->node.stages[0];
    n->stage_count = 1;
    bench_publish(b, 2, NULL, 0);
    bench_settle(b);
    assert_true(test_client_send(l.c, (const uint8_t *)"again", 5));
    tls_flush(&l, NULL, 0);
    tls_read(&l, 12);
    assert_memory_equal(test_client_data(l.c, &have) + 7, "again", 5);
    tls_close(&l);
}

static void websocket_runs_over_tls(void **state)
{
    struct bench *b = *state;
    static const char upgrade[] =
        "GET /w HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    uint8_t head[80], frame[128];
    static const uint8_t mask[4] = {0, 0, 0, 0};
    size_t len = request(b, WISH_ECHO, "hello", head), have = 0;
    bool in_order;
    bench_put_below(b, "ws", "{\"path\": \"/w\"}", &no_context);
    bench_put_below(b, "tls", NULL, &self_signed);
    bench_open(b);
    const struct test_client_options o = {.send = (const uint8_t *)upgrade,
                                          .send_len = sizeof(upgrade) - 1};
    struct tls_link l = tls_open(b, &o, NULL, 0);
    while ((void)test_client_data(l.c, &have), have == 0)
        assert_true(tls_step(&l, &in_order));
    size_t answer = have;
    size_t n = ws_frame_build(frame, WS_BINARY, len, mask);
    memcpy(frame + n, head, len);
    assert_true(test_client_send(l.c, frame, n + len));
    tls_flush(&l, NULL, 0);
    tls_read(&l, answer + 9);
    assert_memory_equal(test_client_data(l.c, &have) + answer, "\x82\7\0\0hello", 9);
    tls_close(&l);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(streams_run_over_both_versions_of_tls),
        CASE(a_proxy_header_and_a_tls_hello_share_a_segment),
        CASE(a_large_download_over_tls_arrives_whole),
        CASE(a_refused_handshake_ends_with_its_alert_and_not_with_a_reset),
        CASE(a_hello_that_never_ends_is_closed_at_once),
        CASE(a_fallback_is_chosen_by_the_names_of_tls),
        CASE(a_client_who_breaks_the_rules_resets_his_target),
        CASE(a_stream_runs_over_websocket_and_ends_with_close),
        CASE(early_data_is_the_request),
        CASE(half_a_request_as_early_data_waits_for_the_rest),
        CASE(a_session_outlives_the_configuration_it_began_with),
        CASE(tls_1_2_outlives_the_configuration_it_began_with),
        CASE(websocket_runs_over_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
