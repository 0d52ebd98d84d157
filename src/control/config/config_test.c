#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/config/config.h"

/* What a working node has, to put one more member behind. */
#define API        "\"ApiHost\":\"https://p.example/api\",\"ApiKey\":\"secret-token\",\"NodeID\":1"
#define NODE(more) "{\"Nodes\":[{" API more "}]}"

static const struct config *parse(const char *text)
{
    const struct config *cfg;
    enum status st = config_parse(text, strlen(text), "c.json", NULL, &cfg);
    assert_non_null(cfg);
    assert_int_equal(st, cfg->errors != 0 && cfg->nodes == NULL ? ST_E_CONFIG : ST_OK);
    return cfg;
}

/* Fails unless the findings, one a line, are @want. */
static void assert_findings(const struct config *cfg, const char *want)
{
    char got[4096] = "";
    for (size_t i = 0; i < cfg->finding_count; i++) {
        char line[900];
        config_finding_str(&cfg->findings[i], line, sizeof(line));
        size_t used = strlen(got);
        snprintf(got + used, sizeof(got) - used, "%s%s", i != 0 ? "\n" : "", line);
    }
    assert_string_equal(got, want);
}

static const struct config *parse_clean(const char *text)
{
    const struct config *cfg = parse(text);
    assert_findings(cfg, "");
    return cfg;
}

static void defaults_are_the_documented_ones(void **state)
{
    (void)state;
    const struct config *cfg = parse_clean(NODE(""));
    assert_int_equal(cfg->log.level, LOG_INFO);
    assert_string_equal(cfg->log.output, "");
    assert_int_equal(cfg->node_count, 1);
    const struct config_node *n = &cfg->nodes[0];
    assert_string_equal(n->tag, "[https://p.example/api]-:1");
    assert_string_equal(n->api.panel_type, "v2sp");
    assert_int_equal(n->api.timeout_ms, 30000);
    assert_int_equal(n->api.send_ip.family, ADDR_NONE);
    assert_int_equal(n->timeouts.handshake, 8000);
    assert_int_equal(n->timeouts.idle, 300000);
    assert_int_equal(n->timeouts.uplink_only, 2000);
    assert_int_equal(n->timeouts.downlink_only, 4000);
    assert_int_equal(n->options.listen_count, 1);
    assert_int_equal(n->options.listen[0].family, ADDR_IP4);
    assert_true(addr_is_any(&n->options.listen[0]));
    assert_int_equal(n->options.cert.mode, CONFIG_CERT_NONE);
    assert_true(n->options.mass_delete_guard);
    assert_false(n->options.allow_private);
    assert_int_equal(n->options.source_max, 256);
    assert_false(n->options.tls_openssl);
    assert_int_equal(n->line, 1);
    assert_int_equal(n->column, 11);
    config_unref(cfg);
}

