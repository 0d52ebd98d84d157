#include "control/node/node.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/json.h"
#include "control/node/node_cache.h"
#include "control/node/node_devices.h"
#include "control/node/reporter.h"
#include "crypto/mem.h"
#include "panel/v2sp/alive_list.h"
#include "panel/v2sp/user_list.h"

#define CONFIG_MAX      (8u * 1024 * 1024) /* 100,000 block rules are 3 MB */
#define USERS_BYTES_MAX (256u * 1024 * 1024)
#define ALIVE_BYTES_MAX (32u * 1024 * 1024)
#define GUARD_MIN       20u /* a list may lose that many users without being doubted */

/* One pull: config -> user -> alivelist. */
struct pull {
    struct node *n;
    char *text; /* new configuration; NULL: none, or the same */
    size_t len;
    struct served_node *served; /* built from it */
    bool config_bad;            /* it was there but cannot be used: its ETag is not kept */
    char etag[PANEL_ETAG_MAX];  /* of the configuration */
    struct user_list list;
    uint64_t skipped;
    char skip_text[80]; /* about the first skipped user */
    uint64_t odd_limits;
    char odd_text[80]; /* about the first of them */
    struct v2sp_reply_error err;
    struct node_online *alive;
    size_t alive_count, alive_room;
    union {
        struct v2sp_user_list users;
        struct v2sp_alive_list alive;
    } reader;
};

static uint64_t interval_of(const struct node *n)
{
    return (n->served != NULL ? n->served->pull_s : 60u) * UINT64_C(1000);
}

void node_pull_cancel(struct node *n)
{
    struct pull *p = n->pulling;

    panel_cancel(n->pull.call);
    n->pull.call = NULL;
    n->pulling = NULL;
    if (p == NULL)
        return;
    user_list_fini(&p->list);
    served_node_unref(p->served);
    free(p->text);
    free(p->alive);
    crypto_wipe(&p->reader, sizeof(p->reader));
    free(p);
}

/* Somebody wanted a pull while one was under way, which may have come too early. */
static void pull_again(struct node *n)
{
    if (n->pull_again)
        loop_timer_in(n->env->loop, &n->pull.timer, 0);
    n->pull_again = false;
}

static void fail(struct node *n, const char *what, enum v2sp_outcome o, const struct panel_reply *r,
                 const char *text)
{
    char copy[NODE_PROBLEM_MAX];

    snprintf(copy, sizeof(copy), "%s", text); /* it may lie in the pull that ends here */
    node_pull_cancel(n);
    node_devices_age(n); /* the list it has grows older */
    node_job_failed(n, &n->pull, what, o, r, copy, interval_of(n));
    pull_again(n);
}

/* A call that did not bring a usable 200 or 304: ends the pull and returns true. */
static bool failed(struct node *n, const char *what, const struct panel_reply *r)
{
    enum v2sp_outcome o = v2sp_outcome_of(r->http, r->sent, false);
    char text[NODE_PROBLEM_MAX] = "";

    if ((o == V2SP_DONE || o == V2SP_UNCHANGED) && r->status == ST_OK)
        return false;
    if (o == V2SP_DONE) {
        o = V2SP_BAD_REPLY;
        snprintf(text, sizeof(text), "%.150s",
                 v2sp_outcome_is_html(r->body, r->body_len) ? "an HTML page, no API answer"
                 : n->pulling->err.text[0] != '\0'          ? n->pulling->err.text
                                                            : r->text);
    } else if (r->http != 0) {
        v2sp_outcome_message(text, sizeof(text), r->body, r->body_len);
    } else {
        snprintf(text, sizeof(text), "%.150s", r->text);
    }
    fail(n, what, o, r, text);
    return true;
}

static void start_call(struct node *n, enum v2sp_action action, struct panel_request *q)
{
    char url[V2SP_URL_MAX];

    q->api = &n->conf->api;
    q->url = url;
    q->arg = n->pulling;
    if (node_url(n, action, url))
        n->pull.call = panel_start(n->env->client, q);
    if (n->pull.call == NULL)
        fail(n, v2sp_action_str(action), V2SP_UNREACHABLE, NULL, "the call cannot be started");
}

