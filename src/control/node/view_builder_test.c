#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "codec/json.h"
#include "control/config/config.h"
#include "control/node/view_builder.h"
#include "stream/layer.h"

static char dir[64];
static char problem[NODE_PROBLEM_MAX];

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/v2sp-view-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
    (void)state;
    char cmd[128];
    snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
    return system(cmd);
}

/* Builds node 7 with the local options @local from @reply; the configuration is gone afterwards, as
 * after a reload. */
static enum status build(const char *local, const char *reply, struct served_node **out)
{
    const struct config *cfg = NULL;
    struct json_t *v = NULL;
    struct json_error e;
    char text[2048];

    snprintf(text, sizeof(text),
             "{\"StateDir\":\"%s\",\"Nodes\":[{\"ApiHost\":\"http://p/\",\"ApiKey\":\"k\","
             "\"NodeID\":7,\"Name\":\"n\"%s}]}",
             dir, local);
    assert_int_equal(config_parse(text, strlen(text), "test", NULL, &cfg), ST_OK);
    assert_int_equal(cfg->errors, 0);
    assert_int_equal(json_parse(reply, strlen(reply), &v, &e), ST_OK);
    enum status st = view_builder_make(&cfg->nodes[0], v, out, problem);
    json_unref(v);
    config_unref(cfg);
    assert_true((st == ST_OK) == (*out != NULL));
    assert_true((st == ST_OK) == (problem[0] == '\0'));
    return st;
}

static struct served_node *good(const char *local, const char *reply)
{
    struct served_node *s = NULL;
    if (build(local, reply, &s) != ST_OK)
        fail_msg("%s", problem);
    return s;
}

static void plain(void **state)
{
    (void)state;
    struct served_node *s =
        good("", "{\"node_type\":\"VLESS\",\"server_port\":\"443\","
                 "\"base_config\":{\"pull_interval\":1,\"push_interval\":9999}}");
    assert_string_equal(s->node.tag, "n");
    assert_string_equal(s->type, "vless");
    assert_int_equal(s->node.listen_count, 1);
    assert_int_equal(s->node.listen[0].port, 443);
    assert_int_equal(s->node.stage_count, 1);
    assert_int_equal(s->pull_s, 5);
    assert_int_equal(s->push_s, 3600);
    assert_int_equal(s->node.source_max, 256);
    assert_null(s->node.fallback);
    assert_false(s->node.allow_private);
    assert_int_equal(served_node_cert_now(s), 0);
    served_node_unref(s);
}

static void local_options_win(void **state)
{
    (void)state;
    struct served_node *s = good(
        ",\"Port\":8443,\"ListenIP\":[\"127.0.0.1\",\"::1\"],\"EnableTFO\":true",
        "{\"Nodes\":[{\"NodeID\":7,\"NodeType\":\"vless\",\"server_port\":1,\"EnableTFO\":false,"
        "\"ReportMinTraffic\":1,\"ListenIP\":\"127.0.0.1\"}]}");
    assert_int_equal(s->port, 8443);
    assert_int_equal(s->node.listen_count, 2);
    assert_int_equal(s->node.listen[1].port, 8443);
    assert_true(s->node.listen_v6only);
    assert_true(s->node.tfo);
    assert_int_equal(s->report_min, 1024);
    served_node_unref(s);
}

static void chains(void **state)
{
    (void)state;
    struct served_node *s =
        good(",\"CertConfig\":{\"CertMode\":\"self\",\"CertDomain\":\"n.example\"}",
             "{\"node_type\":\"vless\",\"server_port\":443,\"tls\":1,\"network\":\"WebSocket\","
             "\"networkSettings\":{\"path\":\"/x\",\"acceptProxyProtocol\":true}}");
    assert_int_equal(s->node.stage_count, 3);
    for (unsigned i = 1; i < 3; i++)
        assert_int_equal(s->node.stages[i].ops->wire, s->node.stages[i - 1].ops->plain);
    assert_true(s->node.proxy_protocol);
    served_node_unref(s);
}

static void self_signed_stays(void **state)
{
    (void)state;
    static const char local[] =
        ",\"CertConfig\":{\"CertMode\":\"self\",\"CertDomain\":\"n.example\"}";
    static const char reply[] = "{\"node_type\":\"vless\",\"server_port\":443,\"tls\":1}";
    char path[128];
    struct stat key;

    struct served_node *s = good(local, reply);
    uint64_t stamp = s->cert_stamp;
    assert_true(stamp != 0);
    assert_true(served_node_cert_now(s) == stamp);
    snprintf(path, sizeof(path), "%s/cert/n.example.key", dir);
    assert_int_equal(stat(path, &key), 0);
    assert_int_equal(key.st_mode & 0777, 0600);
    served_node_unref(s);
    s = good(local, reply);
    assert_true(s->cert_stamp == stamp);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(served_node_cert_now(s), 0); /* being replaced: not yet */
    served_node_unref(s);
    s = good(local, reply);
    assert_true(s->cert_stamp != stamp);
    served_node_unref(s);
}