static void every_option_lands(void **state)
{
    (void)state;
    const struct config *cfg = parse_clean(
        "{ \"log\": {\"LEVEL\": \"warn\", \"Output\": \"/tmp/x.log\", \"Format\": \"JSON\",\n"
        "   \"MaxSize\": \"5\", \"MaxBackups\": 0, \"MaxAge\": 7},\n"
        "  \"StateDir\": \"/srv/state/\", \"Workers\": 3, \"MemoryBudget\": \"1g\", // half\n"
        "  \"DrainTimeout\": \"1m\",\n"
        "  \"Cores\": [{\"Type\": \"XRAY\", \"Name\": \"main\",\n"
        "    \"ConnectionConfig\": {\"Handshake\": \"500ms\", \"connIdle\": \"10m\",\n"
        "       \"uplinkOnly\": 0, \"downlinkOnly\": 1}}],\n"
        "  \"NODES\": [{\"ApiConfig\": {\"apihost\": \"https://127.0.0.1:8080/x\", \"ApiKey\": "
        "\"k\",\n"
        "     \"nodeid\": \"7\", \"NodeType\": \"VLESS\", \"Timeout\": \"5s\",\n"
        "     \"ApiSendIP\": \"192.0.2.1\", \"ApiProxy\": \"socks5h://x:1\", \"ApiCA\": "
        "\"/ca.pem\",\n"
        "     \"ApiInsecure\": 1, \"PanelType\": \"auto\"},\n"
        "   \"Options\": {\"Name\": \"n7\", \"Core\": \"xray\", \"CoreName\": \"main\",\n"
        "     \"ListenIP\": [\"192.0.2.1\", \"[2001:db8::1]\"], \"Port\": \"8443\",\n"
        "     \"SendIP\": \"192.0.2.9, 2001:db8::9\",\n"
        "     \"DeviceOnlineMinTraffic\": 200, \"ReportMinTraffic\": \"64k\",\n"
        "     \"EnableProxyProtocol\": true, \"ProxyProtocolFrom\": [\"10.0.0.0/8\", \"::1\"],\n"
        "     \"TrustedXForwardedFor\": \"CF-Connecting-IP\", \"EnableTFO\": true,\n"
        "     \"EnableDNS\": true, \"DNSType\": \"useipv6V4\", \"DisableSniffing\": \"yes\",\n"
        "     \"EnableFallback\": true, \"FallBackConfigs\": {\"SNI\": \"a.example\", \"Alpn\": "
        "\"h2\",\n"
        "       \"Path\": \"/x\", \"Dest\": 80, \"ProxyProtocolVer\": \"2\"},\n"
        "     \"CertConfig\": {\"CertMode\": \"self\", \"CertDomain\": \"n7.example\",\n"
        "       \"Email\": \"a@b\", \"Provider\": \"cloudflare\", \"DNSEnv\": {\"A\": \"b\"},\n"
        "       \"RejectUnknownSni\": true},\n"
        "     \"AllowPrivate\": true, \"MassDeleteGuard\": false, \"DrainTimeout\": 5,\n"
        "     \"HandshakesPerSource\": 9, \"TlsEngine\": \"OpenSSL\",\n"
        "     \"LimitConfig\": {\"SpeedLimit\": 0, \"IPLimit\": 0, \"EnableRealtime\": false},\n"
        "  }, }, ], /* end */ }");
    assert_int_equal(cfg->log.level, LOG_WARNING);
    assert_string_equal(cfg->log.output, "/tmp/x.log");
    assert_true(cfg->log.json);
    assert_int_equal(cfg->log.max_size_mb, 5);
    assert_int_equal(cfg->log.max_backups, 0);
    assert_int_equal(cfg->log.max_age_days, 7);
    assert_string_equal(cfg->state_dir, "/srv/state");
    assert_int_equal(cfg->workers, 3);
    assert_int_equal(cfg->memory_budget, 1u << 30);
    assert_int_equal(cfg->drain_ms, 60000);

    const struct config_node *n = &cfg->nodes[0];
    assert_string_equal(n->tag, "n7");
    assert_string_equal(n->api.host, "https://127.0.0.1:8080/x");
    assert_string_equal(n->api.key, "k");
    assert_int_equal(n->api.node_id, 7);
    assert_string_equal(n->api.node_type, "vless");
    assert_int_equal(n->api.timeout_ms, 5000);
    assert_int_equal(n->api.send_ip.ip[3], 1);
    assert_string_equal(n->api.proxy, "socks5h://x:1");
    assert_string_equal(n->api.ca, "/ca.pem");
    assert_true(n->api.insecure);
    assert_int_equal(n->timeouts.handshake, 500);
    assert_int_equal(n->timeouts.idle, 600000);
    assert_int_equal(n->timeouts.uplink_only, 0);
    assert_int_equal(n->timeouts.downlink_only, 1000);

    const struct config_options *o = &n->options;
    assert_int_equal(o->listen_count, 2);
    assert_int_equal(o->listen[1].family, ADDR_IP6);
    assert_int_equal(o->port, 8443);
    assert_int_equal(o->send_ip4.ip[3], 9);
    assert_int_equal(o->send_ip6.ip[15], 9);
    assert_int_equal(o->online_min_bytes, 200000);
    assert_int_equal(o->report_min_bytes, 65536);
    assert_true(o->proxy_protocol);
    assert_int_equal(o->proxy_from_count, 2);
    assert_int_equal(o->proxy_from[0].bits, 8);
    assert_int_equal(o->proxy_from[1].bits, 128);
    assert_int_equal(o->trusted_xff_count, 1);
    assert_string_equal(o->trusted_xff[0], "CF-Connecting-IP");
    assert_true(o->tfo);
    assert_int_equal(o->ip_strategy, VIEW_IP_V6_FIRST);
    assert_true(o->disable_sniffing);
    assert_true(o->fallback);
    assert_int_equal(o->fallback_count, 1);
    assert_string_equal(o->fallbacks[0].name, "a.example");
    assert_string_equal(o->fallbacks[0].alpn, "h2");
    assert_string_equal(o->fallbacks[0].path, "/x");
    assert_string_equal(o->fallbacks[0].dest, "80");
    assert_int_equal(o->fallbacks[0].xver, 2);
    assert_int_equal(o->cert.mode, CONFIG_CERT_SELF);
    assert_string_equal(o->cert.cert_file, "/srv/state/cert/n7.example.crt");
    assert_string_equal(o->cert.key_file, "/srv/state/cert/n7.example.key");
    assert_string_equal(o->cert.dir, "/srv/state/cert");
    assert_string_equal(o->cert.dns_env[0].name, "A");
    assert_string_equal(o->cert.dns_env[0].value, "b");
    assert_true(o->cert.reject_unknown_sni);
    assert_true(o->allow_private);
    assert_false(o->mass_delete_guard);
    assert_int_equal(o->drain_ms, 5000);
    assert_int_equal(o->source_max, 9);
    assert_true(o->tls_openssl);
    config_unref(cfg);
}

