#include "control/controller.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "control/admin/admin.h"
#include "control/admin/metrics.h"
#include "control/admin/spool_service.h"
#include "control/admin/status.h"
#include "control/controller_state.h"
#include "control/device_guests.h"
#include "control/joint_speed.h"
#include "control/node/device_book.h"
#include "control/node/dynamic_service.h"
#include "control/node/node.h"
#include "control/node/node_hits.h"
#include "control/node/reporter.h"
#include "control/node/rule_lists.h"
#include "control/node/views.h"
#include "control/stats/stats.h"
#include "control/stats/stats_service.h"
#include "control/store/counters.h"
#include "control/store/store.h"
#include "io/resolver.h"

#define SAMPLE_MS   5000
#define SAMPLE_MANY 25000
#define RETRY_MS    100

/* ---- from the plane ---- */

static struct node *find(struct controller *c, uint32_t no)
{
    return no < VIEW_NODES_MAX ? c->by_no[no] : NULL;
}

static void on_listening(void *self, uint32_t no, struct why why, const struct addr *where)
{
    struct node *n = find(self, no);

    if (n != NULL)
        node_on_listening(n, why, where);
}

static void on_node_gone(void *self, uint32_t no)
{
    struct controller *c = self;
    struct node *n = find(c, no);

    if (n == NULL)
        return;
    /* In the middle of three: what the outer two say to each other goes by the users here. */
    n->lingers = c->leaving && c->earlier;
    if (!n->lingers)
        node_on_gone(n);
}

static void on_alive(void *self, uint32_t no, const struct plane_alive *list, size_t count)
{
    struct node *n = find(self, no);

    if (n != NULL)
        reporter_on_alive(n->reporter, list, count);
}

static void on_devices_counted(void *self, uint32_t no)
{
    struct node *n = find(self, no);

    if (n != NULL)
        device_panel_trim(n);
}

static void on_user_released(void *self, struct user_rt *u)
{
    struct controller *c = self;
    struct node *n = find(c, u->node);

    node_user_done(&c->env, u, n == NULL || n->gone);
}

/* ---- life ---- */

static void on_sample(struct timer *t)
{
    struct controller *c = LIST_ENTRY(t, struct controller, sample_timer);
    uint64_t pause = SAMPLE_MS;
    size_t moved = 0;

    /* What cannot be stored now waits in the counters; the store has said so. */
    if (counters_sample(c->env.counters, loop_unix_s(c->env.loop), &moved) == ST_E_NOMEM)
        log_line(c->env.lg, LOG_WARNING, NULL, "no memory for a sample of the counters");
    dynamic_service_sampled(c->dynamic);
    LIST_FOREACH(l, tmp, &c->nodes)
        node_hits_keep(LIST_ENTRY(l, struct node, link));
    /* A few microseconds a user: many at once are written less often. The counters themselves are
     * safe from all but a power cut. */
    if (moved > SAMPLE_MANY)
        pause = pause * moved / SAMPLE_MANY;
    if (counters_has_others(c->env.counters))
        counters_recover(c->env.counters);
    loop_timer_in(c->env.loop, t, pause);
}

static void on_listens(void *arg)
{
    const struct controller *c = arg;

    if (c->setup.listens != NULL)
        c->setup.listens(c->setup.arg);
}

static void on_removed(void *arg, const struct node *n, struct user_rt *const *list, size_t count)
{
    const struct controller *c = arg;
    struct controller_user u[CONTROLLER_USERS_MAX];

    for (size_t i = 0; c->setup.removed != NULL && i < count;) {
        size_t k = 0;
        for (; k < CONTROLLER_USERS_MAX && i < count; k++, i++)
            u[k] = controller_name(n, list[i]);
        c->setup.removed(c->setup.arg, u, k);
    }
}

void controller_check_stopped(struct controller *c)
{
    /* Our end tells the next process that nobody pushes any more. */
    bool quiet = !c->leaving || c->entitled;

    if (c->stopping && quiet && list_empty(&c->nodes))
        loop_task_add(c->env.loop, &c->stop_task);
}

static void on_ended(void *arg, struct node *n)
{
    struct controller *c = arg;

    c->by_no[n->no] = NULL;
    node_free(n);
    controller_check_stopped(c);
}

static void on_stopped(struct task *t)
{
    struct controller *c = LIST_ENTRY(t, struct controller, stop_task);
    void (*done)(void *) = c->done;

    loop_timer_del(c->env.loop, &c->stop_timer);
    c->done = NULL;
    if (done != NULL)
        done(c->done_arg);
}

static void on_stop_timer(struct timer *t)
{
    struct controller *c = LIST_ENTRY(t, struct controller, stop_timer);

    LIST_FOREACH(l, tmp, &c->nodes)
        node_abandon(CONTROLLER_NODE(l));
}

