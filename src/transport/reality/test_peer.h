/* transport/reality/test_peer.h - a REALITY client in memory, written from the description and not
 * from our server. For tests; no program links it. */
#ifndef TRANSPORT_REALITY_TEST_PEER_H
#define TRANSPORT_REALITY_TEST_PEER_H

#include "crypto/ctx.h"
#include "crypto/hash.h"
#include "tls/flight.h"

struct test_peer_options {
    const uint8_t *server_public; /* X25519 */
    const char *sni;
    uint8_t version[3], short_id[8];
    uint32_t unix_s;
    bool hybrid;      /* offer X25519MLKEM768 before X25519 ... */
    bool hybrid_only; /* ... or nothing else */
    bool h2;          /* offer ALPN h2 */
};

struct test_peer {
    struct test_peer_options opt;
    struct crypto_ctx *cc;
    struct pool *pool;
    uint8_t hello[4096]; /* message */
    size_t hello_len;
    uint8_t auth_key[32], x25519[32], mlkem[64];
    struct bufq in;               /* from the server, not yet used */
    struct record_keys handshake; /* the server's */
    uint8_t messages[4096];       /* of the server's flight, decrypted */
    size_t messages_len;
    uint8_t server_hello[2048];
    size_t server_hello_len;
    uint8_t secrets[2][RECORD_SECRET_MAX]; /* handshake: client, server */
    struct record_keys rx, tx;
    struct bufq data;    /* application data received */
    bool wrong_finished; /* set it: its Finished is sealed well, but wrong */
    bool ready, failed, eof;
    unsigned alert;
};

/* Makes the client and its hello. False: something failed. */
bool test_peer_init(struct test_peer *c, const struct test_peer_options *o, struct crypto_ctx *cc,
                    struct pool *p);
void test_peer_fini(struct test_peer *c);
/* The hello as a record; returns its length. */
size_t test_peer_hello(const struct test_peer *c, uint8_t *out);
/* Reads @len bytes from the server and appends to @out what is to be sent. */
void test_peer_hear(struct test_peer *c, const uint8_t *in, size_t len, struct bufq *out);
/* Seals application data; only when ready. */
void test_peer_say(struct test_peer *c, const void *data, size_t len, struct bufq *out);

#endif
