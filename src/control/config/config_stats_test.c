#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/config/config.h"

static const struct config *parse(const char *text)
{
    const struct config *cfg;
    assert_true(config_parse(text, strlen(text), "c.json", NULL, &cfg) != ST_E_NOMEM);
    assert_non_null(cfg);
    return cfg;
}

static void test_off_by_default(void **state)
{
    (void)state;
    const struct config *c = parse("{\"Nodes\":[]}");
    assert_int_equal(c->stats.listen.family, ADDR_NONE);
    assert_int_equal(c->metrics.listen.family, ADDR_NONE);
    assert_false(c->stats.enabled || c->metrics.users);
    config_unref(c);
}

static void test_as_sing_box_writes_it(void **state)
{
    (void)state;
    const struct config *c =
        parse("{\"Nodes\":[],\"experimental\":{\"v2ray_api\":{\"listen\":\"127.0.0.1:10085\","
              "\"stats\":{\"enabled\":true,\"inbounds\":[\"vmess-in\"],"
              "\"outbounds\":[\"proxy\",\"direct\"],\"users\":[\"user1\",\"user2\"]}},"
              "\"cache_file\":{\"enabled\":true}},"
              "\"Metrics\":{\"Listen\":\"[::1]:9550\",\"Users\":true}}");
    char text[ADDR_STRLEN];
    assert_int_equal(c->errors + c->warnings, 0);
    assert_int_equal(c->notices, 1);
    assert_string_equal(addr_str(&c->stats.listen, text), "127.0.0.1:10085");
    assert_true(c->stats.enabled && c->metrics.users);
    assert_int_equal(c->stats.inbounds.count, 1);
    assert_int_equal(c->stats.outbounds.count, 2);
    assert_string_equal(c->stats.outbounds.list[1], "direct");
    assert_int_equal(c->stats.users.count, 2);
    assert_string_equal(addr_str(&c->metrics.listen, text), "[::1]:9550");
    config_unref(c);
}

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *listen, *want; /* want NULL: an error */
        unsigned warnings;
    } cases[] = {
        {"127.0.0.1:1", "127.0.0.1:1", 0},
        {"localhost:8080", "127.0.0.1:8080", 0},
        {"127.9.9.9:5", "127.9.9.9:5", 0},
        {":10085", "[::]:10085", 1},
        {"0.0.0.0:80", "0.0.0.0:80", 1},
        {"192.0.2.1:80", "192.0.2.1:80", 1},
        {"127.0.0.1", NULL, 0},
        {"127.0.0.1:0", NULL, 0},
        {"127.0.0.1:65536", NULL, 0},
        {"127.0.0.1:80x", NULL, 0},
        {"host:80", NULL, 0},
        {"::1:80", NULL, 0},
        {"127.0.0.1:-1", NULL, 0},
        {"127.0.0.1: 80", NULL, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256], at[ADDR_STRLEN];
        snprintf(text, sizeof(text),
                 "{\"Nodes\":[],\"experimental\":{\"v2ray_api\":{\"listen\":\"%s\"}}}",
                 cases[i].listen);
        const struct config *c = parse(text);
        assert_int_equal(c->errors, cases[i].want == NULL);
        assert_int_equal(c->warnings, cases[i].warnings);
        if (cases[i].want != NULL)
            assert_string_equal(addr_str(&c->stats.listen, at), cases[i].want);
        config_unref(c);
    }
}

static void test_shown_without_credentials(void **state)
{
    (void)state;
    char *shown = NULL;
    size_t len = 0;
    const struct config *c =
        parse("{\"Nodes\":[],\"experimental\":{\"v2ray_api\":{\"listen\":\"127.0.0.1:10085\","
              "\"stats\":{\"users\":[\"in|11111111-2222-4333-8444-555555555555\"]}}}}");
    FILE *to = open_memstream(&shown, &len);
    assert_non_null(to);
    config_print(c, to);
    assert_int_equal(fclose(to), 0);
    assert_null(strstr(shown, "2222-4333"));
    assert_non_null(strstr(shown, "\"listen\": \"127.0.0.1:10085\""));
    free(shown);
    config_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_off_by_default),
        cmocka_unit_test(test_as_sing_box_writes_it),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_shown_without_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
