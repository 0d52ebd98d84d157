#include "control/node/dynamic_limit.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "control/config/config_limits.h"
#include "policy/traffic_window.h"

#define TABLE_MIN 64u

struct rule {
    uint32_t node;
    uint32_t kbps, warnings;
    uint64_t traffic, period_ms, expire_ms;
};

struct entry {
    struct list link; /* in watched, by when it last moved something; or in limited, by until_ms */
    struct entry *next; /* of the same place in the table */
    uint64_t uid;
    uint32_t node;
    uint32_t kbps; /* 0: not limited */
    uint64_t until_ms;
    uint64_t moved_ms;
    uint64_t quiet_ms; /* he was warned: not again before */
    uint32_t warned;
    struct traffic_window window;
};

struct dynamic_limits {
    dynamic_limit_fn *changed;
    void *arg;
    struct rule *rules; /* by node */
    size_t rule_count, rule_room;
    struct entry **table;
    size_t size, count; /* size: a power of two */
    struct list watched, limited;
};

#define ENTRY_OF(l) LIST_ENTRY(l, struct entry, link)

struct dynamic_limits *dynamic_limits_new(dynamic_limit_fn *changed, void *arg)
{
    struct dynamic_limits *d = calloc(1, sizeof(*d));

    if (d == NULL)
        return NULL;
    d->changed = changed;
    d->arg = arg;
    d->size = TABLE_MIN;
    d->table = calloc(d->size, sizeof(struct entry *));
    list_init(&d->watched);
    list_init(&d->limited);
    if (d->table == NULL) {
        free(d);
        return NULL;
    }
    return d;
}

void dynamic_limits_free(struct dynamic_limits *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->size; i++) {
        for (struct entry *e = d->table[i], *next; e != NULL; e = next) {
            next = e->next;
            free(e);
        }
    }
    free(d->table);
    free(d->rules);
    free(d);
}

/* ---- the table ---- */

static size_t place(size_t size, uint32_t node, uint64_t uid)
{
    uint64_t h = (uid ^ (uint64_t)node << 40) * UINT64_C(0x9e3779b97f4a7c15);

    return (size_t)(h >> 32) & (size - 1);
}

static struct entry *find(const struct dynamic_limits *d, uint32_t node, uint64_t uid)
{
    struct entry *e = d->table[place(d->size, node, uid)];

    while (e != NULL && (e->uid != uid || e->node != node))
        e = e->next;
    return e;
}

/* Without memory the table stays as it is, and its chains grow. */
static void widen(struct dynamic_limits *d)
{
    size_t size = d->size * 2;
    struct entry **table = calloc(size, sizeof(struct entry *));

    if (table == NULL)
        return;
    for (size_t i = 0; i < d->size; i++) {
        for (struct entry *e = d->table[i], *next; e != NULL; e = next) {
            struct entry **to = &table[place(size, e->node, e->uid)];
            next = e->next;
            e->next = *to;
            *to = e;
        }
    }
    free(d->table);
    d->table = table;
    d->size = size;
}

static struct entry *add(struct dynamic_limits *d, uint32_t node, uint64_t uid)
{
    struct entry *e;

    if (d->count >= DYNAMIC_LIMIT_USERS_MAX || (e = calloc(1, sizeof(*e))) == NULL)
        return NULL;
    if (++d->count > d->size)
        widen(d);
    struct entry **to = &d->table[place(d->size, node, uid)];
    e->uid = uid;
    e->node = node;
    e->next = *to;
    *to = e;
    list_add_tail(&d->watched, &e->link);
    return e;
}

static void drop(struct dynamic_limits *d, struct entry *e)
{
    struct entry **at = &d->table[place(d->size, e->node, e->uid)];

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    list_del(&e->link);
    d->count--;
    free(e);
}

/* ---- rules ---- */

