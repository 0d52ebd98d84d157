#include "app/service.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "app/successor.h"
#include "app/upgrade.h"
#include "app/upgrade_request.h"
#include "control/admin/admin.h"
#include "control/config/config.h"
#include "control/controller_upgrade.h"
#include "crypto/ctx.h"
#include "crypto/rng.h"
#include "io/loop.h"
#include "session/workers.h"

#define PUSH_DEADLINE_MS 5000
#define NOFILE_WANTED    1000000 /* as the systemd unit asks for */
#define FDS_KEPT         64      /* for files, panels, the database */
#define WORKER_FDS       64      /* pipes of splice, listeners, the resolver's sockets */
#define SESSION_FDS      2       /* client and target */
#define SESSION_BUDGET   16384   /* bytes of MemoryBudget a session is reckoned with */

static uint64_t wall_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

bool service_log_findings(const struct log *lg, const struct config *cfg)
{
    static const enum log_level levels[] = {LOG_ERROR, LOG_WARNING, LOG_INFO};
    char text[1024];
    for (size_t i = 0; i < cfg->finding_count; i++)
        log_line(lg, levels[cfg->findings[i].severity], NULL, "%s",
                 config_finding_str(&cfg->findings[i], text, sizeof(text)));
    return cfg->errors == 0;
}

/* The limit of open files bounds connections. The hard limit is ours to use, and root may raise
 * that too. */
static size_t raise_nofile(void)
{
    struct rlimit lim, wanted = {NOFILE_WANTED, NOFILE_WANTED};
    if (getrlimit(RLIMIT_NOFILE, &lim) != 0)
        return 1024;
    if (lim.rlim_max < NOFILE_WANTED && setrlimit(RLIMIT_NOFILE, &wanted) == 0)
        return NOFILE_WANTED;
    lim.rlim_cur = lim.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &lim) != 0)
        getrlimit(RLIMIT_NOFILE, &lim);
    return lim.rlim_cur == RLIM_INFINITY ? 1u << 20 : (size_t)lim.rlim_cur;
}

static size_t memory_budget(const struct config *cfg)
{
    if (cfg->memory_budget)
        return (size_t)cfg->memory_budget;
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (size_t)pages * (size_t)size / 2 : (size_t)256 << 20;
}

static void on_stopped(void *arg)
{
    struct service *s = arg;
    log_line(&s->log, LOG_INFO, NULL, "stopped");
    loop_stop(s->loop);
}

void service_stop(struct service *s)
{
    if (s->stopping) {
        log_line(&s->log, LOG_WARNING, NULL,
                 "stopping at once; what is not reported yet stays in the spool");
        loop_stop(s->loop);
        return;
    }
    s->stopping = true;
    if (s->upgrade)
        upgrade_abort(s->upgrade);
    log_line(&s->log, LOG_INFO, NULL, "stopping: no new connections, a last report to each panel");
    if (s->on_stop)
        s->on_stop(s);
    if (s->workers)
        workers_stop_accepting(s->workers);
    if (s->controller)
        controller_stop(s->controller, s->drain_ms, PUSH_DEADLINE_MS, on_stopped, s);
    else
        loop_stop(s->loop);
}

static void reopen_logs(struct service *s)
{
    struct logfile *files[] = {s->logfile, s->access};
    for (size_t i = 0; i < 2; i++) {
        struct why why = {0};
        if (files[i] && logfile_reopen(files[i], &why) != ST_OK)
            log_line(&s->log, LOG_ERROR, NULL, "cannot reopen a log file: %s",
                     strerror((int)why.number));
    }
    log_line(&s->log, LOG_INFO, NULL, "log files reopened");
}

void service_reload(struct service *s)
{
    if (s->upgrade && upgrade_is_under_way(s->upgrade)) {
        log_line(&s->log, LOG_INFO, NULL, "reload: waits for the upgrade that is under way");
        s->reload_later = true;
    } else if (s->on_reload && !s->stopping) {
        s->on_reload(s);
    }
}

static void on_signal(struct signals *sig, int signo)
{
    struct service *s = LIST_ENTRY(sig, struct service, signals);
    switch (signo) {
    case SIGHUP:
        service_reload(s);
        return;
    case SIGUSR1:
        reopen_logs(s);
        return;
    case SIGUSR2:
        if (s->upgrade)
            upgrade_start(s->upgrade, NULL, UPGRADE_READY_MS, NULL, NULL);
        else
            log_line(&s->log, LOG_WARNING, NULL, "SIGUSR2: only v2sp run can be upgraded");
        return;
    default:
        service_stop(s);
    }
}

static enum status open_log(struct logfile **file, const struct logfile_conf *conf)
{
    struct why why = {0};
    *file = logfile_new();
    if (*file == NULL)
        return ST_E_NOMEM;
    enum status st = logfile_configure(*file, conf, &why);
    if (st != ST_OK)
        fprintf(stderr, "v2sp: cannot write the log file %s: %s; logging to standard error\n",
                conf->path, strerror((int)why.number));
    return ST_OK;
}

