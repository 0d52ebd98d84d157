#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "codec/json.h"
#include "codec/test_vectors.h"
#include "panel/v2sp/request.h"

/* "GET /path?query" of the vectors against our address of the same host. */
static void check_line(const struct json_t *requests, const char *name, enum v2sp_action action)
{
    struct v2sp_peer peer = {
        .api_host = "http://H/api/v2sp", .token = "k y", .node_type = "", .node_id = 7};
    char url[V2SP_URL_MAX];
    const char *line = json_get_str(json_get(requests, name), "line", NULL);

    assert_non_null(line);
    assert_int_equal(v2sp_request_url(url, sizeof(url), &peer, action), ST_OK);
    assert_string_equal(strstr(line, " /") + 1, url + strlen("http://H"));
}

static void request_lines(void **state)
{
    (void)state;
    struct json_t *v = test_vectors("src/panel/v2sp/testdata/panel.json");
    const struct json_t *r = json_get(v, "requests");

    check_line(r, "config_first", V2SP_CONFIG);
    check_line(r, "user", V2SP_USER);
    check_line(r, "push", V2SP_PUSH);
    check_line(r, "alive", V2SP_ALIVE);
    json_unref(v);
}

static void address_forms(void **state)
{
    (void)state;
    struct json_t *v = test_vectors("src/panel/v2sp/testdata/panel.json");
    const struct json_t *forms = json_get(json_get(v, "requests"), "url_forms");

    assert_int_equal(json_array_len(forms), 5);
    for (size_t i = 0; i < json_array_len(forms); i++) {
        struct v2sp_peer peer = {.api_host = json_str(json_at(json_at(forms, i), 0)),
                                 .token = "k",
                                 .node_type = "V2ray",
                                 .node_id = 7};
        char want[256], url[V2SP_URL_MAX];
        snprintf(want, sizeof(want), "http://H%s", json_str(json_at(json_at(forms, i), 1)));
        char *dots = strstr(want, "...");
        if (dots != NULL)
            strcpy(dots, "node_id=7&node_type=vmess&token=k");
        assert_int_equal(v2sp_request_url(url, sizeof(url), &peer, V2SP_CONFIG), ST_OK);
        assert_string_equal(url, want);
    }
    json_unref(v);
}

static void bad_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {"",          "panel.example", "ftp://h/",   "http://",
                                      "http:///x", "http://h/a b",  "http://h/#x"};
    char url[V2SP_URL_MAX];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct v2sp_peer peer = {.api_host = bad[i], .token = "t", .node_id = 1};
        assert_int_equal(v2sp_request_url(url, sizeof(url), &peer, V2SP_USER), ST_E_CONFIG);
    }
    struct v2sp_peer peer = {.api_host = "http://h", .token = "&=%/ü", .node_id = 1};
    assert_int_equal(v2sp_request_url(url, sizeof(url), &peer, V2SP_USER), ST_OK);
    assert_string_equal(url, "http://h?action=user&node_id=1&token=%26%3D%25%2F%C3%BC");
    size_t len = strlen(url);
    assert_int_equal(v2sp_request_url(url, len, &peer, V2SP_USER), ST_E_LIMIT);
    assert_int_equal(v2sp_request_url(url, len + 1, &peer, V2SP_USER), ST_OK);
}

static void shown_address_has_no_secret(void **state)
{
    (void)state;
    char t[64];

    assert_string_equal(v2sp_request_shown(t, sizeof(t), "https://u:p@h:8/api?token=x"),
                        "https://h:8/api");
    assert_string_equal(v2sp_request_shown(t, sizeof(t), "http://h?token=a@b"), "http://h");
    assert_string_equal(v2sp_request_shown(t, 10, "http://host/long"), "http://ho");
    assert_string_equal(v2sp_request_shown(t, sizeof(t), "http://u@p@h/"), "http://h/");
}

static void bodies(void **state)
{
    (void)state;
    char t[1024];
    struct v2sp_body b;
    struct json_t *v = test_vectors("src/panel/v2sp/testdata/panel.json");
    const struct json_t *r = json_get(v, "requests");

    v2sp_body_open(&b, t);
    v2sp_body_traffic(&b, 1001, 104857600, 209715200);
    v2sp_body_traffic(&b, 1002, 5, 6);
    v2sp_body_close(&b);
    t[b.len] = '\0';
    assert_string_equal(t, json_get_str(json_get(r, "push"), "body", NULL));

    struct addr v4 = {0}, v6 = {0}, mapped = {0};
    assert_int_equal(addr_parse_ip(&v4, "1.2.3.4", 7), ST_OK);
    assert_int_equal(addr_parse_ip(&v6, "2001:DB8::1", 11), ST_OK);
    assert_int_equal(addr_parse_ip(&mapped, "::ffff:1.2.3.4", 14), ST_OK);
    v2sp_body_open(&b, t);
    v2sp_body_user(&b, 1001);
    v2sp_body_ip(&b, &v4);
    v2sp_body_ip(&b, &v6);
    v2sp_body_close(&b);
    t[b.len] = '\0';
    assert_string_equal(t, json_get_str(json_get(r, "alive"), "body", NULL));

    v2sp_body_open(&b, t);
    v2sp_body_user(&b, UINT64_MAX);
    v2sp_body_user(&b, 2);
    v2sp_body_ip(&b, &mapped);
    v2sp_body_close(&b);
    t[b.len] = '\0';
    assert_string_equal(t, "{\"18446744073709551615\":[],\"2\":[\"1.2.3.4\"]}");

    v2sp_body_open(&b, t);
    v2sp_body_close(&b);
    assert_memory_equal(t, "{}", b.len);
    json_unref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_lines), cmocka_unit_test(address_forms),
        cmocka_unit_test(bad_addresses), cmocka_unit_test(shown_address_has_no_secret),
        cmocka_unit_test(bodies),
    };
    return cmocka_run_group_tests_name("v2sp_request", tests, NULL, NULL);
}
