#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/audit_literals.h"

static void check(const char *pattern, const char *want)
{
    struct audit_literals l;
    char got[256] = "";
    size_t n = 0;

    if (audit_literals_of(pattern, strlen(pattern), &l))
        for (unsigned i = 0; i < l.count; i++)
            n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%.*s", i > 0 ? " " : "",
                                  l.texts[i].len, l.bytes + l.texts[i].at);
    if (strcmp(got, want) != 0)
        fail_msg("%s: %s, not %s", pattern, got, want);
}

static void what_must_be_there(void **state)
{
    (void)state;
    check("Google\\.com", "google.com");
    check("^ads[0-9]+\\.doubleclick\\.net$", ".doubleclick.net");
    check("(.*\\.||)(dafahao|minghui|tuidang)\\.(org|com|net)", "dafahao minghui tuidang");
    check("(api|ps|sv)(.map|)\\.(baidu|n.shifen)\\.com", "baidu shifen");
    check("(.+\\.|^)(360|so)\\.(cn|com)", "360 so");
    check("a(bc)(?:def)(?i:ghij)", "ghij");
    check("(?i)casino[a-z]", "casino");
    check("alpha|beta", "alpha beta");
    check("((alpha|beta)x)?gamma", "gamma");
    check("((alpha|beta)x)+ga", "alpha beta");
    check("abc{2}def", "abc"); /* of two as long the first */
    check("[]a]bcd[^]]", "bcd");
    check("[[:alpha:]\\]]xyz", "xyz");
    check("\\bxyz\\d", "xyz");
    check("a{,2}bcd", "a{,2}bcd");
    check("xy{2}?z+abc", "abc");
}

static void what_may_be_missing(void **state)
{
    (void)state;
    check("abcd?", "abc");
    check("abcd*e", "abc");
    check("abcd{0,2}", "abc");
    check("abcd+", "abcd");
    check("ab?c", "");
    check("(abc)?", "");
    check("(abc)*x", "");
    check("abc|", "");
    check("(abc|)", "");
    check("abc|.", "");
    check("(abc|d)", "");
    check(".*", "");
    check("", "");
    check("a.b", "");
    check("b\xc3\xbc"
          "cher",
          "cher");
}

static void what_is_not_followed(void **state)
{
    static const char *const patterns[] = {
        "(?!abc)def",    "abc(?=def)", "(?<n>abc)", "(?x)a b c", "(?-i)ABC",   "(*NO_JIT)abc",
        "\\Qabc\\Edefg", "(abc)\\1",   "\\x41bcd",  "\\pLabc",   "[\\x41]bcd", "a(?#comment)bcd",
        "(?|abc|def)",   "(?U)a+bc",   "\\Kabcd",   "\\Rabcd",   "abc\\"};
    char deep[64];

    (void)state;
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
        check(patterns[i], "");
    memset(deep, '(', 20);
    strcpy(deep + 20, "abcd))))))))))))))))))))");
    check(deep, "");
}

static void too_many_are_none(void **state)
{
    char pattern[1024] = "abc";

    (void)state;
    for (unsigned i = 0; i < AUDIT_LITERALS_MAX; i++)
        strcat(pattern, "|defgh");
    check(pattern, "");
    memset(pattern, 'a', 100);
    pattern[100] = '\0';
    check(pattern, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_must_be_there),
        cmocka_unit_test(what_may_be_missing),
        cmocka_unit_test(what_is_not_followed),
        cmocka_unit_test(too_many_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
