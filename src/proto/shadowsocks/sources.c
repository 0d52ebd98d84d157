#include "proto/shadowsocks/sources.h"

#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/spin.h"
#include "crypto/siphash.h"

#define BUDGETS 1024u

struct source {
    uint64_t key;                  /* 0: free */
    uint64_t uid[SS_SOURCE_USERS]; /* uid + 1, the last one first; 0: none */
    uint64_t used;                 /* a count, to find the one that was not for longest */
};

struct ss_source_set {
    struct source way[SS_SOURCE_WAYS];
    uint64_t uses;
};

enum status ss_sources_init(struct ss_sources *s, uint64_t seed)
{
    memset(s, 0, sizeof(*s));
    put_be64(s->key, ~seed);
    put_be64(s->key + 8, seed * 0x9e3779b97f4a7c15u);
    for (unsigned i = 0; i < sizeof(s->locks) / sizeof(s->locks[0]); i++)
        atomic_flag_clear(&s->locks[i]);
    atomic_flag_clear(&s->budget.lock);
    s->arena = arena_new();
    if (s->arena == NULL)
        return ST_E_NOMEM;
    /* Pages of it are touched as sources come. */
    s->sets = arena_alloc(s->arena, SS_SOURCE_SETS * sizeof(*s->sets));
    return s->sets != NULL ? ST_OK : ST_E_NOMEM;
}

void ss_sources_fini(struct ss_sources *s)
{
    arena_free(s->arena);
    s->arena = NULL;
}

static uint64_t key_of(const struct ss_sources *s, const struct addr *from)
{
    uint8_t bytes[9] = {from->family};

    memcpy(bytes + 1, from->ip, from->family == ADDR_IP4 ? 4 : 8);
    uint64_t key = siphash(s->key, bytes, sizeof(bytes));
    return key != 0 ? key : 1;
}

static struct ss_source_set *set_of(struct ss_sources *s, uint64_t key, atomic_flag **f)
{
    size_t i = key % SS_SOURCE_SETS;

    *f = &s->locks[i % (sizeof(s->locks) / sizeof(s->locks[0]))];
    return &s->sets[i];
}

size_t ss_sources_find(struct ss_sources *s, const struct addr *from,
                       uint64_t uids[SS_SOURCE_USERS])
{
    uint64_t key = key_of(s, from);
    atomic_flag *f;
    struct ss_source_set *set = set_of(s, key, &f);
    size_t n = 0;

    spin_lock(f);
    for (unsigned i = 0; i < SS_SOURCE_WAYS; i++) {
        const struct source *w = &set->way[i];
        if (w->key != key)
            continue;
        for (; n < SS_SOURCE_USERS && w->uid[n] != 0; n++)
            uids[n] = w->uid[n] - 1;
        break;
    }
    spin_unlock(f);
    return n;
}

/* The place of @key in @set, or of the source that was not used for longest. */
static struct source *place(struct ss_source_set *set, uint64_t key)
{
    struct source *oldest = &set->way[0];

    for (unsigned i = 0; i < SS_SOURCE_WAYS; i++) {
        if (set->way[i].key == key)
            return &set->way[i];
        if (set->way[i].used < oldest->used)
            oldest = &set->way[i];
    }
    *oldest = (struct source){.key = key};
    return oldest;
}

static void to_front(struct source *w, uint64_t mark)
{
    unsigned at = 0;

    while (at < SS_SOURCE_USERS - 1 && w->uid[at] != mark)
        at++;
    memmove(&w->uid[1], &w->uid[0], at * sizeof(w->uid[0]));
    w->uid[0] = mark;
}

void ss_sources_note(struct ss_sources *s, const struct addr *from, uint64_t uid)
{
    uint64_t key = key_of(s, from), mark = uid + 1;
    atomic_flag *f;
    struct ss_source_set *set = set_of(s, key, &f);

    spin_lock(f);
    struct source *w = place(set, key);
    w->used = ++set->uses;
    if (w->uid[0] != mark)
        to_front(w, mark);
    spin_unlock(f);
    _Atomic uint64_t *recent = &s->recent[uid % SS_RECENT];
    if (atomic_load_explicit(recent, memory_order_relaxed) != mark)
        atomic_store_explicit(recent, mark, memory_order_relaxed);
}

/* ---- budget ---------------------------------------------------------------------------------- */

static int64_t most(uint64_t rate, uint32_t least)
{
    uint64_t burst = rate * SS_BUDGET_BURST_S;
    return (int64_t)(burst > least ? burst : least);
}

/* What @us microseconds give, on top of @have, at most @cap. */
static int64_t filled(int64_t have, uint64_t us, uint64_t rate, int64_t cap)
{
    if (us > SS_BUDGET_BURST_S * 2000000u)
        return cap;
    have += (int64_t)(us * rate / 1000000u);
    return have < cap ? have : cap;
}

bool ss_sources_take(struct ss_sources *s, const struct addr *from, uint32_t n, uint32_t rate,
                     uint32_t least, uint64_t now_us)
{
    struct ss_budget *b = &s->budget;
    size_t i = key_of(s, from) % BUDGETS;
    uint32_t now_ms = (uint32_t)(now_us / 1000);
    bool fits;

    spin_lock(&b->lock);
    /* 0 is a time like any other only after the first call. */
    b->all = b->at_us == 0 ? most(rate, least)
                           : filled(b->all, now_us > b->at_us ? now_us - b->at_us : 0, rate,
                                    most(rate, least));
    b->at_us = now_us > b->at_us ? now_us : b->at_us;
    /* One more than the time, so that 0 is never; workers' clocks may differ a little. */
    int32_t passed = (int32_t)(now_ms + 1 - b->seen_ms[i]);
    int64_t own = most(rate / 8, least);
    if (b->seen_ms[i] != 0)
        own = filled(b->left[i], passed > 0 ? (uint64_t)passed * 1000 : 0, rate / 8, own);
    if (b->seen_ms[i] == 0 || passed > 0)
        b->seen_ms[i] = now_ms + 1;
    fits = b->all >= n && own >= n;
    if (fits) {
        b->all -= n;
        own -= n;
    }
    b->left[i] = (int32_t)(own < INT32_MAX ? own : INT32_MAX);
    spin_unlock(&b->lock);
    return fits;
}

void ss_sources_give(struct ss_sources *s, const struct addr *from, uint32_t n)
{
    struct ss_budget *b = &s->budget;
    size_t i = key_of(s, from) % BUDGETS;

    spin_lock(&b->lock);
    b->all += n;
    if (b->left[i] <= INT32_MAX - (int32_t)n)
        b->left[i] += (int32_t)n;
    spin_unlock(&b->lock);
}
