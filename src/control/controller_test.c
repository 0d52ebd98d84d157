#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "control/fake_panel.h"
#include "control/fake_plane.h"

#include <time.h>

#include <cmocka.h>

#include "base/log.h"
#include "control/config.h"
#include "stream/layer.h"

enum action { CONFIG, USER, ALIVELIST, PUSH, ALIVE, ACTIONS };

#define UUID_A "11111111-1111-4111-8111-111111111111"
#define UUID_B "22222222-2222-4222-8222-222222222222"
#define UUID_C "33333333-3333-4333-8333-333333333333"
#define CONFIG_1                                                                                   \
    "{\"node_type\":\"vless\",\"server_port\":1443,\"network\":\"tcp\",\"tls\":0,"                 \
    "\"base_config\":{\"push_interval\":60,\"pull_interval\":60}}"
#define USER_A "{\"id\":1,\"uuid\":\"" UUID_A "\",\"speed_limit\":100}"
#define USER_B "{\"id\":2,\"uuid\":\"" UUID_B "\"}"
#define USER_C "{\"id\":3,\"uuid\":\"" UUID_C "\",\"device_limit\":2}"

/* What the panel does with one kind of call. */
struct act {
    int status; /* 0: the normal answer */
    enum fake_end end;
    const char *body;
    unsigned times; /* then normally again */
};

struct world {
    char dir[64];
    struct loop *loop;
    struct fake_panel panel;
    struct fake_plane plane;
    struct controller *c;
    const struct config *cfg;
    bool stopped;
    /* the panel */
    char *config, *users;
    bool etags;
    unsigned version; /* in the ETags */
    struct act act[ACTIONS];
    unsigned calls[ACTIONS];
    char body[ACTIONS][2048], etag[ACTIONS][64], key[128], last_key[128];
    unsigned warnings;
};

static struct world *now; /* for the log */
static char last_warning[512];

static void on_line(struct log_sink *s, const char *line, size_t len)
{
    (void)s;
    if (getenv("V2SP_TEST_LOG") != NULL)
        print_message("%.*s", (int)len, line);
    if (strstr(line, " warning ") == NULL && strstr(line, " error ") == NULL)
        return;
    now->warnings++;
    snprintf(last_warning, sizeof(last_warning), "%.*s", (int)len, line);
    assert_null(strstr(line, "secret"));
    assert_null(strstr(line, "11111111"));
}

static uint64_t no_time(void)
{
    return 0;
}

static struct log_sink sink = {.write = on_line};
static struct log lg = {.sink = &sink, .level = LOG_DEBUG, .wall_us = no_time};

/* ---- the panel -------------------------------------------------------------------------------- */

static enum action action_of(const char *target)
{
    static const char *const names[] = {"action=config&", "action=user&", "action=alivelist&",
                                        "action=push&", "action=alive&"};
    for (int i = 0; i < ACTIONS; i++)
        if (strstr(target, names[i]) != NULL)
            return (enum action)i;
    fail();
    return CONFIG;
}

static void answer(struct world *w, enum action a, const struct fake_request *r,
                   struct fake_answer *out)
{
    static char etag[64];
    char want[32];

    if ((a == CONFIG || a == USER) && w->etags) {
        snprintf(want, sizeof(want), "\"%d-%u\"", a, w->version);
        snprintf(etag, sizeof(etag), "ETag: %s\r\n", want);
        out->headers = etag;
        if (strcmp(w->etag[a], want) == 0) {
            out->status = 304;
            return;
        }
    }
    (void)r;
    fake_text(out, a == CONFIG      ? w->config
                   : a == USER      ? w->users
                   : a == ALIVELIST ? "{\"alive\":{\"1\":2}}"
                                    : "{\"message\":\"ok\"}");
}

static void handle(void *arg, const struct fake_request *r, struct fake_answer *out)
{
    struct world *w = arg;
    enum action a = action_of(r->target);
    struct act *act = &w->act[a];

    w->calls[a]++;
    assert_non_null(strstr(r->target, "token=secret"));
    snprintf(w->body[a], sizeof(w->body[a]), "%.*s", (int)r->body_len, r->body);
    fake_header(r, "If-None-Match", w->etag[a], sizeof(w->etag[a]));
    if (a == PUSH) {
        strcpy(w->last_key, w->key);
        fake_header(r, "Idempotency-Key", w->key, sizeof(w->key));
    }
    if (act->times == 0) {
        answer(w, a, r, out);
        return;
    }
    act->times--;
    out->end = act->end;
    if (act->status == 0) {
        answer(w, a, r, out);
        return;
    }
    out->status = act->status;
    if (act->body != NULL)
        fake_text(out, act->body);
}

