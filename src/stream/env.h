/* stream/env.h - the surroundings of a chain's layers: pools, contexts, and what is known of the
 * connection. Made by the session, the same for all layers of a chain, outlives them. */
#ifndef STREAM_ENV_H
#define STREAM_ENV_H

#include "base/addr.h"
#include "base/list.h"
#include "base/span.h"
#include "base/status.h"

struct rng;        /* crypto/rng.h: per-worker random numbers */
struct crypto_ctx; /* crypto/ctx.h: per-worker cipher contexts, re-keyed for each use */
struct user_index; /* policy/user_index.h */
struct aux;        /* stream/aux.h */

/* Objects that cost much as long as a handshake lasts (OpenSSL's: 45 KiB), oldest first: bounded
 * per worker. The layers that make them link them here; the worker sets @max. */
struct heavy {
    struct list held;
    unsigned count, max;
};

/* What a layer is told about its surroundings; the same for all layers of a chain, outlives
 * them. */
struct env {
    struct pool *pool; /* blocks, spans, layer state */
    struct rng *rng;
    struct crypto_ctx *crypto;
    const struct user_index *users; /* of the session's pinned view; NULL where no protocol asks */
    void *shared; /* struct proto's shared_size bytes of the node; NULL: it has none */
    struct conn_info *info;
    struct heavy *heavy; /* NULL: no bound */
    struct aux *aux;     /* NULL: no layer has LAYER_ASKS */
};

/* Facts about the connection that one layer learns and another uses. Owned by the session; sni
 * and alpn are pool_alloc'ed strings of the session, freed once the request is accepted (an idle
 * connection keeps none). */
struct conn_info {
    /* the client: the socket's, replaced by PROXY header or a trusted X-Forwarded-For */
    struct addr peer;
    struct addr local; /* where the client arrived */
    char *sni, *alpn;  /* lower case, NUL-terminated; NULL = none */
    bool tls13;        /* the outer layer is TLS 1.3 */
    bool encrypted;    /* VLESS encryption lies below the protocol */
};
/* Stores a copy of @text in *@slot, which must be conn_info's sni or alpn, in place of what is
 * there. ST_OK; ST_E_LIMIT: over 255 bytes; ST_E_NOMEM. */
NODISCARD enum status conn_info_set(struct pool *p, char **slot, const char *text, size_t len);
/* Gives sni and alpn back. Harmless twice. */
void conn_info_clear(struct pool *p, struct conn_info *info);

#endif
