/* v2sp run (also spelled server): serves the nodes of a configuration file until it is told to
 * stop. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cmd.h"
#include "app/notify.h"
#include "app/pid_file.h"
#include "app/service.h"
#include "app/successor.h"
#include "control/config/config.h"
#include "control/config/config_fetch.h"
#include "io/file_watch.h"
#include "io/loop.h"

#define SETTLE_MS 1000 /* what writes several files is to be done before they are read */

#define USAGE                                                                                      \
    "Usage: v2sp run [-c FILE] [options]\n"                                                        \
    "\n"                                                                                           \
    "Serves the nodes of FILE (default " CONFIG_FILE_DEFAULT ") until stopped.\n"                  \
    "\n"                                                                                           \
    "  -c, --config FILE   configuration: JSON, comments and trailing commas allowed\n"            \
    "  -w, --watch=BOOL    reload when FILE, what it includes or a certificate changes\n"          \
    "                      (default true)\n"                                                       \
    "      --pid-file FILE write the number of the process that serves there\n"                    \
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
    "See also: v2sp check -c FILE, v2sp upgrade --help\n"

struct running {
    struct service service; /* first: callbacks get the service */
    const char *path, *pid_file;
    bool wants_watch;
    bool serving; /* systemd is told of this process, and of no other */
    struct file_watch *watch;
    const struct config *first;  /* what it was started with; serve's */
    const struct config *config; /* reference: what the watched files say */
};

static struct running *running_of(struct service *s)
{
    return (struct running *)(void *)s;
}

static const struct config *load(const char *path)
{
    const struct config *cfg = NULL;
    struct config_env_io io = {.fetch = config_fetch};
    if (config_load(path, &io, &cfg) == ST_E_NOMEM)
        return NULL;
    return cfg;
}

/* ---- watching the files ---- */

static void on_files_changed(void *arg)
{
    struct running *r = arg;
    log_line(&r->service.log, LOG_INFO, NULL, "files have changed: reload");
    service_reload(&r->service);
}

/* Writes the files of @cfg behind the @count of @paths (NULL: only counts); returns how many there
 * are. */
static size_t add_sources(const struct config *cfg, const char **paths, size_t count)
{
    for (const struct config_source *s = cfg->sources; s != NULL; s = s->next, count++)
        if (paths != NULL)
            paths[count] = s->path;
    return count;
}

/* Watches the files of the configuration in use, and of @broken (or NULL), for one that it includes
 * may be what is wrong. */
static void follow_files(struct running *r, const struct config *broken)
{
    const struct log *lg = &r->service.log;
    size_t count = add_sources(r->config, NULL, 0);
    int err = 0;
    if (r->watch == NULL)
        return;
    if (broken != NULL)
        count = add_sources(broken, NULL, count);
    const char **paths = calloc(count + 1, sizeof(*paths));
    if (paths == NULL)
        return;
    count = add_sources(r->config, paths, 0);
    if (broken != NULL)
        count = add_sources(broken, paths, count);
    enum status st = file_watch_set(r->watch, paths, count, &err);
    free(paths);
    if (st == ST_OK)
        log_line(lg, LOG_DEBUG, NULL, "watching %zu files in %zu directories", count,
                 file_watch_count(r->watch));
    else
        log_line(lg, LOG_WARNING, NULL, "not all files can be watched (%s): SIGHUP reloads",
                 st == ST_E_IO ? strerror(err) : status_str(st));
}

static void watch_files(struct running *r)
{
    if (!r->wants_watch)
        return;
    r->watch = file_watch_new(r->service.loop, SETTLE_MS, on_files_changed, r);
    if (r->watch == NULL)
        log_line(&r->service.log, LOG_WARNING, NULL, "files cannot be watched (%s): SIGHUP reloads",
                 strerror(errno));
    follow_files(r, NULL);
}

static void use_config(struct running *r, const struct config *cfg)
{
    const struct config *old = r->config;
    r->config = cfg != NULL ? config_ref(cfg) : NULL;
    config_unref(old);
}

/* ---- what the service tells ---- */

static void say_what_waits(struct running *r, const struct config *cfg)
{
    char keys[CONFIG_AT_START_MAX];

    if (config_at_start_str(r->first, cfg, keys)[0] != '\0')
        log_line(&r->service.log, LOG_WARNING, NULL, "%s: the change of %s waits for a restart",
                 r->path, keys);
}

