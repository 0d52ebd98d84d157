#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/grpc.h"

#define STR(s) ((struct grpc_str){(s), strlen(s)})

static void test_prefix(void **state)
{
    (void)state;
    uint8_t p[GRPC_PREFIX];
    grpc_put_prefix(p, 0x01020304);
    assert_memory_equal(p, "\0\1\2\3\4", 5);
}

static void test_paths(void **state)
{
    (void)state;
    static const struct {
        const char *path, *service, *method;
    } cases[] = {
        {"/a.b.S/M", "a.b.S", "M"}, {"a.b.S/M", "a.b.S", "M"}, {"/x/y/z", "x/y", "z"},
        {"/S/", "S", ""},           {"//M", "", "M"},          {"/nopath", NULL, NULL},
        {"nopath", NULL, NULL},     {"/", NULL, NULL},         {"", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct grpc_str s, m;
        bool ok = grpc_split_path(STR(cases[i].path), &s, &m);
        assert_int_equal(ok, cases[i].service != NULL);
        if (!ok)
            continue;
        assert_int_equal(s.len, strlen(cases[i].service));
        assert_memory_equal(s.p, cases[i].service, s.len);
        assert_int_equal(m.len, strlen(cases[i].method));
        assert_memory_equal(m.p, cases[i].method, m.len);
    }
}

static void test_content_types(void **state)
{
    (void)state;
    assert_true(grpc_is_content_type(STR("application/grpc")));
    assert_true(grpc_is_content_type(STR("application/grpc+proto")));
    assert_true(grpc_is_content_type(STR("Application/gRPC;x=y")));
    assert_false(grpc_is_content_type(STR("application/grpc-web")));
    assert_false(grpc_is_content_type(STR("application/json")));
    assert_false(grpc_is_content_type(STR("application/grp")));
    assert_false(grpc_is_content_type(STR("")));
}

static void test_timeouts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum status st;
        uint64_t us;
    } cases[] = {
        {"5S", ST_OK, 5000000},
        {"5010m", ST_OK, 5010000},
        {"2996905u", ST_OK, 2996905},
        {"1n", ST_OK, 1},
        {"99999999H", ST_OK, UINT64_C(99999999) * 3600000000u},
        {"2M", ST_OK, 120000000},
        {"0n", ST_E_LIMIT, 0},
        {"5X", ST_E_PROTO, 0},
        {"S", ST_E_PROTO, 0},
        {"5", ST_E_PROTO, 0},
        {"-5S", ST_E_PROTO, 0},
        {"123456789S", ST_E_PROTO, 0},
        {"", ST_E_PROTO, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t us = 0;
        assert_int_equal(grpc_timeout(STR(cases[i].text), &us), cases[i].st);
        if (cases[i].st == ST_OK)
            assert_true(us == cases[i].us);
    }
}

static void test_messages(void **state)
{
    (void)state;
    char out[64];
    static const char text[] = "nope \xc3\xa9%\n not found.";
    assert_int_equal(grpc_put_message(out, sizeof(out), text, strlen(text)), 28);
    assert_string_equal(out, "nope %C3%A9%25%0A not found.");
    /* Cut between characters. */
    assert_int_equal(grpc_put_message(out, 5, "ab%c", 4), 2);
    assert_string_equal(out, "ab");
    assert_int_equal(grpc_put_message(out, 6, "ab%c", 4), 5);
    assert_string_equal(out, "ab%25");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefix),        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_content_types), cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
