#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/json_pull.h"

/* Writes all events as one line of text: "{ k:users [ ... ] }"; an error ends it as
 * "!expected@offset". */
static void transcript(const char *text, size_t len, size_t cut, char *out, size_t cap)
{
    static const char *const marks[] = {
        "{", "}", "[", "]", "k:", "s:", "n:", "true", "false", "null"};
    struct json_pull p;
    size_t at = 0, used = 0;
    enum status st;
    json_pull_init(&p);
    out[0] = '\0';
    while ((st = json_pull_next(&p)) != ST_EOF) {
        if (st == ST_MORE) {
            size_t n = len - at < cut ? len - at : cut;
            json_pull_feed(&p, text + at, n);
            at += n;
            if (n == 0)
                json_pull_end(&p);
            continue;
        }
        if (status_is_error(st)) {
            assert_int_equal(json_pull_next(&p), st);
            used += (size_t)snprintf(out + used, cap - used, "!%s@%u", json_pull_expected(&p),
                                     (unsigned)p.offset);
            break;
        }
        used += (size_t)snprintf(out + used, cap - used, "%s%s@%u ", marks[p.event], p.text,
                                 (unsigned)p.offset);
        assert_true(used < cap);
    }
}

static const struct {
    const char *text, *events;
} cases[] = {
    {"{\"users\":[{\"id\":1,\"uuid\":\"a\\u00e9\\n\"},{}],\"x\":null}",
     "{@0 k:users@1 [@9 {@10 k:id@11 n:1@16 k:uuid@18 s:a\xC3\xA9\n@25 }@36 {@38 }@39 ]@40 k:x@42 "
     "null@46 }@50 "},
    {"\xEF\xBB\xBF [true , false,-1.5e+3]", "[@4 true@5 false@12 n:-1.5e+3@18 ]@25 "},
    {"12", "n:12@0 "},
    {"\"\\ud83d\\ude00 \\ud83d \\ude00 \\ud83d\"",
     "s:\xF0\x9F\x98\x80 \xEF\xBF\xBD \xEF\xBF\xBD \xEF\xBF\xBD@0 "},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "s:\"\\/\b\f\n\r\t@0 "},
    {"\"\xFF\"", "s:\xFF@0 "},
    {"[1 2]", "[@0 n:1@1 !',' or ']'@3"},
    {"{\"a\" 1}", "{@0 k:a@1 !':' after the name@5"},
    {"{\"a\":1,}", "{@0 k:a@1 n:1@5 !a name in double quotes@7"},
    {"[01]", "[@0 n:0@1 !',' or ']'@2"},
    {"[1.]", "[@0 !a digit@3"},
    {"nul", "!true, false or null@3"},
    {"\"\\u00g0\"", "!four hexadecimal digits after \\u@5"},
    {"\"\\u0000x\"", "s:\xEF\xBF\xBDx@0 "},
    {"[", "[@0 !']' before the end of the text@1"},
    {"\xEF\xBB{}", "!a value@2"},
    {"\xEF\xBB", "!a value@2"},
    {"{}x", "{@0 }@1 !the end of the text@2"},
    {"{]", "{@0 !a name in double quotes or '}'@1"},
};

static void any_cut_gives_the_same_events(void **state)
{
    (void)state;
    char out[1024];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = strlen(cases[i].text);
        for (size_t cut = len; cut >= 1; cut--) {
            transcript(cases[i].text, len, cut, out, sizeof(out));
            assert_string_equal(out, cases[i].events);
        }
    }
}

static enum status read_whole(struct json_pull *p, const char *text, size_t len)
{
    enum status st;
    json_pull_init(p);
    json_pull_feed(p, text, len);
    json_pull_end(p);
    while ((st = json_pull_next(p)) == ST_OK && p->event != JSON_EVENT_STRING)
        ;
    return st;
}

static void long_strings_are_cut_between_characters(void **state)
{
    (void)state;
    struct json_pull p;
    size_t len = JSON_PULL_TEXT + 100;
    char *text = malloc(len);
    assert_non_null(text);
    memset(text, 'a', len);
    text[0] = text[len - 1] = '"';
    assert_int_equal(read_whole(&p, text, len), ST_OK);
    assert_true(p.cut);
    assert_int_equal(p.text_len, JSON_PULL_TEXT);
    assert_int_equal(json_pull_next(&p), ST_EOF);

    memcpy(text + JSON_PULL_TEXT, "\xE2\x82\xAC", 3); /* its third byte is over the limit */
    assert_int_equal(read_whole(&p, text, len), ST_OK);
    assert_true(p.cut);
    assert_int_equal(p.text_len, JSON_PULL_TEXT - 1);

    assert_int_equal(read_whole(&p, text, JSON_PULL_TEXT), ST_E_PROTO);
    memset(text, '1', len);
    assert_int_equal(read_whole(&p, text, len), ST_E_LIMIT);
    assert_int_equal(json_pull_next(&p), ST_E_LIMIT);
    free(text);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    char text[JSON_PULL_DEPTH + 1];
    struct json_pull p;
    memset(text, '[', sizeof(text));
    assert_int_equal(read_whole(&p, text, sizeof(text)), ST_E_LIMIT);
    assert_int_equal(p.offset, JSON_PULL_DEPTH);
    assert_int_equal(p.depth, JSON_PULL_DEPTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_gives_the_same_events),
        cmocka_unit_test(long_strings_are_cut_between_characters),
        cmocka_unit_test(depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