static void reload(struct service *s)
{
    struct running *r = running_of(s);
    const struct config *cfg = load(r->path);
    if (cfg == NULL)
        return;
    if (r->serving)
        notify_reloading();
    bool good = service_log_findings(&s->log, cfg);
    /* A file without a node is one that is not written yet, as at the start. */
    if (good && cfg->node_count > 0) {
        service_apply(s, cfg);
        say_what_waits(r, cfg);
        use_config(r, cfg);
        follow_files(r, NULL);
        log_line(&s->log, LOG_INFO, NULL, "%s read again: %zu nodes", r->path, cfg->node_count);
    } else {
        log_line(&s->log, LOG_ERROR, NULL, "%s has %s: going on with the old configuration",
                 r->path, good ? "no node" : "errors");
        follow_files(r, cfg);
    }
    config_unref(cfg);
    if (r->serving)
        notify_ready();
}

static void on_serving(struct service *s)
{
    struct running *r = running_of(s);
    r->serving = true;
    if (r->pid_file != NULL && pid_file_write(r->pid_file) != ST_OK)
        log_line(&s->log, LOG_ERROR, NULL, "cannot write %s: %s", r->pid_file, strerror(errno));
    notify_ready();
}

static void stop_watching(struct running *r)
{
    file_watch_free(r->watch);
    r->watch = NULL;
}

static void on_replaced(struct service *s)
{
    struct running *r = running_of(s);
    stop_watching(r);
    r->serving = false;
}

/* systemd does not see the end of a process that is our child, and would wait for ever. */
static void on_lost(struct service *s)
{
    if (!notify_is_heard())
        return;
    log_line(&s->log, LOG_ERROR, NULL, "this process ends as failed, for systemd to start another");
    notify_ready();
    service_stop(s);
}

static void on_stop(struct service *s)
{
    struct running *r = running_of(s);
    stop_watching(r);
    if (r->serving)
        notify_stopping();
}

/* ---- life ---- */

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

/* A node that is left out for a mistake would lose its users: an upgrade is as strict as a
 * reload. */
static bool refuse_errors(const struct config *cfg, struct successor *own)
{
    char text[512];
    if (own == NULL || (cfg->errors == 0 && cfg->node_count > 0))
        return false;
    for (size_t i = 0; i < cfg->finding_count; i++) {
        if (cfg->findings[i].severity != CONFIG_ERROR)
            continue;
        successor_refuse(own, config_finding_str(&cfg->findings[i], text, sizeof(text)));
        return true;
    }
    successor_refuse(own, "the configuration has no usable node");
    return true;
}

static int serve_config(struct running *r, const struct config *cfg, const char *argv0,
                        struct successor *own)
{
    struct service *s = &r->service;
    enum status st = service_init(s, cfg);
    s->successor = own;
    s->argv0 = argv0;
    s->config_path = r->path;
    s->on_reload = reload;
    s->on_serving = on_serving;
    s->on_replaced = on_replaced;
    s->on_lost = on_lost;
    s->on_stop = on_stop;
    if (st == ST_OK) {
        service_log_findings(&s->log, cfg);
        r->first = cfg;
        use_config(r, cfg);
        watch_files(r);
        st = service_start(s, cfg);
    }
    if (st == ST_OK)
        loop_run(s->loop);
    stop_watching(r);
    use_config(r, NULL);
    bool failed = st != ST_OK || s->lost;
    service_fini(s);
    if (r->pid_file != NULL)
        pid_file_remove(r->pid_file);
    return failed ? 1 : 0;
}

static int serve(struct running *r, const char *argv0)
{
    struct successor *successor;
    const char *reason;
    if (successor_take(&successor, &reason) != ST_OK) {
        fprintf(stderr, "v2sp run: %s\n", reason);
        return 1;
    }
    const struct config *cfg = load(r->path);
    if (cfg == NULL)
        fprintf(stderr, "v2sp run: out of memory\n");
    int rc = 1;
    if (cfg != NULL && !refuse_errors(cfg, successor) && !say_fatal(cfg, r->path))
        rc = serve_config(r, cfg, argv0, successor);
    else
        successor_free(successor);
    config_unref(cfg);
    return rc;
}

static int run(int argc, char **argv)
{
    struct running r = {.path = CONFIG_FILE_DEFAULT, .wants_watch = true};
    const struct cmd_option options[] = {{.name = "--config", .other = "-c", .value = &r.path},
                                         {.name = "--watch", .other = "-w", .flag = &r.wants_watch},
                                         {.name = "--pid-file", .value = &r.pid_file},
                                         {0}};
    int count, rc = cmd_parse(&cmd_run, argc, argv, options, NULL, 0, &count);
    return rc == CMD_GO_ON ? serve(&r, argv[-1]) : rc;
}

const struct cmd cmd_run = {.name = "run",
                            .summary = "serve the nodes of a configuration file",
                            .usage = USAGE,
                            .run = run};
const struct cmd cmd_server = {
    .name = "server", .summary = "the same as run", .usage = USAGE, .run = run};
