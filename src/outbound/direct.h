/* outbound/direct.h - from a target to the network: names resolved, private addresses refused,
 * connections raced.
 *
 * Single-threaded, never blocks, every wait has a deadline. What addresses decide is decided after
 * resolution: a name that points at the host, or into a network that the node's rules block, is
 * refused like the address itself. */
#ifndef OUTBOUND_DIRECT_H
#define OUTBOUND_DIRECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/span.h"
#include "base/status.h"
#include "io/loop.h"
#include "io/resolver.h"
#include "io/udp.h"
#include "policy/view.h"

/* What a worker lends to its outbounds. Outlives them. */
struct direct_env {
    struct loop *loop;
    struct pool *pool;
    struct resolver *resolver;
    struct udp_batch *batch;
};

/* The last word on a target given by name and @port, before any of its addresses is used: @answer
 * has at least one. False refuses the target whole; who says so has told why, and the dial or flow
 * ends with ST_E_REFUSED and no text. Not to end them itself. */
typedef bool direct_allow_fn(void *arg, const struct resolve_answer *answer, uint16_t port);

/* How to go out; copied where it is kept. */
struct direct_conf {
    enum view_ip_strategy ip_strategy;
    struct addr send_ip4, send_ip6; /* source; with only one, the other family is not used */
    bool allow_private;
    bool tfo;               /* TCP_FASTOPEN_CONNECT */
    uint32_t timeout_ms;    /* of resolution and race together; 0 = DIAL_TIMEOUT_MS */
    direct_allow_fn *allow; /* NULL: nobody is asked */
    void *allow_arg;        /* outlives the dial or flow */
};

/* The settings of a node for what its users ask for; allow is the caller's to add. For a fallback
 * or a target of the operator set allow_private. */
void direct_conf_of(struct direct_conf *conf, const struct view_node *node);

/* ---- TCP ------------------------------------------------------------------------------------- */

struct direct_result {
    enum status status; /* as why.status; ST_OK */
    int fd;             /* the receiver's now; non-blocking, in no epoll set; -1 on error */
    bool connected;     /* false: connect() is under way, watch for writable, then ask SO_ERROR */
    struct addr addr;   /* the final address */
    /* ST_E_REFUSED private, port 0, no family left, or (text NULL) not allowed; ST_E_NOTFOUND,
     * ST_E_TIMEOUT, ST_E_IO, ST_E_LIMIT, ST_E_NOMEM; number = errno */
    struct why why;
};

/* Embedded by the session; zeroed = idle. State exists (in the pool) only while dialing. */
struct direct_dial {
    struct direct_dialing *busy;
};

/* Dials @t.
 *   ST_OK    @now holds the fd, @fn is not called (an IP target, or a cached name with one address)
 *   ST_MORE  @fn is called once from the loop, with @h idle again, unless direct_dial_cancel comes
 *            first
 *   error    @now says why; @fn is not called */
NODISCARD enum status direct_dial_start(struct direct_dial *h, const struct direct_env *env,
                                        const struct direct_conf *conf, const struct target *t,
                                        void (*fn)(struct direct_dial *,
                                                   const struct direct_result *),
                                        struct direct_result *now);
/* Harmless when idle. */
void direct_dial_cancel(struct direct_dial *h);

/* ---- UDP ------------------------------------------------------------------------------------- */

enum direct_udp_events {
    DIRECT_UDP_READABLE = 1, /* direct_udp_recv may have something */
    DIRECT_UDP_WRITABLE = 2, /* direct_udp_send may go on: name resolved, or room in the socket */
    DIRECT_UDP_FAILED = 4,   /* no address of the target's name is to be used: see why; close it */
};

/* A full-cone flow: one port for all destinations, replies from anyone. Heap object (pool). */
struct direct_udp;

/* Opens a flow; a name in @dflt (where datagrams without peer go; may be NULL) is looked up at once
 * and pinned. @fn is called from the loop, edge-triggered: after READABLE read until ST_OK. ST_OK;
 * ST_E_REFUSED (private target, or one that is not allowed), ST_E_LIMIT, ST_E_BUSY (no port free at
 * the source address), ST_E_NOMEM, ST_E_IO; @why is filled on errors. */
NODISCARD enum status direct_udp_open(const struct direct_env *env, const struct direct_conf *conf,
                                      const struct target *dflt, void *arg,
                                      void (*fn)(void *arg, uint32_t events, const struct why *why),
                                      struct direct_udp **out, struct why *why);
/* Sends what is in @q, and what has got its address since; datagrams to private destinations are
 * dropped, unless allowed. Those to a name (base/frame.h) are taken and wait for its address;
 * WRITABLE says that it is there. *@sent: bytes that went out by this call, also on error.
 *   ST_OK    all taken
 *   ST_MORE  the name is still being looked up: WRITABLE or FAILED follows
 *   ST_FULL  the socket is full: WRITABLE follows
 *   error    the flow is dead */
NODISCARD enum status direct_udp_send(struct direct_udp *u, struct bufq *q, uint64_t *sent);
/* Reads into @q, see udp_recv: ST_OK drained, ST_YIELD more to come, ST_FULL, ST_E_NOMEM. */
NODISCARD enum status direct_udp_recv(struct direct_udp *u, struct bufq *q);
/* The sockets of a flow under way to another thread's worker. */
struct direct_udp_sockets {
    int fd[2]; /* -1: not open; the second for IPv6, with source addresses */
    bool dual[2];
    struct addr dflt;
};
/* Closes @u but for its sockets, which are the caller's now. */
void direct_udp_take(struct direct_udp *u, struct direct_udp_sockets *out);
/* Opens a flow with sockets of an earlier one, taken over also on error. ST_OK, ST_E_NOMEM,
 * ST_E_IO. */
NODISCARD enum status
direct_udp_reopen(const struct direct_env *env, const struct direct_conf *conf,
                  struct direct_udp_sockets *sockets, void *arg,
                  void (*fn)(void *arg, uint32_t events, const struct why *why),
                  struct direct_udp **out);
/* Closes what is open of them. */
void direct_udp_sockets_close(struct direct_udp_sockets *sockets);
/* Where datagrams without peer go; family ADDR_NONE as long as its name is looked up. */
const struct addr *direct_udp_target(const struct direct_udp *u);
/* Datagrams not sent so far: private, not allowed, or refused by the kernel. */
size_t direct_udp_dropped(const struct direct_udp *u);
void direct_udp_close(struct direct_udp *u); /* NULL is fine; also from within fn */

#endif
