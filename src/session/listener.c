#include "session/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/sockaddr.h"
#include "session/session.h"
#include "session/worker.h"
#include "session/workers.h"

#define ACCEPT_BATCH    64
#define EMFILE_PAUSE_MS 100
#define BACKLOG         4096
#define TFO_QUEUE       256
#define KEEPALIVE_S     45
#define USER_TIMEOUT_MS 120000

static void accept_some(struct watch *w, uint32_t events)
{
    (void)events;
    struct listener *l = LIST_ENTRY(w, struct listener, watch);
    struct worker_node *wn = l->wn;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        if (admission_full(&wn->worker->admission)) {
            workers_log_overload(wn->worker);
            listener_pause(l);
            return;
        }
        union sockaddr_any sa;
        socklen_t len = sizeof(sa);
        int fd = accept4(l->watch.fd, &sa.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                listener_pause(l);
                loop_timer_in(wn->worker->loop, &l->pause, EMFILE_PAUSE_MS);
            }
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            return;
        }
        struct addr peer;
        sockaddr_to_addr(&peer, &sa.any, len);
        if (!workers_hand_over(wn->worker, wn->view->node_no, fd, &peer))
            session_accept(wn, fd, &peer);
    }
}

static void pause_over(struct timer *t)
{
    listener_resume(LIST_ENTRY(t, struct listener, pause));
}

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value));
}

/* What accepted sockets inherit is set here once, which saves the calls on every connection. */
static void set_inherited(int fd)
{
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_S);
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
}

void listener_set_tfo(struct listener *l, bool tfo)
{
    if (l->tfo != tfo)
        set_int(l->watch.fd, IPPROTO_TCP, TCP_FASTOPEN, tfo ? TFO_QUEUE : 0);
    l->tfo = tfo;
}

enum status listener_adopt(struct listener *l, struct worker_node *wn, const struct addr *where,
                           bool v6only, bool tfo, int own_fd, int *err)
{
    *l = (struct listener){.wn = wn, .where = *where, .v6only = v6only, .watch = {.fd = -1}};
    list_init(&l->link);
    timer_init(&l->pause, pause_over);
    l->paused = wn->worker->held;
    if (loop_watch_add(wn->worker->loop, &l->watch, own_fd, l->paused ? 0 : LOOP_IN, accept_some) !=
        ST_OK) {
        *err = errno;
        close(own_fd);
        return ST_E_IO;
    }
    listener_set_tfo(l, tfo);
    return ST_OK;
}

enum status listener_open(struct listener *l, struct worker_node *wn, const struct addr *where,
                          bool v6only, bool tfo, int *err)
{
    union sockaddr_any sa;
    socklen_t len = sockaddr_from_addr(&sa, where);
    int fd = socket(sa.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        goto fail;
    set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1) != 0)
        goto fail;
    if (sa.any.sa_family == AF_INET6 && set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6only) != 0)
        goto fail;
    set_inherited(fd);
    if (bind(fd, &sa.any, len) != 0 || listen(fd, BACKLOG) != 0)
        goto fail;
    return listener_adopt(l, wn, where, v6only, tfo, fd, err);
fail:
    *err = errno;
    if (fd >= 0)
        close(fd);
    return *err == EADDRINUSE ? ST_E_BUSY : ST_E_IO;
}

void listener_close(struct listener *l)
{
    if (l->watch.fd < 0)
        return;
    loop_timer_del(l->wn->worker->loop, &l->pause);
    int fd = l->watch.fd;
    loop_watch_del(l->wn->worker->loop, &l->watch);
    close(fd);
}

void listener_pause(struct listener *l)
{
    if (l->watch.fd < 0 || l->paused)
        return;
    if (loop_watch_mod(l->wn->worker->loop, &l->watch, 0) == ST_OK)
        l->paused = true;
}

void listener_resume(struct listener *l)
{
    if (l->watch.fd < 0 || !l->paused || l->wn->worker->held)
        return;
    if (loop_watch_mod(l->wn->worker->loop, &l->watch, LOOP_IN) == ST_OK)
        l->paused = false;
}
