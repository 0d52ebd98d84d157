#include "control/node/users.h"

#include <stdlib.h>
#include <string.h>

#include "control/store/counters.h"
#include "control/node/dynamic_limit.h"
#include "control/node/device_book.h"
#include "crypto/hash.h"
#include "crypto/mem.h"
#include "policy/user_live.h"

#define CHUNK 1024u

/* ---- objects ---- */

struct user_slab {
    struct user_rt **chunks;
    size_t chunk_count, chunk_room;
    size_t fresh; /* objects of the chunks never handed out yet */
    struct user_rt **freed;
    size_t freed_count, freed_room;
    size_t used;
};

static void free_secret(char *secret)
{
    if (secret != NULL)
        crypto_wipe(secret, strlen(secret));
    free(secret);
}

/* What the sessions of @u shared. */
static void give_up(struct user_rt *u)
{
    user_live_free(u);
    user_devices_unref(atomic_exchange_explicit(&u->devices, NULL, memory_order_acquire));
}

struct user_slab *user_slab_new(void)
{
    return calloc(1, sizeof(struct user_slab));
}

void user_slab_free(struct user_slab *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->chunk_count; i++) {
        for (size_t k = 0; k < CHUNK; k++) {
            give_up(&s->chunks[i][k]);
            free_secret((char *)s->chunks[i][k].secret);
        }
        crypto_wipe(s->chunks[i], CHUNK * sizeof(struct user_rt));
        free(s->chunks[i]);
    }
    free(s->chunks);
    free(s->freed);
    free(s);
}

static enum status grow(void *array, size_t *room, size_t want, size_t size)
{
    void **p = array;

    if (want <= *room)
        return ST_OK;
    size_t n = *room < 64 ? 64 : *room + *room / 2;
    n = n < want ? want : n;
    void *q = realloc(*p, n * size);
    if (q == NULL)
        return ST_E_NOMEM;
    *p = q;
    *room = n;
    return ST_OK;
}

enum status user_slab_reserve(struct user_slab *s, size_t n)
{
    while (s->fresh + s->freed_count < n) {
        if (grow(&s->chunks, &s->chunk_room, s->chunk_count + 1, sizeof(*s->chunks)) != ST_OK)
            return ST_E_NOMEM;
        struct user_rt *chunk = calloc(CHUNK, sizeof(*chunk));
        if (chunk == NULL)
            return ST_E_NOMEM;
        /* Only the newest chunk has fresh objects: what an older one still had is handed out as
         * freed. */
        if (grow(&s->freed, &s->freed_room, s->freed_count + s->fresh, sizeof(*s->freed)) !=
            ST_OK) {
            free(chunk);
            return ST_E_NOMEM;
        }
        while (s->fresh > 0)
            s->freed[s->freed_count++] = &s->chunks[s->chunk_count - 1][CHUNK - s->fresh--];
        s->chunks[s->chunk_count++] = chunk;
        s->fresh = CHUNK;
    }
    return ST_OK;
}

struct user_rt *user_slab_take(struct user_slab *s)
{
    s->used++;
    if (s->freed_count > 0)
        return s->freed[--s->freed_count];
    BUG_ON(s->fresh == 0);
    return &s->chunks[s->chunk_count - 1][CHUNK - s->fresh--];
}

void user_slab_give(struct user_slab *s, struct user_rt *u)
{
    s->used--;
    give_up(u);
    free_secret((char *)u->secret);
    crypto_wipe(u, sizeof(*u));
    /* Without room for the pointer the object is lost until the end of the process, no more. */
    if (grow(&s->freed, &s->freed_room, s->freed_count + 1, sizeof(*s->freed)) == ST_OK)
        s->freed[s->freed_count++] = u;
}

size_t user_slab_used(const struct user_slab *s)
{
    return s->used;
}

/* ---- the list ---- */

void user_list_init(struct user_list *l)
{
    *l = (struct user_list){.entries = NULL};
}