static void listen_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        unsigned count;
        uint8_t family;
    } cases[] = {
        {"\"0.0.0.0\"", 1, ADDR_IP4},
        {"\"::\"", 1, ADDR_IP6},
        {"\"[::]\"", 1, ADDR_IP6},
        {"\"\"", 1, ADDR_IP4},
        {"[]", 1, ADDR_IP4},
        {"null", 1, ADDR_IP4},
        {"[\"0.0.0.0\",\"::\"]", 1, ADDR_IP6}, /* "::" serves both */
        {"[\"::\",\"0.0.0.0\"]", 1, ADDR_IP6},
        {"[\"::1\",\"::1\"]", 1, ADDR_IP6},
        {"\"127.0.0.1,::1\"", 2, ADDR_IP4},
        {"[\"::ffff:127.0.0.1\",\"127.0.0.1\"]", 1, ADDR_IP4},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text), NODE(",\"ListenIP\":%s"), cases[i].value);
        const struct config *cfg = parse_clean(text);
        assert_int_equal(cfg->nodes[0].options.listen_count, cases[i].count);
        assert_int_equal(cfg->nodes[0].options.listen[0].family, cases[i].family);
        config_unref(cfg);
    }
}

/* Text, and all that is said about it. */
static const struct {
    const char *text, *findings;
    size_t nodes;
} cases[] = {
    /* broken files */
    {"", "c.json:1:1: error: expected a value before the end of the text", 0},
    {"{\n \"Nodes\": [\n", "c.json:3:1: error: expected ']' before the end of the text", 0},
    {"{\"a\" 1}", "c.json:1:6: error: found '1', expected ':' after the name", 0},
    {"[1]", "c.json:1:1: error: must be an object in braces { }", 0},
    {"{}", "c.json:1:1: warning: there is no \"Nodes\": nothing will be served", 0},
    {"{\"Nodes\":[]}", "", 0},
    {"{\"Nodes\":5}", "c.json:1:2: error: Nodes: must be a list [ ] of objects", 0},
    {"{\"Nodes\":[5]}", "c.json:1:11: error: Nodes[0]: must be an object in braces { }: one node",
     0},
    /* unknown keys */
    {"{\"Nods\":[],\n \"Nodes\":[]}",
     "c.json:1:2: warning: Nods: unknown key, not read; did you mean \"Nodes\"?", 0},
    {NODE(",\n   \"LisentIP\":\"::\""),
     "c.json:2:4: warning: node [https://p.example/api]-:1: Nodes[0].LisentIP: unknown key, not "
     "read; did you mean \"ListenIP\"?",
     1},
    {NODE(",\"Zzyzx\":1"),
     "c.json:1:81: warning: node [https://p.example/api]-:1: Nodes[0].Zzyzx: unknown key, not read",
     1},
    {NODE(",\"CertDomain\":\"x\""),
     "c.json:1:81: warning: node [https://p.example/api]-:1: Nodes[0].CertDomain: unknown key "
     "here, "
     "not read; it belongs in CertConfig",
     1},
    {"{\"Nodes\":[{\"ApiConfig\":{" API
     ",\"EnableTFO\":true},\"Options\":{},\"NodeType\":\"vless\"}]}",
     "c.json:1:125: warning: node [https://p.example/api]-:1: Nodes[0].NodeType: is not read here; "
     "move it into ApiConfig\n"
     "c.json:1:94: warning: node [https://p.example/api]-:1: Nodes[0].ApiConfig.EnableTFO: is not "
     "read here; move it into Options",
     1},
    /* what must be there */
    {"{\"Nodes\":[{\"ApiKey\":\"k\",\"NodeID\":1}]}",
     "c.json:1:11: error: node Nodes[0]: Nodes[0]: ApiHost is missing: the URL of the panel", 0},
    {"{\"Nodes\":[{\"ApiHost\":\"http://x\",\"NodeID\":1}]}",
     "c.json:1:11: error: node [http://x]-:1: Nodes[0]: ApiKey is missing: the panel's token for "
     "this node",
     0},
    {"{\"Nodes\":[{\"ApiHost\":\"http://x\",\"ApiKey\":\"k\"}]}",
     "c.json:1:11: error: node Nodes[0]: Nodes[0]: NodeID is missing: the panel's number of this "
     "node",
     0},
    /* values */
    {"{\"Nodes\":[],\"Log\":{\"Level\":\"loud\"}}",
     "c.json:1:20: error: Log.Level: must be debug, info, warning, error or none", 0},
    {"{\"Nodes\":[],\"Log\":{\"Format\":\"xml\"}}",
     "c.json:1:20: error: Log.Format: must be text or json", 0},
    {"{\"Nodes\":[],\"Log\":\"x\"}", "c.json:1:13: error: Log: must be an object in braces { }", 0},
    {"{\"Nodes\":[],\"Workers\":-1}",
     "c.json:1:13: error: Workers: must be a number from 0 to 1024, not -1", 0},
    {"{\"Nodes\":[],\"Workers\":\"many\"}", "c.json:1:13: error: Workers: must be a whole number",
     0},
    {"{\"Nodes\":[],\"MemoryBudget\":\"lots\"}",
     "c.json:1:13: error: MemoryBudget: must be a size: a number (of MiB) or a text such as "
     "\"64k\" "
     "or \"512m\"",
     0},
    {"{\"Nodes\":[],\"DrainTimeout\":\"soon\"}",
     "c.json:1:13: error: DrainTimeout: must be a duration: a number (of seconds) or a text such "
     "as "
     "\"30s\" or \"5m\"",
     0},
    {"{\"Nodes\":[],\"StateDir\":7}",
     "c.json:1:13: error: StateDir: must be a text in double quotes", 0},
    {"{\"Nodes\":[],\"StateDir\":\"a\\nb\"}",
     "c.json:1:13: error: StateDir: has a control character (a line end?) inside", 0},
    {"{\"Nodes\":[],\"Cores\":[{\"ConnectionConfig\":{\"connIdle\":0}}]}",
     "c.json:1:43: error: Cores[0].ConnectionConfig.connIdle: must be a duration from 1s to 30d",
     0},
    {"{\"Nodes\":[],\"Cores\":[{\"Type\":\"hysteria2\"}]}",
     "c.json:1:22: warning: Cores[0]: there is no core of type \"hysteria2\" in v2sp; nodes cannot "
     "use it",
     0},
    {"{\"Nodes\":[{\"ApiHost\":\"panel\",\"ApiKey\":\"k\",\"NodeID\":1}]}",
     "c.json:1:12: error: node [panel]-:1: Nodes[0].ApiHost: must be a URL that begins with "
     "https:// or http://, such as https://panel.example.com/api/node",
     0},
    {"{\"Nodes\":[{\"ApiHost\":\"http://\",\"ApiKey\":\"k\",\"NodeID\":1}]}",
     "c.json:1:12: error: node [http://]-:1: Nodes[0].ApiHost: has no host name after http://", 0},
    {"{\"Nodes\":[{\"ApiHost\":\"http://a b\",\"ApiKey\":\"k\",\"NodeID\":1}]}",
     "c.json:1:12: error: node [http://a b]-:1: Nodes[0].ApiHost: has a blank inside", 0},
    {"{\"Nodes\":[{\"ApiHost\":\"http://x\",\"ApiKey\":\"k\",\"NodeID\":0}]}",
     "c.json:1:46: error: node Nodes[0]: Nodes[0].NodeID: must be a number from 1 to "
     "9223372036854775807, not 0",
     0},
};

