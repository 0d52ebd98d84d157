#include "control/config/config_keys.h"

#include <stdio.h>

#include "base/arena.h"
#include "codec/json.h"

static bool read_dest(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                      void *dst)
{
    struct fallback_rule *rule = dst;
    int64_t port;
    if (!json_is_string(v) && json_to_int(v, 0, &port) == ST_OK && port > 0 && port < 65536) {
        char text[8];
        snprintf(text, sizeof(text), "%d", (int)port);
        rule->dest = config_copy(r, text);
        return true;
    }
    const char *s;
    if (!config_text(r, at, v, &s))
        return false;
    if (r->panel && (*s == '/' || *s == '@')) {
        config_report(r, CONFIG_ERROR, at, "a panel may not name unix sockets of this host");
        return false;
    }
    rule->dest = s;
    return true;
}

static bool read_version(struct config_reader *r, const struct config_path *at,
                         const struct json_t *v, void *dst)
{
    struct fallback_rule *rule = dst;
    uint64_t n = rule->xver;
    if (!config_number(r, at, v, 0, 2, &n))
        return false;
    rule->xver = (uint8_t)n;
    return true;
}

static const struct config_key rule_keys[] = {
    {"SNI", .alias = "Name", .kind = KIND_TEXT, .panel = true,
     .offset = offsetof(struct fallback_rule, name)},
    {"Alpn", .kind = KIND_TEXT, .panel = true, .offset = offsetof(struct fallback_rule, alpn)},
    {"Path", .kind = KIND_TEXT, .panel = true, .offset = offsetof(struct fallback_rule, path)},
    {"Dest", .kind = KIND_CUSTOM, .panel = true, .read = read_dest},
    {"ProxyProtocolVer", .alias = "xver", .kind = KIND_CUSTOM, .panel = true, .read = read_version},
};
static const struct config_scope rule_scope = {
    "FallBackConfigs", rule_keys, sizeof(rule_keys) / sizeof(rule_keys[0]), CONFIG_NO_BITS};

static bool read_rule(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                      struct fallback_rule *rule)
{
    *rule = (struct fallback_rule){.name = "", .alpn = "", .path = "", .dest = ""};
    if (!json_is_object(v)) {
        config_report(r, CONFIG_ERROR, at, "must be an object such as {\"Dest\": \"80\"}");
        return false;
    }
    config_walk(r, at, v, &rule_scope, ~0u, rule);
    if (rule->dest[0] == '\0')
        config_report(r, CONFIG_ERROR, at,
                      "Dest is missing: a port, host:port, /path/of/unix.sock or @abstract");
    else if (rule->path[0] != '\0' && rule->path[0] != '/')
        config_report(r, CONFIG_ERROR, CONFIG_KEY(at, "Path"), "must begin with /");
    else
        return true;
    return false;
}

/* The table itself is built later, by who uses it; building it here once finds what cannot be
 * used. */
static bool try_rules(struct config_reader *r, const struct config_path *at, bool single,
                      const struct fallback_rule *rules, size_t n)
{
    const struct fallback_table *table;
    size_t bad = 0;
    struct arena *scratch = arena_new();
    enum status st = scratch != NULL ? fallback_build(scratch, rules, n, &table, &bad) : ST_E_NOMEM;
    arena_free(scratch);
    if (st == ST_E_NOMEM)
        r->nomem = true;
    else if (st != ST_OK)
        config_report(
            r, CONFIG_ERROR, single ? at : CONFIG_AT(at, bad),
            "Dest \"%.64s\" cannot be used: a port (80), host:port, /path/of/unix.sock or "
            "@abstract is needed",
            rules[bad < n ? bad : 0].dest);
    return st == ST_OK;
}

bool config_read_fallbacks(struct config_reader *r, const struct config_path *at,
                           const struct json_t *v, void *dst)
{
    struct config_draft *d = dst;
    bool single = json_is_object(v) && !json_is_array(v);
    size_t n = single ? 1 : json_array_len(v);
    if (!single && !json_is_array(v)) {
        config_report(r, CONFIG_ERROR, at,
                      "must be a list of objects such as [{\"Dest\": \"80\"}]");
        return false;
    }
    if (n > 256) {
        config_report(r, CONFIG_ERROR, at, "has more than 256 items");
        return false;
    }
    struct fallback_rule *rules = config_alloc(r, (n + 1) * sizeof(*rules));
    if (rules == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!read_rule(r, single ? at : CONFIG_AT(at, i), single ? v : json_at(v, i), &rules[i]))
            return false;
    if (n > 0 && !try_rules(r, at, single, rules, n))
        return false;
    d->opt.fallbacks = rules;
    d->opt.fallback_count = n;
    return true;
}
