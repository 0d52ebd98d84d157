/* proto/shadowsocks/salts.h - which salts a node has seen, so that a stream cannot be played back.
 * Shared by its workers: one of SHARDS spin locks a call, held for a probe or, rarely, the growth
 * of a table. Pure.
 *
 * Two generations of 64-bit marks (keyed hashes, so nobody can make two salts meet): when the young
 * one is SS_SALTS_MAX marks full, or as old as the caller keeps marks, it becomes the old one. A
 * mark thus lives through at least SS_SALTS_MAX others and that time. Grows with use from nothing
 * to 16 bytes a mark. */
#ifndef PROTO_SHADOWSOCKS_SALTS_H
#define PROTO_SHADOWSOCKS_SALTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SS_SALTS_SHARDS 16u
#define SS_SALTS_MAX    (1024u * 1024) /* in each generation of a node */

struct arena;

struct ss_salts_shard {
    atomic_flag lock;
    struct ss_salts_table {
        struct arena *arena; /* NULL: empty */
        uint64_t *slot;      /* 0: free */
        uint32_t size, count;
    } young, old;
    int64_t since_s; /* when the young generation began */
};

struct ss_salts {
    uint8_t key[16];
    struct ss_salts_shard shard[SS_SALTS_SHARDS];
};

void ss_salts_init(struct ss_salts *s, uint64_t seed);
void ss_salts_fini(struct ss_salts *s);
/* Has @salt been noted? */
bool ss_salts_seen(struct ss_salts *s, const uint8_t *salt, size_t len);
/* Notes @salt for at least @keep_s seconds (0: without bound of time). False: it was noted before.
 * Of two that come at once one gets true. Without memory older marks are given up. */
bool ss_salts_add(struct ss_salts *s, const uint8_t *salt, size_t len, int64_t now_s,
                  int64_t keep_s);

#endif
