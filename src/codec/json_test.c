#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "codec/json.h"

static enum status parse(const char *text, struct json_t **out, struct json_error *err)
{
    *err = (struct json_error){0};
    return json_parse(text, strlen(text), out, err);
}

static struct json_t *must(const char *text)
{
    struct json_t *v;
    struct json_error err;
    enum status st = parse(text, &v, &err);
    if (st != ST_OK)
        fail_msg("%s: %d:%d %s", text, err.line, err.column, err.text);
    return v;
}

/* What the established programs accept, and what they should have accepted. */
static void accepts_json_for_people(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{\"a\":1,//x\n\"b\":[1,2,],}",
        "{\"u\":\"http://x/*y*/\",\"c\":1/*z*/}",
        "{\"a\":1,/*c*/}",
        "{\"a\":1,/*c*/\"b\":2}",
        "{\"a\":\"x\\\"//y\"}",
        "{\"a\":1}//end",
        "{/* ** */\"a\":1}",
        "{/***/\"a\":1/**//**/}",
        "\xEF\xBB\xBF{}",
        "{\"a\":[1, // one\n 2, /* two, ] */ ] , }",
        "[[],[],]",
        "{\"a,}\":\",]\",}",
        "null",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        json_unref(must(good[i]));
}

static void errors_say_where_and_what(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int line, column;
        const char *says;
    } bad[] = {
        {"{'a':1}", 1, 2, "found ''', expected a name in double quotes or '}'"},
        {"{a:1}", 1, 2, "found 'a', expected a name in double quotes or '}'"},
        {"{\"a\":1 # c\n}", 1, 8, "found '#', expected ',' or '}'"},
        {"{\"a\":0x10}", 1, 7, "found 'x', expected ',' or '}'"},
        {"{\n  \"a\": 1\n  \"b\": 2\n}", 3, 3, "found '\"', expected ',' or '}'"},
        {"{\"\xC3\xA9\": tru }", 1, 10, "found ' ', expected true, false or null"},
        {"/* \xC3\xA9 */ x", 1, 9, "found 'x', expected a value"},
        {"[1,,2]", 1, 4, "found ',', expected a value"},
        {"[,]", 1, 2, "found ',', expected a value or ']'"},
        {"{\"a\":,}", 1, 6, "found ',', expected a value"},
        {"{\"a\":1", 1, 7, "expected '}' before the end of the text"},
        {"[\"ab\n\"]", 1, 5,
         "the line ends here, expected '\"' at the end of the string (no control character or "
         "line end inside)"},
        {"{} {}", 1, 4, "found '{', expected the end of the text"},
        {"{}\n/* never", 2, 1, "found '/', expected a comment that ends with */"},
        {"", 1, 1, "expected a value before the end of the text"},
        {"[-]", 1, 3, "found ']', expected a digit"},
        {"[\"\\x\"]", 1, 4, "found 'x', expected one of \" \\ / b f n r t u after a backslash"},
        {"<html>", 1, 1, "found '<', expected a value"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct json_t *v;
        struct json_error err;
        assert_int_equal(parse(bad[i].text, &v, &err), ST_E_PROTO);
        assert_null(v);
        assert_string_equal(err.text, bad[i].says);
        assert_int_equal(err.line, bad[i].line);
        assert_int_equal(err.column, bad[i].column);
    }
}

static void jansson_finds_what_is_left(void **state)
{
    (void)state;
    struct json_t *v;
    struct json_error err;
    assert_int_equal(parse("[\n99999999999999999999]", &v, &err), ST_E_PROTO);
    assert_int_equal(err.line, 2);
    assert_non_null(strstr(err.text, "integer"));
    assert_int_equal(json_parse("2\0 rubbish", 10, &v, &err), ST_E_PROTO);
    assert_string_equal(err.text, "found byte 0x00, expected the end of the text");
    assert_int_equal(json_parse("2/*\0*/", 6, &v, &err), ST_OK);
    json_unref(v);
    assert_int_equal(parse("[\"\xFF\"]", &v, &err), ST_E_PROTO);
    assert_true(err.text[0] != '\0');
}

static void guards_depth_and_size(void **state)
{
    (void)state;
    char text[256] = {0};
    struct json_t *v;
    struct json_error err;
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    assert_int_equal(parse(text, &v, &err), ST_OK);
    json_unref(v);
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    assert_int_equal(parse(text, &v, &err), ST_E_LIMIT);
    assert_int_equal(err.column, JSON_DEPTH_MAX + 1);
    assert_int_equal(json_parse("{}", JSON_SIZE_MAX + 1u, &v, &err), ST_E_LIMIT);
    assert_int_equal(json_parse("[x", 2, &v, NULL), ST_E_PROTO);
}

static void thousandths(void **state)
{
    static const struct {
        const char *text;
        enum status st;
        uint64_t want;
    } cases[] = {
        {"5", ST_OK, 5000},
        {"1.5", ST_OK, 1500},
        {"\"1.5\"", ST_OK, 1500},
        {"1.001", ST_OK, 1001},
        {"0.0009", ST_OK, 1},
        {"\" 7 \"", ST_OK, 7000},
        {"null", ST_OK, 42},
        {"[]", ST_OK, 42},
        {"0.1", ST_OK, 100},
        {"-1", ST_E_CONFIG, 42},
        {"-0.5", ST_E_CONFIG, 42},
        {"\"-1.5\"", ST_E_CONFIG, 42},
        {"\"1.5x\"", ST_E_CONFIG, 42},
        {"\"1.2.3\"", ST_E_CONFIG, 42},
        {"{}", ST_E_CONFIG, 42},
        {"1e300", ST_E_CONFIG, 42},
        {"\"0x10\"", ST_E_CONFIG, 42},
        {"\"inf\"", ST_E_CONFIG, 42},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_t *v = must(cases[i].text);
        uint64_t got = 0;
        assert_int_equal(json_to_milli(v, 42, &got), cases[i].st);
        assert_int_equal(got, cases[i].want);
        json_unref(v);
    }
}

static void keys_in_any_case_last_wins(void **state)
{
    (void)state;
    struct json_t *v = must("{\"nodes\":1,\"Nodes\":2,\"x\":null,\"e\":[]}");
    assert_int_equal(json_get_int(v, "NODES", 0), 2);
    assert_null(json_get(v, "X"));
    assert_null(json_get(v, "y"));
    assert_null(json_get(NULL, "y"));
    assert_true(json_is_object(json_get(v, "e")));
    assert_true(json_is_null(NULL));
    assert_false(json_is_null(v));
    assert_null(json_get(json_get(v, "e"), "y"));
    assert_true(json_is_array(json_get(v, "e")));
    json_unref(v);
}

static void integers_as_php_sends_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum status st;
        int64_t value;
    } cases[] = {
        {"5", ST_OK, 5},
        {"5.0", ST_OK, 5},
        {"\"5\"", ST_OK, 5},
        {"\" 5 \"", ST_OK, 5},
        {"\"5.0\"", ST_OK, 5},
        {"true", ST_OK, 1},
        {"false", ST_OK, 0},
        {"\"\"", ST_OK, -7},
        {"[]", ST_OK, -7},
        {"null", ST_OK, -7},
        {"\"-3\"", ST_OK, -3},
        {"1e3", ST_OK, 1000},
        {"5.5", ST_E_CONFIG, 0},
        {"\"5x\"", ST_E_CONFIG, 0},
        {"{}", ST_E_CONFIG, 0},
        {"[1]", ST_E_CONFIG, 0},
        {"1e19", ST_E_CONFIG, 0},
        {"\"-\"", ST_E_CONFIG, 0},
        {"\"99999999999999999999\"", ST_E_CONFIG, 0},
        {"\"0x10\"", ST_E_CONFIG, 0},
        {"\"9223372036854775807\"", ST_OK, INT64_MAX},
        {"\"-9223372036854775808\"", ST_OK, INT64_MIN},
        {"\"9223372036854775808\"", ST_E_CONFIG, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_t *v = must(cases[i].text);
        int64_t n = 0;
        assert_int_equal(json_to_int(v, -7, &n), cases[i].st);
        if (cases[i].st == ST_OK)
            assert_int_equal(n, cases[i].value);
        json_unref(v);
    }
    int64_t n;
    assert_int_equal(json_to_int(NULL, 9, &n), ST_OK);
    assert_int_equal(n, 9);
}

