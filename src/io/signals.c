#include "io/signals.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void on_signal(struct watch *w, uint32_t events)
{
    (void)events;
    struct signals *s = LIST_ENTRY(w, struct signals, watch);
    struct signalfd_siginfo info;
    if (read(w->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        s->fn(s, (int)info.ssi_signo);
}

enum status signals_init(struct signals *s, struct loop *l, void (*fn)(struct signals *, int signo))
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    s->loop = l;
    s->fn = fn;
    s->watch.fd = -1;
    signal(SIGPIPE, SIG_IGN); /* splice(2) to a dead socket raises it, whatever flags say */
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return ST_E_IO;
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return ST_E_IO;
    enum status st = loop_watch_add(l, &s->watch, fd, LOOP_IN, on_signal);
    if (st != ST_OK)
        close(fd);
    return st;
}

void signals_fini(struct signals *s)
{
    int fd = s->watch.fd;
    if (fd < 0)
        return;
    loop_watch_del(s->loop, &s->watch);
    close(fd);
}
