/* proto/vmess/lookup.h - from an AuthID to its user, in slices. Pure.
 *
 *   users last seen from this source -> users found last -> all, if there is budget -> time, replay
 *
 * The state of one connection between turns. The index may be exchanged between two calls: then the
 * search begins again. */
#ifndef PROTO_VMESS_LOOKUP_H
#define PROTO_VMESS_LOOKUP_H

#include "policy/seen.h"
#include "policy/sources.h"
#include "policy/trial_budget.h"
#include "proto/vmess/header.h"
#include "proto/vmess/users.h"

/* How far a client's clock may be off. */
#define VMESS_CLOCK_MAX_S 120
/* The longest a call may search, in ns by the scan's own estimate: half of what a worker may be
 * held, because memory may be slower than thought. */
#define VMESS_LOOKUP_SLICE_NS 100000u

#define VMESS_RECENT_USERS 128u

/* What the workers of a node change together: env->shared. Users are named by their place in the
 * index (proto/vmess/users.h), which is only a guess where to look first: that it is right is for
 * the key to show. */
struct vmess_shared {
    struct seen seen; /* AuthIDs, and keys of sessions */
    struct sources sources;
    struct trial_budget budget;
    _Atomic uint32_t recent_next;                /* of a ring */
    _Atomic uint32_t recent[VMESS_RECENT_USERS]; /* found by a search: place + 1; 0: none */
    uint32_t drain_base, drain_spread;           /* proto/vmess/vmess.h */
};

/* struct proto's shared_init and shared_fini. Always ST_OK. */
NODISCARD enum status vmess_shared_init(void *shared, uint64_t seed);
void vmess_shared_fini(void *shared);

struct vmess_lookup {
    const struct vmess_users *users; /* what place and next refer to, and its serial */
    uint64_t serial;
    uint64_t source;
    size_t next;       /* to be searched */
    size_t place;      /* AES_SCAN_NONE: not found yet */
    uint32_t cost_us;  /* taken from the budgets */
    bool begun, tried; /* tried: the likely ones */
    bool paid, admitted;
    uint8_t key[VMESS_KEY_LEN]; /* of the user, when found */
};

/* Where and when a request arrives. */
struct vmess_arrival {
    const struct addr *peer;
    uint64_t now_us; /* monotonic */
    int64_t unix_s;
};

/* Searches on. @users may be NULL: nobody is known.
 *   ST_OK         l->key is the user's, vmess_lookup_user gives him
 *   ST_YIELD      others first, then again
 *   ST_E_AUTH     nobody's, or his clock is off
 *   ST_E_REFUSED  a replay, or there is no budget to search with
 *   ST_E_NOMEM
 * Errors fill @why. */
NODISCARD enum status vmess_lookup_run(struct vmess_lookup *l, const struct vmess_users *users,
                                       struct vmess_shared *shared, const struct vmess_arrival *at,
                                       const uint8_t auth_id[VMESS_AUTH_ID_LEN], struct why *why);
/* The user that was found; good until the index is exchanged. */
struct user_rt *vmess_lookup_user(const struct vmess_lookup *l);
/* The header has shown that it is him: remembers source and user, returns what was taken. */
void vmess_lookup_proved(const struct vmess_lookup *l, struct vmess_shared *shared);

/* Places of the users found last by a search, the last one first; returns how many. Some may come
 * twice. */
unsigned vmess_recent_users(struct vmess_shared *shared, uint64_t places[VMESS_RECENT_USERS]);

/* Remembers body key and IV of a session of the user with @uuid. ST_OK, ST_E_REFUSED: they were
 * used before; ST_E_NOMEM. */
NODISCARD enum status vmess_session_add(struct vmess_shared *shared, const uint8_t uuid[16],
                                        const struct vmess_header *h, uint64_t now_us);

#endif
