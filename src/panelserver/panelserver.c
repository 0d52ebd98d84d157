#include "panelserver/panelserver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "io/loop.h"
#include "io/sockaddr.h"
#include "panelserver/api.h"
#include "panelserver/http_conn.h"

#define BACKLOG       128
#define ACCEPT_TURN   32    /* connections taken before others get their turn */
#define TICK_MS       60000 /* between two clean-ups */
#define ACCEPT_OFF_MS 100   /* the listener rests when the process is out of files */

struct panelserver {
    struct http_server http; /* http.loop, log and api are the server's */
    struct watch listener;
    struct timer tick, rest;
    bool paused;
    struct addr listen, bound;
};

static void pause_accepting(struct panelserver *ps, bool paused)
{
    if (ps->listener.fd < 0 || ps->paused == paused)
        return;
    if (loop_watch_mod(ps->http.loop, &ps->listener, paused ? 0 : LOOP_IN) == ST_OK)
        ps->paused = paused;
}

static void on_room(struct http_server *s)
{
    struct panelserver *ps = LIST_ENTRY(s, struct panelserver, http);
    if (!timer_armed(&ps->rest))
        pause_accepting(ps, false);
}

static void on_rest_over(struct timer *t)
{
    pause_accepting(LIST_ENTRY(t, struct panelserver, rest), false);
}

static void on_accept(struct watch *w, uint32_t events)
{
    struct panelserver *ps = LIST_ENTRY(w, struct panelserver, listener);
    (void)events;
    for (int i = 0; i < ACCEPT_TURN; i++) {
        if (ps->http.count >= PANELSERVER_CONNS) {
            /* Only an event proves that somebody waits; without one no connection is given up. */
            if (i > 0)
                return;
            if (!http_conn_close_idle(&ps->http)) {
                pause_accepting(ps,
                                true); /* till there is room; the kernel keeps the others waiting */
                return;
            }
        }
        union sockaddr_any sa;
        socklen_t len = sizeof sa;
        int fd = accept4(w->fd, &sa.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                pause_accepting(ps, true);
                loop_timer_in(ps->http.loop, &ps->rest, ACCEPT_OFF_MS);
            }
            return;
        }
        struct addr peer;
        sockaddr_to_addr(&peer, &sa.any, len);
        enum status st = http_conn_open(&ps->http, fd, &peer);
        if (st != ST_OK)
            log_line(ps->http.log, LOG_DEBUG, NULL, "panel: connection refused: %s",
                     status_str(st));
    }
}

static void on_tick(struct timer *t)
{
    struct panelserver *ps = LIST_ENTRY(t, struct panelserver, tick);
    api_tick(ps->http.api, loop_unix_s(ps->http.loop));
    loop_timer_in(ps->http.loop, &ps->tick, TICK_MS);
}

enum status panelserver_new(const struct panelserver_conf *conf, struct panelserver **out,
                            struct why *why)
{
    struct panelserver *ps = calloc(1, sizeof *ps);
    *out = NULL;
    if (ps == NULL)
        return why_set(why, ST_E_NOMEM, "out of memory", 0);
    http_server_init(&ps->http);
    ps->http.loop = conf->loop;
    ps->http.log = conf->log;
    ps->http.room = on_room;
    ps->http.api = api_new(conf);
    if (ps->http.api == NULL) {
        free(ps);
        return why_set(why, ST_E_NOMEM, "no memory or no random bytes for the panel", 0);
    }
    ps->listen = conf->listen;
    ps->listener.fd = -1;
    timer_init(&ps->tick, on_tick);
    timer_init(&ps->rest, on_rest_over);
    *out = ps;
    return ST_OK;
}

enum status panelserver_start(struct panelserver *ps, struct why *why)
{
    union sockaddr_any sa;
    socklen_t len = sockaddr_from_addr(&sa, &ps->listen);
    enum status st = ST_E_IO;
    const char *text = "cannot make a socket";
    int on = 1;
    BUG_ON(ps->listener.fd >= 0);
    int fd = socket(sockaddr_family(&ps->listen), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        goto out;
    text = "cannot set up the panel's socket";
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        goto out;
    text = "cannot bind the panel's address";
    if (bind(fd, &sa.any, len) != 0) {
        if (errno == EADDRINUSE) {
            st = ST_E_BUSY;
            text = "the panel's address is in use";
        }
        goto out;
    }
    text = "cannot listen on the panel's address";
    if (listen(fd, BACKLOG) != 0)
        goto out;
    if ((st = loop_watch_add(ps->http.loop, &ps->listener, fd, LOOP_IN, on_accept)) != ST_OK)
        goto out;
    sockaddr_local(fd, &ps->bound);
    ps->paused = false;
    loop_timer_in(ps->http.loop, &ps->tick, TICK_MS);
    return ST_OK;
out:
    st = why_set(why, st, text, errno);
    if (fd >= 0)
        close(fd);
    return st;
}

void panelserver_stop(struct panelserver *ps)
{
    if (ps->listener.fd >= 0) {
        int fd = ps->listener.fd;
        loop_watch_del(ps->http.loop, &ps->listener);
        close(fd);
    }
    loop_timer_del(ps->http.loop, &ps->tick);
    loop_timer_del(ps->http.loop, &ps->rest);
    http_conn_close_all(&ps->http);
    memset(&ps->bound, 0, sizeof ps->bound);
}

void panelserver_free(struct panelserver *ps)
{
    if (ps == NULL)
        return;
    panelserver_stop(ps);
    api_free(ps->http.api);
    free(ps);
}

const struct addr *panelserver_addr(const struct panelserver *ps)
{
    return &ps->bound;
}

void panelserver_counters(const struct panelserver *ps, struct panelserver_counters *out)
{
    api_counters(ps->http.api, out);
    out->connections = ps->http.count;
}
