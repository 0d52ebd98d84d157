#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/log.h"
#include "codec/json.h"
#include "panelserver/api.h"
#include "panelserver/test_db.h"
#include "panelserver/user_cache.h"

#define SECOND UINT64_C(1000000)

struct fix {
    struct db *db;
    struct api *api;
    struct log log;
    int64_t node;
    uint64_t now_us;
    int64_t now_s;
    struct reply reply;
};

static int set_up(void **state)
{
    struct fix *f = calloc(1, sizeof *f);
    f->log.level = LOG_NONE;
    f->db = test_db_open();
    f->node = test_db_node(f->db, TEST_DB_TOKEN);
    f->now_us = 1000 * SECOND;
    f->now_s = TEST_DB_NOW;
    struct panelserver_conf conf = {
        .log = &f->log, .db = f->db, .rate_per_s = 10, .rate_burst = 100};
    f->api = api_new(&conf);
    *state = f;
    return f->api == NULL;
}

static int tear_down(void **state)
{
    struct fix *f = *state;
    reply_fini(&f->reply);
    api_free(f->api);
    db_close(f->db);
    free(f);
    return 0;
}

static struct http1_str str(const char *text)
{
    return (struct http1_str){text, strlen(text)};
}

/* @tags: If-None-Match or the Idempotency-Key, as the method wants. Returns the status; the reply
 * stays in f->reply. */
static unsigned ask_as(struct fix *f, const char *method, const char *path, const char *query,
                       const char *field, const char *body)
{
    bool post = strcmp(method, "POST") == 0;
    struct api_request rq = {
        .method = str(method),
        .path = str(path),
        .query = str(query),
        .if_none_match = str(post ? "" : field),
        .idempotency_key = str(post ? field : ""),
        .body = body,
        .body_len = strlen(body),
        .peer = {.family = ADDR_IP4, .port = 7, .ip = {203, 0, 113, 5}},
        .now_s = f->now_s,
        .now_us = f->now_us,
    };
    reply_fini(&f->reply);
    api_handle(f->api, &rq, &f->reply);
    return f->reply.status;
}

static unsigned get(struct fix *f, const char *action, const char *tags)
{
    char query[160];
    snprintf(query, sizeof query, "action=%s&node_id=%lld&node_type=vless&token=" TEST_DB_TOKEN,
             action, (long long)f->node);
    return ask_as(f, "GET", "/api/v2sp", query, tags, "");
}

static unsigned post(struct fix *f, const char *action, const char *key, const char *body)
{
    char query[160];
    snprintf(query, sizeof query, "action=%s&node_id=%lld&node_type=vless&token=" TEST_DB_TOKEN,
             action, (long long)f->node);
    return ask_as(f, "POST", "/api/v2sp", query, key, body);
}

static bool says(const struct fix *f, const char *text)
{
    return memmem(f->reply.body->data, f->reply.body->len, text, strlen(text)) != NULL;
}

static void is_text(const struct fix *f, const char *text)
{
    if (f->reply.body->len != strlen(text) || memcmp(f->reply.body->data, text, strlen(text)) != 0)
        fail_msg("%.*s", (int)f->reply.body->len, f->reply.body->data);
}

/* ---- admission ------------------------------------------------------------------------------- */

