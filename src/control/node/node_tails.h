/* control/node/node_tails.h - learns what the target of a REALITY node sends after its handshakes,
 * so that the node can send as much: one handshake for each server name, first ALPN protocol and
 * suite, some at a time, in the background; again every day, and when the target's answers change.
 * Control thread; inside control only.
 *
 * What was learnt is published inside the configuration that is served (reality_tails.h): no
 * session and no view notices. It is kept when the node's configuration changes but its target does
 * not. */
#ifndef CONTROL_NODE_NODE_TAILS_H
#define CONTROL_NODE_NODE_TAILS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/loop.h"
#include "tls/flight.h"
#include "transport/reality/reality_tails.h"

struct node;
struct reality_probe;
struct reality_probe_result;
struct served_node;

#define NODE_TAILS_AT_ONCE 3 /* handshakes: few enough for any target */

struct node_tails_slot {
    struct node *node;
    struct reality_probe *probe; /* NULL: free */
    size_t job;
};

/* Zeroed before node_tails_init. */
struct node_tails {
    struct timer timer; /* the next round */
    /* a round: */
    struct served_node *served; /* what it is about: a reference; NULL: none under way */
    struct node_tails_slot slots[NODE_TAILS_AT_ONCE];
    size_t next_job;
    unsigned running, missed;
    /* what is known, over rounds; names are copies */
    char *about; /* which target it belongs to; NULL: nothing known */
    struct reality_tail *known;
    size_t count, room;
    bool changed;   /* since it was published */
    unsigned fails; /* rounds in a row that missed something */
    /* the target as it was last seen */
    struct flight_shape shape;
    uint16_t suite, group;
};

/* Nothing is known yet, nothing runs. */
void node_tails_init(struct node *n);
/* Something else is served, or for the first time. */
void node_tails_follow(struct node *n);
/* The target was looked at and is fit: learns anew if it looks different. */
void node_tails_compare(struct node *n, const struct reality_probe_result *r);
/* Nothing is learnt any more; what is known stays. Harmless twice. */
void node_tails_stop(struct node *n);
/* The same, and frees what is known. */
void node_tails_forget(struct node *n);

#endif
