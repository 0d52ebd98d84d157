#include "policy/seen.h"

#include <string.h>

#include "base/arena.h"
#include "base/spin.h"
#include "crypto/mem.h"
#include "crypto/siphash.h"

#define SIZE_MIN  64u
#define SHARD_MAX (SEEN_MAX / SEEN_SHARDS)

void seen_init(struct seen *s, const uint8_t hash_key[16])
{
    memset(s, 0, sizeof(*s));
    memcpy(s->hash_key, hash_key, sizeof(s->hash_key));
    for (unsigned i = 0; i < SEEN_SHARDS; i++)
        atomic_flag_clear(&s->shard[i].lock);
}

static void drop(struct seen_table *t)
{
    arena_free(t->arena);
    *t = (struct seen_table){.arena = NULL};
}

void seen_fini(struct seen *s)
{
    for (unsigned i = 0; i < SEEN_SHARDS; i++) {
        drop(&s->shard[i].young);
        drop(&s->shard[i].old);
    }
    crypto_wipe(s->hash_key, sizeof(s->hash_key));
}

static struct seen_shard *lock(struct seen *s, uint64_t mark)
{
    struct seen_shard *h = &s->shard[mark >> 60];

    spin_lock(&h->lock);
    return h;
}

static uint64_t mark_of(const struct seen *s, const void *data, size_t len)
{
    uint64_t mark = siphash(s->hash_key, data, len);
    return mark != 0 ? mark : 1;
}

/* The slot of @mark, or the free one where it would go. There is always a free one. */
static uint64_t *probe(const struct seen_table *t, uint64_t mark)
{
    uint32_t i = (uint32_t)mark & (t->size - 1);

    while (t->slot[i] != 0 && t->slot[i] != mark)
        i = (i + 1) & (t->size - 1);
    return &t->slot[i];
}

static bool holds(const struct seen_table *t, uint64_t mark)
{
    return t->size > 0 && *probe(t, mark) == mark;
}

/* Room for one more mark at a load of at most 2/3. False: no memory. */
static bool make_room(struct seen_table *t)
{
    struct seen_table bigger = {.size = t->size == 0 ? SIZE_MIN : t->size * 2};

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

static void turn_over(struct seen_shard *h, int64_t now_s)
{
    drop(&h->old);
    h->old = h->young;
    h->young = (struct seen_table){.arena = NULL};
    h->since_s = now_s;
}

/* No mark of the young generation is older than since_s, none was added keep_s after that. */
static void age(struct seen_shard *h, int64_t now_s, int64_t keep_s)
{
    int64_t age_s = now_s - h->since_s;

    if (keep_s <= 0 || age_s < keep_s)
        return;
    turn_over(h, now_s);
    if (age_s >= 2 * keep_s)
        drop(&h->old);
}

static enum status add(struct seen_shard *h, uint64_t mark, int64_t now_s)
{
    if (holds(&h->young, mark) || holds(&h->old, mark))
        return ST_E_REFUSED;
    if (h->young.count >= SHARD_MAX)
        turn_over(h, now_s);
    if (!make_room(&h->young)) {
        turn_over(h, now_s);
        drop(&h->old);
        if (!make_room(&h->young))
            return ST_E_NOMEM;
    }
    *probe(&h->young, mark) = mark;
    h->young.count++;
    return ST_OK;
}

bool seen_has(struct seen *s, const void *data, size_t len)
{
    uint64_t mark = mark_of(s, data, len);
    struct seen_shard *h = lock(s, mark);
    bool seen = holds(&h->young, mark) || holds(&h->old, mark);

    spin_unlock(&h->lock);
    return seen;
}

enum status seen_add(struct seen *s, const void *data, size_t len, int64_t now_s, int64_t keep_s)
{
    uint64_t mark = mark_of(s, data, len);
    struct seen_shard *h = lock(s, mark);

    age(h, now_s, keep_s);
    enum status st = add(h, mark, now_s);
    spin_unlock(&h->lock);
    return st;
}
