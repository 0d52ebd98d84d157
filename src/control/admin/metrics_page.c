/* Sums only grow and nobody resets them: what the stats API resets are bases of its own. */
#include <stdio.h>
#include <string.h>

#include "control/admin/metrics.h"
#include "control/config/config_device_store.h"
#include "control/node/device_book.h"
#include "control/node/device_sync.h"
#include "control/node/node.h"
#include "control/node/node_hits.h"
#include "control/node/reporter.h"
#include "control/node/view_builder.h"
#include "control/redis/redis_link.h"
#include "control/stats/process_info.h"
#include "control/stats/stats.h"
#include "control/store/counters.h"
#include "control/store/spool.h"
#include "policy/audit_hits.h"
#include "policy/plane.h"

#define NODE_OF(l)  LIST_ENTRY(l, struct node, link)
#define LABELS(...) ((const struct metrics_label[4]){__VA_ARGS__})

static const char *tag_of(const struct node *n)
{
    return n->conf->tag;
}

static struct plane_stats sums_of(const struct metrics_setup *m, const struct node *n)
{
    struct plane_stats st = {0};

    m->env->plane->stats(m->env->plane->self, n->no, &st);
    stats_node_total(m->env->stats, n->no, &st.up, &st.down);
    return st;
}

static uint64_t online_of(const struct node *n)
{
    uint64_t count = 0;

    for (size_t i = 0; i < n->users.count; i++)
        count += atomic_load_explicit(&n->users.by_id[i]->sessions, memory_order_relaxed) > 0;
    return count;
}

/* Does @n end while another node has its name already? Those that end stand behind the others. */
static bool is_replaced(const struct metrics_setup *m, const struct node *n)
{
    if (n->state < NODE_DRAINING)
        return false;
    for (const struct list *l = m->nodes->next; l != &n->link; l = l->next)
        if (strcmp(tag_of(NODE_OF(l)), tag_of(n)) == 0)
            return true;
    return false;
}

/* The node behind @n, NULL: the first. A series must not come twice, so of nodes with one name only
 * the first comes. */
