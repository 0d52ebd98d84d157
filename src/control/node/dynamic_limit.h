/* control/node/dynamic_limit.h - users who move much are held to a rate for a while
 * (EnableDynamicSpeedLimit). Control thread.
 *
 *   QUIET --traffic within a period >= the rule's, for the (warnings + 1)th period in a row-->
 *   LIMITED --expire_s later--> QUIET, with nothing counted yet
 *
 * Fed by each sample of the counters, so only those are visited that moved something. Users are
 * known by node (its number in the spool) and the panel's id: a limit outlives a reload, a change
 * of the node, and a user list that lacks him for a while or gives him another credential. What
 * is known of who is not limited is forgotten two periods after he moved something. A user costs
 * about 200 bytes for that time. */
#ifndef CONTROL_NODE_DYNAMIC_LIMIT_H
#define CONTROL_NODE_DYNAMIC_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct config_limits;
struct dynamic_limits;

#define DYNAMIC_LIMIT_USERS_MAX 1000000u /* more are not watched */

/* A limit begins, its rate changes (@kbps), or it ends (0). @bytes: what he moved within the
 * period, when it begins; else 0. */
typedef void dynamic_limit_fn(void *arg, uint32_t node, uint64_t uid, uint32_t kbps,
                              uint64_t bytes);

/* NULL: no memory. @changed is called from the functions below. */
struct dynamic_limits *dynamic_limits_new(dynamic_limit_fn *changed, void *arg);
void dynamic_limits_free(struct dynamic_limits *d); /* NULL is fine */

/* The rule of @node from now on. Who is limited gets the new rate, and stays so for as long as the
 * old rule said; a rule that is off ends it at once. A node that ends keeps its rule: it may
 * come back. ST_OK; ST_E_NOMEM: as before. */
NODISCARD enum status dynamic_limits_rule(struct dynamic_limits *d, uint32_t node,
                                          const struct config_limits *rule);

/* Does @node have a rule now? */
bool dynamic_limits_has_rule(const struct dynamic_limits *d, uint32_t node);
/* An earlier process has held @uid to @kbps; so it goes on until @until_ms. A rule of @node that is
 * set later says how fast, or ends it. ST_OK; ST_E_NOMEM, ST_E_LIMIT: he is not. */
NODISCARD enum status dynamic_limits_resume(struct dynamic_limits *d, uint32_t node, uint64_t uid,
                                            uint32_t kbps, uint64_t until_ms);
/* A user moved @bytes since he was last spoken of. */
void dynamic_limits_moved(struct dynamic_limits *d, uint32_t node, uint64_t uid, uint64_t bytes,
                          uint64_t now_ms);
/* Ends what is over. To be called at dynamic_limits_next_ms, and after samples. */
void dynamic_limits_tick(struct dynamic_limits *d, uint64_t now_ms);
/* When the next limit ends; UINT64_MAX: none is on. */
uint64_t dynamic_limits_next_ms(const struct dynamic_limits *d);

/* What @uid is held to, 0: nothing; @until_ms (may be NULL): for how long. */
uint32_t dynamic_limits_get(const struct dynamic_limits *d, uint32_t node, uint64_t uid,
                            uint64_t *until_ms);

#endif
