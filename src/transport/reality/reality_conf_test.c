/* What panels and people write about REALITY, and what they are told when it cannot be used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "tls/hello.h"
#include "transport/reality/reality.h"
#include "transport/reality/reality_auth.h"

#define KEY "\"private_key\":\"AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dw\","

struct parsed {
    struct arena *arena;
    struct json_t *panel, *local;
    const struct reality_conf *conf;
    struct conf_error err;
    enum status st;
};

static struct json_t *json(const char *text)
{
    struct json_t *v = NULL;
    struct json_error err;

    if (text != NULL)
        assert_int_equal(json_parse(text, strlen(text), &v, &err), ST_OK);
    return v;
}

static void parse(struct parsed *p, const char *panel, const char *local)
{
    const void *conf;

    p->arena = arena_new();
    p->panel = json(panel);
    p->local = json(local);
    const struct conf_context ctx = {.reality = p->local};
    p->st = transport_reality.parse_conf(p->arena, p->panel, &ctx, &conf, &p->err);
    p->conf = conf;
    assert_true(p->st == ST_OK ? conf != NULL : conf == NULL);
}

static void drop(struct parsed *p)
{
    transport_reality.free_conf(p->conf);
    arena_free(p->arena);
    json_unref(p->panel);
    json_unref(p->local);
}

static void test_panel_object(void **state)
{
    static const uint8_t id[8] = {0x01, 0x23};
    struct parsed p;

    (void)state;
    parse(&p,
          "{" KEY "\"server_name\":\"a.test\",\"server_port\":\"8443\",\"short_id\":\"0123\","
          "\"xver\":\"1\"}",
          NULL);
    assert_int_equal(p.st, ST_OK);
    assert_string_equal(p.conf->dest.target.host, "a.test");
    assert_int_equal(p.conf->dest.target.addr.port, 8443);
    assert_int_equal(p.conf->dest.xver, 1);
    assert_int_equal(p.conf->name_count, 1);
    assert_string_equal(p.conf->names[0].text, "a.test");
    assert_int_equal(p.conf->short_id_count, 1);
    assert_memory_equal(p.conf->short_ids[0], id, 8);
    drop(&p);
}

static void test_lists(void **state)
{
    static const uint8_t none[8];
    struct parsed p;

    (void)state;
    parse(
        &p,
        "{" KEY "\"serverNames\":[\"A.test\",\"\",\"b.test\"],\"target\":\"[::1]:444\","
        "\"shortIds\":[\"\",\"0123456789abcdef\"],\"minClientVer\":\"1.8\",\"maxClientVer\":\"26\","
        "\"maxTimeDiff\":\"2m\"}",
        NULL);
    assert_int_equal(p.st, ST_OK);
    assert_int_equal(p.conf->name_count, 3);
    assert_string_equal(p.conf->names[0].text, "A.test");
    assert_int_equal(p.conf->names[1].len, 0);
    assert_int_equal(p.conf->short_id_count, 2);
    assert_memory_equal(p.conf->short_ids[0], none, 8);
    assert_int_equal(p.conf->dest.target.addr.family, ADDR_IP6);
    assert_int_equal(p.conf->dest.target.addr.port, 444);
    assert_int_equal(p.conf->min_version, 0x010800);
    assert_int_equal(p.conf->max_version, 0x1a0000);
    assert_int_equal(p.conf->max_time_diff_ms, 120000);
    drop(&p);
    parse(&p, "{" KEY "\"server_names\":\"a.test, b.test\",\"short_ids\":\"01,0203\"}", NULL);
    assert_int_equal(p.st, ST_OK);
    assert_int_equal(p.conf->name_count, 2);
    assert_string_equal(p.conf->names[1].text, "b.test");
    assert_int_equal(p.conf->short_id_count, 2);
    assert_string_equal(p.conf->dest.target.host, "a.test");
    assert_int_equal(p.conf->dest.target.addr.port, 443);
    drop(&p);
}

/* Non-empty local values count; empty ones do not. */
static void test_local(void **state)
{
    struct parsed p;

    (void)state;
    parse(&p, "{" KEY "\"server_name\":\"a.test\",\"short_id\":\"01\",\"max_time_diff\":5}",
          "{\"Dest\":8443,\"ServerNames\":[\"l.test\"],\"PrivateKey\":\"\",\"ShortIds\":[],"
          "\"ProxyProtocolVer\":2,\"MaxTimeDiff\":60000}");
    assert_int_equal(p.st, ST_OK);
    assert_string_equal(p.conf->names[0].text, "l.test");
    assert_string_equal(p.conf->dest.target.host, "localhost");
    assert_int_equal(p.conf->dest.target.addr.port, 8443);
    assert_int_equal(p.conf->dest.xver, 2);
    assert_int_equal(p.conf->short_ids[0][0], 1);
    assert_int_equal(p.conf->max_time_diff_ms, 60000);
    drop(&p);
}

