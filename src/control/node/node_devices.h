/* control/node/node_devices.h - the devices that users have on other nodes, from the panel's
 * alivelist. Control thread. */
#ifndef CONTROL_NODE_NODE_DEVICES_H
#define CONTROL_NODE_NODE_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;

struct node_online {
    uint64_t uid;
    uint32_t devices;
};

/* What the panel said last, over all nodes. */
struct node_alivelist {
    struct node_online *users; /* sorted by uid; heap */
    size_t count;
    int64_t said_s;          /* when it did, monotonic; 0 = never, or too long ago */
    int64_t off_s;           /* it is not asked before this time: it has no such list */
    uint64_t asked_ms;       /* when it was asked last (loop) */
    int64_t earlier_until_s; /* until then it may count what an earlier process of this node has
                                reported; 0 = there was none */
};

#define NODE_DEVICES_EARLIER_S 300 /* panels forget addresses after 90 to 300 s */

/* The panel has answered. Gives each user what it counts of him, less what the nodes of that panel
 * in this process last reported themselves, each address once. A list that may hold what an
 * earlier process has reported, whose addresses nobody knows here, counts for nothing: it was asked
 * for before a report of ours had taken the place of those. Users who are neither in this list
 * nor in the one before cost nothing. @own_users: heap. */
void node_devices_take(struct node *n, struct node_online *own_users, size_t count);
/* After every pull: a list that is too old counts no more. Then what the nodes see themselves is
 * all that is known. */
void node_devices_age(struct node *n);
/* @n asks no more: what only it was told of users counts no more. */
void node_devices_forget(struct node *n);
/* The panel has no such list: it is not asked for an hour. */
void node_devices_unknown(struct node *n);
/* Is the panel to be asked? Not for a while after node_devices_unknown. */
bool node_devices_wanted(const struct node *n);

#endif
