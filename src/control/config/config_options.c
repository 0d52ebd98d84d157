#include "control/config/config_keys.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "codec/json.h"

void config_options_init(struct config_options *o)
{
    *o = (struct config_options){
        .rule_list = "",
        .listen = {{.family = ADDR_IP4}},
        .listen_count = 1,
        .cert =
            {.domain = "", .cert_file = "", .key_file = "", .provider = "", .email = "", .dir = ""},
        .reality = {.dest = "",
                    .private_key = "",
                    .min_client_ver = "",
                    .max_client_ver = "",
                    .max_time_diff = "",
                    .mldsa65_seed = ""},
        .limits = {.dynamic_period_s = 60, .dynamic_expire_s = 600},
        .mass_delete_guard = true,
        .drain_ms = 30000,
        .source_max = 256,
        .device_prefix4 = 32,
        .device_prefix6 = 64,
        .device_grace_s = 60,
        .device_limit_kick = true,
    };
    config_device_store_init(&o->device_store);
}

/* @path with {domain} and {email} filled in; both were checked to be harmless in a path, or come
 * from the operator. */
static const char *fill_in(struct config_reader *r, const char *path, const struct config_cert *c)
{
    static const char *const marks[] = {"{domain}", "{email}"};
    const char *const values[] = {c->domain, c->email};
    for (size_t i = 0; i < 2; i++) {
        const char *at = strstr(path, marks[i]);
        if (at == NULL)
            continue;
        char *p = arena_printf(r->a, "%.*s%s%s", (int)(at - path), path, values[i],
                               at + strlen(marks[i]));
        if (p == NULL)
            r->nomem = true;
        else
            path = p;
    }
    return path;
}

static const char *default_file(struct config_reader *r, const struct config_cert *c,
                                const char *ending)
{
    char *p = arena_printf(r->a, "%s/%s.%s", c->dir, c->domain, ending);
    if (p == NULL)
        r->nomem = true;
    return p != NULL ? p : "";
}

void config_options_end(struct config_reader *r, struct config_options *o)
{
    struct config_cert *c = &o->cert;
    o->ip_strategy = o->dns ? o->dns_type : VIEW_IP_ANY;
    c->cert_file = fill_in(r, c->cert_file, c);
    c->key_file = fill_in(r, c->key_file, c);
    if (c->mode > CONFIG_CERT_FILE && c->domain[0] != '\0') {
        if (c->cert_file[0] == '\0')
            c->cert_file = default_file(r, c, "crt");
        if (c->key_file[0] == '\0')
            c->key_file = default_file(r, c, "key");
    }
    struct config_limits *l = &o->limits;
    if (l->dynamic_usual_kbps > 0) { /* XrayR has no other switch */
        l->dynamic = true;
        l->dynamic_traffic = (uint64_t)l->dynamic_usual_kbps * 125 * l->dynamic_period_s;
    }
}

/* "::" serves IPv4 as well, so 0.0.0.0 beside it would only take the same port twice. */
static void add_listen(struct addr *list, unsigned *n, const struct addr *a)
{
    bool any = addr_is_any(a);
    for (unsigned i = 0; i < *n; i++) {
        if (addr_ip_equal(&list[i], a))
            return;
        if (any && addr_is_any(&list[i])) {
            list[i].family = ADDR_IP6;
            return;
        }
    }
    list[(*n)++] = *a;
}

bool config_read_listen(struct config_reader *r, const struct config_path *at,
                        const struct json_t *v, void *dst)
{
    struct config_draft *d = dst;
    const char *const *texts;
    struct addr list[CONFIG_LISTEN_MAX], a;
    size_t n;
    unsigned used = 0;
    if (!config_list(r, at, v, CONFIG_LISTEN_MAX, &texts, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!config_ip(r, at, texts[i], &a))
            return false;
        addr_unmap(&a); /* a socket for IPv6 alone cannot have such a one */
        add_listen(list, &used, &a);
    }
    if (used == 0)
        return true;
    memcpy(d->opt.listen, list, used * sizeof(list[0]));
    d->opt.listen_count = used;
    return true;
}

bool config_read_send_ip(struct config_reader *r, const struct config_path *at,
                         const struct json_t *v, void *dst)
{
    struct config_draft *d = dst;
    const char *const *texts;
    struct addr ip4 = {0}, ip6 = {0}, a;
    size_t n;
    if (!config_list(r, at, v, 2, &texts, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!config_ip(r, at, texts[i], &a))
            return false;
        if (!addr_is_any(&a))
            *(a.family == ADDR_IP4 ? &ip4 : &ip6) = a;
    }
    d->opt.send_ip4 = ip4;
    d->opt.send_ip6 = ip6;
    return true;
}

bool config_read_port(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                      void *dst)
{
    struct config_draft *d = dst;
    uint64_t n = d->opt.port;
    if (!config_number(r, at, v, 0, 65535, &n))
        return false;
    d->opt.port = (uint16_t)n;
    return true;
}

bool config_read_proxy_from(struct config_reader *r, const struct config_path *at,
                            const struct json_t *v, void *dst)
{
    struct config_draft *d = dst;
    return config_cidrs(r, at, v, &d->opt.proxy_from, &d->opt.proxy_from_count);
}