/* ---- alivelist ---- */

static void done(struct node *n)
{
    bool back = n->pull.fails > 0;

    node_pull_cancel(n);
    node_devices_age(n);
    n->pulled_s = loop_unix_s(n->env->loop);
    node_job_done(n, &n->pull, "panel", interval_of(n));
    pull_again(n);
    if (back)
        reporter_poke(n->reporter); /* what ailed the pulls ailed them */
}

static enum status take_alive(void *arg, uint64_t uid, uint32_t devices)
{
    struct pull *p = arg;

    if (p->alive_count == USERS_MAX)
        return ST_E_LIMIT;
    if (p->alive_count == p->alive_room) {
        size_t room = p->alive_room == 0 ? 64 : p->alive_room * 2;
        struct node_online *q = realloc(p->alive, room * sizeof(*q));
        if (q == NULL)
            return ST_E_NOMEM;
        p->alive = q;
        p->alive_room = room;
    }
    p->alive[p->alive_count++] = (struct node_online){.uid = uid, .devices = devices};
    return ST_OK;
}

static void restart_alive(void *arg)
{
    struct pull *p = arg;
    p->alive_count = 0;
    v2sp_alive_list_init(&p->reader.alive, take_alive, p);
}

static enum status feed_alive(void *arg, const void *data, size_t len)
{
    struct pull *p = arg;
    return v2sp_alive_list_feed(&p->reader.alive, data, len, &p->err);
}

static void say_no_list(struct node *n, const struct panel_reply *r)
{
    const char *why = n->pulling->err.text[0] != '\0' ? n->pulling->err.text : r->text;
    char http[32] = "";

    if (r->http != 0)
        snprintf(http, sizeof(http), "HTTP %ld%s", r->http, why[0] != '\0' ? ": " : "");
    node_trouble_set(n, &n->alive_trouble, 1,
                     "alivelist: no usable answer (%s%.50s); the last list counts for three "
                     "intervals",
                     http, why);
}

/* The users are served whatever becomes of this: a failure of its own does not make the pull
 * one. It leaves the last good list, with its age: no answer must not mean no limits. */
static void on_alive(void *arg, const struct panel_reply *r)
{
    struct pull *p = arg;
    struct node *n = p->n;

    n->pull.call = NULL;
    if (v2sp_outcome_of(r->http, r->sent, true) == V2SP_NO_ACTION) {
        node_devices_unknown(n);
    } else if (r->http != 200 || r->status != ST_OK ||
               v2sp_alive_list_end(&p->reader.alive, &p->err) != ST_OK) {
        say_no_list(n, r);
    } else {
        node_trouble_clear(n, &n->alive_trouble, "alivelist: usable again");
        node_devices_take(n, p->alive, p->alive_count);
        p->alive = NULL;
    }
    done(n);
}

static void pull_alive(struct node *n)
{
    struct panel_request q = {.reply_max = ALIVE_BYTES_MAX,
                              .data = feed_alive,
                              .restart = restart_alive,
                              .done = on_alive};

    if (!node_devices_wanted(n)) {
        done(n);
        return;
    }
    user_list_fini(&n->pulling->list);
    n->pulling->err.text[0] = '\0';
    restart_alive(n->pulling);
    n->alivelist.asked_ms = loop_now_ms(n->env->loop);
    start_call(n, V2SP_ALIVELIST, &q);
}

/* ---- user ---- */

static enum status take_user(void *arg, const struct v2sp_user *u)
{
    struct pull *p = arg;
    struct user_entry e = {.uid = u->id,
                           .speed_kbps = u->speed_kbps,
                           .device_limit = u->device_limit,
                           .conn_limit = u->conn_limit};
    enum status st = user_list_add(&p->list, &e, u->credential, u->credential_len);

    if (st != ST_E_PROTO)
        return st;
    if (p->skipped++ == 0)
        snprintf(p->skip_text, sizeof(p->skip_text), "user %" PRIu64 ": uuid is none", u->id);
    return ST_OK;
}

