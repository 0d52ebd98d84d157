/* session/worker.h - one data-plane thread: its loop, pools, nodes and sessions. Everything in
 * it is touched by its own thread only, but for the atomics and the mailbox. */
#ifndef SESSION_WORKER_H
#define SESSION_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/log.h"
#include "base/span.h"
#include "io/loop.h"
#include "io/mailbox.h"
#include "io/splice.h"
#include "outbound/direct.h"
#include "policy/meter.h"
#include "policy/plane.h"
#include "session/admission.h"
#include "session/alive.h"
#include "session/causes.h"
#include "session/listener.h"
#include "stream/layer.h"

struct handoff;
struct udp_service;
struct workers;
struct xudp_table;

/* Sums of one node in one worker: written by the worker, read by the control thread at any time,
 * so they outlive the worker_node. */
struct worker_stats {
    _Atomic uint64_t accepted, rejected, open, handshaking, served, diverted, dropped, up, down;
};

/* What a worker does for one node. */
struct worker_node {
    struct view *view; /* current; one reference */
    struct worker *worker;
    struct list sessions;
    struct list listeners; /* struct listener.link; heap; several an address after an upgrade */
    struct timer retry;    /* opens listeners that were busy */
    struct timer drain;    /* armed while the node is being removed */
    bool removing;
    struct udp_service *udp; /* the node's own UDP ports, if it has some and they are here */
    struct alive_table alive;
    struct worker_stats *stats; /* = worker->stats[node_no] */
};

struct worker {
    unsigned no;
    struct workers *all;
    pthread_t thread;
    struct loop *loop;
    struct mailbox *mailbox;
    struct pool *pool;
    struct rng *rng;
    struct crypto_ctx *crypto;
    struct splice_pool *pipes;
    struct direct_env out;
    struct meter meter;
    struct admission admission;
    struct heavy handshakes; /* env.heavy of all sessions */
    struct xudp_table *xudp; /* shared by all workers */
    struct list parked;      /* flows without a stream, oldest first: session_park */
    unsigned parked_count;
    const struct log *log;
    struct log_sink *access;          /* NULL: no access log */
    const char *name_servers;         /* of the resolver in out */
    struct timer second;              /* trims pools, resumes accepting */
    _Atomic uint64_t memory;          /* pool_used, each second */
    struct events ev;                 /* scratch of the chain_run in progress */
    uint32_t log_tokens, log_dropped; /* lines about sessions this second */
    uint32_t bulk_flows, bulk_seen;   /* bulk turns in the last round, and so far in this one */
    uint64_t bulk_round_us;
    bool stopped;            /* no listener is opened any more */
    bool held;               /* none accepts yet: an earlier process still does */
    struct handoff *handoff; /* its sockets; NULL: none */
    struct worker_node *nodes[VIEW_NODES_MAX];
    struct worker_stats stats[VIEW_NODES_MAX];
    struct causes causes;
};

/* Adds to a counter that only this worker writes. */
static inline void worker_count(_Atomic uint64_t *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}
static inline void worker_count_down(_Atomic uint64_t *c)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) - 1,
                          memory_order_relaxed);
}

/* Prepares a worker whose rng, crypto, meter, log, access, name_servers and all are set. ST_OK,
 * ST_E_NOMEM, ST_E_IO, ST_E_CONFIG: the name servers cannot be used. */
NODISCARD enum status worker_init(struct worker *w, size_t memory_budget, size_t sessions_max);
/* Ends all sessions and gives everything back; its thread has ended. */
void worker_fini(struct worker *w);

/* The worker's side of struct plane, in its own thread. */
void worker_publish(struct worker *w, struct view *v);
void worker_remove(struct worker *w, uint32_t node_no, uint32_t drain_ms);
/* The port was found free: opens this worker's listeners. */
void worker_open_listeners(struct worker *w, uint32_t node_no);
/* First worker: another could not open its listeners, all try again a little later. */
void worker_retry_listeners(struct worker *w, uint32_t node_no);
/* Closes the listeners and opens none any more; sessions go on. */
void worker_stop_accepting(struct worker *w);
/* Another process goes on with the ports: the same, and flows of native UDP end, for whose
 * datagrams are read there from now on. */
void worker_yield(struct worker *w);
/* Adds duplicates of all listening sockets to @into. Answers as handoff_add_copy. */
NODISCARD enum status worker_export(struct worker *w, struct handoff *into);
/* The earlier process has stopped accepting: takes this worker's share of its sockets and accepts.
 */
void worker_release(struct worker *w);
/* A session of @wn was freed. */
void worker_session_gone(struct worker_node *wn);
/* (user, source) pairs since the last call, as alive_take. */
struct plane_alive *worker_take_alive(struct worker *w, uint32_t node_no, size_t *n);
/* Where sessions of @u come from, without the port and as often as they are; at most @max of them
 * into @out. Returns how many. */
size_t worker_online(struct worker *w, uint32_t node_no, const struct user_rt *u,
                     struct plane_online *out, size_t max);
/* plane.close_removed. */
void worker_close_removed(struct worker *w, uint32_t node_no);
/* plane.count_devices and plane.end_devices. */
void worker_count_devices(struct worker *w, uint32_t node_no);
void worker_end_devices(struct worker *w, uint32_t node_no);
/* Of a session that is open and moved its last payload at @active_ms. */
enum plane_presence worker_presence(const struct worker_node *wn, uint64_t active_ms);
/* Takes a connection that another worker accepted. */
void worker_adopt(struct worker *w, uint32_t node_no, int fd, const struct addr *peer);

/* How many flows moved bulk in the last round of the loop (at least 1), this one counted for the
 * next: they share the turn size. */
unsigned worker_bulk_flows(struct worker *w);

/* May one more line about a session be logged this second? Counts those that may not. */
bool worker_may_log(struct worker *w);

#endif
