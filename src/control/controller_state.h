/* control/controller_state.h - the controller inside: what its files share. */
#ifndef CONTROL_CONTROLLER_STATE_H
#define CONTROL_CONTROLLER_STATE_H

#include "control/controller.h"
#include "control/controller_upgrade.h"
#include "control/node/node.h"

#define CONTROLLER_STAGGER_MS 50 /* between the first pulls of two nodes */
#define CONTROLLER_NODE(l)    LIST_ENTRY(l, struct node, link)

struct controller {
    struct controller_setup setup;
    struct node_env env;
    struct plane_sink sink;
    struct list nodes; /* in order of the configuration; draining ones last */
    struct node *by_no[VIEW_NODES_MAX];
    struct timer sample_timer;
    struct dynamic_service *dynamic;
    struct device_guests *guests;
    struct joint_speed *speed;
    bool takes_cells;                /* of the earlier process: they are in the same memory */
    bool total_told[VIEW_NODES_MAX]; /* where it is in speed, to the next process */
    struct stats_service *service;
    struct metrics *metrics;
    struct admin *admin;
    struct status_desk *status;
    struct spool_service *spool;

    bool stopping;
    bool leaving;  /* another process takes over */
    bool earlier;  /* one from which this one took over is still there */
    bool entitled; /* to report: no earlier process does any more */
    struct timer stop_timer;
    struct task stop_task;
    void (*done)(void *arg);
    void *done_arg;
};

/* Ends what controller_stop or controller_leave began, if nothing is left of it. */
void controller_check_stopped(struct controller *c);
/* node_env.left_online. */
void controller_left_online(void *arg, const struct node *n, const uint64_t *uids, size_t count);
/* node_env.present. */
void controller_present(void *arg, const struct node *n, const struct online_list *list);
/* How another process is told of @u, a user of @n; his secret is not part of it. */
struct controller_user controller_name(const struct node *n, const struct user_rt *u);
/* Calls @fn for each user whom another process means. */
void controller_each_named(struct controller *c, const struct controller_user *name,
                           void (*fn)(struct controller *c, struct user_rt *u, const void *arg),
                           const void *arg);
/* plane_sink.streams_taken. */
void controller_streams_taken(void *self, struct user_rt *u);
/* The earlier process has none any more. */
void controller_no_streams(struct controller *c);
/* Stats and metrics listen as @cfg says. */
void controller_apply_ports(struct controller *c, const struct config *cfg);

#endif
