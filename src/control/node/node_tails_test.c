/* A node that learns from a real TLS server on loopback, while another thread reads what it
 * knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "control/node/node.h"
#include "control/probe/reality_probe.h"
#include "io/resolver.h"
#include "tls/test_server.h"
#include "transport/reality/reality.h"
#include "transport/reality/reality_conf.h"

struct server {
    int fd;
    uint16_t port;
    SSL_CTX *ctx;
    _Atomic bool silent; /* accepts and says nothing */
    _Atomic unsigned accepted;
    pthread_t thread;
};

struct world {
    struct loop *loop;
    struct server target;
    struct node_env env;
    struct node node;
    struct config_node conf;
    struct log log;
    struct log_sink sink;
    unsigned lines;
};

/* ---- the target ---- */

struct visit {
    struct server *t;
    int fd;
};

static void *serve_one(void *arg)
{
    struct visit v = *(struct visit *)arg;
    const unsigned char *alpn;
    unsigned len;
    char buf[64] = {0};
    free(arg);
    if (atomic_load(&v.t->silent)) {
        while (read(v.fd, buf, sizeof(buf)) > 0)
            ;
        close(v.fd);
        return NULL;
    }
    SSL *ssl = SSL_new(v.t->ctx);
    SSL_set_fd(ssl, v.fd);
    if (SSL_accept(ssl) == 1) {
        SSL_get0_alpn_selected(ssl, &alpn, &len);
        if (len == 2)
            SSL_write(ssl, buf, 40);
        while (SSL_read(ssl, buf, sizeof(buf)) > 0)
            ;
    }
    SSL_free(ssl);
    close(v.fd);
    return NULL;
}

static void *target_main(void *arg)
{
    struct server *t = arg;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_t threads[256];
    unsigned n = 0;
    for (;;) {
        int fd = accept(t->fd, NULL, NULL);
        if (fd < 0 || n == 256)
            break;
        struct visit *v = malloc(sizeof(*v));
        *v = (struct visit){t, fd};
        atomic_fetch_add(&t->accepted, 1);
        if (pthread_create(&threads[n++], &attr, serve_one, v) != 0)
            abort();
    }
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    return NULL;
}

static void target_start(struct server *t, const char *suites)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(sa);
    t->ctx = test_server_new("\x02h2");
    assert_non_null(t->ctx);
    if (suites != NULL)
        assert_int_equal(SSL_CTX_set_ciphersuites(t->ctx, suites), 1);
    t->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(t->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(t->fd, 64), 0);
    assert_int_equal(getsockname(t->fd, (struct sockaddr *)&sa, &len), 0);
    t->port = ntohs(sa.sin_port);
    assert_int_equal(pthread_create(&t->thread, NULL, target_main, t), 0);
}

static void target_stop(struct server *t)
{
    shutdown(t->fd, SHUT_RDWR);
    pthread_join(t->thread, NULL);
    close(t->fd);
    SSL_CTX_free(t->ctx);
}

/* ---- the node ---- */

static void on_line(struct log_sink *s, const char *line, size_t len)
{
    struct world *w = LIST_ENTRY(s, struct world, sink);
    (void)line;
    (void)len;
    w->lines++;
}

/* Settings for the target with the one name @name. */
static struct served_node *settings(struct world *w, const char *name)
{
    struct served_node *s = calloc(1, sizeof(*s));
    s->refs = 1;
    s->arena = arena_new();
    struct reality_conf *c = arena_alloc(s->arena, sizeof(*c));
    struct reality_name *n = arena_alloc(s->arena, sizeof(*n));
    n->text = arena_strdup(s->arena, name);
    n->len = (uint8_t)strlen(name);
    c->names = n;
    c->name_count = 1;
    c->tails = arena_alloc(s->arena, sizeof(*c->tails));
    assert_int_equal(target_set_host(&c->dest.target, "127.0.0.1", 9, w->target.port), ST_OK);
    s->node.stages[0] = (struct view_stage){&reality_server_ops, c};
    s->node.stage_count = 1;
    return s;
}

