#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/http1.h"
#include "codec/http1_write.h"

static void test_dates(void **state)
{
    (void)state;
    static const struct {
        int64_t t;
        const char *text;
    } cases[] = {{0, "Thu, 01 Jan 1970 00:00:00 GMT"},
                 {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
                 {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
                 {951868799, "Tue, 29 Feb 2000 23:59:59 GMT"},
                 {951868800, "Wed, 01 Mar 2000 00:00:00 GMT"},
                 {1709164800, "Thu, 29 Feb 2024 00:00:00 GMT"},
                 {1735689599, "Tue, 31 Dec 2024 23:59:59 GMT"},
                 {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
                 {4107542399, "Sun, 28 Feb 2100 23:59:59 GMT"},
                 {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"}};
    char text[HTTP1_DATE_LEN];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t back;
        assert_string_equal(http1_date(text, cases[i].t), cases[i].text);
        assert_int_equal(http1_date_parse(text, strlen(text), &back), ST_OK);
        assert_true(back == cases[i].t);
    }
    assert_string_equal(http1_date(text, -1), cases[0].text);
    assert_string_equal(http1_date(text, INT64_MAX), cases[9].text);
}

static void test_dates_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "Sun, 06 Nov 1994 08:49:37 GM",
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 06 Xov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
    };
    int64_t t;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(http1_date_parse(bad[i], strlen(bad[i]), &t), ST_E_PROTO);
}

static void test_response_head(void **state)
{
    (void)state;
    char buf[200];
    struct http1_writer w;
    http1_begin_response(&w, buf, sizeof(buf), 404, NULL);
    http1_add_date(&w, 784111777);
    http1_add_number(&w, "Content-Length", 0);
    assert_int_equal(http1_end(&w), ST_OK);
    const char *want = "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                       "Content-Length: 0\r\n\r\n";
    assert_int_equal(w.len, strlen(want));
    assert_memory_equal(buf, want, w.len);

    struct http1_scan scan = {0};
    struct http1_head h;
    assert_int_equal(http1_parse_response(buf, w.len, &scan, &h), ST_OK);
    assert_int_equal(h.status, 404);
}

static void test_request_head(void **state)
{
    (void)state;
    char buf[200];
    struct http1_writer w;
    http1_begin_request(&w, buf, sizeof(buf), "GET", "/x");
    http1_add_field(&w, "Host", "h");
    assert_int_equal(http1_end(&w), ST_OK);
    assert_int_equal(w.len, 28);
    assert_memory_equal(buf, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", 28);
}

static void test_no_splitting_and_no_overflow(void **state)
{
    (void)state;
    char buf[64];
    struct http1_writer w;
    http1_begin_response(&w, buf, sizeof(buf), 200, NULL);
    http1_add_field(&w, "X", "a\r\nSet-Cookie: b");
    assert_int_equal(http1_end(&w), ST_E_LIMIT);
    http1_begin_response(&w, buf, sizeof(buf), 200, NULL);
    http1_add_field_n(&w, "X", "a\0b", 3);
    assert_int_equal(http1_end(&w), ST_E_LIMIT);
    for (size_t cap = 0; cap < 40; cap++) {
        http1_begin_response(&w, buf, cap, 200, NULL);
        http1_add_number(&w, "Content-Length", UINT64_MAX);
        assert_int_equal(http1_end(&w), ST_E_LIMIT);
        assert_true(w.len <= cap);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_dates_refused),
        cmocka_unit_test(test_response_head),
        cmocka_unit_test(test_request_head),
        cmocka_unit_test(test_no_splitting_and_no_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
