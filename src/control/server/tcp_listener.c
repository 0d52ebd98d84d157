#include "control/server/tcp_listener.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "io/sockaddr.h"

#define BACKLOG     128
#define ACCEPT_TURN 32  /* connections taken before others get their turn */
#define REST_MS     100 /* when the process is out of files */

static void on_rest_over(struct timer *timer)
{
    struct tcp_listener *t = LIST_ENTRY(timer, struct tcp_listener, rest);

    if (t->watch.fd >= 0 && loop_watch_mod(t->loop, &t->watch, LOOP_IN) == ST_OK)
        t->paused = false;
}

static void on_accept(struct watch *w, uint32_t events)
{
    struct tcp_listener *t = LIST_ENTRY(w, struct tcp_listener, watch);

    (void)events;
    for (int i = 0; i < ACCEPT_TURN && w->fd >= 0; i++) {
        union sockaddr_any sa;
        socklen_t len = sizeof(sa);
        struct addr peer;
        int fd = accept4(w->fd, &sa.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            bool short_of =
                errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
            if (short_of && loop_watch_mod(t->loop, w, 0) == ST_OK) {
                t->paused = true;
                loop_timer_in(t->loop, &t->rest, REST_MS);
            }
            return;
        }
        sockaddr_to_addr(&peer, &sa.any, len);
        t->accepted(t, fd, &peer);
    }
}

void tcp_listener_init(struct tcp_listener *t, struct loop *l,
                       void (*accepted)(struct tcp_listener *, int fd, const struct addr *peer))
{
    *t = (struct tcp_listener){.watch = {.fd = -1}, .loop = l, .accepted = accepted};
    timer_init(&t->rest, on_rest_over);
}

enum status tcp_listener_open(struct tcp_listener *t, const struct addr *at, struct why *why)
{
    union sockaddr_any sa;
    socklen_t len = sockaddr_from_addr(&sa, at);
    enum status st = ST_E_IO;
    const char *text = "cannot make a socket";
    int on = 1;

    BUG_ON(t->watch.fd >= 0);
    int fd = socket(sockaddr_family(at), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        goto out;
    text = "cannot set up the socket";
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) != 0)
        goto out;
    text = "cannot bind the address";
    if (bind(fd, &sa.any, len) != 0) {
        st = errno == EADDRINUSE ? ST_E_BUSY : ST_E_IO;
        goto out;
    }
    text = "cannot listen on the address";
    if (listen(fd, BACKLOG) != 0) {
        st = errno == EADDRINUSE ? ST_E_BUSY : ST_E_IO;
        goto out;
    }
    st = loop_watch_add(t->loop, &t->watch, fd, LOOP_IN, on_accept);
    if (st != ST_OK)
        goto out;
    sockaddr_local(fd, &t->bound);
    t->paused = false;
    return ST_OK;
out:
    st = why_set(why, st, text, errno);
    if (fd >= 0)
        close(fd);
    return st;
}

enum status tcp_listener_take(struct tcp_listener *t, int own_fd, struct why *why)
{
    BUG_ON(t->watch.fd >= 0);
    if (loop_watch_add(t->loop, &t->watch, own_fd, LOOP_IN, on_accept) != ST_OK) {
        enum status st = why_set(why, ST_E_IO, "cannot watch the socket", errno);
        close(own_fd);
        return st;
    }
    memset(&t->bound, 0, sizeof(t->bound));
    t->paused = false;
    return ST_OK;
}

bool tcp_listener_is_open(const struct tcp_listener *t)
{
    return t->watch.fd >= 0;
}

void tcp_listener_close(struct tcp_listener *t)
{
    int fd = t->watch.fd;

    loop_timer_del(t->loop, &t->rest);
    if (fd < 0)
        return;
    loop_watch_del(t->loop, &t->watch);
    close(fd);
    t->watch.fd = -1;
    memset(&t->bound, 0, sizeof(t->bound));
}