static enum status open_logs(struct service *s, const struct config_log *cl)
{
    struct logfile_conf conf = {.path = cl->output,
                                .max_size_mb = cl->max_size_mb,
                                .max_backups = cl->max_backups,
                                .max_age_days = cl->max_age_days};
    enum status st = open_log(&s->logfile, &conf);
    if (st != ST_OK)
        return st;
    s->log = (struct log){.sink = logfile_sink(s->logfile),
                          .level = (int)cl->level,
                          .json = cl->json,
                          .wall_us = wall_us};
    if (cl->access[0] == '\0')
        return ST_OK;
    conf.path = cl->access;
    return open_log(&s->access, &conf);
}

enum status service_init(struct service *s, const struct config *cfg)
{
    memset(s, 0, sizeof(*s));
    enum status st = open_logs(s, &cfg->log);
    if (st != ST_OK)
        goto out;
    s->drain_ms = cfg->drain_ms;
    s->loop = loop_new();
    if (s->loop == NULL) {
        st = ST_E_IO;
        goto out;
    }
    st = signals_init(&s->signals, s->loop, on_signal);
    s->signals_on = st == ST_OK;
out:
    if (st != ST_OK)
        fprintf(stderr, "v2sp: cannot start: %s\n", status_str(st));
    return st;
}

static enum status make_tools(struct service *s)
{
    s->rngs = calloc(s->worker_count, sizeof(*s->rngs));
    s->cryptos = calloc(s->worker_count, sizeof(*s->cryptos));
    if (s->rngs == NULL || s->cryptos == NULL)
        return ST_E_NOMEM;
    for (unsigned i = 0; i < s->worker_count; i++) {
        enum status st = rng_init(&s->rngs[i]);
        if (st == ST_OK)
            st = crypto_ctx_init(&s->cryptos[i]);
        if (st != ST_OK)
            return st;
        s->cryptos_made++;
    }
    return ST_OK;
}

static enum status make_workers(struct service *s, const struct config *cfg)
{
    struct rng *rngs[WORKERS_MAX];
    struct crypto_ctx *cryptos[WORKERS_MAX];
    struct meter meters[WORKERS_MAX];
    for (unsigned i = 0; i < s->worker_count; i++) {
        rngs[i] = &s->rngs[i];
        cryptos[i] = &s->cryptos[i];
        meters[i] = *controller_meter(s->controller, i);
    }
    size_t fds = raise_nofile(), budget = memory_budget(cfg);
    size_t kept = FDS_KEPT + (size_t)s->worker_count * WORKER_FDS;
    size_t by_fds = fds > kept ? (fds - kept) / SESSION_FDS : 16;
    size_t by_memory = budget / SESSION_BUDGET;
    struct workers_conf conf = {.count = s->worker_count,
                                .control = s->loop,
                                .sink = controller_sink(s->controller),
                                .log = &s->log,
                                .access = s->access ? logfile_sink(s->access) : NULL,
                                .meters = meters,
                                .rngs = rngs,
                                .cryptos = cryptos,
                                .memory_budget = budget,
                                .handoff = s->successor ? successor_sockets(s->successor) : NULL,
                                .sessions_max = by_fds < by_memory ? by_fds : by_memory};
    enum status st = workers_new(&conf, &s->workers);
    if (st == ST_OK)
        log_line(&s->log, LOG_INFO, NULL,
                 "v2sp %s: %u workers, at most %zu connections, %zu MiB of buffers", V2SP_VERSION,
                 s->worker_count, conf.sessions_max, budget >> 20);
    return st;
}

static unsigned pick_worker_count(const struct config *cfg)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = cfg->workers ? cfg->workers : cores > 0 ? (unsigned)cores : 1;
    return n > WORKERS_MAX ? WORKERS_MAX : n;
}

/* ---- an upgrade ---- */

static void on_upgrade_ended(void *arg, bool leaving)
{
    struct service *s = arg;
    bool reload = s->reload_later;
    s->reload_later = false;
    s->stopping |= leaving;
    if (leaving && s->on_replaced)
        s->on_replaced(s);
    if (reload && leaving)
        kill(upgrade_pid(s->upgrade), SIGHUP);
    else if (reload)
        service_reload(s);
}

static void on_left(void *arg)
{
    struct service *s = arg;
    log_line(&s->log, LOG_INFO, NULL, "upgrade: nothing is left to do here");
    loop_stop(s->loop);
}

static void on_lost(void *arg)
{
    struct service *s = arg;
    s->lost = true;
    if (s->on_lost)
        s->on_lost(s);
}

static void begin(void *arg)
{
    struct service *s = arg;
    workers_release(s->workers);
    controller_begin(s->controller, s->waiting);
    admin_open(controller_admin(s->controller));
    config_unref(s->waiting);
    s->waiting = NULL;
    if (s->on_serving)
        s->on_serving(s);
}

static void on_listens(void *arg)
{
    struct service *s = arg;
    if (s->successor)
        successor_look(s->successor);
}

