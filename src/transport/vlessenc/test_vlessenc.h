/* transport/vlessenc/test_vlessenc.h - a client of VLESS encryption in memory. For tests; no
 * program links it. */
#ifndef TRANSPORT_VLESSENC_TEST_VLESSENC_H
#define TRANSPORT_VLESSENC_TEST_VLESSENC_H

#include "crypto/rng.h"
#include "transport/vlessenc/vlessenc_conf.h"
#include "transport/vlessenc/vlessenc_hello.h"
#include "transport/vlessenc/vlessenc_record.h"

struct test_vlessenc_options {
    enum vlessenc_mode mode;
    enum aead_alg alg;
    const uint8_t *pub[2]; /* of the server's keys, X25519 or ML-KEM-768 */
    size_t pub_len[2];
    unsigned keys;
    uint32_t padding;  /* of the hello, 0: 300 */
    uint32_t keys_len; /* what the length says of the keys, 0: the truth */
    bool resume;       /* 0-RTT with ticket and pfs */
    uint8_t ticket[VLESSENC_TICKET_LEN], pfs[VLESSENC_PFS_LEN];
    const uint8_t *send; /* after the handshake; borrowed */
    size_t send_len;
};

struct test_vlessenc {
    const struct test_vlessenc_options *o;
    struct pool *pool;
    struct crypto_ctx *crypto;
    struct rng *rng;
    struct bufq in, out, data; /* from the wire, to the wire, received */
    struct vlessenc_hello hello;
    struct vlessenc_aead up, down;
    struct vlessenc_mask up_mask, down_mask;
    uint8_t mlkem_seed[MLKEM_SEED_LEN], x25519[X25519_LEN];
    uint8_t keys[MLKEM_PUBLIC_LEN + X25519_LEN];
    uint8_t sealed_ticket[VLESSENC_SEALED_TICKET];
    uint8_t ticket[VLESSENC_TICKET_LEN]; /* that the server gave */
    uint32_t padding;                    /* of the server, sealed */
    int state;
    bool failed;
};

/* @o is borrowed. The hello is ready to be taken. NULL without memory. */
struct test_vlessenc *test_vlessenc_new(const struct test_vlessenc_options *o,
                                        struct crypto_ctx *crypto, struct rng *rng);
void test_vlessenc_free(struct test_vlessenc *c);
/* Reads @len bytes from the server and writes at most @cap to @out; returns how many. */
size_t test_vlessenc_talk(struct test_vlessenc *c, const uint8_t *in, size_t len, uint8_t *out,
                          size_t cap);
/* Seals more data for the next talk. */
void test_vlessenc_send(struct test_vlessenc *c, const uint8_t *data, size_t len);

#endif
