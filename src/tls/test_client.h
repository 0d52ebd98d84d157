/* tls/test_client.h - OpenSSL's client in memory, to test our servers against. For tests; no
 * program links it. */
#ifndef TLS_TEST_CLIENT_H
#define TLS_TEST_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test_client;

/* NULL or 0: the library's default. */
struct test_client_options {
    uint16_t version;    /* 0x0303 or 0x0304: this one only */
    const char *suites;  /* TLS 1.3 suites, library names */
    const char *ciphers; /* TLS 1.2 */
    const char *groups;
    const char *sni;
    bool bare;           /* no session id, so no compatibility with middleboxes */
    const char *alpn;    /* names with colons between, such as "h2:http/1.1" */
    const uint8_t *send; /* application data to send right after the handshake; borrowed */
    size_t send_len;
    bool close; /* close_notify after that */
};

/* NULL without memory or for bad options. */
struct test_client *test_client_new(const struct test_client_options *o);
void test_client_free(struct test_client *c);

/* Reads @len bytes from the server and writes at most @cap to @out; returns how many. May be
 * called with nothing to get what is left. */
size_t test_client_talk(struct test_client *c, const uint8_t *in, size_t len, uint8_t *out,
                        size_t cap);
/* Seals more data, a KeyUpdate (asking for one back or not), close_notify: comes out of the next
 * talk. */
bool test_client_send(struct test_client *c, const uint8_t *data, size_t len);
bool test_client_update(struct test_client *c, bool ask);
void test_client_close(struct test_client *c);

bool test_client_ready(const struct test_client *c);  /* handshake done */
bool test_client_failed(const struct test_client *c); /* any error */
bool test_client_eof(const struct test_client *c);    /* the server said close_notify */
int test_client_alert(const struct test_client *c);   /* fatal alert of the server, -1: none */
/* Everything received so far. */
const uint8_t *test_client_data(const struct test_client *c, size_t *len);
/* The protocol chosen by ALPN; "" if none. */
const char *test_client_alpn(const struct test_client *c);
bool test_client_is_tls13(const struct test_client *c);
const char *test_client_suite(const struct test_client *c);
/* The client's handshake traffic secret of TLS 1.3, to seal what no client would send; NULL before
 * it is known. */
const uint8_t *test_client_handshake_secret(const struct test_client *c, size_t *len);
/* Certificates the server sent. */
int test_client_chain_len(const struct test_client *c);

#endif
