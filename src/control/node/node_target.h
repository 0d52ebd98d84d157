/* control/node/node_target.h - the target of a REALITY node is looked at now and then, so that
 * the log says why clients cannot connect. Control thread; inside control only. */
#ifndef CONTROL_NODE_NODE_TARGET_H
#define CONTROL_NODE_NODE_TARGET_H

#include "control/node/node_job.h"

struct node;
struct reality_conf;
struct reality_probe;
struct served_node;

/* Zeroed before node_target_init. */
struct node_target {
    struct timer timer;
    struct reality_probe *probe;
    struct served_node *served; /* what the probe borrows from: a reference */
    unsigned slow;              /* looks in a row that found it slow */
    struct node_trouble trouble;
};

/* Nothing runs yet. */
void node_target_init(struct node *n);
/* Something else is served, or for the first time. */
void node_target_follow(struct node *n);
/* Nothing is looked at any more. Harmless twice. */
void node_target_stop(struct node *n);

/* REALITY settings of @s; NULL if it has none. Borrowed. */
const struct reality_conf *served_node_reality(const struct served_node *s);

#endif
