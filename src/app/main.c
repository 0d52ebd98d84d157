/* v2sp - the table of commands. Each is one file cmd_X.c. */
#include <stdio.h>
#include <malloc.h>
#include <string.h>

#include "app/cmd.h"

static const struct cmd *const commands[] = {
    &cmd_run,     &cmd_server,  &cmd_demo,     &cmd_panel,   &cmd_check,
    &cmd_config,  &cmd_status,  &cmd_top,      &cmd_spool,   &cmd_x25519,
    &cmd_reality, &cmd_mldsa65, &cmd_vlessenc, &cmd_version, &cmd_upgrade,
};

static void print_help(FILE *to)
{
    fprintf(to, "v2sp " V2SP_VERSION " - a proxy node that a panel runs\n\n"
                "usage: v2sp COMMAND [options]\n\ncommands:\n");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to, "\nv2sp COMMAND --help tells more. To look at it all at once: v2sp demo\n");
}

/* GnuTLS comes with libcurl, for protocols that no panel speaks, and would set itself up in every
 * process before main: 0.9 MiB. It asks this function, which is its documented way out
 * (GNUTLS_SKIP_GLOBAL_INIT); whoever uses it after all sets it up on his own, as libcurl does. */
int _gnutls_global_init_skip(void);
int _gnutls_global_init_skip(void)
{
    return 1;
}

/* The machines are small: what starting up has used and given back goes to the kernel, a quarter of
 * a MiB of an idle node. Bulk data is in pools of its own. */
static void keep_heap_small(void)
{
    mallopt(M_TOP_PAD, 32 * 1024);
    mallopt(M_TRIM_THRESHOLD, 64 * 1024);
}

int main(int argc, char **argv)
{
    keep_heap_small();
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    const char *name = argv[1];
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-v") == 0)
        name = "version";
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i]->run(argc - 1, argv + 1);
    fprintf(stderr, "v2sp: there is no command '%s'\nTry: v2sp --help\n", name);
    return 2;
}
