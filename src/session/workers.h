/* session/workers.h - the set of workers: the data plane behind struct plane. Made and driven by
 * the control thread. */
#ifndef SESSION_WORKERS_H
#define SESSION_WORKERS_H

#include <stddef.h>

#include "base/log.h"
#include "base/status.h"
#include "policy/meter.h"
#include "policy/plane.h"

struct handoff;
struct loop;
struct mailbox;
struct worker;
struct workers;
struct rng;
struct crypto_ctx;

#define WORKERS_MAX 64

struct workers_conf {
    unsigned count;
    struct loop *control; /* loop of the control thread: sink calls arrive there */
    const struct plane_sink *sink;
    const struct log *log;
    struct log_sink *access;    /* NULL: no access log */
    const char *name_servers;   /* as resolver_new; NULL: the system's */
    const struct meter *meters; /* one a worker */
    struct rng *const *rngs;    /* one a worker, used by that worker only */
    struct crypto_ctx *const *cryptos;
    size_t memory_budget; /* of all workers together; 0 = none */
    size_t sessions_max;  /* of all workers together */
    /* Sockets of an earlier process, for the workers' life; then nothing is accepted, and no port
     * of native UDP opened, before workers_release. NULL: none. */
    struct handoff *handoff;
};

/* Starts the threads. @conf is copied, what it points at outlives the workers. ST_OK,
 * ST_E_NOMEM, ST_E_IO, ST_E_CONFIG: as worker_init. */
NODISCARD enum status workers_new(const struct workers_conf *conf, struct workers **out);
/* Fills @plane, which stays valid until workers_free. */
void workers_plane(struct workers *ws, struct plane *plane);
/* Stops accepting everywhere; open sessions go on. */
void workers_stop_accepting(struct workers *ws);

/* ---- an upgrade (workers_upgrade.c): @done is called in the control thread, when every worker has
 * done it ---- */

/* Adds duplicates of all listening sockets to @into, which the caller leaves alone until then. What
 * fails is said, and missing there. From then on the workers reckon with a process that is being
 * started (loop_files_shared), until workers_unshare. */
void workers_export(struct workers *ws, struct handoff *into, void (*done)(void *arg), void *arg);
/* It has been started, or has not. */
void workers_unshare(struct workers *ws);
/* Stops accepting, ends the flows of native UDP: the ports are another process's. */
void workers_yield(struct workers *ws, void (*done)(void *arg), void *arg);
/* Begins to accept on conf.handoff, whose rest is closed afterwards. */
void workers_release(struct workers *ws);
/* Ends all sessions (counted to the last byte), joins the threads, delivers what they had to
 * say, frees everything. */
void workers_free(struct workers *ws);

/* ---- for the workers themselves ---- */

/* Gives a fresh connection to a worker that is clearly less busy. False: keep it. */
bool workers_hand_over(struct worker *from, uint32_t node_no, int fd, const struct addr *peer);
/* How many there are. */
unsigned workers_count(const struct workers *ws);
/* Drops a reference to @u from any thread; the last one is reported to the sink. */
void workers_user_unref(struct workers *ws, struct user_rt *u);
/* Says, once in a while, that @w takes no more connections. */
void workers_log_overload(struct worker *w);
/* Worker @no; false once the threads have ended and mailboxes may be gone. */
struct worker *workers_get(struct workers *ws, unsigned no);
bool workers_running(const struct workers *ws);
/* Messages there get the workers. */
struct mailbox *workers_to_control(struct workers *ws);
/* The first worker has the port: the others open their listeners. */
void workers_open_rest(struct worker *first, uint32_t node_no);
/* The port was taken from under @w: the first worker tries again later, for all. */
void workers_retry_listeners(struct worker *w, uint32_t node_no);

/* Messages to the control thread. */
void workers_tell_listening(struct worker *w, uint32_t node_no, struct why why,
                            const struct addr *where);
void workers_tell_gone(struct worker *w, uint32_t node_no);
void workers_tell_streams(struct worker *w, struct user_rt *u); /* plane_sink.streams_taken */

#endif
