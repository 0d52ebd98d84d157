#include "app/upgrade.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/notify.h"
#include "app/spawn.h"
#include "app/upgrade_queue.h"
#include "app/upgrade_wire.h"
#include "base/log.h"
#include "control/controller_upgrade.h"
#include "io/loop.h"
#include "session/handoff.h"
#include "session/workers.h"

#define TERM_MS   5000     /* from SIGTERM to SIGKILL */
#define PUSH_MS   50       /* between looks whether a push has come to its end */
#define QUEUE_MAX 1000000u /* things that wait to be told */
#define LIST_MS   5000     /* between two lists of devices: half of what makes one quiet */

enum state { IDLE, EXPORTING, STARTING, YIELDING, LEAVING, ABORTING };

struct upgrade {
    struct upgrade_setup setup;
    enum state state;
    bool stopping; /* this process is to end */
    char binary[SPAWN_PATH_MAX];
    struct handoff *handoff;
    struct watch socket, child; /* fd -1: none */
    pid_t pid;                  /* 0: none, or waited for */
    struct timer timer;         /* READY, then SIGKILL */
    uint32_t ready_ms;
    struct timer push;
    struct timer list;
    /* What is still to be sent, in this order. */
    bool hello, nodes, end, devices, go, report;
    size_t next;                           /* socket of handoff; then of the devices */
    struct controller_device *device_list; /* with devices */
    size_t device_count;
    bool had_devices, had_cells; /* it was told some */
    bool memory;                 /* it is to get that of speed limits */
    struct upgrade_queue online, present, streams, cells;
    void (*done)(void *arg, bool ok, const char *text);
    void *done_arg;
};

/* ---- outcome --------------------------------------------------------------------------------- */

static void tell(struct upgrade *u, bool ok, const char *text)
{
    void (*done)(void *, bool, const char *) = u->done;

    u->done = NULL;
    if (done != NULL)
        done(u->done_arg, ok, text);
}

static void close_watch(struct upgrade *u, struct watch *w)
{
    int fd = w->fd;

    if (fd < 0)
        return;
    loop_watch_del(u->setup.loop, w);
    close(fd);
    w->fd = -1;
}

static void forget_child(struct upgrade *u)
{
    loop_timer_del(u->setup.loop, &u->timer);
    close_watch(u, &u->socket);
    close_watch(u, &u->child);
    handoff_free(u->handoff);
    u->handoff = NULL;
    u->pid = 0;
}

/* No process has copies of our descriptors any more: it has ended, or it runs. (That the spawn has
 * returned is not enough: the exec closes them a moment later.) */
static void unshare(struct upgrade *u)
{
    loop_files_shared(u->setup.loop, false);
    workers_unshare(u->setup.workers);
}

static void end_child(struct upgrade *u)
{
    if (u->pid == 0)
        return;
    kill(u->pid, SIGKILL);
    waitpid(u->pid, NULL, 0);
    u->pid = 0;
}

/* Goes on as if nothing had been. */
static void fail(struct upgrade *u, const char *why)
{
    char text[UPGRADE_TEXT_MAX + SPAWN_PATH_MAX];

    snprintf(text, sizeof(text), "%s: %s", u->binary, why);
    log_line(u->setup.log, LOG_ERROR, NULL, "upgrade failed%s: %s",
             u->stopping ? "" : ", this process goes on", text);
    controller_hold(u->setup.controller, false);
    u->state = ABORTING;
    if (u->pid != 0 && u->child.fd >= 0) {
        kill(u->pid, SIGTERM);
        loop_timer_in(u->setup.loop, &u->timer, TERM_MS);
    } else {
        end_child(u);
        forget_child(u);
        unshare(u);
        u->state = IDLE;
    }
    tell(u, false, text);
    u->setup.ended(u->setup.arg, false);
}

static void on_timer(struct timer *t)
{
    struct upgrade *u = LIST_ENTRY(t, struct upgrade, timer);

    if (u->state == ABORTING)
        kill(u->pid, SIGKILL);
    else if (u->state == STARTING)
        fail(u, "it was not ready in time; its own messages say why");
}

/* ---- sending --------------------------------------------------------------------------------- */

static enum status send_bare(struct upgrade *u, enum upgrade_type type)
{
    const struct upgrade_message m = {.type = type};
    return upgrade_send(u->socket.fd, &m);
}

