#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/reality_keys.h"
#include "app/reality_node.h"
#include "codec/json.h"
#include "panelserver/db.h"
#include "panelserver/db_node.h"

/* RFC 7748 section 6.1: Alice's pair. */
#define ALICE     "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo"
#define ALICE_PUB "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"

struct world {
    char dir[64], file[96];
    struct db *db;
    struct db_node n;
    char problem[REALITY_NODE_PROBLEM];
    struct json_t *settings;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    char error[DB_ERROR_MAX];
    strcpy(w->dir, "/tmp/v2sp-reality-XXXXXX");
    if (mkdtemp(w->dir) == NULL)
        return -1;
    snprintf(w->file, sizeof(w->file), "%s/panel.db", w->dir);
    db_node_init(&w->n);
    *state = w;
    return db_open(w->file, DB_CREATE, &w->db, error) == ST_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    char cmd[128];
    json_unref(w->settings);
    db_close(w->db);
    snprintf(cmd, sizeof(cmd), "rm -rf %s", w->dir);
    free(w);
    return system(cmd);
}

static void fill(struct world *w, struct reality_wish wish)
{
    if (reality_node_fill(w->db, &w->n, &wish, w->problem) != ST_OK)
        fail_msg("%s", w->problem);
    json_unref(w->settings);
    w->settings = NULL;
    assert_int_equal(json_parse(w->n.tls_settings, strlen(w->n.tls_settings), &w->settings, NULL),
                     ST_OK);
}

static const char *member(struct world *w, const char *key)
{
    return json_get_str(w->settings, key, "(none)");
}

static void what_is_missing_is_made(void **state)
{
    struct world *w = *state;
    char first[512];
    fill(w, (struct reality_wish){.dest = "www.example.org:443"});
    assert_string_equal(member(w, "server_name"), "www.example.org");
    assert_int_equal(strlen(member(w, "private_key")), 43);
    assert_int_equal(strlen(member(w, "public_key")), 43);
    assert_int_equal(strlen(member(w, "short_id")), 16);
    /* And stays. */
    strcpy(first, w->n.tls_settings);
    fill(w, (struct reality_wish){.dest = NULL});
    assert_string_equal(w->n.tls_settings, first);
}

static void what_is_given_is_taken(void **state)
{
    struct world *w = *state;
    fill(w, (struct reality_wish){
                .names = "a.example,b.example", .short_id = "", .private_key = ALICE "="});
    assert_string_equal(member(w, "dest"), "a.example:443");
    assert_string_equal(member(w, "server_name"), "a.example");
    assert_string_equal(member(w, "server_names"), "a.example,b.example");
    assert_string_equal(member(w, "short_id"), "");
    assert_string_equal(member(w, "private_key"), ALICE);
    assert_string_equal(member(w, "public_key"), ALICE_PUB);
    fill(w, (struct reality_wish){.names = "c.example"});
    assert_string_equal(member(w, "server_names"), "(none)");
    assert_string_equal(member(w, "dest"), "a.example:443");
    assert_string_equal(member(w, "short_id"), "");
}

static void mistakes_are_told(void **state)
{
    struct world *w = *state;
    static const struct {
        struct reality_wish wish;
        const char *text;
    } bad[] = {
        {{.dest = NULL}, "--dest"},
        {{.dest = "127.0.0.1:8443"}, "--sni"},
        {{.dest = "a.example:0"}, "--sni"},
        {{.names = "a.example", .dest = "a.example:0"}, "REALITY dest"},
        {{.names = "*.example"}, "REALITY"},
        {{.names = "a.example", .short_id = "abc"}, "short id"},
        {{.names = "a.example", .private_key = "abc"}, "private key"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        w->n.tls_settings[0] = '\0';
        assert_int_equal(reality_node_fill(w->db, &w->n, &bad[i].wish, w->problem), ST_E_CONFIG);
        assert_non_null(strstr(w->problem, bad[i].text));
    }
    strcpy(w->n.network, "ws");
    assert_int_equal(reality_node_fill(w->db, &w->n, &bad[0].wish, w->problem), ST_E_UNSUPPORTED);
}

static void keys_are_read_in_every_spelling(void **state)
{
    (void)state;
    uint8_t a[32], b[32];
    assert_true(reality_key_read(ALICE_PUB, a));
    assert_true(reality_key_read("hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=", b));
    assert_memory_equal(a, b, 32);
    assert_false(reality_key_read("hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTm", a));
    assert_false(reality_key_read("", a));
    assert_true(reality_short_id_ok(""));
    assert_true(reality_short_id_ok("0123456789abcDEF"));
    assert_false(reality_short_id_ok("0123456789abcdef00"));
    assert_false(reality_short_id_ok("0g"));
}

static void a_seed_gives_its_key_where_the_library_can(void **state)
{
    struct world *w = *state;
    char seed[REALITY_KEY_TEXT] = "", verify[REALITY_VERIFY_TEXT] = "";
    struct reality_wish wish = {.names = "a.example", .mldsa = true};
    if (!mldsa_available()) {
        assert_int_equal(reality_mldsa(seed, verify), ST_E_UNSUPPORTED);
        assert_int_equal(reality_node_fill(w->db, &w->n, &wish, w->problem), ST_E_UNSUPPORTED);
        assert_non_null(strstr(w->problem, "OpenSSL 3.5"));
        return;
    }
    assert_int_equal(reality_mldsa(seed, verify), ST_OK);
    assert_int_equal(strlen(seed), 43);
    assert_int_equal(strlen(verify), REALITY_VERIFY_TEXT - 1);
    fill(w, wish);
    assert_int_equal(strlen(member(w, "mldsa65Verify")), REALITY_VERIFY_TEXT - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_missing_is_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_given_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mistakes_are_told, set_up, tear_down),
        cmocka_unit_test(keys_are_read_in_every_spelling),
        cmocka_unit_test_setup_teardown(a_seed_gives_its_key_where_the_library_can, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
