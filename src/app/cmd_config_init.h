/* app/cmd_config_init.h - "v2sp config init": a first configuration file. */
#ifndef APP_CMD_CONFIG_INIT_H
#define APP_CMD_CONFIG_INIT_H

#include <stdbool.h>
#include <stddef.h>

struct cmd;

#define CONFIG_INIT_IDS_MAX 64

struct config_init {
    const char *path; /* "-" = standard output */
    bool interactive, force;
    const char **words; /* URL, KEY, ID...; none: an example to be edited */
    size_t word_count;
};

/* Writes the file (mode 0600: it holds a token) after having checked what it will say. Returns the
 * exit status. */
int config_init_run(const struct cmd *c, const struct config_init *init);

#endif
