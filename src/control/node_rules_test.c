#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/controller_state.h"
#include "control/fake_world.h"
#include "control/node/node_hits.h"
#include "control/store/hit_store.h"
#include "control/store/store.h"
#include "policy/audit_hits.h"

#define CONFIG_ROUTES(routes)                                                                      \
    "{\"node_type\":\"vless\",\"server_port\":1443,\"network\":\"tcp\",\"tls\":0,\"routes\":"      \
    "[" routes "],\"base_config\":{\"push_interval\":60,\"pull_interval\":60}}"
#define BLOCK(id, match) "{\"id\":" #id ",\"action\":\"block\",\"match\":[" match "]}"

static const struct view_node *node_of(const struct world *w)
{
    return w->plane.nodes[0].view->node;
}

/* Text of the rule that blocks @host; NULL: none. */
static const char *blocks(const struct world *w, const char *host)
{
    struct target t;

    assert_int_equal(target_set_host(&t, host, strlen(host), 443), ST_OK);
    const struct audit_rule *r = audit_match(node_of(w)->audit, &(struct audit_flow){.target = &t});
    return r != NULL ? r->text : NULL;
}

static void put_rules(const struct world *w, char path[96], const char *text)
{
    char other[104];

    snprintf(path, 96, "%s/rules.txt", w->dir);
    snprintf(other, sizeof(other), "%s.new", path);
    FILE *f = fopen(other, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(rename(other, path), 0);
}

static void rules_come_with_the_configuration(void **state)
{
    struct world *w = *state;

    set_config(w, CONFIG_ROUTES(BLOCK(3, "\"domain:a.example\",\"ab(c\"")));
    run(w);
    assert_string_equal(blocks(w, "x.a.example"), "domain:a.example");
    assert_null(blocks(w, "b.example"));
    assert_int_equal(w->warnings, 1);
    assert_non_null(strstr(last_warning, "n7"));
    assert_non_null(strstr(last_warning, "routes: route 3, \"ab(c\": missing closing parenthesis"));

    /* Another view of the same node, hot, and said once. */
    const struct audit *was = node_of(w)->audit;
    set_config(
        w, CONFIG_ROUTES(BLOCK(3, "\"domain:a.example\",\"ab(c\"") "," BLOCK(4, "\"b.example\"")));
    pull(w);
    assert_int_equal(w->plane.nodes[0].published, 2);
    assert_int_equal(w->plane.nodes[0].removed_nodes, 0);
    assert_ptr_not_equal(node_of(w)->audit, was);
    assert_string_equal(blocks(w, "b.example"), "b.example");

    /* None is left. */
    set_config(w, CONFIG_1);
    pull(w);
    assert_null(node_of(w)->audit);
    assert_int_equal(w->plane.nodes[0].published, 3);
    assert_int_equal(w->warnings, 2);
}

static void rules_are_not_made_again(void **state)
{
    struct world *w = *state;

    w->etags = false;
    set_config(w, CONFIG_ROUTES(BLOCK(3, "\"domain:a.example\"")));
    run(w);
    const struct audit_list *list = node_of(w)->audit->lists[0];
    pull(w);
    assert_int_equal(w->plane.nodes[0].published, 1);
    /* Something else changes: another view, the same list. */
    apply(w, node_text(w, 7, ",\"DisableSniffing\":true"));
    UNTIL(w, w->plane.nodes[0].published == 2);
    assert_ptr_equal(node_of(w)->audit->lists[0], list);
}

static void panel_and_file_add_up(void **state)
{
    struct world *w = *state;
    char path[96], more[160];

    put_rules(w, path, "# local\ndomain:f.example\n");
    set_config(w, CONFIG_ROUTES(BLOCK(3, "\"domain:a.example\"")));
    snprintf(more, sizeof(more), ",\"RuleListPath\":\"%s\"", path);
    apply(w, node_text(w, 7, more));
    UNTIL(w, status(w, 0).serving);
    assert_int_equal(node_of(w)->audit->count, 2);
    assert_non_null(blocks(w, "a.example"));
    assert_non_null(blocks(w, "f.example"));
    assert_int_equal(w->warnings, 0);

    /* The same file: a reload leaves the view alone. A changed one is taken up. */
    unsigned published = w->plane.nodes[0].published;
    apply(w, node_text(w, 7, more));
    assert_int_equal(w->plane.nodes[0].published, published);
    put_rules(w, path, "domain:g.example\nregexp:(\n");
    apply(w, node_text(w, 7, more));
    assert_int_equal(w->plane.nodes[0].published, published + 1);
    assert_null(blocks(w, "f.example"));
    assert_non_null(blocks(w, "g.example"));
    assert_non_null(strstr(last_warning, "line 2, \"regexp:(\""));

    /* Gone: its last rules stay, said once. */
    assert_int_equal(remove(path), 0);
    unsigned warnings = w->warnings;
    apply(w, node_text(w, 7, more));
    apply(w, node_text(w, 7, more));
    assert_non_null(blocks(w, "g.example"));
    assert_int_equal(w->warnings, warnings + 1);
    assert_non_null(strstr(last_warning, "the rules it had go on"));

    /* No longer named; nor the panel's wanted. */
    apply(w, node_text(w, 7, ""));
    UNTIL(w, blocks(w, "g.example") == NULL);
    assert_non_null(blocks(w, "a.example"));
    apply(w, node_text(w, 7, ",\"DisableGetRule\":true"));
    UNTIL(w, node_of(w)->audit == NULL);
}

static void a_missing_file_does_not_keep_a_node(void **state)
{
    struct world *w = *state;
    char path[96], more[160];

    snprintf(path, sizeof(path), "%s/rules.txt", w->dir);
    snprintf(more, sizeof(more), ",\"RuleListPath\":\"%s\"", path);
    apply(w, node_text(w, 7, more));
    UNTIL(w, status(w, 0).serving);
    assert_null(node_of(w)->audit);
    assert_int_equal(w->warnings, 1);
    assert_non_null(strstr(last_warning, "none of its rules hold"));
    put_rules(w, path, "late.example");
    apply(w, node_text(w, 7, more));
    assert_non_null(blocks(w, "late.example"));
}

static void hits_outlive_the_rules(void **state)
{
    struct world *w = *state;
    struct target t;

    set_config(w, CONFIG_ROUTES(BLOCK(3, "\"domain:a.example\"")));
    run(w);
    struct audit_hits *hits = node_of(w)->audit_hits;
    assert_int_equal(target_set_host(&t, "a.example", 9, 443), ST_OK);
    audit_hits_add(hits, 1, audit_match(node_of(w)->audit, &(struct audit_flow){.target = &t}));
    set_config(w, CONFIG_1);
    pull(w);
    assert_null(node_of(w)->audit_hits);
    set_config(w, CONFIG_ROUTES(BLOCK(4, "\"domain:b.example\"")));
    pull(w);
    assert_ptr_equal(node_of(w)->audit_hits, hits);
    assert_int_equal(audit_hits_sum(hits).hits, 1);
}

static struct store *store_of(const struct world *w)
{
    char problem[200];
    struct store *s = store_open_read(w->dir, problem);

    assert_non_null(s);
    return s;
}

/* Of the only node, in node.db. */
static uint64_t kept(const struct world *w)
{
    struct store *s = store_of(w);
    struct hit_sum all;

    assert_int_equal(hit_store_all(s, 1, &all), ST_OK);
    store_close(s);
    return all.count;
}

static void take_pair(void *arg, const struct hit_sum *h)
{
    char *text = arg;
    size_t len = strlen(text);

    snprintf(text + len, 256 - len, "%u at %s: %u; ", (unsigned)h->uid, h->rule,
             (unsigned)h->count);
}

static void expect_pairs(const struct world *w, const char *want)
{
    struct store *s = store_of(w);
    char text[256] = "";

    assert_int_equal(hit_store_pairs(s, 1, 10, take_pair, text), ST_OK);
    assert_string_equal(text, want);
    assert_int_equal(hit_store_rules(s, 1, 10, take_pair, text), ST_OK);
    store_close(s);
}

static void hit(const struct fake_plane *p, uint64_t uid, const char *host)
{
    const struct view_node *n = p->nodes[0].view->node;
    struct target t;

    assert_int_equal(target_set_host(&t, host, strlen(host), 443), ST_OK);
    audit_hits_add(n->audit_hits, uid, audit_match(n->audit, &(struct audit_flow){.target = &t}));
}

/* What is counted is added to what was, whoever counted that: an earlier process, or one that still
 * lets its sessions end. */
static void hits_outlive_the_process(void **state)
{
    struct world *w = *state;

    set_config(w, CONFIG_ROUTES(BLOCK(3, "\"domain:a.example\",\"domain:b.example\"")));
    run(w);
    hit(&w->plane, 1, "a.example");
    hit(&w->plane, 1, "a.example");
    hit(&w->plane, 2, "b.example");
    for (int i = 0; i < 2; i++) { /* as with each sample */
        node_hits_keep(CONTROLLER_NODE(w->c->nodes.next));
        assert_int_equal(kept(w), 3);
    }
    hit(&w->plane, 1, "a.example");
    stop(w);
    assert_int_equal(kept(w), 4);
    start(w);
    apply(w, node_text(w, 7, ""));
    UNTIL(w, status(w, 0).serving);
    assert_int_equal(kept(w), 4);
    hit(&w->plane, 2, "a.example");

    struct fake_plane plane;
    struct controller_setup setup = {
        .loop = w->loop, .log = &lg, .plane = &plane.plane, .state_dir = w->dir, .held = true};
    fake_plane_init(&plane, w->loop);
    struct controller *next = controller_new(&setup);
    assert_non_null(next);
    plane.controller = next;
    assert_int_equal(controller_apply(next, w->cfg), ST_OK);
    UNTIL(w, plane.nodes[0].view != NULL);
    hit(&plane, 2, "a.example");
    hit(&w->plane, 1, "b.example");
    stop(w);
    assert_int_equal(kept(w), 6);
    fake_plane_fini(&plane);
    controller_free(next);
    assert_int_equal(kept(w), 7);
    expect_pairs(w, "1 at domain:a.example: 3; 2 at domain:a.example: 2; "
                    "1 at domain:b.example: 1; 2 at domain:b.example: 1; ");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(rules_come_with_the_configuration),
        TEST(rules_are_not_made_again),
        TEST(panel_and_file_add_up),
        TEST(a_missing_file_does_not_keep_a_node),
        TEST(hits_outlive_the_rules),
        TEST(hits_outlive_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
