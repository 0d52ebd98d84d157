/* Counters of one node and its users over real counter memory; the sums of the node are set by
 * hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/test_log.h"
#include "codec/protobuf.h"
#include "control/config/config_stats.h"
#include "control/node/node.h"
#include "control/stats/stats.h"
#include "control/stats/stats_query.h"
#include "control/store/counters.h"
#include "control/store/store.h"

#define TAG   "[https://p.example]-vless:1"
#define NAMES 64

struct world {
    struct store *store;
    struct counters *counters;
    struct plane plane;
    struct plane_stats sums, second; /* of the nodes 0 and 1 */
    struct list nodes;
    struct config_node conf;
    struct node node;
    struct user_rt *users;
    struct stats *s;
};

static void plane_stats(void *self, uint32_t no, struct plane_stats *out)
{
    const struct world *w = self;
    *out = no == 1 ? w->second : w->sums;
}

static void users_make(struct world *w, size_t n)
{
    w->users = calloc(n, sizeof(*w->users));
    w->node.users.by_id = calloc(n, sizeof(*w->node.users.by_id));
    assert_true(w->users != NULL && w->node.users.by_id != NULL);
    assert_int_equal(counters_reserve(w->counters, (uint32_t)n), ST_OK);
    for (size_t i = 0; i < n; i++) {
        struct user_rt *u = &w->users[i];
        u->uid = i + 1;
        snprintf((char *)u->uuid, sizeof(u->uuid), "user%zu", i);
        u->slot = counters_take(w->counters, 1, u->uid);
        w->node.users.by_id[i] = u;
    }
    w->node.users.count = n;
    w->node.users.version++;
}

static void track(struct world *w, const char *const *names, size_t n)
{
    struct config_stats conf = {
        .enabled = true, .inbounds = {names, n}, .outbounds = {names, n}, .users = {names, n}};
    assert_int_equal(stats_configure(w->s, &conf), ST_OK);
}

static const char *const all[] = {"*"};

static void begin(struct world *w, size_t users)
{
    memset(w, 0, sizeof(*w));
    w->store = store_open(NULL, &test_log);
    assert_non_null(w->store);
    w->counters = counters_open(NULL, w->store, 2, &test_log);
    assert_non_null(w->counters);
    w->plane = (struct plane){.self = w, .workers = 2, .stats = plane_stats};
    list_init(&w->nodes);
    w->conf.tag = TAG;
    w->node.conf = &w->conf;
    list_add_tail(&w->nodes, &w->node.link);
    const struct stats_setup setup = {
        .plane = &w->plane, .counters = w->counters, .nodes = &w->nodes};
    w->s = stats_new(&setup);
    assert_non_null(w->s);
    stats_node_begin(w->s, &w->node);
    users_make(w, users);
    track(w, all, 1);
}

static void end(struct world *w)
{
    stats_free(w->s);
    counters_close(w->counters);
    store_close(w->store);
    free(w->node.users.by_id);
    free(w->users);
}

static void move(struct world *w, size_t user, uint64_t up, uint64_t down)
{
    meter_add(counters_meter(w->counters, user % 2), w->users[user].slot, up, down);
    w->sums.up += up;
    w->sums.down += down;
}

static char *name_of(struct world *w, size_t user, char dst[STATS_NAME_MAX])
{
    char uuid[UUID_STRLEN];
    snprintf(dst, STATS_NAME_MAX, "user>>>" TAG "|%s", uuid_str(w->users[user].uuid, uuid));
    return dst;
}

static bool find(struct world *w, const char *name, struct stats_item *item)
{
    return stats_find(w->s, name, strlen(name), item);
}

/* The answer to a query as names and values; returns how many. */
static size_t query(struct world *w, struct stats_query *q, char names[NAMES][STATS_NAME_MAX + 32],
                    uint64_t values[NAMES])
{
    static struct stats_memory memory;
    static uint8_t whole[NAMES * 512], piece[16384];
    struct grpc_body *body;
    char problem[256];
    size_t len = 0, n = 0;

    assert_int_equal(stats_query_run(w->s, q, &memory, &body, problem), ST_OK);
    while (len < body->size) {
        size_t got = body->read(body, piece, sizeof(piece));
        assert_true(got > 0 && len + got <= sizeof(whole));
        memcpy(whole + len, piece, got);
        len += got;
    }
    assert_int_equal(len, body->size);
    body->free(body);
    assert_int_equal(memory.used, 0);
    struct protobuf_reader r = {whole, whole + len};
    struct protobuf_field stat, f;
    while (protobuf_next(&r, &stat) == ST_OK) {
        struct protobuf_reader inner = {stat.data, stat.data + stat.len};
        assert_true(n < NAMES && stat.number == 1);
        values[n] = 0;
        while (protobuf_next(&inner, &f) == ST_OK) {
            if (f.number == 1)
                snprintf(names[n], sizeof(names[n]), "%.*s", (int)f.len, (const char *)f.data);
            else
                values[n] = f.value;
        }
        n++;
    }
    return n;
}

