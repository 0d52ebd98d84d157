#include "proto/vmess/lookup.h"

#include <string.h>

#include "crypto/mem.h"
#include "crypto/siphash.h"

/* Below this a search of all is cheaper than thinking about whom to try first, and nobody can make
 * us work with it. */
#define CHEAP_US 4u

/* At most so many keys are tried for the likely users: a place costs its group. */
#define LIKELY_KEYS ((VMESS_RECENT_USERS + SOURCES_USERS) * AES_SCAN_LANES)

/* An AuthID is good for so long before and after its time; workers' clocks may differ a little. */
#define KEEP_S (2 * VMESS_CLOCK_MAX_S + 10)

/* What searching for strangers may take: a quarter of the time of one worker, one of them a
 * fiftieth. */
static const struct trial_rule RULE = {
    .all_share = 4, .source_share = 50, .all_burst_ns = 250000000, .source_burst_ns = 50000000};

/* Xray-core common/drain: the bytes a stranger must send before we close, the same for a server
 * and a little more each time. */
#define DRAIN_BASE_MAX   3266u
#define DRAIN_SPREAD_MAX 64u

/* ---- shared ---------------------------------------------------------------------------------- */

enum status vmess_shared_init(void *shared, uint64_t seed)
{
    struct vmess_shared *s = shared;
    uint8_t key[16];
    uint32_t drain[4];

    siphash_derive(seed, 1, key);
    seen_init(&s->seen, key);
    siphash_derive(seed, 2, key);
    sources_init(&s->sources, key);
    siphash_derive(seed, 3, key);
    memcpy(drain, key, sizeof(drain));
    s->drain_base = drain[0] % DRAIN_BASE_MAX;
    s->drain_spread = 1 + drain[1] % DRAIN_SPREAD_MAX;
    crypto_wipe(key, sizeof(key));
    return ST_OK;
}

void vmess_shared_fini(void *shared)
{
    struct vmess_shared *s = shared;

    seen_fini(&s->seen);
    sources_fini(&s->sources);
}

static int64_t seconds(uint64_t us)
{
    return (int64_t)(us / 1000000);
}

enum status vmess_session_add(struct vmess_shared *shared, const uint8_t uuid[16],
                              const struct vmess_header *h, uint64_t now_us)
{
    uint8_t all[16 + 2 * VMESS_KEY_LEN];

    memcpy(all, uuid, 16);
    memcpy(all + 16, h->key, VMESS_KEY_LEN);
    memcpy(all + 16 + VMESS_KEY_LEN, h->iv, VMESS_KEY_LEN);
    enum status st = seen_add(&shared->seen, all, sizeof(all), seconds(now_us), KEEP_S);
    crypto_wipe(all, sizeof(all));
    return st;
}

/* ---- users found last ------------------------------------------------------------------------ */

unsigned vmess_recent_users(struct vmess_shared *shared, uint64_t places[VMESS_RECENT_USERS])
{
    uint32_t next = atomic_load_explicit(&shared->recent_next, memory_order_relaxed);
    unsigned n = 0;

    for (unsigned i = 1; i <= VMESS_RECENT_USERS; i++) {
        uint32_t mark = atomic_load_explicit(&shared->recent[(next - i) % VMESS_RECENT_USERS],
                                             memory_order_relaxed);
        if (mark == 0)
            break;
        places[n++] = mark - 1;
    }
    return n;
}

static void recent_add(struct vmess_shared *shared, uint32_t place)
{
    uint32_t at = atomic_fetch_add_explicit(&shared->recent_next, 1, memory_order_relaxed);
    atomic_store_explicit(&shared->recent[at % VMESS_RECENT_USERS], place + 1,
                          memory_order_relaxed);
}

/* ---- search ---------------------------------------------------------------------------------- */

