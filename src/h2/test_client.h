/* h2/test_client.h - a client of HTTP/2 for tests: nghttp2's, between byte queues. */
#ifndef H2_TEST_CLIENT_H
#define H2_TEST_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

#define TEST_CLIENT_STREAMS 8
#define TEST_CLIENT_BODY    (256u * 1024)

struct test_answer {
    int32_t id;
    char heads[512]; /* "name: value\n", trailers too */
    uint8_t *body;
    size_t len;
    bool ended, closed;
    uint32_t code; /* of RST_STREAM */
};

struct test_request {
    const void *data;
    size_t len, sent;
    bool open; /* the body does not end */
};

struct test_client {
    struct nghttp2_session *session;
    struct pool *pool;
    struct bufq out; /* what it wants to send */
    struct test_answer answers[TEST_CLIENT_STREAMS];
    struct test_request requests[TEST_CLIENT_STREAMS];
    unsigned count;
    bool hold; /* gives no window back */
    bool goaway;
};

void test_client_init(struct test_client *c, struct pool *p);
void test_client_fini(struct test_client *c);
/* A POST to @path with @data as its body; returns what will be its answer. */
struct test_answer *test_client_post(struct test_client *c, const char *path, const void *data,
                                     size_t len);
/* Takes all of @in, and leaves what it says to it in c->out. */
void test_client_turn(struct test_client *c, struct bufq *in);

#endif
