#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cmd_panel.h"
#include "crypto/mem.h"
#include "panelserver/db.h"
#include "panelserver/db_user.h"
#include "base/textbuf.h"
#include "panelserver/token.h"

#define USER_OPTIONS                                                                               \
    "  --speed N          Mbit/s (0: no limit)\n"                                                  \
    "  --devices N        addresses at once, over all nodes (0: no limit)\n"                       \
    "  --conns N          connections at once, on each node (0: no limit)\n"                       \
    "  --quota SIZE       up and down together: 100G, 1.5T, 500M count in 1024s, 100GB in "        \
    "1000s;\n"                                                                                     \
    "                     none\n"                                                                  \
    "  --expires WHEN     30d or 12h from now, 2027-01-31 (the last day served, UTC), never\n"     \
    "  --node LIST        serve the user on these nodes only (1,3,4); all\n"                       \
    "  --uuid UUID        the user's id for clients\n"                                             \
    "  --enable, --disable\n"                                                                      \
    "  --json, --db FILE, --state DIR\n"

static int run_add(int argc, char **argv);
static int run_list(int argc, char **argv);
static int run_set(int argc, char **argv);
static int run_del(int argc, char **argv);
static int run_show(int argc, char **argv);
static int run_reset(int argc, char **argv);

const struct cmd cmd_panel_user_add = {
    "panel user add",
    "add a user",
    "Usage: v2sp panel user add NAME [OPTIONS]\n"
    "\n"
    "Adds a user and prints its uuid and a share link for each node it may use.\n"
    "\n" USER_OPTIONS "\n"
    "Example:\n"
    "  v2sp panel user add anna --quota 100G --expires 30d --devices 3\n",
    run_add,
};

const struct cmd cmd_panel_user_list = {
    "panel user list",
    "list the users",
    "Usage: v2sp panel user list [--json] [--db FILE | --state DIR]\n"
    "\n"
    "Lists all users with what they have used. Uuids are not shown, except with --json.\n",
    run_list,
};

const struct cmd cmd_panel_user_set = {
    "panel user set",
    "change a user",
    "Usage: v2sp panel user set USER [OPTIONS]\n"
    "\n"
    "Changes what is given and leaves the rest. USER is a name, a number or a uuid. Nodes take it\n"
    "over at their next poll.\n"
    "\n"
    "  --name NAME        another name\n"
    "  --new-uuid         make a new random uuid: the old links stop working\n" USER_OPTIONS,
    run_set,
};

const struct cmd cmd_panel_user_del = {
    "panel user del",
    "remove a user",
    "Usage: v2sp panel user del USER [--db FILE | --state DIR]\n"
    "\n"
    "Removes the user; nodes close its connections after their next poll. What it used stays in "
    "the\n"
    "daily books.\n",
    run_del,
};

const struct cmd cmd_panel_user_show = {
    "panel user show",
    "show a user and its share links",
    "Usage: v2sp panel user show USER [--json] [--db FILE | --state DIR]\n"
    "\n"
    "Shows limits, usage, uuid and share links.\n",
    run_show,
};

const struct cmd cmd_panel_reset_traffic = {
    "panel reset-traffic",
    "zero what users have used",
    "Usage: v2sp panel reset-traffic USER | --all [--db FILE | --state DIR]\n"
    "\n"
    "Starts a new quota period: what the user (with --all every user) has used counts from zero, "
    "and\n"
    "users who were over their quota are served again. The daily books stay.\n",
    run_reset,
};

/* ---- changing -------------------------------------------------------------------------------- */

struct changes {
    const char *name, *speed, *devices, *conns, *quota, *expires, *nodes, *uuid;
    bool enable, disable, new_uuid, all;
};

#define CHANGE_OPTIONS(c)                                                                          \
    {"--name", &(c).name, NULL}, {"--speed", &(c).speed, NULL}, {"--devices", &(c).devices, NULL}, \
        {"--conns", &(c).conns, NULL}, {"--quota", &(c).quota, NULL},                              \
        {"--expires", &(c).expires, NULL}, {"--node", &(c).nodes, NULL},                           \
        {"--uuid", &(c).uuid, NULL}, {"--enable", NULL, &(c).enable},                              \
    {                                                                                              \
        "--disable", NULL, &(c).disable                                                            \
    }

static bool limit(const char *text, int64_t *out)
{
    return text == NULL || panel_read_int(text, 0, DB_LIMIT_MAX, out);
}

static bool copy(char *dst, size_t size, const char *text)
{
    if (text == NULL)
        return true;
    int n = snprintf(dst, size, "%s", text);
    return n >= 0 && (size_t)n < size;
}

