/* proto/vmess/test_vmess.h - a VMess client for tests, in memory. Its formats are the server's own
 * code turned round, so what it proves is the layer; the formats are proven by vectors. */
#ifndef PROTO_VMESS_TEST_VMESS_H
#define PROTO_VMESS_TEST_VMESS_H

#include "crypto/rng.h"
#include "proto/vmess/chunks.h"

struct test_vmess {
    bool ready; /* the next three are made */
    struct vmess_kdf kdf;
    struct crypto_ctx cc;
    struct rng rng;
    struct pool *pool;
    struct vmess_header h;
    uint8_t auth_id[VMESS_AUTH_ID_LEN];
    bool raw; /* security none without chunks */
    struct vmess_chunks up, down;
};

/* Prepares a request to @target (NULL: none) with fresh keys. @c is zeroed, or was closed. */
void test_vmess_open(struct test_vmess *c, uint8_t security, uint8_t options, uint8_t command,
                     const char *target);
void test_vmess_close(struct test_vmess *c);
void test_vmess_fini(struct test_vmess *c); /* after the last close */
/* The AuthID of the user with @uuid at @unix_s. */
void test_vmess_auth_id(struct test_vmess *c, const uint8_t uuid[16], int64_t unix_s,
                        uint8_t out[VMESS_AUTH_ID_LEN]);
/* Writes the request of the user with @uuid, without its body; returns the bytes. */
size_t test_vmess_hello(struct test_vmess *c, const uint8_t uuid[16], int64_t unix_s, uint8_t *out);
/* The same around a header of the caller's making. */
size_t test_vmess_seal(struct test_vmess *c, const uint8_t uuid[16], int64_t unix_s,
                       const uint8_t *plain, size_t len, uint8_t *out);
/* The header of c->h, returns the bytes. */
size_t test_vmess_header(const struct test_vmess *c, unsigned padding, uint8_t *out);
/* @n bytes of payload as chunks of at most @chunk bytes (as they are in raw mode); returns the
 * bytes. */
size_t test_vmess_body(struct test_vmess *c, const uint8_t *data, size_t n, size_t chunk,
                       uint8_t *out);
/* A chunk without payload: the end, or a first one that means nothing. */
size_t test_vmess_empty(struct test_vmess *c, uint8_t *out);
/* Opens an answer and its body. False: it is broken. *@ended: the end was announced. */
bool test_vmess_answer(struct test_vmess *c, const uint8_t *wire, size_t n, uint8_t *plain,
                       size_t *plain_len, bool *ended);

#endif