/* Header names (RFC 9110 section 5.1: token). */
bool config_read_trusted(struct config_reader *r, const struct config_path *at,
                         const struct json_t *v, void *dst)
{
    struct config_draft *d = dst;
    const char *const *list;
    size_t n;
    if (!config_list(r, at, v, 64, &list, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (strpbrk(list[i], " :;,()<>@\\\"/[]?={}") != NULL) {
            config_report(r, CONFIG_ERROR, at,
                          "\"%.64s\" is no header name; name the headers whose presence makes "
                          "X-Forwarded-For believed, such as CF-Connecting-IP",
                          list[i]);
            return false;
        }
    }
    d->opt.trusted_xff = list;
    d->opt.trusted_xff_count = n;
    return true;
}

/* Xray's Use... falls back to the other family where Force... fails; for one family alone both mean
 * "only" here. */
bool config_read_dns_type(struct config_reader *r, const struct config_path *at,
                          const struct json_t *v, void *dst)
{
    static const struct {
        const char *word;
        enum view_ip_strategy strategy;
    } words[] = {
        {"", VIEW_IP_ANY},
        {"AsIs", VIEW_IP_ANY},
        {"UseIP", VIEW_IP_ANY},
        {"ForceIP", VIEW_IP_ANY},
        {"UseIPv4", VIEW_IP_V4_ONLY},
        {"ForceIPv4", VIEW_IP_V4_ONLY},
        {"UseIPv6", VIEW_IP_V6_ONLY},
        {"ForceIPv6", VIEW_IP_V6_ONLY},
        {"UseIPv4v6", VIEW_IP_V4_FIRST},
        {"ForceIPv4v6", VIEW_IP_V4_FIRST},
        {"UseIPv6v4", VIEW_IP_V6_FIRST},
        {"ForceIPv6v4", VIEW_IP_V6_FIRST},
        {"prefer_ipv4", VIEW_IP_V4_FIRST},
        {"prefer_ipv6", VIEW_IP_V6_FIRST},
        {"ipv4_only", VIEW_IP_V4_ONLY},
        {"ipv6_only", VIEW_IP_V6_ONLY},
    };
    struct config_draft *d = dst;
    const char *s = json_str(v);
    for (size_t i = 0; s != NULL && i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(s, words[i].word) == 0) {
            d->opt.dns_type = words[i].strategy;
            /* sing-box's option stands alone, without an EnableDNS. */
            if (at->key != NULL && strcasecmp(at->key, "DomainStrategy") == 0)
                d->opt.dns = true;
            return true;
        }
    }
    config_report(r, CONFIG_ERROR, at,
                  "must be AsIs, or UseIP or ForceIP with nothing, v4, v6, v4v6 or v6v4 behind it");
    return false;
}

bool config_read_report_policy(struct config_reader *r, const struct config_path *at,
                               const struct json_t *v, void *dst)
{
    struct config_draft *d = dst;
    const char *s = json_str(v);
    bool most = s != NULL && strcasecmp(s, "at-most-once") == 0;
    if (s == NULL || (!most && *s != '\0' && strcasecmp(s, "at-least-once") != 0)) {
        config_report(r, CONFIG_ERROR, at, "must be at-most-once or at-least-once");
        return false;
    }
    d->opt.at_most_once = most;
    return true;
}

/* One of two words, the second for true. */
static bool read_choice(struct config_reader *r, const struct config_path *at,
                        const struct json_t *v, const char *no, const char *yes, bool *out)
{
    const char *s = json_str(v);
    bool is_yes = s != NULL && strcasecmp(s, yes) == 0;

    if (!is_yes && (s == NULL || strcasecmp(s, no) != 0)) {
        config_report(r, CONFIG_ERROR, at, "must be %s or %s", no, yes);
        return false;
    }
    *out = is_yes;
    return true;
}

bool config_read_speed_mode(struct config_reader *r, const struct config_path *at,
                            const struct json_t *v, void *dst)
{
    struct config_draft *d = dst;
    return read_choice(r, at, v, "each", "shared", &d->opt.speed_shared);
}

bool config_read_dynamic_traffic(struct config_reader *r, const struct config_path *at,
                                 const struct json_t *v, void *dst)
{
    struct config_limits *l = dst;
    const char *s = json_str(v);
    uint64_t n = l->dynamic_traffic;
    if (!config_size(r, at, v, 1, (uint64_t)1 << 50, &n))
        return false;
    /* Operators wrote 1000 and meant megabytes, although the Go programs counted bytes. */
    if (n > 0 && n < 1000000 && (s == NULL || s[strspn(s, " 0123456789")] == '\0')) {
        config_report(r, CONFIG_WARNING, at, "a number below 1000000 counts megabytes: %llu MB",
                      (unsigned long long)n);
        n *= 1000000;
    }
    l->dynamic_traffic = n;
    return true;
}

bool config_read_device_overflow(struct config_reader *r, const struct config_path *at,
                                 const struct json_t *v, void *dst)
{
    struct config_draft *d = dst;
    return read_choice(r, at, v, "reject-new", "kick-oldest", &d->opt.device_kick);
}

bool config_read_tls_engine(struct config_reader *r, const struct config_path *at,
                            const struct json_t *v, void *dst)
{
    struct config_draft *d = dst;
    return read_choice(r, at, v, "auto", "openssl", &d->opt.tls_openssl);
}
