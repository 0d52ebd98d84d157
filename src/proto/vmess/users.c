#include "proto/vmess/users.h"

#include <string.h>

#include "base/arena.h"
#include "crypto/mem.h"
#include "crypto/siphash.h"
#include "proto/vmess/header.h"
#include "proto/vmess/kdf.h"

#define GROUPS    (VMESS_USERS_CHUNK / AES_SCAN_LANES)
#define FREE_SLOT 0u
#define FREED     UINT32_MAX

/* Immutable as soon as an index that has it is published. */
struct vmess_users_chunk {
    struct aes_scan_group group[GROUPS];
    struct user_rt *user[VMESS_USERS_CHUNK]; /* NULL: a hole */
    struct arena *arena;                     /* holds this chunk */
    _Atomic uint32_t refs;
};

/* A user of the list and his place. */
struct vmess_users_listed {
    struct user_rt *user;
    uint32_t place;
};

#define NO_PLACE UINT32_MAX /* listed, but skipped */

/* ---- chunks ---------------------------------------------------------------------------------- */

static struct vmess_users_chunk *chunk_new(const struct vmess_users_chunk *like)
{
    struct arena *a = arena_new();
    uint8_t *mem = a != NULL ? arena_alloc(a, sizeof(struct vmess_users_chunk) + 63) : NULL;

    if (mem == NULL) {
        arena_free(a);
        return NULL;
    }
    struct vmess_users_chunk *c = (void *)(((uintptr_t)mem + 63) & ~(uintptr_t)63);
    if (like != NULL) {
        memcpy(c->group, like->group, sizeof(c->group));
        memcpy(c->user, like->user, sizeof(c->user));
    }
    c->arena = a;
    atomic_store_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

static void chunk_unref(struct vmess_users_chunk *c)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct arena *a = c->arena;
    crypto_wipe(c->group, sizeof(c->group));
    arena_free(a);
}

/* Makes the chunk of @place one that may be written into. Chunks that this index does not share
 * have one reference. ST_OK or ST_E_NOMEM. */
static enum status own_chunk(struct vmess_users *u, uint32_t place)
{
    struct vmess_users_chunk **c = &u->chunks[place / VMESS_USERS_CHUNK], *mine;

    if (*c != NULL && atomic_load_explicit(&(*c)->refs, memory_order_acquire) == 1)
        return ST_OK;
    mine = chunk_new(*c);
    if (mine == NULL)
        return ST_E_NOMEM;
    chunk_unref(*c);
    *c = mine;
    return ST_OK;
}

struct user_rt *vmess_users_at(const struct vmess_users *u, size_t place)
{
    return u->chunks[place / VMESS_USERS_CHUNK]->user[place % VMESS_USERS_CHUNK];
}

/* ---- by uuid --------------------------------------------------------------------------------- */

static size_t slot_of(const struct vmess_users *u, uint64_t seed, const uint8_t uuid[UUID_LEN])
{
    uint8_t key[SIPHASH_KEY_LEN];

    memcpy(key, &seed, 8);
    memcpy(key + 8, &seed, 8);
    uint64_t h = siphash_fast(key, uuid, UUID_LEN);
    return (size_t)(((unsigned __int128)h * u->slots) >> 64);
}

/* The slot that holds @uuid, or NULL; then *@free is where it goes. */
static uint32_t *find_uuid(const struct vmess_users *u, uint64_t seed, const uint8_t uuid[UUID_LEN],
                           uint32_t **free)
{
    size_t i = slot_of(u, seed, uuid);
    uint32_t *room = NULL;

    for (; u->by_uuid[i] != FREE_SLOT; i = i + 1 == u->slots ? 0 : i + 1) {
        if (u->by_uuid[i] == FREED)
            room = room != NULL ? room : &u->by_uuid[i];
        else if (crypto_ct_equal(vmess_users_at(u, u->by_uuid[i] - 1)->uuid, uuid, UUID_LEN))
            return &u->by_uuid[i];
    }
    *free = room != NULL ? room : &u->by_uuid[i];
    return NULL;
}

