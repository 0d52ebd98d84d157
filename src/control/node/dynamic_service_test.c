#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "control/node/dynamic_limit.h"
#include "control/node/dynamic_service.h"
#include "control/node/node.h"
#include "control/store/counters.h"
#include "control/store/dynamic_store.h"
#include "control/store/store.h"

#define ROW 7u /* of the node in the store */

static unsigned lines;

static void on_line(struct log_sink *s, const char *line, size_t len)
{
    (void)s;
    (void)len;
    lines += strstr(line, "dynamic speed limit") != NULL;
}

static struct log_sink sink = {.write = on_line};
static struct log lg = {.sink = &sink, .level = LOG_INFO};

static const struct config_limits usual = {.dynamic = true,
                                           .dynamic_period_s = 60,
                                           .dynamic_speed_kbps = 5000,
                                           .dynamic_expire_s = 600,
                                           .dynamic_traffic = 1000};

/* Its old sessions move on while the node, named anew, waits for its panel. */
static void a_limit_of_a_node_that_serves_nothing_yet(void **state)
{
    const struct config_node conf = {.tag = "n"};
    struct node_env env = {.loop = loop_new(), .lg = &lg, .store = store_open(NULL, &lg)};
    struct served_node served = {.limits = usual};
    struct node node = {.env = &env, .conf = &conf, .store_node = ROW};
    struct list nodes;

    (void)state;
    lines = 0;
    list_init(&nodes);
    list_add_tail(&nodes, &node.link);
    env.counters = counters_open(NULL, env.store, 1, &lg);
    struct dynamic_service *s = dynamic_service_new(&env, &nodes);
    assert_non_null(s);
    assert_int_equal(dynamic_limits_rule(env.dynamic, ROW, &usual), ST_OK);

    dynamic_limits_moved(env.dynamic, ROW, 1, 2000, 1000);
    assert_int_equal(dynamic_limits_get(env.dynamic, ROW, 1, NULL), 5000);
    assert_int_equal(lines, 0);
    node.served = &served;
    dynamic_limits_moved(env.dynamic, ROW, 2, 2000, 1000);
    assert_int_equal(lines, 1);
    dynamic_limits_tick(env.dynamic, 601000);
    assert_int_equal(lines, 3); /* both are over */

    dynamic_service_free(s);
    counters_close(env.counters);
    store_close(env.store);
    loop_free(env.loop);
}

/* One process after the other on one store, without nodes. */
struct run {
    struct node_env env;
    struct dynamic_service *s;
    struct list nodes;
};

static void begin(struct run *r, struct loop *l, struct store *store)
{
    r->env = (struct node_env){.loop = l, .lg = &lg, .store = store, .reports = true};
    r->env.counters = counters_open(NULL, store, 1, &lg);
    list_init(&r->nodes);
    r->s = dynamic_service_new(&r->env, &r->nodes);
    assert_non_null(r->s);
}

static void end(struct run *r)
{
    dynamic_service_free(r->s);
    counters_close(r->env.counters);
}

static void rule(const struct run *r, uint32_t row)
{
    assert_int_equal(dynamic_limits_rule(r->env.dynamic, row, &usual), ST_OK);
}

static void limits_go_on_in_the_next_process(void **state)
{
    struct loop *l = loop_new();
    struct store *store = store_open(NULL, &lg);
    uint64_t now = loop_now_ms(l), until = 0;
    struct run a, b;

    (void)state;
    begin(&a, l, store);
    rule(&a, ROW);
    dynamic_limits_moved(a.env.dynamic, ROW, 1, 2000, now);
    dynamic_limits_moved(a.env.dynamic, ROW, 2, 2000, now - 600000); /* over with the next sample */
    dynamic_service_keep(a.s);
    dynamic_service_sampled(a.s);
    a.env.reports = false; /* another one goes on: what comes now is this one's affair */
    dynamic_limits_moved(a.env.dynamic, ROW, 3, 2000, now);
    dynamic_service_sampled(a.s);
    end(&a);
    begin(&b, l, store);
    dynamic_service_resume(b.s, false);
    rule(&b, ROW);
    assert_int_equal(dynamic_limits_get(b.env.dynamic, ROW, 1, &until), 5000);
    assert_in_range(until, now + 590000, now + 601000);
    assert_int_equal(dynamic_limits_get(b.env.dynamic, ROW, 2, NULL), 0);
    assert_int_equal(dynamic_limits_get(b.env.dynamic, ROW, 3, NULL), 0);
    end(&b);
    /* Where the nodes are there already, those without a rule are left alone. */
    begin(&b, l, store);
    dynamic_service_resume(b.s, true);
    assert_int_equal(dynamic_limits_get(b.env.dynamic, ROW, 1, NULL), 0);
    rule(&b, ROW);
    dynamic_service_resume(b.s, true);
    assert_int_equal(dynamic_limits_get(b.env.dynamic, ROW, 1, NULL), 5000);
    end(&b);
    store_close(store);
    loop_free(l);
}

static void collect(void *arg, const struct dynamic_held *h)
{
    struct dynamic_held *out = arg;

    assert_int_equal(out->kbps, 0); /* the only one */
    *out = *h;
}

/* A clock that goes back keeps nobody longer, one that goes forward ends what is over by it. */
static void clocks(void **state)
{
    struct store *store = store_open(NULL, &lg);
    const struct dynamic_held h = {.node = ROW, .uid = UINT64_MAX, .kbps = 5000, .left_s = 100};
    struct dynamic_held out = {.kbps = 0};

    (void)state;
    assert_int_equal(dynamic_store_put(store, &h, 5000), ST_OK);
    assert_int_equal(dynamic_store_each(store, 10, collect, &out), ST_OK);
    assert_int_equal(out.left_s, 100);
    assert_true(out.uid == UINT64_MAX && out.node == ROW && out.kbps == 5000);
    out.kbps = 0;
    assert_int_equal(dynamic_store_each(store, 5060, collect, &out), ST_OK);
    assert_int_equal(out.left_s, 40);
    out.kbps = 0;
    assert_int_equal(dynamic_store_each(store, 5100, collect, &out), ST_OK);
    assert_int_equal(out.kbps, 0);
    assert_int_equal(dynamic_store_each(store, 10, collect, &out), ST_OK);
    assert_int_equal(out.kbps, 0);
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_go_on_in_the_next_process),
        cmocka_unit_test(clocks),
        cmocka_unit_test(a_limit_of_a_node_that_serves_nothing_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
