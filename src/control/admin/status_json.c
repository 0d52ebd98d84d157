#include "control/admin/status_json.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/admin/status_blocked.h"
#include "control/config/config_device_store.h"
#include "control/node/device_book.h"
#include "control/node/device_sync.h"
#include "control/node/node.h"
#include "control/node/node_hits.h"
#include "control/node/reporter.h"
#include "control/redis/redis_link.h"
#include "control/stats/process_info.h"
#include "io/loop.h"
#include "policy/user_devices.h"

#define CERT_MS     60000u
#define SPOOL_MS    2000u
#define SPOOL_SHARE 100u /* reading the spool takes no more than a hundredth of the time */

/* ---- spool ----------------------------------------------------------------------------------- */

static enum status add_batch(void *arg, const struct spool_batch_info *b)
{
    struct status_cached *c = arg;

    c->batch_count++;
    c->batches.rows += b->sum.rows;
    c->batches.up += b->sum.up;
    c->batches.down += b->sum.down;
    c->tried += b->tried;
    c->parked += b->parked == SPOOL_PARKED;
    if (b->frozen_s > 0 && (c->oldest_s == 0 || b->frozen_s < c->oldest_s))
        c->oldest_s = b->frozen_s;
    return ST_OK;
}

static uint64_t clock_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void read_spool(struct status_cached *c, const struct node *n)
{
    struct store *s = n->env->store;
    uint64_t begun = clock_ms();
    char identity[CONFIG_IDENTITY_MAX];

    if (c->store_node == n->store_node && begun < c->spool_until_ms)
        return;
    c->store_node = n->store_node;
    c->accounts = c->batches = (struct spool_sum){.rows = 0};
    c->batch_count = c->tried = c->parked = 0;
    c->oldest_s = 0;
    /* Failing leaves zeros; the store has said why. */
    if (spool_admin_accounts(s, n->store_node, &c->accounts, &c->oldest_s) == ST_OK &&
        spool_admin_batches(s, n->store_node, config_node_identity(n->conf, identity), add_batch,
                            c) != ST_OK)
        c->batch_count = 0;
    uint64_t now = clock_ms();
    c->spool_until_ms = now + SPOOL_MS + (now - begun) * SPOOL_SHARE;
}

