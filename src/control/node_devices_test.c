/* Devices of users whom several nodes of one panel serve, and what the panel says of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "control/fake_world.h"

#include "control/controller.h"
#include "control/node/device_book.h"
#include "control/node/node.h"
#include "policy/user_devices.h"

#define TWO_NODES(w)                                                                               \
    (snprintf(both, sizeof(both), "%s,%s", node_text(w, 7, ""), node_text(w, 8, "")), both)

static char both[2048];

static struct user_rt *user_of(struct world *w, unsigned node, const char *uuid)
{
    uint8_t id[UUID_LEN];
    assert_int_equal(uuid_parse(id, uuid, strlen(uuid)), ST_OK);
    return uuid_index_find(w->plane.nodes[node].view->users, id);
}

static struct user_devices *devices_of(struct world *w, unsigned node)
{
    struct user_rt *u = user_of(w, node, UUID_C);
    assert_non_null(u);
    return atomic_load(&u->devices);
}

static uint32_t elsewhere(struct world *w)
{
    return atomic_load(&devices_of(w, 0)->elsewhere);
}

static struct device *enter(struct user_devices *ud, const char *from)
{
    struct device_rule rule = {
        .limit = DEVICES_NO_LIMIT, .bits4 = 32, .bits6 = 64, .grace_s = DEVICE_GRACE_S};
    struct device *dev = NULL;
    struct addr a;

    assert_int_equal(addr_parse_ip(&a, from, strlen(from)), ST_OK);
    assert_int_equal(user_devices_enter(ud, &a, &rule, 100, &dev), ST_OK);
    return dev;
}

/* No pull of any node is under way. */
static bool at_rest(struct world *w)
{
    const struct device_user *u = (const struct device_user *)devices_of(w, 0);

    LIST_FOREACH(l, tmp, &device_user_panel(u)->nodes) {
        const struct node *n = LIST_ENTRY(l, struct node, panel_link);
        if (n->pulling != NULL || n->pull_again || n->pulled_s == 0)
            return false;
    }
    return true;
}

static void run_two(struct world *w)
{
    set_users(w, USER_A "," USER_C);
    apply(w, TWO_NODES(w));
    UNTIL(w, w->calls[ALIVELIST] >= 2 && status(w, 0).serving && status(w, 1).serving);
    UNTIL(w, at_rest(w));
}

/* All nodes have asked once more. */
static void pull_both(struct world *w)
{
    unsigned n = w->calls[ALIVELIST];
    controller_poke(w->c);
    UNTIL(w, w->calls[ALIVELIST] >= n + 2 && at_rest(w));
}

static void nodes_of_a_panel_share_a_user(void **state)
{
    struct world *w = *state;

    run_two(w);
    struct user_devices *ud = devices_of(w, 0);
    assert_non_null(ud);
    assert_ptr_equal(devices_of(w, 1), ud);
    assert_int_equal(ud->refs, 2);
    assert_null(atomic_load(&user_of(w, 0, UUID_A)->devices)); /* he has no limit */
    /* One node loses him, the other goes on with the same set. */
    struct device *dev = enter(ud, "1.1.1.1");
    apply(w, node_text(w, 7, ""));
    UNTIL(w, ud->refs == 1);
    assert_int_equal(devices_count(&ud->set, 100), 1);
    devices_leave(&ud->set, dev);
    stop(w);
}

static void see(struct world *w, size_t i, const char *ip)
{
    struct plane_alive *a = &w->plane.alive[i];
    *a = (struct plane_alive){.uid = 3, .bytes = 1000};
    assert_int_equal(addr_parse_ip(&a->ip, ip, strlen(ip)), ST_OK);
    w->plane.alive_count = i + 1;
}

