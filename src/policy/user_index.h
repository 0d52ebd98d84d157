/* policy/user_index.h - how a protocol finds its users: what every index of users has in front.
 *
 * An index is const once built, belongs to a view and is read by all workers. It is built by the
 * control thread, so that its cost is nobody's pause. One credential a probe:
 * policy/key_index.h. */
#ifndef POLICY_USER_INDEX_H
#define POLICY_USER_INDEX_H

#include <stddef.h>

#include "base/status.h"
#include "policy/user.h"

/* First member of what an index is. */
struct user_index {
    const struct user_index_ops *ops;
    size_t count; /* users that can be found */
};

/* What an index is made of. Nothing of it but the users is kept. */
struct user_index_build {
    const void *conf;             /* the protocol's, from parse_conf; NULL if it has none */
    struct user_rt *const *users; /* borrowed, in order of their ids; each outlives the index */
    size_t count;
    uint64_t seed; /* random, one a process: nobody can choose keys that meet in one place */
    /* The index that this one replaces, made by the same ops with the same conf; NULL: none. Parts
     * of it may be shared or copied, so that a change costs what has changed. */
    const struct user_index *before;
    /* Names a user that cannot be found by this index, and why. May be NULL. */
    void (*skipped)(void *arg, const struct user_rt *u, const char *why);
    void *arg;
};

struct user_index_ops {
    /* ST_OK, ST_E_NOMEM, ST_E_CRYPTO. */
    enum status (*build)(const struct user_index_build *b, struct user_index **out);
    void (*free)(struct user_index *ix);
};

static inline void user_index_free(struct user_index *ix)
{
    if (ix != NULL)
        ix->ops->free(ix);
}

static inline void user_index_skip(const struct user_index_build *b, const struct user_rt *u,
                                   const char *why)
{
    if (b->skipped != NULL)
        b->skipped(b->arg, u, why);
}

#endif
