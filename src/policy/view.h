/* policy/view.h - where the two planes meet: an immutable snapshot of one node, published by the
 * control thread and swapped in by each worker.
 *
 * A view is const after publishing. Workers hold one reference each while it is current, and every
 * session one: its layers' configurations lie in the node. Sessions move on to the next view of the
 * same node as soon as it is published, so a list of users goes soon after it was replaced. The
 * last reference (any thread) calls release. */
#ifndef POLICY_VIEW_H
#define POLICY_VIEW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "policy/fallback.h"
#include "policy/user.h"
#include "policy/user_index.h"

#define VIEW_LISTEN_MAX 8
#define VIEW_STAGES_MAX 4
#define VIEW_NODES_MAX  256

struct audit;
struct audit_hits;
struct layer_ops;
struct packet_ops;

/* Time bounds of sessions, in milliseconds (XrayConnectionConfig). */
struct view_timeouts {
    uint32_t handshake;     /* accept to the complete request, TLS included */
    uint32_t idle;          /* no payload in either direction */
    uint32_t uplink_only;   /* after the target ended its direction */
    uint32_t downlink_only; /* after the client ended its direction */
};

/* How names of targets become addresses (EnableDNS, DNSType). */
enum view_ip_strategy {
    VIEW_IP_ANY, /* both families raced, RFC 8305 */
    VIEW_IP_V4_FIRST,
    VIEW_IP_V6_FIRST,
    VIEW_IP_V4_ONLY,
    VIEW_IP_V6_ONLY,
};

/* How long what a client says first is waited for, where block rules look at it, in milliseconds
 * since its request. */
struct view_sniff {
    uint32_t first_ms; /* its first byte; 0: nothing is looked at (DisableSniffing) */
    uint32_t whole_ms; /* enough to tell, once it has begun */
};

/* One stage of the inbound chain: opaque here, a struct chain_stage for the session. */
struct view_stage {
    const struct layer_ops *ops;
    const void *conf;
};

/* Everything of a node but its users. Lives in an arena of the control plane, refcounted by the
 * views that point at it. */
struct view_node {
    const char *tag;                     /* for logs */
    struct addr listen[VIEW_LISTEN_MAX]; /* ip and port */
    unsigned listen_count;
    bool listen_v6only;            /* false: "::" serves IPv4 too */
    bool tfo;                      /* TCP_FASTOPEN on listener and dial */
    bool proxy_protocol;           /* a PROXY v1/v2 header comes first ... */
    const struct cidr *proxy_from; /* ... from these sources (count 0: from all, and mandatory) */
    size_t proxy_from_count;
    struct view_stage stages[VIEW_STAGES_MAX]; /* tls, ws, vless; lowest first */
    unsigned stage_count;
    const struct packet_ops *packets; /* stream/packet.h: datagrams to the same ports; NULL: none */
    const void *packets_conf;
    struct view_timeouts timeouts;
    struct addr send_ip4, send_ip6; /* source of outgoing connections; family 0 = any */
    enum view_ip_strategy ip_strategy;
    bool speed_shared; /* one rate for both directions of a user together, not one for each */
    uint8_t device_bits4, device_bits6; /* of the networks that count as one device */
    bool device_kick;        /* a device over the limit takes the place of the longest quiet one */
    bool device_private;     /* private and loopback sources are devices, too */
    uint32_t device_grace_s; /* a device without sessions counts so long */
    bool allow_private;      /* users may reach loopback and private addresses */
    const struct audit *audit;     /* block rules (policy/audit.h); NULL: none */
    struct audit_hits *audit_hits; /* where hits are counted (policy/audit_hits.h); with audit */
    struct view_sniff sniff;
    const struct fallback_table *fallback; /* NULL: none */
    uint32_t source_max;                   /* unauthenticated connections of one source address */
    void *memory;                          /* what frees it: the control plane's business */
};

struct view {
    _Atomic uint32_t refs;
    uint32_t node_no;    /* index in the workers' tables, < VIEW_NODES_MAX */
    uint64_t generation; /* grows with every publication of this node */
    const struct view_node *node;
    struct user_index *users;
    void *shared;              /* the protocol's shared state: outlives all views of the node */
    struct share_total *total; /* of the node, of all its views; NULL: no limit */
    void (*release)(struct view *); /* frees view, index and its references */
    void *owner;
};

static inline struct view *view_ref(struct view *v)
{
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}
static inline void view_unref(struct view *v)
{
    if (v != NULL && atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) == 1)
        v->release(v);
}

#endif
