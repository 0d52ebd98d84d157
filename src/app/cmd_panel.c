#include "app/cmd_panel.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crypto/mem.h"
#include "panelserver/db.h"
#include "panelserver/db_node.h"
#include "panelserver/db_traffic.h"
#include "base/textbuf.h"

#define STATE_DIR   "/var/lib/v2sp"
#define LOCAL_STATE "./state" /* what `v2sp demo` and scripts in a checkout use */
#define DB_NAME     "panel.db"
#define PATH_SIZE   1024
#define STATS_DAYS  14

/* ---- what the commands share ----------------------------------------------------------------- */

static const struct panel_option *find(const struct panel_option *o, const char *arg, size_t len)
{
    for (; o != NULL && o->name != NULL; o++) {
        if (strncmp(o->name, arg, len) == 0 && o->name[len] == '\0')
            return o;
    }
    return NULL;
}

int panel_parse(struct panel_cli *cli, const struct cmd *cmd, int argc, char **argv,
                const struct panel_option *own, int max_args)
{
    const struct panel_option common[] = {
        {"--db", &cli->db_file, NULL},
        {"--state", &cli->state_dir, NULL},
        {"--json", NULL, &cli->json},
        {NULL, NULL, NULL},
    };
    bool options = true;
    cli->cmd = cmd;
    cli->now = (int64_t)time(NULL);
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (options && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0))
            return cmd_help(cmd);
        if (options && strcmp(arg, "--") == 0) {
            options = false;
            continue;
        }
        if (!options || arg[0] != '-' || arg[1] == '\0') {
            if (cli->arg_count == max_args)
                return cmd_misused(cmd, "unexpected \"%s\"", arg);
            cli->args[cli->arg_count++] = arg;
            continue;
        }
        size_t len = strcspn(arg, "=");
        const struct panel_option *o = find(own, arg, len);
        if (o == NULL)
            o = find(common, arg, len);
        if (o == NULL)
            return cmd_misused(cmd, "there is no option %.*s", (int)len, arg);
        if (o->value == NULL && arg[len] == '=')
            return cmd_misused(cmd, "option %s takes no value", o->name);
        if (o->value == NULL) {
            *o->flag = true;
            continue;
        }
        if (arg[len] == '\0' && i + 1 == argc)
            return cmd_misused(cmd, "option %s needs a value", o->name);
        *o->value = arg[len] == '=' ? arg + len + 1 : argv[++i];
    }
    return -1;
}

int panel_failed(const struct panel_cli *cli, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "v2sp %s: ", cli->cmd->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return 1;
}

int panel_db_failed(const struct panel_cli *cli)
{
    return panel_failed(cli, "%s", db_error(cli->db));
}

static const char *state_dir(const struct panel_cli *cli)
{
    if (cli->state_dir != NULL)
        return cli->state_dir;
    if (access(LOCAL_STATE "/" DB_NAME, F_OK) == 0)
        return LOCAL_STATE;
    if (access(STATE_DIR "/" DB_NAME, F_OK) == 0 || access(STATE_DIR, W_OK) == 0)
        return STATE_DIR;
    /* Not made yet: there if we may make it, else here. */
    return access(STATE_DIR, F_OK) != 0 && access("/var/lib", W_OK) == 0 ? STATE_DIR : LOCAL_STATE;
}

bool panel_db_path(const struct panel_cli *cli, char *dst, size_t size)
{
    int n = cli->db_file != NULL ? snprintf(dst, size, "%s", cli->db_file)
                                 : snprintf(dst, size, "%s/" DB_NAME, state_dir(cli));
    return n > 0 && (size_t)n < size;
}