static void put_uuid(struct vmess_users *u, uint32_t *slot, uint32_t place)
{
    u->used += *slot == FREE_SLOT;
    *slot = place + 1;
}

/* ---- building -------------------------------------------------------------------------------- */

struct building {
    const struct user_index_build *b;
    const struct vmess_users *before; /* NULL: none */
    struct vmess_users *u;
    struct vmess_kdf kdf;
};

/* Frees the place of a user who is not listed any more. */
static enum status drop_user(struct building *g, const struct vmess_users_listed *l)
{
    struct vmess_users *u = g->u;
    uint32_t *free, *slot;

    if (l->place == NO_PLACE)
        return ST_OK;
    slot = find_uuid(u, g->b->seed, l->user->uuid, &free);
    if (slot != NULL && *slot - 1 == l->place)
        *slot = FREED;
    if (own_chunk(u, l->place) != ST_OK)
        return ST_E_NOMEM;
    struct vmess_users_chunk *c = u->chunks[l->place / VMESS_USERS_CHUNK];
    uint32_t at = l->place % VMESS_USERS_CHUNK;
    for (unsigned r = 0; r < 11; r++)
        crypto_wipe(c->group[at / AES_SCAN_LANES].round[r][at % AES_SCAN_LANES], AES_SCAN_BLOCK);
    c->user[at] = NULL;
    u->holes[u->hole_count++] = l->place;
    return ST_OK;
}

/* Gives @user the place @place. */
static enum status place_user(struct building *g, struct user_rt *user, uint32_t place)
{
    struct vmess_users *u = g->u;
    uint8_t key[VMESS_KEY_LEN];

    if (own_chunk(u, place) != ST_OK)
        return ST_E_NOMEM;
    struct vmess_users_chunk *c = u->chunks[place / VMESS_USERS_CHUNK];
    uint32_t at = place % VMESS_USERS_CHUNK;
    vmess_kdf_user(user->uuid, key);
    vmess_kdf_key(&g->kdf, VMESS_LABEL_AUTH_ID, key, key);
    aes_scan_set(&c->group[at / AES_SCAN_LANES], at % AES_SCAN_LANES, key);
    crypto_wipe(key, sizeof(key));
    c->user[at] = user;
    return ST_OK;
}

static enum status add_user(struct building *g, struct vmess_users_listed *l)
{
    struct vmess_users *u = g->u;
    uint32_t *free;

    l->place = NO_PLACE;
    if (find_uuid(u, g->b->seed, l->user->uuid, &free) != NULL) {
        user_index_skip(g->b, l->user, "another user has the same UUID");
        return ST_OK;
    }
    BUG_ON(u->hole_count == 0);
    uint32_t place = u->holes[u->hole_count - 1];
    if (place_user(g, l->user, place) != ST_OK)
        return ST_E_NOMEM;
    u->hole_count--;
    put_uuid(u, free, place);
    l->place = place;
    u->index.count++;
    return ST_OK;
}

/* Which of the two lists' heads comes first. Lists are in the order of uid; of one that is not,
 * more is taken for changed than has. */
static int compare(const struct user_rt *a, const struct user_rt *b)
{
    return a->uid < b->uid ? -1 : a->uid > b->uid;
}

/* Walks over the list of before and the new one. Once to free the places of those who are gone, so
 * that they can be given to others, and once for those who stay and come. */
static enum status walk(struct building *g, bool adding)
{
    size_t was_count = g->before != NULL ? g->before->listed_count : 0, was = 0, i = 0;
    enum status st = ST_OK;

    while (st == ST_OK && (was < was_count || i < g->b->count)) {
        const struct vmess_users_listed *old = was < was_count ? &g->before->listed[was] : NULL;
        struct vmess_users_listed *new = i < g->b->count ? &g->u->listed[i] : NULL;
        if (old != NULL && new != NULL && old->user == new->user) {
            new->place = old->place;
            if (adding && old->place == NO_PLACE)
                st = add_user(g, new); /* perhaps he is alone now */
            else if (adding)
                g->u->index.count++;
            was++;
            i++;
        } else if (new == NULL || (old != NULL && compare(old->user, new->user) <= 0)) {
            st = adding ? ST_OK : drop_user(g, old);
            was++;
        } else {
            st = adding ? add_user(g, new) : ST_OK;
            i++;
        }
    }
    return st;
}

