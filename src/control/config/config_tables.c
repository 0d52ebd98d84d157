/* Every key of config.json, where its value goes, and whether it does something yet. A row that
 * starts to work changes its state here and nowhere else. (docs/configuration.md.) */
#include "control/config/config_keys.h"

#define COUNT(a)   (sizeof(a) / sizeof((a)[0]))
#define DAYS_MS(n) ((uint64_t)(n)*86400000u)

/* Rows: name and what the macro's name says; W works, P may come from a panel as well. */
#define W                .state = KEY_WORKS
#define P                .state = KEY_WORKS, .panel = true
#define LATER            .state = KEY_LATER
#define OPT(m)           .part = PART_OPTION, .offset = offsetof(struct config_draft, opt.m)
#define API(m)           W, .part = PART_API, .offset = offsetof(struct config_draft, api.m)
#define BOOL             .kind = KIND_BOOL
#define TEXT             .kind = KIND_TEXT
#define U32(lo, hi)      .kind = KIND_U32, .min = (lo), .max = (hi)
#define MBPS             .kind = KIND_MBPS, .max = 1000000000u /* a terabit a second */
#define CUSTOM(fn)       .kind = KIND_CUSTOM, .read = (fn)
#define IGNORED(because) .kind = KIND_NONE, .state = KEY_IGNORED, .why = (because)

static const struct config_key log_keys[] = {
    {"Level", W, CUSTOM(config_read_level)},
    {"Output", .alias = "ErrorPath", W, CUSTOM(config_read_output)},
    {"Format", W, CUSTOM(config_read_format)},
    {"MaxSize", W, U32(0, 1u << 20), .offset = offsetof(struct config_log, max_size_mb)},
    {"MaxBackups", W, U32(0, 10000), .offset = offsetof(struct config_log, max_backups)},
    {"MaxAge", W, U32(0, 36500), .offset = offsetof(struct config_log, max_age_days)},
    {"Compress", LATER, .kind = KIND_NONE},
    {"Access", .alias = "AccessPath", W, TEXT, .offset = offsetof(struct config_log, access)},
};
const struct config_scope config_scope_log = {"Log", log_keys, COUNT(log_keys), CONFIG_NO_BITS};

/* These three keep the names of sing-box's configuration. */
static const struct config_key stats_keys[] = {
    {"enabled", W, BOOL, .offset = offsetof(struct config_stats, enabled)},
    {"inbounds", W, CUSTOM(config_read_stats_inbounds)},
    {"outbounds", W, CUSTOM(config_read_stats_outbounds)},
    {"users", W, CUSTOM(config_read_stats_users)},
};
static const struct config_scope stats_scope = {"stats", stats_keys, COUNT(stats_keys),
                                                CONFIG_NO_BITS};
static const struct config_key api_keys[] = {
    {"listen", W, CUSTOM(config_read_api_listen)},
    {"stats", W, .kind = KIND_OBJECT, .scope = &stats_scope},
};
static const struct config_scope api_scope = {"v2ray_api", api_keys, COUNT(api_keys),
                                              CONFIG_NO_BITS};
static const struct config_key experimental_keys[] = {
    {"v2ray_api", W, .kind = KIND_OBJECT, .scope = &api_scope},
    {"clash_api", IGNORED("there is no Clash API in v2sp")},
    {"cache_file", IGNORED("what is to be kept lies in StateDir")},
    {"debug", IGNORED("there is no Go runtime in v2sp")},
};
static const struct config_scope experimental_scope = {"experimental", experimental_keys,
                                                       COUNT(experimental_keys), CONFIG_NO_BITS};

static const struct config_key metrics_keys[] = {
    {"Listen", W, CUSTOM(config_read_metrics_listen)},
    {"Users", W, BOOL, .offset = offsetof(struct config_metrics, users)},
};
static const struct config_scope metrics_scope = {"Metrics", metrics_keys, COUNT(metrics_keys),
                                                  CONFIG_NO_BITS};

