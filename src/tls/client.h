/* tls/client.h - a TLS client that trusts nobody it need not: TLS 1.2 or 1.3, the server's chain
 * checked against given roots or the system's, the name checked (RFC 6125), a certificate of our
 * own where the server asks for one. Bytes in, bytes out. Pure but for reading the named files. */
#ifndef TLS_CLIENT_H
#define TLS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "tls/cert.h"

struct tls_client;

struct tls_client_conf {
    const char *name;       /* who the server must be: a host name (<= 255 bytes; also asked for,
                               SNI), or the text of an IP address */
    const char *ca;         /* PEM file with the roots; "": the system's */
    const char *cert, *key; /* PEM files of our own; both "": none */
    bool insecure;          /* whoever it is */
};

/* Reads the files; @conf is not needed afterwards. ST_OK; ST_E_CONFIG, ST_E_NOTFOUND with @err;
 * ST_E_NOMEM. */
NODISCARD enum status tls_client_new(const struct tls_client_conf *conf, struct tls_client **out,
                                     struct cert_error *err);
void tls_client_free(struct tls_client *c); /* NULL is fine */
/* Takes @len bytes that the server sent (0: just begin). ST_OK the handshake is done, and the
 * server is who it must be; ST_MORE; ST_E_PROTO with the cause in tls_client_error; ST_EOF the
 * server said close_notify; ST_E_NOMEM. */
NODISCARD enum status tls_client_feed(struct tls_client *c, const void *in, size_t len);
/* Copies bytes for the server, at most @cap; returns how many. After a failure: an alert. */
size_t tls_client_take(struct tls_client *c, void *out, size_t cap);
/* Seals @len bytes once the handshake is done. ST_OK or ST_E_PROTO. */
NODISCARD enum status tls_client_say(struct tls_client *c, const void *data, size_t len);
/* Copies decrypted bytes that were not taken yet, at most @cap; returns how many. */
size_t tls_client_hear(struct tls_client *c, void *out, size_t cap);
/* What went wrong, as something said of the server: "it does not speak TLS"; "" while nothing did.
 * Lives as long as @c. */
const char *tls_client_error(const struct tls_client *c);

#endif
