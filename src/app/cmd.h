/* app/cmd.h - the command table: each command is one file cmd_X.c that exports one row; main.c
 * lists them. */
#ifndef APP_CMD_H
#define APP_CMD_H

#include <stdbool.h>

struct cmd {
    const char *name;    /* what stands after "v2sp" */
    const char *summary; /* one line for "v2sp help" */
    const char *usage;   /* what --help prints: synopsis, options, examples; ends with a newline */
    /* argv[0] is the name of the command, argv[-1] that of the program. Returns the exit status:
     * 0 done, 1 failed, 2 used wrongly. */
    int (*run)(int argc, char **argv);
};

extern const struct cmd cmd_run, cmd_server;
extern const struct cmd cmd_status, cmd_top, cmd_spool;
extern const struct cmd cmd_demo;
extern const struct cmd cmd_panel;
extern const struct cmd cmd_check;
extern const struct cmd cmd_config;
extern const struct cmd cmd_x25519;
extern const struct cmd cmd_reality;
extern const struct cmd cmd_mldsa65;
extern const struct cmd cmd_vlessenc;
extern const struct cmd cmd_upgrade;
extern const struct cmd cmd_version;

/* Prints "v2sp NAME: what is wrong" and "Try: v2sp NAME --help" on standard error. Returns 2. */
int cmd_misused(const struct cmd *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints the usage on standard output. Returns 0. */
int cmd_help(const struct cmd *c);

/* One option: it either takes a value ("-c FILE", "--config=FILE") or is a flag
 * ("--online", "--online=true"). A list ends with a name of NULL. */
struct cmd_option {
    const char *name, *other; /* "--config", "-c"; other may be NULL */
    const char **value;
    bool *flag;
};

#define CMD_GO_ON (-1)
/* Reads argv[1..] into @options and up to @max other words into @words (counted in *@count). --help
 * prints the usage, "--" ends the options. Returns CMD_GO_ON, or the exit status to end with: 0
 * after --help, 2 after a mistake, which is said. */
int cmd_parse(const struct cmd *c, int argc, char **argv, const struct cmd_option *options,
              const char **words, int max, int *count);

#endif