static const struct config_key top_keys[] = {
    {"Log", W, .kind = KIND_OBJECT, .scope = &config_scope_log,
     .offset = offsetof(struct config, log)},
    {"Cores", .state = KEY_PLACE},
    {"Nodes", .state = KEY_PLACE},
    {"StateDir", W, TEXT, .offset = offsetof(struct config, state_dir)},
    {"Workers", W, U32(0, 1024), .offset = offsetof(struct config, workers)},
    {"MemoryBudget", W, .kind = KIND_BYTES, .unit = 1u << 20, .max = (uint64_t)1 << 44,
     .offset = offsetof(struct config, memory_budget)},
    {"DrainTimeout", W, .kind = KIND_MS, .unit = 1000, .min = 0, .max = DAYS_MS(1),
     .offset = offsetof(struct config, drain_ms)},
    {"experimental", W, .kind = KIND_OBJECT, .scope = &experimental_scope,
     .offset = offsetof(struct config, stats)},
    {"Metrics", W, .kind = KIND_OBJECT, .scope = &metrics_scope,
     .offset = offsetof(struct config, metrics)},
    {"DeviceStore", W, CUSTOM(config_read_top_device_store)},
    {"PprofPort", IGNORED("there is no Go profiler in v2sp")},
};
const struct config_scope config_scope_top = {"the top level", top_keys, COUNT(top_keys),
                                              CONFIG_NO_BITS};

static const struct config_key core_log_keys[] = {
    {"Level", IGNORED("there is one log, see Log.Level at the top level")},
    {"AccessPath", W, TEXT, .offset = offsetof(struct config_core, access)},
    {"ErrorPath", IGNORED("there is one log, see Log.Output at the top level")},
    {"Disable", IGNORED("there is one log, see Log.Level at the top level")},
    {"Output", IGNORED("there is one log, see Log.Output at the top level")},
    {"Timestamp", .state = KEY_PLACE},
};
static const struct config_scope core_log = {"Log of a core", core_log_keys, COUNT(core_log_keys),
                                             CONFIG_NO_BITS};

static const struct config_key core_keys[] = {
    {"Type", W, TEXT, .offset = offsetof(struct config_core, type)},
    {"Name", W, TEXT, .offset = offsetof(struct config_core, name)},
    {"Log", W, .kind = KIND_OBJECT, .scope = &core_log},
    {"AssetPath", LATER, .kind = KIND_NONE},
    {"DnsConfigPath", LATER, .kind = KIND_NONE},
    {"RouteConfigPath", LATER, .kind = KIND_NONE},
    {"OutboundConfigPath", LATER, .kind = KIND_NONE},
    {"InboundConfigPath", LATER, .kind = KIND_NONE},
    {"XrayConnectionConfig", .alias = "ConnectionConfig", W, CUSTOM(config_read_timeouts)},
    {"NTP", IGNORED("v2sp does not set the clock; run an NTP service")},
    {"OriginalPath", IGNORED("v2sp reads no sing-box configuration")},
};
const struct config_scope config_scope_core = {"Cores[]", core_keys, COUNT(core_keys),
                                               CONFIG_NO_BITS};

static const struct config_key cert_keys[] = {
    {"CertMode", P, CUSTOM(config_read_cert_mode)},
    {"CertDomain", P, CUSTOM(config_read_domain)},
    {"CertFile", W, TEXT, .offset = offsetof(struct config_cert, cert_file)},
    {"KeyFile", W, TEXT, .offset = offsetof(struct config_cert, key_file)},
    {"Provider", W, TEXT, .offset = offsetof(struct config_cert, provider)},
    {"Email", P, TEXT, .offset = offsetof(struct config_cert, email)},
    {"DNSEnv", W, CUSTOM(config_read_dns_env)},
    {"RejectUnknownSni", P, BOOL, .offset = offsetof(struct config_cert, reject_unknown_sni)},
};
const struct config_scope config_scope_cert = {"CertConfig", cert_keys, COUNT(cert_keys), 128};

static const struct config_key dynamic_keys[] = {
    {"Periodic", P, .kind = KIND_SECONDS, .unit = 1000, .max = DAYS_MS(7),
     .offset = offsetof(struct config_limits, dynamic_period_s)},
    {"Traffic", P, CUSTOM(config_read_dynamic_traffic)},
    {"SpeedLimit", P, MBPS, .offset = offsetof(struct config_limits, dynamic_speed_kbps)},
    {"ExpireTime", P, .kind = KIND_SECONDS, .unit = 60000, .max = DAYS_MS(40),
     .offset = offsetof(struct config_limits, dynamic_expire_s)},
    {"WarnTimes", P, U32(0, 1000000), .offset = offsetof(struct config_limits, dynamic_warnings)},
};
static const struct config_scope dynamic_scope = {"DynamicSpeedLimitConfig", dynamic_keys,
                                                  COUNT(dynamic_keys), 184};

