#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "base/arena.h"
#include "policy/fallback.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct fallback_table *build(struct arena *a, const struct fallback_rule *rules,
                                          size_t n)
{
    const struct fallback_table *t;
    size_t bad;

    assert_int_equal(fallback_build(a, rules, n, &t, &bad), ST_OK);
    return t;
}

/* Port of the destination found, 0 for none. */
static unsigned find(const struct fallback_table *t, const char *sni, const char *alpn,
                     const char *first)
{
    const struct fallback_dest *d =
        fallback_find(t, sni, alpn, (const uint8_t *)first, strlen(first));
    return d == NULL ? 0 : d->port;
}

static void reads_every_form_of_dest(void **state)
{
    static const struct {
        const char *dest, *host;
        enum fallback_kind kind;
        unsigned port;
        bool padded;
    } good[] = {
        {"80", "localhost", FALLBACK_TCP, 80, false},
        {"65535", "localhost", FALLBACK_TCP, 65535, false},
        {"example.com:8080", "example.com", FALLBACK_TCP, 8080, false},
        {"[::1]:443", "::1", FALLBACK_TCP, 443, false},
        {"127.0.0.1:1", "127.0.0.1", FALLBACK_TCP, 1, false},
        {"/run/x.sock", "/run/x.sock", FALLBACK_UNIX, 0, false},
        {"@name", "@name", FALLBACK_UNIX, 0, false},
        {"@@name", "@name", FALLBACK_UNIX, 0, true},
    };
    static const char *const wrong[] = {"",      "0",     "65536", "http", "::1:80", ":80",
                                        "a:b:1", "host:", "@",     "@@",   "/",      "1 "};
    struct arena *a = arena_new();

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct fallback_rule rule = {.dest = good[i].dest, .xver = 2};
        const struct fallback_dest *d =
            fallback_find(build(a, &rule, 1), NULL, NULL, (const uint8_t *)"", 0);
        assert_non_null(d);
        assert_int_equal(d->kind, good[i].kind);
        assert_string_equal(d->host, good[i].host);
        assert_int_equal(d->port, good[i].port);
        assert_int_equal(d->padded, good[i].padded);
        assert_int_equal(d->xver, 2);
    }
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct fallback_rule rules[2] = {{.dest = "80"}, {.dest = wrong[i]}};
        const struct fallback_table *t;
        size_t bad = 9;
        assert_int_equal(fallback_build(a, rules, 2, &t, &bad), ST_E_CONFIG);
        assert_int_equal(bad, 1);
    }
    arena_free(a);
}

static void refuses_bad_path_and_version(void **state)
{
    struct arena *a = arena_new();
    const struct fallback_table *t;
    size_t bad = 9;

    (void)state;
    assert_int_equal(
        fallback_build(a, &(struct fallback_rule){.dest = "80", .path = "x"}, 1, &t, &bad),
        ST_E_CONFIG);
    assert_int_equal(bad, 0);
    assert_int_equal(
        fallback_build(a, &(struct fallback_rule){.dest = "80", .xver = 3}, 1, &t, &bad),
        ST_E_CONFIG);
    arena_free(a);
}

/* What the real server did with a default row and one for /ws (vectors vless.json,
 * fallback_sink_received). */