static struct stats_query pattern(const char *text, bool regexp, bool reset)
{
    struct stats_query q = {.count = text != NULL, .regexp = regexp, .reset = reset};
    if (text != NULL)
        q.patterns[0] = (struct grpc_str){text, strlen(text)};
    return q;
}

static uint64_t value_of(struct world *w, const char *name)
{
    char names[NAMES][STATS_NAME_MAX + 32];
    uint64_t values[NAMES];
    struct stats_query q = pattern(name, false, false);
    size_t n = query(w, &q, names, values);

    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return values[i];
    return UINT64_MAX;
}

static void test_nothing_before_traffic(void **state)
{
    (void)state;
    struct world w;
    struct stats_item item;
    char name[STATS_NAME_MAX];
    begin(&w, 3);
    assert_false(find(&w, name_of(&w, 0, name), &item));
    assert_false(find(&w, "inbound>>>" TAG, &item));
    move(&w, 0, 10, 20);
    assert_true(find(&w, name, &item));
    assert_true(item.up == 10 && item.down == 20 && item.kind == STATS_USER);
    assert_true(find(&w, "inbound>>>" TAG, &item) && item.up == 10);
    assert_true(find(&w, "outbound>>>" TAG, &item) && item.down == 20);
    assert_false(find(&w, "outbound>>>direct", &item));
    assert_false(find(&w, name_of(&w, 1, name), &item));
    atomic_store(&w.users[1].sessions, 1); /* connected, silent */
    assert_true(find(&w, name, &item) && item.up == 0);
    atomic_store(&w.users[1].sessions, 0);
    assert_true(find(&w, name, &item)); /* and stays */
    assert_false(find(&w, "user>>>" TAG "|nobody", &item));
    assert_false(find(&w, "user>>>", &item));
    assert_false(find(&w, "", &item));
    end(&w);
}

static void test_resets_take_what_they_return(void **state)
{
    (void)state;
    struct world w;
    char names[NAMES][STATS_NAME_MAX + 32], name[STATS_NAME_MAX + 32];
    uint64_t values[NAMES];
    begin(&w, 2);
    move(&w, 0, 100, 200);
    move(&w, 1, 1, 2);
    struct stats_query q = pattern(">>>uplink", false, true);
    assert_int_equal(query(&w, &q, names, values), 4); /* two users, inbound, outbound */
    name_of(&w, 0, name);
    strcat(name, ">>>traffic>>>uplink");
    assert_int_equal(value_of(&w, name), 0);
    move(&w, 0, 5, 0);
    assert_int_equal(value_of(&w, name), 5);
    name_of(&w, 0, name);
    strcat(name, ">>>traffic>>>downlink");
    assert_int_equal(value_of(&w, name), 200);
    assert_int_equal(value_of(&w, "inbound>>>" TAG ">>>traffic>>>uplink"), 5);
    assert_int_equal(value_of(&w, "inbound>>>" TAG ">>>traffic>>>downlink"), 202);
    uint64_t up, down;
    stats_node_total(w.s, 0, &up, &down);
    assert_true(up == 106 && down == 202);
    end(&w);
}

static void test_patterns(void **state)
{
    (void)state;
    struct world w;
    char names[NAMES][STATS_NAME_MAX + 32];
    uint64_t values[NAMES];
    static const struct {
        const char *text;
        bool regexp;
        size_t found;
    } cases[] = {
        {NULL, false, 10},
        {"", false, 10},
        {"user>>>", false, 6},
        {"uplink", false, 5},
        {"down", false, 5},
        {"link", false, 10},
        {">>>up", false, 5},
        {">>>traffic>", false, 10},
        {"c>>>downlink", false, 5},
        {"k", false, 10},
        {"wn", false, 5},
        {"USER", false, 0},
        {"uplinkx", false, 0},
        {"downlin", false, 5},
        {"^user", true, 6},
        {"k$", true, 10},
        {"^(in|out)bound.*uplink$", true, 2},
        {"nope", true, 0},
    };
    begin(&w, 3);
    for (size_t i = 0; i < 3; i++)
        move(&w, i, 1, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stats_query q = pattern(cases[i].text, cases[i].regexp, false);
        assert_int_equal(query(&w, &q, names, values), cases[i].found);
    }
    /* A counter that two patterns name comes once. */
    struct stats_query q = pattern("user", false, false);
    q.patterns[q.count++] = (struct grpc_str){"uplink", 6};
    assert_int_equal(query(&w, &q, names, values), 8);
    end(&w);
}

