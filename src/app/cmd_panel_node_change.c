/* v2sp panel node add and set: what is given is changed, what goes with it is made. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/block_list.h"
#include "app/cmd_panel.h"
#include "app/node_shape.h"
#include "app/reality_node.h"
#include "crypto/mem.h"
#include "panelserver/cipher.h"
#include "panelserver/db.h"
#include "panelserver/db_node.h"
#include "panelserver/token.h"

#define NODE_OPTIONS                                                                               \
    "  --name NAME           for people\n"                                                         \
    "  --type TYPE           vless, vmess, trojan or shadowsocks (default vless)\n"                \
    "  --port PORT           the node listens here\n"                                              \
    "  --public-port PORT    users dial this one, if it differs (port forwarding)\n"               \
    "  --host NAME           users dial this name or IP address\n"                                 \
    "  --network NET         tcp, ws, grpc, httpupgrade, xhttp, kcp, h2, quic (default tcp)\n"     \
    "  --path PATH           WebSocket and the like: path; \"/x?ed=2048\" invites early data\n"    \
    "  --ws-host NAME        and the Host they ask for\n"                                          \
    "  --settings JSON       other network settings, as Xray names them; replaces what is set\n"   \
    "  --tls none|tls|reality   (default none; Trojan: tls)\n"                                     \
    "  --sni NAME[,NAME]     name in the certificate; several for REALITY\n"                       \
    "  --dest HOST:PORT      REALITY: the site to look like, with TLS 1.3 (default: SNI:443)\n"    \
    "  --short-id ID         REALITY: up to 16 hex digits (default: random)\n"                     \
    "  --private-key KEY     REALITY: as v2sp reality prints it (default: a new one)\n"            \
    "  --mldsa65             REALITY: with an ML-DSA-65 key, for clients that check it\n"          \
    "  --alpn LIST           such as h2,http/1.1\n"                                                \
    "  --self-signed         the node makes its own certificate; clients do not check it\n"        \
    "  --no-self-signed      they do (default)\n"                                                  \
    "  --tls-settings JSON   other TLS settings; replaces what is set\n"                           \
    "  --flow FLOW           VLESS: xtls-rprx-vision (default for REALITY over tcp), or \"\"\n"    \
    "  --encryption MODE     VLESS: native, xorpub or random: VLESS encryption with new keys;\n"   \
    "                        none ends it\n"                                                       \
    "  --encryption-auth KEY      which key proves the node: x25519 (default: short links) or\n"   \
    "                        mlkem768 (safe from quantum computers, links of 1.8 kB)\n"            \
    "  --encryption-ticket S      clients come back without a round trip for so long (600s)\n"     \
    "  --decryption STRING   the node's half of a pair from v2sp vlessenc; then --encryption\n"    \
    "                        is the clients' half\n"                                               \
    "  --cipher NAME         Shadowsocks: 2022-blake3-aes-128-gcm (default),\n"                    \
    "                        2022-blake3-aes-256-gcm, aes-128-gcm, aes-256-gcm,\n"                 \
    "                        chacha20-ietf-poly1305, xchacha20-ietf-poly1305; for one user only\n" \
    "                        2022-blake3-chacha20-poly1305, or none\n"                             \
    "  --server-key KEY      Shadowsocks 2022: 16 or 32 bytes in base64 (default: random)\n"       \
    "  --block RULES         targets that users may not reach: domain:example.com, full:NAME,\n"   \
    "                        keyword:WORD, regexp:EXPRESSION, an IP address or network, "          \
    "port:25,\n"                                                                                   \
    "                        protocol:bittorrent (http, tls, quic); with commas between them;\n"   \
    "                        replaces what is set, \"\" ends it\n"                                 \
    "  --interval SECONDS    how often the node asks and reports (default 60)\n"                   \
    "  --push-interval S, --pull-interval S   the two apart\n"                                     \
    "  --token TOKEN         the node's secret (default: a random one)\n"                          \
    "  --enable, --disable   a disabled node is answered 403\n"                                    \
    "  --json, --db FILE, --state DIR\n"

static int run_add(int argc, char **argv);
static int run_set(int argc, char **argv);

const struct cmd cmd_panel_node_add = {
    "panel node add",
    "add a node",
    "Usage: v2sp panel node add --port PORT [OPTIONS]\n"
    "\n"
    "Adds a node and prints the snippet for its config.json.\n"
    "\n"
    "  --id N                the node's number (default: the next free one)\n" NODE_OPTIONS "\n"
    "Examples:\n"
    "  v2sp panel node add --name zrh1 --port 443 --host zrh1.example.com --tls tls --sni "
    "zrh1.example.com\n"
    "  v2sp panel node add --name zrh2 --port 443 --host 192.0.2.7 --tls reality --sni "
    "www.example.org\n"
    "  v2sp panel node add --port 8080 --host 192.0.2.7 --network ws --path /chat\n"
    "  v2sp panel node add --port 2083 --host zrh1.example.com --type vmess --network ws --path /m "
    "--tls tls --sni zrh1.example.com\n"
    "  v2sp panel node add --port 8443 --host zrh1.example.com --type trojan --sni "
    "zrh1.example.com\n"
    "  v2sp panel node add --port 8388 --host 192.0.2.7 --type shadowsocks --cipher aes-256-gcm\n",
    run_add,
};

const struct cmd cmd_panel_node_set = {
    "panel node set",
    "change a node",
    "Usage: v2sp panel node set NODE [OPTIONS]\n"
    "\n"
    "Changes what is given and leaves the rest. The node takes it over at its next poll.\n"
    "\n"
    "  --new-token           make a new random token; the node's config.json must "
    "follow\n" NODE_OPTIONS,
    run_set,
};

/* ---- changing -------------------------------------------------------------------------------- */