static void tls_ended_elsewhere(void **state)
{
    (void)state;
    struct served_node *s = good("", "{\"node_type\":\"vless\",\"server_port\":443,\"tls\":1}");
    assert_int_equal(s->node.stage_count, 1);
    assert_true(s->notice[0] != '\0');
    served_node_unref(s);
}

static void fallbacks(void **state)
{
    (void)state;
    struct served_node *s =
        good(",\"EnableFallback\":true,\"FallBackConfigs\":[{\"Dest\":\"80\"},"
             "{\"SNI\":\"a.example\",\"Dest\":\"10.0.0.1:81\",\"ProxyProtocolVer\":2}]",
             "{\"node_type\":\"vless\",\"server_port\":443}");
    const struct fallback_dest *d =
        fallback_find(s->node.fallback, "a.example", NULL, (const uint8_t *)"x", 1);
    assert_non_null(d);
    assert_string_equal(d->host, "10.0.0.1"); /* no text of the freed configuration */
    assert_int_equal(d->port, 81);
    assert_int_equal(d->xver, 2);
    served_node_unref(s);
}

#define ENC_KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define ENC     "\"decryption\":\"mlkem768x25519plus.native.600s." ENC_KEY "\""

static void encryption_lies_below_vless(void **state)
{
    (void)state;
    struct served_node *s =
        good(",\"CertConfig\":{\"CertMode\":\"self\",\"CertDomain\":\"n.example\"}",
             "{\"node_type\":\"vless\",\"server_port\":443,\"tls\":1,\"network\":\"ws\"," ENC "}");
    assert_int_equal(s->node.stage_count, 4);
    assert_string_equal(s->node.stages[2].ops->name, "vless encryption");
    served_node_unref(s);
    s = good("", "{\"node_type\":\"vless\",\"server_port\":443,\"encryption\":\"none\","
                 "\"decryption\":\"none\"}");
    assert_int_equal(s->node.stage_count, 1);
    served_node_unref(s);
    s = good("",
             "{\"node_type\":\"vless\",\"server_port\":443,\"encryption\":\"mlkem768x25519plus\","
             "\"encryption_settings\":{\"private_key\":\"" ENC_KEY "\"}}");
    assert_int_equal(s->node.stage_count, 2);
    served_node_unref(s);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *local, *reply, *said;
    } bad[] = {
        {"", "{\"server_port\":1}", "node_type"},
        {"", "{\"node_type\":\"vless\"}", "server_port"},
        {"", "{\"node_type\":\"vless\",\"server_port\":1,\"tls\":3}", "tls"},
        {"", "{\"node_type\":\"tuic\",\"server_port\":1}", "tuic is not supported"},
        {"", "{\"node_type\":\"vless\",\"server_port\":1,\"network\":\"tls\"}", "network tls"},
        {"", "{\"node_type\":\"vless\",\"server_port\":1,\"network\":\"sctp\"}", "network sctp"},
        {"",
         "{\"node_type\":\"vless\",\"server_port\":1,\"networkSettings\":{\"header\":{\"type\":"
         "\"srtp\"}}}",
         "header"},
        {",\"CertConfig\":{\"CertMode\":\"file\",\"CertFile\":\"/nonexistent/c\",\"KeyFile\":\"/"
         "nonexistent/k\"}",
         "{\"node_type\":\"vless\",\"server_port\":1,\"tls\":1}", "/nonexistent"},
        {"", "{\"node_type\":\"vless\",\"server_port\":1,\"encryption\":\"mlkem768x25519plus\"}",
         "private_key"},
        {",\"EnableFallback\":true,\"FallBackConfigs\":[{\"Dest\":\"8001\"}]",
         "{\"node_type\":\"vless\",\"server_port\":1," ENC "}", "fallbacks"},
        {"", "[]", "object"},
        {"", "{\"status\":\"fail\",\"message\":\"server is not exist\"}", "not exist"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct served_node *s = NULL;
        assert_int_not_equal(build(bad[i].local, bad[i].reply, &s), ST_OK);
        if (strstr(problem, bad[i].said) == NULL)
            fail_msg("%s: %s", bad[i].said, problem);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plain),
        TEST(local_options_win),
        TEST(chains),
        TEST(self_signed_stays),
        TEST(tls_ended_elsewhere),
        TEST(fallbacks),
        TEST(encryption_lies_below_vless),
        TEST(refusals),
    };
    return cmocka_run_group_tests_name("view_builder", tests, NULL, NULL);
}
