#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/regexp.h"

static enum status search_as(enum regexp_case letters, const char *pattern, const char *text)
{
    struct regexp_scratch *scratch = regexp_scratch_new(REGEXP_STEPS);
    struct regexp *r;
    struct regexp_error e;
    enum status st = regexp_new(pattern, strlen(pattern), letters, &r, &e);

    assert_non_null(scratch);
    if (st == ST_OK)
        st = regexp_search(r, scratch, text, strlen(text));
    regexp_free(r);
    regexp_scratch_free(scratch);
    return st;
}

static enum status search(const char *pattern, const char *text)
{
    return search_as(REGEXP_EXACT, pattern, text);
}

static void test_letters_of_either_case(void **state)
{
    (void)state;
    assert_int_equal(search_as(REGEXP_CASELESS, "^A+[X-Z]$", "aay"), ST_OK);
    assert_int_equal(search_as(REGEXP_CASELESS, "^a+$", "AA"), ST_OK);
    assert_int_equal(search_as(REGEXP_EXACT, "^a+$", "AA"), ST_E_NOTFOUND);
}

static void test_found_anywhere(void **state)
{
    (void)state;
    static const char name[] = "user>>>[https://p.example]-vless:1|x>>>traffic>>>uplink";
    assert_int_equal(search("^user.*uplink$", name), ST_OK);
    assert_int_equal(search("vless:[0-9]+", name), ST_OK);
    assert_int_equal(search("", name), ST_OK);
    assert_int_equal(search("^inbound", name), ST_E_NOTFOUND);
    assert_int_equal(search("USER", name), ST_E_NOTFOUND);
    assert_int_equal(search("(?i)USER", name), ST_OK);
}

static void test_bad_patterns_say_where(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        size_t at;
    } bad[] = {{"(", 1}, {"ab[c", 4}, {"a**b)", 4}, {"*", 0}, {"\xff", 0}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct regexp *r;
        struct regexp_error e = {0};
        assert_int_equal(regexp_new(bad[i].pattern, strlen(bad[i].pattern), REGEXP_EXACT, &r, &e),
                         ST_E_PROTO);
        assert_null(r);
        assert_true(e.text[0] != '\0');
        if (i != 2)
            assert_int_equal(e.at, bad[i].at);
    }
}

static void test_a_pattern_too_long(void **state)
{
    (void)state;
    static char pattern[REGEXP_PATTERN_MAX + 2];
    memset(pattern, 'a', sizeof(pattern) - 1);
    assert_int_equal(search(pattern, "a"), ST_E_LIMIT);
}

/* Exponential without limits. */
static void test_backtracking_ends(void **state)
{
    (void)state;
    assert_int_equal(search("^(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"),
                     ST_E_LIMIT);
    assert_int_equal(search("(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)x$",
                            "abcdefghijklmnopqrstuvwxyabcdefghijklmnopqrstuvwy"),
                     ST_E_LIMIT);
}

static void test_text_that_is_no_utf8(void **state)
{
    (void)state;
    assert_int_equal(search("a", "a\xff"), ST_E_PROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_anywhere),       cmocka_unit_test(test_bad_patterns_say_where),
        cmocka_unit_test(test_a_pattern_too_long),   cmocka_unit_test(test_backtracking_ends),
        cmocka_unit_test(test_text_that_is_no_utf8), cmocka_unit_test(test_letters_of_either_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
