/* session/udp_flow.h - the flows of a node's own UDP ports: a client's key, its NAT socket, its
 * last source. Single-threaded; belongs to one worker.
 *
 * Bounds: flows of one source (an IPv6 source is its /64), beyond which its own least recently used
 * one ends; flows in all, by the worker's admission. Each ends after its idle time. */
#ifndef SESSION_UDP_FLOW_H
#define SESSION_UDP_FLOW_H

#include "base/list.h"
#include "outbound/direct.h"
#include "policy/user.h"
#include "session/limits.h"
#include "stream/packet.h"

#define UDP_FLOWS_SOURCE 1024u /* of one source */

struct screen;
struct udp_service;

/* A source address and its flows, least recently used first. */
struct udp_source {
    struct udp_source *next; /* in its bucket */
    struct addr ip;
    struct list flows;
    uint32_t count;
};

struct udp_flow {
    struct udp_flow *next; /* in its bucket */
    struct list idle;      /* among those with its idle time, least recently used first */
    struct list by_source;
    struct list touched; /* has datagrams in @up that this turn brought */
    struct udp_service *service;
    struct udp_source *source; /* NULL: not in the table yet */
    struct packet_key key;
    struct user_rt *user;   /* a reference, once it is in the table */
    struct addr client;     /* where the last authentic datagram came from */
    uint8_t socket;         /* and on which of the service's sockets */
    bool dns;               /* its first target was a DNS server: short idle time */
    struct direct_udp *out; /* NULL: not opened */
    struct bufq up;
    struct claim claim;    /* on the user's limits */
    bool lost_place;       /* it went to another device: the flow is to end */
    struct screen *screen; /* of its datagrams; NULL: no rules, or none came */
    uint32_t up_paid;      /* datagrams of @up that the user's speed limit has let pass */
    struct task task;      /* more answers to read, others first */
    uint64_t active_ms;
    uint64_t unreported; /* payload bytes since the last alive report */
    size_t state_size;
    _Alignas(16) uint8_t state[]; /* the protocol's */
};

struct udp_flows {
    struct udp_flow **buckets;
    struct udp_source **sources; /* as many buckets */
    size_t size;                 /* a power of two; 0: nothing allocated yet */
    size_t count;
    struct list idle[2]; /* [dns] */
    uint64_t seed;       /* clients choose keys and addresses, if only those of users */
};

/* Empty. @seed: random. */
void udp_flows_init(struct udp_flows *t, uint64_t seed);
/* There must be no flow left. */
void udp_flows_fini(struct udp_flows *t);
/* NULL: none. */
struct udp_flow *udp_flows_find(const struct udp_flows *t, const struct packet_key *key);
/* Puts a flow with key, client and dns into the table. ST_OK or ST_E_NOMEM. */
NODISCARD enum status udp_flows_add(struct udp_flows *t, struct udp_flow *f, uint64_t now_ms);
/* Takes it out; harmless when it is not in. */
void udp_flows_remove(struct udp_flows *t, struct udp_flow *f);
/* It has moved a datagram. */
void udp_flows_use(struct udp_flows *t, struct udp_flow *f, uint64_t now_ms);
/* The flow that has to go before @ip may have one more; NULL: none. */
struct udp_flow *udp_flows_excess(const struct udp_flows *t, const struct addr *ip);
/* A flow that was idle for its time (@idle_ms[dns]); NULL: none. */
struct udp_flow *udp_flows_expired(const struct udp_flows *t, const uint32_t idle_ms[2],
                                   uint64_t now_ms);

#endif
