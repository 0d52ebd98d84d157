/* session/session.h - one client connection from accept to close: handshake, request, dial, relay.
 *
 *   PROXY --> HANDSHAKE --request--> [SCREENING] --> DIALING --> RELAY ---+
 *               | |  |                     |           ^   \---> PACKETS -+--> FLUSHING --> freed
 *               | |  +------ divert -------|-----------+                  |
 *               | +--- many streams -------|-----------------> CARRIER ---+
 *               +------ error -------------+------------------------------+
 *
 * A stream of a carrier is a session too, with a port in place of the client's socket; it begins
 * at DIALING. Without a stream a flow of XUDP waits (PARKED) until its client comes back.
 *
 * Every wait has a deadline on the one timer. An open session holds its layers' state and two
 * connections, no blk while nothing moves. Single-threaded: belongs to its worker. */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include "base/list.h"
#include "io/conn.h"
#include "io/splice.h"
#include "outbound/direct.h"
#include "policy/view.h"
#include "session/brake.h"
#include "session/limits.h"
#include "stream/aux.h"
#include "stream/chain.h"

struct worker_node;
struct port;
struct carrier;
struct xudp;
struct direct_udp_sockets;
struct screen;

enum session_state {
    SESSION_PROXY,     /* waits for the PROXY header */
    SESSION_HANDSHAKE, /* layers are at work, no request yet */
    SESSION_SCREENING, /* block rules wait for the client's first bytes: session/screen.h */
    SESSION_DIALING,   /* the target is resolved or connected to */
    SESSION_RELAY,     /* bytes, both ways */
    SESSION_PACKETS,   /* datagrams inside the client's stream */
    SESSION_CARRIER,   /* streams inside the client's stream: session/carrier.h */
    SESSION_PARKED,    /* a flow of datagrams that waits for another stream */
    SESSION_FLUSHING,  /* last bytes to the client (an alert, a Close frame), then close */
};

/* A stream's session whose carrier, or whose place in it, is gone. */
enum session_cut {
    SESSION_NOT_CUT,
    SESSION_CUT_ENDED, /* by the client: what it sent still arrives */
    SESSION_CUT_RESET,
};

struct session {
    struct list node; /* in worker_node.sessions */
    struct worker_node *wn;
    struct task task;   /* more to do, others first */
    struct timer timer; /* the deadline, or earlier: a layer's wake-up */
    struct conn client, target;
    struct port *port;       /* in place of the socket client; NULL: not, or no more (cut) */
    struct carrier *carrier; /* of state CARRIER */
    struct xudp *xudp;       /* a flow of datagrams that may move to other streams; NULL: not */
    struct chain in, out;    /* client's layers; target's layers */
    struct env env;
    struct conn_info info;
    struct addr source;   /* admission counts by it: the socket's or the PROXY header's */
    struct user_rt *user; /* a reference; NULL: stranger, or fallback */
    struct view *view;    /* holds what the layers' configurations lie in; see worker_publish */
    struct direct_dial dial;
    struct direct_udp *udp;
    struct screen *screen;                /* of its datagrams; NULL: no rules, or none came */
    const struct fallback_dest *fallback; /* while dialing one; of the pinned view */
    struct target *target_name;           /* pool_alloc'ed while dialing, for logs and retries */
    struct splice up_pipe, down_pipe;
    struct claim claim;                /* on the user's limits */
    struct pace up_pace, down_pace;    /* of the user's speed limit */
    struct stake up_stake, down_stake; /* in the node's total */
    uint32_t up_paid;              /* PACKETS: datagrams of the queue up that have been let in */
    struct session_brakes *brakes; /* pool_alloc'ed; NULL: none, as for most */
    uint64_t deadline_ms;          /* of the current state */
    uint64_t active_ms;            /* last payload */
    uint64_t unreported;           /* payload bytes since the last alive report */
    uint32_t idle_ms;              /* of the current phase */
    uint32_t uplink_only_ms, downlink_only_ms;
    uint32_t wasted;         /* bytes thrown away after our FIN */
    uint8_t state;           /* enum session_state */
    uint8_t lingers;         /* deadlines of FLUSHING that were put off */
    uint8_t cut;             /* enum session_cut */
    uint8_t unheard;         /* enum screen_hearing: its first bytes are still to be looked at */
    bool failed;             /* ends for another reason than that client or target ended */
    bool stranger;           /* counted as one by admission */
    bool up_done, down_done; /* FIN passed on in that direction */
    bool udp_readable;       /* the UDP flow may have datagrams */
    bool spoke;              /* bytes were sent to the client: a close must not destroy them */
    bool target_failed;      /* reset or error: the client gets what is queued, then the end */
    bool mirror;             /* adopted: a reset of one end resets the other */
    bool access_due;         /* the access log's line waits for what the target's name stands for */
};

