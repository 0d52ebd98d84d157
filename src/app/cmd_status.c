/* v2sp status: what the running program does, asked through its socket. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/admin_client.h"
#include "app/cmd.h"
#include "app/status_ask.h"
#include "app/status_view.h"

#define USAGE                                                                                      \
    "Usage: v2sp status [-c FILE | --socket PATH] [--json] [--users N | --all] [--node TAG]\n"     \
    "\n"                                                                                           \
    "Shows what the running v2sp does: process and workers, nodes with their panels, what waits\n" \
    "to be reported, certificates, and the users online, the fastest first. Rates are bytes a\n"   \
    "second, over one second.\n"                                                                   \
    "\n"                                                                                           \
    "  -c, --config FILE   of the service that is asked (default /etc/v2sp/config.json)\n"         \
    "      --socket PATH   its socket, control.sock in its StateDir\n"                             \
    "      --json          the answer as it is; names: docs/status.md\n"                           \
    "      --users N       list so many users (default 20)\n"                                      \
    "      --all           list all users online, 10000 at most\n"                                 \
    "      --node TAG      only this node\n"                                                       \
    "      --no-rates      do not wait a second for rates\n"                                       \
    "      --help          this text\n"                                                            \
    "\n"                                                                                           \
    "Exit status: 0 every node serves, 1 v2sp cannot be reached, or has no such node, 2 used\n"    \
    "wrongly, 3 a node does not serve.\n"                                                          \
    "\n"                                                                                           \
    "See also: v2sp top, v2sp spool list\n"

#define NOT_SERVING 3

static void print_view(const struct json_t *doc, const char *node)
{
    struct status_style style = {.width = 100, .color = isatty(STDOUT_FILENO) != 0, .node = node};
    struct textbuf t;

    textbuf_init(&t);
    status_view(&t, doc, &style);
    fwrite(t.p, 1, t.len, stdout);
    textbuf_fini(&t);
}

static int show(const char *path, const struct status_ask *ask, bool json)
{
    struct admin_reply r;

    if (status_ask(path, ask, &r) != ST_OK || r.own_json == NULL || r.status != 200) {
        fprintf(stderr, "v2sp status: %s\n", r.problem[0] != '\0' ? r.problem : "no JSON answer");
        admin_reply_fini(&r);
        return 1;
    }
    if (ask->node != NULL && !status_has_node(r.own_json, ask->node)) {
        fprintf(stderr, "v2sp status: no node has the tag \"%s\"; see: v2sp status\n", ask->node);
        admin_reply_fini(&r);
        return 1;
    }
    if (json)
        fwrite(r.own_text, 1, r.len, stdout);
    else
        print_view(r.own_json, ask->node);
    int rc = status_all_serve(r.own_json) ? 0 : NOT_SERVING;
    admin_reply_fini(&r);
    return fflush(stdout) == 0 ? rc : 1;
}

static int run(int argc, char **argv)
{
    const char *config = NULL, *socket = NULL, *users = NULL;
    struct status_ask ask = {.users = STATUS_ASK_USERS, .rates = true};
    bool json = false, all = false, no_rates = false;
    char path[ADMIN_CLIENT_PATH_MAX];
    const struct cmd_option options[] = {{.name = "--config", .other = "-c", .value = &config},
                                         {.name = "--socket", .value = &socket},
                                         {.name = "--users", .value = &users},
                                         {.name = "--node", .value = &ask.node},
                                         {.name = "--json", .flag = &json},
                                         {.name = "--all", .flag = &all},
                                         {.name = "--no-rates", .flag = &no_rates},
                                         {0}};
    int count, rc = cmd_parse(&cmd_status, argc, argv, options, NULL, 0, &count);

    if (rc != CMD_GO_ON)
        return rc;
    if (users != NULL && !status_ask_number(users, STATUS_ASK_ALL, &ask.users))
        return cmd_misused(&cmd_status, "--users takes a number up to %u", STATUS_ASK_ALL);
    if (all)
        ask.users = STATUS_ASK_ALL;
    ask.rates = !no_rates;
    return show(admin_socket_path(path, config, socket), &ask, json);
}

const struct cmd cmd_status = {
    .name = "status", .summary = "what the running v2sp does", .usage = USAGE, .run = run};
