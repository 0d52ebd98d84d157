/* The floor under the rows of bytes that no layer changes: a relay that does nothing but splice(2)
 * from socket to socket, with pipes of 1 MiB, on two threads, over edge-triggered epoll. Nobody is
 * looked up, counted or limited, nothing is freed with care: what it costs, the kernel asks for.
 *
 *   splice PORT TARGET_PORT [PORT TARGET_PORT]...      all on 127.0.0.1 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS   2
#define PIPE_SIZE (1 << 20)
#define EVENTS    64
#define PORTS_MAX 8

struct flow;

struct end {
    struct flow *flow; /* NULL: a listener */
    int fd;
    uint16_t target; /* of a listener */
    bool readable, writable;
};

/* [0]: from the client to the target. */
struct flow {
    struct end end[2];
    int pipe[2][2];
    size_t held[2];
    bool eof[2], done[2];
};

static char **ports;
static int port_count;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* The pipe is empty, so EAGAIN speaks of the socket. */
static void fill(struct flow *f, int d)
{
    struct end *src = &f->end[d];
    ssize_t n =
        splice(src->fd, NULL, f->pipe[d][1], NULL, PIPE_SIZE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n > 0)
        f->held[d] = (size_t)n;
    else if (n < 0 && errno == EAGAIN)
        src->readable = false;
    else
        f->eof[d] = true;
}

static void drain(struct flow *f, int d)
{
    struct end *dst = &f->end[!d];
    while (f->held[d] > 0 && dst->writable) {
        ssize_t n = splice(f->pipe[d][0], NULL, dst->fd, NULL, f->held[d],
                           SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n > 0) {
            f->held[d] -= (size_t)n;
            continue;
        }
        dst->writable = false;
        if (n < 0 && errno != EAGAIN) {
            f->held[d] = 0;
            f->eof[d] = true;
        }
    }
}

static void pump(struct flow *f, int d)
{
    drain(f, d);
    while (f->held[d] == 0 && !f->eof[d] && f->end[d].readable) {
        fill(f, d);
        drain(f, d);
    }
    if (f->eof[d] && f->held[d] == 0 && !f->done[d]) {
        f->done[d] = true;
        shutdown(f->end[!d].fd, SHUT_WR);
    }
}

static void watch(int ep, struct end *e, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = e};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, e->fd, &ev) != 0)
        die("epoll_ctl");
}

static void begin(int ep, int client, uint16_t target)
{
    struct flow *f = calloc(1, sizeof(*f));
    struct sockaddr_in sa = loopback(target);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (f == NULL || fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0)
        die("connect");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    f->end[0].fd = client;
    f->end[1].fd = fd;
    for (int d = 0; d < 2; d++) {
        f->end[d].flow = f;
        f->end[d].readable = f->end[d].writable = true;
        setsockopt(f->end[d].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (pipe2(f->pipe[d], O_NONBLOCK) != 0)
            die("pipe2");
        fcntl(f->pipe[d][1], F_SETPIPE_SZ, PIPE_SIZE);
        watch(ep, &f->end[d], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    }
}

static void end(struct flow *f)
{
    for (int d = 0; d < 2; d++) {
        close(f->end[d].fd);
        close(f->pipe[d][0]);
        close(f->pipe[d][1]);
    }
    /* The flow itself stays: events of this round may still name it. */
}

static void on_event(int ep, struct end *e, uint32_t events)
{
    struct flow *f = e->flow;
    if (f == NULL) {
        int client;
        while ((client = accept4(e->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0)
            begin(ep, client, e->target);
        return;
    }
    if (f->done[0] && f->done[1])
        return;
    e->readable |= (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    e->writable |= (events & EPOLLOUT) != 0;
    pump(f, 0);
    pump(f, 1);
    if (f->done[0] && f->done[1])
        end(f);
}

static uint16_t port_of(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (*end != '\0' || n < 1 || n > 65535)
        die(text);
    return (uint16_t)n;
}

static void *serve(void *unused)
{
    (void)unused;
    struct end listeners[PORTS_MAX] = {0};
    int one = 1, ep = epoll_create1(0);
    for (int i = 0; i < port_count / 2; i++) {
        struct sockaddr_in sa = loopback(port_of(ports[2 * i]));
        struct end *l = &listeners[i];
        l->target = port_of(ports[2 * i + 1]);
        l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        setsockopt(l->fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
        if (bind(l->fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(l->fd, 1024) != 0)
            die("listen");
        watch(ep, l, EPOLLIN);
    }
    for (;;) {
        struct epoll_event ev[EVENTS];
        int n = epoll_wait(ep, ev, EVENTS, -1);
        for (int i = 0; i < n; i++)
            on_event(ep, ev[i].data.ptr, ev[i].events);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t t;
    ports = argv + 1;
    port_count = argc - 1;
    if (port_count < 2 || port_count % 2 != 0 || port_count / 2 > PORTS_MAX)
        return 2;
    for (int i = 1; i < THREADS; i++)
        if (pthread_create(&t, NULL, serve, NULL) != 0)
            die("pthread_create");
    serve(NULL);
}
