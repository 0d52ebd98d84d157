#include "proto/shadowsocks/index.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "crypto/mem.h"
#include "policy/key_index.h"
#include "proto/shadowsocks/conf.h"

/* ---- AEAD: chunks ---------------------------------------------------------------------------- */

static int compare(const struct user_rt *a, const struct user_rt *b)
{
    if (a->uid != b->uid)
        return a->uid < b->uid ? -1 : 1;
    return memcmp(a->uuid, b->uuid, UUID_LEN);
}

static int compare_entries(const void *a, const void *b)
{
    return compare(*(struct user_rt *const *)a, *(struct user_rt *const *)b);
}

static void chunk_unref(struct ss_chunk *c, unsigned words)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
        return;
    crypto_wipe(c->keys, SS_CHUNK_USERS * words * sizeof(c->keys[0]));
    arena_free(c->arena);
}

static struct ss_chunk *chunk_new(unsigned words)
{
    struct arena *a = arena_new();
    struct ss_chunk *c =
        a == NULL ? NULL : arena_alloc(a, sizeof(*c) + SS_CHUNK_USERS * words * sizeof(c->keys[0]));
    if (c == NULL) {
        arena_free(a);
        return NULL;
    }
    atomic_init(&c->refs, 1);
    c->arena = a;
    return c;
}

/* Of user @i of a chunk, word @w. */
static uint32_t *key_word(struct ss_chunk *c, unsigned words, uint32_t i, unsigned w)
{
    return &c->keys[((size_t)(i / LANES) * words + w) * LANES + i % LANES];
}

/* What is being built, and how far the old index has been walked along. */
struct builder {
    struct ss_index *ix;
    const struct ss_index *before; /* NULL: none */
    const struct ss_method *method;
    uint32_t chunk, at; /* in @before: its users up to there come before the one that is next */
};

static void derive(const struct builder *b, struct ss_chunk *c, uint32_t i)
{
    char text[USER_SECRET_MAX + 1];
    uint8_t key[SS_KEY_MAX];

    ss_master_key(b->method, user_secret(c->users[i], text), key);
    for (unsigned w = 0; w < b->ix->words; w++)
        *key_word(c, b->ix->words, i, w) = get_be32(key + 4 * w);
    crypto_wipe(text, sizeof(text));
    crypto_wipe(key, sizeof(key));
}

/* Copies the key of user @i from the old index. False: he is not in it. */
static bool copy(struct builder *b, struct ss_chunk *c, uint32_t i)
{
    while (b->before != NULL && b->chunk < b->before->chunk_count) {
        struct ss_chunk *old = b->before->chunks[b->chunk];
        if (b->at == old->count) {
            b->chunk++;
            b->at = 0;
            continue;
        }
        int order = compare(old->users[b->at], c->users[i]);
        if (order > 0)
            return false;
        b->at++;
        if (order < 0 || old->users[b->at - 1] != c->users[i])
            continue;
        for (unsigned w = 0; w < b->ix->words; w++)
            *key_word(c, b->ix->words, i, w) = *key_word(old, b->ix->words, b->at - 1, w);
        return true;
    }
    return false;
}

/* Makes chunks of @n users. */
static enum status add_users(struct builder *b, struct user_rt *const *users, size_t n)
{
    size_t parts = (n + SS_CHUNK_USERS - 1) / SS_CHUNK_USERS;

    for (size_t done = 0; parts > 0; parts--) {
        struct ss_chunk *c = chunk_new(b->ix->words);
        if (c == NULL)
            return ST_E_NOMEM;
        b->ix->chunks[b->ix->chunk_count++] = c;
        c->count = (uint32_t)((n - done) / parts);
        memcpy(c->users, users + done, c->count * sizeof(users[0]));
        for (uint32_t i = 0; i < c->count; i++)
            if (!copy(b, c, i))
                derive(b, c, i);
        done += c->count;
    }
    return ST_OK;
}

/* Shares the old chunk if the users that are next are its own. Returns how many they are. */
static size_t share(struct builder *b, struct user_rt *const *users, size_t n)
{
    struct ss_chunk *c = b->before->chunks[b->chunk];

    if (b->at != 0 || c->count > n || memcmp(c->users, users, c->count * sizeof(users[0])) != 0)
        return 0;
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    b->ix->chunks[b->ix->chunk_count++] = c;
    b->chunk++;
    return c->count;
}

