/* control/admin/status_blocked.h - what block rules have stopped, in the status of a node: the
 * rules and the users with the most hits. Control thread; inside control only. */
#ifndef CONTROL_ADMIN_STATUS_BLOCKED_H
#define CONTROL_ADMIN_STATUS_BLOCKED_H

#include "codec/json_out.h"

#define STATUS_BLOCKED_MAX 20u /* rules, and pairs of user and rule, that are listed */

struct store;

/* Writes member "blocked", of what the store has; less of it where that cannot be read. */
void status_blocked(struct json_out *o, struct store *s, uint32_t node);

#endif
