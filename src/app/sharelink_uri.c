#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/sharelink.h"
#include "codec/base64.h"
#include "codec/percent.h"
#include "crypto/mem.h"
#include "base/textbuf.h"

static void encoded(struct textbuf *t, const char *text)
{
    char out[3 * SHARELINK_TEXT_MAX + 1];
    size_t len = percent_encode(out, text, strnlen(text, SHARELINK_TEXT_MAX));
    textbuf_put(t, out, len);
}

/* @sep: '?' before the first, then '&'. */
static void query(struct textbuf *t, char *sep, const char *key, const char *value)
{
    if (value[0] == '\0')
        return;
    textbuf_printf(t, "%c%s=", *sep, key);
    encoded(t, value);
    *sep = '&';
}

static void authority(const struct sharelink *s, struct textbuf *t)
{
    bool ip6 = strchr(s->server, ':') != NULL;
    textbuf_printf(t, "@%s%s%s:%u", ip6 ? "[" : "", s->server, ip6 ? "]" : "", s->port);
}

static void fragment(const struct sharelink *s, struct textbuf *t)
{
    if (s->name[0] != '\0') {
        textbuf_put(t, "#", 1);
        encoded(t, s->name);
    }
}

/* What carries the protocol. */
static void stream(const struct sharelink *s, char sep, struct textbuf *t)
{
    static const char *const security[] = {"none", "tls", "reality"};
    query(t, &sep, "type", s->network);
    query(t, &sep, "security", security[s->security]);
    query(t, &sep, "sni", s->sni);
    query(t, &sep, "alpn", s->alpn);
    query(t, &sep, "fp", s->fingerprint);
    query(t, &sep, "pbk", s->public_key);
    query(t, &sep, "sid", s->short_id);
    query(t, &sep, "spx", s->spider);
    if (s->verify[0] != '\0') {
        textbuf_puts(t, "&pqv="); /* base64url: nothing to encode */
        textbuf_puts(t, s->verify);
    }
    query(t, &sep, "flow", s->flow);
    query(t, &sep, "path", s->path);
    query(t, &sep, strcmp(s->network, "grpc") == 0 ? "authority" : "host", s->host);
    query(t, &sep, "serviceName", s->service);
    query(t, &sep, "allowInsecure", s->allow_insecure ? "1" : "");
    fragment(s, t);
}

static void vless(const struct sharelink *s, struct textbuf *t)
{
    textbuf_printf(t, "vless://%s", s->uuid);
    authority(s, t);
    textbuf_puts(t, "?encryption=");
    textbuf_puts(t, s->encryption[0] != '\0' ? s->encryption : "none"); /* nothing to encode */
    stream(s, '&', t);
}

static void trojan(const struct sharelink *s, struct textbuf *t)
{
    textbuf_puts(t, "trojan://");
    encoded(t, s->password);
    authority(s, t);
    stream(s, '?', t);
}

static void member(struct textbuf *t, const char *key, const char *value)
{
    textbuf_printf(t, ",\"%s\":", key);
    textbuf_json(t, value);
}

/* All values are texts, and empty ones stay: old clients ask for every member. */
static void vmess_json(const struct sharelink *s, struct textbuf *t)
{
    char port[8];
    bool grpc = strcmp(s->network, "grpc") == 0;
    snprintf(port, sizeof port, "%u", s->port);
    textbuf_puts(t, "{\"v\":\"2\"");
    member(t, "ps", s->name);
    member(t, "add", s->server);
    member(t, "port", port);
    member(t, "id", s->uuid);
    member(t, "aid", "0");
    member(t, "scy", "auto");
    member(t, "net", s->network);
    member(t, "type", grpc ? "gun" : "none");
    member(t, "host", s->host);
    member(t, "path", grpc ? s->service : s->path);
    member(t, "tls", s->security == SHARELINK_TLS ? "tls" : "");
    member(t, "sni", s->sni);
    member(t, "alpn", s->alpn);
    member(t, "fp", s->fingerprint);
    if (s->allow_insecure) { /* v2rayN and v2rayNG read the one, others the other */
        member(t, "insecure", "1");
        member(t, "allowInsecure", "1");
    }
    textbuf_puts(t, "}");
}

static void vmess(const struct sharelink *s, struct textbuf *t)
{
    if (s->security == SHARELINK_REALITY) { /* the JSON has no place for its keys */
        textbuf_printf(t, "vmess://%s", s->uuid);
        authority(s, t);
        textbuf_puts(t, "?encryption=auto");
        stream(s, '&', t);
        return;
    }
    struct textbuf json;
    textbuf_init(&json);
    vmess_json(s, &json);
    size_t size = BASE64_ENCODED_LEN(json.len) + 1;
    char *text = json.failed ? NULL : malloc(size);
    if (text != NULL) {
        textbuf_puts(t, "vmess://");
        textbuf_put(t, text, base64_encode(text, json.p, json.len, 0));
        crypto_wipe(text, size);
    }
    t->failed |= text == NULL;
    if (json.p != NULL)
        crypto_wipe(json.p, json.len);
    free(text);
    textbuf_fini(&json);
}

static void shadowsocks(const struct sharelink *s, struct textbuf *t)
{
    char user[sizeof s->method + sizeof s->password];
    char text[BASE64_ENCODED_LEN(sizeof user) + 1];
    textbuf_puts(t, "ss://");
    if (strncmp(s->method, "2022-", 5) == 0) { /* SIP022: these must not be in base64 */
        textbuf_printf(t, "%s:", s->method);
        encoded(t, s->password);
    } else {
        int len = snprintf(user, sizeof user, "%s:%s", s->method, s->password);
        base64_encode(text, user, (size_t)len, BASE64_URL | BASE64_UNPADDED);
        textbuf_puts(t, text);
        crypto_wipe(user, sizeof user);
        crypto_wipe(text, sizeof text);
    }
    authority(s, t);
    fragment(s, t);
}

void sharelink_uri(const struct sharelink *s, struct textbuf *t)
{
    static void (*const writers[])(const struct sharelink *, struct textbuf *) = {
        [SHARELINK_VLESS] = vless,
        [SHARELINK_VMESS] = vmess,
        [SHARELINK_TROJAN] = trojan,
        [SHARELINK_SHADOWSOCKS] = shadowsocks,
    };
    writers[s->protocol](s, t);
}
