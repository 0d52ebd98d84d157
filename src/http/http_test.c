#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "codec/json.h"
#include "codec/test_vectors.h"
#include "http/answer.h"
#include "http/forwarded.h"
#include "http/host_path.h"

/* Vectors of the real server: testdata/http_transports.json. */
static struct json_t *vectors;

static int load_vectors(void **state)
{
    (void)state;
    vectors = test_vectors("src/http/testdata/http_transports.json");
    return 0;
}

static int drop_vectors(void **state)
{
    (void)state;
    json_unref(vectors);
    return 0;
}

static struct http1_str str(const char *text)
{
    return (struct http1_str){text, strlen(text)};
}

static void test_host_vectors(void **state)
{
    (void)state;
    const struct json_t *cases = json_get(vectors, "host_check");
    assert_int_equal(json_array_len(cases), 10);
    for (size_t i = 0; i < json_array_len(cases); i++) {
        const struct json_t *c = json_at(cases, i);
        const char *host = json_get_str(c, "request_host", "");
        if (http_host_matches(json_get_str(c, "configured", ""), str(host)) !=
            json_get_bool(c, "ok", false))
            fail_msg("host %s", host);
    }
    assert_false(http_host_matches("h", str("")));
    assert_false(http_host_matches("h", str(":")));
    assert_false(http_host_matches("h", str("[h")));
    assert_false(http_host_matches("h", str("h:1:2")));
}

static void test_path_vectors(void **state)
{
    (void)state;
    const struct json_t *cases = json_get(vectors, "ws_paths");
    assert_int_equal(json_array_len(cases), 11);
    for (size_t i = 0; i < json_array_len(cases); i++) {
        const struct json_t *c = json_at(cases, i);
        const char *want = json_get_str(c, "normalized", "");
        struct arena *a = arena_new();
        struct http_path p;
        assert_int_equal(http_path_parse(a, json_get_str(c, "path", ""), &p), ST_OK);
        assert_string_equal(p.text, want);
        assert_int_equal(p.text_len, strlen(want));
        assert_int_equal(p.early_data, json_get_int(c, "ed", -1));
        assert_true(http_path_matches(&p, want, strlen(want)));
        arena_free(a);
    }
}

