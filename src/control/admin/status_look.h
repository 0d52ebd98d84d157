/* control/admin/status_look.h - looks at the counters of all users and nodes, for the rates of
 * status.h. Control thread; inside control only. */
#ifndef CONTROL_ADMIN_STATUS_LOOK_H
#define CONTROL_ADMIN_STATUS_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "policy/plane.h"

struct list;
struct node;
struct node_env;
struct user_rt;

struct status_pair {
    uint64_t up, down;
};

#define STATUS_WORKERS 64u

/* A look: the sums as they were. Zeroed: none. */
struct status_look {
    uint64_t at_us;            /* 0: none */
    struct status_pair *slots; /* COUNTERS_SLOTS of them, mapped, mostly untouched */
    struct status_pair nodes[VIEW_NODES_MAX];
    uint64_t busy_us[STATUS_WORKERS];
};

/* A user with a session, here or in the process that drains after an upgrade, or that moved bytes
 * since the look. */
struct status_user {
    const struct node *node;
    struct user_rt *user;
    struct status_pair sum, rate; /* bytes; bytes a second */
    uint32_t draining;            /* addresses he is online from in that other process */
};

struct status_node {
    const struct node *node;
    struct status_pair sum, rate;
    uint32_t users_online; /* with an open session, here or there */
};

struct status_worker {
    struct plane_worker seen;
    uint32_t busy; /* thousandths of the window */
};

/* What is seen at one moment. */
struct status_view {
    struct status_user *users; /* the fastest first */
    size_t count, room; /* all that were seen; of those up to the caller's bound are listed */
    struct status_node nodes[VIEW_NODES_MAX]; /* in order of the configuration */
    size_t node_count;
    struct status_worker workers[STATUS_WORKERS];
    unsigned worker_count;
    uint64_t window_us; /* over which the rates are; 0: there are none */
};

/* Frees the look; it is zeroed then. */
void status_look_free(struct status_look *l);
/* Sees everything, rates since @l; then, if @again, makes @l what is seen now. ST_OK, ST_E_NOMEM.
 * Pointers are good for this round of the loop. */
NODISCARD enum status status_look_at(struct status_look *l, bool again, const struct node_env *env,
                                     const struct list *nodes, struct status_view *out);
/* Frees what status_look_at filled in. */
void status_view_free(struct status_view *v);

#endif
