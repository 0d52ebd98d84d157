/* policy/seen.h - what a node has seen and must not see again: salts, AuthIDs, session keys. Shared
 * by its workers: one of SEEN_SHARDS spin locks a call, held for a probe or, rarely, the growth of
 * a table. Pure.
 *
 * Two generations of 64-bit marks (keyed hashes, so nobody can make two meet): when the young one
 * is SEEN_MAX marks full, or as old as the caller keeps marks, it becomes the old one. A mark thus
 * lives for that time, and through at least SEEN_MAX others: refusing what is new because the
 * filter is full would let one user keep out all others. Grows with use from nothing to 16 bytes a
 * mark. */
#ifndef POLICY_SEEN_H
#define POLICY_SEEN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define SEEN_SHARDS 16u
#define SEEN_MAX    (1024u * 1024) /* in each generation */

struct arena;

struct seen_shard {
    atomic_flag lock;
    struct seen_table {
        struct arena *arena; /* NULL: empty */
        uint64_t *slot;      /* 0: free */
        uint32_t size, count;
    } young, old;
    int64_t since_s; /* when the young generation began */
};

struct seen {
    uint8_t hash_key[16];
    struct seen_shard shard[SEEN_SHARDS];
};

/* @hash_key is secret. */
void seen_init(struct seen *s, const uint8_t hash_key[16]);
/* Frees the tables; nothing is seen any more. */
void seen_fini(struct seen *s);
/* Has it been noted? */
bool seen_has(struct seen *s, const void *data, size_t len);
/* Notes it for @keep_s seconds, twice that at most (0: without bound of time). Of two that come at
 * once one gets ST_OK. @now_s: seconds of one clock; going back a little does not matter.
 *   ST_OK         it is new
 *   ST_E_REFUSED  it was noted before
 *   ST_E_NOMEM    not noted, so it must not be let in; older marks were given up first */
NODISCARD enum status seen_add(struct seen *s, const void *data, size_t len, int64_t now_s,
                               int64_t keep_s);

#endif
