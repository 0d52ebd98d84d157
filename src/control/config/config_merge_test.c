#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "codec/json.h"
#include "control/config/config.h"

#define API "\"ApiHost\":\"https://p.example/api\",\"ApiKey\":\"k\",\"NodeID\":7"

/* A node with @local members, an answer of its panel, and what comes of the two. */
struct fixture {
    const struct config *cfg;
    struct json_t *reply;
    struct arena *a;
    struct config_options out;
    char problem[CONFIG_PROBLEM_MAX];
};

static void merge(struct fixture *f, const char *local, const char *reply)
{
    char text[1024];
    snprintf(text, sizeof(text), "{\"StateDir\":\"/s\",\"Nodes\":[{" API "%s}]}", local);
    assert_int_equal(config_parse(text, strlen(text), "c", NULL, &f->cfg), ST_OK);
    assert_int_equal(f->cfg->node_count, 1);
    assert_int_equal(json_parse(reply, strlen(reply), &f->reply, NULL), ST_OK);
    f->a = arena_new();
    assert_non_null(f->a);
    assert_int_equal(config_node_merge(f->a, f->cfg->nodes, f->reply, &f->out, f->problem), ST_OK);
}

static void done(struct fixture *f)
{
    arena_free(f->a);
    json_unref(f->reply);
    config_unref(f->cfg);
}

static void local_keys_win_then_the_panel_then_defaults(void **state)
{
    (void)state;
    struct fixture f;
    merge(
        &f, ",\"ListenIP\":\"0.0.0.0\",\"CertConfig\":{\"CertDomain\":\"local.example\"}",
        "{\"Log\":{\"Output\":\"/etc/passwd\"},\"Nodes\":[{\"NodeID\":3,\"EnableTFO\":false},"
        "{\"NodeID\":\"7\",\"ApiHost\":\"http://evil\",\"ListenIP\":\"::\",\"SendIP\":\"10.0.0.5\","
        "\"EnableTFO\":true,\"EnableDNS\":1,\"DNSType\":\"UseIPv4\",\"AllowPrivate\":true,"
        "\"CertConfig\":{\"CertMode\":\"self\",\"CertDomain\":\"panel.example\","
        "\"CertFile\":\"/etc/shadow\",\"DNSEnv\":{\"A\":\"b\"},\"RejectUnknownSni\":true},"
        "\"LimitConfig\":{\"SpeedLimit\":100},\"Unknown\":1}]}");
    assert_string_equal(f.problem, "");
    assert_int_equal(f.out.listen[0].family, ADDR_IP4);
    assert_int_equal(f.out.send_ip4.ip[3], 5);
    assert_true(f.out.tfo);
    assert_int_equal(f.out.ip_strategy, VIEW_IP_V4_ONLY);
    assert_false(f.out.allow_private);
    assert_int_equal(f.out.cert.mode, CONFIG_CERT_SELF);
    assert_string_equal(f.out.cert.domain, "local.example");
    assert_string_equal(f.out.cert.cert_file, "/s/cert/local.example.crt");
    assert_int_equal(f.out.cert.dns_env_count, 0);
    assert_true(f.out.cert.reject_unknown_sni);
    assert_int_equal(f.out.limits.speed_kbps, 100000);
    assert_true(f.out.mass_delete_guard);
    done(&f);
}

static void explicit_defaults_are_explicit(void **state)
{
    (void)state;
    struct fixture f;
    merge(&f,
          ",\"EnableTFO\":false,\"LimitConfig\":{\"SpeedLimit\":0},\"CertConfig\":{\"CertMode\":"
          "\"none\"}",
          "{\"Nodes\":[{\"EnableTFO\":true,\"CertConfig\":{\"CertMode\":\"self\"},"
          "\"LimitConfig\":{\"SpeedLimit\":9,\"ConnLimit\":4}}]}");
    assert_false(f.out.tfo);
    assert_int_equal(f.out.limits.speed_kbps, 0);
    assert_int_equal(f.out.limits.conn, 4);
    assert_int_equal(f.out.cert.mode, CONFIG_CERT_NONE);
    done(&f);
}

static void flat_replies_carry_options_too(void **state)
{
    (void)state;
    struct fixture f;
    merge(&f, "",
          "{\"server_port\":443,\"port\":444,\"name\":\"x\",\"listen_ip\":\"::\","
          "\"trusted_x_forwarded_for\":[\"X-A\"],\"host\":\"h\",\"network\":\"ws\"}");
    assert_string_equal(f.problem, "");
    assert_int_equal(f.out.listen[0].family, ADDR_IP6);
    assert_int_equal(f.out.trusted_xff_count, 1);
    assert_int_equal(f.out.port, 0); /* the port users dial is not the one to listen on */
    assert_ptr_equal(config_node_reply(f.cfg->nodes, f.reply), f.reply);
    done(&f);
}