static void findings_say_what_where_and_what_to_do(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct config *cfg = parse(cases[i].text);
        assert_findings(cfg, cases[i].findings);
        assert_int_equal(cfg->node_count, cases[i].nodes);
        config_unref(cfg);
    }
}

static void every_protocol_is_a_node_type(void **state)
{
    static const struct {
        const char *member, *type;
    } words[] = {
        {",\"NodeType\":\"VLESS\"", "vless"},
        {",\"NodeType\":\"vmess\"", "vmess"},
        {",\"NodeType\":\"V2ray\"", "vmess"},
        {",\"NodeType\":\"V2ray\",\"EnableVless\":true", "vless"},
        {",\"NodeType\":\"Trojan\"", "trojan"},
        {",\"NodeType\":\"Shadowsocks\"", "shadowsocks"},
        {",\"NodeType\":\"ss\"", "shadowsocks"},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text), NODE("%s"), words[i].member);
        const struct config *cfg = parse_clean(text);
        assert_string_equal(cfg->nodes[0].api.node_type, words[i].type);
        config_unref(cfg);
    }
}

/* One bad member in an else good node: the node goes, and this is said. */
static const struct {
    const char *member, *says;
} bad_members[] = {
    {"\"NodeType\":\"http\"", "NodeType: must be vless, vmess, trojan or shadowsocks"},
    {"\"NodeType\":\"hysteria2\"", "NodeType: must be vless, vmess, trojan or shadowsocks"},
    {"\"PanelType\":\"SSpanel\"", "PanelType: the panel dialect sspanel is understood but not "
                                  "implemented yet in this version; use v2sp"},
    {"\"PanelType\":\"x\"", "PanelType: must be auto or v2sp"},
    {"\"Timeout\":\"x\"", "Timeout: must be a duration: a number (of seconds) or a text such as "
                          "\"30s\" or \"5m\""},
    {"\"Timeout\":9999", "Timeout: must be a duration from 100ms to 600s"},
    {"\"ApiSendIP\":\"eth0\"",
     "ApiSendIP: \"eth0\" is no IP address (a number such as 192.0.2.1 or "
     "2001:db8::1 is needed, not a name, no port)"},
    {"\"ApiInsecure\":2", "ApiInsecure: must be true or false"},
    {"\"ListenIP\":\"localhost\"", "ListenIP: \"localhost\" is no IP address (a number such as "
                                   "192.0.2.1 or 2001:db8::1 is needed, not a name, no port)"},
    {"\"ListenIP\":5", "ListenIP: must be a text or a list of texts"},
    {"\"ListenIP\":[5]", "ListenIP[0]: must be a text in double quotes"},
    {"\"ListenIP\":\"1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8,1.1.1.9\"",
     "ListenIP: has more than 8 items"},
    {"\"Port\":65536", "Port: must be a number from 0 to 65535, not 65536"},
    {"\"Port\":[80]", "Port: must be a whole number"},
    {"\"ProxyProtocolFrom\":\"10.0.0.0/33\"", "ProxyProtocolFrom: \"10.0.0.0/33\" is no network "
                                              "(such as 10.0.0.0/8 or 2001:db8::/32)"},
    {"\"TrustedXForwardedFor\":[\"a b\"]",
     "TrustedXForwardedFor: \"a b\" is no header name; name the headers whose presence makes "
     "X-Forwarded-For believed, such as CF-Connecting-IP"},
    {"\"DNSType\":\"UseIPv5\"", "DNSType: must be AsIs, or UseIP or ForceIP with nothing, v4, v6, "
                                "v4v6 or v6v4 behind it"},
    {"\"TlsEngine\":\"boring\"", "TlsEngine: must be auto or openssl"},
    {"\"TlsEngine\":1", "TlsEngine: must be auto or openssl"},
    {"\"ReportPolicy\":\"often\"", "ReportPolicy: must be at-most-once or at-least-once"},
    {"\"HandshakesPerSource\":0", "HandshakesPerSource: must be a number from 1 to 1000000, not 0"},
    {"\"DeviceOnlineMinTraffic\":\"9999999999999999999g\"",
     "DeviceOnlineMinTraffic: must be a size: a number (of 1000 bytes) or a text such as \"64k\" "
     "or "
     "\"512m\""},
    {"\"FallBackConfigs\":[{}]", "FallBackConfigs[0]: Dest is missing: a port, host:port, "
                                 "/path/of/unix.sock or @abstract"},
    {"\"FallBackConfigs\":[{\"Dest\":\"80\"},{\"Dest\":80,\"Path\":\"x\"}]",
     "FallBackConfigs[1].Path: must begin with /"},
    {"\"FallBackConfigs\":[{\"Dest\":\"80\",\"xver\":3}]",
     "FallBackConfigs[0].xver: must be a number from 0 to 2, not 3"},
    {"\"FallBackConfigs\":[{\"Dest\":\"host:99999\"}]",
     "FallBackConfigs[0]: Dest \"host:99999\" cannot be used: a port (80), host:port, "
     "/path/of/unix.sock or @abstract is needed"},
    {"\"FallBackConfigs\":\"80\"", "FallBackConfigs: must be a list of objects such as "
                                   "[{\"Dest\": \"80\"}]"},
    {"\"FallBackConfigs\":[80]",
     "FallBackConfigs[0]: must be an object such as {\"Dest\": \"80\"}"},
    {"\"CertConfig\":{\"CertMode\":\"acme\"}",
     "CertConfig.CertMode: must be none, file, self, http, dns or tls"},
    {"\"CertConfig\":{\"CertMode\":\"file\"}",
     "CertConfig: CertMode file needs CertFile and KeyFile"},
    {"\"CertConfig\":{\"CertDomain\":\"https://x\"}",
     "CertConfig.CertDomain: \"https://x\" is no host name (one name such as node1.example.com, no "
     "URL)"},
    {"\"CertConfig\":{\"DNSEnv\":\"A=b\"}", "CertConfig.DNSEnv: must be an object of texts"},
    {"\"CertConfig\":{\"DNSEnv\":{\"A\":1}}",
     "CertConfig.DNSEnv.A: must be a text in double quotes"},
    {"\"CertConfig\":7", "CertConfig: must be an object in braces { }"},
    {"\"LimitConfig\":{\"SpeedLimit\":\"fast\"}",
     "LimitConfig.SpeedLimit: must be a number of Mbit/s from 0 to 1000000"},
    {"\"LimitConfig\":{\"SpeedLimit\":-1}",
     "LimitConfig.SpeedLimit: must be a number of Mbit/s from 0 to 1000000"},
    {"\"Core\":\"hysteria2\"",
     "Core: \"hysteria2\" is no core of v2sp (xray, sing and v2sp all mean "
     "the one that is built in)"},
    {"\"CoreName\":\"x\"", "CoreName: no entry of Cores has the Name \"x\""},
    {"\"Include\":\"x\"", "Include: Include cannot be used here"},
};