/* Makes the directories on the way to @path. */
static enum status make_parents(char *path)
{
    for (char *p = strchr(path + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
        *p = '\0';
        int failed = mkdir(path, 0700) != 0 && errno != EEXIST;
        *p = '/';
        if (failed)
            return ST_E_IO;
    }
    return ST_OK;
}

int panel_open(struct panel_cli *cli, bool create)
{
    char path[PATH_SIZE], error[DB_ERROR_MAX];
    if (!panel_db_path(cli, path, sizeof path))
        return panel_failed(cli, "the path of the database is too long");
    if (create && make_parents(path) != ST_OK)
        return panel_failed(cli, "cannot make the directory of %s: %s", path, strerror(errno));
    unsigned flags = (create ? DB_CREATE : 0u) | (cli->cmd == &cmd_panel_serve ? 0u : DB_PATIENT);
    if (db_open(path, flags, &cli->db, error) != ST_OK)
        return panel_failed(cli, "%s", error);
    return -1;
}

void panel_close(struct panel_cli *cli)
{
    db_close(cli->db);
    cli->db = NULL;
}

int panel_find_node(const struct panel_cli *cli, const char *text, struct db_node *n)
{
    int64_t id;
    if (!panel_read_int(text, 1, INT32_MAX, &id))
        return panel_failed(cli, "\"%s\" is not the number of a node: see `v2sp panel node list`",
                            text);
    enum status st = db_node_get(cli->db, id, n);
    if (st == ST_E_NOTFOUND)
        return panel_failed(cli, "%s: see `v2sp panel node list`", db_error(cli->db));
    return st == ST_OK ? -1 : panel_db_failed(cli);
}

int panel_print(struct panel_cli *cli, struct textbuf *t)
{
    int status = 0;
    if (t->failed)
        status = panel_failed(cli, "out of memory");
    else if (fwrite(t->p, 1, t->len, stdout) != t->len || fflush(stdout) != 0)
        status = panel_failed(cli, "cannot write: %s", strerror(errno));
    if (t->p != NULL)
        crypto_wipe(t->p, t->len); /* tokens and uuids */
    textbuf_fini(t);
    return status;
}

/* ---- init ------------------------------------------------------------------------------------ */

static int run_init(int argc, char **argv);

static const struct cmd cmd_init = {
    "panel init",
    "make the panel's database",
    "Usage: v2sp panel init [--db FILE | --state DIR]\n"
    "\n"
    "Makes an empty panel database; does nothing when it is there. Readable for you alone, "
    "because\n"
    "it holds the nodes' tokens and the users' ids.\n"
    "\n"
    "  --db FILE    the database (default: panel.db in the state directory)\n"
    "  --state DIR  the state directory (default: ./state if a panel is there, else "
    "/var/lib/v2sp,\n"
    "               else ./state)\n"
    "\n"
    "Then:\n"
    "  v2sp panel node add --name first --port 443 --host node1.example.com\n"
    "  v2sp panel user add anna --quota 100G --expires 30d\n"
    "  v2sp panel serve\n",
    run_init,
};

static int run_init(int argc, char **argv)
{
    struct panel_cli cli = {0};
    char path[PATH_SIZE];
    int status = panel_parse(&cli, &cmd_init, argc, argv, NULL, 0);
    if (status >= 0)
        return status;
    bool there = panel_db_path(&cli, path, sizeof path) && access(path, F_OK) == 0;
    if ((status = panel_open(&cli, true)) >= 0)
        return status;
    panel_close(&cli);
    struct textbuf t;
    textbuf_init(&t);
    if (cli.json) {
        textbuf_puts(&t, "{\"db\":");
        textbuf_json(&t, path);
        textbuf_printf(&t, ",\"created\":%s}\n", there ? "false" : "true");
    } else {
        textbuf_printf(&t, there ? "%s is a panel database already\n" : "made %s\n", path);
        if (!there)
            textbuf_puts(&t,
                         "next: v2sp panel node add --name first --port 443 --host NAME-OR-IP\n");
    }
    return panel_print(&cli, &t);
}

/* ---- stats ----------------------------------------------------------------------------------- */

static int run_stats(int argc, char **argv);

static const struct cmd cmd_stats = {
    "panel stats",
    "show users, nodes and traffic in sum",
    "Usage: v2sp panel stats [--json] [--db FILE | --state DIR]\n"
    "\n"
    "Shows how many nodes and users there are, who is online, and the traffic of the last days "
    "(UTC).\n"
    "Works while the panel is being served.\n",
    run_stats,
};

struct days {
    struct panel_table *table;
    struct textbuf *json;
    size_t count;
};

static bool add_day(void *ctx, int64_t day, uint64_t up, uint64_t down)
{
    struct days *d = ctx;
    char text[PANEL_VALUE_MAX];
    if (d->table != NULL) {
        panel_table_cell(d->table, panel_expiry_str(text, (day + 1) * 86400));
        panel_table_cell(d->table, panel_size_str(text, up));
        panel_table_cell(d->table, panel_size_str(text, down));
    } else {
        textbuf_printf(d->json, "%s{\"day\":\"%s\",\"up\":%llu,\"down\":%llu}",
                       d->count > 0 ? "," : "", panel_expiry_str(text, (day + 1) * 86400),
                       (unsigned long long)up, (unsigned long long)down);
    }
    d->count++;
    return true;
}

static enum status write_stats_json(struct panel_cli *cli, const struct db_totals *s,
                                    struct textbuf *t)
{
    struct days d = {.json = t};
    textbuf_printf(t,
                   "{\"nodes\":%lld,\"nodes_enabled\":%lld,\"users\":%lld,\"users_active\":%lld,"
                   "\"online\":%lld,\"up\":%llu,\"down\":%llu,\"ever_up\":%llu,\"ever_down\":%llu,"
                   "\"days\":[",
                   (long long)s->nodes, (long long)s->nodes_enabled, (long long)s->users,
                   (long long)s->users_active, (long long)s->online, (unsigned long long)s->up,
                   (unsigned long long)s->down, (unsigned long long)s->ever_up,
                   (unsigned long long)s->ever_down);
    enum status st = db_traffic_days(cli->db, 0, STATS_DAYS, add_day, &d);
    textbuf_puts(t, "]}\n");
    return st;
}

static enum status write_stats(struct panel_cli *cli, const struct db_totals *s, struct textbuf *t)
{
    char up[PANEL_VALUE_MAX], down[PANEL_VALUE_MAX];
    struct textbuf cells;
    struct panel_table table = {.columns = 3, .right = 6, .cells = &cells};
    struct days d = {.table = &table};
    textbuf_init(&cells);
    textbuf_printf(t, "nodes    %lld, %lld of them enabled\n", (long long)s->nodes,
                   (long long)s->nodes_enabled);
    textbuf_printf(t, "users    %lld, %lld of them active, %lld online\n", (long long)s->users,
                   (long long)s->users_active, (long long)s->online);
    textbuf_printf(t, "traffic  %s up, %s down in all\n", panel_size_str(up, s->ever_up),
                   panel_size_str(down, s->ever_down));
    panel_table_cell(&table, "DAY (UTC)");
    panel_table_cell(&table, "UP");
    panel_table_cell(&table, "DOWN");
    enum status st = db_traffic_days(cli->db, 0, STATS_DAYS, add_day, &d);
    if (st == ST_OK && d.count > 0) {
        textbuf_put(t, "\n", 1);
        panel_table_write(&table, t);
    }
    textbuf_fini(&cells);
    return st;
}

static int run_stats(int argc, char **argv)
{
    struct panel_cli cli = {0};
    struct db_totals totals;
    struct textbuf t;
    int status = panel_parse(&cli, &cmd_stats, argc, argv, NULL, 0);
    if (status >= 0 || (status = panel_open(&cli, false)) >= 0)
        return status;
    textbuf_init(&t);
    if (db_totals(cli.db, cli.now, &totals) != ST_OK ||
        (cli.json ? write_stats_json(&cli, &totals, &t) : write_stats(&cli, &totals, &t)) !=
            ST_OK) {
        status = panel_db_failed(&cli);
        textbuf_fini(&t);
    } else {
        status = panel_print(&cli, &t);
    }
    panel_close(&cli);
    return status;
}

/* ---- v2sp panel ------------------------------------------------------------------------------ */

static int run_panel(int argc, char **argv);

const struct cmd cmd_panel = {
    "panel",
    "the embedded panel: serve the API, manage nodes and users",
    "Usage: v2sp panel COMMAND [OPTIONS]      v2sp panel COMMAND --help tells more\n"
    "\n"
    "A small panel on one SQLite file: it tells nodes whom to serve and books their traffic. All\n"
    "commands work while the panel is being served; nodes see a change at their next poll.\n"
    "\n"
    "  init                        make the database\n"
    "  serve                       answer nodes (HTTP on 127.0.0.1:8480)\n"
    "  node add|list|set|del|show  nodes; show prints the snippet for the node's config.json\n"
    "  user add|list|set|del|show  users, with limits, quota and expiry\n"
    "  user link                   share link, QR code, or a client's configuration\n"
    "  reset-traffic               zero what users have used\n"
    "  stats                       sums\n"
    "\n"
    "  --db FILE    the database (default: panel.db in the state directory)\n"
    "  --state DIR  the state directory (default: ./state if a panel is there, else "
    "/var/lib/v2sp)\n"
    "  --json       print JSON for scripts\n",
    run_panel,
};

struct entry {
    const char *word;
    const struct cmd *cmd;
};

static const struct entry PANEL[] = {
    {"init", &cmd_init},
    {"serve", &cmd_panel_serve},
    {"reset-traffic", &cmd_panel_reset_traffic},
    {"stats", &cmd_stats},
    {NULL, NULL},
};
static const struct entry NODE[] = {
    {"add", &cmd_panel_node_add}, {"list", &cmd_panel_node_list}, {"set", &cmd_panel_node_set},
    {"del", &cmd_panel_node_del}, {"show", &cmd_panel_node_show}, {NULL, NULL},
};
static const struct entry USER[] = {
    {"add", &cmd_panel_user_add},
    {"list", &cmd_panel_user_list},
    {"set", &cmd_panel_user_set},
    {"del", &cmd_panel_user_del},
    {"show", &cmd_panel_user_show},
    {"link", &cmd_panel_user_link},
    {"reset-traffic", &cmd_panel_reset_traffic},
    {NULL, NULL},
};

static int dispatch(const struct entry *table, const char *group, int argc, char **argv)
{
    if (argc < 2)
        return cmd_misused(&cmd_panel, "which %scommand?", group);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return cmd_help(&cmd_panel);
    if (argv[1][0] == '-')
        return cmd_misused(&cmd_panel, "which %scommand?", group);
    for (; table->word != NULL; table++) {
        if (strcmp(table->word, argv[1]) == 0)
            return table->cmd->run(argc - 1, argv + 1);
    }
    return cmd_misused(&cmd_panel, "there is no command \"%s%s\"", group, argv[1]);
}

static int choose(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "node") == 0)
        return dispatch(NODE, "node ", argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "user") == 0)
        return dispatch(USER, "user ", argc - 1, argv + 1);
    return dispatch(PANEL, "", argc, argv);
}

