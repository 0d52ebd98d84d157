#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "codec/json.h"
#include "panel/v2sp/routes.h"

/* What @text says, as "id:as:item|..." and the notices, one a line. */
static void check(const char *text, const char *items, const char *notices)
{
    struct arena *a = arena_new();
    struct json_t *v;
    struct json_error e;
    struct v2sp_routes r;
    char got[1024] = "";
    size_t n = 0;

    assert_int_equal(json_parse(text, strlen(text), &v, &e), ST_OK);
    assert_int_equal(v2sp_routes_read(v, a, &r), ST_OK);
    for (size_t i = 0; i < r.count; i++)
        n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%u:%d:%.*s", i > 0 ? "|" : "",
                              r.items[i].id, (int)r.items[i].as, (int)r.items[i].len,
                              r.items[i].text);
    assert_string_equal(got, items);
    got[n = 0] = '\0';
    for (unsigned i = 0; i < r.notice_count; i++)
        n += (size_t)snprintf(got + n, sizeof(got) - n, "%s\n", r.notices[i].text);
    assert_string_equal(got, notices);
    json_unref(v);
    arena_free(a);
}

static void what_match_may_be(void **state)
{
    (void)state;
    check("[{\"id\":3,\"match\":[\"a\",\"b{1,2},c\"],\"action\":\"block\"}]", "3:0:a|3:0:b{1,2},c",
          "");
    check("[{\"id\":\"7\",\"match\":\"a,b{1,2},c\\nd\",\"action\":\"Block\"}]",
          "7:0:a|7:0:b{1,2}|7:0:c|7:0:d", "");
    check("[{\"match\":{\"0\":\"a\",\"2\":\"b\"},\"action\":\"block\"}]", "1:0:a|1:0:b", "");
    check("{\"1\":{\"match\":[\"a\"],\"action\":\"block\"},\"5\":{\"match\":[\"b\"],\"action\":"
          "\"block\"}}",
          "1:0:a|2:0:b", "");
    check("[{\"id\":1,\"match\":null,\"action\":\"block\"},{\"id\":2,\"action\":\"block\"},"
          "{\"id\":4,\"match\":[],\"action\":\"block\"},{\"match\":[null],\"action\":\"block\"}]",
          "", "");
    check("[{\"id\":1,\"match\":[{\"a\":1},5,\"x\"],\"action\":\"block\"}]", "1:0:x",
          "route 1: an entry of \"match\" is no text: skipped\n"
          "route 1: an entry of \"match\" is no text: skipped\n");
}

static void actions_that_block(void **state)
{
    (void)state;
    check("[{\"id\":1,\"match\":[\"10.0.0.0/8,::1\"],\"action\":\"block_ip\"},"
          "{\"id\":2,\"match\":[25,\"53,443\"],\"action\":\"block_port\"},"
          "{\"id\":3,\"match\":\"http,quic\",\"action\":\"protocol\"}]",
          "1:1:10.0.0.0/8|1:1:::1|2:2:25|2:2:53,443|3:3:http|3:3:quic", "");
    check("[{\"id\":1,\"match\":\"port:80,443,1-2,a.b,port:5,c\",\"action\":\"block\"}]",
          "1:0:port:80,443,1-2|1:0:a.b|1:0:port:5|1:0:c", "");
}

static void what_comes_later_is_said_once(void **state)
{
    (void)state;
    check("[{\"id\":1,\"match\":[],\"action\":\"dns\"},{\"id\":2,\"match\":[\"main\"],\"action\":"
          "\"dns\",\"action_value\":null},{\"id\":3,\"action\":\"default_out\",\"action_value\":"
          "\"{}\"},{\"id\":4,\"match\":[\"a\"],\"action\":\"blok\"},{\"id\":5}]",
          "",
          "route 4: no action is called \"blok\": skipped\n"
          "route 5: no action is called \"\": skipped\n"
          "2 routes with action \"dns\": a later version will do it, not used\n"
          "1 route with action \"default_out\": a later version will do it, not used\n");
}

static void what_is_no_list(void **state)
{
    (void)state;
    check("[]", "", "");
    check("{}", "", "");
    check("\"\"", "", "");
    check("\"[{\\\"id\\\":1}]\"", "", "routes: a list was expected\n");
    check("[1,\"x\",null,[]]", "",
          "route 1: no action is called \"\": skipped\nroute 2: no action is called \"\": skipped\n"
          "route 3: no action is called \"\": skipped\nroute 4: no action is called \"\": "
          "skipped\n");
    struct v2sp_routes r;
    assert_int_equal(v2sp_routes_read(NULL, NULL, &r), ST_OK);
    assert_int_equal(r.count + r.notice_count, 0);
}

static void many_that_are_not_done_are_counted(void **state)
{
    struct arena *a = arena_new();
    struct json_t *v;
    struct json_error e;
    struct v2sp_routes r;

    (void)state;
    assert_int_equal(json_parse("[1,2,3,4,5,6,7,8,9,10,11]", 25, &v, &e), ST_OK);
    assert_int_equal(v2sp_routes_read(v, a, &r), ST_OK);
    assert_int_equal(r.notice_count, V2SP_ROUTE_NOTICES);
    assert_int_equal(r.more, 11 - V2SP_ROUTE_NOTICES);
    json_unref(v);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_match_may_be),
        cmocka_unit_test(actions_that_block),
        cmocka_unit_test(what_comes_later_is_said_once),
        cmocka_unit_test(what_is_no_list),
        cmocka_unit_test(many_that_are_not_done_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