static void a_bad_node_goes_and_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_members) / sizeof(bad_members[0]); i++) {
        char text[700], want[400];
        snprintf(text, sizeof(text),
                 "{\"Nodes\":[{" API
                 ",%s},{\"ApiHost\":\"http://x\",\"ApiKey\":\"k\",\"NodeID\":2}]}",
                 bad_members[i].member);
        const struct config *cfg = parse(text);
        assert_int_equal(cfg->node_count, 1);
        assert_int_equal(cfg->nodes[0].api.node_id, 2);
        bool found = false;
        snprintf(want, sizeof(want), "Nodes[0].%s", bad_members[i].says);
        for (size_t j = 0; j < cfg->finding_count; j++) {
            char line[700];
            config_finding_str(&cfg->findings[j], line, sizeof(line));
            found = found || (cfg->findings[j].severity == CONFIG_ERROR && strstr(line, want));
        }
        if (!found)
            assert_findings(cfg, want);
        config_unref(cfg);
    }
}

static void what_comes_later_has_one_notice(void **state)
{
    (void)state;
    const struct config *cfg =
        parse("{\"Cores\":[{\"AssetPath\":\"/a\",\"Log\":{\"Level\":\"error\"}}],\"Nodes\":[\n"
              "{" API ",\"EnableXTLS\":true,\"Workers\":3},\n"
              "{\"ApiHost\":\"http://x\",\"ApiKey\":\"k\",\"NodeID\":2,\"EnableXTLS\":true,\n"
              "\"Workers\":3,\"CertConfig\":{\"CertMode\":"
              "\"dns\"}}]}");
    assert_int_equal(cfg->node_count, 2);
    assert_findings(
        cfg,
        "c.json:1:12: notice: Cores[0].AssetPath: AssetPath is understood but not implemented yet "
        "in "
        "this version; ignored\n"
        "c.json:1:36: notice: Cores[0].Log.Level: Level has no effect: there is one log, see "
        "Log.Level at the top level\n"
        "c.json:2:71: notice: node [https://p.example/api]-:1: Nodes[0].EnableXTLS: EnableXTLS has "
        "no effect: the flow comes from the panel\n"
        "c.json:2:89: notice: node [https://p.example/api]-:1: Nodes[0].Workers: Workers is "
        "understood but not implemented yet in this version; ignored\n"
        "c.json:4:27: notice: node [http://x]-:2: Nodes[1].CertConfig.CertMode: CertMode dns is "
        "understood but not implemented yet in this version; certificate files are used if they "
        "are there, else a self-signed one");
    config_unref(cfg);

    cfg = parse(NODE(",\"ReportPolicy\":\"at-most-once\""));
    assert_true(cfg->nodes[0].options.at_most_once);
    assert_int_equal(cfg->notices, 0);
    config_unref(cfg);
}

