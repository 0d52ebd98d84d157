#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "panel/v2sp/alive_list.h"
#include "panel/v2sp/lax_number.h"
#include "panel/v2sp/user_list.h"

/* What a reading did, as one line: "1:u:0/3/5 " a user, "!2@1 " a skipped one,
 * "?1 " a user with an odd limit. */
struct trace {
    char text[512];
    unsigned refuse_at;
    unsigned users;
};

static enum status on_user(void *arg, const struct v2sp_user *u)
{
    struct trace *t = arg;
    size_t n = strlen(t->text);

    if (++t->users == t->refuse_at)
        return ST_E_NOMEM;
    snprintf(t->text + n, sizeof(t->text) - n, "%" PRIu64 ":%.*s:%u/%u/%u ", u->id,
             (int)u->credential_len, u->credential, u->speed_kbps, u->device_limit, u->conn_limit);
    return ST_OK;
}

static void on_skipped(void *arg, uint64_t id, uint64_t index, const char *text)
{
    struct trace *t = arg;
    size_t n = strlen(t->text);

    assert_non_null(text);
    snprintf(t->text + n, sizeof(t->text) - n, "!%" PRIu64 "@%" PRIu64 " ", id, index);
}

static void on_odd_limit(void *arg, uint64_t id, const char *text)
{
    struct trace *t = arg;
    size_t n = strlen(t->text);

    assert_non_null(strstr(text, "_limit is no number"));
    snprintf(t->text + n, sizeof(t->text) - n, "?%" PRIu64 " ", id);
}

static enum status read_list(const char *json, size_t step, struct trace *t)
{
    struct v2sp_user_list l;
    struct v2sp_reply_error err = {""};
    enum status st = ST_OK;
    size_t len = strlen(json);

    t->text[0] = '\0';
    t->users = 0;
    v2sp_user_list_init(&l, on_user, on_skipped, on_odd_limit, t);
    for (size_t at = 0; at < len && st == ST_OK; at += step)
        st = v2sp_user_list_feed(&l, json + at, len - at < step ? len - at : step, &err);
    if (st == ST_OK)
        st = v2sp_user_list_end(&l, &err);
    if (st == ST_E_PROTO)
        assert_true(err.text[0] != '\0');
    return st;
}

static const struct {
    const char *in;
    enum status st;
    const char *want;
} cases[] = {
    /* testdata/panel.json, parse_cases of "user" */
    {"{\"users\":[{\"id\":1,\"uuid\":\"u\",\"speed_limit\":null,\"device_limit\":3,\"conn_limit\":"
     "5}]}",
     ST_OK, "1:u:0/3/5 "},
    {"{\"users\":[{\"id\":\"1\",\"uuid\":\"u\"}]}", ST_OK, "1:u:0/0/0 "},
    {"{\"users\":[{\"id\":1,\"uuid\":\"u\",\"speed_limit\":\"100\"}]}", ST_OK, "1:u:100000/0/0 "},
    {"{\"users\":[{\"id\":1,\"uuid\":\"u\",\"speed_limit\":1.5}]}", ST_OK, "1:u:1500/0/0 "},
    {"{\"Users\":[{\"ID\":1,\"UUID\":\"u\"}]}", ST_OK, "1:u:0/0/0 "},
    {"{\"users\":{}}", ST_OK, ""},
    {"{\"users\":[]}", ST_OK, ""},
    {"{\"data\":[]}", ST_E_PROTO, ""},
    {"", ST_E_PROTO, ""},
    /* and what else comes along */
    {"\xef\xbb\xbf{\"users\":[{\"id\":7.0,\"uuid\":\"u\"}]}", ST_OK, "7:u:0/0/0 "},
    {"{\"users\":null}", ST_E_PROTO, ""},
    {"{\"users\":5}", ST_E_PROTO, ""},
    {"[]", ST_E_PROTO, ""},
    {"<html></html>", ST_E_PROTO, ""},
    {"{\"users\":[{\"id\":1,\"uuid\":\"u\"}", ST_E_PROTO, "1:u:0/0/0 "},
    {"{\"status\":\"fail\",\"message\":\"no\"}", ST_E_PROTO, ""},
    {"{\"message\":\"no\"}", ST_E_PROTO, ""},
    {"{\"status\":\"success\",\"message\":\"ok\",\"users\":[]}", ST_OK, ""},
    {"{\"x\":{\"users\":[{\"id\":9,\"uuid\":\"n\"}]},\"users\":[{\"id\":1,\"uuid\":\"u\"}],\"y\":[["
     "{}]]}",
     ST_OK, "1:u:0/0/0 "},
    {"{\"users\":{\"3\":{\"id\":1,\"uuid\":\"u\"},\"5\":{\"id\":2,\"uuid\":\"v\"}}}", ST_OK,
     "1:u:0/0/0 2:v:0/0/0 "},
    {"{\"users\":[{\"id\":0,\"uuid\":\"u\"},{\"id\":-1,\"uuid\":\"u\"},{\"id\":2},{\"id\":1.5,"
     "\"uuid\":\"u\"},"
     "{\"uuid\":\"u\"},7,[1,{\"id\":4,\"uuid\":\"x\"}],null,{\"id\":3,\"uuid\":\"w\"}]}",
     ST_OK, "!0@0 !0@1 !2@2 !0@3 !0@4 !0@5 !0@6 !0@7 3:w:0/0/0 "},
    {"{\"users\":[{\"id\":1,\"uuid\":\"u\",\"tags\":[{\"id\":9}],\"o\":{\"uuid\":\"z\"},\"speed_"
     "limit\":[],"
     "\"conn_limit\":-1,\"device_limit\":\"\"}]}",
     ST_OK, "1:u:0/0/0 "},
    {"{\"users\":[{\"id\":1,\"uuid\":\"u\",\"speed_limit\":\"fast\"},{\"id\":2,\"uuid\":\"\"}]}",
     ST_OK, "?1 1:u:0/0/0 !2@1 "},
    {"{\"users\":[{\"id\":1,\"uuid\":\"u\",\"speed_limit\":true,\"device_limit\":\"2 or 3\","
     "\"conn_limit\":\"1e1\"}]}",
     ST_OK, "?1 1:u:0/0/10 "},
    {"{\"users\":[{\"id\":9223372036854775807,\"uuid\":123,\"conn_limit\":99999999999}]}", ST_OK,
     "9223372036854775807:123:0/0/4294967295 "},
    {"{\"users\":[{\"id\":1,\"uuid\":\"u\",\"speed_limit\":0.0001,\"device_limit\":0.5,"
     "\"conn_limit\":\"1e-9\"}]}",
     ST_OK, "1:u:1/1/1 "},
};