static void test_a_failed_query_resets_nothing(void **state)
{
    (void)state;
    static struct stats_memory memory;
    struct world w;
    struct grpc_body *body;
    char problem[256];
    begin(&w, 1);
    move(&w, 0, 7, 7);
    struct stats_query q = pattern("user(", true, true);
    assert_int_equal(stats_query_run(w.s, &q, &memory, &body, problem), ST_E_PROTO);
    assert_non_null(strstr(problem, "offset 5"));
    q = pattern("^(([^Z]+)+)+(!|~)$", true, true);
    assert_int_equal(stats_query_run(w.s, &q, &memory, &body, problem), ST_E_TIMEOUT);
    memory.used = STATS_QUERY_MEMORY;
    q = pattern(NULL, false, true);
    assert_int_equal(stats_query_run(w.s, &q, &memory, &body, problem), ST_E_LIMIT);
    assert_int_equal(memory.used, STATS_QUERY_MEMORY);
    memory.used = 0;
    assert_int_equal(value_of(&w, "inbound>>>" TAG ">>>traffic>>>uplink"), 7);
    end(&w);
}

static void test_only_what_is_listed(void **state)
{
    (void)state;
    static const char *const some[] = {"direct", "direct", TAG "|nobody", "other"};
    struct world w;
    char names[NAMES][STATS_NAME_MAX + 32], uuid[UUID_STRLEN], mine[STATS_NAME_MAX];
    uint64_t values[NAMES];
    begin(&w, 2);
    move(&w, 0, 3, 4);
    track(&w, some, 4);
    struct stats_query q = pattern(NULL, false, false);
    assert_int_equal(query(&w, &q, names, values), 2);
    assert_string_equal(names[0], "outbound>>>direct>>>traffic>>>uplink");
    snprintf(mine, sizeof(mine), TAG "|%s", uuid_str(w.users[0].uuid, uuid));
    const char *const one[] = {mine};
    track(&w, one, 1);
    assert_int_equal(query(&w, &q, names, values), 2);
    assert_int_equal(values[0], 3);
    assert_int_equal(stats_configure(w.s, NULL), ST_OK);
    assert_int_equal(query(&w, &q, names, values), 0);
    end(&w);
}

/* He leaves, his counter stays; his slot's next bearer begins at nothing; he comes back and goes
 * on. */
static void test_the_departed(void **state)
{
    (void)state;
    struct world w;
    char name[STATS_NAME_MAX], full[STATS_NAME_MAX + 32];
    struct stats_item item;
    begin(&w, 2);
    move(&w, 1, 50, 60);
    assert_true(find(&w, name_of(&w, 1, name), &item));
    stats_take(w.s, item.kind, item.place, 20, 0);

    struct user_rt *gone = w.node.users.by_id[1];
    w.node.users.count = 1;
    w.node.users.version++;
    stats_user_gone(w.s, gone);
    assert_true(find(&w, name, &item));
    assert_true(item.kind == STATS_GONE && item.up == 30 && item.down == 60);
    snprintf(full, sizeof(full), "%s>>>traffic>>>downlink", name);
    assert_int_equal(value_of(&w, full), 60);

    /* Back under another slot. */
    assert_int_equal(counters_reserve(w.counters, 1), ST_OK);
    gone->slot = counters_take(w.counters, 1, gone->uid);
    w.node.users.count = 2;
    w.node.users.version++;
    assert_true(find(&w, name, &item));
    assert_true(item.kind == STATS_USER && item.up == 30 && item.down == 60);
    move(&w, 1, 1, 1);
    assert_true(find(&w, name, &item) && item.up == 31);
    assert_int_equal(value_of(&w, full), 61);

    /* Read to the end by resets, the departed are forgotten. */
    w.node.users.count = 1;
    w.node.users.version++;
    stats_user_gone(w.s, gone);
    assert_true(find(&w, name, &item) && item.kind == STATS_GONE);
    stats_take(w.s, item.kind, item.place, item.up, item.down);
    stats_forget(w.s);
    assert_false(find(&w, name, &item));
    end(&w);
}