/* Appends holes until @wanted users have a place, the lowest place last: it is taken first. */
static void add_holes(struct vmess_users *u, size_t from)
{
    size_t end = vmess_users_places(u), n = end - from;

    memmove(u->holes + n, u->holes, u->hole_count * sizeof(*u->holes));
    for (size_t i = 0; i < n; i++)
        u->holes[i] = (uint32_t)(end - 1 - i);
    u->hole_count += n;
}

/* The tables of an index for the users of @g, with what the one before had in them. */
static enum status make_tables(struct building *g)
{
    const struct vmess_users *before = g->before;
    struct vmess_users *u = g->u;
    size_t old = before != NULL ? before->chunk_count : 0, n = g->b->count;
    size_t needed = (n + VMESS_USERS_CHUNK - 1) / VMESS_USERS_CHUNK;

    u->chunk_count = needed > old ? needed : old;
    u->chunks = arena_alloc(u->arena, (u->chunk_count + 1) * sizeof(struct vmess_users_chunk *));
    u->listed = arena_alloc(u->arena, (n + 1) * sizeof(*u->listed));
    u->listed_count = n;
    u->holes = arena_alloc(u->arena, (vmess_users_places(u) + 1) * sizeof(*u->holes));
    if (u->chunks == NULL || u->listed == NULL || u->holes == NULL)
        return ST_E_NOMEM;
    for (size_t i = 0; i < n; i++)
        u->listed[i].user = g->b->users[i];
    for (size_t i = 0; i < old; i++) {
        u->chunks[i] = before->chunks[i];
        if (u->chunks[i] != NULL)
            atomic_fetch_add_explicit(&u->chunks[i]->refs, 1, memory_order_relaxed);
    }
    if (old > 0)
        memcpy(u->holes, before->holes, before->hole_count * sizeof(*u->holes));
    u->hole_count = old > 0 ? before->hole_count : 0;
    add_holes(u, old * VMESS_USERS_CHUNK);
    return ST_OK;
}

/* How many are new in the list. */
static size_t count_new(const struct building *g)
{
    const struct vmess_users *before = g->before;
    size_t was = 0, n = 0;

    for (size_t i = 0; i < g->b->count; i++) {
        const struct user_rt *user = g->b->users[i];
        while (before != NULL && was < before->listed_count && before->listed[was].user != user &&
               compare(before->listed[was].user, user) <= 0)
            was++;
        if (before != NULL && was < before->listed_count && before->listed[was].user == user)
            was++;
        else
            n++;
    }
    return n;
}

/* The table of uuids as it was before: a copy, or made anew when it would become too full. */
static enum status make_by_uuid(struct building *g)
{
    const struct vmess_users *before = g->before;
    struct vmess_users *u = g->u;
    size_t added = count_new(g), had = before != NULL ? before->index.count : 0;
    /* Those who were skipped may be added too. */
    size_t skipped = before != NULL ? before->listed_count - before->index.count : 0;
    size_t most = added + skipped;
    bool copy = before != NULL && before->used + most < before->slots / 4 * 3;

    u->slots = copy ? before->slots : (had + most) / 2 * 3 + 128;
    u->by_uuid = arena_alloc(u->arena, u->slots * sizeof(*u->by_uuid));
    if (u->by_uuid == NULL)
        return ST_E_NOMEM;
    if (copy) {
        memcpy(u->by_uuid, before->by_uuid, u->slots * sizeof(*u->by_uuid));
        u->used = before->used;
        return ST_OK;
    }
    for (size_t i = 0; before != NULL && i < before->listed_count; i++) {
        const struct vmess_users_listed *l = &before->listed[i];
        uint32_t *free;
        if (l->place != NO_PLACE && find_uuid(u, g->b->seed, l->user->uuid, &free) == NULL)
            put_uuid(u, free, l->place);
    }
    return ST_OK;
}

