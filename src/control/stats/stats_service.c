#include "control/stats/stats_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/textbuf.h"
#include "codec/protobuf.h"
#include "control/config/config_stats.h"
#include "control/node/node.h"
#include "control/server/grpc_health.h"
#include "control/server/grpc_reflection.h"
#include "control/server/grpc_server.h"
#include "control/stats/process_info.h"
#include "control/stats/stats.h"
#include "control/stats/stats_query.h"
#include "control/stats/stats_request.h"
#include "io/loop.h"

#define RETRY_MS    5000
#define METHODS_MAX 24
#define DEFAULT_MAX 4194304u /* bytes of an answer that clients take unless told otherwise */

struct stats_service {
    struct stats_service_setup setup;
    struct grpc_server *server;
    struct grpc_method methods[METHODS_MAX];
    struct grpc_health health;
    struct addr wanted;
    bool enabled, told, told_large;
    struct timer retry;
    struct stats_memory memory;
    struct stats_query query; /* too large for the stack */
};

/* ---- requests -------------------------------------------------------------------------------- */

/* False: answered with an error. */
static bool readable(struct grpc_call *call, enum status st)
{
    switch (st) {
    case ST_OK:
        return true;
    case ST_E_UNSUPPORTED:
        grpc_call_fail(call, GRPC_INTERNAL,
                       "grpc: error unmarshalling request: string field contains invalid UTF-8");
        return false;
    case ST_E_LIMIT:
        grpc_call_fail(call, GRPC_INVALID_ARGUMENT, "more than %u patterns",
                       STATS_PATTERNS_MAX - 1);
        return false;
    default:
        grpc_call_fail(call, GRPC_INTERNAL,
                       "grpc: error unmarshalling request: proto: cannot parse invalid wire-format "
                       "data");
        return false;
    }
}

static void not_found(struct grpc_call *call, struct grpc_str name)
{
    grpc_call_fail(call, GRPC_NOT_FOUND, "%.*s not found.", name.len > 400 ? 400 : (int)name.len,
                   name.p);
}

/* Answers with one Stat. */
static void answer_stat(struct grpc_call *call, struct grpc_str name, uint64_t value)
{
    uint8_t buf[STATS_NAME_MAX + 128];
    struct protobuf_writer w = {.p = buf, .cap = sizeof(buf)};

    protobuf_put_head(&w, 1, protobuf_bytes_size(1, name.len) + protobuf_number_size(2, value));
    protobuf_put_bytes(&w, 1, name.p, name.len);
    protobuf_put_number(&w, 2, value);
    if (w.full)
        not_found(call, name);
    else
        grpc_call_bytes(call, buf, w.len);
}

/* Cuts @end off @name; false if it does not end so. */
static bool cut_end(struct grpc_str *name, const char *end)
{
    size_t n = strlen(end);

    if (name->len < n || memcmp(name->p + name->len - n, end, n) != 0)
        return false;
    name->len -= n;
    return true;
}

static void get_stats(void *arg, struct grpc_call *call, const uint8_t *message, size_t len)
{
    struct stats_service *s = arg;
    struct stats_get q;
    struct stats_item item;

    if (!readable(call, stats_request_get(message, len, &q)))
        return;
    struct grpc_str name = q.name;
    bool up = cut_end(&name, ">>>traffic>>>uplink");
    if ((!up && !cut_end(&name, ">>>traffic>>>downlink")) ||
        !stats_find(s->setup.stats, name.p, name.len, &item)) {
        not_found(call, q.name);
        return;
    }
    if (q.reset) {
        stats_take(s->setup.stats, item.kind, item.place, up ? item.up : 0, up ? 0 : item.down);
        if (item.kind == STATS_GONE)
            stats_forget(s->setup.stats);
    }
    answer_stat(call, q.name, up ? item.up : item.down);
}