/* Out of the table, his last session goes on. */
static void test_those_who_are_leaving(void **state)
{
    (void)state;
    struct world w;
    char name[STATS_NAME_MAX], full[STATS_NAME_MAX + 32];
    struct stats_item item;
    begin(&w, 2);
    move(&w, 1, 50, 60);
    struct user_rt *old = w.node.users.by_id[1];
    snprintf(full, sizeof(full), "%s>>>traffic>>>uplink", name_of(&w, 1, name));
    w.node.users.count = 1;
    w.node.users.version++;
    stats_user_leaves(w.s, old);
    stats_user_leaves(w.s, old);
    move(&w, 1, 5, 5);
    assert_int_equal(value_of(&w, full), 55);
    assert_true(find(&w, name, &item) && item.kind == STATS_GONE && item.down == 65);
    stats_take(w.s, item.kind, item.place, item.up, item.down);
    stats_forget(w.s);
    assert_int_equal(value_of(&w, full), 0);
    move(&w, 1, 2, 0);

    /* A namesake comes before he has gone: one name, and no byte twice. */
    struct user_rt new = {.uid = old->uid, .node = old->node};
    memcpy(new.uuid, old->uuid, sizeof(new.uuid));
    assert_int_equal(counters_reserve(w.counters, 1), ST_OK);
    new.slot = counters_take(w.counters, 1, new.uid);
    w.node.users.by_id[1] = &new;
    w.node.users.count = 2;
    w.node.users.version++;
    assert_int_equal(value_of(&w, full), 2);
    assert_true(find(&w, name, &item) && item.kind == STATS_USER);
    move(&w, 1, 3, 0);
    meter_add(counters_meter(w.counters, 0), new.slot, 100, 0);
    assert_int_equal(value_of(&w, full), 102);
    stats_user_gone(w.s, old);
    assert_int_equal(value_of(&w, full), 105);
    assert_true(find(&w, name, &item));
    stats_take(w.s, item.kind, item.place, item.up, item.down);
    assert_int_equal(value_of(&w, full), 0);
    end(&w);
}

static void test_a_node_that_ends(void **state)
{
    (void)state;
    struct world w;
    struct stats_item item;
    begin(&w, 1);
    move(&w, 0, 5, 6);
    list_del(&w.node.link);
    stats_node_end(w.s, &w.node);
    assert_true(find(&w, "inbound>>>" TAG, &item) && item.kind == STATS_GONE && item.down == 6);
    /* Its number's next bearer has another name, and begins at nothing. */
    w.conf.tag = "new";
    list_add_tail(&w.nodes, &w.node.link);
    stats_node_begin(w.s, &w.node);
    assert_false(find(&w, "inbound>>>new", &item));
    move(&w, 0, 1, 1);
    assert_true(find(&w, "inbound>>>new", &item) && item.up == 1);
    assert_true(find(&w, "inbound>>>" TAG, &item) && item.up == 5);
    end(&w);
}

/* Users that have all left, one more than are kept: of the oldest nothing is known, of the others
 * all; and who leaves next is kept, too. */
static void test_the_oldest_are_forgotten(void **state)
{
    (void)state;
    const size_t count = STATS_GONE_MAX + 2;
    char name[STATS_NAME_MAX];
    struct stats_item item;
    struct world w;
    begin(&w, count);
    for (size_t i = 0; i < count; i++)
        move(&w, i, i + 1, 0);
    w.node.users.count = 0;
    w.node.users.version++;
    for (size_t i = 0; i + 1 < count; i++)
        stats_user_gone(w.s, &w.users[i]);
    assert_false(find(&w, name_of(&w, 0, name), &item));
    assert_true(find(&w, name_of(&w, count - 2, name), &item) && item.up == count - 1);
    stats_user_gone(w.s, &w.users[count - 1]);
    assert_true(find(&w, name_of(&w, count - 1, name), &item) && item.up == count);
    assert_true(find(&w, name_of(&w, count - 2, name), &item) && item.up == count - 1);
    assert_true(find(&w, name_of(&w, count / 2, name), &item) && item.up == count / 2 + 1);
    end(&w);
}

/* A node ends, another has its name meanwhile: each counter is there once, and in the end no byte
 * is missing. */
