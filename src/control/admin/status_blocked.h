/* control/admin/status_blocked.h - what block rules have stopped, in the status of a node: the
 * rules and the users with the most hits. Control thread; inside control only. */
#ifndef CONTROL_ADMIN_STATUS_BLOCKED_H
#define CONTROL_ADMIN_STATUS_BLOCKED_H

#include "codec/json_out.h"

#define STATUS_BLOCKED_MAX 20u /* rules, and pairs of user and rule, that are listed */

struct audit_hits;

/* Writes member "blocked": null for NULL. */
void status_blocked(struct json_out *o, struct audit_hits *hits);

#endif