static bool make_stats(struct controller *c)
{
    const struct controller_setup *s = &c->setup;
    const struct stats_setup stats = {
        .plane = s->plane, .counters = c->env.counters, .nodes = &c->nodes};

    c->env.stats = stats_new(&stats);
    const struct stats_service_setup service = {.loop = s->loop,
                                                .log = s->log,
                                                .plane = s->plane,
                                                .stats = c->env.stats,
                                                .nodes = &c->nodes};
    c->service = c->env.stats != NULL ? stats_service_new(&service) : NULL;
    const struct metrics_setup metrics = {.env = &c->env, .nodes = &c->nodes};
    c->metrics = c->service != NULL ? metrics_new(&metrics) : NULL;
    c->admin = c->metrics != NULL ? admin_new(s->loop, s->log, s->state_dir) : NULL;
    c->status = c->admin != NULL ? status_desk_new(&c->env, &c->nodes, c->admin) : NULL;
    c->spool = c->status != NULL ? spool_service_new(&c->env, &c->nodes, c->admin) : NULL;
    return c->spool != NULL;
}

static bool make_parts(struct controller *c)
{
    const struct controller_setup *s = &c->setup;
    struct node_env *e = &c->env;
    const char *run = s->runtime_dir != NULL ? s->runtime_dir : s->state_dir;

    return rng_init(&e->rng) == ST_OK && (e->store = store_open(s->state_dir, s->log)) != NULL &&
           (e->counters = counters_open(run, e->store, s->plane->workers, s->log)) != NULL &&
           (e->slab = user_slab_new()) != NULL && (e->devices = device_book_new(e)) != NULL &&
           (c->guests = device_guests_new(e->devices)) != NULL &&
           (c->speed = joint_speed_new()) != NULL && (e->rules = rule_lists_new()) != NULL &&
           (c->dynamic = dynamic_service_new(e, &c->nodes)) != NULL &&
           (e->views = views_new(s->loop, e->slab, rng_u64(&e->rng))) != NULL &&
           (e->client = panel_client_new(s->loop, RETRY_MS)) != NULL && make_stats(c);
}

static const struct node_watch watch = {.node_begin = stats_node_begin,
                                        .node_end = stats_node_end,
                                        .user_leaves = stats_user_leaves,
                                        .user_gone = stats_user_gone};

struct controller *controller_new(const struct controller_setup *setup)
{
    struct controller *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->setup = *setup;
    c->env = (struct node_env){.loop = setup->loop,
                               .watch = &watch,
                               .lg = setup->log,
                               .plane = setup->plane,
                               .ended = on_ended,
                               .listens = on_listens,
                               .removed = on_removed,
                               .left_online = controller_left_online,
                               .present = controller_present,
                               .arg = c,
                               .pulls = !setup->held,
                               .reports = !setup->held};
    c->sink = (struct plane_sink){.self = c,
                                  .listening = on_listening,
                                  .node_gone = on_node_gone,
                                  .alive = on_alive,
                                  .devices_counted = on_devices_counted,
                                  .streams_taken = controller_streams_taken,
                                  .user_released = on_user_released};
    c->entitled = !setup->held;
    c->earlier = setup->held;
    list_init(&c->nodes);
    list_init(&c->env.sending);
    timer_init(&c->sample_timer, on_sample);
    timer_init(&c->stop_timer, on_stop_timer);
    task_init(&c->stop_task, on_stopped);
    if (!make_parts(c)) {
        controller_free(c);
        return NULL;
    }
    if (!setup->held)
        dynamic_service_resume(c->dynamic, false);
    loop_timer_in(setup->loop, &c->sample_timer, SAMPLE_MS);
    return c;
}

void controller_free(struct controller *c)
{
    if (c == NULL)
        return;
    loop_timer_del(c->env.loop, &c->sample_timer);
    loop_timer_del(c->env.loop, &c->stop_timer);
    loop_task_del(c->env.loop, &c->stop_task);
    admin_free(c->admin);
    spool_service_free(c->spool);
    status_desk_free(c->status);
    metrics_free(c->metrics);
    stats_service_free(c->service);
    /* The workers are gone, and nobody can ask any more. */
    if (c->env.stats != NULL && stats_configure(c->env.stats, NULL) != ST_OK)
        log_line(c->env.lg, LOG_DEBUG, NULL, "counters stay");
    device_guests_free(c->guests);
    while (!list_empty(&c->nodes))
        node_free(CONTROLLER_NODE(c->nodes.next));
    dynamic_service_free(c->dynamic);
    stats_free(c->env.stats);
    resolver_free(c->env.resolver);
    panel_client_free(c->env.client);
    views_free(c->env.views);
    counters_close(c->env.counters); /* takes the last sums of whoever was still there */
    rule_lists_free(c->env.rules);
    user_slab_free(c->env.slab);
    device_book_free(c->env.devices);
    store_close(c->env.store);
    joint_speed_free(c->speed);
    rng_fini(&c->env.rng);
    free(c);
}

const struct meter *controller_meter(const struct controller *c, unsigned worker)
{
    return counters_meter(c->env.counters, worker);
}

const struct plane_sink *controller_sink(struct controller *c)
{
    return &c->sink;
}