static void set(char **text, const char *to)
{
    free(*text);
    *text = strdup(to);
}

static void set_users(struct world *w, const char *list)
{
    char t[8192];
    snprintf(t, sizeof(t), "{\"users\":[%s]}", list);
    set(&w->users, t);
    w->version++;
}

static void set_config(struct world *w, const char *text)
{
    set(&w->config, text);
    w->version++;
}

/* ---- the world -------------------------------------------------------------------------------- */

static const struct config *config_of(struct world *w, const char *nodes)
{
    char t[4096];
    const struct config *cfg = NULL;

    snprintf(t, sizeof(t), "{\"StateDir\":\"%s\",\"Nodes\":[%s]}", w->dir, nodes);
    assert_int_equal(config_parse(t, strlen(t), "test", NULL, &cfg), ST_OK);
    assert_int_equal(cfg->errors, 0);
    return cfg;
}

static const char *node_text(struct world *w, int id, const char *more)
{
    static char t[2][1024];
    static int i;
    i = !i;
    snprintf(t[i], sizeof(t[i]),
             "{\"ApiHost\":\"http://127.0.0.1:%u/api\",\"ApiKey\":\"secret\",\"NodeID\":%d,"
             "\"NodeType\":\"vless\",\"Name\":\"n%d\",\"Timeout\":20%s}",
             w->panel.port, id, id, more);
    return t[i];
}

static void apply(struct world *w, const char *nodes)
{
    const struct config *old = w->cfg;
    w->cfg = config_of(w, nodes);
    assert_int_equal(controller_apply(w->c, w->cfg), ST_OK);
    config_unref(old);
}

static void start(struct world *w)
{
    struct controller_setup setup = {
        .loop = w->loop, .log = &lg, .plane = &w->plane.plane, .state_dir = w->dir};
    fake_plane_init(&w->plane, w->loop);
    w->c = controller_new(&setup);
    assert_non_null(w->c);
    w->plane.controller = w->c;
    w->stopped = false;
}

static struct controller_node_status status(struct world *w, size_t i)
{
    struct controller_node_status s[8];
    assert_true(controller_status(w->c, s, 8) > i);
    return s[i];
}

static void on_stopped(void *arg)
{
    struct world *w = arg;
    w->stopped = true;
}

/* Goes round until @cond holds; a world in which it never does fails the test by its time limit. */
#define UNTIL(w, cond)                                                                             \
    do {                                                                                           \
        time_t until_ = time(NULL) + 6;                                                            \
        while (!(cond)) {                                                                          \
            loop_once((w)->loop, 1000);                                                            \
            if (time(NULL) > until_)                                                               \
                fail_msg("never: %s (calls %u %u %u %u %u; %s)", #cond, (w)->calls[0],             \
                         (w)->calls[1], (w)->calls[2], (w)->calls[3], (w)->calls[4],               \
                         status(w, 0).problem);                                                    \
        }                                                                                          \
    } while (0)

static void end(struct world *w)
{
    fake_plane_fini(&w->plane);
    controller_free(w->c);
    w->c = NULL;
}

static void stop(struct world *w)
{
    controller_stop(w->c, 100, 5000, on_stopped, w);
    UNTIL(w, w->stopped);
    end(w);
}

/* As by kill -9: what the next start finds is a copy of how things were. */
static void kill_and_start(struct world *w)
{
    char cmd[512];
    snprintf(cmd, sizeof(cmd), "cp -a --sparse=always %s %s.kept", w->dir, w->dir);
    assert_int_equal(system(cmd), 0);
    end(w);
    snprintf(cmd, sizeof(cmd), "rm -rf %s; mv %s.kept %s", w->dir, w->dir, w->dir);
    assert_int_equal(system(cmd), 0);
    start(w);
}

