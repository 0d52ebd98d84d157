#include "app/sharelink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"
#include "codec/percent.h"
#include "panelserver/db_node.h"
#include "panelserver/db_user.h"
#include "panelserver/textbuf.h"

/* ---- from the panel's records ---------------------------------------------------------------- */

static bool copy(char *dst, size_t size, const char *text)
{
    int n = snprintf(dst, size, "%s", text != NULL ? text : "");
    return n >= 0 && (size_t)n < size;
}

/* Settings are what the operator stored, an object or nothing. */
static bool parse(const char *text, struct json_t **out)
{
    struct json_error err;
    *out = NULL;
    return text[0] == '\0' || json_parse(text, strlen(text), out, &err) == ST_OK;
}

/* A text, or the texts of an array joined by commas: panels store lists both ways. */
static bool copy_list(char *dst, size_t size, const struct json_t *v)
{
    if (!json_is_array(v))
        return copy(dst, size, json_str(v));
    size_t len = 0;
    dst[0] = '\0';
    for (size_t i = 0; i < json_array_len(v); i++) {
        const char *item = json_str(json_at(v, i));
        int n =
            item == NULL ? -1 : snprintf(dst + len, size - len, "%s%s", len > 0 ? "," : "", item);
        if (n < 0 || (size_t)n >= size - len)
            return false;
        len += (size_t)n;
    }
    return true;
}

static bool take_network(struct sharelink *s, const struct json_t *v)
{
    const char *host = json_get_str(v, "host", NULL);
    if (host == NULL)
        host = json_get_str(json_get(v, "headers"), "Host", NULL);
    if (strcmp(s->network, "grpc") == 0)
        return copy(s->service, sizeof s->service, json_get_str(v, "serviceName", "")) &&
               copy(s->host, sizeof s->host, json_get_str(v, "authority", ""));
    if (strcmp(s->network, "tcp") == 0)
        return true;
    const char *path = json_get_str(v, "path", "/");
    int n = snprintf(s->path, sizeof s->path, "%s%s", path[0] == '/' ? "" : "/", path);
    return n >= 0 && (size_t)n < sizeof s->path && copy(s->host, sizeof s->host, host);
}

/* The first item of a list, of a text with commas, or the text itself. */
static bool copy_first(char *dst, size_t size, const struct json_t *v)
{
    const char *text = json_str(json_is_array(v) ? json_at(v, 0) : v);
    size_t n = text != NULL ? strcspn(text, ",") : 0;
    if (n >= size)
        return false;
    memcpy(dst, text != NULL ? text : "", n);
    dst[n] = '\0';
    return true;
}

static bool take_reality(struct sharelink *s, const struct json_t *v, const char *name)
{
    const struct json_t *ids = json_get(v, "short_ids"), *names = json_get(v, "server_names");
    if (ids == NULL)
        ids = json_get(v, "short_id");
    if (name[0] != '\0' || names == NULL)
        names = json_get(v, "server_name");
    return copy_first(s->sni, sizeof s->sni, names) &&
           copy_first(s->short_id, sizeof s->short_id, ids) &&
           copy(s->fingerprint, sizeof s->fingerprint, json_get_str(v, "fingerprint", "chrome")) &&
           copy(s->public_key, sizeof s->public_key, json_get_str(v, "public_key", "")) &&
           copy(s->spider, sizeof s->spider, json_get_str(v, "spider_x", "/")) &&
           copy(s->verify, sizeof s->verify, json_get_str(v, "mldsa65Verify", ""));
}

static bool take_tls(struct sharelink *s, const struct json_t *v)
{
    s->allow_insecure = s->security == SHARELINK_TLS && json_get_bool(v, "allow_insecure", false);
    const char *name = json_get_str(v, "server_name", "");
    if (s->security == SHARELINK_REALITY)
        return take_reality(s, v, name);
    return copy(s->sni, sizeof s->sni, name) &&
           copy_list(s->alpn, sizeof s->alpn, json_get(v, "alpn")) &&
           copy(s->fingerprint, sizeof s->fingerprint, json_get_str(v, "fingerprint", ""));
}