static const struct node *next_node(const struct metrics_setup *m, const struct node *n)
{
    const struct list *l = n != NULL ? n->link.next : m->nodes->next;

    while (l != m->nodes && is_replaced(m, NODE_OF(l)))
        l = l->next;
    return l != m->nodes ? NODE_OF(l) : NULL;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* One number of a node; false: it has none. */
typedef bool node_value(const struct metrics_setup *m, const struct node *n, uint64_t *out);

static bool is_serving(const struct metrics_setup *m, const struct node *n, uint64_t *out)
{
    (void)m;
    *out = n->listening;
    return true;
}

static bool count_users(const struct metrics_setup *m, const struct node *n, uint64_t *out)
{
    (void)m;
    *out = n->users.count;
    return true;
}

static bool count_online(const struct metrics_setup *m, const struct node *n, uint64_t *out)
{
    (void)m;
    *out = online_of(n);
    return true;
}

static bool count_open(const struct metrics_setup *m, const struct node *n, uint64_t *out)
{
    *out = sums_of(m, n).open;
    return true;
}

static bool count_handshaking(const struct metrics_setup *m, const struct node *n, uint64_t *out)
{
    *out = sums_of(m, n).handshaking;
    return true;
}

static bool count_accepted(const struct metrics_setup *m, const struct node *n, uint64_t *out)
{
    *out = sums_of(m, n).accepted;
    return true;
}

static bool count_rejected(const struct metrics_setup *m, const struct node *n, uint64_t *out)
{
    *out = sums_of(m, n).rejected;
    return true;
}

static bool count_dropped(const struct metrics_setup *m, const struct node *n, uint64_t *out)
{
    *out = sums_of(m, n).dropped;
    return true;
}

static bool last_pull(const struct metrics_setup *m, const struct node *n, uint64_t *out)
{
    (void)m;
    *out = (uint64_t)n->pulled_s;
    return n->pulled_s > 0;
}

static bool expiry(const struct metrics_setup *m, const struct node *n, uint64_t *out)
{
    int64_t at = n->served != NULL ? served_node_cert_end(n->served) : 0;

    (void)m;
    *out = (uint64_t)at;
    return at > 0;
}

static const struct {
    const char *name, *type, *help;
    node_value *value;
} node_rows[] = {
    {"v2sp_node_serving", "gauge", "1 when all listeners of the node are open.", is_serving},
    {"v2sp_node_users", "gauge", "Users the panel has given the node.", count_users},
    {"v2sp_node_users_online", "gauge", "Users with an open session.", count_online},
    {"v2sp_node_connections_open", "gauge", "Connections and streams that are open.", count_open},
    {"v2sp_node_connections_handshaking", "gauge", "Of these, not yet a user's.",
     count_handshaking},
    {"v2sp_node_connections_accepted_total", "counter", "Connections and streams that began.",
     count_accepted},
    {"v2sp_node_connections_rejected_total", "counter",
     "Connections turned down: limits, handshakes that failed, unknown users.", count_rejected},
    {"v2sp_node_limited_datagrams_total", "counter", "Datagrams dropped by speed limits.",
     count_dropped},
    {"v2sp_panel_last_success_timestamp_seconds", "gauge",
     "When the panel last gave configuration and users.", last_pull},
    {"v2sp_certificate_expiry_timestamp_seconds", "gauge", "When the node's certificate ends.",
     expiry},
};

static void put_nodes(struct metrics_text *t, const struct metrics_setup *m)
{
    for (size_t i = 0; i < sizeof(node_rows) / sizeof(node_rows[0]); i++) {
        metrics_family(t, node_rows[i].name, node_rows[i].type, node_rows[i].help);
        for (const struct node *n = NULL; (n = next_node(m, n)) != NULL;) {
            uint64_t v;
            if (node_rows[i].value(m, n, &v))
                metrics_value(t, LABELS({"node", tag_of(n)}), v);
        }
    }
}

/* ---- connections by transport and outcome ---------------------------------------------------- */

static void put_outcomes(struct metrics_text *t, const struct metrics_setup *m)
{
    metrics_family(t, "v2sp_connections_total", "counter",
                   "Connections and streams by what became of them: served a user's request, "
                   "diverted to a fallback or REALITY's target, rejected.");
    for (const struct node *n = NULL; (n = next_node(m, n)) != NULL;) {
        const struct plane_stats st = sums_of(m, n);
        const struct {
            const char *name;
            uint64_t count;
        } outcomes[] = {
            {"served", st.served}, {"diverted", st.diverted}, {"rejected", st.rejected}};
        char transport[64];
        if (n->served == NULL)
            continue;
        snprintf(transport, sizeof(transport), "%s+%s+%s", n->served->type, n->served->network,
                 n->served->security);
        for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
            metrics_value(t,
                          LABELS({"node", tag_of(n)}, {"transport", transport},
                                 {"outcome", outcomes[i].name}),
                          outcomes[i].count);
    }
}

/* ---- why sessions failed --------------------------------------------------------------------- */

struct causes_of {
    struct metrics_text *t;
    const struct node *n;
};

static void put_cause(void *arg, const char *text, uint64_t count)
{
    const struct causes_of *c = arg;
    metrics_value(c->t, LABELS({"node", tag_of(c->n)}, {"cause", text}), count);
}

static void put_causes(struct metrics_text *t, const struct metrics_setup *m)
{
    const struct plane *plane = m->env->plane;

    metrics_family(t, "v2sp_node_failures_total", "counter",
                   "Sessions and datagrams that failed, by cause as the log names it.");
    for (const struct node *n = NULL; (n = next_node(m, n)) != NULL;) {
        struct causes_of c = {t, n};
        plane->causes(plane->self, c.n->no, put_cause, &c);
    }
}

/* ---- calls to panels ------------------------------------------------------------------------- */

static void put_calls(struct metrics_text *t, const struct metrics_setup *m)
{
    metrics_family(t, "v2sp_panel_calls_total", "counter",
                   "Rounds of asking a panel (pull) and reports to it, by outcome.");
    for (const struct node *n = NULL; (n = next_node(m, n)) != NULL;) {
        const struct {
            const char *name;
            const struct node_job *job;
        } jobs[] = {{"pull", &n->pull},
                    {"push", reporter_push(n->reporter)},
                    {"alive", reporter_alive(n->reporter)}};
        for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
            const char *tag = tag_of(n), *name = jobs[i].name;
            metrics_value(t, LABELS({"node", tag}, {"call", name}, {"outcome", "done"}),
                          jobs[i].job->done);
            metrics_value(t, LABELS({"node", tag}, {"call", name}, {"outcome", "failed"}),
                          jobs[i].job->failed);
        }
    }
}

/* ---- block rules ----------------------------------------------------------------------------- */

struct hits_of {
    struct metrics_text *t;
    const struct node *n;
};