/* Returns -1 to go on, else the exit status. */
static int apply(struct panel_cli *cli, const struct changes *c, struct db_user *u)
{
    if (!copy(u->name, sizeof u->name, c->name))
        return cmd_misused(cli->cmd, "the name is over %d bytes", DB_NAME_MAX);
    if (!copy(u->uuid, sizeof u->uuid, c->uuid))
        return cmd_misused(cli->cmd, "--uuid: 32 hex digits with or without dashes");
    if (!limit(c->speed, &u->speed_limit))
        return cmd_misused(cli->cmd, "--speed %s: Mbit/s, a whole number", c->speed);
    if (!limit(c->devices, &u->device_limit))
        return cmd_misused(cli->cmd, "--devices %s: a whole number", c->devices);
    if (!limit(c->conns, &u->conn_limit))
        return cmd_misused(cli->cmd, "--conns %s: a whole number", c->conns);
    if (c->quota != NULL && !panel_read_size(c->quota, &u->quota))
        return cmd_misused(cli->cmd, "--quota %s: a size such as 100G, 1.5T, 500M, or none",
                           c->quota);
    if (c->expires != NULL && !panel_read_expiry(c->expires, cli->now, &u->expires))
        return cmd_misused(cli->cmd, "--expires %s: 30d, 12h, 2027-01-31 or never", c->expires);
    if (c->enable && c->disable)
        return cmd_misused(cli->cmd, "--enable or --disable, not both");
    u->enabled = c->enable || (u->enabled && !c->disable);
    return -1;
}

/* "1,3,4" or "all" (then *@count is 0). */
static bool read_nodes(const char *text, int64_t *nodes, size_t *count)
{
    char item[24];
    *count = 0;
    if (strcmp(text, "all") == 0)
        return true;
    for (;;) {
        size_t len = strcspn(text, ",");
        int n = snprintf(item, sizeof item, "%.*s", (int)len, text);
        if (n < 0 || (size_t)n >= sizeof item || *count == DB_NODES_MAX ||
            !panel_read_int(item, 1, INT32_MAX, &nodes[*count]))
            return false;
        ++*count;
        if (text[len] == '\0')
            return true;
        text += len + 1;
    }
}

/* Writes the user and its nodes, both or neither. Returns -1 to go on, else the exit status. */
static int store(struct panel_cli *cli, const struct changes *c, struct db_user *u)
{
    int64_t nodes[DB_NODES_MAX];
    size_t count = 0;
    if (c->nodes != NULL) {
        if (!read_nodes(c->nodes, nodes, &count))
            return cmd_misused(cli->cmd, "--node %s: numbers such as 1,3,4, or all", c->nodes);
        u->all_nodes = count == 0;
    }
    if (db_begin(cli->db) != ST_OK)
        return panel_db_failed(cli);
    enum status st = u->id == 0 ? db_user_add(cli->db, u) : db_user_update(cli->db, u);
    if (st == ST_OK && c->nodes != NULL) {
        bool all = u->all_nodes;
        st = db_user_set_nodes(cli->db, u->id, nodes, count);
        u->all_nodes = all;
        if (st == ST_OK && all)
            st = db_user_update(cli->db, u); /* set_nodes has tied it to none */
    }
    if (st == ST_OK)
        st = db_commit(cli->db);
    if (st == ST_OK)
        return -1;
    db_rollback(cli->db);
    return panel_db_failed(cli);
}

/* ---- looking --------------------------------------------------------------------------------- */

static const char *state_of(const struct panel_cli *cli, const struct db_user *u)
{
    static const char *const names[] = {"active", "disabled", "expired", "over quota"};
    return names[db_user_state(u, cli->now)];
}

static void write_nodes(struct panel_cli *cli, const struct db_user *u, struct textbuf *t)
{
    int64_t nodes[DB_NODES_MAX];
    size_t count = 0;
    if (db_user_nodes(cli->db, u->id, nodes, DB_NODES_MAX, &count) != ST_OK)
        count = 0;
    for (size_t i = 0; i < count; i++)
        textbuf_printf(t, "%s%lld", i > 0 ? "," : "", (long long)nodes[i]);
}

