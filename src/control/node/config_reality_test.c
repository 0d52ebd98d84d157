#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "codec/json.h"
#include "control/config/config.h"
#include "control/node/node_config.h"
#include "control/node/view_builder.h"
#include "transport/reality/reality_conf.h"

#define KEY            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define KEY_2          "gAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define API            "\"ApiHost\":\"http://p/\",\"ApiKey\":\"k\",\"NodeID\":7,\"Name\":\"n\""
#define NODE(more)     "{\"StateDir\":\"/tmp\",\"Nodes\":[{" API "," more "}]}"
#define LOCAL(members) NODE("\"RealityConfig\":{" members "}")

static const struct config *parse(const char *text)
{
    const struct config *cfg = NULL;
    enum status st = config_parse(text, strlen(text), "c.json", NULL, &cfg);
    assert_non_null(cfg);
    assert_true(st == ST_OK || cfg->errors > 0);
    return cfg;
}

/* The one finding of @text. */
static void finding_is(const char *text, const char *want)
{
    const struct config *cfg = parse(text);
    char line[900];
    assert_int_equal(cfg->finding_count, 1);
    assert_string_equal(config_finding_str(&cfg->findings[0], line, sizeof(line)), want);
    config_unref(cfg);
}

static void every_member_lands(void **state)
{
    (void)state;
    const struct config *cfg =
        parse(NODE("\"EnableREALITY\":true,\"REALITYConfigs\":{\"Dest\":8443,"
                   "\"ProxyProtocolVer\":\"2\",\"ServerNames\":[\"a.example\",\"b.example\"],"
                   "\"PrivateKey\":\"" KEY "\",\"MinClientVer\":\"1.8\",\"MaxClientVer\":26,"
                   "\"MaxTimeDiff\":60000,\"ShortIds\":[\"\",\"0123abcd\"]}"));
    assert_int_equal(cfg->finding_count, 0);
    const struct config_options *o = &cfg->nodes[0].options;
    assert_true(o->reality_on);
    assert_string_equal(o->reality.dest, "8443");
    assert_true(o->reality.has_xver);
    assert_int_equal(o->reality.xver, 2);
    assert_int_equal(o->reality.server_name_count, 2);
    assert_int_equal(o->reality.short_id_count, 2);
    struct json_t *v = NULL;
    assert_int_equal(config_reality_json(&o->reality, &v), ST_OK);
    assert_string_equal(json_get_str(v, "dest", ""), "8443");
    assert_string_equal(json_get_str(v, "privateKey", ""), KEY);
    assert_string_equal(json_str(json_at(json_get(v, "serverNames"), 1)), "b.example");
    assert_string_equal(json_str(json_at(json_get(v, "shortIds"), 0)), "0123abcd");
    assert_string_equal(json_str(json_at(json_get(v, "shortIds"), 1)), "");
    assert_string_equal(json_get_str(v, "maxTimeDiff", ""), "60000");
    assert_int_equal(json_get_int(v, "xver", 0), 2);
    json_unref(v);
    config_unref(cfg);
    cfg = parse(LOCAL("\"Dest\":\"\",\"ServerNames\":[],\"PrivateKey\":null"));
    assert_int_equal(config_reality_json(&cfg->nodes[0].options.reality, &v), ST_OK);
    assert_null(v);
    config_unref(cfg);
}

