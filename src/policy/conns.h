/* policy/conns.h - the open streams of one user on one node, oldest first, and which of them makes
 * room for another. Pure, thread-safe: a short spin lock, once a stream, never a packet.
 *
 * TCP and UDP have the limit each. The newest always has a place: of the sixteen oldest the first
 * that is idle ends, else the oldest; only where even that is as fresh as a page being loaded the
 * new one is refused.
 *
 * In an upgrade two processes have streams of the user. All that the earlier one has are older, so
 * the later one gives their places away first, and tells how many may stay; which of them end is
 * decided where they are. (docs/internals/upgrade.md; three processes in a row: the one in the
 * middle is both.) */
#ifndef POLICY_CONNS_H
#define POLICY_CONNS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/status.h"

#define CONNS_IDLE_TCP_S 15 /* without payload: the first to go */
#define CONNS_IDLE_UDP_S 8
#define CONNS_LOOK       16 /* of the oldest are asked whether they are idle */
#define CONNS_FRESH_MS   1000

enum conn_class { CONN_TCP, CONN_UDP, CONN_CLASSES };

/* Of one stream; its owner's memory. */
struct conn_entry {
    struct list node; /* linked while it counts; under the lock */
    uint64_t born_ms;
    _Atomic uint32_t active_s; /* monotonic seconds of its last payload */
    uint8_t class;             /* enum conn_class */
    bool out; /* its place was given away: its owner is to be told; under the lock */
};

#define CONNS_ANY UINT32_MAX /* so many as there are */

struct conns_class {
    struct list open;
    uint32_t count;
    uint32_t older;   /* an earlier process has, as far as is known */
    uint32_t allowed; /* by a later one, of these and the older; CONNS_ANY: nobody has said */
    uint32_t told;    /* to the later one: these and the older */
    uint32_t granted; /* to the earlier one, of its own; CONNS_ANY: nothing was said */
    bool taken;       /* places of the earlier one were given away since */
};

/* Made by conns_init; nothing to free. */
struct conns {
    atomic_flag lock;
    _Atomic bool owes; /* the earlier process is to be told: conns_grant */
    struct conns_class of[CONN_CLASSES];
};

/* Nobody in it. */
void conns_init(struct conns *c);
/* A stream begins under a limit of @limit (> 0) a class. Those that must end for it are linked in
 * @out (an empty list), marked; the caller tells their owners. ST_OK, or ST_E_LIMIT: refused. */
NODISCARD enum status conns_enter(struct conns *c, struct conn_entry *e, enum conn_class class,
                                  uint32_t limit, uint64_t now_ms, struct list *out);
/* The stream ends. True: the entry is its owner's again. False: it was given away, and who carries
 * the news still has it. */
bool conns_leave(struct conns *c, struct conn_entry *e);

/* ---- two processes ---- */

/* An earlier process has so many of each class, its own and those of a yet earlier one. */
void conns_set_older(struct conns *c, const uint32_t older[CONN_CLASSES]);
/* It has ended. */
void conns_no_older(struct conns *c);
/* How many of each class the earlier process may keep under a limit of @limit here (0: none).
 * True: it is to be told so. */
bool conns_grant(struct conns *c, uint32_t limit, uint32_t grant[CONN_CLASSES]);
/* How many there are of each class, with the older ones. True: others than at the last call. */
bool conns_changed(struct conns *c, uint32_t count[CONN_CLASSES]);
/* A later process says how many of each class may be here, with the older ones. From now on that is
 * the limit; one has a place here even then. Those that must end are linked in @out as by
 * conns_enter. */
void conns_allow(struct conns *c, const uint32_t allowed[CONN_CLASSES], uint64_t now_ms,
                 struct list *out);

#endif