enum status sharelink_from(struct sharelink *s, const struct db_node *n, const struct db_user *u,
                           const char **problem)
{
    struct json_t *network = NULL, *tls = NULL;
    enum status st = ST_E_CONFIG;
    memset(s, 0, sizeof *s);
    if (strcmp(n->type, "vless") != 0) {
        *problem = "share links are made for VLESS nodes only";
        return ST_E_UNSUPPORTED;
    }
    *problem = "the node has no public host: set it with `v2sp panel node set ID --host NAME`";
    if (n->host[0] == '\0')
        return st;
    *problem = "the node's settings cannot be read";
    if (!parse(n->network_settings, &network) || !parse(n->tls_settings, &tls))
        goto out;
    s->port = n->public_port != 0 ? n->public_port : n->port;
    s->security = (enum sharelink_security)n->tls;
    *problem = "a text of the node's settings is too long for a share link";
    if (!copy(s->uuid, sizeof s->uuid, u->uuid) || !copy(s->server, sizeof s->server, n->host) ||
        !copy(s->network, sizeof s->network, n->network) ||
        !copy(s->flow, sizeof s->flow, n->flow) || !take_network(s, network) ||
        (s->security != SHARELINK_NONE && !take_tls(s, tls)))
        goto out;
    /* "user@node" tells several links apart in a client's list. */
    (void)!snprintf(s->name, sizeof s->name, "%s%s%s", u->name, n->name[0] != '\0' ? "@" : "",
                    n->name);
    *problem =
        "the node has no REALITY public key: `v2sp panel node set ID --tls reality` makes one";
    if (s->security == SHARELINK_REALITY && s->public_key[0] == '\0')
        goto out;
    *problem = NULL;
    st = ST_OK;
out:
    json_unref(network);
    json_unref(tls);
    return st;
}

/* ---- the link -------------------------------------------------------------------------------- */

static void encoded(struct textbuf *t, const char *text)
{
    char out[3 * SHARELINK_TEXT_MAX + 1];
    size_t len = percent_encode(out, text, strnlen(text, SHARELINK_TEXT_MAX));
    textbuf_put(t, out, len);
}

static void query(struct textbuf *t, const char *key, const char *value)
{
    if (value[0] == '\0')
        return;
    textbuf_printf(t, "&%s=", key);
    encoded(t, value);
}

void sharelink_uri(const struct sharelink *s, struct textbuf *t)
{
    static const char *const security[] = {"none", "tls", "reality"};
    bool ip6 = strchr(s->server, ':') != NULL;
    textbuf_printf(t, "vless://%s@%s%s%s:%u?encryption=none", s->uuid, ip6 ? "[" : "", s->server,
                   ip6 ? "]" : "", s->port);
    query(t, "type", s->network);
    query(t, "security", security[s->security]);
    query(t, "sni", s->sni);
    query(t, "alpn", s->alpn);
    query(t, "fp", s->fingerprint);
    query(t, "pbk", s->public_key);
    query(t, "sid", s->short_id);
    query(t, "spx", s->spider);
    if (s->verify[0] != '\0') {
        textbuf_puts(t, "&pqv="); /* base64url: nothing to encode */
        textbuf_puts(t, s->verify);
    }
    query(t, "flow", s->flow);
    query(t, "path", s->path);
    query(t, strcmp(s->network, "grpc") == 0 ? "authority" : "host", s->host);
    query(t, "serviceName", s->service);
    query(t, "allowInsecure", s->allow_insecure ? "1" : "");
    if (s->name[0] != '\0') {
        textbuf_put(t, "#", 1);
        encoded(t, s->name);
    }
}

/* ---- configurations -------------------------------------------------------------------------- */

/* ,"key":"value" or nothing for an empty value. */
static void member(struct textbuf *t, const char *key, const char *value)
{
    if (value[0] == '\0')
        return;
    textbuf_printf(t, ",\"%s\":", key);
    textbuf_json(t, value);
}

/* ,"alpn":["h2","http/1.1"] or nothing. */
static void alpn(struct textbuf *t, const char *list)
{
    if (list[0] == '\0')
        return;
    textbuf_puts(t, ",\"alpn\":[");
    for (const char *p = list; *p != '\0';) {
        char item[64];
        size_t n = strcspn(p, ",");
        snprintf(item, sizeof item, "%.*s", (int)n, p);
        textbuf_puts(t, p == list ? "" : ",");
        textbuf_json(t, item);
        p += n + (p[n] == ',');
    }
    textbuf_put(t, "]", 1);
}

static void xray_stream(const struct sharelink *s, struct textbuf *t)
{
    textbuf_puts(t, "\"streamSettings\":{\"network\":");
    textbuf_json(t, s->network);
    if (s->security == SHARELINK_TLS) {
        textbuf_printf(t, ",\"security\":\"tls\",\"tlsSettings\":{\"allowInsecure\":%s",
                       s->allow_insecure ? "true" : "false");
        member(t, "serverName", s->sni);
        member(t, "fingerprint", s->fingerprint);
        alpn(t, s->alpn);
        textbuf_put(t, "}", 1);
    } else if (s->security == SHARELINK_REALITY) {
        textbuf_puts(t, ",\"security\":\"reality\",\"realitySettings\":{\"show\":false");
        member(t, "serverName", s->sni);
        member(t, "fingerprint", s->fingerprint);
        member(t, "publicKey", s->public_key);
        member(t, "shortId", s->short_id);
        member(t, "spiderX", s->spider);
        member(t, "mldsa65Verify", s->verify);
        textbuf_put(t, "}", 1);
    }
    if (strcmp(s->network, "grpc") == 0) {
        textbuf_puts(t, ",\"grpcSettings\":{\"serviceName\":");
        textbuf_json(t, s->service);
        member(t, "authority", s->host);
        textbuf_put(t, "}", 1);
    } else if (strcmp(s->network, "tcp") != 0) {
        textbuf_printf(t, ",\"%sSettings\":{\"path\":", s->network);
        textbuf_json(t, s->path);
        member(t, "host", s->host);
        textbuf_put(t, "}", 1);
    }
    textbuf_put(t, "}", 1);
}

