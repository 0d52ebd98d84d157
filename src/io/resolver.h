/* io/resolver.h - names to addresses without blocking: c-ares on the worker's loop, with a cache.
 *
 * One a worker, single-threaded. A and AAAA are separate cache entries, each asked for once however
 * many requests wait (single flight), kept for their TTL (5 s to 1 h; no such name 10 s, failures 2
 * s), at most RESOLVER_NAMES_MAX of them, least recently used out first. /etc/hosts is honoured;
 * "localhost" and names under it never leave the host (RFC 6761). There are no names whose last
 * label is a number (RFC 3696 section 2), though c-ares takes "127.000.000.001" for an address.
 * Every request is answered within RESOLVER_DEADLINE_MS. */
#ifndef IO_RESOLVER_H
#define IO_RESOLVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"
#include "io/loop.h"

#define RESOLVER_NAMES_MAX   4096 /* cache entries: one a (name, family) */
#define RESOLVER_FLIGHT_MAX  512  /* lookups under way; more are refused with ST_E_LIMIT */
#define RESOLVER_DEADLINE_MS 5000 /* of one request */
#define RESOLVER_DELAY_MS    50   /* how long one family waits for the other: RFC 8305 section 3 */
#define RESOLVE_ADDRS_MAX    16

struct resolver;
struct resolver_entry;

enum resolve_want { RESOLVE_ANY, RESOLVE_IP4, RESOLVE_IP6 };

/* Addresses of a name, IPv6 ones first; port 0. */
struct resolve_answer {
    /* ST_OK; ST_E_NOTFOUND no such name or no address of that family; ST_E_TIMEOUT; ST_E_IO no
     * server reachable or server failure; ST_E_NOMEM; ST_E_LIMIT */
    enum status status;
    const char *name; /* with addresses: the one asked for; good till the resolver's next call */
    size_t count;
    struct addr addrs[RESOLVE_ADDRS_MAX];
};

/* A request under way; embedded by the caller, all members private. A zeroed one is idle. */
struct resolve_req {
    struct resolver *r; /* NULL: idle */
    struct resolve_wait {
        struct list node;
        struct resolver_entry *entry; /* NULL: not asked */
        struct resolve_req *req;
    } wait[2]; /* IPv6, IPv4 */
    struct timer timer;
    bool delayed; /* one family has answered, the timer is the RESOLVER_DELAY_MS */
    uint64_t deadline_ms;
    void (*fn)(struct resolve_req *, const struct resolve_answer *);
};

/* Uses the servers of /etc/resolv.conf (and follows its changes), unless @servers names them:
 * "ip[:port],[ip6]:port". ST_OK, ST_E_NOMEM, or ST_E_CONFIG when the servers cannot be used. */
NODISCARD enum status resolver_new(struct loop *l, const char *servers, struct resolver **out);
/* Requests under way are dropped without an answer. NULL is fine. Not from within an answer. */
void resolver_free(struct resolver *r);
/* Looks @name (NUL-terminated, <= 255 bytes, any case) up. @req must be idle.
 *   ST_OK    @now is filled, @fn is not called
 *   ST_MORE  @fn is called once, later, from the loop, with @req idle again; unless resolve_cancel
 *            comes first
 *   error    @now->status says the same; @fn is not called */
NODISCARD enum status resolver_get(struct resolver *r, const char *name, enum resolve_want want,
                                   struct resolve_req *req,
                                   void (*fn)(struct resolve_req *, const struct resolve_answer *),
                                   struct resolve_answer *now);
/* The answer is not wanted any more. Harmless on an idle request. */
void resolve_cancel(struct resolve_req *req);

#endif
