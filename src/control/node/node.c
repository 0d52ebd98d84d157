#include "control/node/node.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/json.h"
#include "control/store/counters.h"
#include "control/node/dynamic_limit.h"
#include "control/node/device_book.h"
#include "control/node/node_cache.h"
#include "control/node/node_hits.h"
#include "control/node/node_rules.h"
#include "control/node/reporter.h"
#include "control/store/store.h"
#include "control/node/views.h"

#define LISTEN_RETRY_MS     1000
#define LISTEN_RETRY_MAX_MS 30000
#define CERT_CHECK_MS       30000
#define HELD_MS             500
#define SKIPPED_NAMED       8u /* users named in one line */

bool node_url(struct node *n, enum v2sp_action action, char *url)
{
    const struct config_api *api = &n->conf->api;
    struct v2sp_peer peer = {.api_host = api->host,
                             .token = api->key,
                             .node_type = n->served != NULL ? n->served->type : api->node_type,
                             .node_id = (int64_t)api->node_id};

    if (v2sp_request_url(url, V2SP_URL_MAX, &peer, action) == ST_OK)
        return true;
    node_trouble_set(n, &n->config_trouble, 1, "ApiHost is no usable http(s) address");
    return false;
}

/* ---- serving ---- */

static void enter(struct node *n, enum node_state state)
{
    if (n->state != state)
        n->since_s = loop_unix_s(n->env->loop);
    n->state = state;
}

struct served_node *node_build(struct node *n, const char *text, size_t len)
{
    struct served_node *s = NULL;
    struct json_t *v = NULL;
    struct json_error e;
    char problem[NODE_PROBLEM_MAX];
    enum status st = json_parse(text, len, &v, &e);

    if (st != ST_OK) {
        bool html = v2sp_outcome_is_html(text, len);
        node_trouble_set(n, &n->config_trouble, 2, "config: %s",
                         html ? "the panel sent an HTML page, no API answer" : "no JSON");
        if (!html)
            snprintf(n->config_trouble.text, sizeof(n->config_trouble.text),
                     "config: no JSON (line %d: %.100s)", e.line, e.text);
        return NULL;
    }
    st = view_builder_make(n->conf, v, &s, problem);
    if (st == ST_OK)
        node_rules_load(n, v, s);
    json_unref(v);
    if (st != ST_OK) {
        uint64_t key = UINT64_C(0xcbf29ce484222325);
        for (const char *p = problem; *p != '\0'; p++)
            key = (key ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
        node_trouble_set(n, &n->config_trouble, key | 1, "config: %s", problem);
        return NULL;
    }
    if (s->notice[0] != '\0' && (n->served == NULL || strcmp(n->served->notice, s->notice) != 0))
        node_log(n, LOG_WARNING, "config: %s", s->notice);
    return s;
}

/* Users that the protocol cannot serve, for one line of the log. */
struct skipped {
    size_t count;
    char text[SKIPPED_NAMED * 64];
    size_t len;
};

static void on_skip(void *arg, const struct user_rt *u, const char *why)
{
    struct skipped *sk = arg;

    if (sk->count++ >= SKIPPED_NAMED)
        return;
    int n = snprintf(sk->text + sk->len, sizeof(sk->text) - sk->len, "%s%" PRIu64 " (%.40s)",
                     sk->len > 0 ? ", " : "", u->uid, why);
    if (n > 0 && (size_t)n < sizeof(sk->text) - sk->len)
        sk->len += (size_t)n;
}

static enum status publish(struct node *n, struct served_node *s, struct user_rt *const *removed,
                           size_t count)
{
    struct skipped skipped = {0};
    const struct views_skip skip = {on_skip, &skipped};
    enum status st =
        views_publish(n->env->views, n->env->plane, n->no, s, &n->users, removed, count, &skip);

    if (st != ST_OK)
        return st;
    if (skipped.count > 0)
        node_log(n, LOG_WARNING, "%zu users cannot be served: %s%s", skipped.count, skipped.text,
                 skipped.count > SKIPPED_NAMED ? ", ..." : "");
    if (s != n->served) {
        served_node_unref(n->served);
        n->served = served_node_ref(s);
        node_target_follow(n);
    }
    if (!n->published)
        enter(n, NODE_WAITING);
    n->published = true;
    return ST_OK;
}

void node_user_done(struct node_env *env, struct user_rt *u, bool ended)
{
    env->watch->user_gone(env->stats, u);
    counters_retire(env->counters, u->slot);
    views_user_done(env->views, u, ended);
}

static void forget_removed(struct node *n, struct users_change *change)
{
    /* Nothing was published, but the users are out of the table: the next view is without them, so
     * it takes the rest of their way. */
    for (size_t i = 0; i < change->removed_count; i++)
        if (user_unref(change->removed[i]))
            node_user_done(n->env, change->removed[i], true);
}

static void save_users(struct node *n, const struct user_list *list,
                       const struct users_change *change)
{
    enum status st = n->cache_stale ? node_cache_rewrite(n->env->store, n->store_node, &n->users)
                                    : node_cache_update(n->env->store, n->store_node, list, change);
    n->cache_stale = st != ST_OK;
}

static bool find_store_node(struct node *n)
{
    char key[CONFIG_IDENTITY_MAX];

    return store_node(n->env->store, config_node_identity(n->conf, key), &n->store_node) == ST_OK;
}

static struct users_env users_env_of(const struct node *n, const struct served_node *s)
{
    return (struct users_env){.slab = n->env->slab,
                              .counters = n->env->counters,
                              .dynamic = n->env->dynamic,
                              .node_no = n->no,
                              .store_node = n->store_node,
                              .speed_kbps = s->limits.speed_kbps,
                              .device_limit = s->limits.device,
                              .conn_limit = s->limits.conn,
                              .panel = n->panel,
                              .device_limit_kick = s->device_limit_kick};
}

enum status node_apply(struct node *n, struct served_node *own_s, struct user_list *list)
{
    struct served_node *s = own_s != NULL ? own_s : served_node_ref(n->served);
    struct users_change change = {.removed = NULL};
    /* Traffic is booked under this row: without it nothing is served. */
    enum status st = n->store_node != 0 || find_store_node(n) ? ST_OK : ST_E_IO;

