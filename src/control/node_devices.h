/* control/node_devices.h - the devices that users have on other nodes, from the panel's alivelist.
 * Control thread. */
#ifndef CONTROL_NODE_DEVICES_H
#define CONTROL_NODE_DEVICES_H

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
    int64_t said_s; /* when it did, unix; 0 = never */
    bool fresh;     /* not weighed yet */
    int64_t off_s;  /* it is not asked before this time: it has no such list */
};

/* Gives each user what the panel counts of him, less what the nodes of that panel in this process
 * last reported themselves, each address once. A list that is too old counts no more: then what the
 * nodes see themselves is all that is known. After every pull. */
void node_devices_update(struct node *n);

#endif