struct changes {
    const char *id, *name, *type, *port, *public_port, *host, *network, *path, *ws_host, *settings;
    const char *tls, *sni, *alpn, *tls_settings, *flow, *interval, *push, *pull, *token;
    const char *dest, *short_id, *private_key;
    const char *block, *cipher, *server_key, *encryption, *decryption, *auth, *ticket;
    bool self_signed, no_self_signed, enable, disable, new_token, mldsa;
};

#define CHANGE_OPTIONS(c)                                                                          \
    {"--name", &(c).name, NULL}, {"--type", &(c).type, NULL}, {"--port", &(c).port, NULL},         \
        {"--public-port", &(c).public_port, NULL}, {"--host", &(c).host, NULL},                    \
        {"--network", &(c).network, NULL}, {"--path", &(c).path, NULL},                            \
        {"--ws-host", &(c).ws_host, NULL}, {"--settings", &(c).settings, NULL},                    \
        {"--tls", &(c).tls, NULL}, {"--sni", &(c).sni, NULL}, {"--alpn", &(c).alpn, NULL},         \
        {"--tls-settings", &(c).tls_settings, NULL}, {"--flow", &(c).flow, NULL},                  \
        {"--interval", &(c).interval, NULL}, {"--push-interval", &(c).push, NULL},                 \
        {"--pull-interval", &(c).pull, NULL}, {"--token", &(c).token, NULL},                       \
        {"--dest", &(c).dest, NULL}, {"--short-id", &(c).short_id, NULL},                          \
        {"--private-key", &(c).private_key, NULL}, {"--mldsa65", NULL, &(c).mldsa},                \
        {"--block", &(c).block, NULL}, {"--cipher", &(c).cipher, NULL},                            \
        {"--server-key", &(c).server_key, NULL}, {"--encryption", &(c).encryption, NULL},          \
        {"--decryption", &(c).decryption, NULL}, {"--encryption-auth", &(c).auth, NULL},           \
        {"--encryption-ticket", &(c).ticket, NULL}, {"--self-signed", NULL, &(c).self_signed},     \
        {"--no-self-signed", NULL, &(c).no_self_signed}, {"--enable", NULL, &(c).enable},          \
    {                                                                                              \
        "--disable", NULL, &(c).disable                                                            \
    }

static bool copy(char *dst, size_t size, const char *text)
{
    if (text == NULL)
        return true;
    int n = snprintf(dst, size, "%s", text);
    return n >= 0 && (size_t)n < size;
}

static bool read_port(const char *text, uint16_t *out)
{
    int64_t v = *out;
    if (text != NULL && !panel_read_int(text, 1, 65535, &v))
        return false;
    *out = (uint16_t)v;
    return true;
}

static bool read_interval(const char *text, int32_t *out)
{
    int64_t v = *out;
    if (text != NULL && !panel_read_int(text, DB_INTERVAL_MIN, DB_INTERVAL_MAX, &v))
        return false;
    *out = (int32_t)v;
    return true;
}

static bool read_tls(const char *text, int *out)
{
    static const char *const names[] = {"none", "tls", "reality"};
    for (int i = 0; text != NULL && i < 3; i++) {
        if (strcmp(text, names[i]) == 0 || (text[0] == '0' + i && text[1] == '\0')) {
            *out = i;
            return true;
        }
    }
    return text == NULL;
}

/* An empty value removes the member. */
static enum status set_member(struct panel_cli *cli, char *json, const char *key, const char *value)
{
    if (value == NULL)
        return ST_OK;
    return db_json_set(cli->db, json, DB_SETTINGS_MAX + 1, key, value[0] != '\0' ? value : NULL);
}

