#include "policy/sources.h"

#include <string.h>

#include "base/arena.h"
#include "base/spin.h"
#include "crypto/mem.h"
#include "crypto/siphash.h"

#define WAYS          4u
#define BUCKETS_FIRST 4u
#define BUCKETS_MAX   (SOURCES_MAX / SOURCES_STRIPES / WAYS)

void sources_init(struct sources *s, const uint8_t hash_key[16])
{
    memcpy(s->hash_key, hash_key, sizeof(s->hash_key));
    for (unsigned i = 0; i < SOURCES_STRIPES; i++)
        atomic_flag_clear(&s->stripe[i].lock);
}

void sources_fini(struct sources *s)
{
    for (unsigned i = 0; i < SOURCES_STRIPES; i++) {
        arena_free(s->stripe[i].arena);
        s->stripe[i].arena = NULL;
        s->stripe[i].entries = NULL;
        s->stripe[i].buckets = s->stripe[i].used = 0;
    }
    crypto_wipe(s->hash_key, sizeof(s->hash_key));
}

uint64_t sources_key(const struct sources *s, const struct addr *peer)
{
    uint8_t net[9] = {peer->family};

    /* A household or a server has a /64 of IPv6. */
    memcpy(net + 1, peer->ip, peer->family == ADDR_IP6 ? 8 : 4);
    uint64_t source = siphash_fast(s->hash_key, net, sizeof(net));
    return source != 0 ? source : 1;
}

static struct sources_stripe *stripe_of(struct sources *s, uint64_t source)
{
    return &s->stripe[(source >> 60) % SOURCES_STRIPES];
}

static struct sources_entry *bucket_of(const struct sources_stripe *t, uint64_t source)
{
    return t->entries + (size_t)((uint32_t)source & (t->buckets - 1)) * WAYS;
}

/* Makes @source the first of its bucket, taking the place of a free entry or of the last. */
static struct sources_entry *to_front(struct sources_stripe *t, uint64_t source)
{
    struct sources_entry *b = bucket_of(t, source), found = {.source = source};
    unsigned i = 0;

    while (i < WAYS - 1 && b[i].source != source && b[i].source != 0)
        i++;
    if (b[i].source == source)
        found = b[i];
    else if (b[i].source == 0)
        t->used++;
    memmove(b + 1, b, i * sizeof(*b));
    b[0] = found;
    return b;
}

/* Doubles the table when the bucket of @source has no room for it. In a table that is nearly empty
 * that is chance, and the last of the bucket goes instead. */
static void make_room(struct sources_stripe *t, uint64_t source)
{
    struct sources_stripe old = *t;
    uint32_t buckets = old.buckets > 0 ? old.buckets * 2 : BUCKETS_FIRST;

    if (old.buckets > 0) {
        const struct sources_entry *b = bucket_of(t, source);
        for (unsigned i = 0; i < WAYS; i++)
            if (b[i].source == source || b[i].source == 0)
                return;
        if (buckets > BUCKETS_MAX || old.used < old.buckets * WAYS / 8)
            return;
    }
    struct arena *a = arena_new();
    struct sources_entry *entries =
        a != NULL ? arena_alloc(a, (size_t)buckets * WAYS * sizeof(*entries)) : NULL;
    if (entries == NULL) {
        arena_free(a);
        return;
    }
    t->arena = a;
    t->entries = entries;
    t->buckets = buckets;
    t->used = 0;
    /* Backwards, so that the last used one of a bucket comes first again. */
    for (size_t i = (size_t)old.buckets * WAYS; i-- > 0;)
        if (old.entries[i].source != 0)
            *to_front(t, old.entries[i].source) = old.entries[i];
    arena_free(old.arena);
}

unsigned sources_find(struct sources *s, uint64_t source, uint64_t users[SOURCES_USERS])
{
    struct sources_stripe *t = stripe_of(s, source);
    unsigned n = 0;

    spin_lock(&t->lock);
    const struct sources_entry *b = t->buckets > 0 ? bucket_of(t, source) : NULL;
    for (unsigned i = 0; b != NULL && i < WAYS; i++) {
        if (b[i].source != source)
            continue;
        for (; n < SOURCES_USERS && b[i].user[n] != 0; n++)
            users[n] = b[i].user[n] - 1;
        break;
    }
    spin_unlock(&t->lock);
    return n;
}

void sources_note(struct sources *s, uint64_t source, uint64_t name)
{
    struct sources_stripe *t = stripe_of(s, source);

    spin_lock(&t->lock);
    make_room(t, source);
    if (t->buckets > 0) {
        uint64_t *user = to_front(t, source)->user;
        unsigned i = 0;
        while (i < SOURCES_USERS - 1 && user[i] != name + 1)
            i++;
        memmove(user + 1, user, i * sizeof(*user));
        user[0] = name + 1;
    }
    spin_unlock(&t->lock);
}
