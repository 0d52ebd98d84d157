#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "codec/json.h"
#include "transport/ws/ws.h"

static enum status config_error(struct conf_error *err, const char *text)
{
    snprintf(err->text, sizeof(err->text), "%s", text);
    return ST_E_CONFIG;
}

/* Member @key as a text: absent, null and "" are NULL; PHP panels also send a list of one. */
static enum status text_member(const struct json_t *obj, const char *key, const char **out)
{
    const struct json_t *v = json_get(obj, key);
    *out = NULL;
    if (json_is_array(v))
        v = json_at(v, 0);
    if (v == NULL)
        return ST_OK;
    if (!json_is_string(v))
        return ST_E_CONFIG;
    const char *text = json_str(v);
    *out = text != NULL && *text != '\0' ? text : NULL;
    return ST_OK;
}

static enum status copy_trusted(struct arena *a, struct ws_conf *c, const struct conf_context *ctx)
{
    if (ctx == NULL || ctx->trusted_xff_count == 0)
        return ST_OK;
    const char **names = arena_alloc(a, ctx->trusted_xff_count * sizeof(*names));
    if (names == NULL)
        return ST_E_NOMEM;
    for (size_t i = 0; i < ctx->trusted_xff_count; i++) {
        names[i] = arena_strdup(a, ctx->trusted_xff[i]);
        if (names[i] == NULL)
            return ST_E_NOMEM;
    }
    c->trusted_xff = names;
    c->trusted_xff_count = ctx->trusted_xff_count;
    return ST_OK;
}

static enum status parse_conf(struct arena *a, const struct json_t *settings,
                              const struct conf_context *ctx, const void **conf,
                              struct conf_error *err)
{
    const char *path, *host;
    int64_t heartbeat;
    struct ws_conf *c = arena_alloc(a, sizeof(*c));
    if (c == NULL)
        return ST_E_NOMEM;
    if (text_member(settings, "path", &path) != ST_OK)
        return config_error(err, "ws path: must be a string");
    if (text_member(settings, "host", &host) != ST_OK)
        return config_error(err, "ws host: must be a string");
    if (host == NULL && text_member(json_get(settings, "headers"), "Host", &host) != ST_OK)
        return config_error(err, "ws headers.Host: must be a string");
    if (json_to_int(json_get(settings, "heartbeatPeriod"), 0, &heartbeat) != ST_OK ||
        heartbeat < 0 || heartbeat > WS_HEARTBEAT_MAX)
        return config_error(err, "ws heartbeatPeriod: must be a number of seconds, 0 to 86400");
    c->heartbeat_s = (uint32_t)heartbeat;
    if (host != NULL && (c->host = arena_strdup(a, host)) == NULL)
        return ST_E_NOMEM;
    enum status st = http_path_parse(a, path, &c->path);
    if (st == ST_OK)
        st = copy_trusted(a, c, ctx);
    if (st == ST_OK)
        *conf = c;
    return st;
}

static const char *const aliases[] = {"ws", "websocket", NULL};
static const char *const alpn[] = {"http/1.1", NULL};

const struct transport transport_ws = {
    .name = "ws",
    .aliases = aliases,
    .role = TRANSPORT_NETWORK,
    .parse_conf = parse_conf,
    .server = &ws_server_ops,
    .alpn = alpn,
};
