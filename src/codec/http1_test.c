#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/http1.h"

static enum status request(const char *text, struct http1_head *h)
{
    struct http1_scan scan = {0};
    return http1_parse_request(text, strlen(text), &scan, h);
}

static void assert_str(struct http1_str s, const char *want)
{
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(s.p, want, s.len);
}

static const char ws_request[] = "GET /ws%20x?ed=2048&b HTTP/1.1\r\n"
                                 "Host: h.example:8080\r\n"
                                 "Connection: keep-alive, Upgrade\r\n"
                                 "Upgrade:  websocket \t\r\n"
                                 "X-Empty:\r\n"
                                 "x-two: a\r\n"
                                 "X-Two: b , ,C\r\n"
                                 "\r\nrest";

static void test_request(void **state)
{
    (void)state;
    struct http1_head h;
    struct http1_str v;
    char path[64];
    size_t len;
    assert_int_equal(request(ws_request, &h), ST_OK);
    assert_int_equal(h.size, strlen(ws_request) - 4);
    assert_str(h.method, "GET");
    assert_str(h.target, "/ws%20x?ed=2048&b");
    assert_str(h.path, "/ws%20x");
    assert_str(h.query, "ed=2048&b");
    assert_str(h.host, "h.example:8080");
    assert_int_equal(h.minor, 1);
    assert_int_equal(h.body, HTTP1_BODY_NONE);
    assert_true(h.keep_alive);
    assert_int_equal(http1_path_decode(&h, path, &len), ST_OK);
    assert_string_equal(path, "/ws x");
    assert_true(http1_field_get(&h, "UPGRADE", &v));
    assert_str(v, "websocket");
    assert_true(http1_field_get(&h, "x-empty", &v));
    assert_str(v, "");
    assert_false(http1_field_get(&h, "x-tw", &v));
    assert_true(http1_field_has_token(&h, "connection", "upgrade"));
    assert_true(http1_field_has_token(&h, "x-two", "c"));
    assert_true(http1_field_has_token(&h, "x-two", "A"));
    assert_false(http1_field_has_token(&h, "x-two", ""));
    assert_false(http1_field_has_token(&h, "connection", "keep"));
}

static void test_every_prefix_wants_more(void **state)
{
    (void)state;
    struct http1_scan scan = {0};
    struct http1_head h;
    size_t whole = strlen(ws_request) - 4;
    for (size_t n = 0; n < whole; n++)
        assert_int_equal(http1_parse_request(ws_request, n, &scan, &h), ST_MORE);
    /* The buffer may have moved between the calls. */
    char copy[sizeof(ws_request)];
    memcpy(copy, ws_request, sizeof(copy));
    assert_int_equal(http1_parse_request(copy, whole, &scan, &h), ST_OK);
    assert_ptr_equal(h.method.p, copy);
    assert_str(h.host, "h.example:8080");
}

