#include "transport/vlessenc/vlessenc_tickets.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/list.h"
#include "base/spin.h"
#include "crypto/mem.h"

#define SHARDS          16u
#define BUCKETS         256u
#define SHARD_TICKETS   (VLESSENC_TICKETS_MAX / SHARDS)
#define SHARD_CHUNKS    16384u /* 1 MiB of uses a shard */
#define USES_IN_A_CHUNK 7u

/* Seven connections, by the beginning of their secret. */
struct chunk {
    struct chunk *next;
    uint64_t use[USES_IN_A_CHUNK];
};

struct ticket {
    struct list age;     /* oldest first */
    struct ticket *next; /* in its bucket, or of the free ones */
    uint8_t name[VLESSENC_TICKET_LEN];
    uint8_t pfs[VLESSENC_PFS_LEN];
    uint64_t until_s;
    struct chunk *uses; /* the first is being filled */
    uint32_t use_count;
};

struct shard {
    atomic_flag lock;
    struct arena *arena; /* grows up to the caps and is never given back before the end */
    struct list ages;
    struct ticket *free_tickets;
    struct chunk *free_chunks;
    uint32_t tickets, made_tickets, made_chunks;
    struct ticket *bucket[BUCKETS];
};

struct vlessenc_tickets {
    struct arena *arena; /* this object and the shards */
    uint32_t keep_s;
    struct shard *shard;
};

struct vlessenc_tickets *vlessenc_tickets_new(uint32_t keep_s)
{
    struct arena *a = arena_new();
    struct vlessenc_tickets *t = a != NULL ? arena_alloc(a, sizeof(*t)) : NULL;
    bool good = t != NULL;

    if (!good) {
        arena_free(a);
        return NULL;
    }
    t->arena = a;
    t->keep_s = keep_s;
    t->shard = arena_alloc(a, SHARDS * sizeof(*t->shard));
    for (unsigned i = 0; i < SHARDS && t->shard != NULL; i++) {
        atomic_flag_clear(&t->shard[i].lock);
        list_init(&t->shard[i].ages);
        t->shard[i].arena = arena_new();
        good = good && t->shard[i].arena != NULL;
    }
    if (t->shard != NULL && good)
        return t;
    vlessenc_tickets_free(t);
    return NULL;
}

/* Names are our own random bytes but for the first two, so any of the others will do for an index;
 * a stranger's name finds nothing wherever it looks. */
static struct shard *shard_of(struct vlessenc_tickets *t, const uint8_t *name)
{
    return &t->shard[name[15] % SHARDS];
}

static struct ticket **bucket_of(struct shard *s, const uint8_t *name)
{
    return &s->bucket[name[14] % BUCKETS];
}

static void drop(struct shard *s, struct ticket *k)
{
    struct ticket **at = bucket_of(s, k->name);

    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    list_del(&k->age);
    while (k->uses != NULL) {
        struct chunk *c = k->uses;
        k->uses = c->next;
        crypto_wipe(c->use, sizeof(c->use));
        c->next = s->free_chunks;
        s->free_chunks = c;
    }
    crypto_wipe(k, sizeof(*k));
    k->next = s->free_tickets;
    s->free_tickets = k;
    s->tickets--;
}

static struct ticket *oldest(struct shard *s)
{
    return list_empty(&s->ages) ? NULL : LIST_ENTRY(s->ages.next, struct ticket, age);
}

/* All tickets live equally long, so the oldest is the first to expire. */
static void expire(struct shard *s, uint64_t now_s)
{
    for (struct ticket *k = oldest(s); k != NULL && k->until_s <= now_s; k = oldest(s))
        drop(s, k);
}

static struct ticket *new_ticket(struct shard *s)
{
    struct ticket *k;

    if (s->free_tickets == NULL && s->made_tickets < SHARD_TICKETS &&
        (k = arena_alloc(s->arena, sizeof(*k))) != NULL) {
        s->made_tickets++;
        return k;
    }
    if (s->free_tickets == NULL && oldest(s) != NULL)
        drop(s, oldest(s));
    k = s->free_tickets;
    if (k != NULL)
        s->free_tickets = k->next;
    return k;
}

/* For a use of @k; others' are given up for it. */
static struct chunk *new_chunk(struct shard *s, const struct ticket *k)
{
    struct chunk *c;

