/* session/udp_door.h - one UDP address that a node listens on: its socket, and the datagrams that
 * wait at it. Single-threaded; belongs to its worker. What they mean: session/udp_service.h. */
#ifndef SESSION_UDP_DOOR_H
#define SESSION_UDP_DOOR_H

#include "base/span.h"
#include "io/loop.h"

struct handoff;
struct worker;

struct udp_door {
    struct watch watch;
    struct worker *worker;
    struct task *task; /* queued when there is something to read, or room again to send */
    struct addr where;
    bool dual, v6only;
    bool readable, blocked; /* blocked: waits for room to send */
    struct bufq out;        /* to clients, the owner's to fill */
    struct bufq waiting;    /* read, and put aside by the owner */
};

/* Opens a socket at @where, or takes the one that an earlier process had there (worker.handoff).
 * ST_OK: *@out is the caller's, for udp_door_close. ST_E_BUSY: the port is taken; ST_E_IO, both
 * with *@err the errno; ST_E_NOMEM. */
NODISCARD enum status udp_door_open(struct udp_door **out, struct worker *w,
                                    const struct addr *where, bool v6only, struct task *task,
                                    int *err);
/* What waits at it is lost. Another process that has the socket, too, goes on with it. */
void udp_door_close(struct udp_door *d);
/* Reads a batch into @q and clears readable when there is no more. Answers as udp_recv. */
NODISCARD enum status udp_door_read(struct udp_door *d, struct bufq *q);
/* Sends what @d->out holds, as far as the socket takes it. */
void udp_door_write(struct udp_door *d);
/* Adds a duplicate of the socket to @into. Answers as handoff_add_copy. */
NODISCARD enum status udp_door_export(const struct udp_door *d, struct handoff *into);

#endif
