/* app/upgrade_wire.h - what the two processes of an upgrade say to each other, over a pair of
 * sequenced-packet sockets, so that a message is whole or not there. Both are on one machine:
 * numbers are in its byte order.
 *
 *   old                                            new
 *   HELLO  number of the state database
 *   NODES  rows of the nodes that serve
 *   SOCKETS ... with the descriptors (SCM_RIGHTS), END
 *                                                  READY  all of those nodes listen, nobody accepts
 *                                                  FAILED in words, instead
 *   DEVICES that users with limits have here, in pieces; an empty one ends the list, which comes
 *          again every few seconds
 *   STREAMS how many users with a limit have here, where it has changed since the last time
 *   MEMORY with a descriptor: where both keep what is spent of speed limits
 *   CELLS  who has which cell of it, those that are new
 *   GO     we have stopped accepting
 *   PRESENT who is online here, node after node, where that would have been reported
 *   ONLINE users whom nodes here told their panels online
 *   REPORT no push or list of who is online of ours is under way any more
 *                                                  REMOVED users whose sessions must end
 *                                                  GRANT how many of those streams may stay
 *                                                  OUT devices that have lost their places
 *
 * A side that does not know the version says so and ends: the old process then goes on. */
#ifndef APP_UPGRADE_WIRE_H
#define APP_UPGRADE_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "control/controller_upgrade.h"
#include "session/handoff.h"

#define UPGRADE_VERSION     6
#define UPGRADE_SOCKETS_MAX 64u /* a message; the kernel takes 253 descriptors at once */
#define UPGRADE_TEXT_MAX    256u
#define UPGRADE_ENV         "V2SP_UPGRADE_FD" /* where the new process finds its end */

enum upgrade_type {
    UPGRADE_HELLO = 1,
    UPGRADE_NODES,
    UPGRADE_SOCKETS,
    UPGRADE_END,
    UPGRADE_READY,
    UPGRADE_FAILED,
    UPGRADE_GO,
    UPGRADE_REPORT,
    UPGRADE_REMOVED,
    UPGRADE_DEVICES,
    UPGRADE_ONLINE,
    UPGRADE_PRESENT,
    UPGRADE_STREAMS,
    UPGRADE_GRANT,
    UPGRADE_MEMORY,
    UPGRADE_CELLS,
    UPGRADE_OUT,
};

struct upgrade_message {
    enum upgrade_type type;
    size_t count;   /* of what the type has */
    uint64_t state; /* HELLO */
    int memory;     /* MEMORY */
    union {
        uint32_t rows[VIEW_NODES_MAX]; /* NODES */
        struct {
            struct handoff_key key;
            int fd;
        } sockets[UPGRADE_SOCKETS_MAX];                            /* SOCKETS */
        struct controller_user users[CONTROLLER_USERS_MAX];        /* REMOVED, ONLINE */
        struct controller_device devices[CONTROLLER_DEVICES_MAX];  /* DEVICES, OUT */
        struct controller_streams streams[CONTROLLER_STREAMS_MAX]; /* STREAMS, GRANT */
        struct controller_cell cells[CONTROLLER_CELLS_MAX];        /* CELLS */
        struct controller_present present[CONTROLLER_PRESENT_MAX]; /* PRESENT */
        char text[UPGRADE_TEXT_MAX]; /* FAILED; count includes the NUL */
    };
};

/* Sends @m; descriptors stay the caller's. ST_OK; ST_FULL: not now (the socket does not block);
 * ST_E_CLOSED: the other side is gone; ST_E_IO. */
NODISCARD enum status upgrade_send(int fd, const struct upgrade_message *m);
/* Reads the next message, with descriptors that are the caller's. ST_OK; ST_MORE: none yet;
 * ST_E_CLOSED; ST_E_UNSUPPORTED: of another version; ST_E_PROTO: not ours; ST_E_IO. */
NODISCARD enum status upgrade_recv(int fd, struct upgrade_message *m);

#endif
