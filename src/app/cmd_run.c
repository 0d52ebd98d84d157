/* v2sp run (also spelled server): serves the nodes of a configuration file until it is told to
 * stop. */
#include <stdio.h>
#include <string.h>

#include "app/cmd.h"
#include "app/service.h"
#include "app/successor.h"
#include "control/config.h"
#include "control/config_fetch.h"
#include "io/loop.h"

#define USAGE                                                                                      \
    "Usage: v2sp run [-c FILE]\n"                                                                  \
    "\n"                                                                                           \
    "Serves the nodes of FILE (default " CONFIG_FILE_DEFAULT ") until stopped.\n"                  \
    "\n"                                                                                           \
    "  -c, --config FILE   configuration: JSON, comments and trailing commas allowed\n"            \
    "      --help          this text\n"                                                            \
    "\n"                                                                                           \
    "A panel that does not answer stops nothing: nodes start with what the panel said last,\n"     \
    "kept in StateDir, and go on asking.\n"                                                        \
    "\n"                                                                                           \
    "signals:\n"                                                                                   \
    "  HUP         read the configuration again and apply the difference\n"                        \
    "  TERM, INT   stop accepting, report traffic a last time, exit; twice: exit at once\n"        \
    "  USR1        open the log files anew\n"                                                      \
    "  USR2        start the program's file anew, hand it the ports, drain, exit\n"                \
    "\n"                                                                                           \
    "See also: v2sp check -c FILE\n"

struct running {
    struct service service; /* first: reload gets the service */
    const char *path;
};

static const struct config *load(const char *path)
{
    const struct config *cfg = NULL;
    struct config_env_io io = {.fetch = config_fetch};
    if (config_load(path, &io, &cfg) == ST_E_NOMEM)
        return NULL;
    return cfg;
}

static void reload(struct service *s)
{
    struct running *r = (struct running *)(void *)s;
    const struct config *cfg = load(r->path);
    if (cfg == NULL)
        return;
    if (service_log_findings(&s->log, cfg)) {
        service_apply(s, cfg);
        log_line(&s->log, LOG_INFO, NULL, "%s read again: %zu nodes", r->path, cfg->node_count);
    } else {
        log_line(&s->log, LOG_ERROR, NULL, "%s has errors: going on with the old configuration",
                 r->path);
    }
    config_unref(cfg);
}

/* Without one usable node there is nothing to serve, and starting would hide the mistake. */
static bool say_fatal(const struct config *cfg, const char *path)
{
    char text[1024];
    if (cfg->node_count > 0)
        return false;
    for (size_t i = 0; i < cfg->finding_count; i++)
        fprintf(stderr, "%s\n", config_finding_str(&cfg->findings[i], text, sizeof(text)));
    fprintf(stderr, "v2sp run: %s: no usable node; see: v2sp check -c %s\n", path, path);
    return true;
}

static int serve(const char *argv0, const char *path)
{
    struct running r = {.path = path};
    struct successor *successor;
    const char *reason;
    if (successor_take(&successor, &reason) != ST_OK) {
        fprintf(stderr, "v2sp run: %s\n", reason);
        return 1;
    }
    const struct config *cfg = load(path);
    if (cfg == NULL) {
        fprintf(stderr, "v2sp run: out of memory\n");
        successor_free(successor);
        return 1;
    }
    int rc = 1;
    if (say_fatal(cfg, path)) {
        successor_free(successor);
        goto out;
    }
    enum status st = service_init(&r.service, cfg);
    r.service.successor = successor;
    r.service.argv0 = argv0;
    if (st == ST_OK) {
        service_log_findings(&r.service.log, cfg);
        r.service.on_reload = reload;
        if (service_start(&r.service, cfg) == ST_OK) {
            loop_run(r.service.loop);
            rc = 0;
        }
    }
    service_fini(&r.service);
out:
    config_unref(cfg);
    return rc;
}

static int run(int argc, char **argv)
{
    const char *path = CONFIG_FILE_DEFAULT;
    bool watch; /* of the Go program, which reloads when the file changes; here SIGHUP does */
    const struct cmd_option options[] = {{.name = "--config", .other = "-c", .value = &path},
                                         {.name = "--watch", .other = "-w", .flag = &watch},
                                         {0}};
    int count, rc = cmd_parse(&cmd_run, argc, argv, options, NULL, 0, &count);
    /* The command's name stands behind the program's. */
    return rc == CMD_GO_ON ? serve(argv[-1], path) : rc;
}

const struct cmd cmd_run = {.name = "run",
                            .summary = "serve the nodes of a configuration file",
                            .usage = USAGE,
                            .run = run};
const struct cmd cmd_server = {
    .name = "server", .summary = "the same as run", .usage = USAGE, .run = run};
