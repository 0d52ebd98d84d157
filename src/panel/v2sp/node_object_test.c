#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/json.h"
#include "panel/v2sp/node_object.h"
#include "panel/v2sp/outcome.h"

static struct json_t *parse(const char *text)
{
    struct json_t *v = NULL;
    struct json_error e;

    assert_int_equal(json_parse(text, strlen(text), &v, &e), ST_OK);
    return v;
}

static void flat_object(void **state)
{
    (void)state;
    struct json_t *v = parse("{\"node_type\":\"vless\",\"server_port\":\"443\",\"network\":\"ws\","
                             "\"network_settings\":{\"path\":\"/s\"},"
                             "\"networkSettings\":{\"path\":\"/"
                             "c\"},\"tls\":\"2\",\"tls_settings\":[],\"flow\":\"\",\"host\":\"h\","
                             "\"routes\":[{\"match\":[],\"action\":\"dns\"}],"
                             "\"base_config\":{\"push_interval\":\"60\",\"pull_interval\":30.0}}");
    struct v2sp_node_object o;
    struct v2sp_reply_error err;

    assert_int_equal(v2sp_node_object_read(v, 7, &o, &err), ST_OK);
    assert_string_equal(o.node_type, "vless");
    assert_int_equal(o.server_port, 443);
    assert_int_equal(o.tls, 2);
    assert_string_equal(json_get_str(o.network_settings, "path", ""), "/c");
    assert_null(o.tls_settings);
    assert_null(o.flow);
    assert_null(o.options);
    assert_int_equal(o.push_interval, 60);
    assert_int_equal(o.pull_interval, 30);
    assert_int_equal(o.node_report_min_traffic, -1);
    json_unref(v);
}

static void null_setting_is_absent(void **state)
{
    (void)state;
    struct json_t *v =
        parse("{\"protocol\":\"trojan\",\"server_port\":1,\"network_settings\":{\"path\":\"/s\"},"
              "\"networkSettings\":null}");
    struct v2sp_node_object o;
    struct v2sp_reply_error err;

    assert_int_equal(v2sp_node_object_read(v, 7, &o, &err), ST_OK);
    assert_string_equal(o.node_type, "trojan");
    assert_string_equal(json_get_str(o.network_settings, "path", ""), "/s");
    assert_int_equal(o.tls, -1);
    assert_int_equal(o.pull_interval, -1);
    json_unref(v);
}

static void whole_file(void **state)
{
    (void)state;
    struct json_t *v = parse(
        "{\"Log\":{},\"Nodes\":[{\"NodeID\":1,\"NodeType\":\"vmess\",\"server_port\":1},"
        "{\"NodeID\":\"7\",\"NodeType\":\"vless\",\"server_port\":8443,\"ListenIP\":\"::\"}]}");
    struct v2sp_node_object o;
    struct v2sp_reply_error err;

    assert_int_equal(v2sp_node_object_read(v, 7, &o, &err), ST_OK);
    assert_string_equal(o.node_type, "vless");
    assert_int_equal(o.server_port, 8443);
    assert_string_equal(json_get_str(o.options, "ListenIP", ""), "::");
    assert_int_equal(v2sp_node_object_read(v, 8, &o, &err), ST_E_PROTO);
    json_unref(v);
    /* Both shapes in one: the top level wins, the entry gives the options. */
    v = parse("{\"server_port\":5,\"node_type\":\"vless\",\"nodes\":[{\"server_port\":6,"
              "\"EnableTFO\":true}]}");
    assert_int_equal(v2sp_node_object_read(v, 8, &o, &err), ST_OK);
    assert_int_equal(o.server_port, 5);
    assert_true(json_get_bool(o.options, "EnableTFO", false));
    json_unref(v);
}

static void unusable(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[]",
        "{}",
        "5",
        "{\"status\":\"fail\",\"message\":\"server is not exist\"}",
        "{\"message\":\"Invalid token\"}",
        "{\"server_port\":\"x\"}",
        "{\"server_port\":70000}",
        "{\"server_port\":-1}",
        "{\"server_port\":1,\"base_config\":{\"push_interval\":\"soon\"}}",
        "{\"Nodes\":[{\"NodeID\":9}]}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct json_t *v = parse(bad[i]);
        struct v2sp_node_object o;
        struct v2sp_reply_error err;
        assert_int_equal(v2sp_node_object_read(v, 7, &o, &err), ST_E_PROTO);
        assert_true(err.text[0] != '\0');
        json_unref(v);
    }
}

static void hash_sees_meaning(void **state)
{
    (void)state;
    static const char *const same[] = {
        "{\"a\":1,\"b\":{\"c\":[1,2],\"d\":\"x\"}}",
        "{ \"b\" : {\"d\":\"x\",\"c\":[1.0,\"2\"]},\n\"a\":\"1\"}",
    };
    static const char *const other[] = {
        "{\"a\":1,\"b\":{\"c\":[2,1],\"d\":\"x\"}}",
        "{\"a\":2,\"b\":{\"c\":[1,2],\"d\":\"x\"}}",
        "{\"a\":1,\"b\":{\"c\":[1,2],\"d\":\"y\"}}",
        "{\"a\":1,\"b\":{\"c\":[1,2]},\"d\":\"x\"}",
        "{\"a\":1,\"b\":{\"c\":[1,2],\"d\":\"x\",\"e\":null}}",
    };
    struct json_t *a = parse(same[0]), *b = parse(same[1]);

    assert_true(v2sp_node_object_hash(a) == v2sp_node_object_hash(b));
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        struct json_t *c = parse(other[i]);
        assert_true(v2sp_node_object_hash(a) != v2sp_node_object_hash(c));
        json_unref(c);
    }
    json_unref(a);
    json_unref(b);
}