static void test_dests(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
        const char *path;
        bool padded;
    } good[] = {
        {"a.test", "a.test", 7, NULL, false}, {"a.test:80", "a.test", 80, NULL, false},
        {"80", "localhost", 80, NULL, false}, {":80", "localhost", 80, NULL, false},
        {"/run/x", NULL, 0, "/run/x", false}, {"@x", NULL, 0, "@x", false},
        {"@@x", NULL, 0, "@x", true},         {"a.test:", "a.test", 7, NULL, false},
    };
    static const char *const bad[] = {
        "a.test:0", "a.test:65536", "a.test:x", "0", "@", "@@", "a b", "/", "[::1", "99999999999"};
    struct arena *a = arena_new();
    struct aux_dest d;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        memset(&d, 0, sizeof(d));
        assert_int_equal(reality_dest_parse(a, good[i].text, 7, &d), ST_OK);
        if (good[i].path != NULL) {
            assert_string_equal(d.path, good[i].path);
            assert_int_equal(d.padded, good[i].padded);
            continue;
        }
        assert_null(d.path);
        assert_string_equal(d.target.host, good[i].host);
        assert_int_equal(d.target.addr.port, good[i].port);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (reality_dest_parse(a, bad[i], 7, &d) != ST_E_CONFIG)
            fail_msg("%s", bad[i]);
    }
    assert_int_equal(reality_dest_parse(a, "2001:db8::1", 7, &d), ST_OK);
    assert_int_equal(d.target.addr.port, 7);
    arena_free(a);
}

