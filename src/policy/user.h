/* policy/user.h - one user of one node, as both planes see him.
 *
 * Created by the control thread, published through a view, read by workers. Every member is either
 * constant while published or atomic.
 * References: the control table holds one, every view's index counts as that one, every session
 * holds one. */
#ifndef POLICY_USER_H
#define POLICY_USER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/uuid.h"
#include "policy/bucket.h"
#include "policy/share.h"

#define USER_SECRET_MAX 36

struct user_devices;
struct user_live;

struct user_rt {
    uint64_t uid;           /* the panel's id */
    uint8_t uuid[UUID_LEN]; /* credential */
    /* The credential's text where it is not the one uuid_str gives (1..USER_SECRET_MAX bytes);
     * NULL otherwise. */
    const char *secret;
    uint32_t slot; /* of the live counters (policy/meter.h) */
    uint32_t node; /* number of the node he belongs to */
    _Atomic uint32_t refs;
    _Atomic uint32_t sessions; /* open now, over all workers */
    _Atomic bool removed;      /* no new session; open ones end within a second */
    _Atomic uint32_t speed_kbps, device_limit, conn_limit; /* 0 = unlimited */
    _Atomic uint32_t dynamic_kbps;     /* what he is held to for a while; 0 = nothing */
    struct bucket up, down;            /* of user_speed */
    struct share up_share, down_share; /* of the node's total */
    /* policy/user_devices.h, shared with his like on other nodes; set once, NULL: no device limit
     * yet */
    _Atomic(struct user_devices *) devices;
    _Atomic(struct user_live *) live; /* policy/user_live.h; NULL: nothing to share yet */
};

/* The smaller of two limits, where 0 is none. */
static inline uint32_t limit_smaller(uint32_t a, uint32_t b)
{
    return a - 1 < b - 1 ? a : b; /* 0 counts as the largest */
}

/* His speed limit in kbit/s, the smaller of the two; 0: none. */
static inline uint32_t user_speed(const struct user_rt *u)
{
    uint32_t usual = atomic_load_explicit(&u->speed_kbps, memory_order_relaxed);
    uint32_t now = atomic_load_explicit(&u->dynamic_kbps, memory_order_relaxed);

    return limit_smaller(usual, now);
}

/* The credential as the panel wrote it: the password of protocols that have one. Returns @buf,
 * which is to be wiped, or @u's own text. */
static inline const char *user_secret(const struct user_rt *u, char buf[USER_SECRET_MAX + 1])
{
    return u->secret != NULL ? u->secret : uuid_str(u->uuid, buf);
}

/* Called by whoever drops the last reference (any thread): hands the object back to its maker. */
struct user_owner {
    void (*release)(struct user_owner *, struct user_rt *);
};

static inline void user_ref(struct user_rt *u)
{
    atomic_fetch_add_explicit(&u->refs, 1, memory_order_relaxed);
}
/* Returns true when the caller dropped the last reference and must pass the object to its owner. */
static inline bool user_unref(struct user_rt *u)
{
    return atomic_fetch_sub_explicit(&u->refs, 1, memory_order_acq_rel) == 1;
}

#endif