/* Returns -1 to go on, else the exit status. */
static int apply_reality(struct panel_cli *cli, const struct changes *c, struct db_node *n)
{
    struct reality_wish wish = {.dest = c->dest,
                                .names = c->sni,
                                .short_id = c->short_id,
                                .private_key = c->private_key,
                                .mldsa = c->mldsa};
    char problem[REALITY_NODE_PROBLEM];
    if (n->tls != DB_TLS_REALITY) {
        if (c->dest == NULL && c->short_id == NULL && c->private_key == NULL && !c->mldsa)
            return -1;
        return cmd_misused(
            cli->cmd, "--dest, --short-id, --private-key and --mldsa65 belong to --tls reality");
    }
    if (c->self_signed)
        return cmd_misused(cli->cmd, "--self-signed: REALITY needs no certificate");
    enum status st = reality_node_fill(cli->db, n, &wish, problem);
    if (st == ST_E_CONFIG)
        return cmd_misused(cli->cmd, "%s", problem);
    return st == ST_OK ? -1 : panel_failed(cli, "%s", problem);
}

/* The first option given that shapes what carries the protocol. */
static const char *carrier_of(const struct changes *c)
{
    const struct {
        bool given;
        const char *name;
    } all[] = {{c->path != NULL, "--path"},         {c->ws_host != NULL, "--ws-host"},
               {c->settings != NULL, "--settings"}, {c->sni != NULL, "--sni"},
               {c->alpn != NULL, "--alpn"},         {c->tls_settings != NULL, "--tls-settings"},
               {c->self_signed, "--self-signed"}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].given)
            return all[i].name;
    }
    return NULL;
}

static void warn_of_cipher(const char *name)
{
    const struct cipher *c = cipher_find(name);
    if (c == NULL || !c->single)
        return;
    fprintf(stderr, "Warning: %s does not tell users apart: the node serves its first user only.\n",
            name);
    if (c->key_bytes == 0)
        fprintf(stderr, "Warning: and anyone on the way can read and change what is sent.\n");
}

/* Returns -1 to go on, else the exit status. */
static int apply_protocol(struct panel_cli *cli, const struct changes *c, struct db_node *n)
{
    struct node_wish wish = {.network = c->network,
                             .tls = c->tls,
                             .flow = c->flow,
                             .cipher = c->cipher,
                             .server_key = c->server_key,
                             .encryption = c->encryption,
                             .decryption = c->decryption,
                             .auth = c->auth,
                             .ticket = c->ticket,
                             .carrier = carrier_of(c)};
    char problem[NODE_SHAPE_PROBLEM];
    enum status st = node_shape_fill(n, &wish, problem);
    if (st == ST_E_CONFIG)
        return cmd_misused(cli->cmd, "%s", problem);
    if (st != ST_OK)
        return panel_failed(cli, "%s", problem);
    if (c->cipher != NULL || c->type != NULL)
        warn_of_cipher(n->cipher);
    return -1;
}

/* Returns -1 to go on, else the exit status. */
static int apply_block(struct panel_cli *cli, const struct changes *c, struct db_node *n)
{
    char problem[BLOCK_LIST_PROBLEM];
    if (c->block == NULL)
        return -1;
    enum status st = block_list_read(c->block, n->block, sizeof n->block, problem);
    if (st == ST_E_CONFIG)
        return cmd_misused(cli->cmd, "--block %s", problem);
    if (st == ST_E_LIMIT)
        return cmd_misused(cli->cmd,
                           "--block: over %d bytes; nodes take long lists from a file, "
                           "RuleListPath in their config.json",
                           DB_BLOCK_MAX);
    return st == ST_OK ? -1 : panel_failed(cli, "out of memory");
}

