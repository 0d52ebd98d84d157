/* control/node/online_guests.h - who is online on a node in another process: after an upgrade the
 * old one still has sessions, and the new one reports its users as well. No loop. Control thread;
 * inside control only.
 *
 * The old process tells a list of its own where it would have reported it, so
 * DeviceOnlineMinTraffic is applied there; it holds until the next one comes, or that process
 * ends. */
#ifndef CONTROL_NODE_ONLINE_GUESTS_H
#define CONTROL_NODE_ONLINE_GUESTS_H

#include <stddef.h>
#include <stdint.h>

#include "control/node/online_list.h"

#define ONLINE_GUESTS_MAX 262144u /* of a node; more are left out */

/* Zeroed: nobody. */
struct online_guests {
    struct online_list list; /* the last one that was whole */
    struct online_list coming;
    size_t room; /* of the coming one */
};

/* More of a list; what is no address is passed over. Without memory some are left out. */
void online_guests_add(struct online_guests *g, uint64_t uid, const struct addr *ip);
/* The list is whole: who is not on it has gone. */
void online_guests_end(struct online_guests *g);
/* What comes from the first @bits bits of @net of @uid has lost its place, until the next list. */
void online_guests_drop(struct online_guests *g, uint64_t uid, const struct addr *net,
                        unsigned bits);
/* Nobody is there any more. */
void online_guests_clear(struct online_guests *g);
/* A copy of @list with those of @g behind it, as if they moved payload here; the caller frees it.
 * NULL: no memory. */
struct plane_alive *online_guests_join(const struct online_guests *g,
                                       const struct plane_alive *list, size_t n, size_t *count);

#endif