static void drop_entry(struct user_entry *e)
{
    if (!e->given)
        free_secret(e->secret);
    e->secret = NULL;
}

void user_list_fini(struct user_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        drop_entry(&l->entries[i]);
    if (l->entries != NULL)
        crypto_wipe(l->entries, l->count * sizeof(*l->entries));
    free(l->entries);
    user_list_init(l);
}

enum status user_list_push(struct user_list *l, const struct user_entry *e)
{
    if (l->count == USERS_MAX)
        return ST_E_LIMIT;
    if (grow(&l->entries, &l->room, l->count + 1, sizeof(*l->entries)) != ST_OK)
        return ST_E_NOMEM;
    char *secret = e->secret != NULL ? strdup(e->secret) : NULL;
    if (secret == NULL && e->secret != NULL)
        return ST_E_NOMEM;
    struct user_entry *put = &l->entries[l->count];
    *put = *e;
    put->order = (uint32_t)l->count++;
    put->secret = secret;
    put->given = false;
    return ST_OK;
}

enum status user_list_add(struct user_list *l, const struct user_entry *limits,
                          const char *credential, size_t len)
{
    struct user_entry e = *limits;
    uint8_t digest[HASH_SHA1_LEN], nil[UUID_LEN] = {0};
    char text[USER_SECRET_MAX + 1], usual[UUID_STRLEN];
    enum status st;

    if (len > USER_SECRET_MAX)
        return ST_E_PROTO;
    if (uuid_parse(e.uuid, credential, len) != ST_OK) {
        struct hash_piece pieces[] = {{nil, sizeof(nil)}, {credential, len}};
        if (len == 0 || len > 30)
            return ST_E_PROTO;
        if (hash_pieces(NULL, HASH_SHA1, pieces, 2, digest) != ST_OK)
            return ST_E_NOMEM;
        memcpy(e.uuid, digest, UUID_LEN);
        e.uuid[6] = (uint8_t)((e.uuid[6] & 0x0f) | 0x50);
        e.uuid[8] = (uint8_t)((e.uuid[8] & 0x3f) | 0x80);
    }
    memcpy(text, credential, len);
    text[len] = '\0';
    e.secret = strcmp(text, uuid_str(e.uuid, usual)) != 0 ? text : NULL;
    st = user_list_push(l, &e);
    crypto_wipe(text, sizeof(text));
    crypto_wipe(usual, sizeof(usual));
    return st;
}

/* What makes a user the same user. */
struct key {
    uint64_t uid;
    const uint8_t *uuid;
    const char *secret;
};

static int compare_keys(struct key a, struct key b)
{
    if (a.uid != b.uid)
        return a.uid < b.uid ? -1 : 1;
    int c = memcmp(a.uuid, b.uuid, UUID_LEN);
    if (c != 0 || a.secret == b.secret)
        return c;
    return strcmp(a.secret != NULL ? a.secret : "", b.secret != NULL ? b.secret : "");
}

static struct key entry_key(const struct user_entry *e)
{
    return (struct key){e->uid, e->uuid, e->secret};
}

static struct key user_key(const struct user_rt *u)
{
    return (struct key){u->uid, u->uuid, u->secret};
}

static int compare_entries(const void *a, const void *b)
{
    const struct user_entry *x = a, *y = b;
    int c = compare_keys(entry_key(x), entry_key(y));

    return c != 0 ? c : x->order < y->order ? -1 : x->order > y->order;
}

void user_list_settle(struct user_list *l)
{
    bool sorted = true;
    size_t n = 0;

    for (size_t i = 1; i < l->count && sorted; i++)
        sorted = compare_entries(&l->entries[i - 1], &l->entries[i]) < 0;
    if (!sorted)
        qsort(l->entries, l->count, sizeof(*l->entries), compare_entries);
    for (size_t i = 0; i < l->count; i++) {
        const struct user_entry *e = &l->entries[i];
        if (n > 0 && compare_keys(entry_key(&l->entries[n - 1]), entry_key(e)) == 0) {
            l->duplicates++;
            drop_entry(&l->entries[--n]); /* the last of the list wins */
        }
        l->entries[n++] = *e;
    }
    l->count = n;
}

