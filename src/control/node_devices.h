/* control/node_devices.h - the devices that users have on other nodes, from the panel's alivelist.
 * Control thread. */
#ifndef CONTROL_NODE_DEVICES_H
#define CONTROL_NODE_DEVICES_H

struct node;

/* Gives each user what the panel counts of him, less what this node last reported itself. A list
 * that is too old counts no more: then what the node sees itself is all that is known. After every
 * pull. */
void node_devices_update(struct node *n);

#endif
