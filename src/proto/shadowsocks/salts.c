#include "proto/shadowsocks/salts.h"

#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/spin.h"
#include "crypto/siphash.h"

#define SIZE_MIN  64u
#define SHARD_MAX (SS_SALTS_MAX / SS_SALTS_SHARDS)

void ss_salts_init(struct ss_salts *s, uint64_t seed)
{
    memset(s, 0, sizeof(*s));
    put_be64(s->key, seed);
    put_be64(s->key + 8, ~seed * 0x9e3779b97f4a7c15u);
    for (unsigned i = 0; i < SS_SALTS_SHARDS; i++)
        atomic_flag_clear(&s->shard[i].lock);
}

static void drop(struct ss_salts_table *t)
{
    arena_free(t->arena);
    *t = (struct ss_salts_table){.arena = NULL};
}

void ss_salts_fini(struct ss_salts *s)
{
    for (unsigned i = 0; i < SS_SALTS_SHARDS; i++) {
        drop(&s->shard[i].young);
        drop(&s->shard[i].old);
    }
}

static struct ss_salts_shard *lock(struct ss_salts *s, uint64_t mark)
{
    struct ss_salts_shard *h = &s->shard[mark >> 60];

    spin_lock(&h->lock);
    return h;
}

static uint64_t mark_of(const struct ss_salts *s, const uint8_t *salt, size_t len)
{
    uint64_t mark = siphash(s->key, salt, len);
    return mark != 0 ? mark : 1;
}

/* The slot of @mark, or the free one where it would go. There is always a free one. */
static uint64_t *probe(const struct ss_salts_table *t, uint64_t mark)
{
    uint32_t i = (uint32_t)mark & (t->size - 1);

    while (t->slot[i] != 0 && t->slot[i] != mark)
        i = (i + 1) & (t->size - 1);
    return &t->slot[i];
}

static bool holds(const struct ss_salts_table *t, uint64_t mark)
{
    return t->size > 0 && *probe(t, mark) == mark;
}

/* Room for one more mark at a load of at most 2/3. False: no memory. */
static bool make_room(struct ss_salts_table *t)
{
    struct ss_salts_table bigger = {.size = t->size == 0 ? SIZE_MIN : t->size * 2};

    if ((t->count + 1) * 3 <= t->size * 2)
        return true;
    bigger.arena = arena_new();
    if (bigger.arena == NULL ||
        (bigger.slot = arena_alloc(bigger.arena, bigger.size * sizeof(uint64_t))) == NULL) {
        arena_free(bigger.arena);
        return false;
    }
    for (uint32_t i = 0; i < t->size; i++)
        if (t->slot[i] != 0)
            *probe(&bigger, t->slot[i]) = t->slot[i];
    bigger.count = t->count;
    arena_free(t->arena);
    *t = bigger;
    return true;
}

static void turn_over(struct ss_salts_shard *h, int64_t now_s)
{
    drop(&h->old);
    h->old = h->young;
    h->young = (struct ss_salts_table){.arena = NULL};
    h->since_s = now_s;
}

bool ss_salts_seen(struct ss_salts *s, const uint8_t *salt, size_t len)
{
    uint64_t mark = mark_of(s, salt, len);
    struct ss_salts_shard *h = lock(s, mark);
    bool seen = holds(&h->young, mark) || holds(&h->old, mark);

    spin_unlock(&h->lock);
    return seen;
}

bool ss_salts_add(struct ss_salts *s, const uint8_t *salt, size_t len, int64_t now_s,
                  int64_t keep_s)
{
    uint64_t mark = mark_of(s, salt, len);
    struct ss_salts_shard *h = lock(s, mark);
    bool fresh = !holds(&h->young, mark) && !holds(&h->old, mark);

    if (fresh) {
        if (h->young.count >= SHARD_MAX || (keep_s > 0 && now_s - h->since_s >= keep_s))
            turn_over(h, now_s);
        if (!make_room(&h->young)) {
            turn_over(h, now_s);
            drop(&h->old);
        }
        if (make_room(&h->young)) {
            *probe(&h->young, mark) = mark;
            h->young.count++;
        }
    }
    spin_unlock(&h->lock);
    return fresh;
}
