#include "control/dynamic_service.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "control/counters.h"
#include "control/dynamic_limit.h"
#include "control/node.h"
#include "control/users.h"

#define MB 1000000u

struct dynamic_service {
    struct node_env *env;
    const struct list *nodes;
    struct dynamic_limits *limits;
    struct timer timer; /* for the limit that ends first */
};

static struct node *find(const struct dynamic_service *s, uint32_t store_node)
{
    LIST_FOREACH(l, tmp, s->nodes)
    {
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

static void on_changed(void *arg, uint32_t store_node, uint64_t uid, uint32_t kbps, uint64_t bytes)
{
    struct dynamic_service *s = arg;
    struct node *n = find(s, store_node);

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

void dynamic_service_sampled(struct dynamic_service *s)
{
    dynamic_limits_tick(s->limits, loop_now_ms(s->env->loop));
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
    free(s);
}
