/* panelserver/panelserver.h - the embedded panel: the v2sp API over HTTP/1.1 on one event loop.
 *
 * One listener, keep-alive connections, requests answered by panelserver/api.h from the database.
 * Runs in the loop's thread; the database handle belongs to that thread too while the server lives.
 * Other processes (the `v2sp panel` commands) may change the same database file at any time. Life:
 * panelserver_new -> panelserver_start -> (loop runs) -> panelserver_stop -> panelserver_free.
 * Limits: PANELSERVER_CONNS connections, heads of 8 KiB within 4 s, bodies of 16 MiB, 64 MiB of
 * bodies at once. */
#ifndef PANELSERVER_PANELSERVER_H
#define PANELSERVER_PANELSERVER_H

#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"

struct db;
struct log;
struct loop;
struct panelserver;

#define PANELSERVER_CONNS 256

struct panelserver_conf {
    struct loop *loop;
    const struct log *log;
    struct db *db;       /* borrowed, open (db_open); outlives the server */
    struct addr listen;  /* port 0: any free port */
    uint32_t rate_per_s; /* requests a second one source may make on average; 0 = 50 */
    uint32_t rate_burst; /* and at once; 0 = 500. A request with a wrong token counts as 20 */
};

/* What has happened since the start; for a status line. */
struct panelserver_counters {
    uint32_t connections;  /* open now */
    uint64_t requests;     /* answered, whatever the status */
    uint64_t not_modified; /* answered 304 */
    uint64_t failed;       /* answered 4xx and 5xx */
    uint64_t wrong_token;
    uint64_t rate_limited;
    uint64_t pushes;   /* applied */
    uint64_t replays;  /* pushes seen before: acknowledged, nothing added */
    uint64_t up, down; /* bytes the applied pushes carried */
    uint64_t unknown;  /* entries of pushes and alive reports for users that do not exist */
};

/* Not listening yet. ST_OK; ST_E_NOMEM, also without random bytes. */
NODISCARD enum status panelserver_new(const struct panelserver_conf *conf, struct panelserver **out,
                                      struct why *why);
/* Binds and listens. ST_OK; ST_E_BUSY (port taken) or ST_E_IO, number = errno. */
NODISCARD enum status panelserver_start(struct panelserver *ps, struct why *why);
/* Closes the listener and all connections. Starting again is allowed. */
void panelserver_stop(struct panelserver *ps);
void panelserver_free(struct panelserver *ps); /* NULL is fine; stops first */

/* The bound address with its real port; family ADDR_NONE before panelserver_start. */
const struct addr *panelserver_addr(const struct panelserver *ps);
/* What has happened since panelserver_new. */
void panelserver_counters(const struct panelserver *ps, struct panelserver_counters *out);

#endif
