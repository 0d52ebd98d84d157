/* tls/probe.h - OpenSSL's client in memory, to look at another server: version, ALPN, certificate,
 * and what it says to one request. Nothing it receives is trusted. Pure but for reading the
 * system's roots. */
#ifndef TLS_PROBE_H
#define TLS_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct tls_probe;

enum tls_probe_alpn { TLS_PROBE_H2_FIRST, TLS_PROBE_HTTP11, TLS_PROBE_NO_ALPN };

struct tls_probe_facts {
    uint16_t version; /* 0x0304 */
    char alpn[32];    /* "" = none chosen */
    bool covers_name; /* the certificate is for the name that was asked for */
    bool trusted;     /* a chain to the system's roots, in date */
    char doubt[96];   /* why it is not trusted */
    size_t chain_bytes;
    int64_t expires_s; /* seconds from @now_s of tls_probe_new until the leaf expires */
};

/* A client for @name (<= 255 bytes; "" = none) that offers h2 and http/1.1, or http/1.1 alone.
 * ST_OK, ST_E_NOMEM, ST_E_CRYPTO. */
NODISCARD enum status tls_probe_new(const char *name, enum tls_probe_alpn alpn, int64_t now_s,
                                    struct tls_probe **out);
/* A client that offers TLS 1.3 with @suite (enum record_suite) and nothing else; its certificates
 * are not judged. Same answers; ST_E_UNSUPPORTED: another suite. */
NODISCARD enum status tls_probe_new_suite(const char *name, enum tls_probe_alpn alpn,
                                          uint16_t suite, struct tls_probe **out);
void tls_probe_free(struct tls_probe *p); /* NULL is fine */
/* Takes @len bytes that the server sent (0: just begin). ST_OK the handshake is done, ST_MORE,
 * ST_E_PROTO with the cause in tls_probe_error; ST_EOF the server said close_notify; ST_E_NOMEM. */
NODISCARD enum status tls_probe_feed(struct tls_probe *p, const void *in, size_t len);
/* Bytes for the server, at most @cap; returns how many. */
size_t tls_probe_take(struct tls_probe *p, void *out, size_t cap);
/* Seals @len bytes once the handshake is done. ST_OK or ST_E_PROTO. */
NODISCARD enum status tls_probe_say(struct tls_probe *p, const void *data, size_t len);
/* Copies decrypted bytes that were not taken yet, at most @cap; returns how many. */
size_t tls_probe_hear(struct tls_probe *p, void *out, size_t cap);
/* What went wrong; "" while nothing did. Lives as long as @p. */
const char *tls_probe_error(const struct tls_probe *p);
/* After the handshake. */
void tls_probe_facts(const struct tls_probe *p, struct tls_probe_facts *out);

#endif