uint64_t user_list_hash(const struct user_list *l)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < l->count; i++) {
        const unsigned char *p = (const void *)&l->entries[i];
        for (size_t k = 0; k < offsetof(struct user_entry, order); k++)
            h = (h ^ p[k]) * UINT64_C(0x100000001b3);
        for (const char *c = l->entries[i].secret; c != NULL && *c != '\0'; c++)
            h = (h ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    }
    return h;
}

/* ---- the difference ---- */

struct limits {
    uint32_t speed, device, conn;
};

static struct limits limits_of(const struct user_entry *e, const struct users_env *env)
{
    return (struct limits){.speed = limit_smaller(e->speed_kbps, env->speed_kbps),
                           .device = limit_smaller(e->device_limit, env->device_limit),
                           .conn = limit_smaller(e->conn_limit, env->conn_limit)};
}

/* Stores what differs; workers read each limit on its own, and where there is one of devices they
 * find the set. */
static bool set_limits(struct user_rt *u, const struct limits *l)
{
    bool changed = false;
    const struct {
        _Atomic uint32_t *at;
        uint32_t value;
    } all[] = {
        {&u->speed_kbps, l->speed}, {&u->device_limit, l->device}, {&u->conn_limit, l->conn}};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (atomic_load_explicit(all[i].at, memory_order_relaxed) == all[i].value)
            continue;
        atomic_store_explicit(all[i].at, all[i].value, memory_order_release);
        changed = true;
        if (i == 0)
            user_reset_speed(u);
    }
    return changed;
}

/* Without memory his sessions are refused until the next list comes. */
static void attach_devices(struct user_rt *u, uint32_t limit, const struct users_env *env)
{
    if (limit > 0 && env->panel != NULL &&
        atomic_load_explicit(&u->devices, memory_order_relaxed) == NULL)
        atomic_store_explicit(&u->devices, device_panel_take(env->panel, u->uid),
                              memory_order_release);
}

/* New limits of a user who may be online. */
static bool change_limits(struct user_rt *u, const struct limits *lim, const struct users_env *env,
                          struct users_change *change)
{
    uint32_t had = atomic_load_explicit(&u->device_limit, memory_order_relaxed);
    bool lower = lim->device > 0 && (had == 0 || lim->device < had);
    bool higher = had > 0 && (lim->device == 0 || lim->device > had);

    attach_devices(u, lim->device, env);
    struct user_devices *ud = atomic_load_explicit(&u->devices, memory_order_relaxed);
    change->device_limits += lower;
    change->stream_limits +=
        lim->conn > 0 && atomic_load_explicit(&u->conn_limit, memory_order_relaxed) == 0;
    if (lower && ud != NULL && env->device_limit_kick)
        device_panel_lowered(env->panel, ud, lim->device, env->node_no);
    if (higher && ud != NULL)
        devices_raise(&ud->set, lim->device > 0 ? lim->device : DEVICES_NO_LIMIT);
    return set_limits(u, lim);
}

/* The debts of the old rate are not paid at the new one. */
static void hold(struct user_rt *u, uint32_t kbps)
{
    if (atomic_exchange_explicit(&u->dynamic_kbps, kbps, memory_order_relaxed) == kbps)
        return;
    user_reset_speed(u);
}