static void on_removed(void *arg, const struct controller_user *list, size_t count)
{
    struct service *s = arg;
    if (s->successor)
        successor_removed(s->successor, list, count);
}

static void on_left_online(void *arg, const struct controller_user *list, size_t count)
{
    struct service *s = arg;
    if (s->upgrade)
        upgrade_left_online(s->upgrade, list, count);
}

static void on_present(void *arg, const struct controller_present *list, size_t count)
{
    struct service *s = arg;
    if (s->upgrade)
        upgrade_present(s->upgrade, list, count);
}

static void on_grant(void *arg, const struct controller_streams *list, size_t count)
{
    struct service *s = arg;
    if (s->successor)
        successor_grant(s->successor, list, count);
}

static void on_put_out(void *arg, const struct controller_device *list, size_t count)
{
    struct service *s = arg;
    if (s->successor)
        successor_put_out(s->successor, list, count);
}

static enum status follow(struct service *s, const struct config *cfg)
{
    const struct successor_conf conf = {
        .loop = s->loop, .log = &s->log, .controller = s->controller, .begin = begin, .arg = s};
    s->waiting = config_ref(cfg);
    return successor_watch(s->successor, &conf);
}

static enum status offer_upgrade(struct service *s)
{
    const struct upgrade_setup setup = {.loop = s->loop,
                                        .log = &s->log,
                                        .controller = s->controller,
                                        .workers = s->workers,
                                        .argv0 = s->argv0,
                                        .config_path = s->config_path,
                                        .ended = on_upgrade_ended,
                                        .on_left = on_left,
                                        .on_lost = on_lost,
                                        .arg = s};
    if (s->argv0 == NULL)
        return ST_OK;
    s->upgrade = upgrade_new(&setup);
    if (s->upgrade == NULL)
        return ST_E_NOMEM;
    upgrade_request_add(controller_admin(s->controller), s->upgrade);
    return ST_OK;
}

enum status service_start(struct service *s, const struct config *cfg)
{
    s->worker_count = pick_worker_count(cfg);
    s->plane.workers = s->worker_count;
    enum status st = make_tools(s);
    if (st != ST_OK)
        goto out;
    struct controller_setup setup = {.loop = s->loop,
                                     .log = &s->log,
                                     .plane = &s->plane,
                                     .state_dir = cfg->state_dir,
                                     .held = s->successor != NULL,
                                     .listens = on_listens,
                                     .removed = on_removed,
                                     .left_online = on_left_online,
                                     .present = on_present,
                                     .grant = on_grant,
                                     .put_out = on_put_out,
                                     .arg = s};
    s->controller = controller_new(&setup);
    st = s->controller ? make_workers(s, cfg) : ST_E_NOMEM;
    if (st != ST_OK)
        goto out;
    workers_plane(s->workers, &s->plane);
    if ((st = offer_upgrade(s)) != ST_OK)
        goto out;
    st = controller_apply(s->controller, cfg);
    if (s->successor) {
        enum status followed = follow(s, cfg);
        st = followed != ST_OK ? followed : st;
    } else {
        admin_open(controller_admin(s->controller));
        if (s->on_serving)
            s->on_serving(s);
    }
out:
    if (st != ST_OK)
        log_line(&s->log, LOG_ERROR, NULL, "cannot start: %s", status_str(st));
    return st == ST_E_LIMIT ? ST_OK : st;
}

void service_apply(struct service *s, const struct config *cfg)
{
    s->drain_ms = cfg->drain_ms;
    __atomic_store_n((int *)&s->log.level, (int)cfg->log.level, __ATOMIC_RELAXED);
    struct logfile_conf conf = {.path = cfg->log.output,
                                .max_size_mb = cfg->log.max_size_mb,
                                .max_backups = cfg->log.max_backups,
                                .max_age_days = cfg->log.max_age_days};
    struct why why = {0};
    if (logfile_configure(s->logfile, &conf, &why) != ST_OK)
        log_line(&s->log, LOG_ERROR, NULL, "cannot write the log file %s: %s; the old one stays",
                 conf.path, strerror((int)why.number));
    if (s->waiting) {
        config_unref(s->waiting);
        s->waiting = config_ref(cfg);
    }
    enum status st = controller_apply(s->controller, cfg);
    if (st != ST_OK)
        log_line(&s->log, LOG_ERROR, NULL, "reload: %s", status_str(st));
}

void service_fini(struct service *s)
{
    workers_free(s->workers);
    upgrade_free(s->upgrade);
    controller_free(s->controller);
    successor_free(s->successor);
    config_unref(s->waiting);
    for (unsigned i = 0; i < s->cryptos_made; i++) {
        crypto_ctx_fini(&s->cryptos[i]);
        rng_fini(&s->rngs[i]);
    }
    free(s->cryptos);
    free(s->rngs);
    if (s->signals_on)
        signals_fini(&s->signals);
    loop_free(s->loop);
    logfile_free(s->access);
    logfile_free(s->logfile);
    memset(s, 0, sizeof(*s));
}
