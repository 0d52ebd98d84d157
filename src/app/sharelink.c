#include "app/sharelink.h"

#include <stdio.h>
#include <string.h>

#include "codec/json.h"
#include "crypto/mem.h"
#include "panelserver/cipher.h"
#include "panelserver/db_node.h"
#include "panelserver/db_user.h"

_Static_assert(SHARELINK_ENCRYPTION_MAX > DB_ENCRYPTION_MAX, "room");
_Static_assert(SHARELINK_PASSWORD_MAX >= 2 * CIPHER_KEY_TEXT, "room");

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

/* Of a 2022 edition the client needs the node's key too. */
static bool take_shadowsocks(struct sharelink *s, const struct db_node *n, const struct db_user *u)
{
    char key[CIPHER_KEY_TEXT];
    const struct cipher *c = cipher_find(n->cipher);
    if (c == NULL || !copy(s->method, sizeof s->method, c->name))
        return false;
    if (c->key_bytes == 0)
        return copy(s->password, sizeof s->password, u->uuid);
    if (c->single)
        return copy(s->password, sizeof s->password, n->server_key);
    cipher_user_key(c, u->uuid, key);
    int len = snprintf(s->password, sizeof s->password, "%s:%s", n->server_key, key);
    bool good = key[0] != '\0';
    crypto_wipe(key, sizeof key);
    return good && len > 0 && (size_t)len < sizeof s->password;
}

static bool take_protocol(struct sharelink *s, const struct db_node *n, const struct db_user *u)
{
    static const char *const types[] = {"vless", "vmess", "trojan", "shadowsocks"};
    size_t i = 0;
    while (i < sizeof types / sizeof types[0] && strcmp(n->type, types[i]) != 0)
        i++;
    s->protocol = (enum sharelink_protocol)i;
    switch (s->protocol) {
    case SHARELINK_VLESS:
        return copy(s->uuid, sizeof s->uuid, u->uuid) && copy(s->flow, sizeof s->flow, n->flow) &&
               copy(s->encryption, sizeof s->encryption, n->encryption);
    case SHARELINK_VMESS:
        return copy(s->uuid, sizeof s->uuid, u->uuid);
    case SHARELINK_TROJAN:
        return copy(s->password, sizeof s->password, u->uuid);
    case SHARELINK_SHADOWSOCKS:
        return take_shadowsocks(s, n, u);
    }
    return false;
}

enum status sharelink_from(struct sharelink *s, const struct db_node *n, const struct db_user *u,
                           const char **problem)
{
    struct json_t *network = NULL, *tls = NULL;
    enum status st = ST_E_CONFIG;
    memset(s, 0, sizeof *s);
    *problem = "the node has no public host: set it with `v2sp panel node set ID --host NAME`";
    if (n->host[0] == '\0')
        return st;
    *problem = "the node's settings cannot be read";
    if (!parse(n->network_settings, &network) || !parse(n->tls_settings, &tls))
        goto out;
    s->port = n->public_port != 0 ? n->public_port : n->port;
    s->security = (enum sharelink_security)n->tls;
    *problem = "a text of the node's settings is too long for a share link";
    if (!take_protocol(s, n, u) || !copy(s->server, sizeof s->server, n->host) ||
        !copy(s->network, sizeof s->network, n->network) || !take_network(s, network) ||
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
