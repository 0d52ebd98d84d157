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
    struct user_rt **users; /* all it was built of, in their order: what the next one starts from */
    size_t user_count, skipped;
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

/* The high half of hash * slots maps a hash to a slot without a division. */
static size_t first_slot(const struct key_index *ix, uint64_t hash)
{
    return (size_t)(((unsigned __int128)hash * ix->slots) >> 64);
}

/* The slot that holds @key, or the free one where it would go. There is always a free one. */
static struct slot *probe(const struct key_index *ix, const uint8_t key[KEY_INDEX_LEN],
                          uint64_t hash)
{
    size_t i = first_slot(ix, hash);
    while (ix->table[i].user != NULL &&
           (ix->table[i].hash != hash || !same_key(ix, ix->table[i].user, key)))
        i = i + 1 == ix->slots ? 0 : i + 1;
    return &ix->table[i];
}

static void skip(struct key_index *ix, const struct user_index_build *b, const struct user_rt *u,
                 const char *why)
{
    ix->skipped++;
    user_index_skip(b, u, why);
}

static void add(struct key_index *ix, const struct user_index_build *b, struct user_rt *u)
{
    uint8_t key[KEY_INDEX_LEN];
    const char *why = ix->key_of(ix->conf, u, key);

    if (why != NULL) {
        skip(ix, b, u, why);
        return;
    }
    uint64_t hash = hash_of(ix, key);
    struct slot *slot = probe(ix, key, hash);
    if (slot->user == NULL)
        ix->index.count++;
    else
        skip(ix, b, slot->user, "another user has the same credential");
    *slot = (struct slot){hash, u};
    crypto_wipe(key, sizeof(key));
}

/* The keys of an index without skipped users are all different, so their hashes are enough to place
 * them anew: no key is made again for who stays. */
static void take_over(struct key_index *ix, const struct key_index *before)
{
    for (size_t i = 0; i < before->slots; i++) {
        struct slot s = before->table[i];
        if (s.user == NULL || atomic_load_explicit(&s.user->removed, memory_order_relaxed))
            continue;
        size_t at = first_slot(ix, s.hash);
        while (ix->table[at].user != NULL)
            at = at + 1 == ix->slots ? 0 : at + 1;
        ix->table[at] = s;
        ix->index.count++;
    }
}

/* Both lists are in one order, and who is gone from the first is marked removed: whom the second
 * has at another place is new. */
static void add_new(struct key_index *ix, const struct user_index_build *b,
                    const struct key_index *before)
{
    size_t old = 0;

    for (size_t i = 0; i < b->count; i++) {
        while (old < before->user_count &&
               atomic_load_explicit(&before->users[old]->removed, memory_order_relaxed))
            old++;
        if (old < before->user_count && before->users[old] == b->users[i])
            old++;
        else
            add(ix, b, b->users[i]);
    }
}

enum status key_index_build(const struct user_index_build *b, key_index_key_fn *key_of,
                            const struct user_index_ops *ops, struct user_index **out)
{
    const struct key_index *before = (const struct key_index *)b->before;
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
    ix->users = arena_alloc(a, (b->count + 1) * sizeof(struct user_rt *));
    if (ix->table == NULL || ix->users == NULL)
        goto nomem;
    if (b->count > 0)
        memcpy(ix->users, b->users, b->count * sizeof(struct user_rt *));
    ix->user_count = b->count;
    if (before != NULL && before->skipped == 0) {
        take_over(ix, before);
        add_new(ix, b, before);
    } else {
        for (size_t i = 0; i < b->count; i++)
            add(ix, b, b->users[i]);
    }
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