static void put_spool(struct json_out *o, struct status_cached *c, const struct node *n)
{
    read_spool(c, n);
    json_out_object(o, "spool");
    json_out_num(o, "up", c->accounts.up + c->batches.up);
    json_out_num(o, "down", c->accounts.down + c->batches.down);
    json_out_num(o, "accounts", c->accounts.rows);
    json_out_num(o, "batches", c->batch_count);
    json_out_num(o, "batch_rows", c->batches.rows);
    json_out_num(o, "tried", c->tried);
    json_out_num(o, "parked", c->parked);
    json_out_int(o, "oldest", c->oldest_s);
    json_out_end_object(o);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void put_pair(struct json_out *o, const char *key, struct status_pair p)
{
    json_out_object(o, key);
    json_out_num(o, "up", p.up);
    json_out_num(o, "down", p.down);
    json_out_end_object(o);
}

static const char *job_error(const struct node_trouble *t)
{
    return t->key != 0 ? t->text : "";
}

static void put_panel(struct json_out *o, const struct node *n)
{
    uint64_t now = loop_now_ms(n->env->loop), next_push;
    bool waits = timer_armed(&n->pull.timer) && n->pull.timer.at_ms > now;
    struct status_pair pushed;
    int64_t pushed_s;

    reporter_times(n->reporter, &pushed_s, &next_push);
    reporter_pushed(n->reporter, &pushed.up, &pushed.down);
    json_out_object(o, "panel");
    json_out_str(o, "type", n->conf->api.panel_type);
    json_out_num(o, "node_id", n->conf->api.node_id);
    json_out_int(o, "answered", n->pulled_s);
    json_out_str(o, "poll_error", job_error(&n->pull.trouble));
    json_out_num(o, "poll_fails", n->pull.fails);
    json_out_num(o, "next_poll_ms", waits ? n->pull.timer.at_ms - now : 0);
    json_out_int(o, "reported", pushed_s);
    json_out_str(o, "report_error", reporter_problem(n->reporter));
    json_out_num(o, "next_report_ms", next_push);
    put_pair(o, "acknowledged", pushed);
    json_out_end_object(o);
}

static const char *cert_mode_str(const struct served_node *s)
{
    static const char *const modes[] = {
        [CONFIG_CERT_NONE] = "none",    [CONFIG_CERT_FILE] = "file",
        [CONFIG_CERT_SELF] = "self",    [CONFIG_CERT_ACME_HTTP] = "http",
        [CONFIG_CERT_ACME_DNS] = "dns", [CONFIG_CERT_ACME_TLS] = "tls",
    };
    return modes[s->cert_mode];
}

static void put_certificate(struct json_out *o, struct status_cached *c, const struct node *n)
{
    uint64_t now = loop_now_ms(n->env->loop);
    const struct served_node *s = n->served;

    if (s == NULL || strcmp(s->security, "tls") != 0) {
        json_out_null(o, "certificate");
        return;
    }
    if (c->served != s || now >= c->cert_ms + CERT_MS) {
        c->cert_end_s = served_node_cert_end(s);
        c->cert_ms = now;
        c->served = s;
    }
    json_out_object(o, "certificate");
    json_out_str(o, "mode", cert_mode_str(s));
    json_out_str(o, "domain", s->cert_domain);
    json_out_str(o, "file", s->cert_file != NULL ? s->cert_file : "");
    json_out_int(o, "expires", c->cert_end_s);
    json_out_end_object(o);
}

static void put_listen(struct json_out *o, const struct node *n)
{
    const struct served_node *s = n->served;
    char text[ADDR_STRLEN];

    json_out_str(o, "protocol", s != NULL ? s->type : n->conf->api.node_type);
    json_out_str(o, "transport", s != NULL ? s->network : "");
    json_out_str(o, "security", s != NULL ? s->security : "");
    json_out_num(o, "port", s != NULL ? s->port : 0);
    json_out_array(o, "listen");
    for (unsigned i = 0; s != NULL && i < s->node.listen_count; i++)
        json_out_str(o, NULL, addr_str(&s->node.listen[i], text));
    json_out_end_array(o);
}

static void put_limits(struct json_out *o, const struct served_node *s)
{
    json_out_object(o, "limits");
    json_out_milli(o, "speed_mbps", s != NULL ? s->limits.speed_kbps : 0);
    json_out_milli(o, "total_mbps", s != NULL ? s->limits.total_kbps : 0);
    json_out_num(o, "devices", s != NULL ? s->limits.device : 0);
    json_out_num(o, "connections", s != NULL ? s->limits.conn : 0);
    json_out_end_object(o);
}

static void put_blocked(struct json_out *o, const struct node *n)
{
    if (node_hits_counted(n) == NULL) {
        json_out_null(o, "blocked");
        return;
    }
    node_hits_keep(n); /* so that what is shown is of now */
    status_blocked(o, n->env->store, n->store_node);
}

static void put_node(struct json_out *o, struct status_cached *c, const struct status_node *sn)
{
    const struct node *n = sn->node;
    struct plane_stats st;

    n->env->plane->stats(n->env->plane->self, n->no, &st);
    json_out_object(o, NULL);
    json_out_str(o, "tag", n->conf->tag);
    json_out_str(o, "state", node_state_str(n->state));
    json_out_int(o, "since", n->since_s);
    json_out_bool(o, "serving", n->listening);
    json_out_str(o, "problem", node_problem(n));
    put_listen(o, n);
    json_out_num(o, "users", n->users.count);
    json_out_num(o, "users_online", sn->users_online);
    json_out_object(o, "connections");
    json_out_num(o, "open", st.open);
    json_out_num(o, "handshaking", st.handshaking);
    json_out_num(o, "accepted", st.accepted);
    json_out_num(o, "rejected", st.rejected);
    json_out_end_object(o);
    put_pair(o, "bytes", sn->sum);
    put_pair(o, "rate", sn->rate);
    put_limits(o, n->served);
    put_panel(o, n);
    put_spool(o, c, n);
    put_certificate(o, c, n);
    put_blocked(o, n);
    json_out_end_object(o);
}

/* ---- users ----------------------------------------------------------------------------------- */

/* Devices of his: where a limit is counted, as that counts them, else those of the last report. */
static uint32_t devices_of(const struct node *n, struct user_rt *u, uint32_t *elsewhere)
{
    struct user_devices *d = atomic_load_explicit(&u->devices, memory_order_acquire);
    uint32_t now_s = (uint32_t)(loop_now_ms(n->env->loop) / 1000), count = 0;
    size_t at = reporter_find(n->reporter, u->uid);

    *elsewhere = 0;
    if (d != NULL) {
        *elsewhere = atomic_load_explicit(&d->elsewhere, memory_order_relaxed);
        return devices_count(&d->set, now_s);
    }
    while (reporter_shown(n->reporter, u->uid, at + count) != NULL)
        count++;
    return count;
}

static void put_user(struct json_out *o, const struct status_user *su)
{
    struct user_rt *u = su->user;
    uint32_t elsewhere, devices = devices_of(su->node, u, &elsewhere);

    json_out_object(o, NULL);
    json_out_str(o, "node", su->node->conf->tag);
    json_out_num(o, "uid", u->uid);
    put_pair(o, "rate", su->rate);
    put_pair(o, "bytes", su->sum);
    json_out_num(o, "connections", atomic_load_explicit(&u->sessions, memory_order_relaxed));
    json_out_num(o, "connection_limit", atomic_load_explicit(&u->conn_limit, memory_order_relaxed));
    json_out_num(o, "draining", su->draining);
    json_out_num(o, "devices", devices);
    json_out_num(o, "devices_elsewhere", elsewhere);
    json_out_num(o, "device_limit", atomic_load_explicit(&u->device_limit, memory_order_relaxed));
    json_out_milli(o, "speed_mbps", user_speed(u));
    json_out_milli(o, "dynamic_mbps", atomic_load_explicit(&u->dynamic_kbps, memory_order_relaxed));
    json_out_end_object(o);
}

static void put_users(struct json_out *o, const struct status_view *v,
                      const struct status_wish *wish)
{
    size_t active = 0;

    json_out_array(o, "users");
    for (size_t i = 0; i < v->count; i++) {
        if (wish->node[0] != '\0' && strcmp(wish->node, v->users[i].node->conf->tag) != 0)
            continue;
        if (active++ < wish->users && !o->t->failed)
            put_user(o, &v->users[i]);
    }
    json_out_end_array(o);
    json_out_num(o, "users_active", active);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void put_workers(struct json_out *o, const struct status_view *v)
{
    json_out_array(o, "workers");
    for (unsigned i = 0; i < v->worker_count; i++) {
        const struct status_worker *w = &v->workers[i];
        json_out_object(o, NULL);
        json_out_num(o, "sessions", w->seen.open);
        json_out_num(o, "memory", w->seen.memory);
        json_out_num(o, "memory_max", w->seen.memory_max);
        json_out_num(o, "busy", w->busy);
        json_out_num(o, "busy_us", w->seen.busy_us);
        json_out_num(o, "longest_us", w->seen.longest_us);
        json_out_end_object(o);
    }
    json_out_end_array(o);
}

static void put_store(void *arg, const struct device_panel *p)
{
    static const char *const phases[] = {[REDIS_LINK_CONNECTING] = "connecting",
                                         [REDIS_LINK_UP] = "connected",
                                         [REDIS_LINK_DOWN] = "down"};
    struct json_out *o = arg;
    const struct redis_link *link = device_sync_link(p->sync);
    struct redis_link_state s;

    redis_link_state(link, &s);
    json_out_object(o, NULL);
    json_out_str(o, "address", redis_link_store(link)->address);
    json_out_array(o, "nodes");
    LIST_FOREACH(l, tmp, &p->nodes)
        json_out_str(o, NULL, LIST_ENTRY(l, struct node, panel_link)->conf->tag);
    json_out_end_array(o);
    json_out_str(o, "state", phases[s.phase]);
    json_out_int(o, "since", s.since_s);
    json_out_str(o, "last_error", s.error);
    json_out_num(o, "answered", s.answered);
    json_out_num(o, "failed", s.failed);
    json_out_num(o, "foreign_keys", device_sync_set_aside(p->sync));
    json_out_end_object(o);
}

static void put_process(struct json_out *o)
{
    struct process_info p;

    process_info_read(&p);
    json_out_object(o, "process");
    json_out_str(o, "version", V2SP_VERSION);
    json_out_int(o, "pid", getpid());
    json_out_int(o, "started", p.start_s);
    json_out_num(o, "uptime", p.uptime_s);
    json_out_num(o, "rss", p.resident);
    json_out_num(o, "fds", p.fds);
    json_out_num(o, "fds_max", p.fds_max);
    json_out_num(o, "threads", p.threads);
    json_out_num(o, "cpu_us", p.cpu_us);
    json_out_end_object(o);
}

void status_json(struct json_out *o, struct node_env *env, struct status_cache *cache,
                 const struct status_view *v, const struct status_wish *wish)
{
    json_out_object(o, NULL);
    json_out_int(o, "time", loop_unix_s(env->loop));
    json_out_num(o, "window_ms", v->window_us / 1000);
    put_process(o);
    put_workers(o, v);
    json_out_array(o, "device_stores");
    device_book_each_store(env->devices, put_store, o);
    json_out_end_array(o);
    json_out_array(o, "nodes");
    for (size_t i = 0; i < v->node_count; i++)
        put_node(o, &cache->nodes[v->nodes[i].node->no], &v->nodes[i]);
    json_out_end_array(o);
    put_users(o, v, wish);
    json_out_end_object(o);
}
