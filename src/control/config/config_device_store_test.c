#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/config/config.h"

#define NODE(more)                                                                                 \
    "{\"Nodes\":[{\"ApiHost\":\"http://p.test/\",\"ApiKey\":\"k\",\"NodeID\":1," more "}]}"

static const struct config *parse(const char *text)
{
    const struct config *cfg;
    assert_true(config_parse(text, strlen(text), "c.json", NULL, &cfg) != ST_E_NOMEM);
    assert_non_null(cfg);
    return cfg;
}

static void off_by_default(void **state)
{
    (void)state;
    const struct config *c = parse(NODE("\"Port\":1"));
    assert_false(c->device_store.given || c->device_store.on);
    assert_false(c->nodes[0].options.device_store.given || c->nodes[0].options.device_store.on);
    config_unref(c);
}

static void all_there_is(void **state)
{
    (void)state;
    const struct config *c =
        parse("{\"Nodes\":[],\"DeviceStore\":{\"Type\":\"redis\",\"Address\":\"r.test:7000\","
              "\"Username\":\"u\",\"Password\":\"pw\",\"DB\":3,\"Prefix\":\"x:\",\"Expiry\":30,"
              "\"Timeout\":\"500ms\"}}");
    const struct config_device_store *s = &c->device_store;
    assert_int_equal(c->errors + c->warnings + c->notices, 0);
    assert_true(s->given && s->on);
    assert_string_equal(s->host, "r.test");
    assert_int_equal(s->port, 7000);
    assert_string_equal(s->path, "");
    assert_string_equal(s->username, "u");
    assert_string_equal(s->password, "pw");
    assert_int_equal(s->db, 3);
    assert_string_equal(s->prefix, "x:");
    assert_int_equal(s->expiry_s, 30);
    assert_int_equal(s->timeout_ms, 500);
    config_unref(c);
}

static void over_tls(void **state)
{
    (void)state;
    const struct config *c =
        parse("{\"Nodes\":[],\"DeviceStore\":{\"Address\":\"r.test\",\"TLS\":true,"
              "\"CA\":\"/ca.pem\",\"ServerName\":\"s.test\",\"CertFile\":\"/c.pem\","
              "\"KeyFile\":\"/k.pem\",\"Insecure\":true}}");
    const struct config_device_store *s = &c->device_store;
    assert_int_equal(c->errors + c->warnings + c->notices, 0);
    assert_true(s->on && s->tls && s->insecure);
    assert_string_equal(s->ca, "/ca.pem");
    assert_string_equal(s->server_name, "s.test");
    assert_string_equal(s->cert_file, "/c.pem");
    assert_string_equal(s->key_file, "/k.pem");
    /* What is asked otherwise is another store. */
    static const char *const others[] = {"",
                                         ",\"TLS\":true,\"Insecure\":true",
                                         ",\"TLS\":true,\"CA\":\"/d\"",
                                         ",\"TLS\":true,\"ServerName\":\"t\"",
                                         ",\"TLS\":true,\"CertFile\":\"/d\",\"KeyFile\":\"/k\"",
                                         ",\"TLS\":true,\"CertFile\":\"/d\",\"KeyFile\":\"/l\""};
    const struct config *d[6];
    for (size_t i = 0; i < 6; i++) {
        char text[256];
        snprintf(text, sizeof(text), "{\"Nodes\":[],\"DeviceStore\":{\"Address\":\"r.test\"%s}}",
                 others[i]);
        d[i] = parse(text);
        assert_int_equal(d[i]->errors + d[i]->warnings, 0);
        for (size_t k = 0; k < i; k++)
            assert_false(config_device_store_equal(&d[i]->device_store, &d[k]->device_store));
        assert_true(config_device_store_equal(&d[i]->device_store, &d[i]->device_store));
    }
    for (size_t i = 0; i < 6; i++)
        config_unref(d[i]);
    config_unref(c);
}

