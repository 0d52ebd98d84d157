#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cmd_panel.h"
#include "app/qr.h"
#include "app/sharelink.h"
#include "crypto/mem.h"
#include "panelserver/db.h"
#include "panelserver/db_node.h"
#include "panelserver/db_user.h"
#include "base/textbuf.h"

static int run_link(int argc, char **argv);

const struct cmd cmd_panel_user_link = {
    "panel user link",
    "print a user's share link, QR code or client configuration",
    "Usage: v2sp panel user link USER [--node N] [OPTIONS]\n"
    "\n"
    "Prints a share link for each node the user may use (or for --node alone), on a terminal with\n"
    "its QR code. Whoever has the link can use the account.\n"
    "\n"
    "  --node N          the node; needed for --format when the user has several\n"
    "  --format link|xray|sing-box\n"
    "                    a link (default), or a whole configuration with a local proxy\n"
    "  --socks PORT      of that proxy, on 127.0.0.1 (default 1080)\n"
    "  --qr, --no-qr     with or without QR code (default: on a terminal)\n"
    "  --json            [{\"node\":1,\"link\":\"vless://...\"}]\n"
    "  --db FILE, --state DIR\n"
    "\n"
    "Example:\n"
    "  v2sp panel user link anna --node 1 --format sing-box > client.json\n",
    run_link,
};

struct links {
    struct panel_cli *cli;
    const struct db_user *user;
    const struct panel_link *how;
    const int64_t *nodes;
    size_t node_count;
    struct textbuf out;
    size_t printed, skipped;
    int status;
};

static bool may_use(const struct links *l, int64_t node)
{
    for (size_t i = 0; !l->user->all_nodes && i < l->node_count; i++) {
        if (l->nodes[i] == node)
            return true;
    }
    return l->user->all_nodes;
}

static void print_link(struct links *l, const struct db_node *n, const struct sharelink *s)
{
    struct textbuf uri;
    textbuf_init(&uri);
    sharelink_uri(s, &uri);
    textbuf_put(&uri, "", 1);
    if (uri.failed) {
        l->out.failed = true;
    } else if (l->cli->json) {
        textbuf_printf(&l->out, "%s{\"node\":%lld,\"link\":", l->printed > 0 ? "," : "",
                       (long long)n->id);
        textbuf_json(&l->out, uri.p);
        textbuf_put(&l->out, "}", 1);
    } else if (l->how->qr) {
        printf("%s\n\n", uri.p);
        if (qr_print(stdout, uri.p, qr_style_for(stdout)) != ST_OK)
            fprintf(stderr, "the link is too long for a QR code\n");
    } else {
        textbuf_printf(&l->out, "%s\n", uri.p);
    }
    if (uri.p != NULL)
        crypto_wipe(uri.p, uri.len);
    textbuf_fini(&uri);
}

static bool each_node(void *ctx, const struct db_node *n)
{
    struct links *l = ctx;
    struct sharelink s;
    const char *problem, *lacks;
    if (l->how->node_id != 0 ? n->id != l->how->node_id : !may_use(l, n->id) || !n->enabled)
        return true;
    if (sharelink_from(&s, n, l->user, &problem) != ST_OK) {
        fprintf(stderr, "node %lld: %s\n", (long long)n->id, problem);
        l->skipped++;
        return true;
    }
    if (l->how->format != PANEL_LINK_URI && l->printed > 0) {
        l->status = cmd_misused(l->cli->cmd, "the user has several nodes: choose one with --node");
        return false;
    }
    if (l->how->format == PANEL_LINK_URI)
        print_link(l, n, &s);
    else if (l->how->format == PANEL_LINK_XRAY)
        sharelink_xray(&s, l->how->socks_port, &l->out);
    else if (sharelink_sing_box(&s, l->how->socks_port, &l->out, &lacks) != ST_OK)
        l->status = panel_failed(l->cli, "sing-box has no %s", lacks);
    crypto_wipe(&s, sizeof s);
    l->printed++;
    return true;
}

int panel_print_links(struct panel_cli *cli, const struct db_user *u, const struct panel_link *how)
{
    int64_t nodes[DB_NODES_MAX];
    struct links l = {.cli = cli, .user = u, .how = how, .nodes = nodes};
    if (db_user_nodes(cli->db, u->id, nodes, DB_NODES_MAX, &l.node_count) != ST_OK)
        return panel_db_failed(cli);
    if (l.node_count > DB_NODES_MAX)
        l.node_count = DB_NODES_MAX;
    textbuf_init(&l.out);
    bool list = cli->json && how->format == PANEL_LINK_URI;
    textbuf_puts(&l.out, list ? "[" : "");
    if (db_node_each(cli->db, each_node, &l) != ST_OK)
        l.status = panel_db_failed(cli);
    textbuf_puts(&l.out, list ? "]\n" : "");
    if (l.status != 0) {
        textbuf_fini(&l.out);
        return l.status;
    }
    if (l.printed == 0 && l.skipped == 0)
        fprintf(stderr, "no node to link to: v2sp panel node add --help\n");
    int status = panel_print(cli, &l.out);
    return status == 0 && l.printed == 0 && how->node_id != 0 ? 1 : status;
}

static int run_link(int argc, char **argv)
{
    static const char *const formats[] = {"link", "xray", "sing-box"};
    struct panel_cli cli = {0};
    struct panel_link how = {.socks_port = SHARELINK_SOCKS};
    const char *node = NULL, *format = "link", *socks = NULL;
    bool qr = false, no_qr = false;
    const struct panel_option options[] = {
        {"--node", &node, NULL}, {"--format", &format, NULL}, {"--socks", &socks, NULL},
        {"--qr", NULL, &qr},     {"--no-qr", NULL, &no_qr},   {NULL, NULL, NULL},
    };
    struct db_user u;
    int64_t port = SHARELINK_SOCKS;
    int status = panel_parse(&cli, &cmd_panel_user_link, argc, argv, options, 1);
    if (status >= 0)
        return status;
    if (cli.arg_count == 0)
        return cmd_misused(cli.cmd, "which user? A name, a number or a uuid");
    int i = 0;
    while (i < 3 && strcmp(format, formats[i]) != 0)
        i++;
    if (i == 3)
        return cmd_misused(cli.cmd, "--format %s: link, xray or sing-box", format);
    if (socks != NULL && !panel_read_int(socks, 1, 65535, &port))
        return cmd_misused(cli.cmd, "--socks %s: a port", socks);
    if (node != NULL && !panel_read_int(node, 1, INT32_MAX, &how.node_id))
        return cmd_misused(cli.cmd, "--node %s: the number of a node", node);
    how.format = (enum panel_link_format)i;
    how.socks_port = (uint16_t)port;
    how.qr = !no_qr && !cli.json && (qr || qr_style_for(stdout) != QR_NONE);
    if ((status = panel_open(&cli, false)) >= 0)
        return status;
    if (db_user_find(cli.db, cli.args[0], &u) != ST_OK) {
        status = panel_failed(&cli, "%s: see `v2sp panel user list`", db_error(cli.db));
    } else if (node != NULL) {
        struct db_node n;
        status = panel_find_node(&cli, node, &n);
    }
    if (status < 0)
        status = panel_print_links(&cli, &u, &how);
    crypto_wipe(u.uuid, sizeof u.uuid);
    panel_close(&cli);
    return status;
}