static void write_json(struct panel_cli *cli, const struct db_user *u, struct textbuf *t)
{
    textbuf_printf(t, "{\"id\":%lld,\"name\":", (long long)u->id);
    textbuf_json(t, u->name);
    textbuf_printf(t,
                   ",\"uuid\":\"%s\",\"state\":\"%s\",\"enabled\":%s,\"speed_limit\":%lld,"
                   "\"device_limit\":%lld,\"conn_limit\":%lld,\"quota\":%lld,\"up\":%llu,"
                   "\"down\":%llu,\"expires\":%lld,\"nodes\":",
                   u->uuid, state_of(cli, u), u->enabled ? "true" : "false",
                   (long long)u->speed_limit, (long long)u->device_limit, (long long)u->conn_limit,
                   (long long)u->quota, (unsigned long long)u->up, (unsigned long long)u->down,
                   (long long)u->expires);
    if (u->all_nodes) {
        textbuf_puts(t, "\"all\"}");
    } else {
        textbuf_put(t, "[", 1);
        write_nodes(cli, u, t);
        textbuf_puts(t, "]}");
    }
}

/* What add, set and show print. */
static int show(struct panel_cli *cli, const struct db_user *u, bool links)
{
    struct textbuf t;
    char a[PANEL_VALUE_MAX], b[PANEL_VALUE_MAX], c[PANEL_VALUE_MAX];
    textbuf_init(&t);
    if (cli->json) {
        write_json(cli, u, &t);
        textbuf_put(&t, "\n", 1);
        return panel_print(cli, &t);
    }
    textbuf_printf(&t, "user     %lld, %s (%s)\nuuid     %s\n", (long long)u->id, u->name,
                   state_of(cli, u), u->uuid);
    textbuf_printf(&t, "used     %s up, %s down, of %s\n", panel_size_str(a, u->up),
                   panel_size_str(b, u->down),
                   u->quota != 0 ? panel_size_str(c, (uint64_t)u->quota) : "no quota");
    textbuf_printf(&t, "expires  %s\n", panel_expiry_str(a, u->expires));
    textbuf_printf(&t, "limits   speed %s Mbit/s, devices %s, connections %s\n",
                   panel_limit_str(a, u->speed_limit), panel_limit_str(b, u->device_limit),
                   panel_limit_str(c, u->conn_limit));
    textbuf_puts(&t, "nodes    ");
    if (u->all_nodes)
        textbuf_puts(&t, "all");
    else
        write_nodes(cli, u, &t);
    textbuf_put(&t, "\n", 1);
    int status = panel_print(cli, &t);
    struct panel_link how = {0};
    return status == 0 && links ? panel_print_links(cli, u, &how) : status;
}

static bool list_one(void *ctx, const struct db_user *u)
{
    struct panel_list *l = ctx;
    char text[PANEL_VALUE_MAX];
    panel_list_row(l);
    if (l->cli->json) {
        write_json(l->cli, u, &l->out);
        return true;
    }
    snprintf(text, sizeof text, "%lld", (long long)u->id);
    panel_table_cell(&l->table, text);
    panel_table_cell(&l->table, u->name);
    panel_table_cell(&l->table, state_of(l->cli, u));
    panel_table_cell(&l->table, panel_size_str(text, u->up));
    panel_table_cell(&l->table, panel_size_str(text, u->down));
    panel_table_cell(&l->table, u->quota != 0 ? panel_size_str(text, (uint64_t)u->quota) : "-");
    panel_table_cell(&l->table, panel_expiry_str(text, u->expires));
    panel_table_cell(&l->table, panel_limit_str(text, u->speed_limit));
    panel_table_cell(&l->table, panel_limit_str(text, u->device_limit));
    panel_table_cell(&l->table, panel_limit_str(text, u->conn_limit));
    struct textbuf nodes;
    textbuf_init(&nodes);
    write_nodes(l->cli, u, &nodes);
    textbuf_put(&nodes, "", 1);
    panel_table_cell(&l->table, u->all_nodes ? "all" : nodes.failed ? "?" : nodes.p);
    textbuf_fini(&nodes);
    return true;
}

static int run_list(int argc, char **argv)
{
    static const char *const head[] = {"ID",      "NAME",   "STATE",   "UP",    "DOWN", "QUOTA",
                                       "EXPIRES", "MBIT/S", "DEVICES", "CONNS", "NODES"};
    struct panel_cli cli = {0};
    struct panel_list l = {.cli = &cli, .table = {.columns = 11, .right = 0x3b9}};
    int status = panel_parse(&cli, &cmd_panel_user_list, argc, argv, NULL, 0);
    if (status >= 0 || (status = panel_open(&cli, false)) >= 0)
        return status;
    panel_list_begin(&l, head);
    enum status st = db_user_each(cli.db, list_one, &l);
    status = panel_list_end(&l, st, "no users yet: v2sp panel user add --help\n");
    panel_close(&cli);
    return status;
}

