/* A configuration as text: for "v2sp config show", for findings, and for the digest that tells
 * whether a node has changed. */
#include "control/config/config_keys.h"

#include <string.h>

/* Writes one JSON object: the members, each on its own line. */
struct printer {
    FILE *to;
    unsigned indent;
    bool open, first; /* open: secrets are shown */
    bool cores;       /* each node has a core of its own name */
};

static void print_text(FILE *to, const char *s)
{
    fputc('"', to);
    for (; *s != '\0'; s++) {
        if (*s == '"' || *s == '\\')
            fprintf(to, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            fprintf(to, "\\u%04x", (unsigned)*s);
        else
            fputc(*s, to);
    }
    fputc('"', to);
}

static void start_line(struct printer *p, const char *key)
{
    fprintf(p->to, "%s\n%*s", p->first ? "" : ",", (int)(4 * p->indent), "");
    p->first = false;
    if (key != NULL) {
        print_text(p->to, key);
        fputs(": ", p->to);
    }
}

static void open_group(struct printer *p, const char *key, char bracket)
{
    start_line(p, key);
    fputc(bracket, p->to);
    p->indent++;
    p->first = true;
}

static void close_group(struct printer *p, char bracket)
{
    p->indent--;
    if (!p->first)
        fprintf(p->to, "\n%*s", (int)(4 * p->indent), "");
    fputc(bracket, p->to);
    p->first = false;
}

static void put_text(struct printer *p, const char *key, const char *s)
{
    start_line(p, key);
    print_text(p->to, s);
}

static void put_secret(struct printer *p, const char *key, const char *s)
{
    char masked[16];
    put_text(p, key, p->open || *s == '\0' ? s : log_mask(masked, s));
}

static void put_number(struct printer *p, const char *key, uint64_t n)
{
    start_line(p, key);
    fprintf(p->to, "%llu", (unsigned long long)n);
}

static void put_mbps(struct printer *p, const char *key, uint32_t kbps)
{
    start_line(p, key);
    fprintf(p->to, "%.10g", kbps / 1000.0);
}

static void put_bool(struct printer *p, const char *key, bool b)
{
    start_line(p, key);
    fputs(b ? "true" : "false", p->to);
}

/* The shortest exact way to write it. */
static void put_ms(struct printer *p, const char *key, uint64_t ms)
{
    bool whole = ms % 1000 == 0;
    start_line(p, key);
    fprintf(p->to, "\"%llu%s\"", (unsigned long long)(whole ? ms / 1000 : ms), whole ? "s" : "ms");
}

static void put_size(struct printer *p, const char *key, uint64_t n)
{
    static const char *const units[] = {"b", "k", "m", "g"};
    unsigned i = 0;
    for (; i < 3 && n != 0 && n % 1024 == 0; i++)
        n /= 1024;
    start_line(p, key);
    fprintf(p->to, "\"%llu%s\"", (unsigned long long)n, units[i]);
}

static void put_ip(struct printer *p, const char *key, const struct addr *a)
{
    char text[ADDR_STRLEN];
    put_text(p, key, a->family == ADDR_NONE ? "" : addr_ip_str(a, text));
}

static void print_api(struct printer *p, const struct config_api *a)
{
    open_group(p, "ApiConfig", '{');
    put_text(p, "ApiHost", a->host);
    put_secret(p, "ApiKey", a->key);
    put_number(p, "NodeID", a->node_id);
    put_text(p, "NodeType", a->node_type);
    put_text(p, "PanelType", a->panel_type);
    put_ms(p, "Timeout", a->timeout_ms);
    put_ip(p, "ApiSendIP", &a->send_ip);
    put_secret(p, "ApiProxy", a->proxy); /* may hold a password */
    put_text(p, "ApiCA", a->ca);
    put_bool(p, "ApiInsecure", a->insecure);
    close_group(p, '}');
}

static void print_cert(struct printer *p, const struct config_cert *c)
{
    static const char *const modes[] = {"none", "file", "self", "http", "dns", "tls"};
    open_group(p, "CertConfig", '{');
    put_text(p, "CertMode", modes[c->mode]);
    put_text(p, "CertDomain", c->domain);
    put_text(p, "CertFile", c->cert_file);
    put_text(p, "KeyFile", c->key_file);
    put_text(p, "Provider", c->provider);
    put_text(p, "Email", c->email);
    open_group(p, "DNSEnv", '{');
    for (size_t i = 0; i < c->dns_env_count; i++)
        put_secret(p, c->dns_env[i].name, c->dns_env[i].value);
    close_group(p, '}');
    put_bool(p, "RejectUnknownSni", c->reject_unknown_sni);
    close_group(p, '}');
}

static void print_limits(struct printer *p, const struct config_limits *l)
{
    open_group(p, "LimitConfig", '{');
    put_mbps(p, "SpeedLimit", l->speed_kbps);
    put_number(p, "DeviceLimit", l->device);
    put_number(p, "ConnLimit", l->conn);
    put_mbps(p, "NodeTotalSpeedLimit", l->total_kbps);
    put_bool(p, "EnableDynamicSpeedLimit", l->dynamic);
    open_group(p, "DynamicSpeedLimitConfig", '{');
    put_ms(p, "Periodic", (uint64_t)l->dynamic_period_s * 1000);
    put_size(p, "Traffic", l->dynamic_traffic);
    put_mbps(p, "SpeedLimit", l->dynamic_speed_kbps);
    put_ms(p, "ExpireTime", (uint64_t)l->dynamic_expire_s * 1000);
    put_number(p, "WarnTimes", l->dynamic_warnings);
    close_group(p, '}');
    close_group(p, '}');
}

static void print_fallbacks(struct printer *p, const struct config_options *o)
{
    open_group(p, "FallBackConfigs", '[');
    for (size_t i = 0; i < o->fallback_count; i++) {
        const struct fallback_rule *r = &o->fallbacks[i];
        open_group(p, NULL, '{');
        put_text(p, "SNI", r->name);
        put_text(p, "Alpn", r->alpn);
        put_text(p, "Path", r->path);
        put_text(p, "Dest", r->dest);
        put_number(p, "ProxyProtocolVer", r->xver);
        close_group(p, '}');
    }
    close_group(p, ']');
}

static void print_list(struct printer *p, const char *key, const char *const *list, size_t n)
{
    open_group(p, key, '[');
    for (size_t i = 0; i < n; i++)
        put_text(p, NULL, list[i]);
    close_group(p, ']');
}

static void print_reality_limit(struct printer *p, const char *key,
                                const struct config_reality_limit *l)
{
    if (!l->given) /* zeros would replace the panel's */
        return;
    open_group(p, key, '{');
    put_size(p, "AfterBytes", l->after);
    put_size(p, "BytesPerSec", l->rate);
    put_size(p, "BurstBytesPerSec", l->burst);
    close_group(p, '}');
}

static void print_reality(struct printer *p, const struct config_options *o)
{
    const struct config_reality *c = &o->reality;
    if (o->reality_on) /* false would switch off what follows */
        put_bool(p, "EnableREALITY", true);
    open_group(p, "RealityConfig", '{');
    put_text(p, "Dest", c->dest);
    if (c->has_xver)
        put_number(p, "ProxyProtocolVer", c->xver);
    print_list(p, "ServerNames", c->server_names, c->server_name_count);
    put_secret(p, "PrivateKey", c->private_key);
    print_list(p, "ShortIds", c->short_ids, c->short_id_count);
    put_text(p, "MinClientVer", c->min_client_ver);
    put_text(p, "MaxClientVer", c->max_client_ver);
    put_text(p, "MaxTimeDiff", c->max_time_diff);
    put_secret(p, "mldsa65Seed", c->mldsa65_seed);
    print_reality_limit(p, "LimitFallbackUpload", &c->up);
    print_reality_limit(p, "LimitFallbackDownload", &c->down);
    close_group(p, '}');
}

static void print_device_store(struct printer *p, const struct config_device_store *s)
{
    if (!s->given) /* that of the file counts */
        return;
    open_group(p, "DeviceStore", '{');
    put_text(p, "Type", s->on ? "redis" : "none");
    put_text(p, "Address", s->address);
    put_text(p, "Username", s->username);
    put_secret(p, "Password", s->password);
    put_bool(p, "TLS", s->tls);
    put_text(p, "CA", s->ca);
    put_text(p, "ServerName", s->server_name);
    put_text(p, "CertFile", s->cert_file);
    put_text(p, "KeyFile", s->key_file);
    put_bool(p, "Insecure", s->insecure);
    put_number(p, "DB", s->db);
    put_text(p, "Prefix", s->prefix);
    put_ms(p, "Expiry", (uint64_t)s->expiry_s * 1000);
    put_ms(p, "Timeout", s->timeout_ms);
    close_group(p, '}');
}

static void print_addresses(struct printer *p, const struct config_options *o)
{
    open_group(p, "ListenIP", '[');
    for (unsigned i = 0; i < o->listen_count; i++)
        put_ip(p, NULL, &o->listen[i]);
    close_group(p, ']');
    put_number(p, "Port", o->port);
    open_group(p, "SendIP", '[');
    if (o->send_ip4.family != ADDR_NONE)
        put_ip(p, NULL, &o->send_ip4);
    if (o->send_ip6.family != ADDR_NONE)
        put_ip(p, NULL, &o->send_ip6);
    close_group(p, ']');
    put_bool(p, "EnableProxyProtocol", o->proxy_protocol);
    open_group(p, "ProxyProtocolFrom", '[');
    for (size_t i = 0; i < o->proxy_from_count; i++) {
        char text[ADDR_STRLEN], net[ADDR_STRLEN + 4];
        snprintf(net, sizeof(net), "%s/%u", addr_ip_str(&o->proxy_from[i].net, text),
                 o->proxy_from[i].bits);
        put_text(p, NULL, net);
    }
    close_group(p, ']');
    open_group(p, "TrustedXForwardedFor", '[');
    for (size_t i = 0; i < o->trusted_xff_count; i++)
        put_text(p, NULL, o->trusted_xff[i]);
    close_group(p, ']');
}

static void print_options(struct printer *p, const struct config_node *n)
{
    static const char *const dns_types[] = {"UseIP", "UseIPv4v6", "UseIPv6v4", "UseIPv4",
                                            "UseIPv6"};
    const struct config_options *o = &n->options;
    open_group(p, "Options", '{');
    put_text(p, "Name", n->tag);
    if (p->cores)
        put_text(p, "CoreName", n->tag);
    print_addresses(p, o);
    put_size(p, "DeviceOnlineMinTraffic", o->online_min_bytes);
    put_size(p, "ReportMinTraffic", o->report_min_bytes);
    print_limits(p, &o->limits);
    print_cert(p, &o->cert);
    put_bool(p, "EnableTFO", o->tfo);
    put_bool(p, "EnableDNS", o->dns);
    put_text(p, "DNSType", dns_types[o->dns_type]);
    put_bool(p, "EnableUot", o->uot);
    put_bool(p, "DisableIVCheck", o->disable_iv_check);
    put_bool(p, "DisableSniffing", o->disable_sniffing);
    put_text(p, "RuleListPath", o->rule_list);
    put_bool(p, "DisableGetRule", o->no_panel_rules);
    put_bool(p, "EnableFallback", o->fallback);
    print_fallbacks(p, o);
    print_reality(p, o);
    put_bool(p, "AllowPrivate", o->allow_private);
    put_bool(p, "MassDeleteGuard", o->mass_delete_guard);
    put_text(p, "ReportPolicy", o->at_most_once ? "at-most-once" : "at-least-once");
    put_ms(p, "DrainTimeout", o->drain_ms);
    put_number(p, "HandshakesPerSource", o->source_max);
    put_text(p, "SpeedLimitMode", o->speed_shared ? "shared" : "each");
    put_ms(p, "DeviceGrace", (uint64_t)o->device_grace_s * 1000);
    put_number(p, "DeviceIPv4Prefix", o->device_prefix4);
    put_number(p, "DeviceIPv6Prefix", o->device_prefix6);
    put_text(p, "DeviceOverflow", o->device_kick ? "kick-oldest" : "reject-new");
    put_bool(p, "DeviceLimitKick", o->device_limit_kick);
    print_device_store(p, &o->device_store);
    put_bool(p, "DeviceCountPrivate", o->device_private);
    put_text(p, "TlsEngine", o->tls_openssl ? "openssl" : "auto");
    close_group(p, '}');
}

static void print_timeouts(struct printer *p, const char *key, const struct view_timeouts *t)
{
    open_group(p, key, '{');
    put_ms(p, "handshake", t->handshake);
    put_ms(p, "connIdle", t->idle);
    put_ms(p, "uplinkOnly", t->uplink_only);
    put_ms(p, "downlinkOnly", t->downlink_only);
    close_group(p, '}');
}

static void print_node(struct printer *p, const struct config_node *n)
{
    open_group(p, NULL, '{');
    print_api(p, &n->api);
    print_options(p, n);
    close_group(p, '}');
}

void config_print_node(const struct config_node *n, FILE *to, bool open)
{
    struct printer p = {.to = to, .open = open, .first = true};
    print_node(&p, n);
    print_timeouts(&p, NULL, &n->timeouts);
    /* What the panel may replace is part of what a node is. */
    for (size_t i = 0; i < sizeof(n->given) / sizeof(n->given[0]); i++)
        put_number(&p, NULL, n->given[i]);
}

static void print_core(struct printer *p, const struct config_node *n)
{
    open_group(p, NULL, '{');
    if (p->cores)
        put_text(p, "Name", n->tag);
    print_timeouts(p, "ConnectionConfig", &n->timeouts);
    close_group(p, '}');
}

/* Timeouts are written in Cores: once if they are the same everywhere, else once a node. */
static void print_cores(struct printer *p, const struct config *cfg)
{
    for (size_t i = 1; i < cfg->node_count; i++)
        if (memcmp(&cfg->nodes[i].timeouts, &cfg->nodes[0].timeouts,
                   sizeof(struct view_timeouts)) != 0)
            p->cores = true;
    open_group(p, "Cores", '[');
    for (size_t i = 0; i < cfg->node_count && (i == 0 || p->cores); i++)
        print_core(p, &cfg->nodes[i]);
    close_group(p, ']');
}

static void print_listen(struct printer *p, const char *key, const struct addr *a)
{
    char text[ADDR_STRLEN];
    put_text(p, key, a->family != ADDR_NONE ? addr_str(a, text) : "");
}

static void print_stats(struct printer *p, const struct config *cfg)
{
    const struct config_stats *s = &cfg->stats;
    open_group(p, "experimental", '{');
    open_group(p, "v2ray_api", '{');
    print_listen(p, "listen", &s->listen);
    open_group(p, "stats", '{');
    put_bool(p, "enabled", s->enabled);
    print_list(p, "inbounds", s->inbounds.list, s->inbounds.count);
    print_list(p, "outbounds", s->outbounds.list, s->outbounds.count);
    open_group(p, "users", '[');
    for (size_t i = 0; i < s->users.count; i++) /* a credential is part of a name */
        put_secret(p, NULL, s->users.list[i]);
    close_group(p, ']');
    close_group(p, '}');
    close_group(p, '}');
    close_group(p, '}');
    open_group(p, "Metrics", '{');
    print_listen(p, "Listen", &cfg->metrics.listen);
    put_bool(p, "Users", cfg->metrics.users);
    close_group(p, '}');
}

void config_print(const struct config *cfg, FILE *to)
{
    struct printer p = {.to = to, .first = true};
    fputc('{', to);
    p.indent = 1;
    open_group(&p, "Log", '{');
    put_text(&p, "Level", log_level_str(cfg->log.level));
    put_text(&p, "Output", cfg->log.output);
    put_text(&p, "Format", cfg->log.json ? "json" : "text");
    put_number(&p, "MaxSize", cfg->log.max_size_mb);
    put_number(&p, "MaxBackups", cfg->log.max_backups);
    put_number(&p, "MaxAge", cfg->log.max_age_days);
    put_text(&p, "Access", cfg->log.access);
    close_group(&p, '}');
    put_text(&p, "StateDir", cfg->state_dir);
    put_number(&p, "Workers", cfg->workers);
    put_size(&p, "MemoryBudget", cfg->memory_budget);
    put_ms(&p, "DrainTimeout", cfg->drain_ms);
    print_stats(&p, cfg);
    print_device_store(&p, &cfg->device_store);
    print_cores(&p, cfg);
    open_group(&p, "Nodes", '[');
    for (size_t i = 0; i < cfg->node_count; i++)
        print_node(&p, &cfg->nodes[i]);
    close_group(&p, ']');
    fputs("\n}\n", to);
}

char *config_finding_str(const struct config_finding *f, char *dst, size_t cap)
{
    static const char *const words[] = {"error", "warning", "notice"};
    char place[32] = "", node[160] = "", key[220] = "";
    if (f->line > 0)
        snprintf(place, sizeof(place), ":%d:%d", f->line, f->column);
    if (f->node != NULL)
        snprintf(node, sizeof(node), "node %.150s: ", f->node);
    if (f->key[0] != '\0')
        snprintf(key, sizeof(key), "%s: ", f->key);
    snprintf(dst, cap, "%s%s: %s: %s%s%s", f->file, place, words[f->severity], node, key, f->text);
    return dst;
}
