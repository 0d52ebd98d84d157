/* policy/conns.h - the open streams of one user on one node, oldest first, and which of them makes
 * room for another. Pure, thread-safe: a short spin lock, once a stream, never a packet.
 *
 * TCP and UDP have the limit each. The newest always has a place: of the sixteen oldest the first
 * that is idle ends, else the oldest; only where even that is as fresh as a page being loaded the
 * new one is refused. */
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

/* Made by conns_init; nothing to free. */
struct conns {
    atomic_flag lock;
    struct list open[CONN_CLASSES];
    uint32_t count[CONN_CLASSES];
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

#endif
