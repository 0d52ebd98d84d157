/* app/cmd_check.h - what "v2sp check" and "v2sp config validate" share. */
#ifndef APP_CMD_CHECK_H
#define APP_CMD_CHECK_H

#include <stdbool.h>
#include <stdio.h>

struct cmd;
struct config;

/* Loads and judges @path for command @c: prints all findings on standard error, tries certificates
 * and directories, with @online the panels too, and prints one line of summary. Returns the exit
 * status. */
int check_file(const struct cmd *c, const char *path, bool online);
/* Prints all findings. */
void check_print(const struct config *cfg, FILE *to);
/* Asks every panel for configuration and users; prints one line a node. Returns how many errors
 * there were, adds to @warnings how many of those. */
unsigned check_online(const struct config *cfg, unsigned *warnings);

#endif