static enum status send_hello(struct upgrade *u)
{
    const struct upgrade_message m = {
        .type = UPGRADE_HELLO, .count = 1, .state = controller_state_id(u->setup.controller)};
    return upgrade_send(u->socket.fd, &m);
}

static enum status send_nodes(struct upgrade *u)
{
    struct upgrade_message m = {.type = UPGRADE_NODES};
    m.count = controller_listening(u->setup.controller, m.rows);
    return upgrade_send(u->socket.fd, &m);
}

static enum status send_sockets(struct upgrade *u)
{
    struct upgrade_message m = {.type = UPGRADE_SOCKETS};
    size_t i = u->next;

    for (; i < handoff_count(u->handoff) && m.count < UPGRADE_SOCKETS_MAX; i++) {
        m.sockets[m.count].fd = handoff_peek(u->handoff, i, &m.sockets[m.count].key);
        m.count++;
    }
    enum status st = upgrade_send(u->socket.fd, &m);
    if (st == ST_OK)
        u->next = i;
    return st;
}

static enum status send_devices(struct upgrade *u)
{
    struct upgrade_message m = {.type = UPGRADE_DEVICES};
    size_t left = u->device_count - u->next;

    m.count = left < CONTROLLER_DEVICES_MAX ? left : CONTROLLER_DEVICES_MAX;
    if (m.count > 0)
        memcpy(m.devices, u->device_list + u->next, m.count * sizeof(m.devices[0]));
    enum status st = upgrade_send(u->socket.fd, &m);
    if (st != ST_OK)
        return st;
    u->next += m.count;
    u->devices = m.count > 0; /* an empty one ends the list */
    return st;
}

static enum status send_memory(struct upgrade *u)
{
    const struct upgrade_message m = {
        .type = UPGRADE_MEMORY, .count = 1, .memory = controller_speed_fd(u->setup.controller)};
    enum status st = upgrade_send(u->socket.fd, &m);

    u->memory = st != ST_OK;
    return st;
}

/* What goes to a process that serves, or is to: it begins with what counts here, and reports
 * when it knows who is online here. */
static enum status send_rest(struct upgrade *u)
{
    int fd = u->socket.fd;
    enum status st = upgrade_queue_send(&u->streams, fd);

    if (st == ST_MORE && u->memory)
        return send_memory(u);
    if (st == ST_MORE)
        st = upgrade_queue_send(&u->cells, fd);
    if (st == ST_MORE && u->go) {
        st = send_bare(u, UPGRADE_GO);
        u->go = st != ST_OK;
        return st;
    }
    if (st == ST_MORE)
        st = upgrade_queue_send(&u->present, fd);
    if (st == ST_MORE)
        st = upgrade_queue_send(&u->online, fd);
    if (st == ST_MORE && u->report) {
        st = send_bare(u, UPGRADE_REPORT);
        u->report = st != ST_OK;
    }
    return st; /* ST_MORE: nothing is due */
}

static enum status send_next(struct upgrade *u)
{
    const struct {
        bool *due;
        enum status (*fn)(struct upgrade *);
        enum upgrade_type type;
    } steps[] = {{&u->hello, send_hello, 0},
                 {&u->nodes, send_nodes, 0},
                 {&u->end, NULL, UPGRADE_END},
                 {&u->devices, send_devices, 0}};

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (!*steps[i].due)
            continue;
        if (steps[i].due == &u->end && u->next < handoff_count(u->handoff))
            return send_sockets(u);
        if (steps[i].due == &u->devices)
            return steps[i].fn(u); /* of several messages */
        enum status st = steps[i].fn != NULL ? steps[i].fn(u) : send_bare(u, steps[i].type);
        *steps[i].due = st != ST_OK;
        return st;
    }
    return send_rest(u);
}

/* Sends what is due and fits. Of a process that is gone its end tells. */
static void pump(struct upgrade *u)
{
    enum status st = ST_OK;

    while (u->socket.fd >= 0 && st == ST_OK)
        st = send_next(u);
    if (u->socket.fd >= 0 &&
        loop_watch_mod(u->setup.loop, &u->socket,
                       st == ST_FULL ? (uint32_t)LOOP_IN | LOOP_OUT : (uint32_t)LOOP_IN) != ST_OK)
        log_line(u->setup.log, LOG_DEBUG, NULL, "upgrade: %s", status_str(ST_E_IO));
}

