#include <stdio.h>

#include "app/cmd.h"

static int run(int argc, char **argv);

const struct cmd cmd_version = {
    .name = "version",
    .summary = "print the version",
    .usage = "Usage: v2sp version\n"
             "\n"
             "Prints the name and version of the program, such as \"v2sp " V2SP_VERSION "\".\n",
    .run = run,
};

static int run(int argc, char **argv)
{
    static const struct cmd_option none[] = {{NULL, NULL, NULL, NULL}};
    int words;
    int rc = cmd_parse(&cmd_version, argc, argv, none, NULL, 0, &words);
    if (rc != CMD_GO_ON)
        return rc;
    puts("v2sp " V2SP_VERSION);
    return 0;
}