size_t users_first(const struct user_table *t, uint64_t uid)
{
    size_t lo = 0, hi = t->count;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (t->by_id[mid]->uid < uid)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void users_hold(const struct user_table *t, uint64_t uid, uint32_t kbps)
{
    for (size_t i = users_first(t, uid); i < t->count && t->by_id[i]->uid == uid; i++)
        hold(t->by_id[i], kbps);
}

size_t users_missing(const struct user_table *t, const struct user_list *l)
{
    size_t k = 0, missing = 0;

    for (size_t i = 0; i < t->count; i++) {
        uint64_t uid = t->by_id[i]->uid;
        if (i > 0 && t->by_id[i - 1]->uid == uid)
            continue;
        while (k < l->count && l->entries[k].uid < uid)
            k++;
        missing += k == l->count || l->entries[k].uid != uid;
    }
    return missing;
}

/* Old row against new entry: -1 the old one is gone, 1 the entry is new, 0 the same user. */
static int meet(const struct user_table *t, size_t i, const struct user_list *l, size_t k)
{
    if (i == t->count)
        return 1;
    if (k == l->count)
        return -1;
    return compare_keys(user_key(t->by_id[i]), entry_key(&l->entries[k]));
}

static struct user_rt *make_user(struct user_entry *e, const struct users_env *env)
{
    struct user_rt *u = user_slab_take(env->slab);
    struct limits lim = limits_of(e, env);

    u->uid = e->uid;
    memcpy(u->uuid, e->uuid, UUID_LEN);
    u->secret = e->secret;
    e->given = true;
    u->slot = counters_take(env->counters, env->store_node, e->uid);
    u->node = env->node_no;
    atomic_store_explicit(&u->refs, 1, memory_order_relaxed);
    atomic_store_explicit(&u->sessions, 0, memory_order_relaxed);
    atomic_store_explicit(&u->removed, false, memory_order_relaxed);
    attach_devices(u, lim.device, env);
    set_limits(u, &lim);
    if (env->dynamic != NULL)
        hold(u, dynamic_limits_get(env->dynamic, env->store_node, u->uid, NULL));
    return u;
}

static void merge(struct user_table *t, struct user_list *l, const struct users_env *env,
                  struct user_rt **by_id, struct users_change *change)
{
    size_t i = 0, k = 0, n = 0;

    while (i < t->count || k < l->count) {
        int c = meet(t, i, l, k);
        if (c < 0) {
            struct user_rt *u = t->by_id[i++];
            atomic_store_explicit(&u->removed, true, memory_order_release);
            change->removed[change->removed_count++] = u;
            continue;
        }
        struct user_entry *e = &l->entries[k++];
        if (c > 0) {
            by_id[n++] = make_user(e, env);
            e->order = USER_NEW;
            change->added++;
        } else {
            struct limits lim = limits_of(e, env);
            by_id[n] = t->by_id[i++];
            e->order = change_limits(by_id[n++], &lim, env, change) ? USER_CHANGED : USER_SAME;
            change->changed += e->order == USER_CHANGED;
        }
    }
    free(t->by_id);
    t->by_id = by_id;
    t->count = n;
}

enum status users_apply(struct user_table *t, struct user_list *l, const struct users_env *env,
                        struct users_change *change)
{
    size_t added = 0, removed = 0;
    enum status st;

    *change = (struct users_change){.removed = NULL};
    for (size_t i = 0, k = 0; i < t->count || k < l->count;) {
        int c = meet(t, i, l, k);
        added += c > 0;
        removed += c < 0;
        i += c <= 0;
        k += c >= 0;
    }
    if ((st = user_slab_reserve(env->slab, added)) != ST_OK ||
        (st = counters_reserve(env->counters, (uint32_t)added)) != ST_OK)
        return st;
    struct user_rt **by_id = malloc((l->count + 1) * sizeof(*by_id));
    change->removed = malloc((removed + 1) * sizeof(*change->removed));
    if (by_id == NULL || change->removed == NULL) {
        free(by_id);
        users_change_fini(change);
        return ST_E_NOMEM;
    }
    merge(t, l, env, by_id, change);
    t->version++;
    return ST_OK;
}

void users_change_fini(struct users_change *c)
{
    free(c->removed);
    *c = (struct users_change){.removed = NULL};
}

void users_table_fini(struct user_table *t)
{
    free(t->by_id);
    *t = (struct user_table){.by_id = NULL};
}