/* The panel counts an address once, so do we. */
static void what_the_nodes_reported_together_is_not_elsewhere(void **state)
{
    struct world *w = *state;

    run_two(w);
    see(w, 0, "1.1.1.1");
    see(w, 1, "2.2.2.2");
    unsigned n = w->calls[ALIVE];
    controller_poke(w->c);
    UNTIL(w, w->calls[ALIVE] >= n + 2); /* both nodes say both */
    UNTIL(w, status(w, 0).problem[0] == '\0');
    w->act[ALIVELIST] = (struct act){.status = 200, .body = "{\"alive\":{\"3\":5}}", .times = 99};
    pull_both(w);
    UNTIL(w, elsewhere(w) == 3);
    w->act[ALIVELIST].body = "{\"alive\":{\"3\":2}}";
    pull_both(w);
    UNTIL(w, elsewhere(w) == 0);
    w->act[ALIVELIST].body = "{\"alive\":{\"3\":3}}";
    pull_both(w);
    UNTIL(w, elsewhere(w) == 1);
    unsigned warned = w->warnings;
    /* No answer, or one that is none: what was said last counts on. */
    w->act[ALIVELIST] = (struct act){.status = 500, .times = 99};
    pull_both(w);
    assert_int_equal(elsewhere(w), 1);
    w->act[ALIVELIST] = (struct act){.status = 200, .body = "{\"alive\":[7]", .times = 99};
    pull_both(w);
    assert_int_equal(elsewhere(w), 1);
    assert_string_equal(status(w, 0).problem, "");
    assert_int_equal(w->warnings - warned, 2); /* one a node, however often and for whatever */
    assert_non_null(strstr(last_warning, "alivelist: no usable answer (HTTP 500)"));
    /* He has left the list. */
    w->act[ALIVELIST] = (struct act){.status = 200, .body = "{\"alive\":{}}", .times = 99};
    pull_both(w);
    UNTIL(w, elsewhere(w) == 0);
}

/* As if the panel had said it so long ago. */
static void age_lists(struct world *w, int64_t s)
{
    struct device_user *u = (struct device_user *)devices_of(w, 0);

    u->panel_said_s -= s;
    LIST_FOREACH(l, tmp, &device_user_panel(u)->nodes)
        LIST_ENTRY(l, struct node, panel_link)->alivelist.said_s -= s;
}

static void an_old_list_counts_no_more(void **state)
{
    struct world *w = *state;

    w->act[ALIVELIST] = (struct act){.status = 200, .body = "{\"alive\":{\"3\":2}}", .times = 99};
    run_two(w);
    UNTIL(w, elsewhere(w) == 2);
    w->act[ALIVELIST] = (struct act){.status = 502, .body = "<html>", .times = 99};
    age_lists(w, 3 * 60 - 60);
    pull_both(w);
    assert_int_equal(elsewhere(w), 2);
    age_lists(w, 60);
    pull_both(w);
    UNTIL(w, elsewhere(w) == 0);
    /* Where the whole panel is away, too. */
    w->act[ALIVELIST] = (struct act){.status = 200, .body = "{\"alive\":{\"3\":2}}", .times = 99};
    pull_both(w);
    UNTIL(w, elsewhere(w) == 2);
    fake_close(&w->panel);
    age_lists(w, 3 * 60);
    controller_poke(w->c);
    UNTIL(w, elsewhere(w) == 0);
    fake_open(&w->panel, w->loop);
}

/* What a node heard before it went must not count for ever. */
static void what_only_a_gone_node_was_told_counts_no_more(void **state)
{
    struct world *w = *state;

    run_two(w);
    w->act[ALIVELIST] = (struct act){.status = 200, .body = "{\"alive\":{\"3\":2}}", .times = 1};
    pull_both(w);
    assert_int_equal(elsewhere(w), 2);
    uint64_t heard = 0;
    const struct device_user *u = (const struct device_user *)devices_of(w, 0);
    LIST_FOREACH(l, tmp, &device_user_panel(u)->nodes) {
        const struct node *n = LIST_ENTRY(l, struct node, panel_link);
        assert_int_equal(n->alivelist.count, 1);
        heard = n->alivelist.users[0].uid == 3 ? n->conf->api.node_id : heard;
    }
    assert_true(heard == 7 || heard == 8);
    struct user_devices *ud = devices_of(w, 0); /* of both */
    apply(w, node_text(w, heard == 7 ? 8 : 7, ""));
    UNTIL(w, ud->refs == 1 && atomic_load(&ud->elsewhere) == 0);
}

