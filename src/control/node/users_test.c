#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/test_log.h"
#include "control/config/config_limits.h"
#include "control/node/dynamic_limit.h"
#include "control/node/node_cache.h"
#include "control/node/users.h"
#include "control/store/counters.h"
#include "control/store/store.h"

struct world {
    struct store *store; /* in memory */
    struct counters *counters;
    struct user_slab *slab;
    struct users_env env;
    struct user_table table;
    struct users_change change;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    w->store = store_open(NULL, &test_log);
    w->counters = counters_open(NULL, w->store, 1, &test_log);
    w->slab = user_slab_new();
    w->env =
        (struct users_env){.slab = w->slab, .counters = w->counters, .node_no = 3, .store_node = 1};
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    users_change_fini(&w->change);
    users_table_fini(&w->table);
    counters_close(w->counters);
    user_slab_free(w->slab);
    store_close(w->store);
    free(w);
    return 0;
}

/* "1a5 2b0": uid, one letter for the uuid, speed in Mbit/s. */
static struct user_list list_of(const char *text)
{
    struct user_list l;
    unsigned uid = 0, speed = 0;
    char c = 0;
    int n = 0;

    user_list_init(&l);
    for (; sscanf(text, " %u%c%u%n", &uid, &c, &speed, &n) == 3; text += n) {
        struct user_entry e = {.uid = uid, .speed_kbps = speed * 1000};
        memset(e.uuid, c, sizeof(e.uuid));
        assert_int_equal(user_list_push(&l, &e), ST_OK);
    }
    user_list_settle(&l);
    return l;
}

/* Applies @text; the answer is "removed/added/changed: table". */
static const char *apply(struct world *w, const char *text)
{
    static char out[256];
    struct user_list l = list_of(text);
    size_t at;

    users_change_fini(&w->change);
    assert_int_equal(users_apply(&w->table, &l, &w->env, &w->change), ST_OK);
    at = (size_t)snprintf(out, sizeof(out), "%zu/%zu/%zu:", w->change.removed_count,
                          w->change.added, w->change.changed);
    for (size_t i = 0; i < w->table.count; i++) {
        struct user_rt *u = w->table.by_id[i];
        at += (size_t)snprintf(out + at, sizeof(out) - at, " %u%c%u", (unsigned)u->uid, u->uuid[0],
                               (unsigned)u->speed_kbps / 1000);
    }
    assert_int_equal(node_cache_update(w->store, 1, &l, &w->change), ST_OK);
    user_list_fini(&l);
    /* The store holds the same. */
    user_list_init(&l);
    assert_int_equal(node_cache_load_users(w->store, 1, &l), ST_OK);
    assert_int_equal(l.count, w->table.count);
    for (size_t i = 0; i < l.count; i++) {
        assert_int_equal(l.entries[i].uid, w->table.by_id[i]->uid);
        assert_memory_equal(l.entries[i].uuid, w->table.by_id[i]->uuid, UUID_LEN);
    }
    user_list_fini(&l);
    return out;
}

static void differences(void **state)
{
    struct world *w = *state;

    assert_string_equal(apply(w, "2b0 1a5"), "0/2/0: 1a5 2b0");
    assert_int_equal(w->table.by_id[0]->node, 3);
    struct user_rt *one = w->table.by_id[0];
    assert_string_equal(apply(w, "1a5 2b0"), "0/0/0: 1a5 2b0");
    assert_string_equal(apply(w, "1a7 2b0 3c0"), "0/1/1: 1a7 2b0 3c0");
    assert_ptr_equal(w->table.by_id[0], one);
    assert_string_equal(apply(w, "1a7 3c0"), "1/0/0: 1a7 3c0");
    assert_int_equal(w->change.removed[0]->uid, 2);
    assert_true(w->change.removed[0]->removed);
    assert_int_equal(w->change.removed[0]->refs, 1);
    assert_string_equal(apply(w, "1d7 3c0"), "1/1/0: 1d7 3c0"); /* a new credential */
    assert_string_equal(apply(w, "9d7 3c0"), "1/1/0: 3c0 9d7"); /* a new id */
    assert_string_equal(apply(w, "3c0 3e1"), "1/1/0: 3c0 3e1"); /* two credentials of one */
    assert_string_equal(apply(w, "3c0 3c9 3c4"), "1/0/1: 3c4"); /* the last of a list wins */
    assert_string_equal(apply(w, ""), "1/0/0:");
}