void sharelink_xray(const struct sharelink *s, uint16_t socks_port, struct textbuf *t)
{
    textbuf_printf(t,
                   "{\"log\":{\"loglevel\":\"warning\"},\n"
                   " \"inbounds\":[{\"listen\":\"127.0.0.1\",\"port\":%u,\"protocol\":\"socks\","
                   "\"settings\":{\"udp\":true,\"ip\":\"127.0.0.1\"}}],\n"
                   " \"outbounds\":[{\"protocol\":\"vless\",\"settings\":{\"vnext\":[{\"address\":",
                   socks_port);
    textbuf_json(t, s->server);
    textbuf_printf(t, ",\"port\":%u,\"users\":[{\"encryption\":\"none\"", s->port);
    member(t, "id", s->uuid);
    member(t, "flow", s->flow);
    textbuf_puts(t, "}]}]},\n  ");
    xray_stream(s, t);
    textbuf_puts(t, "}]}\n");
}

static void sing_box_tls(const struct sharelink *s, struct textbuf *t)
{
    textbuf_printf(t, ",\n  \"tls\":{\"enabled\":true,\"insecure\":%s",
                   s->allow_insecure ? "true" : "false");
    member(t, "server_name", s->sni);
    alpn(t, s->alpn);
    if (s->fingerprint[0] != '\0') {
        textbuf_puts(t, ",\"utls\":{\"enabled\":true");
        member(t, "fingerprint", s->fingerprint);
        textbuf_put(t, "}", 1);
    }
    if (s->security == SHARELINK_REALITY) {
        textbuf_puts(t, ",\"reality\":{\"enabled\":true");
        member(t, "public_key", s->public_key);
        member(t, "short_id", s->short_id);
        textbuf_put(t, "}", 1);
    }
    textbuf_put(t, "}", 1);
}

/* Xray reads the size of early data from the path's "?ed="; sing-box wants it apart. */
static void sing_box_transport(const struct sharelink *s, struct textbuf *t)
{
    char path[SHARELINK_TEXT_MAX];
    long early = 0;
    snprintf(path, sizeof path, "%s", s->path);
    char *ed = strstr(path, "?ed=");
    if (ed != NULL && strcmp(s->network, "ws") == 0) {
        early = strtol(ed + 4, NULL, 10);
        *ed = '\0';
    }
    textbuf_puts(t, ",\n  \"transport\":{\"type\":");
    textbuf_json(t, s->network);
    if (strcmp(s->network, "grpc") == 0) {
        member(t, "service_name", s->service);
    } else if (strcmp(s->network, "httpupgrade") == 0) {
        member(t, "path", path);
        member(t, "host", s->host);
    } else {
        member(t, "path", path);
        if (s->host[0] != '\0') {
            textbuf_puts(t, ",\"headers\":{\"Host\":");
            textbuf_json(t, s->host);
            textbuf_put(t, "}", 1);
        }
        if (early > 0)
            textbuf_printf(t,
                           ",\"max_early_data\":%ld,"
                           "\"early_data_header_name\":\"Sec-WebSocket-Protocol\"",
                           early);
    }
    textbuf_put(t, "}", 1);
}

enum status sharelink_sing_box(const struct sharelink *s, uint16_t socks_port, struct textbuf *t)
{
    if (strcmp(s->network, "xhttp") == 0 || strcmp(s->network, "kcp") == 0)
        return ST_E_UNSUPPORTED;
    textbuf_printf(
        t,
        "{\"log\":{\"level\":\"warn\"},\n"
        " \"inbounds\":[{\"type\":\"mixed\",\"listen\":\"127.0.0.1\",\"listen_port\":%u}],\n"
        " \"outbounds\":[{\"type\":\"vless\",\"server\":",
        socks_port);
    textbuf_json(t, s->server);
    textbuf_printf(t, ",\"server_port\":%u,\"packet_encoding\":\"\"", s->port);
    member(t, "uuid", s->uuid);
    member(t, "flow", s->flow);
    if (s->security != SHARELINK_NONE)
        sing_box_tls(s, t);
    if (strcmp(s->network, "tcp") != 0)
        sing_box_transport(s, t);
    textbuf_puts(t, "}]}\n");
    return ST_OK;
}