    if (s->free_chunks == NULL && s->made_chunks < SHARD_CHUNKS &&
        (c = arena_alloc(s->arena, sizeof(*c))) != NULL) {
        s->made_chunks++;
        return c;
    }
    while (s->free_chunks == NULL && oldest(s) != NULL && oldest(s) != k)
        drop(s, oldest(s));
    c = s->free_chunks;
    if (c != NULL)
        s->free_chunks = c->next;
    return c;
}

void vlessenc_tickets_put(struct vlessenc_tickets *t, const uint8_t ticket[VLESSENC_TICKET_LEN],
                          const uint8_t pfs[VLESSENC_PFS_LEN], uint64_t now_s)
{
    struct shard *s = shard_of(t, ticket);
    struct ticket **bucket = bucket_of(s, ticket);

    spin_lock(&s->lock);
    expire(s, now_s);
    struct ticket *k = new_ticket(s);
    if (k != NULL) {
        memset(k, 0, sizeof(*k));
        memcpy(k->name, ticket, sizeof(k->name));
        memcpy(k->pfs, pfs, sizeof(k->pfs));
        k->until_s = now_s + t->keep_s;
        k->next = *bucket;
        *bucket = k;
        list_add_tail(&s->ages, &k->age);
        s->tickets++;
    }
    spin_unlock(&s->lock);
}

static struct ticket *find(struct shard *s, const uint8_t *name)
{
    struct ticket *k = *bucket_of(s, name);

    while (k != NULL && !crypto_ct_equal(k->name, name, sizeof(k->name)))
        k = k->next;
    return k;
}

/* Notes a use of @k by the hello of @mark. */
static enum vlessenc_use note(struct shard *s, struct ticket *k, uint64_t mark)
{
    uint32_t filled = k->use_count % USES_IN_A_CHUNK;
    uint32_t n = filled == 0 ? USES_IN_A_CHUNK : filled;

    for (const struct chunk *c = k->uses; c != NULL; c = c->next, n = USES_IN_A_CHUNK)
        for (uint32_t i = 0; i < n; i++)
            if (c->use[i] == mark)
                return VLESSENC_USE_REPLAYED;
    if (k->use_count == VLESSENC_USES_MAX)
        return VLESSENC_USE_UNKNOWN;
    if (filled == 0) {
        struct chunk *c = new_chunk(s, k);
        if (c == NULL)
            return VLESSENC_USE_UNKNOWN;
        c->next = k->uses;
        k->uses = c;
    }
    k->uses->use[filled] = mark;
    k->use_count++;
    return VLESSENC_USE_GOOD;
}

enum vlessenc_use vlessenc_tickets_use(struct vlessenc_tickets *t,
                                       const uint8_t ticket[VLESSENC_TICKET_LEN],
                                       const uint8_t nfs[VLESSENC_NFS_LEN], uint64_t now_s,
                                       uint8_t pfs[VLESSENC_PFS_LEN])
{
    struct shard *s = shard_of(t, ticket);
    enum vlessenc_use use = VLESSENC_USE_UNKNOWN;

    spin_lock(&s->lock);
    expire(s, now_s);
    struct ticket *k = find(s, ticket);
    if (k != NULL)
        use = note(s, k, get_be64(nfs));
    if (use == VLESSENC_USE_GOOD)
        memcpy(pfs, k->pfs, sizeof(k->pfs));
    spin_unlock(&s->lock);
    return use;
}

size_t vlessenc_tickets_count(struct vlessenc_tickets *t)
{
    size_t sum = 0;

    for (unsigned i = 0; i < SHARDS; i++) {
        spin_lock(&t->shard[i].lock);
        sum += t->shard[i].tickets;
        spin_unlock(&t->shard[i].lock);
    }
    return sum;
}

void vlessenc_tickets_free(struct vlessenc_tickets *t)
{
    if (t == NULL)
        return;
    for (unsigned i = 0; i < SHARDS && t->shard != NULL; i++) {
        struct shard *s = &t->shard[i];
        while (s->arena != NULL && oldest(s) != NULL)
            drop(s, oldest(s));
        arena_free(s->arena);
    }
    arena_free(t->arena);
}
