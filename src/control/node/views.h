/* control/node/views.h - the published views of all nodes, and what must outlive them. Control
 * thread, but for the release of views.
 *
 * A worker may look a user up through an old view until it has let go of it, so the object of a
 * removed user is given back only when two things have happened: his last reference is gone, and
 * every view published before his removal is gone. */
#ifndef CONTROL_NODE_VIEWS_H
#define CONTROL_NODE_VIEWS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "control/node/users.h"
#include "policy/plane.h"

struct loop;
struct served_node;
struct views;

/* NULL: no memory. */
struct views *views_new(struct loop *l, struct user_slab *slab, uint64_t seed);
/* All views must have been released (the workers have ended); what is still in the mailbox is
 * handled. NULL is fine. */
void views_free(struct views *v);

/* A node number that nobody uses, nor is still looked up under. ST_OK; ST_E_LIMIT: all are taken;
 * ST_E_NOMEM. */
NODISCARD enum status views_take_no(struct views *v, uint32_t *no);
/* The node has ended: what its protocol shared goes with its last view. */
void views_give_no(struct views *v, uint32_t no);

/* The total of the node that has the number. */
struct share_total *views_total(struct views *v, uint32_t no);

/* Names a user that the node's protocol cannot serve, and why. */
struct views_skip {
    void (*fn)(void *arg, const struct user_rt *u, const char *why); /* NULL: nobody asks */
    void *arg;
};

/* Builds the index of @t and publishes it with @s. @removed as in plane.publish. ST_OK; ST_E_NOMEM,
 * ST_E_CRYPTO: nothing was published. */
NODISCARD enum status views_publish(struct views *v, const struct plane *plane, uint32_t no,
                                    struct served_node *s, const struct user_table *t,
                                    struct user_rt *const *removed, size_t n,
                                    const struct views_skip *skip);
/* The last reference of @u is gone. @node_ended: the node's last view has him still. */
void views_user_done(struct views *v, struct user_rt *u, bool node_ended);
/* Views not yet released, over all nodes. */
size_t views_live(const struct views *v);

#endif