/* ---- the new process serves ------------------------------------------------------------------ */

static void on_left(void *arg)
{
    struct upgrade *u = arg;

    u->setup.on_left(u->setup.arg);
}

static void look_at_pushes(struct timer *t)
{
    struct upgrade *u = LIST_ENTRY(t, struct upgrade, push);

    if (controller_is_pushing(u->setup.controller)) {
        loop_timer_in(u->setup.loop, t, PUSH_MS);
        return;
    }
    controller_give_reports(u->setup.controller);
    u->report = true;
    pump(u);
}

/* Of what does not fit there is more in the next one. */
static void list_streams(struct upgrade *u)
{
    struct controller_streams *list;

    if (u->streams.count > 0)
        return; /* the last ones are still on their way */
    size_t count = controller_streams(u->setup.controller, &list);
    if (!upgrade_queue_add(&u->streams, list, count))
        log_line(u->setup.log, LOG_DEBUG, NULL, "upgrade: no memory to tell of connections");
    free(list);
}

/* Who moves bytes here under a limit of speed has one with the new process. */
static void list_cells(struct upgrade *u)
{
    struct controller_cell *list;
    size_t count = controller_cells(u->setup.controller, &list);

    u->memory = u->memory || (count > 0 && !u->had_cells);
    u->had_cells = u->had_cells || count > 0;
    if (!upgrade_queue_add(&u->cells, list, count))
        log_line(u->setup.log, LOG_DEBUG, NULL, "upgrade: no memory to tell of speed limits");
    free(list);
}

static void list_devices(struct upgrade *u)
{
    if (u->devices)
        return; /* likewise */
    free(u->device_list);
    u->device_count = controller_devices(u->setup.controller, &u->device_list);
    u->devices = u->device_count > 0 || u->had_devices;
    u->had_devices = u->device_count > 0;
    u->next = 0;
}

/* Our devices and connections keep their places in the new process while we have them. */
static void list_all(struct timer *t)
{
    struct upgrade *u = LIST_ENTRY(t, struct upgrade, list);

    if (u->socket.fd < 0)
        return;
    loop_timer_in(u->setup.loop, t, LIST_MS);
    list_streams(u);
    list_cells(u);
    list_devices(u);
    pump(u);
}

/* No worker accepts any more. */
static void on_yielded(void *arg)
{
    struct upgrade *u = arg;

    if (u->state != YIELDING)
        return;
    u->state = LEAVING;
    list_all(&u->list);
    u->go = true;
    controller_leave(u->setup.controller, on_left, u);
    pump(u);
    handoff_free(u->handoff);
    u->handoff = NULL;
    look_at_pushes(&u->push);
}

static void on_ready(struct upgrade *u)
{
    char text[64];

    u->state = YIELDING;
    loop_timer_del(u->setup.loop, &u->timer);
    unshare(u);
    snprintf(text, sizeof(text), "process %d serves now", (int)u->pid);
    log_line(u->setup.log, LOG_INFO, NULL,
             "upgrade: %s; this one takes no more connections, lets those it has go on for "
             "DrainTimeout and ends",
             text);
    tell(u, true, text);
    u->setup.ended(u->setup.arg, true);
    controller_close_ports(u->setup.controller);
    workers_yield(u->setup.workers, on_yielded, u);
}

/* ---- hearing from it ------------------------------------------------------------------------- */

static void on_message(struct upgrade *u, const struct upgrade_message *m)
{
    if (m->type == UPGRADE_READY && u->state == STARTING && !u->end && u->pid != 0)
        on_ready(u);
    else if (m->type == UPGRADE_FAILED && u->state == STARTING)
        fail(u, m->text);
    else if (m->type == UPGRADE_REMOVED && u->state == LEAVING)
        controller_remove_users(u->setup.controller, m->users, m->count);
    else if (m->type == UPGRADE_OUT && u->state == LEAVING)
        controller_put_out(u->setup.controller, m->devices, m->count);
    else if (m->type == UPGRADE_GRANT && u->state == LEAVING)
        controller_allow_streams(u->setup.controller, m->streams, m->count);
}

