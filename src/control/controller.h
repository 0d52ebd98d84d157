/* control/controller.h - the control plane as app sees it: many nodes, each supervised on its own,
 * on one loop in one thread.
 *
 * Life:  controller_new -> controller_apply (start, and again at each reload) -> controller_stop ->
 * loop until done -> controller_free. Order in app: make the plane (it must know its number of
 * workers), controller_new, give controller_meter() to each worker and controller_sink() to the
 * plane, then controller_apply, which publishes what is cached from the last run and starts to ask
 * the panels. Every function is called in the thread that runs the loop. What two processes of an
 * upgrade need: controller_upgrade.h. */
#ifndef CONTROL_CONTROLLER_H
#define CONTROL_CONTROLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/uuid.h"
#include "policy/meter.h"
#include "policy/plane.h"

struct admin;
struct config;
struct controller;
struct controller_device;
struct controller_present;
struct controller_streams;
struct log;
struct loop;

/* A user of a node as two processes on one database name him. */
struct controller_user {
    uint64_t uid;
    uint8_t uuid[UUID_LEN];
    uint32_t row; /* of the node */
};
#define CONTROLLER_USERS_MAX 256u

/* Borrowed for the controller's life. */
struct controller_setup {
    struct loop *loop;
    const struct log *log;
    const struct plane *plane; /* plane->workers is final */
    const char *state_dir; /* made (0700) if missing; unusable: state lives in memory, and one error
                              line says so */
    const char *runtime_dir; /* where the live counters lie, a tmpfs at best; NULL: state_dir */
    /* An upgrade: another process still serves. Nodes start from what is cached; nothing is asked,
     * reported or served to others before controller_begin and controller_report. */
    bool held;
    /* May be NULL. A node has opened all its listeners; users were removed, at most
     * CONTROLLER_USERS_MAX a call. */
    void (*listens)(void *arg);
    void (*removed)(void *arg, const struct controller_user *list, size_t count);
    /* The same for users whom a node has told its panel online before controller_leave; without
     * uuid. */
    void (*left_online)(void *arg, const struct controller_user *list, size_t count);
    /* After controller_leave, instead of a report: who is online on a node (controller_upgrade.h).
     */
    void (*present)(void *arg, const struct controller_present *list, size_t count);
    /* How many streams the earlier process may keep (controller_upgrade.h). */
    void (*grant)(void *arg, const struct controller_streams *list, size_t count);
    /* Devices that have lost their places to others: also in the earlier process. */
    void (*put_out)(void *arg, const struct controller_device *list, size_t count);
    void *arg;
};

/* Opens state and counters and moves what an earlier process left into the spool. NULL: no memory.
 */
struct controller *controller_new(const struct controller_setup *setup);
/* After controller_stop has called back, and after the workers have ended. NULL is fine. */
void controller_free(struct controller *c);

/* Counters of worker @worker (< plane->workers); valid from controller_new to controller_free. */
const struct meter *controller_meter(const struct controller *c, unsigned worker);
/* What the plane reports to; always called in the control thread. Valid as long as the controller.
 */
const struct plane_sink *controller_sink(struct controller *c);

/* The socket for commands (control/admin/admin.h), not open yet: app adds what it has to tell,
 * then opens it. */
struct admin *controller_admin(struct controller *c);

/* Makes the running nodes those of @cfg: new ones start, missing ones drain (DrainTimeout) and
 * report a last time, changed options act at once, untouched ones are left alone. A node is the
 * same node when ApiHost, NodeID and NodeType are. Nodes take references to @cfg; the caller may
 * drop his at once. ST_OK; ST_E_LIMIT: over VIEW_NODES_MAX nodes, the surplus is not started
 * (logged); ST_E_NOMEM. */
NODISCARD enum status controller_apply(struct controller *c, const struct config *cfg);

/* Ends all nodes: listeners close, sessions end after @drain_ms at the latest, then a last sample
 * and one last push a node, and that nobody is online any more; what cannot be pushed within
 * @push_ms stays in the spool for the next start. @done is called once, from the loop, at the
 * latest after @drain_ms + @push_ms + 1 s. */
void controller_stop(struct controller *c, uint32_t drain_ms, uint32_t push_ms,
                     void (*done)(void *arg), void *arg);

struct controller_node_status {
    const char *tag;
    const char *state; /* "starting", "running", "waiting", "draining" */
    char problem[160]; /* why it waits, or what the panel last did wrong; "" when all is well */
    bool serving;      /* all listeners are open */
    uint16_t port;     /* it listens on; 0 while there is no configuration */
    uint32_t users;
    uint64_t pushed_up, pushed_down; /* bytes the panel has acknowledged since start */
    int64_t pulled_s; /* unix time of the last good answer of the panel; 0 = none yet */
    struct plane_stats stats;
};

/* Fills @out for up to @max nodes in configuration order; returns how many nodes there are.
 * Pointers are good until the next call into the controller. */
size_t controller_status(const struct controller *c, struct controller_node_status *out,
                         size_t max);
/* Asks all panels now instead of at the next interval, and pushes (demo, tests). */
void controller_poke(struct controller *c);

#endif