static void skip_user(void *arg, uint64_t id, uint64_t index, const char *text)
{
    struct pull *p = arg;

    if (p->skipped++ > 0)
        return;
    if (id != 0)
        snprintf(p->skip_text, sizeof(p->skip_text), "user %" PRIu64 ": %s", id, text);
    else
        snprintf(p->skip_text, sizeof(p->skip_text), "entry %" PRIu64 ": %s", index, text);
}

static void odd_limit(void *arg, uint64_t id, const char *text)
{
    struct pull *p = arg;

    if (p->odd_limits++ == 0)
        snprintf(p->odd_text, sizeof(p->odd_text), "user %" PRIu64 ": %s", id, text);
}

static void restart_users(void *arg)
{
    struct pull *p = arg;

    user_list_fini(&p->list);
    p->skipped = p->odd_limits = 0;
    v2sp_user_list_init(&p->reader.users, take_user, skip_user, odd_limit, p);
}

static enum status feed_users(void *arg, const void *data, size_t len)
{
    struct pull *p = arg;
    return v2sp_user_list_feed(&p->reader.users, data, len, &p->err);
}

/* A list that drops most users at once must be said twice: panels hiccup. */
static bool doubted(struct node *n, const struct user_list *l)
{
    size_t missing = users_missing(&n->users, l);
    bool guard = n->served == NULL || n->served->mass_delete_guard;

    if (!guard || missing <= GUARD_MIN || missing * 2 <= n->users.count) {
        n->guard_hash = 0;
        return false;
    }
    uint64_t hash = user_list_hash(l) | 1;
    bool again = n->guard_hash == hash;
    n->guard_hash = again ? 0 : hash;
    if (!again)
        node_log(n, LOG_WARNING,
                 "the panel's list lacks %zu of %zu users: applied if it says so once more "
                 "(MassDeleteGuard)",
                 missing, n->users.count);
    return !again;
}

/* Everything that came is good: takes it over. Returns false if it could not be applied (said). */
static bool commit(struct node *n, struct user_list *list, const char *user_etag)
{
    struct pull *p = n->pulling;
    struct served_node *s = p->served;
    bool cached = n->cached;

    p->served = NULL;
    if (list != NULL)
        n->cached = false; /* what is served from now on is the panel's */
    if (s != NULL && n->served != NULL &&
        memcmp(&s->limits, &n->served->limits, sizeof(s->limits)) != 0)
        n->want_full = true; /* limits are merged into the users: unless they came just now, the
                                next pull asks */
    if ((s != NULL || list != NULL) && node_apply(n, s, list) != ST_OK) {
        n->cached = cached;
        return false;
    }
    if (p->text != NULL) {
        if (node_cache_save_config(n->env->store, n->store_node, p->text, p->len) != ST_OK)
            node_log(n, LOG_DEBUG, "the configuration could not be stored");
        free(n->config_text);
        n->config_text = p->text;
        n->config_len = p->len;
        p->text = NULL;
    }
    if (!p->config_bad) {
        memcpy(n->config_etag, p->etag, sizeof(n->config_etag));
        if (n->config_trouble.key != 0)
            node_trouble_clear(n, &n->config_trouble, "config: usable again");
    }
    if (list != NULL) {
        snprintf(n->user_etag, sizeof(n->user_etag), "%s", user_etag);
        n->want_full = false;
    }
    n->rebuild = n->rebuild && p->config_bad;
    return true;
}

/* Entries that were skipped, doubled or bent; not again for every list of a panel without ETags. */
static void say_odd(struct node *n)
{
    const struct pull *p = n->pulling;

    if (p->skipped > 0)
        node_trouble_set(n, &n->list_trouble, p->skipped << 2 | 1,
                         "%" PRIu64 " entries of the user list were skipped; first: %s", p->skipped,
                         p->skip_text);
    else if (p->odd_limits > 0)
        node_trouble_set(n, &n->list_trouble, p->odd_limits << 2 | 2,
                         "%" PRIu64 " users have a limit that cannot be read, so the node's own "
                         "holds for them; first: %s",
                         p->odd_limits, p->odd_text);
    else if (p->list.duplicates > 0)
        node_trouble_set(n, &n->list_trouble, p->list.duplicates << 2,
                         "%zu users are in the list twice: the last ones count",
                         p->list.duplicates);
    else
        node_trouble_clear(n, &n->list_trouble, NULL);
}

