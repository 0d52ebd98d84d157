/* control/admin/status.h - GET /status of the admin socket: nodes, panels, users with their rates,
 * spool, certificates, workers, process, as JSON. Control thread only. Names: docs/status.md.
 *
 * Query: users=N lists so many users, the fastest first (default STATUS_USERS, at most
 * STATUS_USERS_MAX), node=TAG only users of that node; rates=no answers at once, without rates.
 *
 * Rates are differences between two looks at the counters. Nobody looks while nobody asks: the
 * first request takes a look and is answered STATUS_WINDOW_MS later; while requests keep coming
 * each is answered at once from the last look. A look is one pass over the users of the nodes, a
 * few nanoseconds each; only users with a session or with traffic are listed. */
#ifndef CONTROL_ADMIN_STATUS_H
#define CONTROL_ADMIN_STATUS_H

#include <stdint.h>

#include "base/list.h"

struct admin;
struct node_env;
struct status_desk;

#define STATUS_USERS     20u
#define STATUS_USERS_MAX 10000u
#define STATUS_WINDOW_MS 1000u

/* Adds its request to @admin. Everything is borrowed for its life; @nodes: struct node.link. NULL:
 * no memory. */
struct status_desk *status_desk_new(struct node_env *env, const struct list *nodes,
                                    struct admin *admin);
void status_desk_free(struct status_desk *d); /* NULL is fine; after the socket was freed */

#endif