/* Takes @fd over and begins; on failure it is closed. */
void session_accept(struct worker_node *wn, int fd, const struct addr *peer);
/* Ends @s at once: bytes in queues are lost, the session is freed. @reset: RST to the client. */
void session_close(struct session *s, bool reset);
/* Ends the session of a removed user or node: FIN after what is queued, freed soon after. */
void session_end(struct session *s);

/* ---- between the files of session/ ---- */
/* Fills a zeroed @s: takes a reference of @view, no conn is open, nothing is counted. */
void session_init(struct session *s, struct worker_node *wn, struct view *view);

/* Runs the state machine once: reads, runs layers, writes. May free @s. */
void session_run(struct session *s);
/* One chain_run of the client's side with the worker's clock; arms the timer if a layer asks. */
NODISCARD enum status session_chain_run(struct session *s);
/* Writes what the client's layers left to send. ST_OK, ST_FULL or an error: then the client is
 * gone. */
NODISCARD enum status session_flush_client(struct session *s);
/* A layer or a stranger failed: logs @why (rate-limited), sends what the layers left, closes. */
void session_fail(struct session *s, const struct why *why);
/* The layers are sound but the session cannot go on (dial failed): logs, then session_end. */
void session_give_up(struct session *s, const struct why *why);
void session_deadline(struct session *s, uint32_t ms); /* the state ends then: arms the timer */
/* Makes the timer fire at @at_ms at the latest; before the deadline that only runs the session. */
void session_wake_by(struct session *s, uint64_t at_ms);
/* No blk to read into: runs the session again a little later. */
void session_pause_for_memory(struct session *s);

/* session_open.c: from the request to the relay. Either may free @s. */
void session_request(struct session *s, const struct request *req);
/* session_request for datagrams, of a flow whose sockets another worker sends; then those, or none
 * (fd -1), which are taken over. */
void session_request_moved(struct session *s, const struct request *req);
void session_flow_given(struct session *s, struct direct_udp_sockets *sockets);
/* A session that was SCREENING goes on to its target, or ends. */
void session_screened(struct session *s, bool allowed);
void session_divert(struct session *s); /* EV_DIVERT: on to the fallback that fits, else it ends */
/* EV_ADOPT: client and helper stream are relayed to each other from now on. */
void session_adopt(struct session *s);
void session_dialed(struct session *s, const struct direct_result *r); /* direct_dial's answer */
void session_settle_access(struct session *s); /* access_due: there is nothing to judge */

/* session_aux.c: the helper stream of a layer with LAYER_ASKS; all harmless without one.
 * Making one: ST_OK or ST_E_NOMEM. */
NODISCARD enum status session_aux_init(struct session *s, const struct view_node *n);
void session_aux_free(struct session *s);
/* Reads from it for the next chain_run. True if there is something new. */
bool session_aux_read(struct session *s);
/* Carries out what the layers said of it in @seen (events), then writes to it. */
void session_aux_after(struct session *s, uint32_t seen, const struct aux_dest *dest);

#endif
