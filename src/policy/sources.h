/* policy/sources.h - which users have come from where, so that finding out who a client is rarely
 * takes trying all keys: the last users of each source. Pure; thread-safe: all workers of a node
 * share one, behind a short spin lock.
 *
 * A source is an IPv4 address or an IPv6 /64. Only who has authenticated is noted, so strangers
 * cannot push anyone out. What a user is called is the protocol's: a number that tells it whose key
 * to try first, no more. Grows with use from nothing to 40 bytes a source. */
#ifndef POLICY_SOURCES_H
#define POLICY_SOURCES_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/addr.h"

#define SOURCES_USERS   4u /* of a source */
#define SOURCES_STRIPES 16u
#define SOURCES_MAX     131072u /* the longest unseen of a bucket goes */

struct arena;

struct sources_entry {
    uint64_t source;              /* 0: free */
    uint64_t user[SOURCES_USERS]; /* name + 1, the last one first; 0: none */
};

struct sources_stripe {
    _Alignas(64) atomic_flag lock;
    struct arena *arena;           /* holds entries */
    struct sources_entry *entries; /* buckets of four, the last used entry first */
    uint32_t buckets;
    uint32_t used; /* entries */
};

struct sources {
    uint8_t hash_key[16];
    struct sources_stripe stripe[SOURCES_STRIPES];
};

/* On zeroed memory. @hash_key is secret. */
void sources_init(struct sources *s, const uint8_t hash_key[16]);
/* Frees what it holds. */
void sources_fini(struct sources *s);
/* What an address counts as: a keyed hash of its /32, or its /64. Never 0. */
uint64_t sources_key(const struct sources *s, const struct addr *peer);

/* Fills @users with the last users of @source, the last one first, and returns how many. */
unsigned sources_find(struct sources *s, uint64_t source, uint64_t users[SOURCES_USERS]);
/* A client of @source has proved to be @user (< UINT64_MAX). Without memory it is not
 * remembered. */
void sources_note(struct sources *s, uint64_t source, uint64_t user);

#endif