static void lists_in_all_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 1; step < 40; step += 3) {
            struct trace t = {.refuse_at = 0};
            assert_int_equal(read_list(cases[i].in, step, &t), cases[i].st);
            assert_string_equal(t.text, cases[i].want);
        }
    }
}

static void callback_ends_the_reading(void **state)
{
    (void)state;
    struct trace t = {.refuse_at = 2};

    assert_int_equal(
        read_list("{\"users\":[{\"id\":1,\"uuid\":\"a\"},{\"id\":2,\"uuid\":\"b\"},{\"id\":3,"
                  "\"uuid\":\"c\"}]}",
                  1000, &t),
        ST_E_NOMEM);
    assert_string_equal(t.text, "1:a:0/0/0 ");
}

static enum status on_entry(void *arg, uint64_t uid, uint32_t devices)
{
    struct trace *t = arg;
    size_t n = strlen(t->text);

    snprintf(t->text + n, sizeof(t->text) - n, "%" PRIu64 "=%u ", uid, devices);
    return ST_OK;
}

static void alive_lists(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum status st;
        const char *want;
    } alive[] = {
        {"{\"alive\":{\"1\":2}}", ST_OK, "1=2 "},
        {"{\"alive\":[]}", ST_OK, ""},
        {"{\"alive\":null}", ST_OK, ""},
        {"{\"Alive\":{\"1\":\"2\",\"x\":3,\"4\":null,\"5\":[6],\"7\":8.0}}", ST_OK, "1=2 7=8 "},
        {"{\"data\":{\"alive\":{\"1\":2}}}", ST_E_PROTO, ""},
        {"{\"alive\":3}", ST_E_PROTO, ""},
        {"{\"alive\":{\"1\":2}", ST_E_PROTO, "1=2 "},
        {"", ST_E_PROTO, ""},
    };
    for (size_t i = 0; i < sizeof(alive) / sizeof(alive[0]); i++) {
        struct v2sp_alive_list l;
        struct v2sp_reply_error err;
        struct trace t = {.refuse_at = 0};
        enum status st = ST_OK;

        v2sp_alive_list_init(&l, on_entry, &t);
        for (size_t at = 0; alive[i].in[at] != '\0' && st == ST_OK; at++)
            st = v2sp_alive_list_feed(&l, alive[i].in + at, 1, &err);
        if (st == ST_OK)
            st = v2sp_alive_list_end(&l, &err);
        assert_int_equal(st, alive[i].st);
        assert_string_equal(t.text, alive[i].want);
    }
}

static void lax_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool ok;
        uint64_t whole, milli;
    } n[] = {
        {"0", true, 0, 0},         {"12", true, 12, 12000},
        {" 12 ", true, 12, 12000}, {"1.5", true, 1, 1500},
        {"0.0005", true, 0, 1},    {"1e3", true, 1000, 1000000},
        {"1.5e-1", true, 0, 150},  {"007", true, 7, 7000},
        {"", false, 0, 0},         {"-1", false, 0, 0},
        {"1x", false, 0, 0},       {".", false, 0, 0},
        {"1e", false, 0, 0},       {"9223372036854775808", false, 0, 0},
        {"1e400", false, 0, 0},    {"0.00e99999", true, 0, 0},
        {"0.05", true, 0, 50},     {"123456789012345678", true, 123456789012345678, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
        uint64_t whole = 0, milli = 0;
        assert_int_equal(v2sp_lax_number(n[i].in, strlen(n[i].in), &whole, &milli), n[i].ok);
        if (n[i].ok) {
            assert_true(whole == n[i].whole);
            assert_true(milli == n[i].milli);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_in_all_cuts),
        cmocka_unit_test(callback_ends_the_reading),
        cmocka_unit_test(alive_lists),
        cmocka_unit_test(lax_numbers),
    };
    return cmocka_run_group_tests_name("v2sp_user_list", tests, NULL, NULL);
}
