#include "control/node/dynamic_service.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "control/node/dynamic_limit.h"
#include "control/node/node.h"
#include "control/node/users.h"
#include "control/store/counters.h"
#include "control/store/dynamic_store.h"
#include "control/store/store.h"

#define MB          1000000u
#define CHANGED_MAX 200000u /* while nothing can be written; more are not kept for the next start */

struct changed {
    uint32_t node;
    uint64_t uid;
};

struct dynamic_service {
    struct node_env *env;
    const struct list *nodes;
    struct dynamic_limits *limits;
    struct timer timer;      /* for the limit that ends first */
    struct changed *changed; /* not in the store yet */
    size_t changed_count, changed_room;
    size_t resumed;
    bool ruled;
};

static struct node *find(const struct dynamic_service *s, uint32_t store_node)
{
    LIST_FOREACH(l, tmp, s->nodes) {
        struct node *n = LIST_ENTRY(l, struct node, link);
        if (n->store_node == store_node && n->state < NODE_DRAINING)
            return n;
    }
    return NULL;
}

static void arm(struct dynamic_service *s)
{
    uint64_t next = dynamic_limits_next_ms(s->limits);

    if (next == UINT64_MAX)
        loop_timer_del(s->env->loop, &s->timer);
    else
        loop_timer_at(s->env->loop, &s->timer, next);
}

static void note(struct dynamic_service *s, uint32_t node, uint64_t uid)
{
    if (s->changed_count == s->changed_room) {
        size_t room = s->changed_room * 2 + 16;
        struct changed *p = room <= CHANGED_MAX ? realloc(s->changed, room * sizeof(*p)) : NULL;
        if (p == NULL)
            return;
        s->changed = p;
        s->changed_room = room;
    }
    s->changed[s->changed_count++] = (struct changed){.node = node, .uid = uid};
}

static void on_changed(void *arg, uint32_t store_node, uint64_t uid, uint32_t kbps, uint64_t bytes)
{
    struct dynamic_service *s = arg;
    struct node *n = find(s, store_node);

    note(s, store_node, uid);
    if (n == NULL || n->served == NULL) /* it may come back; its users learn of it then */
        return;
    users_hold(&n->users, uid, kbps);
    const struct log_about about = {.node = n->conf->tag, .user = uid};
    const struct config_limits *rule = &n->served->limits;
    if (kbps == 0)
        log_line(s->env->lg, LOG_INFO, &about, "dynamic speed limit: over");
    else if (bytes > 0)
        log_line(s->env->lg, LOG_INFO, &about,
                 "dynamic speed limit: %" PRIu64 " MB within %" PRIu32 " s: held to %g"
                 " Mbit/s for %" PRIu32 " s",
                 bytes / MB, rule->dynamic_period_s, kbps / 1000.0, rule->dynamic_expire_s);
}

static void on_moved(void *arg, uint32_t store_node, uint64_t uid, uint64_t bytes)
{
    struct dynamic_service *s = arg;

    dynamic_limits_moved(s->limits, store_node, uid, bytes, loop_now_ms(s->env->loop));
}

/* In seconds, rounded up. */
static uint32_t left_s(uint64_t until_ms, uint64_t now_ms)
{
    return until_ms > now_ms ? (uint32_t)((until_ms - now_ms + 999) / 1000) : 0;
}

void dynamic_service_keep(struct dynamic_service *s)
{
    struct store *store = s->env->store;
    uint64_t now_ms = loop_now_ms(s->env->loop), until_ms = 0;

    if (s->changed_count == 0 || !s->env->reports || store_begin(store) != ST_OK)
        return;
    enum status st = ST_OK;
    for (size_t i = 0; i < s->changed_count && st == ST_OK; i++) {
        struct dynamic_held h = {.node = s->changed[i].node, .uid = s->changed[i].uid};
        h.kbps = dynamic_limits_get(s->limits, h.node, h.uid, &until_ms);
        h.left_s = h.kbps > 0 ? left_s(until_ms, now_ms) : 0;
        st = dynamic_store_put(store, &h, loop_unix_s(s->env->loop));
    }
    if (store_finish(store, st) == ST_OK)
        s->changed_count = 0;
}

static void resume(void *arg, const struct dynamic_held *h)
{
    struct dynamic_service *s = arg;
    uint64_t until_ms = loop_now_ms(s->env->loop) + (uint64_t)h->left_s * 1000;

    if (s->ruled && !dynamic_limits_has_rule(s->limits, h->node))
        return;
    if (dynamic_limits_resume(s->limits, h->node, h->uid, h->kbps, until_ms) == ST_OK)
        s->resumed++;
}

void dynamic_service_resume(struct dynamic_service *s, bool ruled)
{
    s->resumed = 0;
    s->ruled = ruled;
    if (dynamic_store_each(s->env->store, loop_unix_s(s->env->loop), resume, s) != ST_OK)
        log_line(s->env->lg, LOG_WARNING, NULL,
                 "dynamic speed limits of the last process cannot be read: they end");
    if (s->resumed > 0)
        log_line(s->env->lg, LOG_INFO, NULL,
                 "dynamic speed limits of %zu user%s go on from the last process", s->resumed,
                 s->resumed == 1 ? "" : "s");
    arm(s);
}

void dynamic_service_sampled(struct dynamic_service *s)
{
    dynamic_limits_tick(s->limits, loop_now_ms(s->env->loop));
    dynamic_service_keep(s);
    arm(s);
}

static void on_timer(struct timer *t)
{
    dynamic_service_sampled(LIST_ENTRY(t, struct dynamic_service, timer));
}

struct dynamic_service *dynamic_service_new(struct node_env *env, const struct list *nodes)
{
    struct dynamic_service *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->env = env;
    s->nodes = nodes;
    timer_init(&s->timer, on_timer);
    s->limits = dynamic_limits_new(on_changed, s);
    if (s->limits == NULL || counters_observe(env->counters, on_moved, s) != ST_OK) {
        dynamic_service_free(s);
        return NULL;
    }
    env->dynamic = s->limits;
    return s;
}

void dynamic_service_free(struct dynamic_service *s)
{
    if (s == NULL)
        return;
    loop_timer_del(s->env->loop, &s->timer);
    s->env->dynamic = NULL;
    dynamic_limits_free(s->limits);
    free(s->changed);
    free(s);
}