static void test_path_compare(void **state)
{
    (void)state;
    static const struct {
        const char *configured, *request;
        bool ok;
    } cases[] = {
        {NULL, "/", true},
        {"/ws", "/ws", true},
        {"/ws", "/WS", false},
        {"/ws", "/ws/", false},
        {"/ws", "/w", false},
        {"/ws", "/ws?ed=2048", true}, /* %3F of sing-box, decoded */
        {"/ws?ed=1024", "/ws?ed=2048", true},
        {"/ws", "/ws?ed=", false},
        {"/ws", "/ws?ed=2x", false},
        {"/ws", "/ws?x=1", false},
        {"/ws", "?ed=1", false},
        {"/a%2Fb", "/a/b", true},
        {"/a%2Fb", "/a%2Fb", true},
        {"/a%zz", "/a%zz", true},
        {"/ws?a=1&ed=5&b", "/ws?a=1&b", true},
        {"/ws?ed=9&ed=7", "/ws", true},
        {"?ed=9", "/", true},
        {"?", "/?", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arena *a = arena_new();
        struct http_path p;
        assert_int_equal(http_path_parse(a, cases[i].configured, &p), ST_OK);
        if (http_path_matches(&p, cases[i].request, strlen(cases[i].request)) != cases[i].ok)
            fail_msg("%s against %s", cases[i].configured, cases[i].request);
        arena_free(a);
    }
}

static struct http1_head request(char *buf, size_t cap, const char *fields)
{
    struct http1_scan scan = {0};
    struct http1_head h;
    int n = snprintf(buf, cap, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    assert_int_equal(http1_parse_request(buf, (size_t)n, &scan, &h), ST_OK);
    return h;
}

static void test_forwarded_vectors(void **state)
{
    (void)state;
    static const char *const trusted[] = {"X-Other", "CF-Ray"};
    const struct json_t *cases = json_get(vectors, "x_forwarded_for_first");
    assert_int_equal(json_array_len(cases), 10);
    for (size_t i = 0; i < json_array_len(cases); i++) {
        const struct json_t *c = json_at(cases, i);
        char fields[200], buf[300], text[ADDR_STRLEN];
        const char *value = json_get_str(c, "header", "");
        snprintf(fields, sizeof(fields), "x-forwarded-for: %s\r\ncf-ray: 1\r\n", value);
        struct http1_head h = request(buf, sizeof(buf), fields);
        struct addr a = {0};
        bool used = http_forwarded_for(&h, trusted, 2, &a);
        if (used != json_get_bool(c, "used", false))
            fail_msg("header %s", value);
        if (used) {
            assert_string_equal(addr_ip_str(&a, text), json_get_str(c, "ip", ""));
            assert_int_equal(a.port, 0);
        }
    }
}

static void test_forwarded_needs_trust(void **state)
{
    (void)state;
    static const char *const trusted[] = {"CF-Ray"};
    char buf[300];
    struct addr a;
    struct http1_head h = request(buf, sizeof(buf), "X-Forwarded-For: 1.2.3.4\r\n");
    assert_false(http_forwarded_for(&h, NULL, 0, &a));
    assert_false(http_forwarded_for(&h, trusted, 1, &a));
    h = request(buf, sizeof(buf), "CF-Ray: x\r\n");
    assert_false(http_forwarded_for(&h, trusted, 1, &a));
    h = request(buf, sizeof(buf),
                "CF-Ray:\r\nX-Forwarded-For: , 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n");
    assert_false(http_forwarded_for(&h, trusted, 1, &a));
}

static void assert_queue(struct bufq *q, struct pool *p, const char *want)
{
    char got[600];
    size_t n = bufq_peek(q, got, sizeof(got) - 1);
    got[n] = '\0';
    assert_string_equal(got, want);
    assert_int_equal(q->head->flags, SPAN_EDGE);
    bufq_clear(q, p);
}

static void test_answers(void **state)
{
    (void)state;
    struct pool *p = pool_new(0);
    struct bufq q;
    bufq_init(&q, 65536);
    const struct http_refusal missing = {.status = 404};
    assert_int_equal(http_refuse(&q, p, &missing, 784111777), ST_OK);
    assert_queue(&q, p,
                 "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                 "Content-Length: 0\r\n\r\n");
    struct http_refusal bad = {.status = 400,
                               .field = "Sec-Websocket-Version",
                               .field_value = "13",
                               .text = "Bad Request\n",
                               .close = true};
    const char *text = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
                       "Sec-Websocket-Version: 13\r\nX-Content-Type-Options: nosniff\r\n"
                       "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 12\r\n"
                       "Connection: close\r\n\r\nBad Request\n";
    char head[400];
    assert_int_equal(http_refuse(&q, p, &bad, 784111777), ST_OK);
    assert_queue(&q, p, text);
    bad.head = true;
    snprintf(head, sizeof(head), "%.*s", (int)(strlen(text) - 12), text);
    assert_int_equal(http_refuse(&q, p, &bad, 784111777), ST_OK);
    assert_queue(&q, p, head);
    pool_fail_after(p, 1, true);
    assert_int_equal(http_refuse(&q, p, &bad, 0), ST_E_NOMEM);
    pool_fail_after(p, 0, false);
    pool_free(p);
}

static void test_answers_to_broken_bytes(void **state)
{
    (void)state;
    static const struct {
        enum status st;
        uint8_t minor;
        const char *line, *body;
    } cases[] = {
        {ST_E_PROTO, 1, "400 Bad Request", "400 Bad Request"},
        {ST_E_LIMIT, 1, "431 Request Header Fields Too Large",
         "431 Request Header Fields Too Large"},
        {ST_E_UNSUPPORTED, HTTP1_MINOR_OTHER,
         "505 HTTP Version Not Supported: unsupported protocol version",
         "505 HTTP Version Not Supported: unsupported protocol version"},
        {ST_E_UNSUPPORTED, 1, "501 Not Implemented", "Unsupported transfer encoding"},
    };
    struct pool *p = pool_new(0);
    struct bufq q;
    bufq_init(&q, 65536);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct http1_head h = {.minor = cases[i].minor};
        char want[400];
        snprintf(want, sizeof(want),
                 "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                 "Connection: close\r\n\r\n%s",
                 cases[i].line, cases[i].body);
        assert_int_equal(http_refuse_bytes(&q, p, cases[i].st, &h), ST_OK);
        assert_queue(&q, p, want);
    }
    pool_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_vectors),
        cmocka_unit_test(test_path_vectors),
        cmocka_unit_test(test_path_compare),
        cmocka_unit_test(test_forwarded_vectors),
        cmocka_unit_test(test_forwarded_needs_trust),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_answers_to_broken_bytes),
    };
    return cmocka_run_group_tests(tests, load_vectors, drop_vectors);
}
