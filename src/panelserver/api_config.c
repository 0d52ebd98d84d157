#include "panelserver/api_config.h"

#include <string.h>

#include "codec/json.h"

static void member(struct textbuf *t, const char *key, const char *value)
{
    textbuf_printf(t, ",\"%s\":", key);
    textbuf_json(t, value);
}

/* Settings are stored as the JSON they are. */
static void settings(struct textbuf *t, const char *key, const char *json)
{
    textbuf_printf(t, ",\"%s\":", key);
    textbuf_puts(t, json[0] != '\0' ? json : "null");
}

/* Trojan panels name the certificate at the top level, too. */
static void server_name(struct textbuf *t, const struct db_node *n)
{
    struct json_t *tls = NULL;
    struct json_error err;
    if (n->tls_settings[0] == '\0' ||
        json_parse(n->tls_settings, strlen(n->tls_settings), &tls, &err) != ST_OK)
        return;
    const char *name = json_get_str(tls, "server_name", NULL);
    if (name != NULL)
        member(t, "server_name", name);
    json_unref(tls);
}

void api_config_write_block(struct textbuf *t, const char *block)
{
    char line[DB_BLOCK_MAX + 1];

    textbuf_puts(t, "[");
    for (const char *p = block; *p != '\0';) {
        size_t len = strcspn(p, "\n");
        memcpy(line, p, len);
        line[len] = '\0';
        textbuf_puts(t, p != block ? "," : "");
        textbuf_json(t, line);
        p += len + (p[len] != '\0');
    }
    textbuf_puts(t, "]");
}

static void routes(struct textbuf *t, const struct db_node *n)
{
    textbuf_puts(t, ",\"routes\":[");
    if (n->block[0] != '\0') {
        textbuf_puts(t, "{\"id\":1,\"match\":");
        api_config_write_block(t, n->block);
        textbuf_puts(t, ",\"action\":\"block\",\"action_value\":null}");
    }
    textbuf_puts(t, "]}");
}

void api_config_write(struct textbuf *t, const struct db_node *n)
{
    textbuf_puts(t, "{\"node_type\":");
    textbuf_json(t, n->type);
    textbuf_printf(t, ",\"server_port\":%u", n->port);
    if (n->host[0] != '\0')
        member(t, "host", n->host);
    server_name(t, n);
    member(t, "network", n->network);
    settings(t, "networkSettings", n->network_settings);
    textbuf_printf(t, ",\"tls\":%d", n->tls);
    settings(t, "tls_settings", n->tls_settings);
    if (strcmp(n->type, "vless") == 0)
        member(t, "flow", n->flow);
    if (n->decryption[0] != '\0')
        member(t, "decryption", n->decryption);
    if (n->cipher[0] != '\0')
        member(t, "cipher", n->cipher);
    if (n->server_key[0] != '\0')
        member(t, "server_key", n->server_key);
    textbuf_printf(t, ",\"base_config\":{\"push_interval\":%d,\"pull_interval\":%d}",
                   n->push_interval, n->pull_interval);
    routes(t, n);
}