static void test_target_forms(void **state)
{
    (void)state;
    struct http1_head h;
    assert_int_equal(request("GET http://a.example:81/p?q HTTP/1.1\r\nHost: b\r\n\r\n", &h), ST_OK);
    assert_str(h.host, "a.example:81");
    assert_str(h.path, "/p");
    assert_str(h.query, "q");
    assert_int_equal(request("GET http://a.example?q HTTP/1.1\r\nHost: b\r\n\r\n", &h), ST_OK);
    assert_str(h.path, "/");
    assert_str(h.query, "q");
    assert_int_equal(request("OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n", &h), ST_OK);
    assert_str(h.path, "*");
    assert_int_equal(request("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", &h), ST_OK);
    assert_str(h.host, "a:1");
    assert_int_equal(h.path.len, 0);
    assert_int_equal(request("GET / HTTP/1.0\r\n\r\n", &h), ST_OK);
    assert_false(h.keep_alive);
    assert_int_equal(h.host.len, 0);
    assert_int_equal(request("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &h), ST_OK);
    assert_true(h.keep_alive);
    assert_int_equal(request("GET / HTTP/1.1\r\nHost:\r\nConnection: x, close\r\n\r\n", &h), ST_OK);
    assert_false(h.keep_alive);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\r\n",
        "\n",
        "GET / HTTP/1.1\n",
        "GET\r\n",
        "GET /\r\n",
        " GET / HTTP/1.1\r\n",
        "GET  / HTTP/1.1\r\n",
        "GET / HTTP/1.1 \r\n",
        "GET /a b HTTP/1.1\r\n",
        "GET /\x01 HTTP/1.1\r\n",
        "G(T / HTTP/1.1\r\n",
        "GET x HTTP/1.1\r\n",
        "GET * HTTP/1.1\r\n",
        "GET ftp://a/ HTTP/1.1\r\n",
        "GET http:/// HTTP/1.1\r\n",
        "GET http://u@h/ HTTP/1.1\r\n",
        "GET / http/1.1\r\n",
        "GET / HTTP/1.x\r\n",
        "GET / HTTP/11\r\n",
        "\x16\x03\x01\x02\x01\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n",
        "GET / HTTP/1.1\r\n: a\r\n",
        "GET / HTTP/1.1\r\nHost\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n folded\r\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\n",
        "GET / HTTP/1.1\r\nA: b\x7f\r\n",
        "GET / HTTP/1.1\r\nA: b\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct http1_head h;
        if (request(bad[i], &h) != ST_E_PROTO)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void test_a_nul_is_refused(void **state)
{
    (void)state;
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n";
    struct http1_scan scan = {0};
    struct http1_head h;
    assert_int_equal(http1_parse_request(text, sizeof(text) - 1, &scan, &h), ST_E_PROTO);
}

static void test_body_is_unambiguous(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        enum status st;
        enum http1_body body;
    } cases[] = {
        {"Content-Length: 5\r\n", ST_OK, HTTP1_BODY_LENGTH},
        {"Content-Length: 0\r\n", ST_OK, HTTP1_BODY_LENGTH},
        {"Transfer-Encoding: Chunked\r\n", ST_OK, HTTP1_BODY_CHUNKED},
        {"Content-Length: 5\r\nContent-Length: 5\r\n", ST_E_PROTO, 0},
        {"Content-Length: 5, 5\r\n", ST_E_PROTO, 0},
        {"Content-Length: +5\r\n", ST_E_PROTO, 0},
        {"Content-Length: -5\r\n", ST_E_PROTO, 0},
        {"Content-Length: 0x5\r\n", ST_E_PROTO, 0},
        {"Content-Length: 5 5\r\n", ST_E_PROTO, 0},
        {"Content-Length:\r\n", ST_E_PROTO, 0},
        {"Content-Length: 9999999999999999999\r\n", ST_E_PROTO, 0},
        {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", ST_E_PROTO, 0},
        {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", ST_E_PROTO, 0},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ST_E_PROTO, 0},
        {"Transfer-Encoding: gzip, chunked\r\n", ST_E_UNSUPPORTED, 0},
        {"Transfer-Encoding: chunked, identity\r\n", ST_E_UNSUPPORTED, 0},
        {"Transfer-Encoding: xchunked\r\n", ST_E_UNSUPPORTED, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[200] = "POST / HTTP/1.1\r\nHost: a\r\n";
        struct http1_head h;
        strcat(text, cases[i].fields);
        strcat(text, "\r\n");
        if (request(text, &h) != cases[i].st)
            fail_msg("wrong answer to: %s", cases[i].fields);
        if (cases[i].st == ST_OK)
            assert_int_equal(h.body, cases[i].body);
    }
    struct http1_head h;
    assert_int_equal(request("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", &h),
                     ST_E_PROTO);
}

static void test_versions(void **state)
{
    (void)state;
    struct http1_head h;
    assert_int_equal(request("PRI * HTTP/2.0\r\n\r\n", &h), ST_E_UNSUPPORTED);
    assert_int_equal(h.minor, HTTP1_MINOR_OTHER);
    assert_int_equal(request("GET / HTTP/1.9\r\nHost: a\r\n\r\n", &h), ST_OK);
    assert_int_equal(h.minor, 1);
    assert_int_equal(request("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", &h),
                     ST_E_UNSUPPORTED);
    assert_int_equal(h.minor, 1);
}

static void test_limit(void **state)
{
    (void)state;
    static char text[HTTP1_HEAD_MAX + 100];
    struct http1_head h;
    struct http1_scan scan = {0};
    memset(text, 'a', sizeof(text));
    memcpy(text, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
    assert_int_equal(http1_parse_request(text, HTTP1_HEAD_MAX - 1, &scan, &h), ST_MORE);
    assert_int_equal(http1_parse_request(text, HTTP1_HEAD_MAX, &scan, &h), ST_E_LIMIT);
    memcpy(text + HTTP1_HEAD_MAX - 4, "\r\n\r\n", 4);
    scan = (struct http1_scan){0};
    assert_int_equal(http1_parse_request(text, sizeof(text), &scan, &h), ST_OK);
    assert_int_equal(h.size, HTTP1_HEAD_MAX);
}

static enum status response(const char *text, struct http1_head *h)
{
    struct http1_scan scan = {0};
    return http1_parse_response(text, strlen(text), &scan, h);
}

static void test_response(void **state)
{
    (void)state;
    struct http1_head h;
    assert_int_equal(response("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", &h),
                     ST_OK);
    assert_int_equal(h.status, 101);
    assert_int_equal(h.body, HTTP1_BODY_NONE);
    assert_str(h.reason, "Switching Protocols");
    assert_int_equal(response("HTTP/1.1 200\r\n\r\n", &h), ST_OK);
    assert_int_equal(h.body, HTTP1_BODY_CLOSE);
    assert_int_equal(response("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", &h), ST_OK);
    assert_int_equal(h.body, HTTP1_BODY_LENGTH);
    assert_int_equal(response("HTTP/1.1 099 x\r\n\r\n", &h), ST_E_PROTO);
    assert_int_equal(response("HTTP/1.1 2000\r\n\r\n", &h), ST_E_PROTO);
    assert_int_equal(response("HTTP/1.1 20x OK\r\n\r\n", &h), ST_E_PROTO);
    assert_int_equal(response("HTTP/1.1\r\n\r\n", &h), ST_E_PROTO);
}

static void test_query(void **state)
{
    (void)state;
    const char *text = "action=config&node%5Fid=1&&flag&e=a%20b%2B+c&e=2&bad=%zz&nul=%00";
    struct http1_str q = {text, strlen(text)}, k, v, walk = q;
    char out[16];
    size_t pairs = 0;
    while (http1_query_next(&walk, &k, &v))
        pairs++;
    assert_int_equal(pairs, 7);
    assert_int_equal(http1_query_get(q, "action", out, sizeof(out)), ST_OK);
    assert_string_equal(out, "config");
    assert_int_equal(http1_query_get(q, "node_id", out, sizeof(out)), ST_OK);
    assert_string_equal(out, "1");
    assert_int_equal(http1_query_get(q, "flag", out, sizeof(out)), ST_OK);
    assert_string_equal(out, "");
    assert_int_equal(http1_query_get(q, "e", out, sizeof(out)), ST_OK);
    assert_string_equal(out, "a b+ c");
    assert_int_equal(http1_query_get(q, "missing", out, sizeof(out)), ST_E_NOTFOUND);
    assert_int_equal(http1_query_get(q, "action", out, 6), ST_E_LIMIT);
    assert_int_equal(http1_query_get(q, "bad", out, sizeof(out)), ST_E_PROTO);
    assert_int_equal(http1_query_get(q, "nul", out, sizeof(out)), ST_E_PROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),          cmocka_unit_test(test_every_prefix_wants_more),
        cmocka_unit_test(test_target_forms),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_a_nul_is_refused), cmocka_unit_test(test_body_is_unambiguous),
        cmocka_unit_test(test_versions),         cmocka_unit_test(test_limit),
        cmocka_unit_test(test_response),         cmocka_unit_test(test_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
