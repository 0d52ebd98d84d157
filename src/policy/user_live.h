/* policy/user_live.h - what the sessions of a user with a limit of streams share on one node. Made
 * when the first of them needs it; who has no such limit has none. Pure, thread-safe. */
#ifndef POLICY_USER_LIVE_H
#define POLICY_USER_LIVE_H

#include "policy/conns.h"
#include "policy/user.h"

struct user_live {
    struct conns conns;
};

/* @u's, made now if need be; stays as long as @u does. NULL: no memory. */
struct user_live *user_live_get(struct user_rt *u);
/* Frees it: nobody holds @u any more. Harmless without one. */
void user_live_free(struct user_rt *u);

#endif