static void on_users(void *arg, const struct panel_reply *r)
{
    struct pull *p = arg;
    struct node *n = p->n;
    bool unchanged = r->http == 304;

    n->pull.call = NULL;
    if (failed(n, "user", r))
        return;
    if (!unchanged && v2sp_user_list_end(&p->reader.users, &p->err) != ST_OK) {
        fail(n, "user", V2SP_BAD_REPLY, r, p->err.text);
        return;
    }
    if (!unchanged) {
        user_list_settle(&p->list);
        say_odd(n);
    }
    bool hold = !unchanged && doubted(n, &p->list);
    if (!commit(n, unchanged || hold ? NULL : &p->list, r->etag)) {
        fail(n, "user", V2SP_BAD_REPLY, r, n->config_trouble.text);
        return;
    }
    pull_alive(n);
}

static void pull_users(struct node *n)
{
    struct panel_request q = {.etag = n->want_full ? "" : n->user_etag,
                              .reply_max = USERS_BYTES_MAX,
                              .data = feed_users,
                              .restart = restart_users,
                              .done = on_users};

    n->pulling->err.text[0] = '\0';
    restart_users(n->pulling);
    start_call(n, V2SP_USER, &q);
}

/* ---- config ---- */

/* The same in other words (a panel without ETag, a proxy that strips it): nothing is rebuilt. */
static bool same_config(const struct node *n, const char *text, size_t len)
{
    struct json_t *v = NULL;
    struct json_error e;

    if (n->served == NULL || n->config_text == NULL || n->rebuild ||
        json_parse(text, len, &v, &e) != ST_OK)
        return false;
    bool same = v2sp_node_object_hash(v) == n->served->hash;
    json_unref(v);
    return same;
}

static void on_config(void *arg, const struct panel_reply *r)
{
    struct pull *p = arg;
    struct node *n = p->n;

    n->pull.call = NULL;
    if (failed(n, "config", r))
        return;
    if (r->http == 304) {
        memcpy(p->etag, n->config_etag, sizeof(p->etag));
    } else {
        snprintf(p->etag, sizeof(p->etag), "%s", r->etag);
        if (!same_config(n, r->body, r->body_len)) {
            p->text = malloc(r->body_len + 1);
            p->len = r->body_len;
            if (p->text != NULL) {
                memcpy(p->text, r->body, r->body_len + 1);
                p->served = node_build(n, r->body, r->body_len);
            }
            p->config_bad = p->served == NULL;
            if (p->config_bad) {
                free(p->text);
                p->text = NULL;
            }
        }
    }
    if (p->config_bad && n->served == NULL) {
        /* Nothing to serve: the user list can wait. The trouble is said already. */
        node_pull_cancel(n);
        n->pull.fails++;
        loop_timer_in(n->env->loop, &n->pull.timer,
                      v2sp_outcome_delay_ms(V2SP_BAD_REPLY, n->pull.fails, interval_of(n), 0,
                                            (uint32_t)rng_u64(&n->env->rng)));
        pull_again(n);
        return;
    }
    pull_users(n);
}

void node_pull_start(struct node *n)
{
    struct panel_request q = {
        .etag = n->rebuild ? "" : n->config_etag, .reply_max = CONFIG_MAX, .done = on_config};

    if (n->pulling != NULL)
        return;
    n->pulling = calloc(1, sizeof(*n->pulling));
    if (n->pulling == NULL) {
        loop_timer_in(n->env->loop, &n->pull.timer, interval_of(n));
        return;
    }
    n->pulling->n = n;
    user_list_init(&n->pulling->list);
    start_call(n, V2SP_CONFIG, &q);
}

void node_pull_poke(struct node *n)
{
    if (n->pulling != NULL)
        n->pull_again = true;
    else
        loop_timer_in(n->env->loop, &n->pull.timer, 0);
}
