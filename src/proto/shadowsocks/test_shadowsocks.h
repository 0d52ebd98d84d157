/* A node with some users, and a client that speaks to it, for the tests and fuzz targets here. */
#ifndef PROTO_SHADOWSOCKS_TEST_SHADOWSOCKS_H
#define PROTO_SHADOWSOCKS_TEST_SHADOWSOCKS_H

#include "crypto/rng.h"
#include "proto/shadowsocks/packets.h"
#include "proto/shadowsocks/server.h"
#include "proto/shadowsocks/shadowsocks.h"
#include "stream/chain.h"

#define TEST_USERS 40u
#define TEST_TIME  1700000000 /* of the vectors */
#define TEST_UUID  "b831381d-6324-4d53-ad4f-8cda48b30811"
/* Whose credential is TEST_UUID. */
#define TEST_USER 17u

struct test_node {
    struct pool *pool;
    struct rng rng;
    struct crypto_ctx cc;
    struct conn_info info;
    struct ss_conf conf;
    struct ss_shared shared;
    struct user_rt users[TEST_USERS];
    struct user_rt *list[TEST_USERS];
    char secrets[TEST_USERS][40];
    struct user_index *index;
    struct env env;
};

/* False without memory. @server_key: 2022 only, base64. */
bool test_node_open(struct test_node *n, const char *method, const char *server_key, bool identity);
/* One of all methods, opened when it is first asked for and never closed, with nothing remembered:
 * for fuzz targets. @kind: 0..7. */
struct test_node *test_node_kept(unsigned kind);
void test_node_close(struct test_node *n); /* true to the last byte, else it aborts */

/* A client's side. Bytes are appended at @out; returns how many. */
struct test_client {
    const struct ss_method *m;
    uint8_t key[SS_KEY_MAX], server_key[SS_KEY_MAX]; /* user's master key or PSK */
    bool identity;
    uint8_t salt[SS_SALT_MAX];
    struct ss_cipher tx, rx;
    bool answered;
    int64_t unix_s;     /* TEST_TIME at first */
    uint8_t session[8]; /* 2022 datagrams */
    struct crypto_ctx *cc;
};

/* The client of user @i of @n. @salt: any number, so that salts differ. */
void test_client_init(struct test_client *c, struct test_node *n, unsigned i, uint8_t salt);
/* The beginning of a stream to @address (@len bytes, as on the wire) with @payload. */
size_t test_client_begin(struct test_client *c, const void *address, size_t len,
                         const void *payload, size_t payload_len, uint8_t *out);
size_t test_client_chunk(struct test_client *c, const void *payload, size_t len, uint8_t *out);
/* Opens the answer in @wire into @plain. False: it is not what a server sends. */
bool test_client_read(struct test_client *c, const uint8_t *wire, size_t len, uint8_t *plain,
                      size_t *plain_len);
/* A datagram; @number of 2022. */
size_t test_client_packet(struct test_client *c, uint64_t number, const void *address, size_t len,
                          const void *payload, size_t payload_len, uint8_t *out);

#endif
