#include "control/node/node_config.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/ascii.h"
#include "codec/json.h"

#define INTERVAL_DEFAULT 60

static enum status refuse(char problem[NODE_PROBLEM_MAX], const char *text)
{
    snprintf(problem, NODE_PROBLEM_MAX, "%s", text);
    return ST_E_CONFIG;
}

static const char *lower(struct arena *a, const char *text)
{
    return ascii_lower_text(arena_strdup(a, text));
}

static uint32_t interval(int64_t seconds)
{
    if (seconds <= 0)
        return INTERVAL_DEFAULT;
    if (seconds < NODE_INTERVAL_MIN)
        return NODE_INTERVAL_MIN;
    return seconds > NODE_INTERVAL_MAX ? NODE_INTERVAL_MAX : (uint32_t)seconds;
}

/* The larger of what the operator and the panel (kB of 1000 bytes) want. */
static uint64_t at_least(uint64_t local, int64_t panel_kb)
{
    uint64_t panel = panel_kb <= 0 || panel_kb > INT64_MAX / 1000 ? 0 : (uint64_t)panel_kb * 1000;
    return local > panel ? local : panel;
}

/* The panel's word wins: an operator who turns a node from one protocol into another does it there
 * (docs/panel-api.md, "config"). */
static enum status find_type(struct arena *a, const struct config_node *conf,
                             struct node_config *out, char problem[NODE_PROBLEM_MAX])
{
    const char *said = out->object.node_type, *local = conf->api.node_type;

    if (said == NULL || said[0] == '\0')
        said = local;
    if (said[0] == '\0')
        return refuse(problem, "node_type: neither the panel nor config.json (NodeType) gives it");
    if (strcasecmp(said, "v2ray") == 0)
        said = "vmess";
    if (local[0] != '\0' && strcasecmp(said, local) != 0)
        snprintf(out->notice, sizeof(out->notice),
                 "the panel says node_type %.32s, config.json says %.32s: the panel is believed",
                 said, local);
    out->type = lower(a, said);
    return out->type != NULL ? ST_OK : ST_E_NOMEM;
}

static enum status find_security(struct node_config *out, char problem[NODE_PROBLEM_MAX])
{
    int64_t tls = out->object.tls;

    if (out->options.reality_on)
        tls = 2;
    if (tls < 0)
        tls = strcmp(out->type, "trojan") == 0 ? 1 : 0;
    if (tls > 2)
        return refuse(problem, "tls: must be 0 (none), 1 (TLS) or 2 (REALITY)");
    out->tls_elsewhere = tls == 1 && out->options.cert.mode == CONFIG_CERT_NONE;
    out->security = tls == 2 ? "reality" : tls == 1 && !out->tls_elsewhere ? "tls" : "none";
    return ST_OK;
}

static const char *find_name(const struct v2sp_node_object *o)
{
    const char *name = json_get_str(o->tls_settings, "server_name", NULL);

    if (name == NULL || name[0] == '\0')
        name = json_get_str(o->tls_settings, "serverName", NULL);
    if (name == NULL || name[0] == '\0')
        name = o->server_name;
    return name != NULL && name[0] != '\0' ? name : o->host;
}

enum status node_config_read(struct arena *a, const struct config_node *conf,
                             const struct json_t *reply, struct node_config *out,
                             char problem[NODE_PROBLEM_MAX])
{
    struct v2sp_reply_error err;
    enum status st;

    memset(out, 0, sizeof(*out));
    problem[0] = '\0';
    if (v2sp_node_object_read(reply, (int64_t)conf->api.node_id, &out->object, &err) != ST_OK) {
        snprintf(problem, NODE_PROBLEM_MAX, "%.150s", err.text);
        return ST_E_PROTO;
    }
    if ((st = config_node_merge(a, conf, reply, &out->options, out->notice)) != ST_OK)
        return st;
    if ((st = find_type(a, conf, out, problem)) != ST_OK ||
        (st = find_security(out, problem)) != ST_OK)
        return st;
    int64_t port = out->options.port != 0 ? out->options.port : out->object.server_port;
    if (port == 0)
        return refuse(problem, "server_port: the panel gives none, and config.json has no Port");
    out->port = (uint16_t)port;
    out->network = lower(a, out->object.network != NULL ? out->object.network : "tcp");
    const char *name = find_name(&out->object);
    out->server_name = name != NULL ? lower(a, name) : NULL;
    if (out->network == NULL || (name != NULL && out->server_name == NULL))
        return ST_E_NOMEM;
    out->pull_s = interval(out->object.pull_interval);
    out->push_s = interval(out->object.push_interval);
    out->report_min = at_least(out->options.report_min_bytes, out->object.node_report_min_traffic);
    out->online_min =
        at_least(out->options.online_min_bytes, out->object.device_online_min_traffic);
    return ST_OK;
}
