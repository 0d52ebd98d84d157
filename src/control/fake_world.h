/* control/fake_world.h - a controller between a scripted panel and workers that do nothing, for
 * controller_test and reporter_test. Not part of the product. */
#ifndef CONTROL_FAKE_WORLD_H
#define CONTROL_FAKE_WORLD_H

#include "control/fake_plane.h"
#include "control/node/fake_panel.h"

#include <time.h>

#include <cmocka.h>

#include "base/log.h"
#include "control/config/config.h"
#include "policy/key_index.h"

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

static inline void on_line(struct log_sink *s, const char *line, size_t len)
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

static struct log_sink sink = {.write = on_line};
static struct log lg = {.sink = &sink, .level = LOG_DEBUG};

/* ---- the panel ---- */

static inline enum action action_of(const char *target)
{
    static const char *const names[] = {"action=config&", "action=user&", "action=alivelist&",
                                        "action=push&", "action=alive&"};
    for (int i = 0; i < ACTIONS; i++)
        if (strstr(target, names[i]) != NULL)
            return (enum action)i;
    fail();
    return CONFIG;
}

static inline void answer(struct world *w, enum action a, const struct fake_request *r,
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

static inline void handle(void *arg, const struct fake_request *r, struct fake_answer *out)
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

static inline void set(char **text, const char *to)
{
    free(*text);
    *text = strdup(to);
}

static inline void set_users(struct world *w, const char *list)
{
    char t[8192];
    snprintf(t, sizeof(t), "{\"users\":[%s]}", list);
    set(&w->users, t);
    w->version++;
}

static inline void set_config(struct world *w, const char *text)
{
    set(&w->config, text);
    w->version++;
}

/* ---- the world ---- */

static inline const struct config *config_of(struct world *w, const char *nodes)
{
    char t[4096];
    const struct config *cfg = NULL;

    snprintf(t, sizeof(t), "{\"StateDir\":\"%s\",\"Nodes\":[%s]}", w->dir, nodes);
    assert_int_equal(config_parse(t, strlen(t), "test", NULL, &cfg), ST_OK);
    assert_int_equal(cfg->errors, 0);
    return cfg;
}

static inline const char *node_text(struct world *w, int id, const char *more)
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

static inline void apply(struct world *w, const char *nodes)
{
    const struct config *old = w->cfg;
    w->cfg = config_of(w, nodes);
    assert_int_equal(controller_apply(w->c, w->cfg), ST_OK);
    config_unref(old);
}

static inline void start(struct world *w)
{
    struct controller_setup setup = {
        .loop = w->loop, .log = &lg, .plane = &w->plane.plane, .state_dir = w->dir};
    fake_plane_init(&w->plane, w->loop);
    w->c = controller_new(&setup);
    assert_non_null(w->c);
    w->plane.controller = w->c;
    w->stopped = false;
}

static inline struct controller_node_status status(struct world *w, size_t i)
{
    struct controller_node_status s[8];
    assert_true(controller_status(w->c, s, 8) > i);
    return s[i];
}

static inline void on_stopped(void *arg)
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

static inline void end(struct world *w)
{
    fake_plane_fini(&w->plane);
    controller_free(w->c);
    w->c = NULL;
}

static inline void stop(struct world *w)
{
    controller_stop(w->c, 100, 5000, on_stopped, w);
    UNTIL(w, w->stopped);
    end(w);
}

/* As by kill -9: what the next start finds is a copy of how things were. */
static inline void kill_and_start(struct world *w)
{
    char cmd[512];
    snprintf(cmd, sizeof(cmd), "cp -a --sparse=always %s %s.kept", w->dir, w->dir);
    assert_int_equal(system(cmd), 0);
    end(w);
    snprintf(cmd, sizeof(cmd), "rm -rf %s; mv %s.kept %s", w->dir, w->dir, w->dir);
    assert_int_equal(system(cmd), 0);
    start(w);
}

static inline struct user_rt *find_user(struct world *w, const char *uuid)
{
    uint8_t id[UUID_LEN];
    assert_int_equal(uuid_parse(id, uuid, strlen(uuid)), ST_OK);
    assert_non_null(w->plane.nodes[0].view);
    return uuid_index_find(w->plane.nodes[0].view->users, id);
}

static inline size_t users(struct world *w)
{
    return w->plane.nodes[0].view == NULL ? 0 : w->plane.nodes[0].view->users->count;
}

/* A whole pull has run since this was called, and succeeded. */
static inline void pull(struct world *w)
{
    unsigned n = w->calls[CONFIG];
    controller_poke(w->c);
    UNTIL(w, w->calls[CONFIG] > n);
    n = w->calls[ALIVELIST];
    UNTIL(w, w->calls[ALIVELIST] > n);
}

static inline void traffic(struct world *w, const char *uuid, uint64_t up, uint64_t down)
{
    meter_add(controller_meter(w->c, 1), find_user(w, uuid)->slot, up, down);
}

static inline void push(struct world *w)
{
    unsigned n = w->calls[PUSH];
    controller_poke(w->c);
    UNTIL(w, w->calls[PUSH] > n);
}

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
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

static inline void run(struct world *w)
{
    apply(w, node_text(w, 7, ""));
    UNTIL(w, w->calls[ALIVELIST] > 0 && status(w, 0).pulled_s != 0 && status(w, 0).serving);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
