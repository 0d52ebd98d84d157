#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/spool_view.h"
#include "app/status_view.h"
#include "codec/json.h"

static const char document[] =
    "{\"time\":1000000,\"window_ms\":1000,"
    "\"process\":{\"version\":\"1.2.3\",\"pid\":42,\"uptime\":90061,\"rss\":35651584,\"fds\":214,"
    "\"fds_max\":20000,\"cpu_us\":12345678},"
    "\"workers\":[{\"sessions\":5,\"memory\":1000,\"memory_max\":4000,\"busy\":120,"
    "\"longest_us\":1234},{\"sessions\":7,\"memory\":2000,\"memory_max\":4000,\"busy\":20,"
    "\"longest_us\":99}],"
    "\"device_stores\":[{\"address\":\"unix:/run/redis.sock\",\"state\":\"connected\","
    "\"since\":996400,\"last_error\":\"was away\",\"answered\":12,\"failed\":3,"
    "\"foreign_keys\":1},{\"address\":\"10.0.0.9:6379\",\"state\":\"down\",\"since\":999988,"
    "\"last_error\":\"Connection refused\"}],"
    "\"nodes\":[{\"tag\":\"a-node-with-a-rather-long-name\",\"state\":\"running\",\"since\":913600,"
    "\"serving\":true,\"problem\":\"push: panel: \\u001b[2Jbad\",\"protocol\":\"vless\","
    "\"transport\":\"ws\",\"security\":\"tls\",\"port\":443,\"users\":100000,\"users_online\":12,"
    "\"connections\":{\"open\":34},\"rate\":{\"up\":1500,\"down\":12345678},"
    "\"panel\":{\"answered\":999988,\"next_poll_ms\":48000,\"reported\":999995,"
    "\"acknowledged\":{\"up\":1,\"down\":2}},"
    "\"spool\":{\"up\":1,\"down\":999,\"accounts\":3,\"batches\":2,\"tried\":2,\"parked\":1,"
    "\"oldest\":999940},\"blocked\":{\"hits\":3,\"rules\":[{\"rule\":\"domain:x\",\"hits\":3}]},"
    "\"certificate\":{\"mode\":\"file\",\"domain\":\"x.example\",\"expires\":1864000}},"
    "{\"tag\":\"b\",\"state\":\"waiting\",\"since\":999999,\"serving\":false,\"problem\":\"\","
    "\"protocol\":\"trojan\"}],"
    "\"users\":[{\"node\":\"b\",\"uid\":7,\"rate\":{\"up\":10,\"down\":0},\"bytes\":{\"up\":5,"
    "\"down\":0},\"connections\":9,\"connection_limit\":64,\"devices\":1,\"devices_elsewhere\":1,"
    "\"device_limit\":3,\"speed_mbps\":100,\"dynamic_mbps\":100},"
    "{\"node\":\"b\",\"uid\":8,\"rate\":{\"up\":0,\"down\":5},\"bytes\":{\"up\":0,\"down\":0},"
    "\"connections\":1,\"devices\":0}],\"users_active\":5}";

static char *shown(const struct status_style *style)
{
    struct json_error e;
    struct json_t *v;
    struct textbuf t;

    assert_int_equal(json_parse(document, strlen(document), &v, &e), ST_OK);
    textbuf_init(&t);
    status_view(&t, v, style);
    textbuf_put(&t, "", 1);
    json_unref(v);
    assert_false(t.failed);
    return t.p;
}

static void expect_line(const char *text, const char *line)
{
    assert_non_null(text);
    if (strstr(text, line) == NULL)
        fail_msg("no \"%s\" in\n%s", line, text);
}

static unsigned widest(const char *text)
{
    unsigned most = 0;

    for (const char *p = text; *p != '\0'; p += strcspn(p, "\n") + 1)
        most = strcspn(p, "\n") > most ? (unsigned)strcspn(p, "\n") : most;
    return most;
}

static void in_a_hundred_columns(void **state)
{
    char *t = shown(&(struct status_style){.width = 100});

    (void)state;
    assert_in_range(widest(t), 90, 100);
    expect_line(t,
                "v2sp 1.2.3   pid 42   up 1d01h   memory 35.7 MB   files 214/20000   cpu 12.3 s\n");
    expect_line(t, "2 workers   sessions 12   buffers 3.00 kB of 8.00 kB   busy 7%, the most 12%");
    expect_line(t,
                "\ndevice store unix:/run/redis.sock: connected for 1h00m, answered 12, failed 3, "
                "foreign keys 1\ndevice store 10.0.0.9:6379: down for 12s, answered 0, failed 0\n"
                "  ! Connection refused\n");
    expect_line(t, "\na-node-with-a-rather. vless/ws/tls         443 running   1d00h 100000    12"
                   "     34  1.50 kB  12.3 MB\n");
    expect_line(t, "\n  ! push: panel: ?[2Jbad\n");
    expect_line(t,
                "  panel: answered 12s ago, asked again in 48s, took a report 5s ago, has 1 B up "
                "and 2 B down\n");
    expect_line(t, "  spool: 1 B up and 999 B down wait, of 3 accounts and 2 batches, 1 tried, "
                   "oldest 1m00s\n");
    expect_line(t, "  spool: parked batches: 1; see: v2sp spool list\n");
    expect_line(t, "  blocked: 3, the most 3 by domain:x\n");
    expect_line(t, "  certificate: x.example (file), ends in 10 days\n");
    expect_line(t, "7          b                      10 B        -      5 B        -      9/64"
                   "       2/3 100 Mbit/s!\n");
    expect_line(t, "3 more; --users N or --all lists them\n");
    free(t);
}