static void query_stats(void *arg, struct grpc_call *call, const uint8_t *message, size_t len)
{
    struct stats_service *s = arg;
    struct grpc_body *body;
    char problem[256];

    if (!readable(call, stats_request_query(message, len, &s->query)))
        return;
    enum status st = stats_query_run(s->setup.stats, &s->query, &s->memory, &body, problem);
    /* Clients who take nothing shall not keep others from asking. */
    if (st == ST_E_LIMIT && grpc_server_relieve(s->server))
        st = stats_query_run(s->setup.stats, &s->query, &s->memory, &body, problem);
    switch (st) {
    case ST_OK:
        if (body->size > DEFAULT_MAX && !s->told_large) {
            s->told_large = true;
            log_line(s->setup.log, LOG_INFO, NULL,
                     "v2ray_api: an answer of %llu bytes; most clients take 4 MiB: ask with a "
                     "pattern, or raise the client's limit (said once)",
                     (unsigned long long)body->size);
        }
        grpc_call_answer(call, body);
        return;
    case ST_E_PROTO:
        grpc_call_fail(call, GRPC_INVALID_ARGUMENT, "%s", problem);
        return;
    default:
        grpc_call_fail(call, GRPC_RESOURCE_EXHAUSTED, "%s", problem);
        return;
    }
}

/* What is a Go program's in the original; docs/stats-api.md says what is ours. */
static void get_sys_stats(void *arg, struct grpc_call *call, const uint8_t *message, size_t len)
{
    struct stats_service *s = arg;
    struct plane_stats plane = {0};
    struct process_info info;
    uint8_t buf[128];
    struct protobuf_writer w = {.p = buf, .cap = sizeof(buf)};

    (void)message;
    (void)len;
    process_info_read(&info);
    s->setup.plane->stats(s->setup.plane->self, UINT32_MAX, &plane);
    protobuf_put_number(&w, 1, plane.open + info.threads);
    protobuf_put_number(&w, 3, info.heap);
    protobuf_put_number(&w, 5, info.resident);
    protobuf_put_number(&w, 10, info.uptime_s);
    grpc_call_bytes(call, buf, w.len);
}

/* ---- who is online --------------------------------------------------------------------------- */

static void put(struct textbuf *t, uint32_t number, const void *data, size_t len)
{
    size_t n = protobuf_bytes_size(number, len);
    struct protobuf_writer w = {.p = (uint8_t *)textbuf_room(t, n), .cap = n};

    if (w.p == NULL)
        return;
    protobuf_put_bytes(&w, number, data, len);
    t->len += n;
}

/* A message that is ready; what its memory takes is counted while the client reads. */
struct text_body {
    struct grpc_body body;
    struct stats_memory *memory;
    struct textbuf text;
    size_t at;
};

static size_t text_read(struct grpc_body *body, uint8_t *dst, size_t cap)
{
    struct text_body *t = (struct text_body *)body;
    size_t n = t->text.len - t->at < cap ? t->text.len - t->at : cap;

    memcpy(dst, t->text.p + t->at, n);
    t->at += n;
    return n;
}

static void text_free(struct grpc_body *body)
{
    struct text_body *t = (struct text_body *)body;

    struct stats_memory *memory = t->memory;
    size_t size = t->text.cap;
    textbuf_fini(&t->text);
    free(t);
    stats_memory_give(memory, size);
}

/* Empty, and with room for what answers under way leave. */
static struct textbuf text_begin(const struct stats_service *s)
{
    size_t room = STATS_QUERY_MEMORY - s->memory.used;
    return (struct textbuf){.max = room > 0 ? room : 1};
}

/* Answers with @t, or that it failed; takes it over. */
static bool answer_text(struct stats_service *s, struct grpc_call *call, struct textbuf *t)
{
    struct text_body *body = t->failed ? NULL : malloc(sizeof(*body));

    if (body == NULL || stats_memory_take(&s->memory, t->cap) != ST_OK) {
        free(body);
        textbuf_fini(t);
        grpc_call_fail(call, GRPC_RESOURCE_EXHAUSTED,
                       "answers under way hold all memory for them: ask again later");
        return false;
    }
    *body = (struct text_body){.body = {.size = t->len, .read = text_read, .free = text_free},
                               .memory = &s->memory,
                               .text = *t};
    *t = (struct textbuf){0};
    grpc_call_answer(call, &body->body);
    return true;
}

