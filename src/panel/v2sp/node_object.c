#include "panel/v2sp/node_object.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "codec/json.h"

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

static enum status fail(struct v2sp_reply_error *err, const char *text, const char *what)
{
    snprintf(err->text, sizeof(err->text), text, what);
    return ST_E_PROTO;
}

static const char *text_of(const struct json_t *obj, const char *key)
{
    const char *s = json_get_str(obj, key, NULL);
    return s != NULL && s[0] != '\0' ? s : NULL;
}

/* The entry of Nodes[] that is ours. ApiConfig/Options nesting is looked through for the id. */
static const struct json_t *own_entry(const struct json_t *nodes, int64_t node_id)
{
    size_t n = json_array_len(nodes);

    for (size_t i = 0; i < n; i++) {
        const struct json_t *e = json_at(nodes, i), *api = json_get(e, "ApiConfig");
        if (json_get_int(api != NULL ? api : e, "NodeID", -1) == node_id)
            return e;
    }
    /* A panel that serves one node may leave the id out; an entry of another node is not ours. */
    if (n == 1 && json_get(json_at(nodes, 0), "NodeID") == NULL &&
        json_get(json_get(json_at(nodes, 0), "ApiConfig"), "NodeID") == NULL)
        return json_at(nodes, 0);
    return NULL;
}

struct finder {
    const struct json_t *top, *entry;
    struct v2sp_reply_error *err;
    bool bad;
};

static const struct json_t *member(const struct finder *f, const char *key)
{
    const struct json_t *v = json_get(f->top, key);
    return v != NULL ? v : json_get(f->entry, key);
}

/* First of two spellings; camelCase wins over snake_case when both are there (docs/panel-api.md,
 * "config"). */
static const struct json_t *either(const struct finder *f, const char *first, const char *second)
{
    const struct json_t *v = member(f, first);
    v = v != NULL ? v : member(f, second);
    return json_is_object(v) && json_first(v) != NULL ? v : NULL;
}

static const char *text(const struct finder *f, const char *key)
{
    const char *s = text_of(f->top, key);
    return s != NULL ? s : text_of(f->entry, key);
}

static int64_t number_in(struct finder *f, const struct json_t *v, const char *key, int64_t dflt)
{
    int64_t n = dflt;

    if (v == NULL || f->bad || (json_str(v) != NULL && json_str(v)[0] == '\0'))
        return dflt;
    if (json_to_int(v, dflt, &n) != ST_OK) {
        f->bad = true;
        fail(f->err, "%s: a number was expected", key);
        return dflt;
    }
    return n;
}

static int64_t number(struct finder *f, const char *key, int64_t dflt)
{
    return number_in(f, member(f, key), key, dflt);
}

/* Panels of the family answer some errors with 200 (docs/panel-api.md). */
static bool is_failure(const struct json_t *reply, struct v2sp_reply_error *err)
{
    const char *st = json_get_str(reply, "status", "");
    const char *message = text_of(reply, "message");
    bool payload = json_get(reply, "server_port") != NULL || json_get(reply, "Nodes") != NULL ||
                   json_get(reply, "base_config") != NULL;

    if (strcasecmp(st, "fail") != 0 && (message == NULL || payload))
        return false;
    fail(err, "the panel answered with a message: %.120s", message != NULL ? message : "(none)");
    return true;
}

enum status v2sp_node_object_read(const struct json_t *reply, int64_t node_id,
                                  struct v2sp_node_object *out, struct v2sp_reply_error *err)
{
    struct finder f = {.top = reply, .err = err};

    memset(out, 0, sizeof(*out));
    err->text[0] = '\0';
    if (reply == NULL || !json_is_object(reply) || json_is_array(reply))
        return fail(err, "%s", "a JSON object was expected");
    if (is_failure(reply, err))
        return ST_E_PROTO;
    if (json_get(reply, "Nodes") != NULL || json_get(reply, "Cores") != NULL) {
        f.entry = own_entry(json_get(reply, "Nodes"), node_id);
        if (f.entry == NULL && json_get(reply, "server_port") == NULL)
            return fail(err, "%s", "Nodes[] has no entry with this NodeID");
        out->options = f.entry;
    }
    out->node = json_get(reply, "server_port") != NULL || f.entry == NULL ? reply : f.entry;

    out->node_type = text(&f, "node_type");
    if (out->node_type == NULL)
        out->node_type = text(&f, "protocol");
    if (out->node_type == NULL)
        out->node_type = text(&f, "type");
    if (out->node_type == NULL)
        out->node_type = text_of(f.entry, "NodeType");
    out->server_port = number(&f, "server_port", 0);
    if (!f.bad && (out->server_port < 0 || out->server_port > 65535))
        return fail(err, "%s", "server_port: not within 1..65535");
    out->listen_ip = text(&f, "listen_ip");
    out->host = text(&f, "host");
    out->server_name = text(&f, "server_name");
    out->network = text(&f, "network");
    out->network_settings = either(&f, "networkSettings", "network_settings");
    out->tls = number(&f, "tls", -1);
    out->tls_settings = either(&f, "tlsSettings", "tls_settings");
    out->flow = text(&f, "flow");
    out->encryption = text(&f, "encryption");
    out->decryption = text(&f, "decryption");
    out->routes = member(&f, "routes");
    const struct json_t *base = member(&f, "base_config");
    out->pull_interval = number_in(&f, json_get(base, "pull_interval"), "pull_interval", -1);
    out->push_interval = number_in(&f, json_get(base, "push_interval"), "push_interval", -1);
    out->node_report_min_traffic =
        number_in(&f, json_get(base, "node_report_min_traffic"), "node_report_min_traffic", -1);
    out->device_online_min_traffic =
        number_in(&f, json_get(base, "device_online_min_traffic"), "device_online_min_traffic", -1);
    if (!f.bad && json_first(reply) == NULL)
        return fail(err, "%s", "the node object is empty");
    return f.bad ? ST_E_PROTO : ST_OK;
}

static uint64_t mix(uint64_t h, const void *data, size_t len)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * FNV_PRIME;
    return h;
}

/* Members are added up, so their order does not count; integers and their texts are one. */
static uint64_t hash_value(const struct json_t *v, unsigned depth)
{
    uint64_t h = FNV_BASIS;
    int64_t n = 0;

    if (v == NULL || depth > JSON_DEPTH_MAX)
        return h;
    if (json_is_object(v) && json_array_len(v) == 0) {
        h = mix(h, "o", 1);
        for (void *it = json_first(v); it != NULL; it = json_next(v, it)) {
            uint64_t m = mix(FNV_BASIS, json_iter_key(it), strlen(json_iter_key(it)));
            uint64_t value = hash_value(json_iter_value(it), depth + 1);
            h += mix(m, &value, sizeof(value));
        }
    } else if (json_is_array(v)) {
        h = mix(h, "a", 1);
        for (size_t i = 0; i < json_array_len(v); i++) {
            uint64_t value = hash_value(json_at(v, i), depth + 1);
            h = mix(h, &value, sizeof(value));
        }
    } else if (json_to_int(v, 0, &n) == ST_OK) {
        h = mix(mix(h, "n", 1), &n, sizeof(n));
    } else if (json_str(v) != NULL) {
        h = mix(mix(h, "s", 1), json_str(v), strlen(json_str(v)));
    } else {
        h = mix(h, "x", 1); /* null, or a fraction: no setting of a node is one */
    }
    return h;
}

uint64_t v2sp_node_object_hash(const struct json_t *reply)
{
    return hash_value(reply, 0);
}
