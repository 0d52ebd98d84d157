#include "session/udp_door.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/sockaddr.h"
#include "session/handoff.h"
#include "session/worker.h"

#define BUFFER_BYTES (4u << 20) /* of the kernel, as far as it gives so much */

static void on_socket(struct watch *watch, uint32_t events)
{
    struct udp_door *d = LIST_ENTRY(watch, struct udp_door, watch);

    if (events & (LOOP_IN | LOOP_HUP))
        d->readable = true;
    if (events & LOOP_OUT)
        d->blocked = false;
    loop_task_add(d->worker->loop, d->task);
}

static int bind_socket(const struct addr *where, bool v6only, int *err)
{
    const int only = v6only, size = BUFFER_BYTES;
    union sockaddr_any sa;
    socklen_t len = sockaddr_from_addr(&sa, where);
    int fd = socket(sa.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        goto fail;
    if (where->family == ADDR_IP6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) != 0)
        goto fail;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (bind(fd, &sa.any, len) == 0)
        return fd;
fail:
    *err = errno;
    if (fd >= 0)
        close(fd);
    return -1;
}

enum status udp_door_open(struct udp_door **out, struct worker *w, const struct addr *where,
                          bool v6only, struct task *task, int *err)
{
    const struct handoff_key key = {.where = *where, .udp = true, .v6only = v6only};
    struct udp_door *d = calloc(1, sizeof(*d));

    if (d == NULL)
        return ST_E_NOMEM;
    int fd = w->handoff != NULL ? handoff_take(w->handoff, &key, 0, 1) : -1;
    if (fd < 0)
        fd = bind_socket(where, v6only, err);
    if (fd < 0) {
        free(d);
        return *err == EADDRINUSE ? ST_E_BUSY : ST_E_IO;
    }
    d->worker = w;
    d->task = task;
    d->where = *where;
    d->v6only = v6only;
    d->dual = where->family == ADDR_IP6;
    bufq_init(&d->out, UINT32_MAX);
    bufq_init(&d->waiting, UINT32_MAX);
    if (loop_watch_add(w->loop, &d->watch, fd, LOOP_IN | LOOP_OUT | LOOP_EDGE, on_socket) !=
        ST_OK) {
        *err = errno;
        close(fd);
        free(d);
        return ST_E_IO;
    }
    *out = d;
    return ST_OK;
}

void udp_door_close(struct udp_door *d)
{
    int fd = d->watch.fd;

    bufq_clear(&d->out, d->worker->pool);
    bufq_clear(&d->waiting, d->worker->pool);
    /* Not loop_watch_forget: another process may have the socket, too. */
    loop_watch_del(d->worker->loop, &d->watch);
    close(fd);
    free(d);
}

enum status udp_door_read(struct udp_door *d, struct bufq *q)
{
    enum status st = udp_recv(d->worker->out.batch, d->watch.fd, q);

    d->readable = st != ST_OK;
    return st;
}

void udp_door_write(struct udp_door *d)
{
    int err = 0;

    if (d->out.head == NULL || d->blocked)
        return;
    enum status st =
        udp_send(d->worker->out.batch, d->watch.fd, d->dual, &d->out, NULL, NULL, &err);
    d->blocked = st == ST_FULL;
    if (st < 0)
        bufq_clear(&d->out, d->worker->pool);
}

enum status udp_door_export(const struct udp_door *d, struct handoff *into)
{
    const struct handoff_key key = {.where = d->where, .udp = true, .v6only = d->v6only};

    return handoff_add_copy(into, &key, d->watch.fd);
}
