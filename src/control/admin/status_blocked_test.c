#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/admin/status_blocked.h"
#include "control/store/hit_store.h"
#include "control/store/store.h"

#define NODE 3u
#define NOW  1763776800

static struct store *store;

static int set_up(void **state)
{
    (void)state;
    store = store_open(NULL, NULL);
    return store == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    store_close(store);
    return 0;
}

static void add(uint64_t uid, const char *rule, uint64_t count, int64_t now_s)
{
    const struct hit_sum h = {.uid = uid, .rule = rule, .count = count};
    assert_int_equal(hit_store_add(store, NODE, &h, now_s), ST_OK);
}

static char *show(uint32_t node)
{
    static char text[8192];
    struct textbuf t;
    struct json_out o = {.t = &t};

    textbuf_init(&t);
    status_blocked(&o, store, node);
    assert_true(t.len < sizeof(text));
    memcpy(text, t.p, t.len);
    text[t.len] = '\0';
    textbuf_fini(&t);
    return text;
}

static void the_most_come_first(void **state)
{
    (void)state;
    add(0, "", 3, NOW);
    add(0, "", 1, NOW + 5);
    add(0, "a", 1, NOW);
    add(0, "b", 3, NOW);
    add(7, "a", 1, NOW);
    add(8, "b", 1, NOW);
    add(9, "b", 1, NOW);
    add(9, "b", 1, NOW + 5);
    assert_string_equal(show(NODE),
                        "\"blocked\":{\"hits\":4,\"since\":1763776800,\"rules\":[{\"rule\":\"b\","
                        "\"hits\":3},{\"rule\":\"a\",\"hits\":1}],\"users\":[{\"uid\":9,\"rule\":"
                        "\"b\",\"hits\":2},{\"uid\":7,\"rule\":\"a\",\"hits\":1},{\"uid\":8,"
                        "\"rule\":\"b\",\"hits\":1}]}");
    assert_string_equal(show(NODE + 1),
                        "\"blocked\":{\"hits\":0,\"since\":0,\"rules\":[],\"users\":[]}");
}

static void many_are_cut(void **state)
{
    unsigned rules = 0;

    (void)state;
    for (uint32_t i = 1; i <= 50; i++) {
        char text[8];
        snprintf(text, sizeof(text), "r%u", i);
        add(0, text, i, NOW);
        add(i, text, i, NOW);
    }
    const char *shown = show(NODE);
    for (const char *p = shown; (p = strstr(p, "\"rule\":")) != NULL; p++)
        rules++;
    assert_int_equal(rules, 2 * STATUS_BLOCKED_MAX);
    assert_non_null(strstr(shown, "[{\"rule\":\"r50\",\"hits\":50},{\"rule\":\"r49\""));
    assert_null(strstr(shown, "\"r30\""));
}

/* What nobody ran into for a month, and the oldest of too many; the sum of all stays. */
static void old_ones_are_forgotten(void **state)
{
    const int64_t month = (int64_t)HIT_STORE_DAYS * 86400;

    (void)state;
    add(0, "", 5, NOW);
    add(0, "old", 2, NOW);
    add(7, "old", 2, NOW);
    add(0, "new", 3, NOW + 1);
    add(7, "new", 1, NOW);
    add(8, "new", 2, NOW + 1);
    assert_int_equal(hit_store_trim(store, NODE, NOW + month - 1), ST_OK);
    assert_non_null(strstr(show(NODE), "\"old\""));
    assert_int_equal(hit_store_trim(store, NODE + 1, NOW + month), ST_OK);
    assert_non_null(strstr(show(NODE), "\"old\""));
    assert_int_equal(hit_store_trim(store, NODE, NOW + month), ST_OK);
    assert_non_null(strstr(show(NODE), "\"hits\":5,\"since\":1763776800,\"rules\":[{\"rule\":"
                                       "\"new\",\"hits\":3}],\"users\":[{\"uid\":8,"));
    assert_null(strstr(show(NODE), "\"uid\":7"));
    assert_int_equal(store_begin(store), ST_OK);
    for (unsigned i = 0; i < HIT_STORE_MAX; i++)
        add(100 + i, "new", 1, NOW + 2);
    assert_int_equal(store_commit(store), ST_OK);
    assert_int_equal(hit_store_trim(store, NODE, NOW + month), ST_OK);
    assert_non_null(strstr(show(NODE), "\"hits\":5,\"since\":1763776800,\"rules\":[],\"users\":["));
    assert_null(strstr(show(NODE), "\"uid\":8,"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_most_come_first),
        TEST(many_are_cut),
        TEST(old_ones_are_forgotten),
    };
    return cmocka_run_group_tests_name("status_blocked", tests, NULL, NULL);
}