static void put_hit(void *arg, const struct audit_hit *hit)
{
    const struct hits_of *h = arg;
    metrics_value(h->t, LABELS({"node", tag_of(h->n)}, {"rule", hit->rule}), hit->count);
}

/* At most AUDIT_HITS_RULES rules a node; those behind the last are one. */
static void put_hits(struct metrics_text *t, const struct metrics_setup *m)
{
    metrics_family(t, "v2sp_node_audit_hits_total", "counter",
                   "Sessions and datagrams that a block rule ended, by rule.");
    for (const struct node *n = NULL; (n = next_node(m, n)) != NULL;) {
        struct hits_of h = {t, n};
        struct audit_hits *hits = node_hits_counted(h.n);
        const struct audit_hits_sums sums = audit_hits_sum(hits);
        audit_hits_rules(hits, put_hit, &h);
        if (sums.other_rules > 0)
            put_hit(&h, &(struct audit_hit){.rule = "(other)", .count = sums.other_rules});
    }
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Two numbers of a node: up and down. */
typedef bool node_pair(const struct metrics_setup *m, const struct node *n, uint64_t *up,
                       uint64_t *down);

static bool moved(const struct metrics_setup *m, const struct node *n, uint64_t *up, uint64_t *down)
{
    const struct plane_stats st = sums_of(m, n);
    *up = st.up;
    *down = st.down;
    return true;
}

static bool pushed(const struct metrics_setup *m, const struct node *n, uint64_t *up,
                   uint64_t *down)
{
    (void)m;
    reporter_pushed(n->reporter, up, down);
    return true;
}

static bool spooled(const struct metrics_setup *m, const struct node *n, uint64_t *up,
                    uint64_t *down)
{
    return spool_pending(m->env->store, n->store_node, up, down) == ST_OK;
}

static void put_pairs(struct metrics_text *t, const struct metrics_setup *m, const char *name,
                      const char *type, const char *help, node_pair *pair)
{
    metrics_family(t, name, type, help);
    for (const struct node *n = NULL; (n = next_node(m, n)) != NULL;) {
        uint64_t up = 0, down = 0;
        if (!pair(m, n, &up, &down))
            continue;
        metrics_value(t, LABELS({"node", tag_of(n)}, {"direction", "uplink"}), up);
        metrics_value(t, LABELS({"node", tag_of(n)}, {"direction", "downlink"}), down);
    }
}

/* ---- workers --------------------------------------------------------------------------------- */

static void put_of_workers(struct metrics_text *t, const struct plane *plane, const char *name,
                           const char *type, const char *help,
                           void (*put)(struct metrics_text *, const struct metrics_label *,
                                       const struct plane_worker *))
{
    metrics_family(t, name, type, help);
    for (unsigned i = 0; i < plane->workers; i++) {
        struct plane_worker w = {0};
        char no[12];
        plane->worker(plane->self, i, &w);
        snprintf(no, sizeof(no), "%u", i);
        put(t, LABELS({"worker", no}), &w);
    }
}

static void put_busy(struct metrics_text *t, const struct metrics_label *labels,
                     const struct plane_worker *w)
{
    metrics_seconds(t, labels, w->busy_us);
}

static void put_lag(struct metrics_text *t, const struct metrics_label *labels,
                    const struct plane_worker *w)
{
    metrics_seconds(t, labels, w->longest_us);
}

static void put_open(struct metrics_text *t, const struct metrics_label *labels,
                     const struct plane_worker *w)
{
    metrics_value(t, labels, w->open);
}

static void put_memory(struct metrics_text *t, const struct metrics_label *labels,
                       const struct plane_worker *w)
{
    metrics_value(t, labels, w->memory);
}

static void put_workers(struct metrics_text *t, const struct plane *plane)
{
    put_of_workers(t, plane, "v2sp_worker_busy_seconds_total", "counter",
                   "Time a worker was at work; one second a second is all it has.", put_busy);
    put_of_workers(t, plane, "v2sp_worker_loop_lag_seconds", "gauge",
                   "The longest turn of its loop in the last minute: others waited so long.",
                   put_lag);
    put_of_workers(t, plane, "v2sp_worker_connections_open", "gauge",
                   "Connections and streams of a worker.", put_open);
    put_of_workers(t, plane, "v2sp_worker_memory_bytes", "gauge",
                   "Buffers and sessions of a worker in use.", put_memory);
}

/* ---- stores of devices ----------------------------------------------------------------------- */

/* Two panels may have the same store: a node of each tells them apart. */
static void put_of_store(struct metrics_text *t, const struct device_panel *p, const char *outcome,
                         uint64_t value)
{
    const char *address = redis_link_store(device_sync_link(p->sync))->address;
    const struct node *n = LIST_ENTRY(p->nodes.next, struct node, panel_link);

    metrics_value(t,
                  LABELS({"store", address}, {"node", tag_of(n)},
                         {outcome != NULL ? "outcome" : NULL, outcome}),
                  value);
}

static void put_store_up(void *arg, const struct device_panel *p)
{
    struct redis_link_state s;

    redis_link_state(device_sync_link(p->sync), &s);
    put_of_store(arg, p, NULL, s.phase == REDIS_LINK_UP);
}

static void put_store_commands(void *arg, const struct device_panel *p)
{
    struct redis_link_state s;

    redis_link_state(device_sync_link(p->sync), &s);
    put_of_store(arg, p, "answered", s.answered);
    put_of_store(arg, p, "failed", s.failed);
}

static void put_store_foreign(void *arg, const struct device_panel *p)
{
    put_of_store(arg, p, NULL, device_sync_set_aside(p->sync));
}

static void put_stores(struct metrics_text *t, const struct device_book *b)
{
    metrics_family(t, "v2sp_device_store_up", "gauge", "1 while the store of devices answers.");
    device_book_each_store(b, put_store_up, t);
    metrics_family(t, "v2sp_device_store_commands_total", "counter",
                   "Questions about users that the store has answered, or has not.");
    device_book_each_store(b, put_store_commands, t);
    metrics_family(t, "v2sp_device_store_foreign_keys", "gauge",
                   "Users whose key in the store holds something else.");
    device_book_each_store(b, put_store_foreign, t);
}

/* ---- names of exporters ---------------------------------------------------------------------- */

static void put_users(struct metrics_text *t, const struct metrics_setup *m, bool up)
{
    char name[STATS_NAME_MAX];

    for (const struct node *n = NULL; (n = next_node(m, n)) != NULL;) {
        for (size_t i = 0; i < n->users.count && !t->text->failed; i++) {
            char text[USER_SECRET_MAX + 1];
            const struct user_rt *u = n->users.by_id[i];
            uint64_t v[2];
            counters_read(m->env->counters, u->slot, &v[1], &v[0]);
            if (v[0] + v[1] == 0)
                continue;
            snprintf(name, sizeof(name), "%.300s|%s", tag_of(n), user_secret(u, text));
            metrics_value(t, LABELS({"dimension", "user"}, {"target", name}), v[up]);
        }
    }
}

/* As v2ray-exporter and xray-exporter name what they read from the stats API. */
static void put_traffic(struct metrics_text *t, const struct metrics_setup *m, const char *name,
                        bool up, bool users)
{
    static const char *const kinds[] = {"inbound", "outbound"};

    metrics_family(t, name, "counter", "Payload bytes since start.");
    for (int k = 0; k < 2; k++) {
        for (const struct node *n = NULL; (n = next_node(m, n)) != NULL;) {
            const struct plane_stats st = sums_of(m, n);
            metrics_value(t, LABELS({"dimension", kinds[k]}, {"target", tag_of(n)}),
                          up ? st.up : st.down);
        }
    }
    if (users)
        put_users(t, m, up);
}

static void put_one(struct metrics_text *t, const char *name, const char *type, const char *help,
                    uint64_t value)
{
    metrics_family(t, name, type, help);
    metrics_value(t, NULL, value);
}

static void put_process(struct metrics_text *t, const struct process_info *p)
{
    put_one(t, "process_resident_memory_bytes", "gauge", "Memory that is there.", p->resident);
    put_one(t, "process_open_fds", "gauge", "Open files.", p->fds);
    put_one(t, "process_max_fds", "gauge", "Most files that may be open.", p->fds_max);
    put_one(t, "process_threads", "gauge", "Threads.", p->threads);
    put_one(t, "process_start_time_seconds", "gauge", "When the process began.",
            (uint64_t)p->start_s);
    metrics_family(t, "process_cpu_seconds_total", "counter", "Processor time of all threads.");
    metrics_seconds(t, NULL, p->cpu_us);
}

static void put_exporters(struct metrics_text *t, const struct metrics_setup *m, bool users,
                          uint64_t scrapes, const struct process_info *p)
{
    struct plane_stats all = {0};

    m->env->plane->stats(m->env->plane->self, UINT32_MAX, &all);
#define BOTH(end, type, help, value)                                                               \
    do {                                                                                           \
        put_one(t, "v2ray_" end, type, help, value);                                               \
        put_one(t, "xray_" end, type, help, value);                                                \
    } while (0)
    BOTH("up", "gauge", "1: the counters could be read.", 1);
    BOTH("scrapes_total", "counter", "Times this page was made.", scrapes);
    BOTH("uptime_seconds", "gauge", "Seconds since the process began.", p->uptime_s);
    BOTH("goroutines", "gauge", "Threads and open connections.", p->threads + all.open);
    BOTH("memstats_alloc_bytes", "gauge", "Bytes handed out by malloc.", p->heap);
    BOTH("memstats_sys_bytes", "gauge", "Memory that is there.", p->resident);
#undef BOTH
    put_traffic(t, m, "v2ray_traffic_uplink_bytes_total", true, users);
    put_traffic(t, m, "v2ray_traffic_downlink_bytes_total", false, users);
    put_traffic(t, m, "xray_traffic_uplink_bytes_total", true, users);
    put_traffic(t, m, "xray_traffic_downlink_bytes_total", false, users);
}

void metrics_page(struct metrics_text *t, const struct metrics_setup *m, bool users,
                  uint64_t scrapes)
{
    struct process_info p;
    uint64_t count = 0;

    process_info_read(&p);
    metrics_family(t, "v2sp_build_info", "gauge", "1; the version as a label.");
    metrics_value(t, LABELS({"version", V2SP_VERSION}), 1);
    LIST_FOREACH(l, tmp, m->nodes)
        count++;
    put_one(t, "v2sp_nodes", "gauge", "Nodes, those that end included.", count);
    put_nodes(t, m);
    put_outcomes(t, m);
    put_causes(t, m);
    put_hits(t, m);
    put_calls(t, m);
    put_pairs(t, m, "v2sp_node_traffic_bytes_total", "counter", "Payload bytes of users.", moved);
    put_pairs(t, m, "v2sp_panel_reported_bytes_total", "counter",
              "Bytes the panel has acknowledged.", pushed);
    put_pairs(t, m, "v2sp_spool_bytes", "gauge", "Bytes the panel has not acknowledged.", spooled);
    put_workers(t, m->env->plane);
    put_stores(t, m->env->devices);
    put_process(t, &p);
    put_exporters(t, m, users, scrapes, &p);
}

/* ---- other pages ----------------------------------------------------------------------------- */

static void put_vars(struct metrics_text *t, const char *name, uint64_t up, uint64_t down,
                     bool *first)
{
    textbuf_printf(t->text, "%s", *first ? "" : ",");
    *first = false;
    textbuf_json(t->text, name);
    textbuf_printf(t->text, ":{\"uplink\":%llu,\"downlink\":%llu}", (unsigned long long)up,
                   (unsigned long long)down);
}

void metrics_vars(struct metrics_text *t, const struct metrics_setup *m, bool users)
{
    static const char *const kinds[] = {"inbound", "outbound"};
    bool first;

    textbuf_printf(t->text, "{\"stats\":{");
    for (int k = 0; k < 2; k++) {
        textbuf_printf(t->text, "\"%s\":{", kinds[k]);
        first = true;
        for (const struct node *n = NULL; (n = next_node(m, n)) != NULL;) {
            const struct plane_stats st = sums_of(m, n);
            put_vars(t, tag_of(n), st.up, st.down, &first);
        }
        textbuf_printf(t->text, "},");
    }
    textbuf_printf(t->text, "\"user\":{");
    first = true;
    for (const struct node *n = NULL; (n = next_node(m, n)) != NULL;) {
        for (size_t i = 0; users && i < n->users.count && !t->text->failed; i++) {
            char text[USER_SECRET_MAX + 1], name[STATS_NAME_MAX];
            uint64_t up, down;
            counters_read(m->env->counters, n->users.by_id[i]->slot, &up, &down);
            snprintf(name, sizeof(name), "%.300s|%s", tag_of(n),
                     user_secret(n->users.by_id[i], text));
            if (up + down > 0)
                put_vars(t, name, up, down, &first);
        }
    }
    textbuf_printf(t->text, "}}}\n");
}

bool metrics_ready(struct metrics_text *t, const struct metrics_setup *m)
{
    bool ready = true;

    LIST_FOREACH(l, tmp, m->nodes) {
        const struct node *n = NODE_OF(l);
        if (n->listening || n->state >= NODE_DRAINING)
            continue;
        ready = false;
        textbuf_printf(t->text, "%.200s: not serving\n", tag_of(n));
    }
    if (ready)
        textbuf_printf(t->text, "ok\n");
    return ready;
}