    if (st == ST_OK && list != NULL) {
        struct users_env env = users_env_of(n, s);
        st = users_apply(&n->users, list, &env, &change);
    }
    for (size_t i = 0; i < change.removed_count; i++)
        n->env->watch->user_leaves(n->env->stats, change.removed[i]);
    bool moved = own_s != NULL || !n->published || change.added + change.removed_count > 0;
    if (st == ST_OK && moved) {
        st = publish(n, s, change.removed, change.removed_count);
        if (st != ST_OK)
            forget_removed(n, &change);
    }
    if (st == ST_OK && change.device_limits + change.stream_limits > 0)
        n->env->plane->count_devices(n->env->plane->self, n->no);
    if (st == ST_OK && own_s != NULL)
        st = dynamic_limits_rule(n->env->dynamic, n->store_node, &s->limits);
    if (change.removed_count > 0)
        n->env->removed(n->env->arg, n, change.removed, change.removed_count);
    if (st == ST_OK && list != NULL && !n->cached)
        save_users(n, list, &change);
    if (st == ST_OK && list != NULL && moved && !n->cached)
        node_log(n, LOG_INFO, "%zu user%s (%zu added, %zu removed, %zu changed)", n->users.count,
                 n->users.count == 1 ? "" : "s", change.added, change.removed_count,
                 change.changed);
    if (st != ST_OK)
        node_trouble_set(n, &n->config_trouble, 3, "users: cannot be applied: %s", status_str(st));
    users_change_fini(&change);
    served_node_unref(s);
    return st;
}

/* What the last run knew; the panel may be down. */
static void start_from_cache(struct node *n)
{
    struct user_list list;
    char *text = NULL;
    size_t len = 0;

    user_list_init(&list);
    if (node_cache_load_config(n->env->store, n->store_node, &text, &len) != ST_OK)
        return;
    struct served_node *s = node_build(n, text, len);
    if (s == NULL || node_cache_load_users(n->env->store, n->store_node, &list) != ST_OK) {
        served_node_unref(s);
        free(text);
        goto out;
    }
    n->cached = true;
    if (node_apply(n, s, &list) != ST_OK) {
        n->cached = false;
        free(text);
        goto out;
    }
    n->config_text = text;
    n->config_len = len;
    n->alivelist.earlier_until_s =
        (int64_t)(loop_now_ms(n->env->loop) / 1000) + NODE_DEVICES_EARLIER_S;
    node_log(n, LOG_INFO, "starts with the configuration and the %zu user%s of the last run",
             n->users.count, n->users.count == 1 ? "" : "s");
out:
    user_list_fini(&list);
}

/* ---- listening ---- */

/* A renewed certificate is taken up without the panel's help. A pair that cannot be used is tried
 * once, the old one goes on. */
static void reread_cert(struct node *n)
{
    uint64_t now = served_node_cert_now(n->served);

    if (now == 0 || now == n->served->cert_stamp || now == n->cert_tried || n->config_text == NULL)
        return;
    n->cert_tried = now;
    struct served_node *s = node_build(n, n->config_text, n->config_len);
    if (s != NULL && node_apply(n, s, NULL) == ST_OK)
        node_log(n, LOG_INFO, "the certificate's files have changed: read again");
}

/* Other rules hold from the next session on. */
static void reread_rules(struct node *n)
{
    if (n->config_text == NULL || !node_rules_stale(n))
        return;
    struct served_node *s = node_build(n, n->config_text, n->config_len);
    if (s != NULL && node_apply(n, s, NULL) == ST_OK)
        node_log(n, LOG_INFO, "the file of its block rules has changed: read again");
}

static void on_listen_timer(struct timer *t)
{
    struct node *n = LIST_ENTRY(t, struct node, listen_timer);

    if (n->state >= NODE_DRAINING || n->served == NULL)
        return;
    if (n->listening) {
        /* A renewed certificate is taken up without the panel's help. */
        reread_cert(n);
        loop_timer_in(n->env->loop, &n->listen_timer, CERT_CHECK_MS);
        return;
    }
    /* The same view again makes the workers try again. */
    if (publish(n, n->served, NULL, 0) != ST_OK)
        loop_timer_in(n->env->loop, &n->listen_timer, LISTEN_RETRY_MAX_MS);
}

void node_on_listening(struct node *n, struct why why, const struct addr *where)
{
    char at[ADDR_STRLEN] = "?";

    if (n->state >= NODE_DRAINING)
        return;
    if (why.status == ST_OK) {
        if (!n->listening)
            node_log(n, LOG_INFO, "serving %s on port %u", n->served != NULL ? n->served->type : "",
                     n->served != NULL ? n->served->port : 0u);
        node_trouble_clear(n, &n->listen_trouble, NULL);
        n->listening = true;
        n->listen_fails = 0;
        enter(n, NODE_RUNNING);
        loop_timer_in(n->env->loop, &n->listen_timer, CERT_CHECK_MS);
        n->env->listens(n->env->arg);
        return;
    }
    if (where != NULL)
        addr_str(where, at);
    n->listening = false;
    enter(n, NODE_WAITING);
    if (why.status == ST_E_BUSY)
        node_trouble_set(n, &n->listen_trouble, 1,
                         "%s is in use by another program or node: waiting for it", at);
    else
        node_trouble_set(n, &n->listen_trouble, 2 + (uint64_t)why.number,
                         "cannot listen on %s: %s: trying again", at, strerror((int)why.number));
    uint64_t delay = (uint64_t)LISTEN_RETRY_MS << (n->listen_fails < 5 ? n->listen_fails : 5);
    n->listen_fails++;
    loop_timer_in(n->env->loop, &n->listen_timer,
                  delay < LISTEN_RETRY_MAX_MS ? delay : LISTEN_RETRY_MAX_MS);
}

/* ---- life ---- */

static void on_pull_timer(struct timer *t)
{
    struct node *n = LIST_ENTRY(t, struct node, pull.timer);

    if (n->env->holds)
        loop_timer_in(n->env->loop, t, HELD_MS);
    else if (n->state < NODE_DRAINING)
        node_pull_start(n);
}

void node_hold(struct node *n)
{
    if (n->pulling == NULL)
        return;
    node_pull_cancel(n);
    loop_timer_in(n->env->loop, &n->pull.timer, HELD_MS);
}

struct node *node_new(struct node_env *env, const struct config *cfg,
                      const struct config_node *conf, uint32_t delay_ms)
{
    struct node *n = calloc(1, sizeof(*n));

    if (n == NULL)
        return NULL;
    n->env = env;
    n->conf = conf;
    list_init(&n->link);
    list_init(&n->panel_link);
    timer_init(&n->pull.timer, on_pull_timer);
    timer_init(&n->listen_timer, on_listen_timer);
    node_target_init(n);
    if (views_take_no(env->views, &n->no) != ST_OK) {
        free(n);
        return NULL;
    }
    n->config = config_ref(cfg);
    n->since_s = loop_unix_s(env->loop);
    env->watch->node_begin(env->stats, n);
    n->reporter = reporter_new(n);
    if (n->reporter == NULL || !device_panel_join(env->devices, n)) {
        node_free(n);
        return NULL;
    }
    if (find_store_node(n))
        start_from_cache(n);
    if (env->pulls)
        node_begin(n, delay_ms);
    return n;
}

void node_begin(struct node *n, uint32_t delay_ms)
{
    loop_timer_in(n->env->loop, &n->pull.timer, delay_ms);
    reporter_start(n->reporter);
}

void node_free(struct node *n)
{
    if (n == NULL)
        return;
    node_pull_cancel(n);
    node_target_stop(n);
    node_tails_forget(n);
    node_devices_forget(n);
    device_panel_leave(n);
    reporter_free(n->reporter);
    node_hits_keep(n);
    node_hits_unref(n->hits);
    n->env->watch->node_end(n->env->stats, n);
    loop_timer_del(n->env->loop, &n->pull.timer);
    loop_timer_del(n->env->loop, &n->listen_timer);
    list_del(&n->link);
    users_table_fini(&n->users);
    served_node_unref(n->served);
    free(n->config_text);
    views_give_no(n->env->views, n->no);
    config_unref(n->config);
    free(n);
}

void node_reconfigure(struct node *n, const struct config *cfg, const struct config_node *conf)
{
    const struct config *old = n->config;
    bool same = config_node_equal(n->conf, conf);

    n->config = config_ref(cfg);
    n->conf = conf;
    config_unref(old);
    n->env->watch->node_begin(n->env->stats, n);
    if (same) {
        if (n->served != NULL && n->state < NODE_DRAINING) {
            reread_cert(n);
            reread_rules(n);
        }
        return;
    }
    node_pull_cancel(n);
    node_trouble_clear(n, &n->config_trouble, NULL);
    if (n->config_text != NULL) {
        struct served_node *s = node_build(n, n->config_text, n->config_len);
        n->rebuild = s == NULL || node_apply(n, s, NULL) != ST_OK;
        if (!n->rebuild)
            node_log(n, LOG_INFO, "options changed: applied");
    }
    /* Limits are merged into the users: the whole list is needed once more. */
    n->want_full = true;
    n->pull.fails = 0;
    if (n->env->pulls)
        loop_timer_in(n->env->loop, &n->pull.timer, 0);
}

const char *node_state_str(enum node_state state)
{
    static const char *const states[] = {[NODE_STARTING] = "starting",
                                         [NODE_WAITING] = "waiting",
                                         [NODE_RUNNING] = "running",
                                         [NODE_DRAINING] = "draining",
                                         [NODE_ENDED] = "draining"};
    return states[state];
}

const char *node_problem(const struct node *n)
{
    if (n->listen_trouble.key != 0)
        return n->listen_trouble.text;
    if (n->config_trouble.key != 0)
        return n->config_trouble.text;
    if (n->pull.trouble.key != 0)
        return n->pull.trouble.text;
    const char *problem = reporter_problem(n->reporter);
    if (problem[0] != '\0')
        return problem;
    return n->rules_trouble.key != 0 ? n->rules_trouble.text : n->target.trouble.text;
}

void node_drain(struct node *n, uint32_t drain_ms)
{
    if (n->state >= NODE_DRAINING)
        return;
    enter(n, NODE_DRAINING);
    node_pull_cancel(n);
    node_devices_forget(n);
    node_target_stop(n);
    loop_timer_del(n->env->loop, &n->pull.timer);
    loop_timer_del(n->env->loop, &n->listen_timer);
    if (n->published)
        n->env->plane->remove(n->env->plane->self, n->no, drain_ms);
    else
        node_on_gone(n);
}

void node_on_gone(struct node *n)
{
    if (n->state != NODE_DRAINING || n->gone)
        return;
    n->gone = true;
    for (size_t i = 0; i < n->users.count; i++) {
        struct user_rt *u = n->users.by_id[i];
        atomic_store_explicit(&u->removed, true, memory_order_release);
        n->env->watch->user_leaves(n->env->stats, u);
        if (user_unref(u)) /* else a session is still ending: the plane tells */
            node_user_done(n->env, u, true);
    }
    n->users.count = 0;
    n->users.version++;
    reporter_finish(n->reporter);
}

void node_abandon(struct node *n)
{
    if (n->state == NODE_DRAINING && !n->gone)
        node_on_gone(n);
    reporter_abandon(n->reporter);
}
