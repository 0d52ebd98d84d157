/* stream/transport.h - how a transport or a protocol introduces itself to the registry and to
 * the node controller. */
#ifndef STREAM_TRANSPORT_H
#define STREAM_TRANSPORT_H

#include "stream/layer.h"

struct arena;
struct json_t;
struct user_index_ops; /* policy/user_index.h */
struct packet_ops;     /* stream/packet.h */

/* Names the setting that cannot be used; the node controller logs it with the node. */
struct conf_error {
    char text[200]; /* such as "ws path: must be a string"; with ST_OK: a notice, "" = none */
};

/* Who does TLS handshakes: the library, or our own code what is ordinary of them. */
enum tls_engine { TLS_ENGINE_OPENSSL, TLS_ENGINE_AUTO };

/* Local options that shape a layer, besides the panel's settings object. NULL/0 = not given. */
struct conf_context {
    const char *server_name;          /* panel's server_name/host, lower case */
    const char *cert_file, *key_file; /* PEM */
    bool self_signed;                 /* make a certificate for cert_domain when no file is given */
    const char *cert_domain;
    bool reject_unknown_sni;
    enum tls_engine tls_engine;
    const char *const *alpn; /* what TLS may offer, in order of preference */
    size_t alpn_count;
    const char *const *trusted_xff; /* headers whose presence makes X-Forwarded-For believed */
    size_t trusted_xff_count;
    const struct json_t *reality; /* RealityConfig: what it holds counts more than the panel's */
    /* the node has fallbacks: the protocol diverts what it does not know */
    bool fallback;
    bool bare; /* of a protocol: it lies on the bare connection, nothing around it */
};

enum transport_role { TRANSPORT_SECURITY, TRANSPORT_NETWORK };

struct transport {
    const char *name;
    const char *const *aliases; /* NULL-ended */
    enum transport_role role;
    /* Builds the configuration of a listener in @a from the panel's settings object (@settings
     * may be NULL, [], {} alike). free_conf (may be NULL) is called before the arena goes, for
     * what does not live in it (an SSL_CTX). ST_OK, ST_E_CONFIG with @err, ST_E_NOMEM. */
    enum status (*parse_conf)(struct arena *a, const struct json_t *settings,
                              const struct conf_context *ctx, const void **conf,
                              struct conf_error *err);
    void (*free_conf)(const void *conf);
    const struct layer_ops *server;
    /* ALPN names this network wants TLS to offer, NULL-ended; NULL: no wish. */
    const char *const *alpn;
};

struct proto {
    const char *name;
    const char *const *aliases;
    enum status (*parse_conf)(struct arena *a, const struct json_t *node,
                              const struct conf_context *ctx, const void **conf,
                              struct conf_error *err);
    void (*free_conf)(const void *conf);
    const struct layer_ops *server;
    const struct user_index_ops *users; /* what makes env->users */
    /* What all workers of a node change together (replay filters, caches of sources): env->shared,
     * zeroed and then made by shared_init. It outlives every configuration of the node and must be
     * thread-safe by itself. Size 0: none. @seed: random. ST_OK, ST_E_NOMEM, ST_E_CRYPTO. */
    size_t shared_size;
    enum status (*shared_init)(void *shared, uint64_t seed);
    void (*shared_fini)(void *shared); /* NULL: nothing to do */
    /* Its clients send datagrams of their own to the node's ports; NULL: they do not. */
    const struct packet_ops *packets;
};

#endif