struct admin *controller_admin(struct controller *c)
{
    return c->admin;
}

/* ---- configuration ---- */

static struct node *find_same(struct controller *c, const struct config_node *conf)
{
    LIST_FOREACH(l, tmp, &c->nodes) {
        struct node *n = CONTROLLER_NODE(l);
        if (n->state < NODE_DRAINING && config_node_same(n->conf, conf))
            return n;
    }
    return NULL;
}

static bool wanted(const struct node *n, const struct config *cfg)
{
    for (size_t i = 0; i < cfg->node_count; i++)
        if (config_node_same(n->conf, &cfg->nodes[i]))
            return true;
    return false;
}

static enum status add_node(struct controller *c, const struct config *cfg,
                            const struct config_node *conf, unsigned *added)
{
    struct log_about about = {.node = conf->tag};
    struct node *n = node_new(&c->env, cfg, conf, *added * CONTROLLER_STAGGER_MS);

    if (n == NULL) {
        log_line(c->env.lg, LOG_ERROR, &about, "not started: over %d nodes, or no memory",
                 VIEW_NODES_MAX);
        return ST_E_LIMIT;
    }
    if (conf->api.insecure)
        log_line(c->env.lg, LOG_WARNING, &about,
                 "ApiInsecure: the panel's certificate is not checked");
    ++*added;
    c->by_no[n->no] = n;
    list_add_tail(&c->nodes, &n->link);
    return ST_OK;
}

void controller_apply_ports(struct controller *c, const struct config *cfg)
{
    stats_service_apply(c->service, &cfg->stats);
    metrics_apply(c->metrics, &cfg->metrics);
}

enum status controller_apply(struct controller *c, const struct config *cfg)
{
    enum status st = ST_OK;
    unsigned added = 0;
    size_t ending = 0;

    if (c->stopping)
        return ST_OK;
    LIST_FOREACH(l, tmp, &c->nodes) {
        struct node *n = CONTROLLER_NODE(l);
        if (n->state < NODE_DRAINING && !wanted(n, cfg)) {
            node_log(n, LOG_INFO, "no longer configured: ends");
            node_drain(n, n->served != NULL ? n->served->drain_ms : 0);
        }
        ending += n->state >= NODE_DRAINING;
    }
    for (size_t i = 0; i < cfg->node_count; i++) {
        const struct config_node *conf = &cfg->nodes[i];
        struct node *n = find_same(c, conf);
        if (n == NULL) {
            enum status one = add_node(c, cfg, conf, &added);
            st = one != ST_OK ? one : st;
            continue;
        }
        list_del(&n->link);
        list_add_tail(&c->nodes, &n->link);
        node_reconfigure(n, cfg, conf);
    }
    /* Those that end stand at the front now. */
    for (size_t i = 0; i < ending; i++) {
        struct list *l = c->nodes.next;
        list_del(l);
        list_add_tail(&c->nodes, l);
    }
    if (c->env.pulls)
        controller_apply_ports(c, cfg);
    device_book_follow(c->env.devices);
    return st;
}

void controller_stop(struct controller *c, uint32_t drain_ms, uint32_t push_ms,
                     void (*done)(void *arg), void *arg)
{
    if (c->stopping)
        return;
    c->stopping = true;
    c->done = done;
    c->done_arg = arg;
    stats_service_stop(c->service);
    dynamic_service_keep(c->dynamic);
    LIST_FOREACH(l, tmp, &c->nodes)
        node_drain(CONTROLLER_NODE(l), drain_ms);
    loop_timer_in(c->env.loop, &c->stop_timer, (uint64_t)drain_ms + push_ms);
    controller_check_stopped(c);
}

void controller_poke(struct controller *c)
{
    LIST_FOREACH(l, tmp, &c->nodes) {
        struct node *n = CONTROLLER_NODE(l);
        if (n->state >= NODE_DRAINING)
            continue;
        node_pull_poke(n);
        reporter_poke(n->reporter);
    }
}

/* ---- status ---- */

static void fill_status(const struct controller *c, const struct node *n,
                        struct controller_node_status *s)
{
    *s = (struct controller_node_status){.tag = n->conf->tag,
                                         .state = node_state_str(n->state),
                                         .serving = n->listening,
                                         .port = n->served != NULL ? n->served->port : (uint16_t)0,
                                         .users = (uint32_t)n->users.count,
                                         .pulled_s = n->pulled_s};
    snprintf(s->problem, sizeof(s->problem), "%s", node_problem(n));
    reporter_pushed(n->reporter, &s->pushed_up, &s->pushed_down);
    c->env.plane->stats(c->env.plane->self, n->no, &s->stats);
}

size_t controller_status(const struct controller *c, struct controller_node_status *out, size_t max)
{
    size_t i = 0;

    LIST_FOREACH(l, tmp, &c->nodes) {
        if (i < max)
            fill_status(c, CONTROLLER_NODE(l), &out[i]);
        i++;
    }
    return i;
}