static struct user_rt *find_user(struct world *w, const char *uuid)
{
    uint8_t id[UUID_LEN];
    assert_int_equal(uuid_parse(id, uuid, strlen(uuid)), ST_OK);
    assert_non_null(w->plane.nodes[0].view);
    return user_index_find(w->plane.nodes[0].view->users, id);
}

static size_t users(struct world *w)
{
    return w->plane.nodes[0].view == NULL ? 0 : user_index_count(w->plane.nodes[0].view->users);
}

/* A whole pull has run since this was called, and succeeded. */
static void pull(struct world *w)
{
    unsigned n = w->calls[CONFIG];
    controller_poke(w->c);
    UNTIL(w, w->calls[CONFIG] > n);
    n = w->calls[ALIVELIST];
    UNTIL(w, w->calls[ALIVELIST] > n);
}

static void traffic(struct world *w, const char *uuid, uint64_t up, uint64_t down)
{
    meter_add(controller_meter(w->c, 1), find_user(w, uuid)->slot, up, down);
}

static void push(struct world *w)
{
    unsigned n = w->calls[PUSH];
    controller_poke(w->c);
    UNTIL(w, w->calls[PUSH] > n);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    now = w;
    strcpy(w->dir, "/tmp/v2sp-control-XXXXXX");
    if (mkdtemp(w->dir) == NULL)
        return 1;
    w->loop = loop_new();
    w->panel.handle = handle;
    w->panel.arg = w;
    w->etags = true;
    fake_open(&w->panel, w->loop);
    set_config(w, CONFIG_1);
    set_users(w, USER_A "," USER_B);
    start(w);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    char cmd[128];
    if (w->c != NULL)
        end(w);
    config_unref(w->cfg);
    fake_close(&w->panel);
    loop_free(w->loop);
    free(w->config);
    free(w->users);
    snprintf(cmd, sizeof(cmd), "rm -rf %s", w->dir);
    free(w);
    return system(cmd);
}

static void run(struct world *w)
{
    apply(w, node_text(w, 7, ""));
    UNTIL(w, w->calls[ALIVELIST] > 0 && status(w, 0).pulled_s != 0 && status(w, 0).serving);
}

/* ---- serving ---------------------------------------------------------------------------------- */

static void first_start(void **state)
{
    struct world *w = *state;

    run(w);
    assert_int_equal(w->plane.nodes[0].published, 1);
    const struct view_node *v = w->plane.nodes[0].view->node;
    assert_int_equal(v->listen[0].port, 1443);
    assert_int_equal(v->stage_count, 1);
    assert_string_equal(v->stages[0].ops->name, "vless");
    assert_int_equal(users(w), 2);
    assert_int_equal(find_user(w, UUID_A)->uid, 1);
    assert_int_equal(find_user(w, UUID_A)->speed_mbps, 100);
    assert_string_equal(status(w, 0).state, "running");
    assert_string_equal(status(w, 0).problem, "");
    assert_int_equal(status(w, 0).users, 2);
    assert_string_equal(w->etag[CONFIG], "");
    /* The second pull changes nothing. */
    pull(w);
    assert_string_equal(w->etag[CONFIG], "\"0-2\"");
    assert_string_equal(w->etag[USER], "\"1-2\"");
    assert_int_equal(w->plane.nodes[0].published, 1);
    assert_int_equal(w->calls[PUSH], 0);
    stop(w);
    assert_int_equal(w->calls[PUSH], 0);
    assert_int_equal(w->warnings, 0);
}

static void the_same_without_etags_is_not_rebuilt(void **state)
{
    struct world *w = *state;
    w->etags = false;
    run(w);
    set_config(w,
               "{\"base_config\":{\"pull_interval\":\"60\",\"push_interval\":60.0},\"tls\":\"0\","
               "\"server_port\":\"1443\",\"network\":\"tcp\",\"node_type\":\"vless\"}");
    pull(w);
    assert_int_equal(w->plane.nodes[0].published, 1);
}