static void unusable_values_are_named_and_skipped(void **state)
{
    (void)state;
    static const struct {
        const char *member, *problem;
    } cases[] = {
        {"\"ListenIP\":\"eth0\"", "ListenIP: \"eth0\" is no IP address (a number such as 192.0.2.1 "
                                  "or 2001:db8::1 is needed, not a name, no port)"},
        {"\"EnableTFO\":\"x\",\"EnableDNS\":\"y\"", "EnableTFO: must be true or false"},
        {"\"CertConfig\":{\"CertMode\":\"file\"}", "CertConfig.CertMode: the panel asks for "
                                                   "certificate files, but config.json names none"},
        {"\"CertConfig\":{\"CertDomain\":\"../../x\"}", "CertConfig.CertDomain: \"../../x\" is no "
                                                        "host name (one name such as "
                                                        "node1.example.com, no URL)"},
        {"\"FallBackConfigs\":[{\"Dest\":\"/run/docker.sock\"}]",
         "FallBackConfigs[0].Dest: a panel may not name unix sockets of this host"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f;
        char reply[256];
        snprintf(reply, sizeof(reply), "{\"Nodes\":[{\"SendIP\":\"10.0.0.1\",%s}]}",
                 cases[i].member);
        merge(&f, "", reply);
        assert_string_equal(f.problem, cases[i].problem);
        assert_int_equal(f.out.listen[0].family, ADDR_IP4);
        assert_int_equal(f.out.cert.mode, CONFIG_CERT_NONE);
        assert_string_equal(f.out.cert.domain, "");
        assert_int_equal(f.out.fallback_count, 0);
        assert_int_equal(f.out.send_ip4.ip[3], 1);
        done(&f);
    }
}

static void limits_of_all_users_and_of_those_who_move_much(void **state)
{
    (void)state;
    struct fixture f;
    merge(
        &f, ",\"NodeTotalSpeedLimit\":500",
        "{\"Nodes\":[{\"NodeTotalSpeedLimit\":9,\"LimitConfig\":{\"EnableDynamicSpeedLimit\":true,"
        "\"DynamicSpeedLimitConfig\":{\"Traffic\":\"2GiB\",\"SpeedLimit\":20,\"WarnTimes\":2}}}]}");
    assert_string_equal(f.problem, "");
    assert_int_equal(f.out.limits.total_kbps, 500000);
    assert_true(config_limits_dynamic(&f.out.limits));
    assert_true(f.out.limits.dynamic_traffic == UINT64_C(2) << 30);
    assert_int_equal(f.out.limits.dynamic_period_s, 60);
    assert_int_equal(f.out.limits.dynamic_expire_s, 600);
    assert_int_equal(f.out.limits.dynamic_warnings, 2);
    done(&f);

    /* Both places of the total, and XrayR's words: ten megabits over its period, in minutes. */
    merge(&f,
          ",\"LimitConfig\":{\"NodeTotalSpeedLimit\":7},\"AutoSpeedLimitConfig\":{\"Limit\":10,"
          "\"WarnTimes\":3,\"LimitSpeed\":2,\"LimitDuration\":5}",
          "{\"Nodes\":[{\"EnableTFO\":true}]}");
    assert_int_equal(f.out.limits.total_kbps, 7000);
    assert_true(config_limits_dynamic(&f.out.limits));
    assert_int_equal(f.out.limits.dynamic_traffic, 10 * 125000 * 60);
    assert_int_equal(f.out.limits.dynamic_warnings, 3);
    assert_int_equal(f.out.limits.dynamic_speed_kbps, 2000);
    assert_int_equal(f.out.limits.dynamic_expire_s, 300);
    done(&f);

    /* A switch alone, or what was meant to be off. */
    merge(&f, ",\"LimitConfig\":{\"EnableDynamicSpeedLimit\":true}", "{\"Nodes\":[{}]}");
    assert_false(config_limits_dynamic(&f.out.limits));
    done(&f);
    merge(&f, ",\"AutoSpeedLimitConfig\":{\"Limit\":0,\"LimitSpeed\":2}", "{\"Nodes\":[{}]}");
    assert_false(config_limits_dynamic(&f.out.limits));
    done(&f);
}

static void replies_that_are_not_ours(void **state)
{
    (void)state;
    static const char two[] =
        "{\"Nodes\":[{\"NodeID\":1,\"EnableTFO\":1},{\"NodeID\":2,\"EnableTFO\":1}]}";
    static const char *const replies[] = {"[]", "null", "5", "\"x\"", "{\"Nodes\":5}", two};
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        struct fixture f;
        merge(&f, "", replies[i]);
        assert_false(f.out.tfo);
        done(&f);
    }
    struct fixture f;
    merge(
        &f, "",
        "{\"Cores\":[],\"Nodes\":[{\"ApiConfig\":{\"NodeID\":7},\"Options\":{\"EnableTFO\":1}}]}");
    assert_true(f.out.tfo);
    assert_ptr_equal(config_node_reply(f.cfg->nodes, f.reply),
                     json_at(json_get(f.reply, "Nodes"), 0));
    done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_keys_win_then_the_panel_then_defaults),
        cmocka_unit_test(explicit_defaults_are_explicit),
        cmocka_unit_test(flat_replies_carry_options_too),
        cmocka_unit_test(unusable_values_are_named_and_skipped),
        cmocka_unit_test(limits_of_all_users_and_of_those_who_move_much),
        cmocka_unit_test(replies_that_are_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