static void sends_paths_where_the_reference_does(void **state)
{
    static const struct fallback_rule rules[] = {{.dest = "1"}, {.dest = "2", .path = "/ws"}};
    struct arena *a = arena_new();
    const struct fallback_table *t = build(a, rules, COUNT(rules));

    (void)state;
    assert_int_equal(find(t, NULL, NULL, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"), 1);
    assert_int_equal(find(t, NULL, NULL, "GET /ws?ed=1 HTTP/1.1\r\nHost: a\r\n\r\n"), 2);
    assert_int_equal(find(t, NULL, NULL, "GET /ws HTTP/1.1\r\nHost: a\r\n\r\n"), 2);
    assert_int_equal(find(t, NULL, NULL, "abc"), 1);
    arena_free(a);
}

static void finds_paths_in_request_lines_only(void **state)
{
    static const struct fallback_rule rules[] = {{.dest = "1"}, {.dest = "2", .path = "/ws"}};
    static const char filler[] = "                    ";
    struct arena *a = arena_new();
    const struct fallback_table *t = build(a, rules, COUNT(rules));
    char deep[128];

    (void)state;
    assert_int_equal(find(t, NULL, NULL, "OPTIONS /ws HTTP/1.1\r\n\r\n"), 2);
    assert_int_equal(find(t, NULL, NULL, "PROPFIND /ws HTTP/1.1\r\n\r\n"), 1); /* slash at 9 */
    assert_int_equal(find(t, NULL, NULL, "GET /WS HTTP/1.1\r\n\r\n"), 1);
    assert_int_equal(find(t, NULL, NULL, "GET /ws/ HTTP/1.1\r\n\r\n"), 1);
    assert_int_equal(find(t, NULL, NULL, "GET /ws\r\nHost: a b\r\n\r\n"), 1);
    assert_int_equal(find(t, NULL, NULL, "GET /ws HTTP/1.1\r"), 1); /* 17 bytes */
    assert_int_equal(find(t, NULL, NULL, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 1);
    assert_int_equal(find(t, NULL, NULL, "GET*/ws HTTP/1.1\r\n\r\n"), 1);
    memset(deep, 'a', sizeof(deep));
    memcpy(deep, "GET /ws", 7);
    deep[64] = ' ';
    deep[127] = '\0';
    assert_int_equal(find(t, NULL, NULL, deep), 1);
    assert_int_equal(find(t, NULL, NULL, filler), 1);
    arena_free(a);
}

static void a_missing_table_closes(void **state)
{
    static const struct fallback_rule rules[] = {{.name = "a.example", .dest = "1"},
                                                 {.name = "b.example", .alpn = "h2", .dest = "2"},
                                                 {.name = "c.example", .path = "/c", .dest = "3"}};
    struct arena *a = arena_new();
    const struct fallback_table *t = build(a, rules, COUNT(rules));

    (void)state;
    assert_int_equal(find(t, "other.test", NULL, "x"), 0);
    assert_int_equal(find(t, NULL, NULL, "x"), 0);
    assert_int_equal(find(t, "b.example", "http/1.1", "x"), 0);
    assert_int_equal(find(t, "b.example", "h2", "x"), 2);
    assert_int_equal(find(t, "c.example", NULL, "GET /other HTTP/1.1\r\n"), 0);
    assert_int_equal(find(t, "c.example", NULL, "GET /c HTTP/1.1\r\n\r\n"), 3);
    assert_int_equal(find(build(a, NULL, 0), NULL, NULL, "x"), 0);
    arena_free(a);
}

static void prefers_the_longest_name_inside_the_sni(void **state)
{
    static const struct fallback_rule rules[] = {{.dest = "1"},
                                                 {.name = "example", .dest = "2"},
                                                 {.name = "Sub.Example", .dest = "3"},
                                                 {.name = "www.example.com", .dest = "4"}};
    struct arena *a = arena_new();
    const struct fallback_table *t = build(a, rules, COUNT(rules));

    (void)state;
    assert_int_equal(find(t, "www.example.com", NULL, "x"), 4);
    assert_int_equal(find(t, "a.sub.example.net", NULL, "x"), 3);
    assert_int_equal(find(t, "my-example-host", NULL, "x"), 2);
    assert_int_equal(find(t, "nothing.test", NULL, "x"), 1);
    arena_free(a);
}

static void later_duplicates_win(void **state)
{
    static const struct fallback_rule rules[] = {
        {.dest = "1"}, {.path = "/p", .dest = "2"}, {.dest = "3"}, {.path = "/p", .dest = "4"}};
    struct arena *a = arena_new();
    const struct fallback_table *t = build(a, rules, COUNT(rules));

    (void)state;
    assert_int_equal(find(t, NULL, NULL, "x"), 3);
    assert_int_equal(find(t, NULL, NULL, "GET /p HTTP/1.1\r\n\r\n"), 4);
    arena_free(a);
}

/* (a) names get the ALPN keys of "", (b) an ALPN the paths of its name's "", (c) a name what ""
 * still has beyond. */
static void inherits_in_the_order_of_the_reference(void **state)
{
    static const struct fallback_rule rules[] = {
        {.dest = "1"},
        {.alpn = "h2", .dest = "2"},
        {.path = "/g", .dest = "3"},
        {.name = "n.example", .dest = "4"},
        {.name = "n.example", .alpn = "spdy", .path = "/s", .dest = "5"},
        {.name = "m.example", .path = "/m", .dest = "6"}};
    struct arena *a = arena_new();
    const struct fallback_table *t = build(a, rules, COUNT(rules));

    (void)state;
    /* n has ALPN h2 through (a), filled from n's own "" by (b) before (c) could bring 2; /g comes
     * by (c). */
    assert_int_equal(find(t, "n.example", "h2", "x"), 4);
    assert_int_equal(find(t, "n.example", "h2", "GET /g HTTP/1.1\r\n\r\n"), 3);
    assert_int_equal(find(t, "n.example", NULL, "GET /g HTTP/1.1\r\n\r\n"), 3);
    assert_int_equal(find(t, "n.example", "spdy", "GET /s HTTP/1.1\r\n\r\n"), 5);
    assert_int_equal(find(t, "n.example", "spdy", "x"), 4);
    /* m has no general path of its own: (c) brings 1 and, under h2, 2. */
    assert_int_equal(find(t, "m.example", NULL, "x"), 1);
    assert_int_equal(find(t, "m.example", "h2", "x"), 2);
    assert_int_equal(find(t, "m.example", "h2", "GET /m HTTP/1.1\r\n\r\n"), 6);
    /* within "" itself h2 gets /g */
    assert_int_equal(find(t, NULL, "h2", "GET /g HTTP/1.1\r\n\r\n"), 3);
    assert_int_equal(find(t, NULL, "other", "x"), 1);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_form_of_dest),
        cmocka_unit_test(refuses_bad_path_and_version),
        cmocka_unit_test(sends_paths_where_the_reference_does),
        cmocka_unit_test(finds_paths_in_request_lines_only),
        cmocka_unit_test(a_missing_table_closes),
        cmocka_unit_test(prefers_the_longest_name_inside_the_sni),
        cmocka_unit_test(later_duplicates_win),
        cmocka_unit_test(inherits_in_the_order_of_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
