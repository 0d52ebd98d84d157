#include "app/successor.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/upgrade_queue.h"
#include "app/upgrade_wire.h"
#include "base/log.h"
#include "control/controller_upgrade.h"
#include "io/loop.h"
#include "session/handoff.h"

#define TAKE_S     10
#define STREAMS_MS 5000     /* between two looks at what the other process may keep */
#define QUEUE_MAX  1000000u /* things that wait to be told */

/* Until the other process has ended there are others that may not have. */
struct successor {
    struct successor_conf conf;
    struct watch watch; /* fd -1: the other process is gone */
    struct task look;
    uint64_t state;
    uint32_t rows[VIEW_NODES_MAX]; /* nodes the other process serves */
    size_t row_count;
    struct handoff *sockets;
    bool ready, begun;
    struct upgrade_queue gone, grants, out; /* what the other process has not been told of */
    struct timer streams;
};

/* ---- taking over ----------------------------------------------------------------------------- */

static enum status take_sockets(struct successor *s, const struct upgrade_message *m)
{
    enum status st = ST_OK;

    for (size_t i = 0; i < m->count; i++) {
        enum status one = handoff_add(s->sockets, &m->sockets[i].key, m->sockets[i].fd);
        st = one != ST_OK ? one : st;
    }
    return st;
}

static enum status wait_message(int fd, time_t until, struct upgrade_message *m)
{
    for (;;) {
        enum status st = upgrade_recv(fd, m);
        if (st != ST_MORE)
            return st;
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (now.tv_sec >= until || poll(&p, 1, (int)(until - now.tv_sec) * 1000) < 0)
            return ST_E_TIMEOUT;
    }
}

static enum status take_all(struct successor *s)
{
    struct upgrade_message m;
    struct timespec now;
    enum status st = ST_OK;

    clock_gettime(CLOCK_MONOTONIC, &now);
    do {
        st = wait_message(s->watch.fd, now.tv_sec + TAKE_S, &m);
        if (st != ST_OK)
            return st;
        if (m.type == UPGRADE_HELLO) {
            s->state = m.state;
        } else if (m.type == UPGRADE_NODES) {
            memcpy(s->rows, m.rows, m.count * sizeof(m.rows[0]));
            s->row_count = m.count;
        } else if (m.type == UPGRADE_SOCKETS) {
            st = take_sockets(s, &m);
        } else if (m.type != UPGRADE_END) {
            st = ST_E_PROTO;
        }
    } while (st == ST_OK && m.type != UPGRADE_END);
    return st;
}

static void say_failed(int fd, const char *text)
{
    struct upgrade_message m = {.type = UPGRADE_FAILED};

    snprintf(m.text, sizeof(m.text), "%s", text);
    m.count = strlen(m.text) + 1;
    if (upgrade_send(fd, &m) != ST_OK)
        return; /* that it ends says enough */
}

enum status successor_take(struct successor **out, const char **reason)
{
    const char *text = getenv(UPGRADE_ENV);
    char *end = NULL;

    *out = NULL;
    *reason = "";
    if (text == NULL)
        return ST_OK;
    int fd = (int)strtol(text, &end, 10);
    if (end == text || *end != '\0')
        fd = -1;
    unsetenv(UPGRADE_ENV);
    struct successor *s = calloc(1, sizeof(*s));
    if (s == NULL || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        free(s);
        *reason = "the socket of the other process is not there";
        return ST_E_IO;
    }
    s->watch.fd = fd;
    s->gone = (struct upgrade_queue){
        .type = UPGRADE_REMOVED, .each = sizeof(struct controller_user), .most = QUEUE_MAX};
    s->grants = (struct upgrade_queue){
        .type = UPGRADE_GRANT, .each = sizeof(struct controller_streams), .most = QUEUE_MAX};
    s->out = (struct upgrade_queue){
        .type = UPGRADE_OUT, .each = sizeof(struct controller_device), .most = QUEUE_MAX};
    s->sockets = handoff_new();
    enum status st = s->sockets != NULL ? take_all(s) : ST_E_NOMEM;
    if (st != ST_OK) {
        *reason = st == ST_E_UNSUPPORTED ? "the running process is of a version that hands over "
                                           "differently: stop and start instead"
                                         : "the running process does not hand over its sockets";
        say_failed(fd, *reason);
        handoff_free(s->sockets);
        close(fd);
        free(s);
        return st;
    }
    *out = s;
    return ST_OK;
}

void successor_refuse(struct successor *s, const char *text)
{
    if (s->watch.fd >= 0 && !s->ready)
        say_failed(s->watch.fd, text);
}

struct handoff *successor_sockets(struct successor *s)
{
    return s->sockets;
}

/* ---- telling the other process --------------------------------------------------------------- */

static void close_watch(struct successor *s)
{
    int fd = s->watch.fd;

    if (fd < 0)
        return;
    if (s->conf.loop != NULL)
        loop_watch_del(s->conf.loop, &s->watch);
    close(fd);
    s->watch.fd = -1;
}

static enum status send_next(struct successor *s)
{
    enum status st = upgrade_queue_send(&s->gone, s->watch.fd);

    if (st == ST_MORE)
        st = upgrade_queue_send(&s->grants, s->watch.fd);
    if (st == ST_MORE)
        st = upgrade_queue_send(&s->out, s->watch.fd);
    return st; /* ST_MORE: nothing is due */
}