/* How many of the users that are next come before the old index's next chunk. */
static size_t region(const struct builder *b, struct user_rt *const *users, size_t n)
{
    if (b->chunk + 1 >= b->before->chunk_count)
        return n;
    const struct user_rt *end = b->before->chunks[b->chunk + 1]->users[0];
    size_t k = 0;
    while (k < n && compare(users[k], end) < 0)
        k++;
    return k;
}

static enum status fill(struct builder *b, struct user_rt *const *users, size_t n)
{
    /* Many thin chunks are made thick again. */
    bool afresh = b->before == NULL || b->before->chunk_count > 2 * n / SS_CHUNK_USERS + 16;
    size_t k = 0;

    if (afresh)
        return add_users(b, users, n);
    while (k < n && b->chunk < b->before->chunk_count) {
        size_t step = share(b, users + k, n - k);
        if (step == 0) {
            uint32_t chunk = b->chunk;
            step = region(b, users + k, n - k);
            enum status st = add_users(b, users + k, step);
            if (st != ST_OK)
                return st;
            b->chunk = chunk + 1;
            b->at = 0;
        }
        k += step;
    }
    return add_users(b, users + k, n - k);
}

static void aead_free(struct user_index *index)
{
    struct ss_index *ix = (struct ss_index *)index;

    for (uint32_t i = 0; i < ix->chunk_count; i++)
        chunk_unref(ix->chunks[i], ix->words);
    arena_free(ix->arena);
}

static const struct user_index_ops aead_ops;

/* The users as the index wants them: as given when sorted, else a sorted copy in @a. */
static struct user_rt *const *sorted(struct arena *a, const struct user_index_build *b)
{
    size_t i = 1;

    while (i < b->count && compare(b->users[i - 1], b->users[i]) <= 0)
        i++;
    if (i >= b->count)
        return b->users;
    struct user_rt **copies = arena_alloc(a, b->count * sizeof(copies[0]));
    if (copies == NULL)
        return NULL;
    memcpy(copies, b->users, b->count * sizeof(copies[0]));
    qsort(copies, b->count, sizeof(copies[0]), compare_entries);
    return copies;
}

static enum status aead_build(const struct user_index_build *b, const struct ss_method *m,
                              struct user_index **out)
{
    struct arena *a = arena_new(), *scratch = arena_new();
    struct ss_index *ix = a == NULL ? NULL : arena_alloc(a, sizeof(*ix));
    enum status st = ST_E_NOMEM;

    if (ix == NULL || scratch == NULL)
        goto out;
    struct builder w = {.ix = ix, .before = (const struct ss_index *)b->before, .method = m};
    size_t old = w.before != NULL ? w.before->chunk_count : 0;
    ix->arena = a;
    ix->index.ops = &aead_ops;
    ix->serial = w.before != NULL ? w.before->serial + 1 : b->seed;
    ix->words = m->key_len / 4;
    /* Each old chunk gives one that is not full, at most. */
    ix->chunks = arena_alloc(a, (b->count / SS_CHUNK_USERS + old + 2) * sizeof(ix->chunks[0]));
    struct user_rt *const *users = ix->chunks == NULL ? NULL : sorted(scratch, b);
    if (users == NULL && b->count > 0)
        goto out;
    st = fill(&w, users, b->count);
    ix->index.count = b->count;
out:
    arena_free(scratch);
    if (st == ST_OK)
        *out = &ix->index;
    else if (ix != NULL && ix->arena != NULL)
        aead_free(&ix->index);
    else
        arena_free(a);
    return st;
}

static struct user_rt *user_at(const struct ss_index *ix, uint32_t chunk, uint32_t at)
{
    return ix->chunks[chunk]->users[at];
}

bool ss_index_next(const struct ss_index *ix, uint64_t uid, uint32_t *chunk, uint32_t *at)
{
    if (++*at >= ix->chunks[*chunk]->count) {
        ++*chunk;
        *at = 0;
    }
    return *chunk < ix->chunk_count && user_at(ix, *chunk, *at)->uid == uid;
}