/* Returns -1 to go on, else the exit status. */
static int apply(struct panel_cli *cli, const struct changes *c, struct db_node *n)
{
    if (!read_port(c->port, &n->port))
        return cmd_misused(cli->cmd, "--port %s: 1 to 65535", c->port);
    if (!read_port(c->public_port, &n->public_port))
        return cmd_misused(cli->cmd, "--public-port %s: 1 to 65535", c->public_port);
    if (!read_interval(c->interval, &n->push_interval) ||
        !read_interval(c->interval, &n->pull_interval) ||
        !read_interval(c->push, &n->push_interval) || !read_interval(c->pull, &n->pull_interval))
        return cmd_misused(cli->cmd, "intervals are %d to %d seconds", DB_INTERVAL_MIN,
                           DB_INTERVAL_MAX);
    if (!read_tls(c->tls, &n->tls))
        return cmd_misused(cli->cmd, "--tls %s: none, tls or reality", c->tls);
    if (c->enable && c->disable)
        return cmd_misused(cli->cmd, "--enable or --disable, not both");
    if (!copy(n->name, sizeof n->name, c->name) || !copy(n->type, sizeof n->type, c->type) ||
        !copy(n->host, sizeof n->host, c->host) ||
        !copy(n->network, sizeof n->network, c->network) ||
        !copy(n->flow, sizeof n->flow, c->flow) || !copy(n->token, sizeof n->token, c->token) ||
        !copy(n->network_settings, sizeof n->network_settings, c->settings) ||
        !copy(n->tls_settings, sizeof n->tls_settings, c->tls_settings))
        return cmd_misused(cli->cmd, "a value is too long");
    n->enabled = c->enable || (n->enabled && !c->disable);
    int status = apply_protocol(cli, c, n);
    if (status >= 0 || (status = apply_block(cli, c, n)) >= 0)
        return status;
    const char *insecure = c->self_signed ? "1" : c->no_self_signed ? "" : NULL;
    if (set_member(cli, n->network_settings, "path", c->path) != ST_OK ||
        set_member(cli, n->network_settings, "host", c->ws_host) != ST_OK ||
        (n->tls != DB_TLS_REALITY &&
         set_member(cli, n->tls_settings, "server_name", c->sni) != ST_OK) ||
        set_member(cli, n->tls_settings, "alpn", c->alpn) != ST_OK ||
        set_member(cli, n->tls_settings, "allow_insecure", insecure) != ST_OK)
        return panel_db_failed(cli);
    return apply_reality(cli, c, n);
}

static int run_add(int argc, char **argv)
{
    struct panel_cli cli = {0};
    struct changes c = {0};
    const struct panel_option options[] = {
        {"--id", &c.id, NULL}, CHANGE_OPTIONS(c), {NULL, NULL, NULL}};
    struct db_node n;
    int status = panel_parse(&cli, &cmd_panel_node_add, argc, argv, options, 0);
    if (status >= 0)
        return status;
    if (c.port == NULL)
        return cmd_misused(cli.cmd, "--port is missing: on which port shall the node listen?");
    db_node_init(&n);
    if (c.id != NULL && !panel_read_int(c.id, 1, INT32_MAX, &n.id))
        return cmd_misused(cli.cmd, "--id %s: a number from 1", c.id);
    if ((status = panel_open(&cli, false)) >= 0)
        return status;
    if ((status = apply(&cli, &c, &n)) >= 0)
        goto out;
    if (db_node_add(cli.db, &n) != ST_OK) {
        status = panel_db_failed(&cli);
        goto out;
    }
    if (!cli.json)
        fprintf(stderr,
                "Added node %lld. Its config.json (`v2sp panel node show %lld` prints it again):\n",
                (long long)n.id, (long long)n.id);
    status = panel_print_node(&cli, &n, PANEL_API);
    if (n.host[0] == '\0' && !cli.json)
        fprintf(
            stderr,
            "For share links the node needs a public host: v2sp panel node set %lld --host NAME\n",
            (long long)n.id);
out:
    crypto_wipe(&n, sizeof n); /* token, private key */
    panel_close(&cli);
    return status;
}

static int run_set(int argc, char **argv)
{
    struct panel_cli cli = {0};
    struct changes c = {0};
    const struct panel_option options[] = {
        {"--new-token", NULL, &c.new_token}, CHANGE_OPTIONS(c), {NULL, NULL, NULL}};
    struct db_node n;
    int status = panel_parse(&cli, &cmd_panel_node_set, argc, argv, options, 1);
    if (status >= 0)
        return status;
    if (cli.arg_count == 0)
        return cmd_misused(cli.cmd, "which node?");
    if ((status = panel_open(&cli, false)) >= 0)
        return status;
    if ((status = panel_find_node(&cli, cli.args[0], &n)) >= 0 ||
        (status = apply(&cli, &c, &n)) >= 0)
        goto out;
    if (c.new_token) {
        char token[TOKEN_STRLEN];
        if (token_new(token) != ST_OK) {
            status = panel_failed(&cli, "the kernel gives no random bytes");
            goto out;
        }
        memcpy(n.token, token, sizeof token);
    }
    if (db_node_update(cli.db, &n) != ST_OK)
        status = panel_db_failed(&cli);
    else
        status =
            c.new_token || c.token != NULL || cli.json ? panel_print_node(&cli, &n, PANEL_API) : 0;
out:
    crypto_wipe(&n, sizeof n); /* token, private key */
    panel_close(&cli);
    return status;
}