static void brakes_on_strangers_replace_the_panels(void **state)
{
    (void)state;
    const struct config *cfg = parse(
        LOCAL("\"LimitFallbackUpload\":{},\"limitFallbackDownload\":"
              "{\"afterBytes\":\"1m\",\"bytesPerSec\":\"20000\",\"BurstBytesPerSec\":30000}"));
    assert_int_equal(cfg->finding_count, 0);
    const struct config_reality *c = &cfg->nodes[0].options.reality;
    struct json_t *v = NULL;
    assert_int_equal(config_reality_json(c, &v), ST_OK);
    const struct json_t *down = json_get(v, "limitFallbackDownload");
    assert_int_equal(json_get_int(down, "afterBytes", 0), 1 << 20);
    assert_int_equal(json_get_int(down, "bytesPerSec", 0), 20000);
    assert_int_equal(json_get_int(down, "burstBytesPerSec", 0), 30000);
    /* None is a word too. */
    assert_int_equal(json_get_int(json_get(v, "limitFallbackUpload"), "bytesPerSec", 1), 0);
    json_unref(v);
    config_unref(cfg);
    finding_is(LOCAL("\"LimitFallbackUpload\":5"),
               "c.json:1:104: error: node n: Nodes[0].RealityConfig.LimitFallbackUpload: must be "
               "an object with AfterBytes, BytesPerSec and BurstBytesPerSec");
    finding_is(LOCAL("\"LimitFallbackUpload\":{\"BytesPerSecond\":5}"),
               "c.json:1:127: warning: node n: Nodes[0].RealityConfig.LimitFallbackUpload."
               "BytesPerSecond: unknown key, not read; did you mean \"BytesPerSec\"?");
}

static void mistakes_are_named_with_their_place(void **state)
{
    (void)state;
    finding_is(
        LOCAL("\"PrivateKey\":\"secret\""),
        "c.json:1:104: error: node n: Nodes[0].RealityConfig.PrivateKey: must be 32 bytes in "
        "base64url, 43 characters, as v2sp reality and v2sp mldsa65 print them");
    finding_is(LOCAL("\"ShortIds\":[\"00\",\"abc\"]"),
               "c.json:1:104: error: node n: Nodes[0].RealityConfig.ShortIds: \"abc\" is no short "
               "id: an even number of hex digits, 16 at most");
    finding_is(
        LOCAL("\"ServerNames\":[\"*.example\"]"),
        "c.json:1:104: error: node n: Nodes[0].RealityConfig.ServerNames: \"*.example\" is no "
        "server name: plain host names, without \"*\" and port");
    finding_is(
        LOCAL("\"Dest\":\"a.example:0\""),
        "c.json:1:104: error: node n: Nodes[0].RealityConfig.Dest: \"a.example:0\" cannot be "
        "used: host:port, a port, /path/of/unix.sock or @abstract is needed");
    finding_is(LOCAL("\"MinClientVer\":\"1.300\""),
               "c.json:1:104: error: node n: Nodes[0].RealityConfig.MinClientVer: must be x.y.z, "
               "such as \"25.1.1\"");
    finding_is(LOCAL("\"MaxTimeDiff\":\"soon\""),
               "c.json:1:104: error: node n: Nodes[0].RealityConfig.MaxTimeDiff: must be "
               "milliseconds, or a number with ms, s, m or h behind it");
    finding_is(LOCAL("\"mldsa65Seed\":\"AAAA\""),
               "c.json:1:104: error: node n: Nodes[0].RealityConfig.mldsa65Seed: must be 32 bytes "
               "in base64url, 43 characters, as v2sp reality and v2sp mldsa65 print them");
    finding_is(LOCAL("\"PrivatKey\":\"" KEY "\""),
               "c.json:1:104: warning: node n: Nodes[0].RealityConfig.PrivatKey: unknown key, not "
               "read; did you mean \"PrivateKey\"?");
    finding_is(NODE("\"RealityConfig\":7"),
               "c.json:1:87: error: node n: Nodes[0].RealityConfig: must be an object in braces { "
               "}");
}

static void a_seed_needs_a_library_for_it(void **state)
{
    (void)state;
    if (!mldsa_available()) {
        finding_is(LOCAL("\"mldsa65Seed\":\"" KEY "\""),
                   "c.json:1:104: error: node n: Nodes[0].RealityConfig.mldsa65Seed: ML-DSA-65 "
                   "needs OpenSSL 3.5 or later");
        return;
    }
    const struct config *cfg = parse(LOCAL("\"mldsa65Seed\":\"" KEY "\""));
    assert_int_equal(cfg->finding_count, 0);
    config_unref(cfg);
}

