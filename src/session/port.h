/* session/port.h - the client's side of a session where that is no socket but a stream of a carrier
 * (Mux.Cool; later gRPC and HTTP/2): the bottom queues of the session's chain, filled and emptied
 * by the carrier, and these calls.
 *
 * The carrier puts what came for the stream into the session's lowest queue up and queues the
 * session's task; it takes from the lowest queue down when the session said `moved`, and queues the
 * task again when that is empty. Nobody calls the other one's run: no recursion. Single-threaded,
 * both belong to the same worker. */
#ifndef SESSION_PORT_H
#define SESSION_PORT_H

#include <stdbool.h>
#include <stddef.h>

struct session;
struct port;
struct worker_node;

struct port_ops {
    /* The session has put something into its queue down, or taken something out of the one up. */
    void (*moved)(struct port *);
    /* Bytes it may read from its target now. 0: none, its task is queued when there is room. */
    size_t (*room)(struct port *);
    /* The session goes, and its queues with it. @failed: because of its target. Ends the port's
     * life. */
    void (*close)(struct port *, bool failed);
};

/* Embedded in the carrier's stream. */
struct port {
    const struct port_ops *ops;
    struct session *session; /* above it */
};

/* ---- sessions behind a port: session_stream.c ---- */

/* A new session of @carrier's user behind @port, in state DIALING; NULL: no room or
 * memory. session_request goes on. */
struct session *session_spawn(struct session *carrier, struct port *port);
/* Its stream has ended: the port and the queues' other side are gone. Ends soon, by its own
 * task. */
void session_cut(struct session *s, bool reset);
/* The same for a flow that can move to another stream: it waits for one, a minute at most.
 * False: it does not, session_cut is due. */
bool session_park(struct session *s);
/* Takes it out of the list of those that wait; harmless otherwise. */
void session_unpark(struct session *s);
/* Ends those of a node that goes. */
void session_close_parked(struct worker_node *wn);
/* A flow that can be moved: it has not begun to end. */
bool session_may_move(const struct session *s);
/* It goes over to @port, from where it was or from waiting. */
void session_move(struct session *s, struct port *port);
/* Runs one that is cut. False: session_run is to go on with it. True: done; @s may be freed. */
bool session_run_cut(struct session *s);

#endif
