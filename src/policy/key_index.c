#include "policy/key_index.h"

#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "crypto/mem.h"
#include "crypto/siphash.h"

struct slot {
    uint64_t hash;        /* of the key: tells most strangers without a look at the user */
    struct user_rt *user; /* NULL: free */
};

/* Linear probing at a load of at most 2/3: about two probes for a known user, five for an unknown
 * one. */
struct key_index {
    struct user_index index;
    struct arena *arena; /* holds this object too */
    const void *conf;
    key_index_key_fn *key_of;
    uint8_t hash_key[SIPHASH_KEY_LEN];
    size_t slots;
    struct slot *table;
};

static uint64_t hash_of(const struct key_index *ix, const uint8_t key[KEY_INDEX_LEN])
{
    return siphash_fast(ix->hash_key, key, KEY_INDEX_LEN);
}

static bool same_key(const struct key_index *ix, const struct user_rt *u,
                     const uint8_t key[KEY_INDEX_LEN])
{
    uint8_t other[KEY_INDEX_LEN];
    bool same =
        ix->key_of(ix->conf, u, other) == NULL && crypto_ct_equal(other, key, sizeof(other));
    crypto_wipe(other, sizeof(other));
    return same;
}

/* The slot that holds @key, or the free one where it would go. There is always a free one. The high
 * half of hash * slots maps a hash to a slot without a division. */
static struct slot *probe(const struct key_index *ix, const uint8_t key[KEY_INDEX_LEN],
                          uint64_t hash)
{
    size_t i = (size_t)(((unsigned __int128)hash * ix->slots) >> 64);
    while (ix->table[i].user != NULL &&
           (ix->table[i].hash != hash || !same_key(ix, ix->table[i].user, key)))
        i = i + 1 == ix->slots ? 0 : i + 1;
    return &ix->table[i];
}

static void add(struct key_index *ix, const struct user_index_build *b, struct user_rt *u)
{
    uint8_t key[KEY_INDEX_LEN];
    const char *why = ix->key_of(ix->conf, u, key);

    if (why != NULL) {
        user_index_skip(b, u, why);
        return;
    }
    uint64_t hash = hash_of(ix, key);
    struct slot *slot = probe(ix, key, hash);
    if (slot->user == NULL)
        ix->index.count++;
    else
        user_index_skip(b, slot->user, "another user has the same credential");
    *slot = (struct slot){hash, u};
    crypto_wipe(key, sizeof(key));
}

enum status key_index_build(const struct user_index_build *b, key_index_key_fn *key_of,
                            const struct user_index_ops *ops, struct user_index **out)
{
    struct arena *a = arena_new();
    struct key_index *ix = a == NULL ? NULL : arena_alloc(a, sizeof(*ix));

    *out = NULL;
    if (ix == NULL || b->count > SIZE_MAX / 32)
        goto nomem;
    ix->index.ops = ops;
    ix->arena = a;
    ix->conf = b->conf;
    ix->key_of = key_of;
    put_be64(ix->hash_key, b->seed);
    put_be64(ix->hash_key + 8, ~b->seed);
    ix->slots = b->count + b->count / 2 + 2;
    ix->table = arena_alloc(a, ix->slots * sizeof(struct slot));
    if (ix->table == NULL)
        goto nomem;
    for (size_t i = 0; i < b->count; i++)
        add(ix, b, b->users[i]);
    *out = &ix->index;
    return ST_OK;

nomem:
    if (a != NULL)
        arena_free(a);
    return ST_E_NOMEM;
}

void key_index_free(struct user_index *ix)
{
    arena_free(((struct key_index *)ix)->arena);
}

struct user_rt *key_index_find(const struct user_index *ix, const uint8_t key[KEY_INDEX_LEN])
{
    const struct key_index *k = (const struct key_index *)ix;
    if (ix == NULL)
        return NULL;
    struct user_rt *u = probe(k, key, hash_of(k, key))->user;
    if (u != NULL && atomic_load_explicit(&u->removed, memory_order_relaxed))
        return NULL;
    return u;
}

/* ---- by UUID --------------------------------------------------------------------------------- */

static void without_route(const uint8_t uuid[UUID_LEN], uint8_t key[KEY_INDEX_LEN])
{
    memcpy(key, uuid, UUID_LEN);
    key[6] = key[7] = 0;
}

static const char *uuid_key(const void *conf, const struct user_rt *u, uint8_t key[KEY_INDEX_LEN])
{
    (void)conf;
    without_route(u->uuid, key);
    return NULL;
}

static enum status build_uuid(const struct user_index_build *b, struct user_index **out)
{
    return key_index_build(b, uuid_key, &uuid_index_ops, out);
}

const struct user_index_ops uuid_index_ops = {.build = build_uuid, .free = key_index_free};

struct user_rt *uuid_index_find(const struct user_index *ix, const uint8_t uuid[UUID_LEN])
{
    uint8_t key[KEY_INDEX_LEN];
    without_route(uuid, key);
    return key_index_find(ix, key);
}