/* Sends what fits. Of a process that is gone its end tells. */
static void pump(struct successor *s)
{
    enum status st = ST_OK;

    while (s->watch.fd >= 0 && s->begun && st == ST_OK)
        st = send_next(s);
    if (s->watch.fd >= 0 &&
        loop_watch_mod(s->conf.loop, &s->watch,
                       st == ST_FULL ? (uint32_t)LOOP_IN | LOOP_OUT : (uint32_t)LOOP_IN) != ST_OK)
        log_line(s->conf.log, LOG_DEBUG, NULL, "upgrade: %s", status_str(ST_E_IO));
}

void successor_removed(struct successor *s, const struct controller_user *list, size_t count)
{
    /* If they do not fit their sessions end with DrainTimeout. */
    if (s->watch.fd >= 0 && upgrade_queue_add(&s->gone, list, count))
        pump(s);
}

void successor_grant(struct successor *s, const struct controller_streams *list, size_t count)
{
    if (s->watch.fd >= 0 && upgrade_queue_add(&s->grants, list, count))
        pump(s);
}

void successor_put_out(struct successor *s, const struct controller_device *list, size_t count)
{
    /* What does not fit is said again with the next list. */
    if (s->watch.fd >= 0 && s->out.count == 0 && upgrade_queue_add(&s->out, list, count))
        pump(s);
}

static void on_look_at_streams(struct timer *t)
{
    struct successor *s = LIST_ENTRY(t, struct successor, streams);

    if (s->watch.fd < 0)
        return;
    loop_timer_in(s->conf.loop, t, STREAMS_MS);
    if (s->grants.count == 0) /* else what it does not hear is said when it hears again */
        controller_grant_streams(s->conf.controller);
}

/* Not from within: the nodes that follow in a reload are not there yet. */
void successor_look(struct successor *s)
{
    if (!s->ready && s->conf.loop != NULL)
        loop_task_add(s->conf.loop, &s->look);
}

static void on_look(struct task *t)
{
    struct successor *s = LIST_ENTRY(t, struct successor, look);
    const struct upgrade_message m = {.type = UPGRADE_READY};

    if (s->ready || controller_waits_for(s->conf.controller, s->rows, s->row_count))
        return;
    s->ready = true;
    if (s->watch.fd >= 0 && upgrade_send(s->watch.fd, &m) != ST_OK)
        log_line(s->conf.log, LOG_DEBUG, NULL, "upgrade: the other process does not hear");
}

/* ---- hearing from it ------------------------------------------------------------------------- */

static void begin(struct successor *s)
{
    if (s->begun)
        return;
    s->begun = s->ready = true;
    log_line(s->conf.log, LOG_INFO, NULL, "upgrade: connections are taken by this process now");
    s->conf.begin(s->conf.arg);
    on_look_at_streams(&s->streams);
    pump(s);
}

static void on_message(struct successor *s, const struct upgrade_message *m)
{
    struct controller *c = s->conf.controller;

    if (m->type == UPGRADE_GO)
        begin(s);
    else if (m->type == UPGRADE_REPORT && s->begun)
        controller_report(c);
    else if (m->type == UPGRADE_ONLINE && s->begun)
        controller_take_online(c, m->users, m->count);
    else if (m->type == UPGRADE_MEMORY)
        controller_take_speed(c, m->memory);
    if (!s->ready)
        return;
    if (m->type == UPGRADE_DEVICES)
        controller_guests(c, m->devices, m->count);
    else if (m->type == UPGRADE_STREAMS)
        controller_take_streams(c, m->streams, m->count);
    else if (m->type == UPGRADE_CELLS)
        controller_take_cells(c, m->cells, m->count);
    else if (m->type == UPGRADE_PRESENT)
        controller_take_present(c, m->present, m->count);
}

static void on_event(struct watch *w, uint32_t events)
{
    struct successor *s = LIST_ENTRY(w, struct successor, watch);
    struct upgrade_message m;
    enum status st;

    (void)events;
    while ((st = upgrade_recv(w->fd, &m)) == ST_OK)
        on_message(s, &m);
    if (st == ST_MORE) {
        pump(s);
        return;
    }
    /* It has ended, as it should or otherwise: there is nobody but us. */
    close_watch(s);
    begin(s);
    log_line(s->conf.log, LOG_INFO, NULL, "upgrade: the earlier process has ended");
    controller_guests_gone(s->conf.controller);
    controller_recover(s->conf.controller);
    controller_report(s->conf.controller);
}

enum status successor_watch(struct successor *s, const struct successor_conf *conf)
{
    static const char other[] = "StateDir is not that of the running process: what is not reported "
                                "yet would stay behind; restart instead";
    int fd = s->watch.fd;

    if (controller_state_id(conf->controller) != s->state) {
        log_line(conf->log, LOG_ERROR, NULL, "upgrade: %s", other);
        say_failed(fd, other);
        return ST_E_CONFIG;
    }
    s->conf = *conf;
    s->watch.fd = -1;
    task_init(&s->look, on_look);
    timer_init(&s->streams, on_look_at_streams);
    if (loop_watch_add(conf->loop, &s->watch, fd, LOOP_IN, on_event) != ST_OK) {
        close(fd);
        return ST_E_IO;
    }
    successor_look(s);
    log_line(conf->log, LOG_INFO, NULL,
             "upgrade: %zu listening sockets and %zu serving nodes of the earlier process",
             handoff_count(s->sockets), s->row_count);
    return ST_OK;
}

void successor_free(struct successor *s)
{
    if (s == NULL)
        return;
    if (s->conf.loop != NULL) {
        loop_task_del(s->conf.loop, &s->look);
        loop_timer_del(s->conf.loop, &s->streams);
    }
    close_watch(s);
    handoff_free(s->sockets);
    upgrade_queue_fini(&s->gone);
    upgrade_queue_fini(&s->grants);
    upgrade_queue_fini(&s->out);
    free(s);
}