/* XrayR's sample has placeholders in an object that is switched off. */
static void switched_off_it_is_not_read(void **state)
{
    (void)state;
    static const char *const off[] = {"\"EnableREALITY\":false", "\"enablereality\":\"0\"",
                                      "\"EnableREALITY\":true,\"DisableLocalREALITYConfig\":true"};
    for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
        char text[512];
        snprintf(text, sizeof(text), NODE("\"REALITYConfigs\":{\"PrivateKey\":\"YOUR_KEY\"},%s"),
                 off[i]);
        const struct config *cfg = parse(text);
        assert_int_equal(cfg->finding_count, 0);
        assert_false(cfg->nodes[0].options.reality_on);
        assert_string_equal(cfg->nodes[0].options.reality.private_key, "");
        config_unref(cfg);
    }
}

static void shown_secrets_are_masked_and_not_taken_back(void **state)
{
    (void)state;
    const struct config *cfg = parse(LOCAL("\"PrivateKey\":\"" KEY "\",\"ShortIds\":[\"aa\"]"));
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    config_print(cfg, f);
    fclose(f);
    config_unref(cfg);
    assert_null(strstr(text, KEY));
    assert_non_null(strstr(text, "AAEC****dHh8"));
    cfg = parse(text);
    assert_int_equal(cfg->node_count, 1);
    assert_int_equal(cfg->warnings, 1);
    assert_string_equal(cfg->nodes[0].options.reality.private_key, "");
    assert_string_equal(cfg->nodes[0].options.reality.short_ids[0], "aa");
    config_unref(cfg);
    free(text);
}

static void a_change_is_seen(void **state)
{
    (void)state;
    const struct config *a = parse(LOCAL("\"PrivateKey\":\"" KEY "\"")),
                        *b = parse(LOCAL("\"PrivateKey\":\"" KEY_2 "\"")),
                        *c = parse(NODE("\"EnableREALITY\":true,\"RealityConfig\":{\"PrivateKey\":"
                                        "\"" KEY "\"}"));
    assert_false(config_node_equal(&a->nodes[0], &b->nodes[0]));
    assert_false(config_node_equal(&a->nodes[0], &c->nodes[0]));
    config_unref(a);
    config_unref(b);
    config_unref(c);
}

/* ---- over a panel's answer ---- */

static enum status build(const char *text, const char *reply, struct served_node **out,
                         char problem[NODE_PROBLEM_MAX])
{
    const struct config *cfg = parse(text);
    struct json_t *v = NULL;
    assert_int_equal(cfg->errors, 0);
    assert_int_equal(json_parse(reply, strlen(reply), &v, NULL), ST_OK);
    enum status st = view_builder_make(&cfg->nodes[0], v, out, problem);
    json_unref(v);
    config_unref(cfg);
    return st;
}

static const struct reality_conf *conf_of(const struct served_node *s)
{
    assert_string_equal(s->node.stages[0].ops->name, "reality");
    return s->node.stages[0].conf;
}