/* How many words at argv[1..] are options that may stand before the command. */
static int leading_options(int argc, char **argv)
{
    int i = 1;
    while (i < argc && strncmp(argv[i], "--", 2) == 0) {
        bool value = strcmp(argv[i], "--db") == 0 || strcmp(argv[i], "--state") == 0;
        if (!value && strcmp(argv[i], "--json") != 0 && strncmp(argv[i], "--db=", 5) != 0 &&
            strncmp(argv[i], "--state=", 8) != 0)
            break;
        i += value ? 2 : 1;
    }
    return i < argc ? i - 1 : 0;
}

/* `v2sp panel --state DIR user list` is read as `v2sp panel user list --state DIR`. */
static int run_panel(int argc, char **argv)
{
    int leading = leading_options(argc, argv);
    if (leading == 0)
        return choose(argc, argv);
    char **moved = calloc((size_t)argc + 1, sizeof *moved);
    if (moved == NULL) {
        fprintf(stderr, "v2sp panel: out of memory\n");
        return 1;
    }
    moved[0] = argv[0];
    int rest = argc - 1 - leading;
    /* Behind the command's one or two words, so that a "--" later on does not reach them. */
    int words = rest > 1 && (strcmp(argv[1 + leading], "node") == 0 ||
                             strcmp(argv[1 + leading], "user") == 0)
                    ? 2
                    : 1;
    memcpy(moved + 1, argv + 1 + leading, (size_t)words * sizeof *moved);
    memcpy(moved + 1 + words, argv + 1, (size_t)leading * sizeof *moved);
    memcpy(moved + 1 + words + leading, argv + 1 + leading + words,
           (size_t)(rest - words) * sizeof *moved);
    int status = choose(argc, moved);
    free(moved);
    return status;
}
