#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/log.h"

struct capture {
    struct log_sink sink;
    char text[4096];
    size_t lines;
};

static void keep(struct log_sink *sink, const char *line, size_t len)
{
    struct capture *c = (struct capture *)(void *)sink;
    memcpy(c->text, line, len);
    c->text[len] = '\0';
    c->lines++;
}

static uint64_t fixed_time(void)
{
    return UINT64_C(1795262047123456); /* 2026-11-21T11:54:07.123Z */
}

static void a_line_says_when_who_and_what(void **state)
{
    (void)state;
    struct capture c = {.sink = {keep}};
    struct log lg = {.sink = &c.sink, .level = LOG_INFO, .wall_us = fixed_time};
    struct log_about about = {.node = "n1", .peer = "1.2.3.4:5", .user = 7};
    log_line(&lg, LOG_WARNING, &about, "dial failed: %s", "refused");
    assert_string_equal(
        c.text,
        "2026-11-21T11:54:07.123Z warning [n1] user=7 peer=1.2.3.4:5: dial failed: refused\n");
    lg.json = true;
    log_line(&lg, LOG_ERROR, &about, "a \"quoted\" thing");
    assert_string_equal(
        c.text, "{\"time\":\"2026-11-21T11:54:07.123Z\",\"level\":\"error\",\"node\":\"n1\","
                "\"user\":7,\"peer\":\"1.2.3.4:5\",\"msg\":\"a \\\"quoted\\\" thing\"}\n");
}

static void lines_below_the_level_are_dropped(void **state)
{
    (void)state;
    struct capture c = {.sink = {keep}};
    struct log lg = {.sink = &c.sink, .level = LOG_WARNING, .wall_us = fixed_time};
    log_line(&lg, LOG_INFO, NULL, "quiet");
    assert_int_equal(c.lines, 0);
    log_line(&lg, LOG_ERROR, NULL, "loud");
    assert_int_equal(c.lines, 1);
}

static void text_from_outside_cannot_forge_a_line(void **state)
{
    (void)state;
    struct capture c = {.sink = {keep}};
    struct log lg = {.sink = &c.sink, .level = LOG_INFO, .wall_us = fixed_time};
    log_line(&lg, LOG_INFO, NULL, "%s", "x\n2026 error: forged\x1b[2J");
    assert_null(strchr(c.text, '\x1b'));
    assert_ptr_equal(strchr(c.text, '\n'), c.text + strlen(c.text) - 1);
}

static void long_lines_are_cut(void **state)
{
    (void)state;
    struct capture c = {.sink = {keep}};
    struct log lg = {.sink = &c.sink, .level = LOG_INFO, .json = true, .wall_us = fixed_time};
    char big[5000];
    memset(big, '\n', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    log_line(&lg, LOG_INFO, NULL, "%s", big);
    assert_true(strlen(c.text) <= 2048);
    assert_string_equal(c.text + strlen(c.text) - 9, "\\u000a\"}\n");
}

static void what_is_no_utf8_is_escaped(void **state)
{
    (void)state;
    struct capture c = {.sink = {keep}};
    struct log lg = {.sink = &c.sink, .level = LOG_INFO, .wall_us = fixed_time};
    static const char text[] = "a\xe8\xa7\x84 \xb9\xe6 \xe8\xa7"; /* GBK; cut in a character */
    log_line(&lg, LOG_INFO, NULL, "%s", text);
    assert_non_null(strstr(c.text, ": a\xe8\xa7\x84 \\xb9\\xe6 \\xe8\\xa7\n"));
    lg.json = true;
    log_line(&lg, LOG_INFO, NULL, "%s", text);
    assert_non_null(strstr(c.text, "\"a\xe8\xa7\x84 \\ufffd\\ufffd \\ufffd\\ufffd\"}"));
}

static void secrets_are_masked(void **state)
{
    (void)state;
    char text[16];
    assert_string_equal(log_mask(text, "abcdefghijkl"), "abcd****ijkl");
    assert_string_equal(log_mask(text, "abcdefgh"), "********");
    assert_string_equal(log_mask(text, ""), "********");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_when_who_and_what),
        cmocka_unit_test(lines_below_the_level_are_dropped),
        cmocka_unit_test(text_from_outside_cannot_forge_a_line),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(what_is_no_utf8_is_escaped),
        cmocka_unit_test(secrets_are_masked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