static void users_come_and_go(void **state)
{
    struct world *w = *state;

    run(w);
    struct user_rt *a = find_user(w, UUID_A), *b = find_user(w, UUID_B);
    set_users(w, "{\"id\":1,\"uuid\":\"" UUID_A "\",\"speed_limit\":20}," USER_C);
    traffic(w, UUID_B, 10, 20);
    w->plane.hold_removed = true;
    pull(w);
    assert_ptr_equal(find_user(w, UUID_A), a); /* the object is his as long as he is */
    assert_int_equal(a->speed_mbps, 20);
    assert_int_equal(find_user(w, UUID_C)->device_limit, 2);
    assert_null(find_user(w, UUID_B));
    assert_true(b->removed);
    assert_int_equal(w->plane.removed, 1);
    /* His session still moves bytes until it has ended. */
    meter_add(controller_meter(w->c, 0), b->slot, 1, 2);
    w->plane.hold_removed = false;
    loop_task_add(w->loop, &w->plane.later);
    loop_once(w->loop, 0);
    push(w); /* the first part went out with the pull */
    assert_string_equal(w->body[PUSH], "{\"2\":[1,2]}");
    UNTIL(w, status(w, 0).pushed_up == 11 && status(w, 0).pushed_down == 22);
    /* A limit alone needs no new view. */
    unsigned published = w->plane.nodes[0].published;
    set_users(w, USER_A "," USER_C);
    pull(w);
    assert_int_equal(w->plane.nodes[0].published, published);
    assert_int_equal(a->speed_mbps, 100);
    /* A new credential of the same user: another object, the old one goes. */
    set_users(w, "{\"id\":1,\"uuid\":\"" UUID_B "\"}," USER_C);
    pull(w);
    assert_int_equal(find_user(w, UUID_B)->uid, 1);
    assert_null(find_user(w, UUID_A));
    assert_int_equal(w->plane.removed, 2);
}

static void config_changes(void **state)
{
    struct world *w = *state;

    run(w);
    struct user_rt *a = find_user(w, UUID_A);
    set_config(w, "{\"node_type\":\"vless\",\"server_port\":1444,\"network\":\"ws\","
                  "\"networkSettings\":{\"path\":\"/ray\"}}");
    pull(w);
    const struct view_node *v = w->plane.nodes[0].view->node;
    assert_int_equal(v->listen[0].port, 1444);
    assert_int_equal(v->stage_count, 2);
    assert_string_equal(v->stages[1].ops->name, "vless");
    assert_ptr_equal(find_user(w, UUID_A), a);
    assert_int_equal(w->plane.removed, 0);
}

static void etag_is_kept_after_all_was_applied(void **state)
{
    struct world *w = *state;

    w->act[USER] = (struct act){.status = 500, .body = "{\"message\":\"boom\"}", .times = 1};
    apply(w, node_text(w, 7, ""));
    UNTIL(w, w->calls[USER] == 1 && status(w, 0).problem[0] != '\0');
    assert_non_null(strstr(status(w, 0).problem, "boom"));
    assert_int_equal(w->plane.nodes[0].published, 0);
    pull(w);
    assert_string_equal(w->etag[CONFIG], "");
    UNTIL(w, status(w, 0).serving && status(w, 0).problem[0] == '\0');
    /* The same for a change. */
    set_config(w, "{\"node_type\":\"vless\",\"server_port\":1555}");
    w->act[USER] = (struct act){.status = 503, .times = 1};
    controller_poke(w->c);
    UNTIL(w, w->calls[USER] == 3 && status(w, 0).problem[0] != '\0');
    assert_int_equal(w->plane.nodes[0].view->node->listen[0].port, 1443);
    pull(w);
    assert_string_equal(w->etag[CONFIG], "\"0-2\"");
    assert_int_equal(w->plane.nodes[0].view->node->listen[0].port, 1555);
}

