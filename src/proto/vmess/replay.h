/* proto/vmess/replay.h - what was seen in the last minutes, exactly: keys of 16 bytes that may come
 * only once. For AuthIDs, which are good for two minutes before and after their time, and for the
 * body keys of sessions. Pure; thread-safe: all workers of a node share one.
 *
 * A key is remembered for 240 to 300 seconds: it goes into the table of its minute, and tables of
 * minutes past are given back whole. Costs 24 to 48 bytes a key. Over VMESS_REPLAY_MAX keys (some
 * 2000 requests a second, which takes known users) the oldest minutes are forgotten early, because
 * the other way out, refusing, would let one user keep out all others. */
#ifndef PROTO_VMESS_REPLAY_H
#define PROTO_VMESS_REPLAY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define VMESS_REPLAY_LEN     16u
#define VMESS_REPLAY_STRIPES 16u
#define VMESS_REPLAY_TABLES  5u
#define VMESS_REPLAY_MAX     (1u << 20)

struct arena;

struct vmess_replay_table {
    struct arena *arena; /* holds keys */
    uint8_t (*keys)[VMESS_REPLAY_LEN];
    uint32_t slots, count;
};

struct vmess_replay_stripe {
    _Alignas(64) atomic_flag lock;
    uint64_t minute;                                      /* the newest that was seen */
    uint32_t count;                                       /* over all tables */
    struct vmess_replay_table table[VMESS_REPLAY_TABLES]; /* by minute % TABLES */
};

struct vmess_replay {
    uint8_t hash_key[16];
    struct vmess_replay_stripe stripe[VMESS_REPLAY_STRIPES];
};

/* On zeroed memory. @hash_key is secret: nobody can choose keys that meet in one place. */
void vmess_replay_init(struct vmess_replay *r, const uint8_t hash_key[16]);
void vmess_replay_fini(struct vmess_replay *r);
/* Remembers @key. ST_OK: it is new; ST_E_REFUSED: it was seen; ST_E_NOMEM: not remembered, so it
 * must not be let in. @now_us is monotonic; going back a little does not matter. */
NODISCARD enum status vmess_replay_add(struct vmess_replay *r, const uint8_t key[VMESS_REPLAY_LEN],
                                       uint64_t now_us);

#endif
