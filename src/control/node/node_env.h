/* control/node/node_env.h - what all nodes of the process share. Control thread; inside control
 * only. */
#ifndef CONTROL_NODE_NODE_ENV_H
#define CONTROL_NODE_NODE_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "crypto/rng.h"

struct counters;
struct dynamic_limits;
struct device_book;
struct log;
struct loop;
struct node;
struct online_list;
struct panel_client;
struct plane;
struct resolver;
struct rule_lists;
struct stats;
struct store;
struct user_rt;
struct user_slab;
struct views;

/* Who keeps books on nodes and users as they come and go: stats.h, which says what each means. */
struct node_watch {
    void (*node_begin)(struct stats *s, const struct node *n);
    void (*node_end)(struct stats *s, const struct node *n);
    void (*user_leaves)(struct stats *s, const struct user_rt *u);
    void (*user_gone)(struct stats *s, const struct user_rt *u);
};

struct node_env {
    struct loop *loop;
    const struct log *lg;
    const struct plane *plane;
    struct store *store;
    struct counters *counters;
    struct dynamic_limits *dynamic;
    struct user_slab *slab;
    struct device_book *devices;
    struct rule_lists *rules;
    struct views *views;
    struct stats *stats;
    const struct node_watch *watch; /* is given stats */
    struct panel_client *client;
    struct resolver *resolver; /* made when a REALITY target is looked at first */
    struct rng rng;
    struct list sending;                      /* struct node_push with a batch on its way */
    void (*ended)(void *arg, struct node *n); /* DRAINING is over */
    void (*listens)(void *arg);               /* a node has opened all its listeners */
    /* @list (borrowed) is out of the node's table. */
    void (*removed)(void *arg, const struct node *n, struct user_rt *const *list, size_t count);
    /* @n has ended, and its panel believes these users online (sorted); another process reports. */
    void (*left_online)(void *arg, const struct node *n, const uint64_t *uids, size_t count);
    /* Where another process reports: who is online on @n now, instead of a report (sorted). */
    void (*present)(void *arg, const struct node *n, const struct online_list *list);
    void *arg;
    /* An upgrade: two processes run, and one of them asks and reports. */
    bool pulls, reports;
    bool leaving; /* another one does, for this one too */
    bool holds;   /* one is being started: nothing is asked just now */
};

#endif