/* ---- the commands ---------------------------------------------------------------------------- */

static int run_add(int argc, char **argv)
{
    struct panel_cli cli = {0};
    struct changes c = {0};
    const struct panel_option options[] = {CHANGE_OPTIONS(c), {NULL, NULL, NULL}};
    struct db_user u;
    int status = panel_parse(&cli, &cmd_panel_user_add, argc, argv, options, 1);
    if (status >= 0)
        return status;
    if (cli.arg_count > 0 && c.name != NULL)
        return cmd_misused(cli.cmd, "the name is there twice");
    if (cli.arg_count > 0)
        c.name = cli.args[0];
    if (c.name == NULL)
        return cmd_misused(cli.cmd, "what is the user's name?");
    db_user_init(&u);
    if ((status = apply(&cli, &c, &u)) >= 0 || (status = panel_open(&cli, false)) >= 0)
        return status;
    if ((status = store(&cli, &c, &u)) < 0)
        status = show(&cli, &u, true);
    crypto_wipe(u.uuid, sizeof u.uuid);
    panel_close(&cli);
    return status;
}

/* For commands on one user: opens the database and finds it. Returns -1 to go on, else the exit
 * status. */
static int begin(struct panel_cli *cli, struct db_user *u)
{
    if (cli->arg_count == 0)
        return cmd_misused(cli->cmd, "which user? A name, a number or a uuid");
    int status = panel_open(cli, false);
    if (status >= 0)
        return status;
    enum status st = db_user_find(cli->db, cli->args[0], u);
    if (st == ST_OK)
        return -1;
    status = st == ST_E_NOTFOUND
                 ? panel_failed(cli, "%s: see `v2sp panel user list`", db_error(cli->db))
                 : panel_db_failed(cli);
    panel_close(cli);
    return status;
}

static int run_set(int argc, char **argv)
{
    struct panel_cli cli = {0};
    struct changes c = {0};
    const struct panel_option options[] = {
        {"--new-uuid", NULL, &c.new_uuid}, CHANGE_OPTIONS(c), {NULL, NULL, NULL}};
    struct db_user u;
    int status = panel_parse(&cli, &cmd_panel_user_set, argc, argv, options, 1);
    if (status >= 0 || (status = begin(&cli, &u)) >= 0)
        return status;
    if (c.new_uuid && c.uuid == NULL) {
        if (token_uuid(u.uuid) != ST_OK)
            status = panel_failed(&cli, "the kernel gives no random bytes");
    }
    if (status < 0 && (status = apply(&cli, &c, &u)) < 0 && (status = store(&cli, &c, &u)) < 0)
        status = show(&cli, &u, c.new_uuid || c.uuid != NULL);
    crypto_wipe(u.uuid, sizeof u.uuid);
    panel_close(&cli);
    return status;
}

static int run_show(int argc, char **argv)
{
    struct panel_cli cli = {0};
    struct db_user u;
    int status = panel_parse(&cli, &cmd_panel_user_show, argc, argv, NULL, 1);
    if (status >= 0 || (status = begin(&cli, &u)) >= 0)
        return status;
    status = show(&cli, &u, true);
    crypto_wipe(u.uuid, sizeof u.uuid);
    panel_close(&cli);
    return status;
}

static int run_del(int argc, char **argv)
{
    struct panel_cli cli = {0};
    struct db_user u;
    int status = panel_parse(&cli, &cmd_panel_user_del, argc, argv, NULL, 1);
    if (status >= 0 || (status = begin(&cli, &u)) >= 0)
        return status;
    status = db_user_del(cli.db, u.id) == ST_OK ? 0 : panel_db_failed(&cli);
    panel_close(&cli);
    return status;
}

static int run_reset(int argc, char **argv)
{
    struct panel_cli cli = {0};
    bool all = false;
    const struct panel_option options[] = {{"--all", NULL, &all}, {NULL, NULL, NULL}};
    struct db_user u = {0};
    int status = panel_parse(&cli, &cmd_panel_reset_traffic, argc, argv, options, 1);
    if (status >= 0)
        return status;
    if (all == (cli.arg_count > 0))
        return cmd_misused(cli.cmd, "one user, or --all");
    if ((status = all ? panel_open(&cli, false) : begin(&cli, &u)) >= 0)
        return status;
    status = db_user_reset(cli.db, u.id) == ST_OK ? 0 : panel_db_failed(&cli);
    panel_close(&cli);
    return status;
}