/* XrayR's words for the same. */
static const struct config_key auto_keys[] = {
    {"Limit", P, MBPS, .offset = offsetof(struct config_limits, dynamic_usual_kbps)},
    {"WarnTimes", P, U32(0, 1000000), .offset = offsetof(struct config_limits, dynamic_warnings)},
    {"LimitSpeed", P, MBPS, .offset = offsetof(struct config_limits, dynamic_speed_kbps)},
    {"LimitDuration", P, .kind = KIND_SECONDS, .unit = 60000, .max = DAYS_MS(40),
     .offset = offsetof(struct config_limits, dynamic_expire_s)},
};
static const struct config_scope auto_scope = {"AutoSpeedLimitConfig", auto_keys, COUNT(auto_keys),
                                               176};

static const struct config_key limit_keys[] = {
    {"SpeedLimit", P, MBPS, .offset = offsetof(struct config_limits, speed_kbps)},
    {"DeviceLimit", .alias = "IPLimit", P, U32(0, 1000000),
     .offset = offsetof(struct config_limits, device)},
    {"ConnLimit", P, U32(0, 10000000), .offset = offsetof(struct config_limits, conn)},
    {"NodeTotalSpeedLimit", P, MBPS, .offset = offsetof(struct config_limits, total_kbps)},
    {"EnableRealtime", IGNORED("counts always follow what is open now")},
    {"EnableDynamicSpeedLimit", P, BOOL, .offset = offsetof(struct config_limits, dynamic)},
    {"DynamicSpeedLimitConfig", P, .kind = KIND_OBJECT, .scope = &dynamic_scope},
    {"EnableIpRecorder", IGNORED("the panel's alive report is what counts devices")},
    {"IpRecorderConfig", .state = KEY_PLACE},
};
const struct config_scope config_scope_limits = {"LimitConfig", limit_keys, COUNT(limit_keys), 160};

