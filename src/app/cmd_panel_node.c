/* v2sp panel node list, show and del. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cmd_panel.h"
#include "codec/json.h"
#include "crypto/mem.h"
#include "panelserver/api_config.h"
#include "panelserver/db.h"
#include "panelserver/db_node.h"
#include "base/textbuf.h"

static int run_list(int argc, char **argv);
static int run_del(int argc, char **argv);
static int run_show(int argc, char **argv);

const struct cmd cmd_panel_node_list = {
    "panel node list",
    "list the nodes",
    "Usage: v2sp panel node list [--json] [--db FILE | --state DIR]\n"
    "\n"
    "Lists all nodes: what they serve, when they were last heard of, and the traffic they "
    "reported.\n"
    "Tokens and keys are not shown; see `v2sp panel node show`.\n",
    run_list,
};

const struct cmd cmd_panel_node_del = {
    "panel node del",
    "remove a node",
    "Usage: v2sp panel node del NODE [--db FILE | --state DIR]\n"
    "\n"
    "Removes the node; its token opens nothing any more. The traffic it reported stays in the "
    "books.\n",
    run_del,
};

const struct cmd cmd_panel_node_show = {
    "panel node show",
    "print a node's config.json snippet",
    "Usage: v2sp panel node show NODE [--api URL] [--json] [--db FILE | --state DIR]\n"
    "\n"
    "Prints what goes into the node's config.json, token included.\n"
    "\n"
    "  --api URL   where the node reaches this panel (default " PANEL_API ")\n"
    "  --json      the node as the panel knows it, instead\n",
    run_show,
};

/* What clients need to know of the node, as a comment. */
static void write_reality(const struct db_node *n, struct textbuf *t)
{
    static const char *const rows[][2] = {{"dest", "target:"},
                                          {"server_names", "server names:"},
                                          {"server_name", "server name:"},
                                          {"public_key", "public key:"},
                                          {"short_id", "short id:"}};
    struct json_t *v = NULL;
    struct json_error err;
    if (json_parse(n->tls_settings, strlen(n->tls_settings), &v, &err) != ST_OK)
        return;
    textbuf_puts(t, "// REALITY; the node gets its private key from the panel.\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *value = json_get_str(v, rows[i][0], NULL);
        if (value != NULL)
            textbuf_printf(t, "//   %-14s%s\n", rows[i][1], value);
    }
    json_unref(v);
}

static void write_snippet(const struct db_node *n, const char *api, struct textbuf *t)
{
    if (n->tls == DB_TLS_REALITY)
        write_reality(n, t);
    if (n->encryption[0] != '\0')
        textbuf_puts(t, "// VLESS encryption; the node gets its half of the pair from the panel, "
                        "users theirs with their links.\n");
    if (n->cipher[0] != '\0')
        textbuf_printf(t, "// Shadowsocks with %s%s.\n", n->cipher,
                       n->server_key[0] != '\0' ? "; the node gets its key from the panel" : "");
    textbuf_puts(t, "{\n  \"Nodes\": [\n    {\n      \"ApiHost\": ");
    textbuf_json(t, api);
    textbuf_puts(t, ",\n      \"ApiKey\": ");
    textbuf_json(t, n->token);
    textbuf_printf(t, ",\n      \"NodeID\": %lld,\n      \"NodeType\": ", (long long)n->id);
    textbuf_json(t, n->type);
    if (n->tls == DB_TLS_TLS) {
        bool self = strstr(n->tls_settings, "\"allow_insecure\":") != NULL;
        textbuf_puts(t, self ? ",\n      \"CertConfig\": { \"CertMode\": \"self\" }"
                             : ",\n      \"CertConfig\": {\n        \"CertMode\": \"file\",\n"
                               "        \"CertFile\": \"/etc/v2sp/fullchain.pem\",\n"
                               "        \"KeyFile\": \"/etc/v2sp/key.pem\"\n      }");
    }
    textbuf_puts(t, "\n    }\n  ]\n}\n");
}

/* Nothing for an empty value: it belongs to another protocol. */
static void write_member(struct textbuf *t, const char *key, const char *value)
{
    if (value[0] == '\0')
        return;
    textbuf_printf(t, ",\"%s\":", key);
    textbuf_json(t, value);
}

static void write_json(const struct db_node *n, bool secret, struct textbuf *t)
{
    textbuf_printf(t, "{\"id\":%lld,\"name\":", (long long)n->id);
    textbuf_json(t, n->name);
    if (secret) {
        textbuf_puts(t, ",\"token\":");
        textbuf_json(t, n->token);
    }
    textbuf_puts(t, ",\"type\":");
    textbuf_json(t, n->type);
    textbuf_printf(t, ",\"enabled\":%s,\"port\":%u,\"public_port\":%u,\"host\":",
                   n->enabled ? "true" : "false", n->port,
                   n->public_port != 0 ? n->public_port : n->port);
    textbuf_json(t, n->host);
    textbuf_puts(t, ",\"network\":");
    textbuf_json(t, n->network);
    textbuf_printf(t, ",\"network_settings\":%s,\"tls\":%d,\"tls_settings\":%s,\"flow\":",
                   n->network_settings[0] != '\0' ? n->network_settings : "null", n->tls,
                   n->tls_settings[0] != '\0' ? n->tls_settings : "null");
    textbuf_json(t, n->flow);
    write_member(t, "cipher", n->cipher);
    write_member(t, "encryption", n->encryption);
    write_member(t, "server_key", secret ? n->server_key : "");
    write_member(t, "decryption", secret ? n->decryption : "");
    if (n->block[0] != '\0') {
        textbuf_puts(t, ",\"block\":");
        api_config_write_block(t, n->block);
    }
    textbuf_printf(
        t, ",\"push_interval\":%d,\"pull_interval\":%d,\"up\":%llu,\"down\":%llu,\"seen\":%lld}",
        n->push_interval, n->pull_interval, (unsigned long long)n->up, (unsigned long long)n->down,
        (long long)n->seen);
}

