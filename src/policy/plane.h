/* policy/plane.h - the calls between the planes. The control plane sees the workers only through
 * struct plane; app wires both. */
#ifndef POLICY_PLANE_H
#define POLICY_PLANE_H

#include <stddef.h>
#include <stdint.h>

#include "policy/conns.h"
#include "policy/view.h"

/* Sums of one node over all workers, for status lines and metrics. */
struct plane_stats {
    uint64_t accepted, rejected, open, handshaking; /* connections */
    uint64_t served, diverted; /* a user's request; given to a fallback or REALITY's target */
    uint64_t dropped;          /* datagrams over a speed limit */
    uint64_t up, down;         /* payload bytes since start */
};

/* What a source has at the moment, the most of all its sessions. */
enum plane_presence {
    PLANE_GONE, /* no session any more */
    PLANE_OPEN,
    PLANE_BUSY, /* a session that moved payload within the grace of devices */
};

/* One worker, for the same. */
struct plane_worker {
    uint64_t busy_us;    /* at work since the start */
    uint64_t longest_us; /* longest turn of its loop in the last minute: others waited so long */
    uint64_t open;       /* sessions */
    uint64_t memory, memory_max; /* bytes of blocks and sessions in use, and of its part of
                                    MemoryBudget; a second old */
};

/* Source addresses seen with traffic: one entry a (user, ip) of each worker. Filled by workers, see
 * plane.collect_alive. */
struct plane_alive {
    uint64_t uid;
    struct addr ip; /* port 0 */
    enum plane_presence presence;
    uint64_t bytes; /* moved in the period, both directions */
};

/* @from is the same source as @to, seen by somebody else. */
static inline void plane_alive_join(struct plane_alive *to, const struct plane_alive *from)
{
    to->bytes += from->bytes;
    if (from->presence > to->presence)
        to->presence = from->presence;
}

/* A source of open sessions of one user. */
struct plane_online {
    struct addr ip;   /* port 0 */
    uint64_t idle_ms; /* since the last payload of any of them */
};
#define PLANE_ONLINE_MAX 1024u /* sources a worker names */

/* Called by the control thread. Every call returns at once; the work is done in the workers'
 * turns. */
struct plane {
    void *self;
    unsigned workers;
    /* Publishes @v to all workers (takes the caller's reference). Opens, keeps or closes
     * listeners as v->node says. @removed: users whose sessions must end now; each entry carries
     * a reference that the plane drops when every worker has closed them. The array itself is
     * copied. */
    void (*publish)(void *self, struct view *v, struct user_rt *const *removed, size_t n);
    /* Ends a node: listeners close at once, sessions at the latest after @drain_ms.
     * plane_sink.node_gone follows. */
    void (*remove)(void *self, uint32_t node_no, uint32_t drain_ms);
    /* Ends the sessions of users of the node that have been marked removed; no view changes. */
    void (*close_removed)(void *self, uint32_t node_no);
    /* Asks the workers for the (user, source ip) pairs of one node that had traffic since the
     * last call or hold a session; plane_sink.alive follows once. */
    void (*collect_alive)(void *self, uint32_t node_no);
    /* Asks where the open sessions of @u come from; @u is only compared. @done is called once, in
     * the control thread, each source once; @list is borrowed for the call. */
    void (*collect_online)(void *self, uint32_t node_no, const struct user_rt *u,
                           void (*done)(void *arg, const struct plane_online *list, size_t n),
                           void *arg);
    /* Users have a device limit who had none, or a smaller one: counts the devices of their
     * sessions that were not counted so far, whatever the limit is; plane_sink.devices_counted
     * follows once. Or a connection limit who had none: the same for their streams. */
    void (*count_devices)(void *self, uint32_t node_no);
    /* Ends the sessions of devices that have lost their places (policy/devices.h). Those that move
     * payload end without being asked. */
    void (*end_devices)(void *self, uint32_t node_no);
    /* A later process lets so many streams of @u be here (policy/conns.h); those over it end. The
     * caller holds him. */
    void (*allow_streams)(void *self, struct user_rt *u, const uint32_t allowed[CONN_CLASSES]);
    /* Counts now; may be a moment old. @node_no UINT32_MAX: all nodes. */
    void (*stats)(void *self, uint32_t node_no, struct plane_stats *out);
    /* Worker @no < workers. */
    void (*worker)(void *self, unsigned no, struct plane_worker *out);
    /* Calls @fn for each cause, a static text, that sessions and datagrams of the node have failed
     * for since the start. */
    void (*causes)(void *self, uint32_t node_no,
                   void (*fn)(void *arg, const char *text, uint64_t count), void *arg);
};

/* What the workers tell the control plane; always called in the control thread. */
struct plane_sink {
    void *self;
    /* A listener of the node could not be opened (ST_E_BUSY: port in use, ST_E_IO: errno in
     * why.number) or, status ST_OK, all are open. */
    void (*listening)(void *self, uint32_t node_no, struct why why, const struct addr *where);
    void (*node_gone)(void *self, uint32_t node_no);
    /* @list is borrowed for the call, in no order. */
    void (*alive)(void *self, uint32_t node_no, const struct plane_alive *list, size_t n);
    void (*devices_counted)(void *self, uint32_t node_no);
    /* Streams of @u have taken places of an earlier process's: it is to be told (conns_grant).
     * He is held for the call. */
    void (*streams_taken)(void *self, struct user_rt *u);
    /* The last reference of a user that was removed is gone: his slot may be sampled a last time
     * and reused. */
    void (*user_released)(void *self, struct user_rt *u);
};

#endif
