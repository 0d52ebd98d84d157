/* transport/ws/test_client.h - a chain of one WebSocket layer and a client's words, for the
 * tests beside it. */
#ifndef TRANSPORT_WS_TEST_CLIENT_H
#define TRANSPORT_WS_TEST_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/ws_frame.h"
#include "stream/test_bench.h"
#include "transport/ws/ws.h"

#define NOW  1000000u
#define UNIX 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */

/* RFC 6455 section 1.3: its key and the accept that belongs to it. */
#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define ACCEPT  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define UPGRADE "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define REQUEST "GET /ws HTTP/1.1\r\nHost: h.example\r\n" UPGRADE VERSION KEY "\r\n"
#define ANSWER101                                                                                  \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" ACCEPT
#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

static const struct ws_conf plain_conf = {
    .host = "h.example",
    .path = {.text = "/ws", .decoded = "/ws", .text_len = 3, .decoded_len = 3},
};

static inline void rig_open(struct test_bench *r, const struct ws_conf *conf)
{
    test_bench_open(r, NULL, &ws_server_ops, conf);
    r->now_us = NOW;
    r->unix_s = UNIX;
}

/* What was written to the wire since the last call must be @want. */
static inline void rig_expect_n(struct test_bench *r, const void *want, size_t n)
{
    struct bufq *q = chain_bottom_out(&r->chain);
    static uint8_t got[70000];
    size_t have = bufq_peek(q, got, sizeof(got) - 1);
    got[have] = '\0';
    if (have != n || memcmp(got, want, n) != 0)
        fail_msg("written: %zu bytes, %s", have, (const char *)got);
    bufq_clear(q, r->pool);
}

static inline void rig_expect(struct test_bench *r, const char *want)
{
    rig_expect_n(r, want, strlen(want));
}

static inline void rig_expect_plain(struct test_bench *r, const void *want, size_t n)
{
    test_bench_takes(r, chain_up(&r->chain), want, n);
}

/* A client's frame; returns its size. */
static inline size_t frame(uint8_t *dst, uint8_t opcode, bool fin, const void *data, size_t n)
{
    static const uint8_t mask[4] = {0xa1, 0x02, 0xff, 0x40};
    size_t head = ws_frame_build(dst, opcode, n, mask);
    if (!fin)
        dst[0] &= 0x7f;
    if (n > 0)
        memcpy(dst + head, data, n);
    ws_mask(dst + head, n, mask, 0);
    return head + n;
}

static inline void rig_open_upgraded(struct test_bench *r, const struct ws_conf *conf)
{
    rig_open(r, conf);
    test_bench_feed(r, REQUEST, strlen(REQUEST));
    assert_int_equal(r->st, ST_OK);
    assert_int_equal(r->ev.mask, EV_READY);
    rig_expect(r, ANSWER101 "\r\n");
}

#endif