static void outcomes(void **state)
{
    (void)state;
    assert_int_equal(v2sp_outcome_of(0, false, false), V2SP_UNREACHABLE);
    assert_int_equal(v2sp_outcome_of(0, true, false), V2SP_CUT);
    assert_int_equal(v2sp_outcome_of(200, true, false), V2SP_DONE);
    assert_int_equal(v2sp_outcome_of(204, true, false), V2SP_DONE);
    assert_int_equal(v2sp_outcome_of(304, true, false), V2SP_UNCHANGED);
    assert_int_equal(v2sp_outcome_of(302, true, false), V2SP_REDIRECTED);
    assert_int_equal(v2sp_outcome_of(403, true, true), V2SP_DENIED);
    assert_int_equal(v2sp_outcome_of(404, true, false), V2SP_UNKNOWN_NODE);
    assert_int_equal(v2sp_outcome_of(404, true, true), V2SP_NO_ACTION);
    assert_int_equal(v2sp_outcome_of(422, true, false), V2SP_REJECTED);
    assert_int_equal(v2sp_outcome_of(503, true, false), V2SP_TROUBLE);

    assert_int_equal(v2sp_outcome_applied(V2SP_DONE, 200), V2SP_APPLIED);
    assert_int_equal(v2sp_outcome_applied(V2SP_UNREACHABLE, 0), V2SP_NOT_APPLIED);
    assert_int_equal(v2sp_outcome_applied(V2SP_CUT, 0), V2SP_MAYBE_APPLIED);
    assert_int_equal(v2sp_outcome_applied(V2SP_TROUBLE, 502), V2SP_MAYBE_APPLIED);
    assert_int_equal(v2sp_outcome_applied(V2SP_TROUBLE, 500), V2SP_MAYBE_APPLIED);
    assert_int_equal(v2sp_outcome_applied(V2SP_TROUBLE, 503), V2SP_NOT_APPLIED);
    assert_int_equal(v2sp_outcome_applied(V2SP_DENIED, 401), V2SP_NOT_APPLIED);
}

static void delays(void **state)
{
    (void)state;
    uint64_t prev = 0;

    for (uint32_t r = 0; r < 50000; r += 977) {
        uint64_t j = v2sp_outcome_jitter_ms(60000, r);
        assert_in_range(j, 54000, 66000);
        assert_in_range(v2sp_outcome_delay_ms(V2SP_DENIED, 1, 60000, 0, r), 54000, 66000);
        assert_in_range(v2sp_outcome_delay_ms(V2SP_DENIED, 99, 60000, 0, r), 540000, 660000);
        assert_in_range(v2sp_outcome_delay_ms(V2SP_UNREACHABLE, 1, 60000, 0, r), 4500, 5500);
        assert_in_range(v2sp_outcome_delay_ms(V2SP_UNREACHABLE, 50, 60000, 0, r), 54000, 66000);
    }
    for (unsigned i = 1; i < 5; i++) {
        uint64_t d = v2sp_outcome_delay_ms(V2SP_CUT, i, 60000, 0, 0);
        assert_true(d > prev);
        prev = d;
    }
    assert_true(v2sp_outcome_delay_ms(V2SP_TROUBLE, 1, 60000, 120, 0) >= 120000);
    assert_true(v2sp_outcome_delay_ms(V2SP_TROUBLE, 1, 60000, 86400, 0) == 600000);
    assert_in_range(v2sp_outcome_delay_ms(V2SP_DONE, 0, 5000, 0, 0), 4500, 5500);
}

static void messages(void **state)
{
    (void)state;
    char t[256];

    v2sp_outcome_message(t, sizeof(t), "{\"message\":\"Invalid\\ntoken\"}", 28);
    assert_string_equal(t, "Invalid token");
    v2sp_outcome_message(t, sizeof(t), " <!DOCTYPE html>", 16);
    assert_string_equal(t, "an HTML page, no API answer");
    v2sp_outcome_message(t, sizeof(t), "Bad Gateway\n", 12);
    assert_string_equal(t, "Bad Gateway ");
    v2sp_outcome_message(t, sizeof(t), "", 0);
    assert_string_equal(t, "");
    assert_false(v2sp_outcome_is_html("{}", 2));
    assert_true(v2sp_outcome_is_html("\xef\xbb\xbf\r\n<", 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flat_object),
        cmocka_unit_test(null_setting_is_absent),
        cmocka_unit_test(whole_file),
        cmocka_unit_test(unusable),
        cmocka_unit_test(hash_sees_meaning),
        cmocka_unit_test(outcomes),
        cmocka_unit_test(delays),
        cmocka_unit_test(messages),
    };
    return cmocka_run_group_tests_name("v2sp_node_object", tests, NULL, NULL);
}