static void in_eighty(void **state)
{
    char *t = shown(&(struct status_style){.width = 80, .brief = true, .lines = 12});
    unsigned lines = 0;

    (void)state;
    for (const char *p = t; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(lines, 11); /* users, with their head, have no room */
    assert_null(strstr(t, "\n7 "));
    free(t);
    t = shown(&(struct status_style){.width = 80, .brief = true, .lines = 40});
    expect_line(
        t, "\na-node-with-a. vless/ws/tls   443 running  100000    12     34  1.50 kB  12.3 MB\n");
    expect_line(
        t, "\n7          b                    10 B        -      9/64       2/3 100 Mbit/s!\n");
    assert_null(strstr(t, "panel: answered"));
    free(t);
}

static void sorted_and_filtered(void **state)
{
    char *t = shown(&(struct status_style){.width = 100, .sort = SORT_DOWN});

    (void)state;
    assert_true(strstr(t, "\n8 ") < strstr(t, "\n7 "));
    free(t);
    t = shown(&(struct status_style){.width = 100, .sort = SORT_CONNECTIONS});
    assert_true(strstr(t, "\n7 ") < strstr(t, "\n8 "));
    free(t);
    t = shown(&(struct status_style){.width = 100, .node = "b"});
    assert_null(strstr(t, "a-node"));
    expect_line(t, "\nb  ");
    free(t);
}

static void colours_only_when_asked(void **state)
{
    char *t = shown(&(struct status_style){.width = 100});

    (void)state;
    assert_null(strchr(t, 27));
    free(t);
    t = shown(&(struct status_style){.width = 100, .color = true});
    expect_line(t, "\033[31mwaiting \033[0m");
    free(t);
}

static void words(void **state)
{
    static const struct {
        uint64_t n;
        const char *bytes, *span;
    } rows[] = {
        {0, "0 B", "0s"},
        {59, "59 B", "59s"},
        {999, "999 B", "16m39s"},
        {1000, "1.00 kB", "16m40s"},
        {9994, "9.99 kB", "2h46m"},
        {9996, "10.0 kB", "2h46m"},
        {99949, "99.9 kB", "1d03h"},
        {999499, "999 kB", "11d13h"},
        {999500, "1.00 MB", "11d13h"},
        {UINT64_MAX, "18.4 EB", "213503982334601d"},
    };
    char word[STATUS_WORD_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(status_bytes(word, rows[i].n), rows[i].bytes);
        assert_string_equal(status_span(word, rows[i].n), rows[i].span);
    }
}

static void plain_text(void **state)
{
    struct textbuf t;

    (void)state;
    textbuf_init(&t);
    status_plain(&t, "a\tb\x7f\xc2\x9b\xc3\xa9 and more", 8);
    assert_memory_equal(t.p, "a?b??\xc3\xa9 .", 9);
    assert_int_equal(t.len, 9);
    textbuf_fini(&t);
}

static void whether_a_node_is_there(void **state)
{
    struct json_error e;
    struct json_t *v;

    (void)state;
    assert_int_equal(json_parse(document, strlen(document), &v, &e), ST_OK);
    assert_true(status_has_node(v, "b"));
    assert_false(status_has_node(v, "a"));
    json_unref(v);
}

static void whether_all_serve(void **state)
{
    struct json_error e;
    struct json_t *v;
    const char *ending = "{\"nodes\":[{\"serving\":true},{\"state\":\"draining\"}]}";

    (void)state;
    assert_int_equal(json_parse(document, strlen(document), &v, &e), ST_OK);
    assert_false(status_all_serve(v));
    json_unref(v);
    assert_int_equal(json_parse(ending, strlen(ending), &v, &e), ST_OK);
    assert_true(status_all_serve(v));
    json_unref(v);
}

static void the_spool(void **state)
{
    static const char doc[] =
        "{\"nodes\":[{\"row\":1,\"tag\":\"in-1\",\"accounts\":{\"rows\":0},\"batches\":[]},"
        "{\"row\":3,\"tag\":null,\"identity\":\"https://p/api|7|vless\",\"sending\":0,"
        "\"accounts\":{\"rows\":2,\"up\":5,\"down\":1500,\"oldest\":940},\"batches\":[{\"number\":"
        "17,"
        "\"rows\":1,\"up\":1,\"down\":2,\"frozen\":0,\"tried\":true,\"parked\":true,"
        "\"key\":\"7-00.3-17\"}]}]}";
    struct json_error e;
    struct json_t *v;
    struct textbuf t;

    (void)state;
    assert_int_equal(json_parse(doc, strlen(doc), &v, &e), ST_OK);
    textbuf_init(&t);
    spool_view(&t, v, 1000);
    textbuf_put(&t, "", 1);
    assert_string_equal(t.p,
                        "node 3  https://p/api|7|vless  (not configured)\n"
                        "   BATCH    USERS         UP       DOWN       AGE  STATE    KEY\n"
                        "      17        1        1 B        2 B        -  parked   7-00.3-17\n"
                        "none yet        2        5 B    1.50 kB    1m00s  accounts\n");
    textbuf_fini(&t);
    json_unref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_a_hundred_columns),
        cmocka_unit_test(in_eighty),
        cmocka_unit_test(sorted_and_filtered),
        cmocka_unit_test(colours_only_when_asked),
        cmocka_unit_test(words),
        cmocka_unit_test(plain_text),
        cmocka_unit_test(whether_a_node_is_there),
        cmocka_unit_test(whether_all_serve),
        cmocka_unit_test(the_spool),
    };
    return cmocka_run_group_tests_name("status_view", tests, NULL, NULL);
}
