/* stream/packet.h - protocols whose clients send datagrams of their own (Shadowsocks), beside the
 * stream: what a listener needs to serve them (session/udp_service.h).
 *
 *   datagram --identify--> key --table--> flow --open--> user, target, payload --> NAT socket
 *   datagram <------------- seal --- flow <------------------------ answer, source
 *
 * A flow is what answers go back to: an address, or a session that the protocol names. Its state is
 * the protocol's, of flow_size bytes in the listener's memory. Pure, single-threaded. */
#ifndef STREAM_PACKET_H
#define STREAM_PACKET_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/span.h"
#include "base/status.h"

struct rng;
struct crypto_ctx;
struct user_index;
struct user_rt;

/* The surroundings of one call. */
struct packet_env {
    const void *conf; /* the protocol's, from parse_conf */
    struct pool *pool;
    struct rng *rng;
    struct crypto_ctx *crypto;
    const struct user_index *users;
    void *shared;
    uint64_t now_us;
    int64_t unix_s;
};

#define PACKET_KEY_MAX 24u

struct packet_key {
    uint8_t len;
    uint8_t bytes[PACKET_KEY_MAX];
};

/* A datagram of a client, as far as it is known. */
struct packet {
    struct addr from;
    struct packet_key key;
    struct user_rt *user; /* borrowed from env->users; by open, of a new flow */
    struct target target;
};

struct packet_ops {
    /* A flow ends after so long without a datagram; @dns: its first target is a DNS server. */
    uint32_t (*idle_ms)(const void *conf, bool dns);
    size_t (*flow_size)(const void *conf);
    /* Means @a the same as @b, so that flows begun under it may go on? */
    bool (*same_conf)(const void *a, const void *b);
    /* Tells the flow of @s, whose source is @p->from: fills p->key. A protocol whose open never
     * yields may change the bytes of @s in place; others are asked again. ST_OK; ST_E_PROTO,
     * ST_E_AUTH: to be dropped. */
    enum status (*identify)(const struct packet_env *e, struct span *s, struct packet *p);
    /* Opens @s in place: it becomes the payload alone. @flow is zeroed for the first datagram with
     * its key, and is a flow once the answer was ST_OK.
     *   ST_OK     p->target, and p->user if the flow is new
     *   ST_YIELD  a new flow: work is left, call again with the same arguments, others first
     *   ST_E_AUTH, ST_E_PROTO, ST_E_LIMIT, ST_E_CRYPTO  to be dropped; a new flow is none */
    enum status (*open)(const struct packet_env *e, void *flow, struct span *s, struct packet *p);
    /* Seals an answer whose payload is @s and whose source is s->peer. Takes @s over; NULL: no
     * memory, it is dropped. The peer of what is returned means nothing. */
    struct span *(*seal)(const struct packet_env *e, void *flow, struct span *s);
    /* Wipes. */
    void (*fini)(void *flow, size_t size);
};

#endif