static void nodes_that_exclude_each_other(void **state)
{
    (void)state;
    const struct config *cfg =
        parse("{\"Nodes\":[\n"
              "{\"ApiHost\":\"http://x/\",\"ApiKey\":\"k\",\"NodeID\":1,\"NodeType\":\"vless\"},\n"
              "{\"ApiHost\":\"http://X:80/\",\"ApiKey\":\"k\",\"NodeID\":\"1\"},\n"
              "{\"ApiHost\":\"http://"
              "x\",\"ApiKey\":\"k\",\"NodeID\":2,\"ListenIP\":\"::\",\"Port\":443},\n"
              "{\"ApiHost\":\"http://"
              "x\",\"ApiKey\":\"k\",\"NodeID\":3,\"ListenIP\":\"10.0.0.1\",\"Port\":443},\n"
              "{\"ApiHost\":\"http://"
              "x\",\"ApiKey\":\"k\",\"NodeID\":4,\"Name\":\"a\",\"ListenIP\":\"10.0.0.1\","
              "\"Port\":80},\n"
              "{\"ApiHost\":\"http://"
              "x\",\"ApiKey\":\"k\",\"NodeID\":5,\"Name\":\"a\",\"ListenIP\":\"10.0.0.2\","
              "\"Port\":80}]}");
    assert_int_equal(cfg->node_count, 3);
    assert_findings(
        cfg,
        "c.json:3:1: error: node [http://X:80/]-:1: Nodes[1]: the same ApiHost and NodeID as in "
        "line 2 of "
        "c.json: traffic would be counted twice; this second one is left out\n"
        "c.json:5:1: error: node [http://x]-:3: Nodes[3]: listens on port 443 like "
        "[http://x]-:2 (line "
        "4 of c.json); two nodes cannot share a port, this second one is left out\n"
        "c.json:7:1: error: node a: Nodes[5]: the Name \"a\" is taken by line 6 of c.json");
    config_unref(cfg);
}