/* To be taken off a counter once the answer is sure. */
struct taken {
    uint32_t place;
    enum stats_kind kind;
    uint64_t up, down;
};

struct online {
    struct textbuf text, taken; /* taken: of struct taken */
    bool traffic, reset;
};

static bool is_online(const struct stats_item *item)
{
    return item->kind == STATS_USER &&
           atomic_load_explicit(&item->user->sessions, memory_order_relaxed) > 0;
}

static enum status add_name(void *arg, const struct stats_item *item)
{
    struct online *o = arg;
    char name[STATS_NAME_MAX + 16];

    if (is_online(item))
        put(&o->text, 1, name,
            (size_t)snprintf(name, sizeof(name), "%.*s>>>online", (int)item->name_len, item->name));
    return o->text.failed ? ST_E_LIMIT : ST_OK;
}

static void get_all_online(void *arg, struct grpc_call *call, const uint8_t *message, size_t len)
{
    struct stats_service *s = arg;
    struct online o = {.text = text_begin(s)};

    (void)message;
    (void)len;
    if (stats_walk(s->setup.stats, add_name, &o) != ST_OK)
        o.text.failed = true;
    (void)answer_text(s, call, &o.text);
}

static enum status add_user(void *arg, const struct stats_item *item)
{
    struct online *o = arg;
    uint8_t traffic[2 * PROTOBUF_VARINT_MAX + 4], user[STATS_NAME_MAX + 64];
    struct protobuf_writer t = {.p = traffic, .cap = sizeof(traffic)};
    struct protobuf_writer u = {.p = user, .cap = sizeof(user)};
    size_t cut = strlen("user>>>");

    if (!is_online(item))
        return ST_OK;
    protobuf_put_bytes(&u, 1, item->name + cut, item->name_len - cut);
    if (o->traffic) {
        protobuf_put_number(&t, 1, item->up);
        protobuf_put_number(&t, 2, item->down);
        protobuf_put_bytes(&u, 3, traffic, t.len);
    }
    put(&o->text, 1, user, u.len);
    if (o->traffic && o->reset) {
        const struct taken one = {item->place, item->kind, item->up, item->down};
        textbuf_put(&o->taken, (const char *)&one, sizeof(one));
    }
    return o->text.failed || o->taken.failed ? ST_E_LIMIT : ST_OK;
}

static void get_users_stats(void *arg, struct grpc_call *call, const uint8_t *message, size_t len)
{
    struct stats_service *s = arg;
    struct stats_get q;
    struct online o = {.text = text_begin(s), .taken.max = STATS_QUERY_MEMORY};

    if (!readable(call, stats_request_get(message, len, &q)))
        return;
    o.traffic = q.traffic;
    o.reset = q.reset;
    if (stats_walk(s->setup.stats, add_user, &o) != ST_OK)
        o.text.failed = true;
    if (answer_text(s, call, &o.text)) {
        for (size_t at = 0; at < o.taken.len; at += sizeof(struct taken)) {
            struct taken one;
            memcpy(&one, o.taken.p + at, sizeof(one));
            stats_take(s->setup.stats, one.kind, one.place, one.up, one.down);
        }
    }
    textbuf_fini(&o.taken);
}

/* A call that waits for the workers' word about one user. */
struct asked {
    struct stats_service *service;
    struct grpc_call *call; /* NULL: it has ended meanwhile */
    bool list;              /* addresses, not their number */
    size_t len;
    char name[STATS_NAME_MAX + 16];
};

static void on_asker_gone(void *arg)
{
    ((struct asked *)arg)->call = NULL;
}

/* Xray leaves its own machine out: proxies in front of the node come from there. */
static bool is_counted(const struct addr *a)
{
    static const uint8_t one4[4] = {127, 0, 0, 1}, one6[16] = {[15] = 1};
    return memcmp(a->ip, a->family == ADDR_IP4 ? one4 : one6, a->family == ADDR_IP4 ? 4 : 16) != 0;
}

