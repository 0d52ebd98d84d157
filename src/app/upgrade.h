/* app/upgrade.h - the running process's half of an upgrade: starts a new one, hands it the
 * listening sockets, and leaves when that one serves (docs/internals/upgrade.md). The other half:
 * app/successor.h. Control thread.
 *
 *   IDLE --upgrade_start--> EXPORTING --> STARTING --READY--> YIELDING --> LEAVING --> on_left
 *     ^                                      | cannot start, ended, FAILED, not ready in time
 *     '-- the new process has ended -- ABORTING
 */
#ifndef APP_UPGRADE_H
#define APP_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct controller;
struct controller_present;
struct controller_user;
struct log;
struct loop;
struct upgrade;
struct workers;

/* Borrowed for its life. */
struct upgrade_setup {
    struct loop *loop;
    const struct log *log;
    struct controller *controller;
    struct workers *workers;
    const char *argv0;                      /* as the program was started */
    const char *config_path;                /* as its file was named */
    void (*ended)(void *arg, bool leaving); /* it is over: the new process serves, or has failed */
    void (*on_left)(void *arg);             /* nothing is left to do here */
    void (*on_lost)(void *arg);             /* the process that served in our place has failed */
    void *arg;
};

/* NULL: no memory. */
struct upgrade *upgrade_new(const struct upgrade_setup *setup);
/* After the workers have ended. A new process that is not ready yet ends. NULL is fine. */
void upgrade_free(struct upgrade *u);
#define UPGRADE_READY_MS 30000u
/* Starts @binary (NULL: the file this program was started from) in our place, which has @ready_ms
 * to get ready. @done (may be NULL) is told the outcome in words, once, perhaps from within. */
void upgrade_start(struct upgrade *u, const char *binary, uint32_t ready_ms,
                   void (*done)(void *arg, bool ok, const char *text), void *arg);
/* What a new process would read: the file's name is good in this process's directory; borrowed. */
const char *upgrade_config_path(const struct upgrade *u);
/* What upgrade_start would start without a binary; @dst takes SPAWN_PATH_MAX bytes. ST_OK or
 * ST_E_NOTFOUND. */
NODISCARD enum status upgrade_own_path(const struct upgrade *u, char *dst);
/* This process is to stop: a new one that is not ready yet ends, and none is started any more. */
void upgrade_abort(struct upgrade *u);
/* For controller_setup: these users were told online, and these are online on a node. */
void upgrade_left_online(struct upgrade *u, const struct controller_user *list, size_t count);
void upgrade_present(struct upgrade *u, const struct controller_present *list, size_t count);
/* Nobody waits for the outcome any more. */
void upgrade_forget(struct upgrade *u);
/* A new process is being started. */
bool upgrade_is_under_way(const struct upgrade *u);
/* The new process serves, this one drains. */
bool upgrade_is_leaving(const struct upgrade *u);
/* Its process; 0: there is none. */
int upgrade_pid(const struct upgrade *u);

#endif