static void refused_settings_wait(void **state)
{
    struct world *w = *state;
    static const char *const bad[][2] = {
        {"{\"node_type\":\"vless\",\"server_port\":1,\"tls\":2}", "REALITY"},
        {"{\"node_type\":\"vless\",\"server_port\":1,\"network\":\"grpc\"}", "grpc"},
        {"{\"node_type\":\"vmess\",\"server_port\":1}", "vmess"},
        {"{\"node_type\":\"vless\",\"server_port\":1,\"flow\":\"xtls-rprx-vision\"}", "vision"},
        {"{\"node_type\":\"vless\"}", "server_port"},
        {"<html>", "HTML"},
        {"{\"server_port\":", "JSON"},
    };

    set_config(w, bad[0][0]);
    apply(w, node_text(w, 7, ""));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        set_config(w, bad[i][0]);
        controller_poke(w->c);
        UNTIL(w, strstr(status(w, 0).problem, bad[i][1]) != NULL);
        assert_string_equal(status(w, 0).state, "starting");
    }
    assert_int_equal(w->calls[USER], 0);
    unsigned said = w->warnings;
    unsigned calls = w->calls[CONFIG];
    controller_poke(w->c);
    UNTIL(w, w->calls[CONFIG] > calls);
    loop_once(w->loop, 0);
    assert_int_equal(w->warnings, said); /* once */
    set_config(w, CONFIG_1);
    controller_poke(w->c);
    UNTIL(w, status(w, 0).serving);
    assert_string_equal(status(w, 0).problem, "");
    /* A node that is served goes on with what it had, and its users still change. */
    set_config(w, bad[0][0]);
    set_users(w, USER_A);
    pull(w);
    assert_non_null(strstr(status(w, 0).problem, "REALITY"));
    assert_string_equal(status(w, 0).state, "running");
    assert_int_equal(users(w), 1);
    assert_int_equal(w->plane.nodes[0].view->node->listen[0].port, 1443);
}

static void a_bad_node_does_not_touch_the_other(void **state)
{
    struct world *w = *state;
    char two[2048];

    snprintf(two, sizeof(two),
             "%s,{\"ApiHost\":\"http://127.0.0.1:1/x\",\"ApiKey\":\"secret\",\"NodeID\":8}",
             node_text(w, 7, ""));
    apply(w, two);
    UNTIL(w, status(w, 0).serving && status(w, 1).problem[0] != '\0');
    assert_string_equal(status(w, 1).state, "starting");
    assert_non_null(strstr(status(w, 1).problem, "not reachable"));
}

static void wrong_token_and_disabled_node(void **state)
{
    struct world *w = *state;

    run(w);
    w->act[CONFIG] = (struct act){.status = 403, .body = "{\"message\":\"disabled\"}", .times = 3};
    for (unsigned i = 0; i < 3; i++) {
        unsigned n = w->calls[CONFIG];
        controller_poke(w->c);
        UNTIL(w, w->calls[CONFIG] > n && status(w, 0).problem[0] != '\0');
        loop_once(w->loop, 0);
    }
    assert_int_equal(w->warnings, 1);
    assert_non_null(strstr(status(w, 0).problem, "disabled"));
    assert_string_equal(status(w, 0).state, "running");
    assert_int_equal(users(w), 2);
}

static void port_in_use(void **state)
{
    struct world *w = *state;

    w->plane.busy = true;
    apply(w, node_text(w, 7, ""));
    UNTIL(w, w->plane.nodes[0].published == 1 && status(w, 0).problem[0] != '\0');
    assert_string_equal(status(w, 0).state, "waiting");
    assert_false(status(w, 0).serving);
    w->plane.busy = false;
    UNTIL(w, status(w, 0).serving);
    assert_int_equal(w->plane.nodes[0].published, 2);
    assert_string_equal(status(w, 0).problem, "");
}

static void many_users(char *t, size_t cap, int n)
{
    size_t at = 0;
    for (int i = 1; i <= n; i++)
        at += (size_t)snprintf(t + at, cap - at,
                               "%s{\"id\":%d,\"uuid\":\"00000000-0000-4000-8000-%012d\"}",
                               i > 1 ? "," : "", i, i);
}

static void mass_deletion_is_said_twice(void **state)
{
    struct world *w = *state;
    char t[8000];

    many_users(t, sizeof(t), 60);
    set_users(w, t);
    run(w);
    assert_int_equal(users(w), 60);
    set(&w->users, "{\"data\":[]}"); /* no list at all: nothing happens however often it is said */
    w->version++;
    for (int i = 0; i < 2; i++) {
        unsigned n = w->calls[USER];
        controller_poke(w->c);
        UNTIL(w, w->calls[USER] > n && status(w, 0).problem[0] != '\0');
    }
    assert_int_equal(users(w), 60);
    set_users(w, "");
    pull(w);
    assert_int_equal(users(w), 60);
    pull(w);
    assert_int_equal(users(w), 0);
    assert_int_equal(w->plane.removed, 60);
    /* Few of few is no accident. */
    many_users(t, sizeof(t), 20);
    set_users(w, t);
    pull(w);
    set_users(w, "");
    pull(w);
    assert_int_equal(users(w), 0);
}

