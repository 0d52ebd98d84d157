/* policy/user_live.h - what the sessions of a user with limits share: his devices and his open
 * streams. Made when the first of them needs it; who has no such limit has none. Pure,
 * thread-safe. */
#ifndef POLICY_USER_LIVE_H
#define POLICY_USER_LIVE_H

#include "policy/conns.h"
#include "policy/devices.h"
#include "policy/user.h"

struct user_live {
    struct devices devices;
    struct conns conns;
};

/* @u's, made now if need be; stays as long as @u does. NULL: no memory. */
struct user_live *user_live_get(struct user_rt *u);
/* Frees it: nobody holds @u any more. Harmless without one. */
void user_live_free(struct user_rt *u);

/* As devices_enter, with the object for a new device made here. ST_OK, ST_E_LIMIT, ST_E_NOMEM. */
NODISCARD enum status user_live_device(struct user_live *l, const struct addr *from,
                                       const struct device_rule *rule, uint32_t now_s,
                                       struct device **out);

#endif
