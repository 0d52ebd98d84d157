/* session/xudp.h - flows of datagrams that outlive their stream. A client of XUDP that comes back
 * with the same GlobalID, over whatever carrier and on whatever worker, goes on with the same
 * socket, so that its peers still see the same port.
 *
 * A GlobalID can be guessed and is the same on many machines (BLAKE3 of the application's local
 * address, Xray-core common/xudp/xudp.go): flows are told apart by user first.
 *
 *   CLAIM of an id ---> new ---------------------> bound to a session -> released
 *                 \---> of this worker: its session moves to the new stream
 *                  \--> of another: that worker closes its session and sends the sockets over
 *
 * One table for all workers, in stripes with a lock each, taken when a stream opens or ends. What a
 * flow is bound to belongs to its worker's thread. */
#ifndef SESSION_XUDP_H
#define SESSION_XUDP_H

#include "base/list.h"
#include "outbound/direct.h"
#include "policy/user.h"

#define XUDP_ID_LEN 8

struct session;
struct worker;
struct xudp_table;

/* Heap object. */
struct xudp {
    struct xudp *next; /* of the same bucket; this and the two below belong to the table's lock */
    bool linked;
    bool asked; /* another worker has taken its place, and its question is under way */
    struct user_rt *user;
    uint8_t id[XUDP_ID_LEN];
    unsigned worker;
    struct session *session; /* NULL: gone */
    bool awaits;             /* sockets of another worker */
    struct list parked;      /* in worker.parked */
};

struct xudp_table *xudp_table_new(void); /* NULL: no memory */
/* All workers are gone. NULL is fine. */
void xudp_table_free(struct xudp_table *t);

enum xudp_claim {
    XUDP_NEW,       /* nobody has it */
    XUDP_HERE,      /* *@out is a flow of this worker */
    XUDP_ELSEWHERE, /* session_flow_given follows for the session that *@out is bound to */
};

/* Looks up the flow (@user, @id), and makes it one of @w: the caller binds a new *@out to a session
 * (NULL: no memory, the flow has no id then). */
enum xudp_claim xudp_claim(struct worker *w, struct user_rt *user, const uint8_t id[XUDP_ID_LEN],
                           struct xudp **out);
/* The session of @x goes. Frees @x now or when the answers under way have come. */
void xudp_release(struct worker *w, struct xudp *x);

#endif