static void on_socket(struct watch *w, uint32_t events)
{
    struct upgrade *u = LIST_ENTRY(w, struct upgrade, socket);
    struct upgrade_message m;
    enum status st = ST_OK;

    (void)events;
    pump(u);
    while (w->fd >= 0 && (st = upgrade_recv(w->fd, &m)) == ST_OK)
        on_message(u, &m);
    if (st == ST_MORE || w->fd < 0)
        return;
    /* It has closed its end. If it ends as well, how it did says more: that comes by itself. */
    close_watch(u, w);
    if (u->state == STARTING && u->child.fd < 0)
        fail(u, "it has closed the connection to this process");
}

static const char *exit_text(char dst[64], int status)
{
    if (WIFSIGNALED(status))
        snprintf(dst, 64, "it was ended by signal %d", WTERMSIG(status));
    else
        snprintf(dst, 64, "it ended with status %d", WEXITSTATUS(status));
    return dst;
}

static void on_child(struct watch *w, uint32_t events)
{
    struct upgrade *u = LIST_ENTRY(w, struct upgrade, child);
    enum state was = u->state;
    char text[64];
    int status = 0;

    (void)events;
    if (waitpid(u->pid, &status, WNOHANG) == 0)
        return;
    u->pid = 0;
    /* Its last words. */
    if (u->socket.fd >= 0)
        on_socket(&u->socket, LOOP_IN);
    if (u->state == STARTING) {
        fail(u, exit_text(text, status));
        return;
    }
    close_watch(u, &u->child);
    close_watch(u, &u->socket);
    if (u->state == ABORTING) {
        forget_child(u);
        unshare(u);
        u->state = IDLE;
    }
    if (was != LEAVING && was != YIELDING)
        return;
    if (status == 0)
        return; /* told to, or replaced in its turn */
    log_line(u->setup.log, LOG_ERROR, NULL, "the process that serves in our place is gone: %s",
             exit_text(text, status));
    u->setup.on_lost(u->setup.arg);
}

/* ---- starting it ----------------------------------------------------------------------------- */

static enum status watch_child(struct upgrade *u, int end)
{
    struct loop *l = u->setup.loop;
    int fd = (int)syscall(SYS_pidfd_open, u->pid, 0);

    if (loop_watch_add(l, &u->socket, end, LOOP_IN, on_socket) != ST_OK) {
        close(end);
        if (fd >= 0)
            close(fd);
        return ST_E_IO;
    }
    if (fd >= 0 && loop_watch_add(l, &u->child, fd, LOOP_IN, on_child) == ST_OK)
        return ST_OK;
    if (fd >= 0)
        close(fd);
    return ST_E_IO;
}

static void on_exported(void *arg)
{
    struct upgrade *u = arg;
    int ends[2], err = 0;
    char text[128];

    if (u->state != EXPORTING)
        return;
    if (!handoff_is_whole(u->handoff)) {
        fail(u, "not all listening sockets can be handed over (out of file descriptors or memory)");
        return;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        fail(u, strerror(errno));
        return;
    }
    loop_files_shared(u->setup.loop, true);
    enum status st = spawn_again(u->binary, UPGRADE_ENV, ends[1], &u->pid, &err);
    close(ends[1]);
    if (st != ST_OK) {
        close(ends[0]);
        u->pid = 0;
        snprintf(text, sizeof(text), "cannot start it: %s", strerror(err));
        fail(u, text);
        return;
    }
    u->state = STARTING;
    u->hello = u->nodes = u->end = true;
    u->next = 0;
    if (watch_child(u, ends[0]) != ST_OK) {
        fail(u, "cannot watch it");
        return;
    }
    loop_timer_in(u->setup.loop, &u->timer, u->ready_ms);
    pump(u);
}