static void bad_users_are_skipped(void **state)
{
    struct world *w = *state;

    set_users(w,
              USER_A ",{\"id\":\"x\"}," USER_B ",{\"id\":9,\"uuid\":\"this is no uuid and far too "
                     "long for a name\"},{\"id\":5,\"uuid\":\"short\"}");
    run(w);
    assert_int_equal(users(w), 3);
    assert_int_equal(w->warnings, 1);
    assert_non_null(strstr(last_warning, "2 entries"));
}

/* ---- the panel is down ------------------------------------------------------------------------- */

static void starts_from_cache(void **state)
{
    struct world *w = *state;

    run(w);
    stop(w);
    fake_close(&w->panel);
    start(w);
    apply(w, node_text(w, 7, ""));
    UNTIL(w, status(w, 0).serving); /* before any call could have failed */
    assert_int_equal(users(w), 2);
    assert_int_equal(find_user(w, UUID_A)->speed_mbps, 100);
    UNTIL(w, status(w, 0).problem[0] != '\0');
    assert_non_null(strstr(status(w, 0).problem, "not reachable"));
    assert_string_equal(status(w, 0).state, "running");
    /* And it is back, with one user less. */
    set_users(w, USER_A);
    fake_open(&w->panel, w->loop);
    pull(w);
    assert_int_equal(users(w), 1);
    UNTIL(w, status(w, 0).problem[0] == '\0');
    stop(w);
    start(w);
    fake_close(&w->panel);
    apply(w, node_text(w, 7, ""));
    assert_int_equal(status(w, 0).users, 1);
    fake_open(&w->panel, w->loop);
}

/* ---- reporting -------------------------------------------------------------------------------- */

static void push_is_acknowledged_once(void **state)
{
    struct world *w = *state;

    run(w);
    traffic(w, UUID_A, 100, 200);
    push(w);
    assert_string_equal(w->body[PUSH], "{\"1\":[100,200]}");
    assert_true(w->key[0] == '7');
    UNTIL(w, status(w, 0).pushed_up == 100);
    traffic(w, UUID_A, 1, 0);
    traffic(w, UUID_B, 0, 5);
    push(w);
    assert_string_equal(w->body[PUSH], "{\"1\":[1,0],\"2\":[0,5]}");
    assert_string_not_equal(w->key, w->last_key);
    UNTIL(w, status(w, 0).pushed_down == 205);
    pull(w);
    assert_int_equal(w->calls[PUSH], 2);
}

static void unknown_outcome_is_sent_again_as_it_was(void **state)
{
    static const struct act acts[] = {
        {.end = FAKE_DROP, .times = 1},
        {.end = FAKE_HALF, .times = 1},
        {.status = 500, .times = 1},
        {.status = 502, .body = "<html>", .times = 1},
        {.status = 200, .body = "<html>login", .times = 1},
        {.status = 503, .times = 1},
        {.status = 401, .times = 1},
    };
    struct world *w = *state;

    run(w);
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        char key[128];
        traffic(w, UUID_A, 100, 0);
        w->act[PUSH] = acts[i];
        push(w);
        strcpy(key, w->key);
        assert_string_equal(w->body[PUSH], "{\"1\":[100,0]}");
        UNTIL(w, status(w, 0).problem[0] != '\0');
        traffic(w, UUID_A, 7, 0); /* goes into the next one */
        push(w);
        UNTIL(w, status(w, 0).pushed_up == (i + 1) * 107);
        assert_string_equal(w->last_key, key);
        assert_string_equal(w->body[PUSH], "{\"1\":[7,0]}");
        assert_string_not_equal(w->key, key);
    }
}

static void killed_while_pushing(void **state)
{
    struct world *w = *state;
    char key[128];

    run(w);
    traffic(w, UUID_A, 100, 0);
    w->act[PUSH] = (struct act){.end = FAKE_HOLD, .times = 1};
    push(w);
    strcpy(key, w->key);
    traffic(w, UUID_B, 3, 4); /* never sampled */
    kill_and_start(w);
    apply(w, node_text(w, 7, ""));
    push(w);
    UNTIL(w, status(w, 0).pushed_up == 103);
    assert_string_equal(w->last_key, key);
    assert_string_equal(w->body[PUSH], "{\"2\":[3,4]}");
}