static const struct config_key node_keys[] = {
    {"Include", .state = KEY_PLACE, .part = PART_ENTRY},
    {"ApiConfig", .state = KEY_PLACE, .part = PART_ENTRY},
    {"Options", .alias = "ControllerConfig", .state = KEY_PLACE, .part = PART_ENTRY},

    {"ApiHost", API(host), CUSTOM(config_read_api_host)},
    {"ApiKey", API(key), TEXT},
    {"NodeID", API(node_id), CUSTOM(config_read_node_id)},
    {"NodeType", API(node_type), CUSTOM(config_read_node_type)},
    {"PanelType", .part = PART_API | PART_ENTRY, W, CUSTOM(config_read_panel_type)},
    {"Timeout", API(timeout_ms), CUSTOM(config_read_api_timeout)},
    {"ApiSendIP", API(send_ip), CUSTOM(config_read_api_send_ip)},
    {"ApiProxy", API(proxy), TEXT},
    {"ApiCA", API(ca), TEXT},
    {"ApiInsecure", API(insecure), BOOL},
    {"RetryCount", .part = PART_API, IGNORED("calls are repeated with growing pauses")},
    {"RuleListPath", .part = PART_API | PART_OPTION, W, TEXT,
     .offset = offsetof(struct config_draft, opt.rule_list)},
    {"DisableCustomConfig", .part = PART_API, .state = KEY_PLACE},
    {"VlessFlow", .part = PART_API, IGNORED("the flow comes from the panel")},

    {"Name", .part = PART_OPTION, W, TEXT, .offset = offsetof(struct config_draft, name)},
    {"Core", .part = PART_OPTION, W, TEXT, .offset = offsetof(struct config_draft, core)},
    {"CoreName", .part = PART_OPTION, W, TEXT, .offset = offsetof(struct config_draft, core_name)},
    {"ListenIP", .alias = "listen_ip", OPT(listen), P, CUSTOM(config_read_listen)},
    {"Port", OPT(port), W, CUSTOM(config_read_port)},
    {"SendIP", OPT(send_ip4), P, CUSTOM(config_read_send_ip)},
    {"DeviceOnlineMinTraffic", OPT(online_min_bytes), P, .kind = KIND_BYTES, .unit = 1000,
     .max = (uint64_t)1 << 50},
    {"ReportMinTraffic", OPT(report_min_bytes), P, .kind = KIND_BYTES, .unit = 1024,
     .max = (uint64_t)1 << 50},
    {"LimitConfig", OPT(limits), P, .kind = KIND_OBJECT, .scope = &config_scope_limits},
    {"CertConfig", OPT(cert), P, .kind = KIND_OBJECT, .scope = &config_scope_cert},
    {"EnableXTLS", .part = PART_OPTION, IGNORED("the flow comes from the panel")},
    {"EnableVless", .part = PART_API | PART_OPTION, W, BOOL,
     .offset = offsetof(struct config_draft, enable_vless)},
    {"EnableProxyProtocol", OPT(proxy_protocol), P, BOOL},
    {"ProxyProtocolFrom", OPT(proxy_from), P, CUSTOM(config_read_proxy_from)},
    {"TrustedXForwardedFor", .alias = "trusted_x_forwarded_for", OPT(trusted_xff), P,
     CUSTOM(config_read_trusted)},
    {"EnableTFO", OPT(tfo), P, BOOL},
    {"EnableDNS", OPT(dns), P, BOOL},
    {"DNSType", .alias = "DomainStrategy", OPT(dns_type), P, CUSTOM(config_read_dns_type)},
    {"EnableUot", OPT(uot), .state = KEY_LATER, .panel = true, BOOL},
    {"DisableIVCheck", OPT(disable_iv_check), .state = KEY_LATER, .panel = true, BOOL},
    {"DisableSniffing", OPT(disable_sniffing), P, BOOL},
    {"EnableSniff", .part = PART_OPTION,
     IGNORED("block rules say what is looked at; DisableSniffing stops it")},
    {"SniffOverrideDestination", .part = PART_OPTION,
     IGNORED("sniffing serves block rules only, sessions go where the client wanted")},
    {"MultiplexConfig", .part = PART_OPTION, LATER, .kind = KIND_NONE},
    {"Hysteria2ConfigPath", .part = PART_OPTION, IGNORED("v2sp does not speak Hysteria")},
    {"EnableFallback", OPT(fallback), P, BOOL},
    {"FallBackConfigs", OPT(fallbacks), P, CUSTOM(config_read_fallbacks)},
    {"AllowPrivate", OPT(allow_private), W, BOOL},
    {"MassDeleteGuard", OPT(mass_delete_guard), W, BOOL},
    {"ReportPolicy", OPT(at_most_once), W, CUSTOM(config_read_report_policy)},
    {"DrainTimeout", OPT(drain_ms), W, .kind = KIND_MS, .unit = 1000, .max = DAYS_MS(1)},
    {"TlsEngine", .part = PART_OPTION, W, CUSTOM(config_read_tls_engine)},
    {"HandshakesPerSource", OPT(source_max), W, U32(1, 1000000)},
    {"Workers", .part = PART_OPTION, LATER, .kind = KIND_NONE},
    {"NodeTotalSpeedLimit", OPT(limits.total_kbps), P, MBPS},
    {"SpeedLimitMode", .part = PART_OPTION, P, CUSTOM(config_read_speed_mode)},
    {"DeviceGrace", OPT(device_grace_s), P, .kind = KIND_SECONDS, .unit = 1000, .max = DAYS_MS(1)},
    {"DeviceIPv4Prefix", OPT(device_prefix4), P, U32(8, 32)},
    {"DeviceIPv6Prefix", OPT(device_prefix6), P, U32(16, 128)},
    {"DeviceOverflow", .part = PART_OPTION, P, CUSTOM(config_read_device_overflow)},
    {"DeviceLimitKick", OPT(device_limit_kick), P, BOOL},
    {"DeviceStore", .part = PART_OPTION, W, CUSTOM(config_read_device_store)},
    {"DeviceCountPrivate", OPT(device_private), W, BOOL},
    {"EnableREALITY", OPT(reality_on), W, BOOL},
    {"DisableLocalREALITYConfig", .part = PART_OPTION, .state = KEY_PLACE},
    {"RealityConfig", .alias = "REALITYConfigs", .part = PART_OPTION, W,
     CUSTOM(config_read_reality)},
    {"UpdatePeriodic", .part = PART_OPTION, IGNORED("the panel sets the intervals")},
    {"DisableUploadTraffic", .part = PART_OPTION, LATER, .kind = KIND_NONE},
    {"DisableGetRule", OPT(no_panel_rules), W, BOOL},
    {"AutoSpeedLimitConfig", OPT(limits), P, .kind = KIND_OBJECT, .scope = &auto_scope},
    {"GlobalDeviceLimitConfig", .part = PART_OPTION, W, CUSTOM(config_read_global_device_limit)},
};
const struct config_scope config_scope_node = {"an entry of Nodes", node_keys, COUNT(node_keys), 0};

_Static_assert(COUNT(node_keys) <= 128 && COUNT(cert_keys) <= 32 && COUNT(limit_keys) <= 16 &&
                   COUNT(auto_keys) <= 8 && COUNT(dynamic_keys) <= 8,
               "config_node.given has a bit for every row");
