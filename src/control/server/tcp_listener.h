/* control/server/tcp_listener.h - a listening socket of the control thread: takes connections a
 * few at a time, rests while the process is out of files. Single-threaded. */
#ifndef CONTROL_SERVER_TCP_LISTENER_H
#define CONTROL_SERVER_TCP_LISTENER_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/status.h"
#include "io/loop.h"

struct tcp_listener {
    struct watch watch; /* fd -1: closed */
    struct timer rest;
    struct loop *loop;
    struct addr bound;
    bool paused;
    /* A connection, non-blocking; the descriptor is the callee's. */
    void (*accepted)(struct tcp_listener *, int fd, const struct addr *peer);
};

/* Closed. @accepted: see above. */
void tcp_listener_init(struct tcp_listener *t, struct loop *l,
                       void (*accepted)(struct tcp_listener *, int fd, const struct addr *peer));
/* Listens on @at (port 0: any free one, see t->bound). ST_OK; ST_E_BUSY, ST_E_IO: *@why says what
 * failed, errno in its number. */
NODISCARD enum status tcp_listener_open(struct tcp_listener *t, const struct addr *at,
                                        struct why *why);
/* Takes connections of @own_fd, of whatever family, which listens already and does not block.
 * ST_OK; ST_E_IO: it is closed, *@why as above. */
NODISCARD enum status tcp_listener_take(struct tcp_listener *t, int own_fd, struct why *why);
bool tcp_listener_is_open(const struct tcp_listener *t);
void tcp_listener_close(struct tcp_listener *t); /* harmless twice */

#endif