int panel_print_node(struct panel_cli *cli, const struct db_node *n, const char *api)
{
    struct textbuf t;
    textbuf_init(&t);
    if (cli->json) {
        write_json(n, true, &t);
        textbuf_put(&t, "\n", 1);
    } else {
        write_snippet(n, api, &t);
    }
    return panel_print(cli, &t);
}

/* ---- looking --------------------------------------------------------------------------------- */

/* Without REALITY's secrets. */
static void list_json(struct panel_list *l, const struct db_node *n)
{
    struct db_node open = *n;
    struct db *db = l->cli->db;
    char *tls = open.tls_settings;
    if (tls[0] != '\0' &&
        (db_json_set(db, tls, sizeof open.tls_settings, "private_key", NULL) != ST_OK ||
         db_json_set(db, tls, sizeof open.tls_settings, "mldsa65Seed", NULL) != ST_OK))
        tls[0] = '\0';
    write_json(&open, false, &l->out);
    crypto_wipe(&open, sizeof open);
}

static bool list_one(void *ctx, const struct db_node *n)
{
    static const char *const security[] = {"", "+tls", "+reality"};
    struct panel_list *l = ctx;
    char text[DB_HOST_MAX + 64];
    panel_list_row(l);
    if (l->cli->json) {
        list_json(l, n);
        return true;
    }
    snprintf(text, sizeof text, "%lld", (long long)n->id);
    panel_table_cell(&l->table, text);
    panel_table_cell(&l->table, n->name);
    bool ss = n->cipher[0] != '\0';
    snprintf(text, sizeof text, "%s/%s%s%s", n->type, ss ? n->cipher : n->network,
             n->encryption[0] != '\0' ? "+encryption" : "", security[n->tls]);
    panel_table_cell(&l->table, text);
    snprintf(text, sizeof text, "%u", n->port);
    panel_table_cell(&l->table, text);
    snprintf(text, sizeof text, n->public_port != 0 ? "%s:%u" : "%s",
             n->host[0] != '\0' ? n->host : "-", n->public_port);
    panel_table_cell(&l->table, text);
    panel_table_cell(&l->table, n->enabled ? "enabled" : "disabled");
    panel_table_cell(&l->table, panel_ago_str(text, n->seen, l->cli->now));
    panel_table_cell(&l->table, panel_size_str(text, n->up));
    panel_table_cell(&l->table, panel_size_str(text, n->down));
    return true;
}

static int run_list(int argc, char **argv)
{
    static const char *const head[] = {"ID",    "NAME", "SERVES", "PORT", "HOST",
                                       "STATE", "SEEN", "UP",     "DOWN"};
    struct panel_cli cli = {0};
    struct panel_list l = {.cli = &cli, .table = {.columns = 9, .right = 0x189}};
    int status = panel_parse(&cli, &cmd_panel_node_list, argc, argv, NULL, 0);
    if (status >= 0 || (status = panel_open(&cli, false)) >= 0)
        return status;
    panel_list_begin(&l, head);
    enum status st = db_node_each(cli.db, list_one, &l);
    status = panel_list_end(&l, st, "no nodes yet: v2sp panel node add --help\n");
    panel_close(&cli);
    return status;
}

static int run_show(int argc, char **argv)
{
    struct panel_cli cli = {0};
    const char *api = PANEL_API;
    const struct panel_option options[] = {{"--api", &api, NULL}, {NULL, NULL, NULL}};
    struct db_node n;
    int status = panel_parse(&cli, &cmd_panel_node_show, argc, argv, options, 1);
    if (status >= 0)
        return status;
    if (cli.arg_count == 0)
        return cmd_misused(cli.cmd, "which node?");
    if ((status = panel_open(&cli, false)) >= 0)
        return status;
    if ((status = panel_find_node(&cli, cli.args[0], &n)) < 0)
        status = panel_print_node(&cli, &n, api);
    crypto_wipe(&n, sizeof n); /* token, private key */
    panel_close(&cli);
    return status;
}

static int run_del(int argc, char **argv)
{
    struct panel_cli cli = {0};
    struct db_node n;
    int status = panel_parse(&cli, &cmd_panel_node_del, argc, argv, NULL, 1);
    if (status >= 0)
        return status;
    if (cli.arg_count == 0)
        return cmd_misused(cli.cmd, "which node?");
    if ((status = panel_open(&cli, false)) >= 0)
        return status;
    if ((status = panel_find_node(&cli, cli.args[0], &n)) < 0)
        status = db_node_del(cli.db, n.id) == ST_OK ? 0 : panel_db_failed(&cli);
    crypto_wipe(&n, sizeof n); /* token, private key */
    panel_close(&cli);
    return status;
}
