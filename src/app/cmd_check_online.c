/* "v2sp check --online": every panel is asked once, all at the same time, and the targets of
 * REALITY nodes are looked at. */
#include "app/cmd_check.h"
#include "app/check_target.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "codec/json.h"
#include "control/config/config.h"
#include "control/node/node_config.h"
#include "control/node/panel_client.h"
#include "control/node/rule_lists.h"
#include "control/node/view_builder.h"
#include "io/loop.h"
#include "io/resolver.h"
#include "panel/v2sp/outcome.h"
#include "panel/v2sp/request.h"
#include "panel/v2sp/user_list.h"

struct inquiry {
    const struct config_node *node;
    struct panel_client *client;
    struct loop *loop;
    struct resolver *resolver; /* may be NULL */
    struct check_target *target;
    struct config_options listens; /* only the addresses and the port */
    struct v2sp_user_list list;
    struct v2sp_reply_error list_error;
    unsigned *open; /* inquiries that still run */
    uint64_t users, skipped;
    unsigned warnings;
    char says[320];
    bool good;
};

static void finish(struct inquiry *q, bool good)
{
    q->good = good;
    (*q->open)--;
}

static enum status count_user(void *arg, const struct v2sp_user *u)
{
    struct inquiry *q = arg;
    (void)u;
    q->users++;
    return ST_OK;
}

static void count_skipped(void *arg, uint64_t id, uint64_t index, const char *text)
{
    struct inquiry *q = arg;
    (void)id;
    (void)index;
    (void)text;
    q->skipped++;
}

/* What went wrong with a call, in words. False if nothing did. */
static bool failed(struct inquiry *q, const char *action, const struct panel_reply *r)
{
    char message[160] = "";
    enum v2sp_outcome o = v2sp_outcome_of(r->http, r->sent, false);
    if (r->status == ST_OK && o == V2SP_DONE)
        return false;
    if (r->http != 0)
        v2sp_outcome_message(message, sizeof(message), r->body, r->body_len);
    else
        snprintf(message, sizeof(message), "%.150s", r->text);
    if (r->http != 0)
        snprintf(q->says, sizeof(q->says), "%s: HTTP %ld, %s: %s", action, r->http,
                 v2sp_outcome_str(o), message);
    else
        snprintf(q->says, sizeof(q->says), "%s: %s: %s", action, v2sp_outcome_str(o), message);
    return true;
}

static bool ask(struct inquiry *q, enum v2sp_action action, const char *type,
                struct panel_request *r)
{
    char url[V2SP_URL_MAX];
    struct v2sp_peer peer = {
        .api_host = q->node->api.host,
        .token = q->node->api.key,
        .node_type = type,
        .node_id = (int64_t)q->node->api.node_id,
    };
    if (v2sp_request_url(url, sizeof(url), &peer, action) != ST_OK) {
        snprintf(q->says, sizeof(q->says), "ApiHost is no usable address");
        return false;
    }
    r->api = &q->node->api;
    r->url = url;
    r->reply_max = 256u << 20;
    r->arg = q;
    bool started = panel_start(q->client, r) != NULL;
    if (!started)
        snprintf(q->says, sizeof(q->says), "out of memory");
    explicit_bzero(url, sizeof(url));
    return started;
}

/* ---- users ---------------------------------------------------------------------------------- */

static enum status take_users(void *arg, const void *p, size_t len)
{
    struct inquiry *q = arg;
    return v2sp_user_list_feed(&q->list, p, len, &q->list_error);
}

static void restart_users(void *arg)
{
    struct inquiry *q = arg;
    q->users = q->skipped = 0;
    v2sp_user_list_init(&q->list, count_user, count_skipped, NULL, q);
}

static void users_done(void *arg, const struct panel_reply *r)
{
    struct inquiry *q = arg;
    size_t used = strlen(q->says);
    char head[sizeof(q->says)];
    memcpy(head, q->says, used + 1);
    if (r->http == 200 &&
        (r->status != ST_OK || v2sp_user_list_end(&q->list, &q->list_error) != ST_OK) &&
        q->list_error.text[0] != '\0') {
        snprintf(q->says, sizeof(q->says), "user: %s", q->list_error.text);
        finish(q, false);
        return;
    }
    if (failed(q, "user", r)) {
        finish(q, false);
        return;
    }
    snprintf(q->says, sizeof(q->says), "%.200s, %" PRIu64 " user%s", head, q->users,
             q->users == 1 ? "" : "s");
    used = strlen(q->says);
    if (q->skipped != 0)
        snprintf(q->says + used, sizeof(q->says) - used, " (%" PRIu64 " more are unusable)",
                 q->skipped);
    finish(q, true);
}

/* ---- configuration -------------------------------------------------------------------------- */

/* A REALITY node is built as it would be served, and its target looked at meanwhile. */
static enum status look_at_target(struct inquiry *q, const struct json_t *reply,
                                  char problem[NODE_PROBLEM_MAX])
{
    struct served_node *s = NULL;
    enum status st = view_builder_make(q->node, reply, &s, problem);
    if (st == ST_OK)
        q->target = check_target_start(q->loop, q->resolver, q->node, s, q->open);
    return st;
}

static void warn(struct inquiry *q, const char *text)
{
    fprintf(stderr, "%s:%d:%d: warning: node %s: %s\n", q->node->file, q->node->line,
            q->node->column, q->node->tag, text);
    q->warnings++;
}

