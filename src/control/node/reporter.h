/* control/node/reporter.h - what one node tells its panel: traffic, and who is online. Control
 * thread; inside control only.
 *
 * Push: the open traffic is frozen into a numbered batch, marked on disk, sent with an
 * Idempotency-Key; the identical batch is sent again until the panel has answered for it (spool.h;
 * docs/panel-api.md, "push"). Alive: the state of now, lost without harm. */
#ifndef CONTROL_NODE_REPORTER_H
#define CONTROL_NODE_REPORTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/plane.h"

struct node;
struct node_job;
struct online_guests;
struct reporter;

/* NULL: no memory. */
struct reporter *reporter_new(struct node *n);
void reporter_free(struct reporter *r); /* NULL is fine */
/* Was the panel told who is online before this time of the loop, and has it acknowledged that? */
bool reporter_told_before(const struct reporter *r, uint64_t at_ms);
/* A push is on its way, or applied and not yet noted: nobody else may send that batch. Or a list of
 * who is online, which must not come to the panel after a newer one of another process. */
bool reporter_is_pushing(const struct reporter *r);
/* From now on reports, first what an earlier run has left. */
void reporter_start(struct reporter *r);
/* Pushes now if nothing runs. */
void reporter_poke(struct reporter *r);
/* The node has ended: one last sample and push, whatever the thresholds, and, unless another
 * process goes on with the node (then env->left_online), an empty list for each user the panel may
 * believe online; then env->ended. One call each, after those under way. */
void reporter_finish(struct reporter *r);
/* As reporter_finish, but without waiting for an answer. */
void reporter_abandon(struct reporter *r);
/* The panel may also believe the @count users of @uids online, sorted: an earlier process has said
 * so. */
void reporter_take_online(struct reporter *r, const uint64_t *uids, size_t count);
/* Is one of its calls, other than @but, in the trouble @key? */
bool reporter_has_trouble(const struct reporter *r, const struct node_job *but, uint64_t key);
/* Answer to plane.collect_alive. */
void reporter_on_alive(struct reporter *r, const struct plane_alive *list, size_t n);
/* Another process goes on with the node (node_alive_leave). */
void reporter_leave(struct reporter *r);
/* Who is online in an earlier process, also for the reports here. */
struct online_guests *reporter_guests(struct reporter *r);
/* The addresses of the last report, sorted: where those of @uid begin, and the one at @at; NULL: it
 * is none of his. */
size_t reporter_find(const struct reporter *r, uint64_t uid);
const struct addr *reporter_shown(const struct reporter *r, uint64_t uid, size_t at);
/* Did the last report hold @ip of @uid? */
bool reporter_has_shown(const struct reporter *r, uint64_t uid, const struct addr *ip);
/* Bytes the panel has acknowledged since start. */
void reporter_pushed(const struct reporter *r, uint64_t *up, uint64_t *down);
/* Its two calls; borrowed. */
const struct node_job *reporter_push(const struct reporter *r);
const struct node_job *reporter_alive(const struct reporter *r);
/* When the panel acknowledged a push last (unix time, 0 = not yet), and in how many milliseconds
 * the next one is due (0: it is on its way). */
void reporter_times(const struct reporter *r, int64_t *pushed_s, uint64_t *next_ms);
/* The batch on its way to the panel; 0: none. */
uint64_t reporter_sending(const struct reporter *r);
const char *reporter_problem(const struct reporter *r); /* "" = none */

#endif