static void smaller_limit_counts(void **state)
{
    struct world *w = *state;

    w->env.speed_kbps = 10000;
    assert_string_equal(apply(w, "1a5 2b0 3c50"), "0/3/0: 1a5 2b10 3c10");
    w->env.speed_kbps = 0;
    assert_string_equal(apply(w, "1a5 2b0 3c50"), "0/0/2: 1a5 2b0 3c50");
    struct user_list l;
    user_list_init(&l);
    struct user_entry e = {.uid = 1, .speed_kbps = 1};
    memset(e.uuid, 'a', sizeof(e.uuid));
    assert_int_equal(user_list_push(&l, &e), ST_OK);
    users_change_fini(&w->change);
    assert_int_equal(users_apply(&w->table, &l, &w->env, &w->change), ST_OK);
    assert_int_equal(w->table.by_id[0]->speed_kbps, 1); /* 1 kbit/s is a limit */
    user_list_fini(&l);
}

/* Streams are not counted without a limit, so the first one is to be said; new users have none. */
static void first_connection_limits_are_told(void **state)
{
    static const struct {
        uint32_t limit;
        size_t told;
    } steps[] = {{0, 0}, {5, 2}, {5, 0}, {3, 0}, {0, 0}, {1, 2}};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        w->env.conn_limit = steps[i].limit;
        (void)apply(w, "1a0 2b0");
        assert_int_equal(w->change.stream_limits, steps[i].told);
    }
    (void)apply(w, "1a0 2b0 3c0");
    assert_int_equal(w->change.stream_limits, 0);
}

static void on_changed(void *arg, uint32_t node, uint64_t uid, uint32_t kbps, uint64_t bytes)
{
    const struct world *w = arg;

    (void)bytes;
    assert_int_equal(node, 1);
    users_hold(&w->table, uid, kbps);
}

static void who_is_held_to_a_rate_stays_so(void **state)
{
    struct world *w = *state;
    const struct config_limits rule = {.dynamic = true,
                                       .dynamic_period_s = 60,
                                       .dynamic_speed_kbps = 6000,
                                       .dynamic_expire_s = 60,
                                       .dynamic_traffic = 1000};
    struct dynamic_limits *d = dynamic_limits_new(on_changed, w);

    assert_int_equal(dynamic_limits_rule(d, 1, &rule), ST_OK);
    w->env.dynamic = d;
    apply(w, "1a5 2b0 2c9 3d0");
    struct user_rt **u = w->table.by_id;
    dynamic_limits_moved(d, 1, 2, 1000, 1000);
    dynamic_limits_moved(d, 1, 1, 1000, 1000);
    assert_int_equal(user_speed(u[0]), 5000); /* the smaller one */
    assert_int_equal(user_speed(u[1]), 6000);
    assert_int_equal(user_speed(u[2]), 6000);
    assert_int_equal(user_speed(u[3]), 0);
    apply(w, "1a0 3d0");
    apply(w, "1a0 2e0 3d0"); /* he is back, with another credential */
    u = w->table.by_id;
    assert_int_equal(user_speed(u[0]), 6000);
    assert_int_equal(user_speed(u[1]), 6000);
    assert_int_equal(user_speed(u[2]), 0);
    dynamic_limits_tick(d, 61000);
    assert_int_equal(user_speed(u[0]), 0);
    assert_int_equal(user_speed(u[1]), 0);
    w->env.dynamic = NULL;
    dynamic_limits_free(d);
}

static void missing_users(void **state)
{
    struct world *w = *state;
    struct user_list l = list_of("2x0 4d0");

    apply(w, "1a0 2b0 2c0 3d0 4e0");
    assert_int_equal(users_missing(&w->table, &l), 2); /* a new credential is no absence */
    user_list_fini(&l);
}

static void hash_of_lists(void **state)
{
    (void)state;
    struct user_list a = list_of("1a5 2b0"), b = list_of("2b0 1a5"), c = list_of("1a5 2b1");

    assert_true(user_list_hash(&a) == user_list_hash(&b));
    assert_true(user_list_hash(&a) != user_list_hash(&c));
    user_list_fini(&a);
    user_list_fini(&b);
    user_list_fini(&c);
}

static void credentials(void **state)
{
    (void)state;
    struct user_list l;
    struct user_entry e = {.uid = 1};
    char text[UUID_STRLEN];

    user_list_init(&l);
    assert_int_equal(user_list_add(&l, &e, "B831381D-6324-4D53-AD4F-8CDA48B30811", 36), ST_OK);
    assert_string_equal(uuid_str(l.entries[0].uuid, text), "b831381d-6324-4d53-ad4f-8cda48b30811");
    /* The well-known example of Xray's mapping of names. */
    assert_int_equal(user_list_add(&l, &e, "example", 7), ST_OK);
    assert_string_equal(uuid_str(l.entries[1].uuid, text), "feb54431-301b-52bb-a6dd-e1e93e81bb9e");
    assert_int_equal(user_list_add(&l, &e, "", 0), ST_E_PROTO);
    assert_int_equal(user_list_add(&l, &e, "0123456789012345678901234567890", 31), ST_E_PROTO);
    assert_int_equal(l.count, 2);
    /* The text is kept where the UUID does not give it back: it is a password to some protocols. */
    assert_string_equal(l.entries[0].secret, "B831381D-6324-4D53-AD4F-8CDA48B30811");
    assert_string_equal(l.entries[1].secret, "example");
    assert_int_equal(user_list_add(&l, &e, "b831381d-6324-4d53-ad4f-8cda48b30811", 36), ST_OK);
    assert_null(l.entries[2].secret);
    user_list_fini(&l);
}

