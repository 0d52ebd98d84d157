#include "proto/vmess/sources.h"

#include <string.h>

#include "base/arena.h"
#include "base/spin.h"
#include "crypto/mem.h"
#include "crypto/siphash.h"

#define WAYS          4u
#define BUCKETS_FIRST 4u
#define BUCKETS_MAX   (VMESS_SOURCES_MAX / VMESS_SOURCE_STRIPES / WAYS)

void vmess_sources_init(struct vmess_sources *s, const uint8_t hash_key[16])
{
    memcpy(s->hash_key, hash_key, sizeof(s->hash_key));
    for (unsigned i = 0; i < VMESS_SOURCE_STRIPES; i++)
        atomic_flag_clear(&s->stripe[i].lock);
}

void vmess_sources_fini(struct vmess_sources *s)
{
    for (unsigned i = 0; i < VMESS_SOURCE_STRIPES; i++) {
        arena_free(s->stripe[i].arena);
        s->stripe[i].arena = NULL;
        s->stripe[i].entries = NULL;
        s->stripe[i].buckets = s->stripe[i].used = 0;
    }
    crypto_wipe(s->hash_key, sizeof(s->hash_key));
}

uint64_t vmess_source_of(const struct vmess_sources *s, const struct addr *peer)
{
    uint8_t net[9] = {peer->family};

    /* A household or a server has a /64 of IPv6. */
    memcpy(net + 1, peer->ip, peer->family == ADDR_IP6 ? 8 : 4);
    uint64_t source = siphash_fast(s->hash_key, net, sizeof(net));
    return source != 0 ? source : 1;
}

/* ---- users of a source ----------------------------------------------------------------------- */

static struct vmess_source_stripe *stripe_of(struct vmess_sources *s, uint64_t source)
{
    return &s->stripe[(source >> 60) % VMESS_SOURCE_STRIPES];
}

static struct vmess_source_entry *bucket_of(const struct vmess_source_stripe *t, uint64_t source)
{
    return t->entries + (size_t)((uint32_t)source & (t->buckets - 1)) * WAYS;
}

/* Makes @source the first of its bucket, taking the place of a free entry or of the last. */
static struct vmess_source_entry *to_front(struct vmess_source_stripe *t, uint64_t source)
{
    struct vmess_source_entry *b = bucket_of(t, source), found = {.source = source};
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
static void make_room(struct vmess_source_stripe *t, uint64_t source)
{
    struct vmess_source_stripe old = *t;
    uint32_t buckets = old.buckets > 0 ? old.buckets * 2 : BUCKETS_FIRST;

    if (old.buckets > 0) {
        const struct vmess_source_entry *b = bucket_of(t, source);
        for (unsigned i = 0; i < WAYS; i++)
            if (b[i].source == source || b[i].source == 0)
                return;
        if (buckets > BUCKETS_MAX || old.used < old.buckets * WAYS / 8)
            return;
    }
    struct arena *a = arena_new();
    struct vmess_source_entry *entries =
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

unsigned vmess_source_users(struct vmess_sources *s, uint64_t source,
                            uint32_t users[VMESS_SOURCE_USERS])
{
    struct vmess_source_stripe *t = stripe_of(s, source);
    unsigned n = 0;

    spin_lock(&t->lock);
    const struct vmess_source_entry *b = t->buckets > 0 ? bucket_of(t, source) : NULL;
    for (unsigned i = 0; b != NULL && i < WAYS; i++) {
        if (b[i].source != source)
            continue;
        for (; n < VMESS_SOURCE_USERS && b[i].user[n] != 0; n++)
            users[n] = b[i].user[n] - 1;
        break;
    }
    spin_unlock(&t->lock);
    return n;
}

void vmess_source_seen(struct vmess_sources *s, uint64_t source, uint32_t place)
{
    struct vmess_source_stripe *t = stripe_of(s, source);

    spin_lock(&t->lock);
    make_room(t, source);
    if (t->buckets > 0) {
        uint32_t *user = to_front(t, source)->user;
        unsigned i = 0;
        while (i < VMESS_SOURCE_USERS - 1 && user[i] != place + 1)
            i++;
        memmove(user + 1, user, i * sizeof(*user));
        user[0] = place + 1;
    }
    spin_unlock(&t->lock);
}

/* ---- users found last ------------------------------------------------------------------------ */

unsigned vmess_recent_users(struct vmess_sources *s, uint32_t users[VMESS_RECENT_USERS])
{
    uint32_t next = atomic_load_explicit(&s->recent_next, memory_order_relaxed);
    unsigned n = 0;

    for (unsigned i = 1; i <= VMESS_RECENT_USERS; i++) {
        uint32_t place =
            atomic_load_explicit(&s->recent[(next - i) % VMESS_RECENT_USERS], memory_order_relaxed);
        if (place == 0)
            break;
        users[n++] = place - 1;
    }
    return n;
}

void vmess_recent_add(struct vmess_sources *s, uint32_t place)
{
    uint32_t at = atomic_fetch_add_explicit(&s->recent_next, 1, memory_order_relaxed);
    atomic_store_explicit(&s->recent[at % VMESS_RECENT_USERS], place + 1, memory_order_relaxed);
}

/* ---- budgets --------------------------------------------------------------------------------- */

/* GCRA: the clock of the debtor runs @cost ahead, never more than @burst before the time. */
static bool take(_Atomic uint64_t *paid, uint64_t cost, uint64_t burst, uint64_t now_us)
{
    uint64_t was = atomic_load_explicit(paid, memory_order_relaxed), next;

    do {
        next = (was > now_us ? was : now_us) + cost;
        if (was > now_us && next - now_us > burst)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(paid, &was, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static void give_back(_Atomic uint64_t *paid, uint64_t cost)
{
    uint64_t was = atomic_load_explicit(paid, memory_order_relaxed);

    while (was >= cost && !atomic_compare_exchange_weak_explicit(
                              paid, &was, was - cost, memory_order_relaxed, memory_order_relaxed))
        ;
}

static _Atomic uint64_t *paid_by(struct vmess_sources *s, uint64_t source)
{
    return &s->paid_us[(source >> 32) % VMESS_SOURCE_BUDGETS];
}

bool vmess_budget_take(struct vmess_sources *s, uint64_t source, uint32_t cost_us, uint64_t now_us)
{
    uint64_t cost = cost_us;

    if (!take(paid_by(s, source), cost * VMESS_BUDGET_SOURCE_SHARE,
              (uint64_t)VMESS_BUDGET_SOURCE_US * VMESS_BUDGET_SOURCE_SHARE, now_us))
        return false;
    if (take(&s->all_paid_us, cost * VMESS_BUDGET_SHARE,
             (uint64_t)VMESS_BUDGET_BURST_US * VMESS_BUDGET_SHARE, now_us))
        return true;
    give_back(paid_by(s, source), cost * VMESS_BUDGET_SOURCE_SHARE);
    return false;
}

void vmess_budget_return(struct vmess_sources *s, uint64_t source, uint32_t cost_us)
{
    give_back(paid_by(s, source), (uint64_t)cost_us * VMESS_BUDGET_SOURCE_SHARE);
    give_back(&s->all_paid_us, (uint64_t)cost_us * VMESS_BUDGET_SHARE);
}
