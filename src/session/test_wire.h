/* session/test_wire.h - a client's end of what a node may stand on, in memory: TLS, WebSocket, one
 * WebSocket inside another, the chunks of VMess above them. For tests; no program links it.
 *
 * Life: test_wire_new (the client's first words are in out) -> (test_wire_send | test_wire_feed)*
 * -> test_wire_end. What is to be written to the socket is in out, what has come is in plain; both
 * are emptied by the test (test_bytes_drop). */
#ifndef SESSION_TEST_WIRE_H
#define SESSION_TEST_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct test_vmess; /* proto/vmess/test_vmess.h */

#define TEST_WIRE_WS_MAX 3

/* Grows as needed; without memory the process ends. */
struct test_bytes {
    uint8_t *p;
    size_t len, room;
};

void test_bytes_add(struct test_bytes *b, const void *data, size_t n);
/* Drops the first @n bytes. */
void test_bytes_drop(struct test_bytes *b, size_t n);
void test_bytes_free(struct test_bytes *b);

struct test_wire_ws {
    struct test_bytes in; /* not yet understood */
    bool upgraded, ended;
};

struct test_wire {
    struct test_client *tls; /* NULL: none */
    size_t tls_seen;         /* of its data */
    struct test_bytes early; /* waits for the TLS handshake */
    unsigned ws;             /* how many, the lowest first */
    struct test_wire_ws at[TEST_WIRE_WS_MAX];
    struct test_vmess *vmess; /* NULL: none */
    size_t chunk;             /* the most it puts in one */
    uint32_t answer_left;
    struct bufq vmess_in;
    struct test_bytes out, plain;
    bool ended; /* the server has said the end of its direction */
    bool broken;
};

/* @tls: 0, 0x0303 or 0x0304; @ws WebSockets with path /w above it. */
void test_wire_init(struct test_wire *w, uint16_t tls, unsigned ws);
void test_wire_fini(struct test_wire *w);
/* From here on the client speaks VMess: sends @hello of @c, which the wire owns no part of, but
 * uses until its end. */
void test_wire_speak_vmess(struct test_wire *w, struct test_vmess *c, const void *hello, size_t n);
/* @n bytes of the client, each WebSocket putting a frame around what it gets. */
void test_wire_send(struct test_wire *w, const void *data, size_t n);
/* The goodbye of the uppermost layer: Close or close_notify; nothing without one. Not before early
 * is empty. */
void test_wire_end(struct test_wire *w);
/* Reads @n bytes of the server. */
void test_wire_feed(struct test_wire *w, const void *data, size_t n);

#endif