static void too_large_a_push_is_split(void **state)
{
    struct world *w = *state;

    run(w);
    traffic(w, UUID_A, 1, 0);
    traffic(w, UUID_B, 2, 0);
    w->act[PUSH] = (struct act){.status = 413, .times = 1};
    push(w);
    UNTIL(w, status(w, 0).pushed_up == 3);
    assert_int_equal(w->calls[PUSH], 3);
    assert_string_equal(w->body[PUSH], "{\"2\":[2,0]}");
}

static void the_end_pushes_everything(void **state)
{
    struct world *w = *state;

    apply(w, node_text(w, 7, ",\"ReportMinTraffic\":1000"));
    UNTIL(w, status(w, 0).serving);
    traffic(w, UUID_A, 1, 2);
    pull(w);
    assert_int_equal(w->calls[PUSH], 0);
    stop(w);
    assert_int_equal(w->calls[PUSH], 1);
    assert_string_equal(w->body[PUSH], "{\"1\":[1,2]}");
}

static void the_end_does_not_wait_for_ever(void **state)
{
    struct world *w = *state;
    char key[128];

    run(w);
    traffic(w, UUID_A, 1, 2);
    w->act[PUSH] = (struct act){.end = FAKE_HOLD, .times = 1};
    controller_stop(w->c, 10, 50, on_stopped, w);
    UNTIL(w, w->stopped);
    strcpy(key, w->key);
    assert_int_equal(w->calls[PUSH], 1);
    end(w);
    start(w);
    apply(w, node_text(w, 7, ""));
    push(w);
    UNTIL(w, status(w, 0).pushed_up == 1);
    assert_string_equal(w->key, key);
}

static void see(struct world *w, size_t i, uint64_t uid, const char *ip, uint64_t bytes)
{
    struct plane_alive *a = &w->plane.alive[i];
    memset(a, 0, sizeof(*a));
    assert_int_equal(addr_parse_ip(&a->ip, ip, strlen(ip)), ST_OK);
    a->uid = uid;
    a->bytes = bytes;
    w->plane.alive_count = i + 1;
}

static void alive(struct world *w)
{
    unsigned n = w->calls[ALIVE];
    controller_poke(w->c);
    UNTIL(w, w->calls[ALIVE] > n);
}

static void online_users(void **state)
{
    struct world *w = *state;

    apply(w, node_text(w, 7, ",\"DeviceOnlineMinTraffic\":1"));
    UNTIL(w, status(w, 0).serving);
    see(w, 0, 2, "1.2.3.4", 5000);
    see(w, 1, 1, "2001:db8::1", 600); /* two workers */
    see(w, 2, 1, "2001:db8::1", 600);
    see(w, 3, 1, "9.9.9.9", 10); /* a ping */
    alive(w);
    assert_string_equal(w->body[ALIVE], "{\"1\":[\"2001:db8::1\"],\"2\":[\"1.2.3.4\"]}");
    /* A quiet session stays, one that has ended is told once. */
    see(w, 0, 2, "1.2.3.4", 0);
    alive(w);
    assert_string_equal(w->body[ALIVE], "{\"1\":[],\"2\":[\"1.2.3.4\"]}");
    w->act[ALIVE] = (struct act){.status = 500, .times = 1};
    w->plane.alive_count = 0;
    alive(w);
    assert_string_equal(w->body[ALIVE], "{\"2\":[]}");
    UNTIL(w, status(w, 0).problem[0] != '\0');
    alive(w); /* the panel has not taken it */
    assert_string_equal(w->body[ALIVE], "{\"2\":[]}");
    UNTIL(w, status(w, 0).problem[0] == '\0');
    unsigned n = w->calls[ALIVE];
    pull(w);
    pull(w);
    assert_int_equal(w->calls[ALIVE], n); /* nobody, and nobody to take back */
}

/* ---- reload ------------------------------------------------------------------------------------ */

