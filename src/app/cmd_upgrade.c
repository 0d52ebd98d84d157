/* v2sp upgrade: a running v2sp is replaced by another program file without dropping anyone. */
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/admin_client.h"
#include "app/cmd.h"
#include "app/spawn.h"
#include "app/upgrade_request.h"
#include "base/textbuf.h"
#include "codec/json.h"
#include "control/config/config.h"

#define USAGE                                                                                      \
    "Usage: v2sp upgrade [BINARY] [options]\n"                                                     \
    "\n"                                                                                           \
    "Starts BINARY in the place of the v2sp that runs, without closing a port: when it is ready\n" \
    "the old process stops accepting, lets its connections go on for DrainTimeout of their "       \
    "node,\n"                                                                                      \
    "and ends. First BINARY checks the configuration that runs. If anything fails the old\n"       \
    "process goes on as if nothing had happened. Without BINARY: the file the running process\n"   \
    "was started from.\n"                                                                          \
    "\n"                                                                                           \
    "  -c, --config FILE   a configuration with its StateDir (default " CONFIG_FILE_DEFAULT ")\n"  \
    "      --socket PATH   its socket (default: control.sock in StateDir)\n"                       \
    "      --timeout N     seconds the new process has to get ready (default 30)\n"                \
    "      --help          this text\n"                                                            \
    "\n"                                                                                           \
    "Exit status: 0 the new process serves, 1 the old one goes on.\n"

/* What is checked, and by what. */
struct check {
    const char *binary, *config;
    const char *directory; /* NULL: the current one */
    struct admin_reply reply;
};

/* The running process knows which file it serves, whatever was named here, and from which file it
 * was started. One that does not say so (an older version) or does not run leaves it at what was
 * named. Root starts no file that a process with less rights names: this program checks then. */
static void ask_what(struct check *c, const char *socket, const char *binary)
{
    enum status st =
        admin_call(socket, "GET", UPGRADE_REQUEST_PATH, NULL, ADMIN_CLIENT_WAIT_MS, &c->reply);
    const struct json_t *v = c->reply.own_json;

    if (st != ST_OK || c->reply.status != 200)
        return;
    c->directory = json_get_str(v, "directory", NULL);
    c->config = json_get_str(v, "config", c->config);
    if (binary == NULL && (c->reply.uid == 0 || c->reply.uid == geteuid()))
        c->binary = json_get_str(v, "binary", c->binary);
}

/* As posix_spawn, there. */
static int start_in(const char *directory, const char *path, char **argv, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    int rc = posix_spawn_file_actions_init(&files);

    if (rc != 0)
        return rc;
    if (directory != NULL)
        rc = posix_spawn_file_actions_addchdir_np(&files, directory);
    if (rc == 0)
        rc = posix_spawn(pid, path, &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

/* Runs BINARY check -c FILE; what it says is for the user. */
static bool passes(const struct check *c)
{
    char *argv[] = {(char *)(uintptr_t)c->binary, (char[]){"check"}, (char[]){"-c"},
                    (char *)(uintptr_t)c->config, NULL};
    pid_t pid;
    int status = 0, rc = start_in(c->directory, c->binary, argv, &pid);

    if (rc != 0) {
        fprintf(stderr, "v2sp upgrade: cannot start %s: %s\n", c->binary, strerror(rc));
        return false;
    }
    if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    fprintf(stderr, "v2sp upgrade: %s check -c %s failed: the running process goes on\n", c->binary,
            c->config);
    return false;
}

static int ask(const char *socket, const char *binary, uint32_t timeout_s)
{
    struct textbuf body;
    struct admin_reply reply;
    int rc = 1;

    textbuf_init(&body);
    textbuf_printf(&body, "{\"timeout\":%u", timeout_s);
    if (binary != NULL) {
        textbuf_puts(&body, ",\"binary\":");
        textbuf_json(&body, binary);
    }
    textbuf_put(&body, "}", 2); /* with its NUL */
    if (body.failed) {
        fprintf(stderr, "v2sp upgrade: no memory\n");
        textbuf_fini(&body);
        return 1;
    }
    enum status st = admin_call(socket, "POST", UPGRADE_REQUEST_PATH, body.p,
                                timeout_s * 1000 + UPGRADE_REQUEST_MORE_MS, &reply);
    if (st == ST_OK && reply.status == 200) {
        printf("%s\n", json_get_str(reply.own_json, "text", "done"));
        rc = 0;
    } else {
        fprintf(stderr, "v2sp upgrade: %s\n", reply.problem);
    }
    if (st == ST_E_NOTFOUND)
        fprintf(stderr, "If v2sp runs elsewhere: kill -USR2 PID does the same.\n");
    admin_reply_fini(&reply);
    textbuf_fini(&body);
    return rc;
}

static int run(int argc, char **argv)
{
    const char *config = CONFIG_FILE_DEFAULT, *socket = NULL, *timeout = "30", *words[1];
    const struct cmd_option options[] = {{.name = "--config", .other = "-c", .value = &config},
                                         {.name = "--socket", .value = &socket},
                                         {.name = "--timeout", .value = &timeout},
                                         {0}};
    char path[ADMIN_CLIENT_PATH_MAX], own[SPAWN_PATH_MAX], full[PATH_MAX];
    int count, rc = cmd_parse(&cmd_upgrade, argc, argv, options, words, 1, &count);

    if (rc != CMD_GO_ON)
        return rc;
    char *end;
    long timeout_s = strtol(timeout, &end, 10);
    if (*end != '\0' || timeout_s < 1 || timeout_s > UPGRADE_REQUEST_TIMEOUT_S)
        return cmd_misused(&cmd_upgrade, "--timeout is 1 to %d seconds", UPGRADE_REQUEST_TIMEOUT_S);
    if (count > 0 && realpath(words[0], full) == NULL) {
        perror(words[0]);
        return 1;
    }
    /* In full: it may be started in another directory. */
    if (count == 0 && (spawn_own_path(argv[-1], own) != ST_OK || realpath(own, full) == NULL)) {
        fprintf(stderr, "v2sp upgrade: the program's file is not to be found\n");
        return 1;
    }
    const char *binary = count > 0 ? full : NULL;
    struct check check = {.binary = full, .config = config};
    admin_socket_path(path, config, socket);
    ask_what(&check, path, binary);
    bool good = passes(&check);
    admin_reply_fini(&check.reply);
    return good ? ask(path, binary, (uint32_t)timeout_s) : 1;
}

const struct cmd cmd_upgrade = {.name = "upgrade",
                                .summary = "replace the running program, dropping nobody",
                                .usage = USAGE,
                                .run = run};