static void test_a_name_that_goes_to_another_node(void **state)
{
    (void)state;
    const char *const full = "inbound>>>" TAG ">>>traffic>>>uplink";
    char names[NAMES][STATS_NAME_MAX + 32], name[STATS_NAME_MAX];
    uint64_t values[NAMES];
    struct stats_query q = pattern(NULL, false, false);
    struct stats_item item;
    struct world w;
    begin(&w, 1);
    move(&w, 0, 100, 200);
    assert_int_equal(value_of(&w, full), 100);

    struct node new = {.no = 1, .conf = &w.conf};
    w.node.state = NODE_DRAINING;
    stats_node_begin(w.s, &new);
    list_del(&w.node.link);
    list_add_tail(&w.nodes, &new.link);
    list_add_tail(&w.nodes, &w.node.link);
    assert_int_equal(query(&w, &q, names, values), 6);
    assert_int_equal(value_of(&w, full), 100);
    assert_true(find(&w, name_of(&w, 0, name), &item) && item.up == 100);

    move(&w, 0, 5, 5);   /* of the one that ends */
    w.second.up += 1000; /* of the new one */
    assert_int_equal(value_of(&w, full), 1100);
    struct stats_query reset = pattern("inbound", false, true);
    assert_int_equal(query(&w, &reset, names, values), 2);

    w.node.users.count = 0;
    w.node.users.version++;
    stats_user_leaves(w.s, &w.users[0]);
    stats_user_gone(w.s, &w.users[0]);
    list_del(&w.node.link);
    stats_node_end(w.s, &w.node);
    assert_int_equal(value_of(&w, full), 5);
    assert_true(find(&w, name_of(&w, 0, name), &item) && item.up == 105 && item.down == 205);
    assert_int_equal(query(&w, &q, names, values), 6);
    end(&w);
}

static double ms_since(const struct timespec *t)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - t->tv_sec) * 1e3 + (double)(now.tv_nsec - t->tv_nsec) / 1e6;
}

/* A million counters: what is held while the answer goes out is bounded. The times are shown, not
 * judged. */
static void test_a_million_counters(void **state)
{
    (void)state;
    static struct stats_memory memory;
    static uint8_t piece[16384];
    struct world w;
    struct grpc_body *body;
    struct timespec t;
    char problem[256];
    const size_t users = 500000;
    begin(&w, users);
    for (size_t i = 0; i < users; i++)
        move(&w, i, i + 1, 2 * i + 1);
    struct stats_query q = pattern("zzz", false, false);
    clock_gettime(CLOCK_MONOTONIC, &t);
    assert_int_equal(stats_query_run(w.s, &q, &memory, &body, problem), ST_OK);
    print_message("pattern that is nowhere, 1,000,000 counters: %.0f ms\n", ms_since(&t));
    assert_int_equal(body->size, 0);
    body->free(body);

    /* Two hundred million searches: given up, not gone through. */
    for (q.count = 0; q.count < 200; q.count++)
        q.patterns[q.count] = (struct grpc_str){"nowhere", 7};
    clock_gettime(CLOCK_MONOTONIC, &t);
    assert_int_equal(stats_query_run(w.s, &q, &memory, &body, problem), ST_E_TIMEOUT);
    print_message("%zu patterns that are nowhere: given up after %.0f ms\n", q.count, ms_since(&t));

    q = pattern("user>>>", false, false);
    clock_gettime(CLOCK_MONOTONIC, &t);
    assert_int_equal(stats_query_run(w.s, &q, &memory, &body, problem), ST_OK);
    print_message("pattern that is everywhere: %.0f ms, %zu MB held for an answer of %zu MB\n",
                  ms_since(&t), memory.used >> 20, (size_t)body->size >> 20);
    assert_true(memory.used < body->size / 4);
    size_t left = (size_t)body->size;
    clock_gettime(CLOCK_MONOTONIC, &t);
    while (left > 0) {
        size_t n = body->read(body, piece, sizeof(piece));
        assert_true(n > 0 && n <= left);
        left -= n;
    }
    print_message("written in %.0f ms\n", ms_since(&t));
    assert_true(memory.used < 65536); /* given back on the way */
    body->free(body);
    assert_int_equal(memory.used, 0);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_before_traffic),
        cmocka_unit_test(test_resets_take_what_they_return),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_a_failed_query_resets_nothing),
        cmocka_unit_test(test_only_what_is_listed),
        cmocka_unit_test(test_the_departed),
        cmocka_unit_test(test_those_who_are_leaving),
        cmocka_unit_test(test_a_node_that_ends),
        cmocka_unit_test(test_the_oldest_are_forgotten),
        cmocka_unit_test(test_a_name_that_goes_to_another_node),
        cmocka_unit_test(test_a_million_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