/* XrayR's example, as it comes with it. */
static void what_xrayr_calls_it(void **state)
{
    (void)state;
    const struct config *c = parse(
        NODE("\"GlobalDeviceLimitConfig\":{\"Enable\":true,\"RedisNetwork\":\"tcp\","
             "\"RedisAddr\":\"127.0.0.1:6379\",\"RedisUsername\":\"\",\"RedisPassword\":\"pw\","
             "\"RedisDB\":0,\"Timeout\":5,\"Expiry\":60}"));
    const struct config_device_store *s = &c->nodes[0].options.device_store;
    assert_int_equal(c->errors + c->warnings + c->notices, 0);
    assert_true(s->on);
    assert_string_equal(s->host, "127.0.0.1");
    assert_int_equal(s->timeout_ms, 5000);
    config_unref(c);
    c = parse(NODE("\"GlobalDeviceLimitConfig\":{\"RedisAddr\":\"127.0.0.1:6379\"}"));
    assert_false(c->nodes[0].options.device_store.on);
    config_unref(c);
    c = parse(NODE("\"GlobalDeviceLimitConfig\":{\"Enable\":true,\"RedisNetwork\":\"unix\","
                   "\"RedisAddr\":\"/run/redis.sock\"}"));
    assert_string_equal(c->nodes[0].options.device_store.path, "/run/redis.sock");
    config_unref(c);
}

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *address, *host, *path; /* host NULL: an error */
        unsigned port;
    } cases[] = {
        {"redis.test", "redis.test", "", 6379},
        {"redis.test:1", "redis.test", "", 1},
        {"192.0.2.1:65535", "192.0.2.1", "", 65535},
        {"[2001:db8::1]:6380", "2001:db8::1", "", 6380},
        {"[::1]", "::1", "", 6379},
        {"::1", "::1", "", 6379},
        {"unix:/run/r.sock", "", "/run/r.sock", 0},
        {"unix:///run/r.sock", "", "/run/r.sock", 0},
        {"/run/r.sock", "", "/run/r.sock", 0},
        {"", NULL, NULL, 0},
        {"redis.test:", NULL, NULL, 0},
        {"redis.test:0", NULL, NULL, 0},
        {"redis.test:65536", NULL, NULL, 0},
        {"redis.test:6379x", NULL, NULL, 0},
        {":6379", NULL, NULL, 0},
        {"[::1", NULL, NULL, 0},
        {"[::1]6379", NULL, NULL, 0},
        {"unix:run/r.sock", NULL, NULL, 0},
        {"redis://:secret@redis.test:6379/0", NULL, NULL, 0},
        {"user:secret@redis.test", NULL, NULL, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256], found[512];
        snprintf(text, sizeof(text), "{\"Nodes\":[],\"DeviceStore\":{\"Address\":\"%s\"}}",
                 cases[i].address);
        const struct config *c = parse(text);
        if (c->errors != (cases[i].host == NULL))
            fail_msg("case %zu: %u errors", i, c->errors);
        for (size_t k = 0; k < c->finding_count; k++)
            assert_null(
                strstr(config_finding_str(&c->findings[k], found, sizeof(found)), "secret"));
        if (cases[i].host != NULL) {
            assert_string_equal(c->device_store.host, cases[i].host);
            assert_string_equal(c->device_store.path, cases[i].path);
            assert_int_equal(c->device_store.port, cases[i].port);
        } else {
            assert_false(c->device_store.on);
        }
        config_unref(c);
    }
}

static void mistakes(void **state)
{
    (void)state;
    static const char *const bad[] = {"{\"Type\":\"memcached\",\"Address\":\"a:1\"}",
                                      "{\"Type\":\"redis\"}",
                                      "[1]",
                                      "\"redis\"",
                                      "{\"Address\":\"a:1\",\"Expiry\":1}",
                                      "{\"Address\":\"a:1\",\"DB\":-1}",
                                      "{\"Address\":\"/r.sock\",\"TLS\":true}",
                                      "{\"Address\":\"a:1\",\"TLS\":true,\"CertFile\":\"c\"}",
                                      "{\"Address\":\"a:1\",\"TLS\":1.5}"};
    char text[256];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), NODE("\"DeviceStore\":%s"), bad[i]);
        const struct config *c = parse(text);
        assert_int_equal(c->errors, 1);
        assert_int_equal(c->node_count, 0);
        config_unref(c);
    }
    const struct config *c = parse(NODE("\"DeviceStore\":{\"Address\":\"a\",\"CA\":\"/c\"}"));
    assert_int_equal(c->errors, 0);
    assert_int_equal(c->warnings, 1); /* without TLS */
    config_unref(c);
    c = parse(NODE("\"DeviceStore\":{\"Type\":\"none\"}"));
    assert_int_equal(c->errors, 0);
    assert_true(c->nodes[0].options.device_store.given && !c->nodes[0].options.device_store.on);
    config_unref(c);
}

static void shown_without_the_password(void **state)
{
    (void)state;
    char *shown = NULL;
    size_t len = 0;
    const struct config *c = parse(
        NODE("\"DeviceStore\":{\"Address\":\"unix:/r.sock\",\"Password\":\"a-very-secret-word\"}"));
    FILE *to = open_memstream(&shown, &len);
    assert_non_null(to);
    config_print(c, to);
    assert_int_equal(fclose(to), 0);
    assert_null(strstr(shown, "very-secret"));
    assert_non_null(strstr(shown, "\"Address\": \"unix:/r.sock\""));
    free(shown);
    /* A changed password is a changed node. */
    const struct config *d = parse(NODE(
        "\"DeviceStore\":{\"Address\":\"unix:/r.sock\",\"Password\":\"a-very-secret-world\"}"));
    assert_false(config_node_equal(&c->nodes[0], &d->nodes[0]));
    assert_false(config_device_store_equal(&c->nodes[0].options.device_store,
                                           &d->nodes[0].options.device_store));
    config_unref(c);
    config_unref(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_by_default),
        cmocka_unit_test(all_there_is),
        cmocka_unit_test(over_tls),
        cmocka_unit_test(what_xrayr_calls_it),
        cmocka_unit_test(addresses),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(shown_without_the_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