static void what_is_read_at_the_start_is_known(void **state)
{
    (void)state;
    char keys[CONFIG_AT_START_MAX];
    const struct config *a = parse_clean("{\"StateDir\":\"/s\",\"Nodes\":[]}");
    const struct config *b = parse_clean("{\"StateDir\":\"/s\",\"DrainTimeout\":9,\"Log\":{"
                                         "\"Level\":\"debug\"},\"Nodes\":[]}");
    const struct config *c = parse_clean(
        "{\"StateDir\":\"/t\",\"Workers\":2,\"MemoryBudget\":64,\"Log\":{\"Format\":\"json\","
        "\"Access\":\"/a\"},\"Nodes\":[]}");
    assert_string_equal(config_at_start_str(a, b, keys), "");
    assert_string_equal(config_at_start_str(a, c, keys),
                        "Workers, MemoryBudget, StateDir, Log.Format, Log.Access");
    config_unref(a);
    config_unref(b);
    config_unref(c);
}

static void identity_and_difference(void **state)
{
    (void)state;
    const struct config *a = parse_clean(NODE(",\"EnableTFO\":true"));
    const struct config *b =
        parse_clean("{ \"Workers\":2, \"Nodes\":[\n\n{" API ",\"EnableTFO\":1}]}");
    const struct config *c = parse_clean(NODE(",\"EnableTFO\":false"));
    const struct config *d = parse_clean(NODE(",\"NodeType\":\"vless\",\"EnableTFO\":true"));
    const struct config *e =
        parse_clean("{\"Cores\":[{\"ConnectionConfig\":{\"handshake\":5}}],\"Nodes\":[{" API
                    ",\"EnableTFO\":true}]}");
    assert_true(config_node_same(a->nodes, b->nodes));
    assert_true(config_node_equal(a->nodes, b->nodes));
    assert_true(config_node_same(a->nodes, c->nodes));
    assert_false(config_node_equal(a->nodes, c->nodes));
    assert_false(config_node_same(a->nodes, d->nodes));
    assert_true(config_node_same(a->nodes, e->nodes));
    assert_false(config_node_equal(a->nodes, e->nodes));
    assert_ptr_equal(config_ref(a), a);
    config_unref(a);
    config_unref(a);
    config_unref(b);
    config_unref(c);
    config_unref(d);
    config_unref(e);
    config_unref(NULL);
}