static void local_values_override_the_panel(void **state)
{
    (void)state;
    static const char reply[] =
        "{\"node_type\":\"vless\",\"server_port\":443,\"tls\":2,\"flow\":\"xtls-rprx-vision\","
        "\"tls_settings\":{\"server_name\":\"panel.example\",\"dest\":\"panel.example:8443\","
        "\"private_key\":\"" KEY "\",\"short_id\":\"aaaa\",\"xver\":\"1\"}}";
    char problem[NODE_PROBLEM_MAX];
    struct served_node *s = NULL;
    assert_int_equal(build(LOCAL("\"Dest\":\"\""), reply, &s, problem), ST_OK);
    assert_string_equal(conf_of(s)->names[0].text, "panel.example");
    assert_int_equal(conf_of(s)->dest.target.addr.port, 8443);
    assert_int_equal(conf_of(s)->dest.xver, 1);
    served_node_unref(s);
    assert_int_equal(build(LOCAL("\"Dest\":\"127.0.0.1:9443\",\"ProxyProtocolVer\":0,"
                                 "\"ServerNames\":[\"x.example\",\"y.example\"],"
                                 "\"ShortIds\":[\"\",\"bb\"]"),
                           reply, &s, problem),
                     ST_OK);
    assert_int_equal(conf_of(s)->name_count, 2);
    assert_string_equal(conf_of(s)->names[1].text, "y.example");
    assert_int_equal(conf_of(s)->dest.target.addr.port, 9443);
    assert_int_equal(conf_of(s)->dest.xver, 0);
    assert_int_equal(conf_of(s)->short_id_count, 2);
    served_node_unref(s);
}

static void a_node_is_reality_by_the_file_alone(void **state)
{
    (void)state;
    static const char reply[] = "{\"node_type\":\"vless\",\"server_port\":443}";
    char problem[NODE_PROBLEM_MAX];
    struct served_node *s = NULL;
    assert_int_equal(build(NODE("\"EnableREALITY\":true,\"RealityConfig\":{\"Dest\":"
                                "\"x.example:443\",\"ServerNames\":\"x.example\",\"PrivateKey\":"
                                "\"" KEY "\"}"),
                           reply, &s, problem),
                     ST_OK);
    assert_int_equal(conf_of(s)->dest.target.addr.port, 443);
    served_node_unref(s);
    /* Without the switch the panel's word counts: no TLS at all. */
    assert_int_equal(build(LOCAL("\"PrivateKey\":\"" KEY "\""), reply, &s, problem), ST_OK);
    assert_string_equal(s->node.stages[0].ops->name, "vless");
    served_node_unref(s);
    assert_int_equal(build(NODE("\"EnableREALITY\":true"), reply, &s, problem), ST_E_CONFIG);
    assert_string_equal(problem, "REALITY privateKey: is missing");
}

static void what_a_panel_gets_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *settings, *problem;
    } cases[] = {
        {"\"private_key\":\"abc\",\"server_name\":\"a\"",
         "REALITY privateKey: must be 32 bytes in base64url"},
        {"\"private_key\":\"" KEY "\",\"server_name\":\"a\",\"short_id\":\"xyz\"",
         "REALITY shortIds: must be an even number of hex digits, 16 at most, each"},
        {"\"private_key\":\"" KEY "\",\"server_names\":[\"*.a\"]",
         "REALITY serverNames: must be plain host names, without \"*\""},
        {"\"private_key\":\"" KEY "\",\"server_name\":\"a\",\"mldsa65Seed\":\"abc\"",
         "REALITY mldsa65Seed: must be 32 bytes in base64url"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char reply[512], problem[NODE_PROBLEM_MAX];
        struct served_node *s = NULL;
        snprintf(reply, sizeof(reply),
                 "{\"node_type\":\"vless\",\"server_port\":443,\"tls\":2,\"tls_settings\":{%s}}",
                 cases[i].settings);
        assert_int_equal(build(LOCAL(""), reply, &s, problem), ST_E_CONFIG);
        assert_string_equal(problem, cases[i].problem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_lands),
        cmocka_unit_test(brakes_on_strangers_replace_the_panels),
        cmocka_unit_test(mistakes_are_named_with_their_place),
        cmocka_unit_test(a_seed_needs_a_library_for_it),
        cmocka_unit_test(switched_off_it_is_not_read),
        cmocka_unit_test(shown_secrets_are_masked_and_not_taken_back),
        cmocka_unit_test(a_change_is_seen),
        cmocka_unit_test(local_values_override_the_panel),
        cmocka_unit_test(a_node_is_reality_by_the_file_alone),
        cmocka_unit_test(what_a_panel_gets_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
