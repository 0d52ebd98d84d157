#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "control/counters.h"
#include "control/dynamic_limit.h"
#include "control/dynamic_service.h"
#include "control/node.h"
#include "control/store.h"

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

/* Its old sessions move on while the node, named anew, waits for its panel. */
static void a_limit_of_a_node_that_serves_nothing_yet(void **state)
{
    const struct config_limits rule = {.dynamic = true,
                                       .dynamic_period_s = 60,
                                       .dynamic_speed_kbps = 5000,
                                       .dynamic_expire_s = 600,
                                       .dynamic_traffic = 1000};
    const struct config_node conf = {.tag = "n"};
    struct node_env env = {.loop = loop_new(), .lg = &lg, .store = store_open(NULL, &lg)};
    struct served_node served = {.limits = rule};
    struct node node = {.env = &env, .conf = &conf, .store_node = ROW};
    struct list nodes;

    (void)state;
    list_init(&nodes);
    list_add_tail(&nodes, &node.link);
    env.counters = counters_open(NULL, env.store, 1, &lg);
    struct dynamic_service *s = dynamic_service_new(&env, &nodes);
    assert_non_null(s);
    assert_int_equal(dynamic_limits_rule(env.dynamic, ROW, &rule), ST_OK);

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_of_a_node_that_serves_nothing_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
