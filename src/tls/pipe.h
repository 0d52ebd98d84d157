/* tls/pipe.h - OpenSSL's client between two queues in memory: bytes of the wire on one side, plain
 * ones on the other, no socket. What tls/probe and tls/client have in common. Pure; inside tls
 * only. */
#ifndef TLS_PIPE_H
#define TLS_PIPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* The vendor's types, by their tags. */
struct bio_st;
struct ssl_ctx_st;
struct ssl_st;

struct tls_pipe {
    struct ssl_st *ssl;
    struct bio_st *to_ssl, *from_ssl; /* owned by ssl */
    bool ready, eof, failed;          /* the handshake is done; close_notify; nothing more goes */
    int reason;                       /* why it failed, a SSL_R_ number or 0 */
    char error[128];                  /* the same as a text of the library's; "" while it did not */
};

/* A client of @ctx, which stays the caller's; the caller may set up p->ssl before the first feed.
 * ST_OK; ST_E_NOMEM with nothing left to free. */
NODISCARD enum status tls_pipe_init(struct tls_pipe *p, struct ssl_ctx_st *ctx);
void tls_pipe_fini(struct tls_pipe *p); /* safe on a zeroed one */

/* Takes @len bytes that the server sent (0: just begin). ST_OK the handshake is done; ST_MORE;
 * ST_E_PROTO with the cause in p->error; ST_EOF the server said close_notify; ST_E_NOMEM. */
NODISCARD enum status tls_pipe_feed(struct tls_pipe *p, const void *in, size_t len);
/* Copies bytes for the server, at most @cap; returns how many. Also after a failure: an alert. */
size_t tls_pipe_take(struct tls_pipe *p, void *out, size_t cap);
/* Seals @len bytes once the handshake is done. ST_OK or ST_E_PROTO. */
NODISCARD enum status tls_pipe_say(struct tls_pipe *p, const void *data, size_t len);
/* Copies decrypted bytes that were not taken yet, at most @cap; returns how many. */
size_t tls_pipe_hear(struct tls_pipe *p, void *out, size_t cap);

#endif
