/* proto/vmess/sources.h - what is remembered of where clients come from, so that a request rarely
 * costs a search: the last users of each source, the users found last, and how much searching a
 * source and all together have made without being known. Pure; thread-safe: all workers of a node
 * share one.
 *
 * Users are remembered by their place in the index (proto/vmess/users.h), which is only a guess
 * where to look first: that it is right is for the key to show. */
#ifndef PROTO_VMESS_SOURCES_H
#define PROTO_VMESS_SOURCES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

#define VMESS_SOURCE_USERS   4u
#define VMESS_SOURCE_STRIPES 16u
#define VMESS_SOURCES_MAX    131072u /* 24 bytes each; the longest unseen of a bucket goes */
#define VMESS_RECENT_USERS   128u
#define VMESS_SOURCE_BUDGETS 4096u

/* Searching for strangers may take this share of the time of one worker, in all and for one source;
 * and so much of it at once. */
#define VMESS_BUDGET_SHARE        4u      /* a quarter */
#define VMESS_BUDGET_BURST_US     250000u /* of searching */
#define VMESS_BUDGET_SOURCE_SHARE 50u
#define VMESS_BUDGET_SOURCE_US    50000u

struct arena;

struct vmess_source_entry {
    uint64_t source;                   /* 0: free */
    uint32_t user[VMESS_SOURCE_USERS]; /* place + 1, the last one first; 0: none */
};

struct vmess_source_stripe {
    _Alignas(64) atomic_flag lock;
    struct arena *arena;                /* holds entries */
    struct vmess_source_entry *entries; /* buckets of four, the last used entry first */
    uint32_t buckets;
    uint32_t used; /* entries */
};

struct vmess_sources {
    uint8_t hash_key[16];
    _Atomic uint32_t recent_next;
    _Atomic uint32_t recent[VMESS_RECENT_USERS]; /* place + 1 */
    /* When the source (all) would have paid back what it has used, in us: GCRA. */
    _Atomic uint64_t all_paid_us, paid_us[VMESS_SOURCE_BUDGETS];
    struct vmess_source_stripe stripe[VMESS_SOURCE_STRIPES];
};

/* On zeroed memory. @hash_key is secret. */
void vmess_sources_init(struct vmess_sources *s, const uint8_t hash_key[16]);
void vmess_sources_fini(struct vmess_sources *s);
/* What an address counts as: its /32, or its /64. Never 0. */
uint64_t vmess_source_of(const struct vmess_sources *s, const struct addr *peer);

/* Fills @users with the places of the last users of @source, returns how many. */
unsigned vmess_source_users(struct vmess_sources *s, uint64_t source,
                            uint32_t users[VMESS_SOURCE_USERS]);
/* @source has shown that it is the user at @place. Without memory it is not remembered. */
void vmess_source_seen(struct vmess_sources *s, uint64_t source, uint32_t place);
/* The places of the users that were found by a search, the last one first; returns how many. Some
 * may come twice. */
unsigned vmess_recent_users(struct vmess_sources *s, uint32_t users[VMESS_RECENT_USERS]);
void vmess_recent_add(struct vmess_sources *s, uint32_t place);

/* Takes @cost_us of searching for @source; false: it or all together have used up theirs.
 * vmess_budget_return gives it back to those who turned out to be known. Two sources may share a
 * budget by chance. */
bool vmess_budget_take(struct vmess_sources *s, uint64_t source, uint32_t cost_us, uint64_t now_us);
void vmess_budget_return(struct vmess_sources *s, uint64_t source, uint32_t cost_us);

#endif
