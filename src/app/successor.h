/* app/successor.h - the new process's half of an upgrade: takes the listening sockets of the one
 * that started it, says when its nodes are ready, and serves when that one has stopped accepting
 * (docs/internals/upgrade.md). The other half: app/upgrade.h. Control thread.
 *
 * Life: successor_take -> make workers with successor_sockets and a controller that is held ->
 * successor_watch -> conf.begin -> conf.report -> successor_free. */
#ifndef APP_SUCCESSOR_H
#define APP_SUCCESSOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct controller;
struct controller_device;
struct controller_streams;
struct controller_user;
struct handoff;
struct log;
struct loop;
struct successor;

struct successor_conf {
    struct loop *loop;
    const struct log *log;
    struct controller *controller;
    void (*begin)(void *arg); /* the other process has stopped accepting, or is gone: serve */
    void *arg;
};

/* Was this process started by an upgrade? Then waits for all that is handed over, at most 10 s.
 * ST_OK, *@out NULL: it was not. An error (ST_E_IO, ST_E_NOMEM, ST_E_UNSUPPORTED, ST_E_TIMEOUT and
 * those of upgrade_recv): it was, but *@reason went wrong, which the other process was told; this
 * one must end. */
NODISCARD enum status successor_take(struct successor **out, const char **reason);
/* This process cannot serve: tells the other one why. It is to end. */
void successor_refuse(struct successor *s, const char *text);
/* Closes what was not taken. After the workers have ended. NULL is fine. */
void successor_free(struct successor *s);
/* For workers_conf; the successor's. */
struct handoff *successor_sockets(struct successor *s);
/* From now on follows the other process, and tells it when this one is ready. ST_OK; ST_E_CONFIG:
 * this one has another state database, which was told; ST_E_IO. */
NODISCARD enum status successor_watch(struct successor *s, const struct successor_conf *conf);

/* For controller_setup.listens and .removed: a node listens; users are gone, also for sessions of
 * the other process. */
void successor_look(struct successor *s);
void successor_removed(struct successor *s, const struct controller_user *list, size_t count);
/* For controller_setup.put_out: devices have lost their places, also there. */
void successor_put_out(struct successor *s, const struct controller_device *list, size_t count);
/* For controller_setup.grant: so many streams may stay in the other process. */
void successor_grant(struct successor *s, const struct controller_streams *list, size_t count);

#endif