static void booleans_as_people_write_them(void **state)
{
    (void)state;
    static const char *const yes[] = {"true", "1", "\"1\"", "\"TRUE\"", "\"yes\"", "\"on\"", "1.0"};
    static const char *const no[] = {"false", "0", "\"0\"", "\"False\"", "\"no\"", "\"off\""};
    static const char *const bad[] = {"2", "\"maybe\"", "{}", "[1]", "0.5"};
    bool b;
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        struct json_t *v = must(yes[i]);
        assert_int_equal(json_to_bool(v, false, &b), ST_OK);
        assert_true(b);
        json_unref(v);
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        struct json_t *v = must(no[i]);
        assert_int_equal(json_to_bool(v, true, &b), ST_OK);
        assert_false(b);
        json_unref(v);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct json_t *v = must(bad[i]);
        assert_int_equal(json_to_bool(v, true, &b), ST_E_CONFIG);
        json_unref(v);
    }
    struct json_t *v = must("{\"a\":{}}");
    assert_true(json_get_bool(v, "a", true));
    assert_true(json_get_bool(v, "b", true));
    json_unref(v);
}

static void members_in_file_order(void **state)
{
    (void)state;
    struct json_t *v = must("{\"z\":1,\"a\":\"x\",\"m\":3}");
    char keys[4] = {0};
    size_t n = 0;
    for (void *it = json_first(v); it != NULL; it = json_next(v, it)) {
        assert_true(n < 3);
        keys[n++] = json_iter_key(it)[0];
    }
    assert_string_equal(keys, "zam");
    assert_string_equal(json_get_str(v, "A", ""), "x");
    assert_string_equal(json_get_str(v, "z", "no text"), "no text");
    assert_null(json_first(NULL));
    json_unref(v);
    json_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_json_for_people),
        cmocka_unit_test(errors_say_where_and_what),
        cmocka_unit_test(jansson_finds_what_is_left),
        cmocka_unit_test(guards_depth_and_size),
        cmocka_unit_test(thousandths),
        cmocka_unit_test(keys_in_any_case_last_wins),
        cmocka_unit_test(integers_as_php_sends_them),
        cmocka_unit_test(booleans_as_people_write_them),
        cmocka_unit_test(members_in_file_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