void upgrade_start(struct upgrade *u, const char *binary, uint32_t ready_ms,
                   void (*done)(void *arg, bool ok, const char *text), void *arg)
{
    static const char *const refusals[] = {
        [EXPORTING] = "an upgrade is under way already",
        [STARTING] = "an upgrade is under way already",
        [YIELDING] = "another process serves in the place of this one already",
        [LEAVING] = "another process serves in the place of this one already",
        [ABORTING] = "the process of the last upgrade, which failed, is still ending",
    };
    const char *why = refusals[u->state];

    if (why == NULL && u->stopping)
        why = "this process is stopping";
    if (why == NULL && getpid() == 1)
        why = "this is process 1 of a container, which ends with it: start a new container";
    if (why == NULL && controller_state_id(u->setup.controller) == 0)
        why = "the state lives in memory (look at StateDir), a new process would know no users";
    if (why == NULL && !notify_allows_upgrade())
        why = "systemd would end a new process with this one: its unit needs Type=notify and "
              "NotifyAccess=all (see dist/v2sp.service), and one restart";
    if (why == NULL && binary != NULL)
        snprintf(u->binary, sizeof(u->binary), "%s", binary);
    if (why == NULL && binary == NULL && spawn_own_path(u->setup.argv0, u->binary) != ST_OK)
        why = "the program's file is not to be found";
    if (why == NULL && (u->handoff = handoff_new()) == NULL)
        why = "no memory";
    if (why != NULL) {
        log_line(u->setup.log, LOG_WARNING, NULL, "no upgrade: %s", why);
        if (done != NULL)
            done(arg, false, why);
        return;
    }
    log_line(u->setup.log, LOG_INFO, NULL, "upgrade: %s is started in the place of this process",
             u->binary);
    controller_hold(u->setup.controller, true);
    u->state = EXPORTING;
    u->ready_ms = ready_ms;
    u->done = done;
    u->done_arg = arg;
    workers_export(u->setup.workers, u->handoff, on_exported, u);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct upgrade *upgrade_new(const struct upgrade_setup *setup)
{
    struct upgrade *u = calloc(1, sizeof(*u));

    if (u == NULL)
        return NULL;
    u->setup = *setup;
    u->socket.fd = u->child.fd = -1;
    timer_init(&u->timer, on_timer);
    timer_init(&u->push, look_at_pushes);
    timer_init(&u->list, list_all);
    u->online = (struct upgrade_queue){
        .type = UPGRADE_ONLINE, .each = sizeof(struct controller_user), .most = QUEUE_MAX};
    u->present = (struct upgrade_queue){
        .type = UPGRADE_PRESENT, .each = sizeof(struct controller_present), .most = QUEUE_MAX};
    u->streams = (struct upgrade_queue){
        .type = UPGRADE_STREAMS, .each = sizeof(struct controller_streams), .most = SIZE_MAX};
    u->cells = (struct upgrade_queue){
        .type = UPGRADE_CELLS, .each = sizeof(struct controller_cell), .most = SIZE_MAX};
    return u;
}

void upgrade_free(struct upgrade *u)
{
    if (u == NULL)
        return;
    tell(u, false, "this process ends");
    if (u->state == STARTING || u->state == ABORTING)
        end_child(u);
    loop_timer_del(u->setup.loop, &u->push);
    loop_timer_del(u->setup.loop, &u->list);
    forget_child(u);
    free(u->device_list);
    upgrade_queue_fini(&u->online);
    upgrade_queue_fini(&u->present);
    upgrade_queue_fini(&u->streams);
    upgrade_queue_fini(&u->cells);
    free(u);
}

void upgrade_abort(struct upgrade *u)
{
    u->stopping = true;
    if (u->state == STARTING)
        fail(u, "this process is told to stop");
    if (u->state != EXPORTING)
        return;
    u->state = IDLE; /* the workers may still be writing into handoff: that stays */
    tell(u, false, "this process is told to stop");
}

const char *upgrade_config_path(const struct upgrade *u)
{
    return u->setup.config_path;
}

enum status upgrade_own_path(const struct upgrade *u, char *dst)
{
    return spawn_own_path(u->setup.argv0, dst);
}

void upgrade_left_online(struct upgrade *u, const struct controller_user *list, size_t count)
{
    /* If they do not fit panels forget them by themselves. */
    if (u->socket.fd >= 0 && upgrade_queue_add(&u->online, list, count))
        pump(u);
}

void upgrade_present(struct upgrade *u, const struct controller_present *list, size_t count)
{
    /* Of a list that does not fit the next one makes good. */
    if (u->socket.fd >= 0 && upgrade_queue_add(&u->present, list, count))
        pump(u);
}

void upgrade_forget(struct upgrade *u)
{
    u->done = NULL;
}

bool upgrade_is_under_way(const struct upgrade *u)
{
    return u->state == EXPORTING || u->state == STARTING;
}

bool upgrade_is_leaving(const struct upgrade *u)
{
    return u->state == YIELDING || u->state == LEAVING;
}

int upgrade_pid(const struct upgrade *u)
{
    return (int)u->pid;
}
