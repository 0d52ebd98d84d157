/* session/screen.h - what a user asks for, held against the block rules of his node
 * (policy/audit.h) before anything is looked up; and what a name stands for, before it is dialled.
 *
 *   request --> SCREENING --> lookup --> dial   a stream: by its target, then by its first bytes,
 *                    \----------\------> end    which stay in the session's queue
 *   datagrams --> screen --> direct_udp         each new destination, the first datagrams to it,
 *                                               and the addresses of each new name
 *
 * The first bytes are waited for only where a rule looks at what they say (audit_needs_sniffing),
 * within the bounds of view_node.sniff, and not on ports where the server speaks first. A client
 * that was silent so long is looked at when it speaks, while its target is connected. Datagrams
 * are never held back: one that leaves the matter open, a part of a QUIC hello, passes, and the
 * flow ends with the one that decides. What was found serves the rules only; the session goes where
 * the client wanted.
 *
 * What is blocked ends as if its target could not be reached: nothing says why but one line in the
 * log and the counts. Single-threaded, of the session's worker. */
#ifndef SESSION_SCREEN_H
#define SESSION_SCREEN_H

#include "base/span.h"
#include "base/status.h"

struct addr;
struct request;
struct resolve_answer;
struct session;
struct target;
struct user_rt;
struct worker_node;

enum screen_answer { SCREEN_PASS, SCREEN_BLOCKED, SCREEN_WAIT };

/* ---- streams, and the first target of datagrams ---------------------------------------------- */

/* Judges what @s, whose user is known, asks for. SCREEN_WAIT: @s is SCREENING, and
 * session_screened follows. Of datagrams it is the first target, and what has come already. */
enum screen_answer screen_request(struct session *s, const struct request *req);
/* session_run of a session that is SCREENING. May free @s. */
void screen_run(struct session *s);
/* Its time is over: judged by what has come. May free @s. */
void screen_late(struct session *s);

/* Of a session whose client had said nothing when its target was dialled. */
enum screen_hearing {
    SCREEN_HEARD,
    SCREEN_SILENT,
    SCREEN_SPEAKS, /* it has begun; neither direction moves before that is judged */
};

/* Looks, before the session of @s in RELAY runs, at what its client has begun to say. True: it may
 * run. Else it waits for more, as long as view_node.sniff says, or has ended; may free @s. */
bool screen_hear(struct session *s);

/* ---- datagrams ------------------------------------------------------------------------------- */

/* What was judged of a flow; pool memory, made with the first datagram under rules. */
struct screen;

/* Whose datagrams they are. */
struct screen_flow {
    struct worker_node *wn; /* its current view has the rules */
    const struct user_rt *user;
    const struct addr *peer; /* for the log */
};

/* A datagram to @to. SCREEN_BLOCKED: to be dropped; then screen_ended tells whether the flow has to
 * end. *@sc: NULL at first; screen_free frees it. Without memory everything is blocked. */
enum screen_answer screen_datagram(struct screen **sc, const struct screen_flow *f,
                                   const struct target *to, const uint8_t *p, size_t n);
/* Drops from the datagrams in @q, but for those that were here before, the ones that are blocked.
 * @dflt: where those without a peer go, family ADDR_NONE: to the first target.
 * ST_OK; ST_E_REFUSED: the flow is blocked, nothing more may be sent. */
NODISCARD enum status screen_queue(struct screen **sc, const struct screen_flow *f,
                                   const struct addr *dflt, struct bufq *q);
/* Datagrams were taken from the queue, or all dropped: those left in it have been judged. */
void screen_taken(struct screen *sc, const struct bufq *q);
bool screen_ended(const struct screen *sc); /* NULL: no */
void screen_free(struct screen *sc, struct pool *pool);

/* ---- both ------------------------------------------------------------------------------------ */

/* Is there anything to judge on this node? */
bool screen_has_rules(const struct worker_node *wn);
/* Do its rules look at the addresses of names? */
bool screen_has_networks(const struct worker_node *wn);
/* The addresses that the name of a target with @port stands for, as direct_allow_fn. False: a rule
 * blocks one of them; the hit is counted and logged. The rules are those of the view that is
 * current when the answer is there: a lookup may take seconds, and what was blocked meanwhile is
 * meant. */
bool screen_addresses(const struct screen_flow *f, bool udp, const struct resolve_answer *answer,
                      uint16_t port);

#endif
