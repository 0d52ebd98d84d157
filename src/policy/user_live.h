/* policy/user_live.h - what the sessions of few users share on one node: those of users with a
 * limit of streams, and in an upgrade those of users with a speed limit. Made when the first of
 * them needs it. Pure, thread-safe. */
#ifndef POLICY_USER_LIVE_H
#define POLICY_USER_LIVE_H

#include "policy/conns.h"
#include "policy/user.h"

/* How much of his speed limit is spent. */
struct user_buckets {
    struct bucket up, down;
};

struct user_live {
    struct conns conns;
    /* In an upgrade: those of another process as well. NULL: the user's own. */
    _Atomic(struct user_buckets *) joint;
    bool joint_told; /* to the next process; control thread */
};

/* What one direction of @u counts against. */
static inline struct bucket *user_bucket(struct user_rt *u, bool up)
{
    struct user_live *l = atomic_load_explicit(&u->live, memory_order_acquire);
    struct user_buckets *joint =
        l != NULL ? atomic_load_explicit(&l->joint, memory_order_acquire) : NULL;

    if (joint != NULL)
        return up ? &joint->up : &joint->down;
    return up ? &u->up : &u->down;
}

/* @u's, made now if need be; stays as long as @u does. NULL: no memory. */
struct user_live *user_live_get(struct user_rt *u);
/* Frees it: nobody holds @u any more. Harmless without one. */
void user_live_free(struct user_rt *u);
/* His speed limit has changed: the debts of the old one are forgotten. Any thread. */
void user_reset_speed(struct user_rt *u);

#endif
