/* Options that say how the panel is reached. */
#include "control/config/config_keys.h"

#include <string.h>
#include <strings.h>

#include "codec/json.h"

bool config_read_api_host(struct config_reader *r, const struct config_path *at,
                          const struct json_t *v, void *dst)
{
    struct config_draft *d = dst;
    const char *s;
    if (!config_text(r, at, v, &s))
        return false;
    bool http = strncasecmp(s, "http://", 7) == 0, https = strncasecmp(s, "https://", 8) == 0;
    if (!http && !https) {
        config_report(r, CONFIG_ERROR, at,
                      "must be a URL that begins with https:// or http://, such as "
                      "https://panel.example.com/api/node");
        return false;
    }
    if (s[http ? 7 : 8] == '\0' || strchr("/?#", s[http ? 7 : 8]) != NULL) {
        config_report(r, CONFIG_ERROR, at, "has no host name after %s",
                      http ? "http://" : "https://");
        return false;
    }
    if (strchr(s, ' ') != NULL) {
        config_report(r, CONFIG_ERROR, at, "has a blank inside");
        return false;
    }
    d->api.host = s;
    return true;
}

bool config_read_node_id(struct config_reader *r, const struct config_path *at,
                         const struct json_t *v, void *dst)
{
    struct config_draft *d = dst;
    return config_number(r, at, v, 1, INT64_MAX, &d->api.node_id);
}

bool config_read_node_type(struct config_reader *r, const struct config_path *at,
                           const struct json_t *v, void *dst)
{
    static const struct {
        const char *word, *type;
    } types[] = {{"vless", "vless"},
                 {"vmess", "vmess"},
                 {"v2ray", "vmess"},
                 {"trojan", "trojan"},
                 {"shadowsocks", "shadowsocks"},
                 {"ss", "shadowsocks"},
                 {"", ""}};
    struct config_draft *d = dst;
    const char *s = json_str(v);
    for (size_t i = 0; s != NULL && i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcasecmp(s, types[i].word) == 0) {
            d->api.node_type = types[i].type;
            return true;
        }
    }
    config_report(r, CONFIG_ERROR, at, "must be vless, vmess, trojan or shadowsocks");
    return false;
}

bool config_read_panel_type(struct config_reader *r, const struct config_path *at,
                            const struct json_t *v, void *dst)
{
    static const char *const known[] = {"uniproxy",   "v2board", "newv2board", "xboard",
                                        "v2node",     "sspanel", "pmpanel",    "proxypanel",
                                        "v2raysocks", "bunpanel"};
    struct config_draft *d = dst;
    const char *s = json_str(v);
    if (s != NULL && (*s == '\0' || strcasecmp(s, "auto") == 0 || strcasecmp(s, "v2sp") == 0)) {
        d->api.panel_type = "v2sp";
        return true;
    }
    for (size_t i = 0; s != NULL && i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcasecmp(s, known[i]) == 0) {
            config_report(r, CONFIG_ERROR, at,
                          "the panel dialect %s is understood but not implemented yet in this "
                          "version; use v2sp",
                          known[i]);
            return false;
        }
    }
    config_report(r, CONFIG_ERROR, at, "must be auto or v2sp");
    return false;
}

bool config_read_api_timeout(struct config_reader *r, const struct config_path *at,
                             const struct json_t *v, void *dst)
{
    struct config_draft *d = dst;
    int64_t n;
    /* The Go programs take 5 s for zero and less, and panels' documentation says so. */
    if (json_to_int(v, 1, &n) == ST_OK && n <= 0) {
        d->api.timeout_ms = 5000;
        return true;
    }
    uint64_t ms = d->api.timeout_ms;
    if (!config_duration(r, at, v, 1000, 100, 600000, &ms))
        return false;
    d->api.timeout_ms = (uint32_t)ms;
    return true;
}

bool config_read_api_send_ip(struct config_reader *r, const struct config_path *at,
                             const struct json_t *v, void *dst)
{
    struct config_draft *d = dst;
    const char *s;
    struct addr a;
    if (!config_text(r, at, v, &s) || !config_ip(r, at, s, &a))
        return false;
    d->api.send_ip = addr_is_any(&a) ? (struct addr){0} : a;
    return true;
}
