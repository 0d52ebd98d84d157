/* session/listener.h - one SO_REUSEPORT listening socket of a worker, and accepting from it.
 * Single-threaded. A worker that is held (worker.h) opens it paused. */
#ifndef SESSION_LISTENER_H
#define SESSION_LISTENER_H

#include "base/addr.h"
#include "base/list.h"
#include "base/status.h"
#include "io/loop.h"

struct worker_node;

struct listener {
    struct list link;   /* worker_node.listeners */
    struct watch watch; /* fd -1: closed */
    struct timer pause; /* EMFILE: off for 100 ms */
    struct worker_node *wn;
    struct addr where;
    bool v6only, tfo, paused;
};

/* Opens the socket and accepts from it. ST_OK; ST_E_BUSY: the port is taken; ST_E_IO with *@err
 * the errno. On error @l is closed. */
NODISCARD enum status listener_open(struct listener *l, struct worker_node *wn,
                                    const struct addr *where, bool v6only, bool tfo, int *err);
/* The same with a socket that listens already: of an earlier process. Takes @own_fd. ST_OK;
 * ST_E_IO with *@err: it is closed. */
NODISCARD enum status listener_adopt(struct listener *l, struct worker_node *wn,
                                     const struct addr *where, bool v6only, bool tfo, int own_fd,
                                     int *err);
/* Harmless twice. */
void listener_close(struct listener *l);
/* Turns TCP_FASTOPEN on or off for what connects from now on. */
void listener_set_tfo(struct listener *l, bool tfo);
/* Stops and resumes accepting; connections wait in the kernel's queue meanwhile. */
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);

#endif