static void a_panel_without_the_list_is_not_asked_again(void **state)
{
    struct world *w = *state;

    w->act[ALIVELIST] = (struct act){.status = 404, .times = 1};
    run(w);
    unsigned n = w->calls[USER];
    controller_poke(w->c);
    UNTIL(w, w->calls[USER] > n);
    n = w->calls[USER];
    controller_poke(w->c);
    UNTIL(w, w->calls[USER] > n);
    assert_int_equal(w->calls[ALIVELIST], 1);
    assert_string_equal(status(w, 0).problem, "");
}

static void limit_to(struct world *w, unsigned limit)
{
    char user[160];

    snprintf(user, sizeof(user), "{\"id\":3,\"uuid\":\"" UUID_C "\",\"device_limit\":%u}", limit);
    set_users(w, user);
    pull(w);
    loop_once(w->loop, 0);
}

static void a_smaller_limit_ends_devices(void **state)
{
    struct world *w = *state;

    set_users(w, USER_C);
    apply(w, node_text(w, 7, ""));
    UNTIL(w, w->calls[ALIVELIST] > 0 && status(w, 0).serving);
    struct user_devices *ud = devices_of(w, 0);
    struct device *a = enter(ud, "1.1.1.1"), *b = enter(ud, "2.2.2.2");
    atomic_store(&a->active_s, 200);
    limit_to(w, 2);
    limit_to(w, 3);
    assert_int_equal(w->plane.nodes[0].ended_devices, 0);
    limit_to(w, 1);
    UNTIL(w, w->plane.nodes[0].ended_devices == 1);
    assert_true(b->out);
    assert_false(a->out);
}

/* What the store is asked for: a long session does not keep the limit it began with. */
static void a_larger_limit_counts_for_those_who_are_in(void **state)
{
    struct world *w = *state;
    struct device_rule one = {.limit = 1, .bits4 = 32, .bits6 = 64};
    struct device_seen seen;
    struct device *dev;
    struct addr from;

    set_users(w, "{\"id\":3,\"uuid\":\"" UUID_C "\",\"device_limit\":1}");
    apply(w, node_text(w, 7, ""));
    UNTIL(w, w->calls[ALIVELIST] > 0 && status(w, 0).serving);
    struct user_devices *ud = devices_of(w, 0);
    assert_int_equal(addr_parse_ip(&from, "1.1.1.1", 7), ST_OK);
    assert_int_equal(user_devices_enter(ud, &from, &one, 100, &dev), ST_OK);
    limit_to(w, 3);
    assert_int_equal(devices_list(&ud->set, 100, &seen, 1), 1);
    assert_int_equal(seen.limit, 3);
    limit_to(w, 0);
    assert_int_equal(devices_list(&ud->set, 100, &seen, 1), 1);
    assert_int_equal(seen.limit, DEVICES_NO_LIMIT);
}

static void a_smaller_limit_leaves_them_where_that_is_the_rule(void **state)
{
    struct world *w = *state;

    set_users(w, USER_C);
    apply(w, node_text(w, 7, ",\"DeviceLimitKick\":false"));
    UNTIL(w, w->calls[ALIVELIST] > 0 && status(w, 0).serving);
    struct user_devices *ud = devices_of(w, 0);
    enter(ud, "1.1.1.1");
    enter(ud, "2.2.2.2");
    limit_to(w, 1);
    limit_to(w, 1);
    assert_int_equal(w->plane.nodes[0].ended_devices, 0);
    assert_int_equal(devices_count(&ud->set, 100), 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(nodes_of_a_panel_share_a_user),
        TEST(what_the_nodes_reported_together_is_not_elsewhere),
        TEST(an_old_list_counts_no_more),
        TEST(what_only_a_gone_node_was_told_counts_no_more),
        TEST(a_panel_without_the_list_is_not_asked_again),
        TEST(a_smaller_limit_ends_devices),
        TEST(a_larger_limit_counts_for_those_who_are_in),
        TEST(a_smaller_limit_leaves_them_where_that_is_the_rule),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("node_devices", tests, NULL, NULL);
}