static void serve(struct world *w, struct served_node *s)
{
    struct served_node *old = w->node.served;
    w->node.served = s;
    served_node_unref(old);
    node_tails_follow(&w->node);
}

static int setup_with(void **state, const char *suites)
{
    struct world *w = calloc(1, sizeof(*w));
    w->loop = loop_new();
    w->sink.write = on_line;
    w->log = (struct log){.sink = &w->sink, .level = LOG_DEBUG};
    w->env = (struct node_env){.loop = w->loop, .lg = &w->log};
    assert_int_equal(rng_init(&w->env.rng), ST_OK);
    w->conf.tag = "n";
    w->node.env = &w->env;
    w->node.conf = &w->conf;
    node_tails_init(&w->node);
    target_start(&w->target, suites);
    *state = w;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, NULL);
}

static int setup_one_suite(void **state)
{
    return setup_with(state, "TLS_AES_256_GCM_SHA384");
}

static int teardown(void **state)
{
    struct world *w = *state;
    node_tails_forget(&w->node);
    node_tails_forget(&w->node);
    served_node_unref(w->node.served);
    resolver_free(w->env.resolver);
    target_stop(&w->target);
    rng_fini(&w->env.rng);
    loop_free(w->loop);
    free(w);
    return 0;
}

static const struct reality_tail *known(const struct world *w, const char *name, uint8_t alpn,
                                        uint16_t suite)
{
    return reality_tails_find(served_node_reality(w->node.served)->tails,
                              reader_of((const uint8_t *)name, strlen(name)), alpn, suite);
}

/* Goes round until the round that is due has ended. */
static void run_round(struct world *w)
{
    time_t until = time(NULL) + 40;
    do
        loop_once(w->loop, 100);
    while (
        (w->node.tails.served != NULL || w->node.tails.timer.at_ms <= loop_now_ms(w->loop) + 500) &&
        time(NULL) < until);
    assert_null(w->node.tails.served);
}

/* As a worker does at every handshake. */
struct watcher {
    const struct reality_tails *tails;
    _Atomic bool stop;
    uint64_t sum;
};

static void *watch(void *arg)
{
    struct watcher *r = arg;
    while (!atomic_load(&r->stop)) {
        const struct reality_tail *t =
            reality_tails_find(r->tails, reader_of((const uint8_t *)"a.example", 9), 2, 0x1302);
        for (unsigned i = 0; t != NULL && i < t->count; i++)
            r->sum += t->len[i];
    }
    return NULL;
}

static void tails_are_learnt_for_each_class_and_suite(void **state)
{
    struct world *w = *state;
    struct watcher r = {.stop = false};
    pthread_t thread;
    serve(w, settings(w, "a.example"));
    r.tails = served_node_reality(w->node.served)->tails;
    assert_int_equal(pthread_create(&thread, NULL, watch, &r), 0);
    assert_null(known(w, "a.example", 0, 0x1301));
    run_round(w);
    atomic_store(&r.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&w->target.accepted), 9);
    for (uint8_t alpn = 0; alpn < 3; alpn++) {
        for (uint16_t i = 0; i < 3; i++) {
            const struct reality_tail *t = known(w, "a.example", alpn, (uint16_t)(0x1301 + i));
            assert_non_null(t);
            assert_int_equal(t->count, alpn == 2 ? 3 : 2);
            /* SHA-384 makes a ticket 16 bytes longer; any may have a block of 16 more, or less than
             * the one it is compared with: its numbers are of variable length. */
            unsigned usual = known(w, "a.example", alpn, 0x1301)->len[0] + (i == 1 ? 16u : 0);
            assert_in_range(t->len[0], usual - 16, usual + 16);
            if (alpn == 2)
                assert_int_equal(t->len[2], 62);
        }
    }
    assert_null(known(w, "b.example", 0, 0x1301));
    assert_int_equal(w->lines, 1);
}