static size_t rule_place(const struct dynamic_limits *d, uint32_t node)
{
    size_t lo = 0, hi = d->rule_count;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (d->rules[mid].node < node)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct rule *rule_of(const struct dynamic_limits *d, uint32_t node)
{
    size_t i = rule_place(d, node);

    return i < d->rule_count && d->rules[i].node == node ? &d->rules[i] : NULL;
}

static struct rule *rule_make(struct dynamic_limits *d, uint32_t node)
{
    size_t i = rule_place(d, node);

    if (i < d->rule_count && d->rules[i].node == node)
        return &d->rules[i];
    if (d->rule_count == d->rule_room) {
        size_t room = d->rule_room * 2 + 8;
        struct rule *p = realloc(d->rules, room * sizeof(*p));
        if (p == NULL)
            return NULL;
        d->rules = p;
        d->rule_room = room;
    }
    memmove(&d->rules[i + 1], &d->rules[i], (d->rule_count - i) * sizeof(*d->rules));
    d->rule_count++;
    d->rules[i] = (struct rule){.node = node};
    return &d->rules[i];
}

static void forget_rule(struct dynamic_limits *d, uint32_t node)
{
    struct rule *r = rule_of(d, node);

    if (r == NULL)
        return;
    size_t i = (size_t)(r - d->rules);
    memmove(r, r + 1, (--d->rule_count - i) * sizeof(*r));
}

static void end_limit(struct dynamic_limits *d, struct entry *e)
{
    uint32_t node = e->node;
    uint64_t uid = e->uid;

    drop(d, e);
    d->changed(d->arg, node, uid, 0, 0);
}

enum status dynamic_limits_rule(struct dynamic_limits *d, uint32_t node,
                                const struct config_limits *l)
{
    bool on = config_limits_dynamic(l);
    struct rule *r = on ? rule_make(d, node) : NULL;

    if (on && r == NULL)
        return ST_E_NOMEM;
    if (on)
        *r = (struct rule){.node = node,
                           .kbps = l->dynamic_speed_kbps,
                           .warnings = l->dynamic_warnings,
                           .traffic = l->dynamic_traffic,
                           .period_ms = (uint64_t)l->dynamic_period_s * 1000,
                           .expire_ms = (uint64_t)l->dynamic_expire_s * 1000};
    else
        forget_rule(d, node);
    LIST_FOREACH(at, tmp, &d->limited) {
        struct entry *e = ENTRY_OF(at);
        if (e->node != node)
            continue;
        if (!on) {
            end_limit(d, e);
        } else if (e->kbps != l->dynamic_speed_kbps) {
            e->kbps = l->dynamic_speed_kbps;
            d->changed(d->arg, node, e->uid, e->kbps, 0);
        }
    }
    return ST_OK;
}

/* ---- users ---- */

/* Most rules of a process are alike, so the place is nearly always the end. */
static void insert_limited(struct dynamic_limits *d, struct entry *e)
{
    struct list *after = d->limited.prev;

    while (after != &d->limited && ENTRY_OF(after)->until_ms > e->until_ms)
        after = after->prev;
    list_del(&e->link);
    list_add_tail(after->next, &e->link);
}

static void limit(struct dynamic_limits *d, struct entry *e, const struct rule *r, uint64_t now_ms,
                  uint64_t bytes)
{
    e->kbps = r->kbps;
    e->until_ms = now_ms + r->expire_ms;
    insert_limited(d, e);
    d->changed(d->arg, e->node, e->uid, e->kbps, bytes);
}

void dynamic_limits_moved(struct dynamic_limits *d, uint32_t node, uint64_t uid, uint64_t bytes,
                          uint64_t now_ms)
{
    const struct rule *r = rule_of(d, node);
    struct entry *e = r != NULL && bytes > 0 ? find(d, node, uid) : NULL;

    if (r == NULL || bytes == 0 || (e == NULL && (e = add(d, node, uid)) == NULL))
        return;
    if (e->kbps != 0)
        return;
    e->moved_ms = now_ms;
    list_del(&e->link);
    list_add_tail(&d->watched, &e->link);
    uint64_t sum = traffic_window_add(&e->window, r->period_ms, now_ms, bytes);
    if (sum < r->traffic || now_ms < e->quiet_ms)
        return;
    if (now_ms >= e->quiet_ms + r->period_ms)
        e->warned = 0; /* the period after the last warning was fine */
    if (e->warned++ >= r->warnings)
        limit(d, e, r, now_ms, sum);
    else
        e->quiet_ms = now_ms + r->period_ms;
}

bool dynamic_limits_has_rule(const struct dynamic_limits *d, uint32_t node)
{
    return rule_of(d, node) != NULL;
}

enum status dynamic_limits_resume(struct dynamic_limits *d, uint32_t node, uint64_t uid,
                                  uint32_t kbps, uint64_t until_ms)
{
    const struct rule *r = rule_of(d, node);
    struct entry *e = find(d, node, uid);

    if (e == NULL && (e = add(d, node, uid)) == NULL)
        return d->count >= DYNAMIC_LIMIT_USERS_MAX ? ST_E_LIMIT : ST_E_NOMEM;
    e->kbps = r != NULL ? r->kbps : kbps;
    e->until_ms = until_ms;
    insert_limited(d, e);
    d->changed(d->arg, node, uid, e->kbps, 0);
    return ST_OK;
}

/* The head moved something longest ago. Nodes have different periods, so one may hold up others a
 * little. */
static bool is_stale(const struct dynamic_limits *d, const struct entry *e, uint64_t now_ms)
{
    const struct rule *r = rule_of(d, e->node);

    return r == NULL || now_ms > e->moved_ms + 2 * r->period_ms;
}

void dynamic_limits_tick(struct dynamic_limits *d, uint64_t now_ms)
{
    while (!list_empty(&d->limited) && ENTRY_OF(d->limited.next)->until_ms <= now_ms)
        end_limit(d, ENTRY_OF(d->limited.next));
    while (!list_empty(&d->watched) && is_stale(d, ENTRY_OF(d->watched.next), now_ms))
        drop(d, ENTRY_OF(d->watched.next));
}

uint64_t dynamic_limits_next_ms(const struct dynamic_limits *d)
{
    return list_empty(&d->limited) ? UINT64_MAX : ENTRY_OF(d->limited.next)->until_ms;
}

uint32_t dynamic_limits_get(const struct dynamic_limits *d, uint32_t node, uint64_t uid,
                            uint64_t *until_ms)
{
    const struct entry *e = find(d, node, uid);

    if (e == NULL)
        return 0;
    if (until_ms != NULL)
        *until_ms = e->until_ms;
    return e->kbps;
}
