#include "proto/vmess/replay.h"

#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "base/spin.h"
#include "crypto/mem.h"
#include "crypto/siphash.h"

#define MINUTE_US   (60u * UINT64_C(1000000))
#define SLOTS_FIRST 64u
#define STRIPE_MAX  (VMESS_REPLAY_MAX / VMESS_REPLAY_STRIPES)

static const uint8_t FREE[VMESS_REPLAY_LEN];

void vmess_replay_init(struct vmess_replay *r, const uint8_t hash_key[16])
{
    memcpy(r->hash_key, hash_key, sizeof(r->hash_key));
    for (unsigned i = 0; i < VMESS_REPLAY_STRIPES; i++)
        atomic_flag_clear(&r->stripe[i].lock);
}

static void drop_table(struct vmess_replay_stripe *s, struct vmess_replay_table *t)
{
    s->count -= t->count;
    arena_free(t->arena);
    memset(t, 0, sizeof(*t));
}

void vmess_replay_fini(struct vmess_replay *r)
{
    for (unsigned i = 0; i < VMESS_REPLAY_STRIPES; i++)
        for (unsigned k = 0; k < VMESS_REPLAY_TABLES; k++)
            drop_table(&r->stripe[i], &r->stripe[i].table[k]);
    crypto_wipe(r->hash_key, sizeof(r->hash_key));
}

/* The slot that holds @key, or the free one where it would go. There is always a free one. */
static uint8_t *probe(const struct vmess_replay_table *t, const uint8_t *key, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & (t->slots - 1);

    while (memcmp(t->keys[i], FREE, VMESS_REPLAY_LEN) != 0 &&
           memcmp(t->keys[i], key, VMESS_REPLAY_LEN) != 0)
        i = (i + 1) & (t->slots - 1);
    return t->keys[i];
}

static bool holds(const struct vmess_replay_table *t, const uint8_t *key, uint64_t hash)
{
    return t->slots > 0 && memcmp(probe(t, key, hash), FREE, VMESS_REPLAY_LEN) != 0;
}

static uint64_t hash_of(const struct vmess_replay *r, const uint8_t *key)
{
    return siphash_fast(r->hash_key, key, VMESS_REPLAY_LEN);
}

/* Makes room for one more at a load of at most 2/3. */
static enum status grow(const struct vmess_replay *r, struct vmess_replay_table *t)
{
    struct vmess_replay_table bigger = {.slots = t->slots > 0 ? t->slots * 2 : SLOTS_FIRST};

    if (t->count + 1 <= t->slots / 3 * 2)
        return ST_OK;
    bigger.arena = arena_new();
    if (bigger.arena == NULL)
        return ST_E_NOMEM;
    bigger.keys = arena_alloc(bigger.arena, (size_t)bigger.slots * VMESS_REPLAY_LEN);
    if (bigger.keys == NULL) {
        arena_free(bigger.arena);
        return ST_E_NOMEM;
    }
    for (uint32_t i = 0; i < t->slots; i++)
        if (memcmp(t->keys[i], FREE, VMESS_REPLAY_LEN) != 0)
            memcpy(probe(&bigger, t->keys[i], hash_of(r, t->keys[i])), t->keys[i],
                   VMESS_REPLAY_LEN);
    bigger.count = t->count;
    arena_free(t->arena);
    *t = bigger;
    return ST_OK;
}

/* Gives back the tables of minutes that are over, and where there are too many keys the oldest. */
static void forget(struct vmess_replay_stripe *s, uint64_t minute)
{
    for (unsigned i = 0; i < VMESS_REPLAY_TABLES && s->minute < minute; i++)
        drop_table(s, &s->table[++s->minute % VMESS_REPLAY_TABLES]);
    if (s->minute < minute)
        s->minute = minute;
    for (unsigned i = 1; i < VMESS_REPLAY_TABLES && s->count >= STRIPE_MAX; i++)
        drop_table(s, &s->table[(s->minute + i) % VMESS_REPLAY_TABLES]);
    if (s->count >= STRIPE_MAX)
        drop_table(s, &s->table[s->minute % VMESS_REPLAY_TABLES]);
}

static enum status add(const struct vmess_replay *r, struct vmess_replay_stripe *s,
                       const uint8_t *key, uint64_t hash, uint64_t minute)
{
    struct vmess_replay_table *t;

    forget(s, minute);
    for (unsigned i = 0; i < VMESS_REPLAY_TABLES; i++)
        if (holds(&s->table[i], key, hash))
            return ST_E_REFUSED;
    t = &s->table[s->minute % VMESS_REPLAY_TABLES];
    if (grow(r, t) != ST_OK)
        return ST_E_NOMEM;
    memcpy(probe(t, key, hash), key, VMESS_REPLAY_LEN);
    t->count++;
    s->count++;
    return ST_OK;
}

enum status vmess_replay_add(struct vmess_replay *r, const uint8_t key[VMESS_REPLAY_LEN],
                             uint64_t now_us)
{
    uint8_t used[VMESS_REPLAY_LEN];
    uint64_t hash;

    memcpy(used, key, sizeof(used));
    if (memcmp(used, FREE, sizeof(used)) == 0)
        used[0] = 1; /* zeros mean a free slot */
    hash = hash_of(r, used);
    struct vmess_replay_stripe *s = &r->stripe[(hash >> 32) % VMESS_REPLAY_STRIPES];
    spin_lock(&s->lock);
    enum status st = add(r, s, used, hash, now_us / MINUTE_US);
    spin_unlock(&s->lock);
    return st;
}