static void reload(void **state)
{
    struct world *w = *state;
    char two[2048];

    run(w);
    apply(w, node_text(w, 7, ""));
    pull(w);
    assert_int_equal(w->plane.nodes[0].published, 1); /* untouched */
    assert_string_equal(w->etag[USER], "\"1-2\"");

    unsigned n = w->calls[ALIVELIST];
    apply(w, node_text(w, 7, ",\"LimitConfig\":{\"SpeedLimit\":50,\"ConnLimit\":4}"));
    UNTIL(w, w->calls[ALIVELIST] > n);
    assert_int_equal(w->plane.nodes[0].published, 2);
    assert_int_equal(find_user(w, UUID_A)->speed_mbps, 50);
    assert_int_equal(find_user(w, UUID_B)->speed_mbps, 50);
    assert_int_equal(find_user(w, UUID_B)->conn_limit, 4);

    traffic(w, UUID_A, 9, 9);
    snprintf(two, sizeof(two), "%s", node_text(w, 8, ""));
    apply(w, two);
    UNTIL(w, w->plane.nodes[0].removed_nodes == 1 && w->calls[PUSH] == 1);
    assert_string_equal(w->body[PUSH], "{\"1\":[9,9]}");
    UNTIL(w, status(w, 0).serving);
    assert_string_equal(status(w, 0).tag, "n8");
    struct controller_node_status s[4];
    UNTIL(w, controller_status(w->c, s, 4) == 1);
}

/* ---- scale ------------------------------------------------------------------------------------- */

static double ms_since(const struct timespec *t)
{
    struct timespec n;
    clock_gettime(CLOCK_MONOTONIC, &n);
    return (double)(n.tv_sec - t->tv_sec) * 1e3 + (double)(n.tv_nsec - t->tv_nsec) / 1e6;
}

static long rss_kib(void)
{
    char line[128];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        sscanf(line, "VmRSS: %ld", &kib);
    if (f != NULL)
        fclose(f);
    return kib;
}

#define SCALE 100000

/* Users 1..SCALE but for those of [from, to), which have another uuid. */
static void scale_users(struct world *w, int from, int to)
{
    char *t = malloc(SCALE * 100 + 100), *p = t;
    p += sprintf(p, "{\"users\":[");
    for (int i = 1; i <= SCALE; i++)
        p += sprintf(
            p, "%s{\"id\":%d,\"uuid\":\"00000000-0000-4000-80%02d-%012d\",\"speed_limit\":100}",
            i > 1 ? "," : "", i, i >= from && i < to, i);
    sprintf(p, "]}");
    free(w->users);
    w->users = t;
    w->version++;
}

static void hundred_thousand_users(void **state)
{
    struct world *w = *state;
    struct timespec t;
    long before = rss_kib();

    scale_users(w, 0, 0);
    long text = rss_kib();
    clock_gettime(CLOCK_MONOTONIC, &t);
    run(w);
    print_message("100,000 users fetched, applied, stored: %.0f ms, RSS +%ld KiB\n", ms_since(&t),
                  rss_kib() - text);
    assert_int_equal(users(w), SCALE);
    scale_users(w, 500, 600);
    clock_gettime(CLOCK_MONOTONIC, &t);
    pull(w);
    print_message("the same with 100 changed: %.0f ms, RSS +%ld KiB since before the list\n",
                  ms_since(&t), rss_kib() - before);
    assert_int_equal(users(w), SCALE);
    assert_int_equal(w->plane.removed, 100);
    clock_gettime(CLOCK_MONOTONIC, &t);
    pull(w);
    print_message("unchanged (304): %.1f ms\n", ms_since(&t));
    stop(w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(first_start),
        TEST(the_same_without_etags_is_not_rebuilt),
        TEST(users_come_and_go),
        TEST(config_changes),
        TEST(etag_is_kept_after_all_was_applied),
        TEST(refused_settings_wait),
        TEST(a_bad_node_does_not_touch_the_other),
        TEST(wrong_token_and_disabled_node),
        TEST(port_in_use),
        TEST(mass_deletion_is_said_twice),
        TEST(bad_users_are_skipped),
        TEST(starts_from_cache),
        TEST(push_is_acknowledged_once),
        TEST(unknown_outcome_is_sent_again_as_it_was),
        TEST(killed_while_pushing),
        TEST(too_large_a_push_is_split),
        TEST(the_end_pushes_everything),
        TEST(the_end_does_not_wait_for_ever),
        TEST(online_users),
        TEST(reload),
        TEST(hundred_thousand_users),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("controller", tests, NULL, NULL);
}