/* What the log of a running node would say of them. */
static void warn_of_rules(struct inquiry *q, const struct json_t *routes)
{
    struct rule_lists *lists = rule_lists_new();
    struct rule_list *l = NULL;
    char more[64];

    if (lists == NULL || rule_lists_panel(lists, routes, &l) != ST_OK)
        warn(q, "routes: no memory for the block rules");
    for (unsigned i = 0; l != NULL && i < l->note_count; i++)
        warn(q, l->notes[i]);
    if (l != NULL && l->more > 0) {
        snprintf(more, sizeof(more), "%zu more rules are skipped", l->more);
        warn(q, more);
    }
    rule_list_unref(l);
    rule_lists_free(lists);
}

/* Judges the answer and puts it into words; the node type for the next call in @type. */
static bool read_config(struct inquiry *q, const struct panel_reply *r, char type[32])
{
    struct json_t *reply;
    struct json_error err;
    struct node_config conf;
    char problem[NODE_PROBLEM_MAX] = "";
    if (json_parse(r->body, r->body_len, &reply, &err) != ST_OK) {
        snprintf(
            q->says, sizeof(q->says), "config: %s",
            v2sp_outcome_is_html(r->body, r->body_len)
                ? "the answer is a web page, not JSON; is ApiHost the whole address of the API?"
                : err.text);
        return false;
    }
    struct arena *a = arena_new();
    enum status st = a != NULL ? node_config_read(a, q->node, reply, &conf, problem) : ST_E_NOMEM;
    if (st == ST_OK && strcmp(conf.security, "reality") == 0)
        st = look_at_target(q, reply, problem);
    if (st == ST_OK) {
        snprintf(q->says, sizeof(q->says), "port %u, %s over %s%s%s%s", conf.port, conf.type,
                 conf.network, strcmp(conf.security, "none") == 0 ? "" : " with ",
                 strcmp(conf.security, "none") == 0 ? "" : conf.security,
                 conf.tls_elsewhere ? " (TLS ended elsewhere)" : "");
        snprintf(type, 32, "%.31s", conf.type);
        memcpy(q->listens.listen, conf.options.listen, sizeof(q->listens.listen));
        q->listens.listen_count = conf.options.listen_count;
        q->listens.port = conf.port;
        if (conf.notice[0] != '\0')
            warn(q, conf.notice);
        if (!conf.options.no_panel_rules)
            warn_of_rules(q, conf.object.routes);
    } else {
        snprintf(q->says, sizeof(q->says), "config: %s", problem[0] ? problem : status_str(st));
    }
    arena_free(a);
    json_unref(reply);
    return st == ST_OK;
}

static void config_done(void *arg, const struct panel_reply *r)
{
    struct inquiry *q = arg;
    char type[32];
    if (failed(q, "config", r) || !read_config(q, r, type)) {
        finish(q, false);
        return;
    }
    restart_users(q);
    struct panel_request users = {.data = take_users, .restart = restart_users, .done = users_done};
    if (!ask(q, V2SP_USER, type, &users))
        finish(q, false);
}

/* Two nodes to which the panels give one port, or to one of them the port of another's file. */
static void judge_ports(struct inquiry *list, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct inquiry *q = &list[i];
        for (size_t j = 0; j < i && q->good; j++) {
            const struct inquiry *o = &list[j];
            if (!o->good || !config_listens_clash(&o->listens, &q->listens))
                continue;
            q->good = false;
            snprintf(q->says, sizeof(q->says),
                     "listens on port %u like %.100s (line %d of %.100s); two nodes cannot share a "
                     "port",
                     q->listens.port, o->node->tag, o->node->line, o->node->file);
        }
    }
}

unsigned check_online(const struct config *cfg, unsigned *warnings)
{
    struct loop *loop = loop_new();
    struct panel_client *client = loop != NULL ? panel_client_new(loop, 100) : NULL;
    struct resolver *resolver = NULL;
    struct inquiry *list = calloc(cfg->node_count + 1, sizeof(*list));
    unsigned open = 0, bad = 0;
    if (client == NULL || list == NULL) {
        fprintf(stderr, "v2sp check: out of memory\n");
        bad = 1;
        goto out;
    }
    /* Without one only targets named by address can be looked at, which is said then. */
    if (resolver_new(loop, NULL, &resolver) != ST_OK)
        resolver = NULL;
    for (size_t i = 0; i < cfg->node_count; i++) {
        struct inquiry *q = &list[i];
        struct panel_request r = {.done = config_done};
        *q = (struct inquiry){.node = &cfg->nodes[i],
                              .client = client,
                              .loop = loop,
                              .resolver = resolver,
                              .open = &open};
        open++;
        if (!ask(q, V2SP_CONFIG, q->node->api.node_type, &r))
            finish(q, false);
    }
    while (open > 0)
        loop_once(loop, 1000);
    judge_ports(list, cfg->node_count);
    for (size_t i = 0; i < cfg->node_count; i++) {
        const struct inquiry *q = &list[i];
        bad += !q->good;
        fprintf(q->good ? stdout : stderr, "%s:%d:%d: %s: node %s: %s\n", q->node->file,
                q->node->line, q->node->column, q->good ? "ok" : "error", q->node->tag, q->says);
        bad += check_target_end(q->target, warnings);
        *warnings += q->warnings;
    }
out:
    free(list);
    resolver_free(resolver);
    panel_client_free(client);
    loop_free(loop);
    return bad;
}