static void another_spelling_is_another_user(void **state)
{
    struct world *w = *state;
    static const char *const spellings[] = {"b831381d-6324-4d53-ad4f-8cda48b30811",
                                            "B831381D-6324-4D53-AD4F-8CDA48B30811"};
    char buf[USER_SECRET_MAX + 1];

    for (size_t i = 0; i < 2; i++) {
        struct user_list l;
        struct user_entry e = {.uid = 1};
        struct users_change c;
        user_list_init(&l);
        for (int twice = 0; twice < 2; twice++)
            assert_int_equal(user_list_add(&l, &e, spellings[i], 36), ST_OK);
        user_list_settle(&l);
        assert_int_equal(l.count, 1);
        assert_int_equal(l.duplicates, 1);
        assert_int_equal(users_apply(&w->table, &l, &w->env, &c), ST_OK);
        assert_int_equal(c.added, 1);
        assert_int_equal(c.removed_count, i);
        assert_int_equal(node_cache_update(w->store, 1, &l, &c), ST_OK);
        if (i > 0)
            user_slab_give(w->slab, c.removed[0]);
        users_change_fini(&c);
        user_list_fini(&l);
        assert_int_equal(w->table.count, 1);
        assert_string_equal(user_secret(w->table.by_id[0], buf), spellings[i]);
        user_list_init(&l);
        assert_int_equal(node_cache_load_users(w->store, 1, &l), ST_OK);
        assert_int_equal(l.count, 1);
        assert_int_equal(l.entries[0].secret != NULL, i == 1);
        user_list_fini(&l);
    }
}

static void objects_come_back(void **state)
{
    struct world *w = *state;
    struct user_rt *first[3000];

    assert_int_equal(user_slab_reserve(w->slab, 3000), ST_OK);
    for (int i = 0; i < 3000; i++) {
        first[i] = user_slab_take(w->slab);
        assert_int_equal(first[i]->uid, 0);
        first[i]->uid = (uint64_t)i + 1;
    }
    for (int i = 0; i < 3000; i++)
        assert_int_equal(first[i]->uid, i + 1); /* no two are one */
    for (int i = 0; i < 3000; i += 2)
        user_slab_give(w->slab, first[i]);
    assert_int_equal(user_slab_used(w->slab), 1500);
    assert_int_equal(user_slab_reserve(w->slab, 2000), ST_OK);
    for (int i = 0; i < 2000; i++) {
        struct user_rt *u = user_slab_take(w->slab);
        assert_int_equal(u->uid, 0);
        u->uid = 7;
    }
    for (int i = 1; i < 3000; i += 2)
        assert_int_equal(first[i]->uid, i + 1);
}

static void cache_of_configurations(void **state)
{
    struct world *w = *state;
    uint32_t node = 0, same = 0;
    char *text = NULL;
    size_t len = 0;

    assert_int_equal(store_node(w->store, "a", &node), ST_OK);
    assert_int_equal(store_node(w->store, "a", &same), ST_OK);
    assert_int_equal(node, same);
    assert_int_equal(node_cache_load_config(w->store, node, &text, &len), ST_E_NOTFOUND);
    assert_int_equal(node_cache_save_config(w->store, node, "{}x", 2), ST_OK);
    assert_int_equal(node_cache_load_config(w->store, node, &text, &len), ST_OK);
    assert_int_equal(len, 2);
    assert_string_equal(text, "{}");
    free(text);
    apply(w, "1a5 2b0");
    w->table.count = 1; /* as if the store had missed a removal */
    assert_int_equal(node_cache_rewrite(w->store, 1, &w->table), ST_OK);
    struct user_list l;
    user_list_init(&l);
    assert_int_equal(node_cache_load_users(w->store, 1, &l), ST_OK);
    assert_int_equal(l.count, 1);
    assert_int_equal(l.entries[0].speed_kbps, 5000);
    user_list_fini(&l);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(differences),
        TEST(smaller_limit_counts),
        TEST(first_connection_limits_are_told),
        TEST(who_is_held_to_a_rate_stays_so),
        TEST(missing_users),
        TEST(hash_of_lists),
        TEST(credentials),
        TEST(another_spelling_is_another_user),
        TEST(objects_come_back),
        TEST(cache_of_configurations),
    };
    return cmocka_run_group_tests_name("users", tests, NULL, NULL);
}
