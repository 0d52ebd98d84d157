/* control/node/node_alive.h - who is online on one node, told to its panel at every interval: the
 * state of now, lost without harm. Control thread; inside of the reporter.
 *
 * The plane is asked, its answer (node_alive_seen) is chosen from (online_list.h) and sent. Users
 * that the panel may still believe online are told once, with an empty list. */
#ifndef CONTROL_NODE_NODE_ALIVE_H
#define CONTROL_NODE_NODE_ALIVE_H

#include "control/node/node_job.h"
#include "control/node/online_guests.h"
#include "control/node/online_list.h"

struct node_alive {
    struct node *n;
    struct node_job job;
    bool finishing;
    bool told_last; /* finishing: nothing more goes to the panel */
    bool again;     /* asked for while a call was under way */

    struct online_list shown;    /* what the last report held */
    struct online_guests guests; /* online in an earlier process; shown with ours */
    uint64_t *known;             /* users the panel may believe online, sorted */
    size_t known_count;
    bool known_since; /* it was changed while a report was under way */
    bool asked;       /* the plane has been asked who is online */
    bool refused;     /* the panel has said that it takes no such report */
    uint64_t told_ms; /* when the panel first acknowledged a report; 0 = not yet */

    /* Finishing: who goes on with the node in this process, NULL: nobody. */
    struct node_alive *(*heir)(void *arg);
    void (*answered)(void *arg); /* finishing: a call has come to its end */
    void *arg;
};

/* Nothing runs yet. */
void node_alive_init(struct node_alive *a, struct node *n, struct node_alive *(*heir)(void *arg),
                     void (*answered)(void *arg), void *arg);
/* Cancels what runs; nothing more is sent, nobody is told. Harmless twice. */
void node_alive_stop(struct node_alive *a);
/* The same, and frees what it knows. */
void node_alive_fini(struct node_alive *a);
/* The first report in @after_ms, then at the intervals. */
void node_alive_start(struct node_alive *a, uint64_t after_ms);
/* Reports now, or as soon as what is on its way has been answered. */
void node_alive_poke(struct node_alive *a);
/* No session is left: the last report, unless another process (env->left_online) or the heir
 * goes on with the node. A call under way is waited for. */
void node_alive_finish(struct node_alive *a);
/* The panel may also believe the @count users of @uids online, sorted. */
void node_alive_take(struct node_alive *a, const uint64_t *uids, size_t count);
/* Another process goes on with the node (env->leaving): it is told what the panel has been told,
 * and from then on, at every interval, who is online here. */
void node_alive_leave(struct node_alive *a);
/* Answer to plane.collect_alive; @list is borrowed. */
void node_alive_seen(struct node_alive *a, const struct plane_alive *list, size_t n);

#endif