static void put_ip(struct textbuf *t, const struct addr *ip, int64_t seen_s)
{
    char text[ADDR_STRLEN], shown[ADDR_STRLEN + 4];
    uint8_t entry[ADDR_STRLEN + 32];
    struct protobuf_writer w = {.p = entry, .cap = sizeof(entry)};

    addr_ip_str(ip, text);
    int n = snprintf(shown, sizeof(shown), ip->family == ADDR_IP6 ? "[%s]" : "%s", text);
    protobuf_put_bytes(&w, 1, shown, (size_t)n);
    protobuf_put_number(&w, 2, (uint64_t)seen_s);
    put(t, 2, entry, w.len);
}

static void on_online(void *arg, const struct plane_online *list, size_t n)
{
    struct asked *a = arg;
    struct grpc_str name = {a->name, a->len};
    struct textbuf t = {0};
    uint64_t count = 0;

    if (a->call == NULL)
        goto out;
    grpc_call_watch(a->call, NULL, NULL);
    t = text_begin(a->service);
    if (a->list)
        put(&t, 1, a->name, a->len);
    for (size_t i = 0; i < n; i++) {
        if (!is_counted(&list[i].ip))
            continue;
        count++;
        if (a->list)
            put_ip(&t, &list[i].ip,
                   loop_unix_s(a->service->setup.loop) - (int64_t)(list[i].idle_ms / 1000));
    }
    if (a->list)
        (void)answer_text(a->service, a->call, &t);
    else
        answer_stat(a->call, name, count);
out:
    free(a);
}

static void ask_online(struct stats_service *s, struct grpc_call *call, const uint8_t *message,
                       size_t len, bool list)
{
    const struct plane *plane = s->setup.plane;
    struct stats_get q;
    struct stats_item item;

    if (!readable(call, stats_request_get(message, len, &q)))
        return;
    struct grpc_str name = q.name;
    if (!cut_end(&name, ">>>online") || !stats_find(s->setup.stats, name.p, name.len, &item) ||
        item.kind != STATS_USER) {
        not_found(call, q.name);
        return;
    }
    struct asked *a = calloc(1, sizeof(*a));
    if (a == NULL || q.name.len >= sizeof(a->name)) {
        free(a);
        grpc_call_fail(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
        return;
    }
    a->service = s;
    a->call = call;
    a->list = list;
    a->len = q.name.len;
    memcpy(a->name, q.name.p, q.name.len);
    grpc_call_watch(call, on_asker_gone, a);
    plane->collect_online(plane->self, item.user->node, item.user, on_online, a);
}

static void get_online(void *arg, struct grpc_call *call, const uint8_t *message, size_t len)
{
    ask_online(arg, call, message, len, false);
}

static void get_online_ips(void *arg, struct grpc_call *call, const uint8_t *message, size_t len)
{
    ask_online(arg, call, message, len, true);
}

/* ---- the service ----------------------------------------------------------------------------- */

static size_t list_methods(struct stats_service *s, bool enabled)
{
    static const char *const services[] = {"v2ray.core.app.stats.command.StatsService",
                                           "xray.app.stats.command.StatsService"};
    static const char *const reflection[] = {"grpc.reflection.v1.ServerReflection",
                                             "grpc.reflection.v1alpha.ServerReflection"};
    static const struct {
        const char *name;
        void (*fn)(void *, struct grpc_call *, const uint8_t *, size_t);
    } rows[] = {
        {"GetStats", get_stats},
        {"QueryStats", query_stats},
        {"GetSysStats", get_sys_stats},
        {"GetStatsOnline", get_online},
        {"GetStatsOnlineIpList", get_online_ips},
        {"GetAllOnlineUsers", get_all_online},
        {"GetUsersStats", get_users_stats},
    };
    size_t n = 0;

    memset(s->methods, 0, sizeof(s->methods));
    s->methods[n++] = (struct grpc_method){.service = GRPC_HEALTH_SERVICE,
                                           .name = "Check",
                                           .fn = grpc_health_check,
                                           .arg = &s->health};
    s->methods[n++] = (struct grpc_method){.service = GRPC_HEALTH_SERVICE,
                                           .name = "Watch",
                                           .kind = GRPC_SERVER_STREAM,
                                           .fn = grpc_health_watch,
                                           .arg = &s->health};
    for (size_t i = 0; i < sizeof(reflection) / sizeof(reflection[0]) && enabled; i++)
        s->methods[n++] = (struct grpc_method){.service = reflection[i],
                                               .name = "ServerReflectionInfo",
                                               .kind = GRPC_BIDI,
                                               .fn = grpc_reflection_answer};
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]) && enabled; i++)
        for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
            s->methods[n++] = (struct grpc_method){
                .service = services[i], .name = rows[k].name, .fn = rows[k].fn, .arg = s};
    BUG_ON(n > METHODS_MAX);
    grpc_health_init(&s->health, s->methods, n);
    return n;
}

