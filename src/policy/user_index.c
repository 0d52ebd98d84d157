#include "policy/user_index.h"

#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "crypto/siphash.h"

/* Linear probing at a load of at most 2/3: about two probes for a known user, five for an unknown
 * one. */
struct user_index {
    struct arena *arena;               /* holds this object too */
    uint8_t hash_key[SIPHASH_KEY_LEN]; /* secret: nobody can choose keys that meet in one place */
    size_t slots, count;
    struct user_rt **table; /* NULL: free */
};

struct key {
    uint64_t a, b;
};

/* Bytes 6 and 7 are the client's own (a route number), so they take no part. */
static struct key key_of(const uint8_t uuid[UUID_LEN])
{
    return (struct key){get_be64(uuid) & ~(uint64_t)0xffff, get_be64(uuid + 8)};
}

static bool same_key(const struct user_rt *u, struct key k)
{
    struct key other = key_of(u->uuid);
    /* Both halves are always compared: how long it takes does not tell how much of a guess was
     * right. */
    return ((other.a ^ k.a) | (other.b ^ k.b)) == 0;
}

/* Maps a hash to a slot without a division (the high half of hash * slots). */
static size_t slot_of(const struct user_index *ix, struct key k)
{
    uint64_t h = siphash_fast(ix->hash_key, &k, sizeof(k));
    return (size_t)(((unsigned __int128)h * ix->slots) >> 64);
}

/* The slot that holds @k, or the free one where it would go. There is always a free one. */
static struct user_rt **probe(const struct user_index *ix, struct key k)
{
    size_t i = slot_of(ix, k);
    while (ix->table[i] != NULL && !same_key(ix->table[i], k))
        i = i + 1 == ix->slots ? 0 : i + 1;
    return &ix->table[i];
}

enum status user_index_new(struct user_rt *const *users, size_t n, uint64_t seed,
                           struct user_index **out, size_t *collisions)
{
    struct arena *a = arena_new();
    struct user_index *ix = a == NULL ? NULL : arena_alloc(a, sizeof(*ix));

    *out = NULL;
    if (collisions != NULL)
        *collisions = 0;
    if (ix == NULL || n > SIZE_MAX / 16)
        goto nomem;
    ix->arena = a;
    put_be64(ix->hash_key, seed);
    put_be64(ix->hash_key + 8, ~seed);
    ix->slots = n + n / 2 + 2;
    ix->table = arena_alloc(a, ix->slots * sizeof(struct user_rt *));
    if (ix->table == NULL)
        goto nomem;
    for (size_t i = 0; i < n; i++) {
        struct user_rt **slot = probe(ix, key_of(users[i]->uuid));
        if (*slot == NULL)
            ix->count++;
        *slot = users[i];
    }
    if (collisions != NULL)
        *collisions = n - ix->count;
    *out = ix;
    return ST_OK;

nomem:
    if (a != NULL)
        arena_free(a);
    return ST_E_NOMEM;
}

void user_index_free(struct user_index *ix)
{
    if (ix != NULL)
        arena_free(ix->arena);
}

struct user_rt *user_index_find(const struct user_index *ix, const uint8_t uuid[UUID_LEN])
{
    struct user_rt *u = *probe(ix, key_of(uuid));

    if (u != NULL && atomic_load_explicit(&u->removed, memory_order_relaxed))
        return NULL;
    return u;
}

size_t user_index_count(const struct user_index *ix)
{
    return ix->count;
}
