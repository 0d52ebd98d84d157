/* app/cmd.h - the command table: each command is one file cmd_X.c that exports one row; main.c lists them. */
#ifndef APP_CMD_H
#define APP_CMD_H

struct cmd {
    const char *name;    /* what stands after "v2sp" */
    const char *summary; /* one line for "v2sp help" */
    const char *usage;   /* what --help prints: synopsis, options, examples; ends with a newline */
    /* argv[0] is the name of the command. Returns the exit status: 0 done, 1 failed, 2 used wrongly. */
    int (*run)(int argc, char **argv);
};

extern const struct cmd cmd_check;
extern const struct cmd cmd_config;
extern const struct cmd cmd_x25519;
extern const struct cmd cmd_reality;
extern const struct cmd cmd_version;

/* Prints "v2sp NAME: what is wrong" and "Try: v2sp NAME --help" on standard error. Returns 2. */
int cmd_misused(const struct cmd *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints the usage on standard output. Returns 0. */
int cmd_help(const struct cmd *c);

#endif