static void users_free(struct user_index *ix)
{
    struct vmess_users *u = (struct vmess_users *)(void *)ix;

    for (size_t i = 0; u->chunks != NULL && i < u->chunk_count; i++)
        chunk_unref(u->chunks[i]);
    arena_free(u->arena);
}

/* With many places empty the keys are better laid out anew. */
static bool is_sparse(const struct vmess_users *before, size_t wanted)
{
    return wanted < vmess_users_places(before) / 4 && before->chunk_count > 4;
}

static enum status users_build(const struct user_index_build *b, struct user_index **out)
{
    const struct vmess_users *before = (const struct vmess_users *)(const void *)b->before;
    struct arena *a = arena_new();
    struct building g = {.b = b};
    enum status st = ST_E_NOMEM;

    *out = NULL;
    if (b->count >= NO_PLACE - VMESS_USERS_CHUNK)
        goto fail;
    g.u = a != NULL ? arena_alloc(a, sizeof(*g.u)) : NULL;
    if (g.u == NULL)
        goto fail;
    g.u->index.ops = &vmess_users_ops;
    g.u->arena = a;
    g.u->serial = before != NULL ? before->serial + 1 : 1;
    g.u->scan = before != NULL ? before->scan : aes_scan_best();
    g.before = before != NULL && !is_sparse(before, b->count) ? before : NULL;
    vmess_kdf_init(&g.kdf);
    st = make_tables(&g);
    if (st == ST_OK)
        st = make_by_uuid(&g);
    if (st == ST_OK)
        st = walk(&g, false);
    if (st == ST_OK)
        st = walk(&g, true);
    if (st != ST_OK)
        goto fail;
    *out = &g.u->index;
    return ST_OK;

fail:
    if (g.u != NULL)
        users_free(&g.u->index);
    else
        arena_free(a);
    return st;
}

const struct user_index_ops vmess_users_ops = {.build = users_build, .free = users_free};

/* ---- finding --------------------------------------------------------------------------------- */

static bool opens(const struct vmess_users *u, size_t place, const uint8_t block[AES_SCAN_BLOCK],
                  int64_t *time_s)
{
    const struct vmess_users_chunk *c = u->chunks[place / VMESS_USERS_CHUNK];
    size_t at = place % VMESS_USERS_CHUNK;
    const struct user_rt *user = c->user[at];
    uint8_t plain[AES_SCAN_BLOCK];

    if (user == NULL || atomic_load_explicit(&user->removed, memory_order_relaxed))
        return false;
    aes_scan_open(&c->group[at / AES_SCAN_LANES], at % AES_SCAN_LANES, block, plain);
    return vmess_auth_id_read(plain, time_s);
}

size_t vmess_users_find(const struct vmess_users *u, size_t from, size_t to,
                        const uint8_t block[AES_SCAN_BLOCK], int64_t *time_s)
{
    size_t places = vmess_users_places(u);

    to = to < places ? to : places;
    while (from < to) {
        const struct vmess_users_chunk *c = u->chunks[from / VMESS_USERS_CHUNK];
        size_t at = from % VMESS_USERS_CHUNK, first = from - at;
        size_t end = to - first < VMESS_USERS_CHUNK ? to - first : VMESS_USERS_CHUNK;
        size_t group = at / AES_SCAN_LANES, groups = (end + AES_SCAN_LANES - 1) / AES_SCAN_LANES;
        size_t hit =
            c == NULL ? AES_SCAN_NONE
                      : u->scan->find(c->group + group, groups - group, at % AES_SCAN_LANES, block);
        if (hit == AES_SCAN_NONE) {
            from = first + VMESS_USERS_CHUNK;
            continue;
        }
        from = first + group * AES_SCAN_LANES + hit;
        if (from < to && opens(u, from, block, time_s))
            return from;
        from++;
    }
    return AES_SCAN_NONE;
}