bool ss_index_locate(const struct ss_index *ix, uint64_t uid, uint32_t *chunk, uint32_t *at)
{
    uint32_t low = 0, high = ix->chunk_count;

    while (low < high) { /* the first chunk whose last user is not before him */
        uint32_t mid = low + (high - low) / 2;
        if (user_at(ix, mid, ix->chunks[mid]->count - 1)->uid < uid)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == ix->chunk_count)
        return false;
    *chunk = low;
    low = 0;
    high = ix->chunks[*chunk]->count - 1;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (user_at(ix, *chunk, mid)->uid < uid)
            low = mid + 1;
        else
            high = mid;
    }
    *at = low;
    return user_at(ix, *chunk, low)->uid == uid;
}

struct user_rt *ss_index_find(const struct user_index *index, const struct ss_method *m,
                              uint64_t uid, const uint8_t *key)
{
    const struct ss_index *ix = (const struct ss_index *)index;
    uint32_t chunk = 0, at = 0;
    bool found = ix != NULL && ss_index_locate(ix, uid, &chunk, &at);

    for (; found; found = ss_index_next(ix, uid, &chunk, &at)) {
        const uint32_t(*keys)[LANES] = ss_chunk_keys(ix, ix->chunks[chunk], at / LANES);
        struct user_rt *u = user_at(ix, chunk, at);
        uint8_t his[SS_KEY_MAX];
        for (unsigned i = 0; i < ix->words; i++)
            put_be32(his + 4 * i, keys[i][at % LANES]);
        bool same = crypto_ct_equal(his, key, m->key_len) &&
                    !atomic_load_explicit(&u->removed, memory_order_relaxed);
        crypto_wipe(his, sizeof(his));
        if (same)
            return u;
    }
    return NULL;
}

/* ---- one user -------------------------------------------------------------------------------- */

static const struct user_index_ops single_ops;

static enum status single_build(const struct user_index_build *b, struct user_index **out)
{
    struct arena *a = arena_new();
    struct ss_single *ix = a == NULL ? NULL : arena_alloc(a, sizeof(*ix));

    if (ix == NULL) {
        arena_free(a);
        return ST_E_NOMEM;
    }
    ix->arena = a;
    ix->index.ops = &single_ops;
    for (size_t i = 0; i < b->count; i++) {
        if (ix->user != NULL)
            user_index_skip(b, b->users[i], "the node's cipher serves one user only");
        else
            ix->user = b->users[i];
    }
    ix->index.count = ix->user != NULL;
    *out = &ix->index;
    return ST_OK;
}

static void single_free(struct user_index *index)
{
    arena_free(((struct ss_single *)index)->arena);
}

struct user_rt *ss_index_single(const struct user_index *ix)
{
    struct user_rt *u = ix != NULL ? ((const struct ss_single *)ix)->user : NULL;

    if (u != NULL && atomic_load_explicit(&u->removed, memory_order_relaxed))
        return NULL;
    return u;
}

/* ---- by the node's method -------------------------------------------------------------------- */

static const char *name_of(const void *conf, const struct user_rt *u, uint8_t name[KEY_INDEX_LEN])
{
    const struct ss_method *m = ((const struct ss_conf *)conf)->method;
    char text[USER_SECRET_MAX + 1];
    uint8_t key[SS_KEY_MAX];
    bool fits = ss2022_user_key(m, user_secret(u, text), key);

    if (fits)
        ss2022_user_name(m, key, name);
    crypto_wipe(text, sizeof(text));
    crypto_wipe(key, sizeof(key));
    return fits ? NULL : "the credential is too short for the node's cipher";
}

static enum status build(const struct user_index_build *b, struct user_index **out);

static const struct user_index_ops aead_ops = {.build = build, .free = aead_free};
static const struct user_index_ops single_ops = {.build = build, .free = single_free};
static const struct user_index_ops names_ops = {.build = build, .free = key_index_free};
const struct user_index_ops ss_index_ops = {.build = build, .free = NULL};

static enum status build(const struct user_index_build *b, struct user_index **out)
{
    const struct ss_conf *conf = b->conf;
    struct user_index_build with = *b;

    *out = NULL;
    if (conf->method->family == SS_AEAD) {
        if (with.before != NULL && with.before->ops != &aead_ops)
            with.before = NULL;
        return aead_build(&with, conf->method, out);
    }
    if (conf->identity)
        return key_index_build(b, name_of, &names_ops, out);
    return single_build(b, out);
}
