#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/sharelink.h"
#include "base/textbuf.h"

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

static const char *const names[] = {"vless", "vmess", "trojan", "shadowsocks"};

static void xray_settings(const struct sharelink *s, struct textbuf *t)
{
    bool ids = s->protocol == SHARELINK_VLESS || s->protocol == SHARELINK_VMESS;
    textbuf_printf(t, "\"settings\":{\"%s\":[{\"address\":", ids ? "vnext" : "servers");
    textbuf_json(t, s->server);
    textbuf_printf(t, ",\"port\":%u", s->port);
    if (s->protocol == SHARELINK_VLESS) {
        textbuf_puts(t, ",\"users\":[{\"encryption\":");
        textbuf_json(t, s->encryption[0] != '\0' ? s->encryption : "none");
    } else if (s->protocol == SHARELINK_VMESS) {
        textbuf_puts(t, ",\"users\":[{\"security\":\"auto\"");
    }
    member(t, "id", s->uuid);
    member(t, "flow", s->flow);
    member(t, "method", s->method);
    member(t, "password", s->password);
    textbuf_puts(t, ids ? "}]}]}" : "}]}");
}

void sharelink_xray(const struct sharelink *s, uint16_t socks_port, struct textbuf *t)
{
    textbuf_printf(t,
                   "{\"log\":{\"loglevel\":\"warning\"},\n"
                   " \"inbounds\":[{\"listen\":\"127.0.0.1\",\"port\":%u,\"protocol\":\"socks\","
                   "\"settings\":{\"udp\":true,\"ip\":\"127.0.0.1\"}}],\n"
                   " \"outbounds\":[{\"protocol\":\"%s\",",
                   socks_port, names[s->protocol]);
    xray_settings(s, t);
    textbuf_puts(t, ",\n  ");
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

static void sing_box_user(const struct sharelink *s, struct textbuf *t)
{
    if (s->protocol == SHARELINK_VMESS)
        textbuf_puts(t, ",\"security\":\"auto\"");
    member(t, "uuid", s->uuid);
    member(t, "flow", s->flow);
    member(t, "method", s->method);
    member(t, "password", s->password);
}

enum status sharelink_sing_box(const struct sharelink *s, uint16_t socks_port, struct textbuf *t,
                               const char **lacks)
{
    *lacks = s->encryption[0] != '\0'           ? "VLESS encryption"
             : strcmp(s->network, "xhttp") == 0 ? "network xhttp"
             : strcmp(s->network, "kcp") == 0   ? "network kcp"
                                                : NULL;
    if (*lacks != NULL)
        return ST_E_UNSUPPORTED;
    textbuf_printf(
        t,
        "{\"log\":{\"level\":\"warn\"},\n"
        " \"inbounds\":[{\"type\":\"mixed\",\"listen\":\"127.0.0.1\",\"listen_port\":%u}],\n"
        " \"outbounds\":[{\"type\":\"%s\",\"server\":",
        socks_port, names[s->protocol]);
    textbuf_json(t, s->server);
    textbuf_printf(t, ",\"server_port\":%u", s->port);
    sing_box_user(s, t);
    if (s->security != SHARELINK_NONE)
        sing_box_tls(s, t);
    if (strcmp(s->network, "tcp") != 0)
        sing_box_transport(s, t);
    textbuf_puts(t, "}]}\n");
    return ST_OK;
}
