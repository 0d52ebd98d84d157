/* control/node/node_push.h - the traffic of one node on its way to its panel: takes the oldest
 * batch from the spool, sends it, and lets the spool forget it when the panel has answered for it.
 * Control thread; inside of the reporter.
 *
 * One batch at a time, from one place: another process on the same state, or the same node a second
 * time in this one, is waited for. */
#ifndef CONTROL_NODE_NODE_PUSH_H
#define CONTROL_NODE_NODE_PUSH_H

#include "base/list.h"
#include "control/node/node_job.h"

struct node_push {
    struct node *n;
    struct node_job job;
    struct list sending; /* in node_env.sending: the spool must not be asked for its oldest batch */
    struct node_trouble other_trouble;
    unsigned not_ours; /* times in a row that another process had the node */
    bool finishing;
    bool over;  /* finishing, and nothing more is pushed */
    bool again; /* asked for while a call was under way */

    uint64_t seq;       /* of the batch being sent */
    uint64_t acked_seq; /* applied by the panel, but the spool could not note it; 0 = none */
    uint32_t rows;      /* of the batch being sent */
    bool resent;        /* it had been sent before */
    bool more;          /* there may be another behind it */
    uint32_t rows_max;
    uint64_t cursor; /* of spool_freeze */
    uint64_t batch_up, batch_down, pushed_up, pushed_down;
    int64_t pushed_s; /* of the last push the panel acknowledged */

    void (*ended)(void *arg); /* it is over; perhaps from within node_push_finish */
    void *arg;
};

/* Nothing runs yet; @ended is told once, after node_push_finish. */
void node_push_init(struct node_push *p, struct node *n, void (*ended)(void *arg), void *arg);
/* Cancels what runs; nothing more is pushed, nobody is told. Harmless twice. */
void node_push_stop(struct node_push *p);
/* The first push in @after_ms, then at the panel's intervals. */
void node_push_start(struct node_push *p, uint64_t after_ms);
/* Pushes now, and once more if something is on its way. */
void node_push_poke(struct node_push *p);
/* The node has ended: a last sample, all that waits whatever the thresholds, then it is over. */
void node_push_finish(struct node_push *p);
/* One is on its way, or applied and not yet noted: nobody else may send that batch. */
bool node_push_is_pushing(const struct node_push *p);

#endif
