/* control/node/node_cache.h - the last good configuration and users of a node in the state
 * database, for starts while the panel is down. Control thread only.
 *
 * ETags are not kept: a start asks once for everything, so a cache that is behind can do no
 * harm. */
#ifndef CONTROL_NODE_NODE_CACHE_H
#define CONTROL_NODE_NODE_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "control/node/users.h"

struct store;

/* The panel's answer as it came. ST_OK or ST_E_IO. */
NODISCARD enum status node_cache_save_config(struct store *s, uint32_t node, const char *text,
                                             size_t len);
/* *@text is malloc'ed and NUL-terminated, the caller's. ST_OK, ST_E_NOTFOUND, ST_E_IO,
 * ST_E_NOMEM. */
NODISCARD enum status node_cache_load_config(struct store *s, uint32_t node, char **text,
                                             size_t *len);
/* Writes what users_apply changed, in one transaction. ST_OK; ST_E_IO: the cache is as before and
 * needs node_cache_rewrite. */
NODISCARD enum status node_cache_update(struct store *s, uint32_t node, const struct user_list *l,
                                        const struct users_change *change);
/* Replaces all users of the node by @t, with the limits in force. ST_OK or ST_E_IO. */
NODISCARD enum status node_cache_rewrite(struct store *s, uint32_t node,
                                         const struct user_table *t);
/* Adds the users to @l (settled order). ST_OK, ST_E_IO, ST_E_NOMEM, ST_E_LIMIT: over USERS_MAX. */
NODISCARD enum status node_cache_load_users(struct store *s, uint32_t node, struct user_list *l);

#endif
