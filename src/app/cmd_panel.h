/* app/cmd_panel.h - what the `v2sp panel` commands share: options, the database, values as people
 * write and read them. */
#ifndef APP_CMD_PANEL_H
#define APP_CMD_PANEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/cmd.h"
#include "base/status.h"
#include "base/textbuf.h"

struct db;
struct db_node;
struct db_user;

#define PANEL_ARGS_MAX 8
#define PANEL_LISTEN   "127.0.0.1:8480" /* of `panel serve`, and in the snippets of `node show` */
#define PANEL_API      "http://" PANEL_LISTEN "/api/v2sp"

/* One option of a command: "--name VALUE" (or --name=VALUE) when @value is set, else "--name",
 * which sets @flag. */
struct panel_option {
    const char *name; /* with its dashes */
    const char **value;
    bool *flag;
};

/* Where the database is, and how to print. Zeroed at first. */
struct panel_cli {
    const struct cmd *cmd; /* for messages */
    const char *db_file, *state_dir;
    bool json;
    const char *args[PANEL_ARGS_MAX]; /* what is no option */
    int arg_count;
    struct db *db;
    int64_t now; /* unix time */
};

/* Reads options (@own, ends with a row without a name; may be NULL) and those of all panel
 * commands: --db, --state, --json, --help. Returns -1 to go on, else the exit status. */
int panel_parse(struct panel_cli *cli, const struct cmd *cmd, int argc, char **argv,
                const struct panel_option *own, int max_args);
/* Opens the database; @create makes it and its directory. Returns -1 to go on, else the exit status
 * (the cause was said). */
int panel_open(struct panel_cli *cli, bool create);
/* Path of the database as panel_open uses it, in @dst. False when it is too long. */
bool panel_db_path(const struct panel_cli *cli, char *dst, size_t size);
/* Says "v2sp NAME: text" on standard error. Returns 1. */
int panel_failed(const struct panel_cli *cli, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The same with the database's last error. */
int panel_db_failed(const struct panel_cli *cli);
/* Closes the database. Harmless when it is not open. */
void panel_close(struct panel_cli *cli);

/* Finds a node by its number, as given on the command line. Returns -1 to go on, else the exit
 * status. */
int panel_find_node(const struct panel_cli *cli, const char *text, struct db_node *n);

/* Writes the bytes to standard output and frees them. Returns 0, or 1 when memory or output failed.
 */
int panel_print(struct panel_cli *cli, struct textbuf *t);

/* Prints the node with its secrets: the snippet for its config.json, its panel at @api, or JSON.
 * Returns the exit status. */
int panel_print_node(struct panel_cli *cli, const struct db_node *n, const char *api);

/* ---- values (cmd_panel_values.c) ------------------------------------------------------------- */

/* Whole number in @min..@max. False otherwise. */
bool panel_read_int(const char *text, int64_t min, int64_t max, int64_t *out);
/* Bytes: "500M", "1.5T", "100GiB" count in powers of 1024, "100GB" in powers of 1000; "none" and
 * "0" are 0. */
bool panel_read_size(const char *text, int64_t *out);
/* A moment: "30d", "12h" from @now; "2027-01-31" the end of that day (UTC); "never" is 0. */
bool panel_read_expiry(const char *text, int64_t now, int64_t *out);

#define PANEL_VALUE_MAX 48
/* "1.50 GiB"; returns @dst. */
char *panel_size_str(char dst[PANEL_VALUE_MAX], uint64_t bytes);
/* The last day served, "2027-01-31", or day and time; "never" for 0. */
char *panel_expiry_str(char dst[PANEL_VALUE_MAX], int64_t expires);
/* "2 min ago", "never". */
char *panel_ago_str(char dst[PANEL_VALUE_MAX], int64_t then, int64_t now);
/* The limit, or "-" for 0. */
char *panel_limit_str(char dst[PANEL_VALUE_MAX], int64_t limit);

/* ---- tables (cmd_panel_values.c) ------------------------------------------------------------- */

#define PANEL_COLUMNS_MAX 12

/* Cells of all rows one after the other, each ending with NUL; the first row is the head. */
struct panel_table {
    int columns;
    unsigned right; /* bit per column: numbers stand to the right */
    struct textbuf *cells;
};
/* Appends a copy of @text as the next cell. */
void panel_table_cell(struct panel_table *t, const char *text);
/* Writes the rows, columns two blanks apart, wide as their widest cell. */
void panel_table_write(const struct panel_table *t, struct textbuf *out);

/* ---- lists (cmd_panel_values.c) -------------------------------------------------------------- */

/* What a `list` command prints: a table, or with --json an array. Zeroed but for its first two; the
 * table without its cells. */
struct panel_list {
    struct panel_cli *cli;
    struct panel_table table;
    struct textbuf out, cells;
    size_t count;
};
/* Writes the head, one text for each column. */
void panel_list_begin(struct panel_list *l, const char *const *head);
/* Before each row: its cells go to @table, or with --json its object to @out. */
void panel_list_row(struct panel_list *l);
/* Prints the list (@none when it has no row), or, with @st, what the database says. Frees it and
 * returns the exit status. */
int panel_list_end(struct panel_list *l, enum status st, const char *none);

/* ---- the commands ---------------------------------------------------------------------------- */

extern const struct cmd cmd_panel_serve;
extern const struct cmd cmd_panel_node_add, cmd_panel_node_list, cmd_panel_node_set,
    cmd_panel_node_del, cmd_panel_node_show;
extern const struct cmd cmd_panel_user_add, cmd_panel_user_list, cmd_panel_user_set,
    cmd_panel_user_del, cmd_panel_user_show, cmd_panel_user_link, cmd_panel_reset_traffic;

enum panel_link_format { PANEL_LINK_URI, PANEL_LINK_XRAY, PANEL_LINK_SING_BOX };
struct panel_link {
    int64_t node_id; /* this node only; 0: all that the user may use */
    enum panel_link_format format;
    uint16_t socks_port; /* of a configuration's local proxy */
    bool qr;             /* a QR code behind each link */
};
/* Prints how to reach the nodes as @u: for user add, show and link. Returns the exit status; a node
 * that cannot be linked to is named on standard error. */
int panel_print_links(struct panel_cli *cli, const struct db_user *u, const struct panel_link *how);

#endif