static void what_is_known_outlives_settings_but_not_the_target(void **state)
{
    struct world *w = *state;
    struct reality_probe_result r = {.suite = 0x1301, .group = 29};
    r.shape = (struct flight_shape){.len = {127, 6, 41, 900, 101, 58, 0}};
    serve(w, settings(w, "a.example"));
    run_round(w);
    uint64_t due = w->node.tails.timer.at_ms;
    serve(w, settings(w, "a.example"));
    assert_non_null(known(w, "a.example", 2, 0x1303));
    assert_true(w->node.tails.timer.at_ms == due);
    /* The target looks different: it is asked again, and the new answer counts. */
    node_tails_compare(&w->node, &r);
    r.shape.len[FLIGHT_CERTIFICATE] -= 2;
    r.shape.len[FLIGHT_VERIFY] += 1;
    node_tails_compare(&w->node, &r);
    assert_true(w->node.tails.timer.at_ms == due);
    r.shape.len[FLIGHT_CERTIFICATE] = 1200;
    node_tails_compare(&w->node, &r);
    assert_true(w->node.tails.timer.at_ms < due);
    SSL_CTX_set_num_tickets(w->target.ctx, 1);
    run_round(w);
    assert_int_equal(known(w, "a.example", 0, 0x1301)->count, 1);
    assert_int_equal(w->lines, 2);
    due = w->node.tails.timer.at_ms;
    serve(w, settings(w, "c.example")); /* a name that was not asked for */
    assert_true(w->node.tails.timer.at_ms < due);
    struct served_node *s = settings(w, "a.example");
    struct reality_conf *c = (struct reality_conf *)(uintptr_t)served_node_reality(s);
    c->dest.xver = 2;
    serve(w, s);
    assert_null(known(w, "a.example", 2, 0x1303));
}

static void suites_that_are_refused_are_no_failure(void **state)
{
    struct world *w = *state;
    serve(w, settings(w, "a.example"));
    run_round(w);
    assert_null(known(w, "a.example", 0, 0x1301));
    assert_non_null(known(w, "a.example", 0, 0x1302));
    assert_int_equal(w->node.tails.fails, 0);
}

/* Learning ends in the middle, and whatever it held is given back (the sanitizers tell). */
static void a_silent_target_is_left_at_any_time(void **state)
{
    struct world *w = *state;
    atomic_store(&w->target.silent, true);
    serve(w, settings(w, "a.example"));
    while (atomic_load(&w->target.accepted) < 3)
        loop_once(w->loop, 100);
    assert_int_equal(w->node.tails.running, 3);
    serve(w, settings(w, "a.example"));
    assert_int_equal(w->node.tails.running, 0);
    while (atomic_load(&w->target.accepted) < 6)
        loop_once(w->loop, 100);
}

static void a_target_that_is_down_is_tried_again(void **state)
{
    struct world *w = *state;
    struct served_node *s = settings(w, "a.example");
    struct reality_conf *c = (struct reality_conf *)(uintptr_t)served_node_reality(s);
    c->dest.target.addr.port = 1;
    serve(w, s);
    run_round(w);
    assert_int_equal(w->node.tails.fails, 1);
    assert_true(w->node.tails.timer.at_ms < loop_now_ms(w->loop) + 120000);
    assert_null(known(w, "a.example", 0, 0x1301));
    assert_int_equal(w->lines, 0);
}

int main(void)
{
#define TEST(f, s) cmocka_unit_test_setup_teardown(f, s, teardown)
    const struct CMUnitTest tests[] = {
        TEST(tails_are_learnt_for_each_class_and_suite, setup),
        TEST(what_is_known_outlives_settings_but_not_the_target, setup),
        TEST(suites_that_are_refused_are_no_failure, setup_one_suite),
        TEST(a_silent_target_is_left_at_any_time, setup),
        TEST(a_target_that_is_down_is_tried_again, setup),
    };
    signal(SIGPIPE, SIG_IGN); /* the target writes to clients that have gone */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