static void test_names_the_bad_field(void **state)
{
    static const struct {
        const char *panel, *field;
    } cases[] = {
        {"{}", "privateKey"},
        {"{\"private_key\":\"AwoR\"}", "privateKey"},
        {"{\"private_key\":5}", "privateKey"},
        {"{" KEY "\"x\":0}", "serverNames"},
        {"{" KEY "\"server_names\":[5]}", "serverNames"},
        {"{" KEY "\"server_name\":\"*.a.test\"}", "serverNames"},
        {"{" KEY "\"server_name\":\"a\",\"short_id\":\"012\"}", "shortIds"},
        {"{" KEY "\"server_name\":\"a\",\"short_id\":\"0g\"}", "shortIds"},
        {"{" KEY "\"server_name\":\"a\",\"short_id\":\"0123456789abcdef01\"}", "shortIds"},
        {"{" KEY "\"server_name\":\"a\",\"dest\":\"a:b\"}", "dest"},
        {"{" KEY "\"server_name\":\"a\",\"dest\":{}}", "dest"},
        {"{" KEY "\"server_name\":\"a\",\"server_port\":0}", "server_port"},
        {"{" KEY "\"server_name\":\"a\",\"xver\":3}", "xver"},
        {"{" KEY "\"server_name\":\"a\",\"min_client_ver\":\"1.256\"}", "minClientVer"},
        {"{" KEY "\"server_name\":\"a\",\"min_client_ver\":\"1..2\"}", "minClientVer"},
        {"{" KEY "\"server_name\":\"a\",\"max_client_ver\":\"1.2.3.4\"}", "maxClientVer"},
        {"{" KEY "\"server_name\":\"a\",\"min_client_ver\":\"2\",\"max_client_ver\":\"1\"}",
         "minClientVer"},
        {"{" KEY "\"server_name\":\"a\",\"max_time_diff\":\"1y\"}", "maxTimeDiff"},
        {"{" KEY "\"server_name\":\"a\",\"mldsa65Seed\":\"AwoR\"}", "mldsa65Seed"},
        {"{" KEY "\"server_name\":\"a\",\"mldsa65Seed\":\"AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1"
         "dw\"}",
         "mldsa65Seed"},
        {"{" KEY "\"server_name\":\"a\",\"limitFallbackUpload\":{\"bytesPerSec\":-1}}",
         "limitFallbackUpload"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct parsed p;
        parse(&p, cases[i].panel, NULL);
        if (p.st != ST_E_CONFIG || strstr(p.err.text, cases[i].field) == NULL)
            fail_msg("%s: %s: %s", cases[i].panel, status_str(p.st), p.err.text);
        drop(&p);
    }
}

static void test_limits(void **state)
{
    struct parsed p;

    (void)state;
    parse(&p,
          "{" KEY "\"server_name\":\"a\",\"limitFallbackDownload\":{\"afterBytes\":\"10\","
          "\"bytesPerSec\":100,\"burstBytesPerSec\":50}}",
          NULL);
    assert_int_equal(p.st, ST_OK);
    assert_int_equal(p.conf->dest.down.after, 10);
    assert_int_equal(p.conf->dest.down.rate, 100);
    assert_int_equal(p.conf->dest.down.burst, 100);
    assert_int_equal(p.conf->dest.up.rate, 0);
    drop(&p);
}

/* Hellos of real clients: who was let in, and with which key. */
static void test_real_hellos(void **state)
{
    static char text[200000];
    static uint8_t record[4096];
    struct crypto_ctx cc;
    struct parsed p;
    FILE *f = fopen("src/tls/testdata/reality.json", "r");

    (void)state;
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    struct json_t *v = json(text);
    const struct json_t *all = json_get(v, "connections");
    assert_int_equal(crypto_ctx_init(&cc), ST_OK);
    parse(&p, "{" KEY "\"server_name\":\"target.test\",\"short_id\":\"0123456789abcdef\"}", NULL);
    assert_int_equal(json_array_len(all), 10);
    for (size_t i = 0; i < 10; i++) {
        const struct json_t *c = json_at(all, i);
        const char *hex = json_get_str(c, "client_hello_record", "");
        uint8_t key[32], want[32], before[4096];
        struct hello h;
        n = strlen(hex) / 2;
        assert_true(n < sizeof(record));
        assert_int_equal(hex_decode(record, hex, 2 * n), ST_OK);
        assert_int_equal(hello_parse(record + 5, n - 5, &h), ST_OK);
        memcpy(before, record, n);
        bool stranger = strcmp(json_get_str(c, "name", ""), "wrong-shortid") == 0;
        assert_int_equal(reality_authenticate(p.conf, &cc, record + 5, n - 5, &h, 1763726047, key),
                         stranger ? ST_E_AUTH : ST_OK);
        assert_memory_equal(before, record, n);
        if (stranger)
            continue;
        assert_int_equal(hex_decode(want, json_get_str(c, "auth_key", ""), 64), ST_OK);
        assert_memory_equal(key, want, 32);
        /* Any changed byte makes it a stranger's. */
        for (size_t at = 9; at < n; at += 97) {
            record[at] ^= 1;
            if (hello_parse(record + 5, n - 5, &h) == ST_OK)
                assert_int_equal(
                    reality_authenticate(p.conf, &cc, record + 5, n - 5, &h, 1763726047, key),
                    ST_E_AUTH);
            record[at] ^= 1;
        }
    }
    drop(&p);
    json_unref(v);
    crypto_ctx_fini(&cc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_panel_object), cmocka_unit_test(test_lists),
        cmocka_unit_test(test_local),        cmocka_unit_test(test_dests),
        cmocka_unit_test(test_limits),       cmocka_unit_test(test_names_the_bad_field),
        cmocka_unit_test(test_real_hellos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