static char *print(const struct config *cfg)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    config_print(cfg, f);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void traffic_of_a_dynamic_limit(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
        unsigned warnings;
    } texts[] = {{"1000", 1000000000, 1},
                 {"\"1000\"", 1000000000, 1},
                 {"1000000", 1000000, 0},
                 {"999999", 999999000000, 1},
                 {"\"500MB\"", 500u << 20, 0},
                 {"\"64k\"", 65536, 0},
                 {"0", 0, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char text[300];
        snprintf(text, sizeof(text),
                 NODE(",\"LimitConfig\":{\"DynamicSpeedLimitConfig\":{\"Traffic\":%s}}"),
                 texts[i].text);
        const struct config *cfg = parse(text);
        assert_int_equal(cfg->errors, 0);
        assert_int_equal(cfg->warnings, texts[i].warnings);
        assert_true(cfg->nodes[0].options.limits.dynamic_traffic == texts[i].bytes);
        config_unref(cfg);
    }
}

static void printed_it_reads_the_same_but_for_secrets(void **state)
{
    (void)state;
    const struct config *a = parse(
        "{\"StateDir\":\"/s\",\"Cores\":[{\"ConnectionConfig\":{\"connIdle\":77}}],\"Nodes\":[{" API
        ",\"Name\":\"quo\\\"te\",\"SendIP\":[\"10.1.1.1\",\"::5\"],\"ProxyProtocolFrom\":\"10.0.0."
        "0/8\","
        "\"EnableProxyProtocol\":1,\"TrustedXForwardedFor\":[\"X-A\",\"X-B\"],\"ListenIP\":[\"::"
        "1\","
        "\"1.2.3.4\"],\"LimitConfig\":{\"SpeedLimit\":1,\"DynamicSpeedLimitConfig\":{\"Traffic\":"
        "1000}},"
        "\"FallBackConfigs\":[{\"Dest\":\"/a.sock\"},{\"Dest\":80,\"SNI\":\"x\"}],"
        "\"CertConfig\":{\"CertMode\":\"self\",\"CertDomain\":\"d.example\","
        "\"DNSEnv\":{\"TOKEN\":\"very-secret-value\"}},\"EnableDNS\":1,\"DNSType\":\"ForceIPv6\"}]"
        "}");
    assert_int_equal(a->errors, 0);
    char *text = print(a);
    assert_null(strstr(text, "secret-token"));
    assert_null(strstr(text, "very-secret-value"));
    assert_non_null(strstr(text, "secr****oken"));
    const struct config *b;
    assert_int_equal(config_parse(text, strlen(text), "b", NULL, &b), ST_OK);
    assert_int_equal(b->errors + b->warnings, 0);
    assert_int_equal(b->node_count, 1);
    char *again = print(b);
    assert_string_equal(again, text);
    assert_int_equal(b->nodes[0].options.limits.dynamic_traffic, 1000000000);
    free(again);
    free(text);
    config_unref(a);
    config_unref(b);
}

static void thousands_of_mistakes_are_counted_not_kept(void **state)
{
    (void)state;
    char *text = malloc(64000);
    assert_non_null(text);
    size_t n = (size_t)sprintf(text, "{\"Nodes\":[");
    for (int i = 0; i < 3000; i++)
        n += (size_t)sprintf(text + n, "%d,", i);
    sprintf(text + n, "]}");
    const struct config *cfg = parse(text);
    assert_int_equal(cfg->errors, 3000);
    assert_true(cfg->finding_count <= 200);
    config_unref(cfg);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_documented_ones),
        cmocka_unit_test(every_option_lands),
        cmocka_unit_test(listen_addresses),
        cmocka_unit_test(every_protocol_is_a_node_type),
        cmocka_unit_test(findings_say_what_where_and_what_to_do),
        cmocka_unit_test(a_bad_node_goes_and_is_named),
        cmocka_unit_test(what_comes_later_has_one_notice),
        cmocka_unit_test(nodes_that_exclude_each_other),
        cmocka_unit_test(what_is_read_at_the_start_is_known),
        cmocka_unit_test(identity_and_difference),
        cmocka_unit_test(traffic_of_a_dynamic_limit),
        cmocka_unit_test(printed_it_reads_the_same_but_for_secrets),
        cmocka_unit_test(thousands_of_mistakes_are_counted_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