static uint32_t cost_of(const struct vmess_users *u)
{
    uint64_t us = (uint64_t)vmess_users_places(u) * u->scan->ns_per_key / 1000;
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static void restart(struct vmess_lookup *l, const struct vmess_users *users,
                    const struct vmess_shared *shared, const struct vmess_arrival *at)
{
    l->users = users;
    l->serial = users->serial;
    l->next = 0;
    l->place = AES_SCAN_NONE;
    l->tried = false;
    if (!l->begun)
        l->source = sources_key(&shared->sources, at->peer);
    l->begun = true;
}

/* Tries the places @likely. True: found. */
static bool try_places(struct vmess_lookup *l, const uint64_t *likely, unsigned n,
                       const uint8_t *auth_id, int64_t *time_s)
{
    for (unsigned i = 0; i < n && l->place == AES_SCAN_NONE; i++)
        l->place = vmess_users_find(l->users, likely[i], likely[i] + 1, auth_id, time_s);
    return l->place != AES_SCAN_NONE;
}

static bool try_likely(struct vmess_lookup *l, struct vmess_shared *shared, const uint8_t *auth_id,
                       int64_t *time_s)
{
    uint64_t likely[VMESS_RECENT_USERS];
    unsigned n = sources_find(&shared->sources, l->source, likely);

    if (try_places(l, likely, n, auth_id, time_s))
        return true;
    n = vmess_recent_users(shared, likely);
    return try_places(l, likely, n, auth_id, time_s);
}

/* ST_OK: found; ST_MORE: not among those tried so far; ST_YIELD, ST_E_AUTH, ST_E_REFUSED. */
static enum status search(struct vmess_lookup *l, struct vmess_shared *shared,
                          const struct vmess_arrival *at, const uint8_t *auth_id, int64_t *time_s,
                          struct why *why)
{
    const struct vmess_users *u = l->users;
    uint32_t cost = cost_of(u);
    size_t places = vmess_users_places(u);
    size_t slice = VMESS_LOOKUP_SLICE_NS / u->scan->ns_per_key;

    if (!l->tried && cost > CHEAP_US) {
        if (try_likely(l, shared, auth_id, time_s))
            return ST_OK;
        l->tried = true;
        if ((uint64_t)LIKELY_KEYS * u->scan->ns_per_key > VMESS_LOOKUP_SLICE_NS / 2)
            return ST_YIELD; /* that was a slice */
    }
    if (!l->paid && cost > CHEAP_US) {
        if (!trial_budget_take(&shared->budget, l->source, &RULE, (uint64_t)cost * 1000,
                               at->now_us))
            return why_set(why, ST_E_REFUSED, "vmess: too many unknown requests", 0);
        l->paid = true;
        l->cost_us = cost;
    }
    size_t end = places - l->next > slice ? l->next + slice : places;
    l->place = vmess_users_find(u, l->next, end, auth_id, time_s);
    l->next = end;
    if (l->place != AES_SCAN_NONE)
        return ST_OK;
    return end < places ? ST_YIELD : why_set(why, ST_E_AUTH, "vmess: unknown user", 0);
}

/* Once for an AuthID, whoever opens it. */
static enum status admit(struct vmess_shared *shared, const struct vmess_arrival *at,
                         const uint8_t *auth_id, int64_t time_s, struct why *why)
{
    /* In this order of the subtraction neither side can overflow: time_s has 32 bits. */
    int64_t off = at->unix_s - time_s;

    if (off > VMESS_CLOCK_MAX_S || off < -VMESS_CLOCK_MAX_S)
        return why_set(why, ST_E_AUTH, "vmess: the client's clock is off by seconds",
                       (long)(off > INT32_MAX ? INT32_MAX : off));
    enum status st =
        seen_add(&shared->seen, auth_id, VMESS_AUTH_ID_LEN, seconds(at->now_us), KEEP_S);
    if (st == ST_E_REFUSED)
        return why_set(why, st, "vmess: replayed request", 0);
    return st == ST_OK ? st : why_set(why, st, "no memory to remember a request", 0);
}

enum status vmess_lookup_run(struct vmess_lookup *l, const struct vmess_users *users,
                             struct vmess_shared *shared, const struct vmess_arrival *at,
                             const uint8_t auth_id[VMESS_AUTH_ID_LEN], struct why *why)
{
    int64_t time_s = 0;
    enum status st;

    if (users == NULL)
        return why_set(why, ST_E_AUTH, "vmess: unknown user", 0);
    if (!l->begun || l->users != users || l->serial != users->serial)
        restart(l, users, shared, at);
    else if (l->place != AES_SCAN_NONE)
        return ST_OK;
    st = search(l, shared, at, auth_id, &time_s, why);
    if (st == ST_OK && !l->admitted)
        st = admit(shared, at, auth_id, time_s, why);
    if (st != ST_OK)
        return st;
    l->admitted = true;
    vmess_kdf_user(vmess_lookup_user(l)->uuid, l->key);
    return ST_OK;
}

struct user_rt *vmess_lookup_user(const struct vmess_lookup *l)
{
    return vmess_users_at(l->users, l->place);
}

void vmess_lookup_proved(const struct vmess_lookup *l, struct vmess_shared *shared)
{
    if (cost_of(l->users) <= CHEAP_US)
        return;
    sources_note(&shared->sources, l->source, l->place);
    if (!l->paid)
        return;
    recent_add(shared, (uint32_t)l->place);
    trial_budget_give(&shared->budget, l->source, &RULE, (uint64_t)l->cost_us * 1000);
}