static void every_mistake_has_its_status_code_and_parameter(void **state)
{
    struct fix *f = *state;
    static const struct {
        const char *method, *path, *query;
        unsigned status;
        const char *code, *parameter;
    } cases[] = {
        {"GET", "/other", "action=config", 404, "NOT_FOUND", NULL},
        {"GET", "/api", "", 400, "MISSING_PARAMETER", "action"},
        {"GET", "/api", "action=status", 404, "UNKNOWN_ACTION", "action"},
        {"GET", "/api", "action=config", 400, "MISSING_PARAMETER", "node_id"},
        {"GET", "/api", "action=config&node_id=x", 400, "BAD_PARAMETER", "node_id"},
        {"GET", "/api", "action=config&node_id=", 400, "BAD_PARAMETER", "node_id"},
        {"GET", "/api", "action=config&node_id=-1", 400, "BAD_PARAMETER", "node_id"},
        {"GET", "/api", "action=config&node_id=1%00", 400, "BAD_PARAMETER", "node_id"},
        {"GET", "/api", "action=config&node_id=99999999999999999999", 400, "BAD_PARAMETER",
         "node_id"},
        {"GET", "/api", "action=config&node_id=1&node_type=snell", 400, "BAD_PARAMETER",
         "node_type"},
        {"GET", "/api", "action=config&node_id=1", 401, "WRONG_TOKEN", NULL},
        {"GET", "/api", "action=config&node_id=1&token=", 401, "WRONG_TOKEN", NULL},
        {"GET", "/api", "action=config&node_id=1&token=" TEST_DB_TOKEN "x", 401, "WRONG_TOKEN",
         NULL},
        {"GET", "/api", "action=config&node_id=7&token=guess", 401, "WRONG_TOKEN", NULL},
        {"GET", "/api", "action=config&node_id=7&token=" TEST_DB_TOKEN, 404, "NODE_NOT_FOUND",
         "node_id"},
        {"POST", "/api", "action=config&node_id=1&token=" TEST_DB_TOKEN, 405, "METHOD_NOT_ALLOWED",
         NULL},
        {"HEAD", "/api", "action=user&node_id=1&token=" TEST_DB_TOKEN, 405, "METHOD_NOT_ALLOWED",
         NULL},
        {"GET", "/api", "action=push&node_id=1&token=" TEST_DB_TOKEN, 405, "METHOD_NOT_ALLOWED",
         NULL},
        {"GET", "/", "action=alive&node_id=1&token=" TEST_DB_TOKEN, 405, "METHOD_NOT_ALLOWED",
         NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f->now_us += 100 * SECOND; /* out of reach of the rate limit */
        unsigned status = ask_as(f, cases[i].method, cases[i].path, cases[i].query, "", "");
        if (status != cases[i].status || !says(f, cases[i].code))
            fail_msg("%s %s: %u %.*s", cases[i].method, cases[i].query, status,
                     (int)f->reply.body->len, f->reply.body->data);
        struct json_t *v;
        struct json_error err;
        assert_int_equal(json_parse(f->reply.body->data, f->reply.body->len, &v, &err), ST_OK);
        assert_non_null(json_get_str(v, "message", NULL));
        assert_string_equal(json_get_str(v, "code", ""), cases[i].code);
        assert_true(json_is_object(json_get(v, "details")));
        assert_string_equal(json_get_str(json_get(v, "details"), "parameter", ""),
                            cases[i].parameter != NULL ? cases[i].parameter : "");
        json_unref(v);
        assert_true((status == 405) == (f->reply.allow != NULL));
    }
}

static void a_disabled_node_gets_403_only_with_its_token(void **state)
{
    struct fix *f = *state;
    struct db_node n;
    assert_int_equal(db_node_get(f->db, f->node, &n), ST_OK);
    n.enabled = false;
    assert_int_equal(db_node_update(f->db, &n), ST_OK);
    assert_int_equal(get(f, "config", ""), 403);
    assert_true(says(f, "NODE_DISABLED"));
    assert_int_equal(ask_as(f, "GET", "/", "action=config&node_id=1&token=other", "", ""), 401);
}

static void another_nodes_token_opens_nothing(void **state)
{
    struct fix *f = *state;
    test_db_node(f->db, "node-two-secret-token");
    assert_int_equal(
        ask_as(f, "GET", "/", "action=user&node_id=1&token=node-two-secret-token", "", ""), 401);
    assert_int_equal(
        ask_as(f, "GET", "/", "action=user&node_id=2&token=node-two-secret-token", "", ""), 200);
}

static void a_token_may_come_percent_encoded(void **state)
{
    struct fix *f = *state;
    assert_int_equal(
        ask_as(f, "GET", "/", "node_id=1&token=node%2Done-secret-token&action=user", "", ""), 200);
}

static void a_source_that_asks_too_much_is_put_off(void **state)
{
    struct fix *f = *state;
    struct panelserver_counters c;
    for (int i = 0; i < 100; i++)
        assert_int_equal(get(f, "user", ""), 200);
    assert_int_equal(get(f, "user", ""), 429);
    assert_int_equal(f->reply.retry_after_s, 1);
    f->now_us += SECOND / 10;
    assert_int_equal(get(f, "user", ""), 200);
    api_counters(f->api, &c);
    assert_int_equal(c.rate_limited, 1);
    assert_int_equal(c.requests, 102);
}

static void wrong_tokens_use_the_allowance_up_faster(void **state)
{
    struct fix *f = *state;
    int tries = 0;
    while (ask_as(f, "GET", "/", "action=config&node_id=1&token=guess", "", "") == 401)
        tries++;
    assert_int_equal(f->reply.status, 429);
    assert_int_equal(tries, 100 / API_WRONG_TOKEN_COST);
}

static void a_bad_idempotency_key_is_refused(void **state)
{
    struct fix *f = *state;
    char key[131];
    memset(key, 'k', 130);
    key[130] = '\0';
    assert_int_equal(post(f, "push", key, "{}"), 400);
    key[128] = '\0';
    assert_int_equal(post(f, "push", key, "{}"), 200);
    assert_int_equal(post(f, "push", "a\tb", "{}"), 400);
}

/* ---- the actions ----------------------------------------------------------------------------- */

static void config_is_the_flat_node_object(void **state)
{
    struct fix *f = *state;
    struct db_node n;
    assert_int_equal(db_node_get(f->db, f->node, &n), ST_OK);
    strcpy(n.network, "ws");
    strcpy(n.network_settings, "{\"path\":\"/x\",\"headers\":{\"Host\":\"h\"}}");
    n.tls = 1;
    strcpy(n.tls_settings, "{\"server_name\":\"n1.example.com\"}");
    strcpy(n.host, "1.2.3.4");
    n.push_interval = 30;
    assert_int_equal(db_node_update(f->db, &n), ST_OK);
    assert_int_equal(get(f, "config", ""), 200);
    is_text(f, "{\"node_type\":\"vless\",\"server_port\":443,\"host\":\"1.2.3.4\","
               "\"server_name\":\"n1.example.com\",\"network\":\"ws\","
               "\"networkSettings\":{\"path\":\"/x\",\"headers\":{\"Host\":\"h\"}},"
               "\"tls\":1,\"tls_settings\":{\"server_name\":\"n1.example.com\"},\"flow\":\"\","
               "\"base_config\":{\"push_interval\":30,\"pull_interval\":60},\"routes\":[]}");
}

/* Each protocol's own fields, and not another's. */
static void config_names_what_the_protocol_needs(void **state)
{
    struct fix *f = *state;
    static const struct {
        const char *type, *network, *cipher, *key, *decryption, *tls_settings, *text;
        int tls;
    } cases[] = {
        {"vless", "tcp", "", "", "mlkem768x25519plus.native.600s.K", "",
         "{\"node_type\":\"vless\",\"server_port\":443,\"network\":\"tcp\",\"networkSettings\":"
         "null,"
         "\"tls\":0,\"tls_settings\":null,\"flow\":\"\","
         "\"decryption\":\"mlkem768x25519plus.native.600s.K\",",
         0},
        {"vmess", "ws", "", "", "", "",
         "{\"node_type\":\"vmess\",\"server_port\":443,\"network\":\"ws\",\"networkSettings\":null,"
         "\"tls\":1,\"tls_settings\":null,",
         1},
        {"trojan", "tcp", "", "", "", "{\"server_name\":\"n1.example.com\"}",
         "{\"node_type\":\"trojan\",\"server_port\":443,\"server_name\":\"n1.example.com\","
         "\"network\":\"tcp\",\"networkSettings\":null,\"tls\":1,"
         "\"tls_settings\":{\"server_name\":\"n1.example.com\"},",
         1},
        {"shadowsocks", "tcp", "aes-256-gcm", "", "", "",
         "{\"node_type\":\"shadowsocks\",\"server_port\":443,\"network\":\"tcp\","
         "\"networkSettings\":null,\"tls\":0,\"tls_settings\":null,\"cipher\":\"aes-256-gcm\",",
         0},
        {"shadowsocks", "tcp", "2022-blake3-aes-128-gcm", "8JCsPssfgS8tiRwiMlhARg==", "", "",
         "{\"node_type\":\"shadowsocks\",\"server_port\":443,\"network\":\"tcp\","
         "\"networkSettings\":null,\"tls\":0,\"tls_settings\":null,"
         "\"cipher\":\"2022-blake3-aes-128-gcm\",\"server_key\":\"8JCsPssfgS8tiRwiMlhARg==\",",
         0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        struct db_node n;
        db_node_init(&n);
        n.id = f->node;
        n.port = 443;
        n.tls = cases[i].tls;
        strcpy(n.token, TEST_DB_TOKEN);
        strcpy(n.type, cases[i].type);
        strcpy(n.network, cases[i].network);
        strcpy(n.cipher, cases[i].cipher);
        strcpy(n.server_key, cases[i].key);
        strcpy(n.decryption, cases[i].decryption);
        strcpy(n.encryption, cases[i].decryption[0] != '\0' ? "client" : "");
        strcpy(n.tls_settings, cases[i].tls_settings);
        assert_int_equal(db_node_update(f->db, &n), ST_OK);
        assert_int_equal(get(f, "config", ""), 200);
        snprintf(text, sizeof text,
                 "%s\"base_config\":{\"push_interval\":60,\"pull_interval\":60},\"routes\":[]}",
                 cases[i].text);
        is_text(f, text);
    }
}

static void config_has_a_route_for_what_is_blocked(void **state)
{
    struct fix *f = *state;
    struct db_node n;
    assert_int_equal(db_node_get(f->db, f->node, &n), ST_OK);
    strcpy(n.block, "domain:a.example\nregexp:\\.\"b\"{1,2}$\nprotocol:bittorrent");
    assert_int_equal(db_node_update(f->db, &n), ST_OK);
    assert_int_equal(get(f, "config", ""), 200);
    assert_true(says(f, ",\"routes\":[{\"id\":1,\"match\":[\"domain:a.example\","
                        "\"regexp:\\\\.\\\"b\\\"{1,2}$\",\"protocol:bittorrent\"],"
                        "\"action\":\"block\",\"action_value\":null}]}"));
}

static void user_is_as_the_contract_shows_it(void **state)
{
    struct fix *f = *state;
    assert_int_equal(get(f, "user", ""), 200);
    is_text(f, "{\"users\":[]}");
    struct db_user u;
    db_user_init(&u);
    u.id = 1001;
    strcpy(u.name, "anna");
    strcpy(u.uuid, "b831381d-6324-4d53-ad4f-8cda48b30811");
    u.speed_limit = 100;
    u.device_limit = 3;
    u.conn_limit = 50;
    assert_int_equal(db_user_add(f->db, &u), ST_OK);
    test_db_user(f->db, "bert", 0, TEST_DB_NOW + 100);
    assert_int_equal(get(f, "user", ""), 200);
    assert_true(says(f,
                     "{\"users\":[{\"id\":1001,\"uuid\":\"b831381d-6324-4d53-ad4f-8cda48b30811\","
                     "\"speed_limit\":100,\"device_limit\":3,\"conn_limit\":50},{\"id\":1002,"));
    f->now_s += 100; /* bert expires without any write */
    assert_int_equal(get(f, "user", ""), 200);
    assert_false(says(f, "1002"));
}

static void unchanged_answers_are_304_in_all_forms_of_the_tag(void **state)
{
    struct fix *f = *state;
    static const char *const actions[] = {"config", "user"};
    for (int i = 0; i < 2; i++) {
        char etag[BODY_ETAG_LEN], text[128];
        assert_int_equal(get(f, actions[i], ""), 200);
        assert_true(f->reply.tagged);
        strcpy(etag, f->reply.body->etag);
        assert_int_equal(get(f, actions[i], etag), 304);
        assert_true(f->reply.tagged);
        snprintf(text, sizeof text, "W/%s", etag);
        assert_int_equal(get(f, actions[i], text), 304);
        snprintf(text, sizeof text, "\"x\" , %s", etag);
        assert_int_equal(get(f, actions[i], text), 304);
        snprintf(text, sizeof text, "%.32s", etag + 1);
        assert_int_equal(get(f, actions[i], text), 304);
        assert_int_equal(get(f, actions[i], "*"), 304);
        assert_int_equal(get(f, actions[i], "\"x\""), 200);
    }
}

static void the_tag_changes_with_the_users(void **state)
{
    struct fix *f = *state;
    char etag[BODY_ETAG_LEN];
    assert_int_equal(get(f, "user", ""), 200);
    strcpy(etag, f->reply.body->etag);
    int64_t id = test_db_user(f->db, "anna", 1000, 0);
    assert_int_equal(get(f, "user", etag), 200);
    strcpy(etag, f->reply.body->etag);
    char body[64];
    snprintf(body, sizeof body, "{\"%lld\":[600,400]}", (long long)id);
    assert_int_equal(post(f, "push", "k", body), 200);
    assert_int_equal(get(f, "user", etag), 200); /* over quota now */
    is_text(f, "{\"users\":[]}");
}

static void push_is_applied_once_a_key(void **state)
{
    struct fix *f = *state;
    struct db_user u;
    struct panelserver_counters c;
    test_db_user(f->db, "anna", 0, 0);
    assert_int_equal(post(f, "push", "n1-b1-1", "{\"1\":[10,20],\"55\":[1,1]}"), 200);
    is_text(f, "{\"message\":\"ok\"}");
    assert_int_equal(post(f, "push", "n1-b1-1", "{\"1\":[10,20],\"55\":[1,1]}"), 200);
    is_text(f, "{\"message\":\"ok\"}");
    assert_int_equal(post(f, "push", "n1-b1-1", "{\"1\":[10,21],\"55\":[1,1]}"), 409);
    assert_true(says(f, "KEY_REUSED"));
    assert_int_equal(post(f, "push", "", "{\"1\":[1,1]}"), 200);
    assert_int_equal(post(f, "push", "", "{\"1\":[1,1]}"), 200);
    assert_int_equal(db_user_get(f->db, 1, &u), ST_OK);
    assert_int_equal(u.up, 12);
    assert_int_equal(u.down, 22);
    api_counters(f->api, &c);
    assert_int_equal(c.pushes, 3);
    assert_int_equal(c.replays, 1);
    assert_int_equal(c.unknown, 1);
    assert_int_equal(c.up, 12);
}

static void a_broken_push_adds_nothing_and_burns_no_key(void **state)
{
    struct fix *f = *state;
    struct db_user u;
    test_db_user(f->db, "anna", 0, 0);
    assert_int_equal(post(f, "push", "k", "{\"1\":[10,20],\"2\":[-1,0]}"), 400);
    assert_true(says(f, "negative"));
    assert_int_equal(post(f, "push", "k", "{\"1\":[10,"), 400);
    assert_int_equal(db_user_get(f->db, 1, &u), ST_OK);
    assert_int_equal(u.up, 0);
    assert_int_equal(post(f, "push", "k", "{\"1\":[10,20]}"), 200);
}

static void alive_feeds_alivelist(void **state)
{
    struct fix *f = *state;
    assert_int_equal(get(f, "alivelist", ""), 200);
    is_text(f, "{\"alive\":{}}");
    assert_false(f->reply.tagged);
    test_db_user(f->db, "anna", 0, 0);
    test_db_user(f->db, "bert", 0, 0);
    assert_int_equal(
        post(f, "alive", "", "{\"1\":[\"1.2.3.4\",\"5.6.7.8\"],\"2\":[\"9.10.11.12\"]}"), 200);
    is_text(f, "{\"message\":\"ok\"}");
    assert_int_equal(get(f, "alivelist", ""), 200);
    is_text(f, "{\"alive\":{\"1\":2,\"2\":1}}");
    f->now_s += DB_ALIVE_TTL_S;
    assert_int_equal(get(f, "alivelist", ""), 200);
    is_text(f, "{\"alive\":{}}");
    assert_int_equal(post(f, "alive", "", "{\"1\":[\"nonsense\"]}"), 400);
}

/* ---- the cache ------------------------------------------------------------------------------- */

static void nodes_without_users_of_their_own_share_one_list(void **state)
{
    struct fix *f = *state;
    struct user_cache c;
    struct body *one, *two, *own;
    int64_t other = test_db_node(f->db, "node-two-secret-token");
    int64_t third = test_db_node(f->db, "node-three-secret-token");
    test_db_user(f->db, "anna", 0, 0);
    int64_t bert = test_db_user(f->db, "bert", 0, 0);
    assert_int_equal(db_user_set_nodes(f->db, bert, &third, 1), ST_OK);
    user_cache_init(&c);
    assert_int_equal(user_cache_get(&c, f->db, f->node, TEST_DB_NOW, &one), ST_OK);
    assert_int_equal(user_cache_get(&c, f->db, other, TEST_DB_NOW, &two), ST_OK);
    assert_ptr_equal(one, two);
    assert_int_equal(user_cache_get(&c, f->db, third, TEST_DB_NOW, &own), ST_OK);
    assert_true(own->len > one->len);
    assert_int_equal(c.built, 2);
    body_unref(one);
    body_unref(two);
    body_unref(own);
    user_cache_fini(&c);
}

static void more_nodes_than_places_still_get_their_lists(void **state)
{
    struct fix *f = *state;
    struct user_cache c;
    struct body *b;
    user_cache_init(&c);
    for (int i = 0; i < USER_CACHE_ENTRIES + 3; i++) {
        char text[32];
        snprintf(text, sizeof text, "token-of-node-%d", i);
        int64_t node = test_db_node(f->db, text);
        snprintf(text, sizeof text, "user%d", i);
        int64_t id = test_db_user(f->db, text, 0, 0);
        assert_int_equal(db_user_set_nodes(f->db, id, &node, 1), ST_OK);
    }
    for (int round = 0; round < 2; round++) {
        for (int64_t node = f->node + 1; node <= f->node + USER_CACHE_ENTRIES + 3; node++) {
            assert_int_equal(user_cache_get(&c, f->db, node, TEST_DB_NOW, &b), ST_OK);
            char want[32];
            snprintf(want, sizeof want, "{\"id\":%lld,", (long long)(node - f->node));
            assert_non_null(memmem(b->data, b->len, want, strlen(want)));
            body_unref(b);
        }
    }
    user_cache_fini(&c);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_mistake_has_its_status_code_and_parameter),
        T(a_disabled_node_gets_403_only_with_its_token),
        T(another_nodes_token_opens_nothing),
        T(a_token_may_come_percent_encoded),
        T(a_source_that_asks_too_much_is_put_off),
        T(wrong_tokens_use_the_allowance_up_faster),
        T(a_bad_idempotency_key_is_refused),
        T(config_is_the_flat_node_object),
        T(config_names_what_the_protocol_needs),
        T(config_has_a_route_for_what_is_blocked),
        T(user_is_as_the_contract_shows_it),
        T(unchanged_answers_are_304_in_all_forms_of_the_tag),
        T(the_tag_changes_with_the_users),
        T(push_is_applied_once_a_key),
        T(a_broken_push_adds_nothing_and_burns_no_key),
        T(alive_feeds_alivelist),
        T(nodes_without_users_of_their_own_share_one_list),
        T(more_nodes_than_places_still_get_their_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
