/* policy/user_devices.h - the devices of one user of one panel, over all nodes of the process that
 * serve him. Who has no device limit has none. Pure.
 *
 * Made and given back by the control thread, which counts the references of user_rt objects; a
 * session reaches it through its user, whom it holds. The rest is thread-safe. */
#ifndef POLICY_USER_DEVICES_H
#define POLICY_USER_DEVICES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "policy/devices.h"

struct user_devices;

/* Whose set it is; constant while the set lives. */
struct user_devices_owner {
    /* A device has come, or one was refused for those elsewhere; the latter at most once a second.
     * Any thread. NULL: nobody asks. */
    void (*changed)(struct user_devices_owner *, struct user_devices *);
    /* The last reference is gone. Control thread. */
    void (*release)(struct user_devices_owner *, struct user_devices *);
};

struct user_devices {
    struct devices set;
    uint64_t uid;
    uint32_t refs;
    _Atomic uint32_t elsewhere; /* devices of his that count on nodes of other processes */
    _Atomic uint32_t refused_s; /* when changed was last called for a refusal */
    struct user_devices_owner *owner;
};

/* As devices_enter, with the object for a new device made here and rule->elsewhere filled in.
 * ST_OK, ST_E_LIMIT, ST_E_NOMEM. */
NODISCARD enum status user_devices_enter(struct user_devices *ud, const struct addr *from,
                                         struct device_rule *rule, uint32_t now_s,
                                         struct device **out);
/* Control thread. NULL is fine. */
void user_devices_unref(struct user_devices *ud);
/* Frees what the set holds; for its owner. */
void user_devices_fini(struct user_devices *ud);

#endif
