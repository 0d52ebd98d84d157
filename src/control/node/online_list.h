/* control/node/online_list.h - the (user, address) pairs of one alive report, and whom the panel
 * may believe online because of it. No loop, no panel: node_alive.c sends. Control thread;
 * inside control only. */
#ifndef CONTROL_NODE_ONLINE_LIST_H
#define CONTROL_NODE_ONLINE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "policy/plane.h"

struct online {
    uint64_t uid;
    struct addr ip;
};

/* Of the last report; sorted by uid, then address. */
struct online_list {
    struct online *own_list;
    size_t count;
};

/* Where the entries of @uid begin, or would. */
size_t online_list_find(const struct online_list *o, uint64_t uid);
/* Was @uid shown from @ip? */
bool online_list_has(const struct online_list *o, uint64_t uid, const struct addr *ip);
/* Sorts it, each entry once. */
void online_list_settle(struct online_list *o);
/* Sorts what the workers see, joins what several saw of one (user, address), and leaves out whom
 * the panel is not to hear of: less than @min bytes, neither moving nor in @o. Returns how many of
 * the @n stay, at the front of @list. */
size_t online_list_choose(const struct online_list *o, struct plane_alive *list, size_t n,
                          uint64_t min);
/* The uids of both sorted lists, sorted, each once; the caller frees it. NULL: no memory. */
uint64_t *online_join(const uint64_t *a, size_t n, const uint64_t *b, size_t m, size_t *count);

#endif