static void try_listen(struct stats_service *s)
{
    struct why why = {0};
    char text[ADDR_STRLEN];
    const struct log *lg = s->setup.log;

    if (grpc_server_listen(s->server, &s->wanted, &why) == ST_OK) {
        log_line(lg, LOG_INFO, NULL, "v2ray_api: listening on %s", addr_str(&s->wanted, text));
        s->told = false;
        return;
    }
    if (!s->told)
        log_line(lg, LOG_ERROR, NULL, "v2ray_api: %s: %s (%s); the nodes go on, it is tried again",
                 addr_str(&s->wanted, text), why.text, strerror((int)why.number));
    s->told = true;
    loop_timer_in(s->setup.loop, &s->retry, RETRY_MS);
}

static void on_retry(struct timer *t)
{
    try_listen(LIST_ENTRY(t, struct stats_service, retry));
}

struct stats_service *stats_service_new(const struct stats_service_setup *setup)
{
    struct stats_service *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->setup = *setup;
    timer_init(&s->retry, on_retry);
    return s;
}

/* Says goodbye. */
static void stop_server(struct stats_service *s)
{
    if (s->server == NULL)
        return;
    grpc_health_stop(&s->health);
    grpc_server_stop(s->server);
}

static void close_server(struct stats_service *s)
{
    loop_timer_del(s->setup.loop, &s->retry);
    stop_server(s);
    grpc_server_free(s->server);
    s->server = NULL;
    s->told = false;
}

void stats_service_free(struct stats_service *s)
{
    if (s == NULL)
        return;
    close_server(s);
    free(s);
}

void stats_service_apply(struct stats_service *s, const struct config_stats *conf)
{
    bool on = conf->listen.family != ADDR_NONE;

    if (stats_configure(s->setup.stats, on && conf->enabled ? conf : NULL) != ST_OK)
        log_line(s->setup.log, LOG_ERROR, NULL, "v2ray_api: no memory for the lists of names");
    if (s->server != NULL && on && addr_equal(&conf->listen, &s->wanted) &&
        conf->enabled == s->enabled)
        return;
    close_server(s);
    if (!on)
        return;
    s->wanted = conf->listen;
    s->enabled = conf->enabled;
    const struct grpc_server_conf sc = {.loop = s->setup.loop,
                                        .log = s->setup.log,
                                        .methods = s->methods,
                                        .method_count = list_methods(s, conf->enabled)};
    s->server = grpc_server_new(&sc);
    if (s->server == NULL)
        log_line(s->setup.log, LOG_ERROR, NULL, "v2ray_api: no memory");
    else
        try_listen(s);
}

void stats_service_stop(struct stats_service *s)
{
    loop_timer_del(s->setup.loop, &s->retry);
    stop_server(s);
}

const struct addr *stats_service_addr(const struct stats_service *s)
{
    static const struct addr none = {.family = ADDR_NONE};
    return s->server != NULL ? grpc_server_addr(s->server) : &none;
}
