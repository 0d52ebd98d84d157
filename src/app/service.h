/* app/service.h - the running program: both planes, wired. Used by `v2sp run` and, with an embedded
 * panel beside it, by `v2sp demo`.
 *
 * Life: service_init -> service_start -> loop_run(service_loop) -> service_fini. The loop stops
 * by itself after service_stop. */
#ifndef APP_SERVICE_H
#define APP_SERVICE_H

#include <stdbool.h>

#include "app/logfile.h"
#include "base/log.h"
#include "base/status.h"
#include "control/controller.h"
#include "io/signals.h"
#include "policy/plane.h"

struct config;
struct crypto_ctx;
struct loop;
struct rng;
struct successor;
struct upgrade;
struct workers;

struct service {
    struct loop *loop;
    struct signals signals;
    bool signals_on;
    struct logfile *logfile, *access; /* access: NULL while there is no access log */
    struct log log;
    struct plane plane;
    unsigned worker_count;
    struct rng *rngs;
    struct crypto_ctx *cryptos;
    unsigned cryptos_made;
    struct workers *workers;
    struct controller *controller;
    uint32_t drain_ms;
    bool stopping;
    const char *argv0;            /* as the program was started; NULL: it cannot be upgraded */
    const char *config_path;      /* with argv0: as the file was named then */
    struct successor *successor;  /* NULL: no upgrade has started this process */
    const struct config *waiting; /* what it begins with when the other process stops accepting */
    struct upgrade *upgrade;
    bool reload_later;                    /* asked for while an upgrade was under way */
    bool lost;                            /* the process that served in our place has failed */
    void (*on_reload)(struct service *);  /* SIGHUP; NULL: nothing to reload */
    void (*on_serving)(struct service *); /* told once when connections are accepted; may be NULL */
    void (*on_stop)(struct service *);    /* told once when stopping begins; may be NULL */
    void (*on_replaced)(struct service *); /* told when another process serves in our place */
    void (*on_lost)(struct service *);     /* told when that one has failed; may be NULL */
};

/* Makes the log, the loop and the signals as @cfg says. ST_OK, or an error already said on standard
 * error. */
NODISCARD enum status service_init(struct service *s, const struct config *cfg);
/* Raises the limit of open files, starts workers and controller, applies @cfg. With a successor
 * (the service's from now on) nothing is accepted before the process that has started this one
 * says so. ST_OK, or an error already logged. */
NODISCARD enum status service_start(struct service *s, const struct config *cfg);
/* Uses what may change in a running process: nodes, log level. */
void service_apply(struct service *s, const struct config *cfg);
/* SIGHUP: on_reload, or later if an upgrade is under way. */
void service_reload(struct service *s);
/* Stops accepting, reports a last time, then stops the loop. A second call exits at once. */
void service_stop(struct service *s);
/* Safe after any failure above. */
void service_fini(struct service *s);

/* Logs the findings of a configuration; returns false if it must not be used. */
bool service_log_findings(const struct log *lg, const struct config *cfg);

#endif
