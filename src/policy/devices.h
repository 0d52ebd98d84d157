/* policy/devices.h - the devices of one user: the sources that his sessions come from, and whether
 * another may join. Pure, thread-safe: a short spin lock, once a session, never a packet.
 *
 * A device counts while a session of it is open and for a while after its last payload, so that
 * nobody doubles his devices by taking turns. Where all places are taken, a new device gets that of
 * one that is not in use at the moment: people change networks.
 *
 * Nodes that share a user (policy/user_devices.h) ask with rules of their own. The limit of the one
 * that asks is held against all devices there are; the one that a device was last seen by says how
 * long it counts; where the sizes of networks differ the larger network is the device. */
#ifndef POLICY_DEVICES_H
#define POLICY_DEVICES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"

#define DEVICE_GRACE_S 60 /* a device without sessions counts so long after its last payload */
#define DEVICE_QUIET_S 10 /* one that moved nothing for so long gives its place to a new one */

/* Made by the caller of devices_enter, owned by the set from then on. */
struct device {
    struct device *next;
    struct addr ip;            /* the network it counts as, port 0 */
    uint32_t sessions;         /* open */
    _Atomic uint32_t active_s; /* monotonic seconds of its last payload */
    _Atomic bool out;          /* its place was given away: its sessions are to end */
    uint8_t bits;              /* of @ip */
    _Atomic bool said;         /* whoever watches the set has heard of this one */
    uint32_t grace_s;          /* of the rule it was last seen by */
    uint32_t limit;            /* the largest of all rules since it came, or what devices_trim or
                       devices_raise said */
};

/* Zeroed: no device. */
struct devices {
    atomic_flag lock;
    struct device *first;
};

struct device_rule {
    uint32_t limit;       /* > 0 */
    uint32_t elsewhere;   /* devices that count on other nodes */
    uint8_t bits4, bits6; /* of the networks that count as one device */
    bool kick_oldest; /* where no place is free and all are in use: the one longest quiet goes */
    uint32_t grace_s;
};
#define DEVICES_NO_LIMIT UINT32_MAX

/* One device as others are told of it. */
struct device_seen {
    struct addr ip; /* port 0 */
    uint8_t bits;
    uint32_t quiet_s; /* since its last payload */
    uint32_t limit;   /* that it may count on, see struct device */
    uint32_t grace_s; /* it counts so long without sessions */
};

/* A session of @from begins, or began before, and moved its last payload at @now_s. @own_spare: an
 * object for a device that is new, or NULL.
 *   ST_OK       *@out counts it; devices_leave ends that. *@own_spare is NULL if it was used
 *   ST_MORE     the device is new and there is no object for it: call again with one
 *   ST_E_LIMIT  all places are taken */
NODISCARD enum status devices_enter(struct devices *d, const struct addr *from,
                                    const struct device_rule *rule, uint32_t now_s,
                                    struct device **own_spare, struct device **out);
/* One session of @dev ends; the device counts on for its grace. */
void devices_leave(struct devices *d, struct device *dev);
/* How many count at the moment. */
uint32_t devices_count(struct devices *d, uint32_t now_s);
/* Those that count, into @out, the least quiet first; @max of them at most. Returns how many. */
size_t devices_list(struct devices *d, uint32_t now_s, struct device_seen *out, size_t max);
/* The limit is @limit now, for all of them: the least quiet ones keep their places, the rest lose
 * them. Returns how many did. */
uint32_t devices_trim(struct devices *d, uint32_t limit, uint32_t now_s);
/* The limit is @limit now, and was smaller: also for those who are in. */
void devices_raise(struct devices *d, uint32_t limit);
/* @gone loses its place. True: it had one. */
bool devices_put_out(struct devices *d, const struct device_seen *gone, uint32_t now_s);
/* Unlinks all objects for the caller to free; nobody may hold one any more. */
struct device *devices_take_all(struct devices *d);

#endif
