#include "io/dial.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/sockaddr.h"

struct attempt {
    struct watch watch; /* fd -1: free */
    struct dial *dial;
    struct addr addr;
};

struct dial {
    struct loop *loop;
    struct dial_conf conf;
    struct timer stagger, deadline;
    struct dial_result last; /* the last failure */
    void *arg;
    void (*fn)(void *arg, const struct dial_result *);
    struct attempt attempts[DIAL_FLIGHT_MAX];
    unsigned live;
    size_t next, n; /* addrs[next..n) are still to be tried */
    struct addr addrs[];
};

/* ---- one address ----------------------------------------------------------------------------- */

static enum status failed(struct dial_result *res, int err)
{
    res->fd = -1;
    res->err = err;
    res->connected = false;
    res->status = err == EMFILE || err == ENFILE ? ST_E_LIMIT : ST_E_IO;
    return res->status;
}

static bool bind_source(int fd, const struct addr *source)
{
    union sockaddr_any sa;
    struct addr any_port = *source;
    const int on = 1;

    any_port.port = 0;
    /* The kernel chooses the port at connect(), by the whole four-tuple: else 28,000 connections
     * use up an address. */
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    socklen_t len = sockaddr_from_addr(&sa, &any_port);
    return bind(fd, &sa.any, len) == 0;
}

/* Opens a socket and starts to connect it: ST_OK with connected telling whether that is done
 * already. */
static enum status connect_one(const struct dial_conf *conf, const struct addr *to, bool tfo,
                               struct dial_result *res)
{
    const struct addr *source = to->family == ADDR_IP4 ? &conf->bind4 : &conf->bind6;
    union sockaddr_any sa;
    socklen_t len = sockaddr_from_addr(&sa, to);
    const int on = 1;
    int fd;

    *res = (struct dial_result){.addr = *to, .fd = -1};
    fd = socket(sockaddr_family(to), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0)
        return failed(res, errno);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (tfo)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on));
    if (source->family == ADDR_NONE || bind_source(fd, source)) {
        res->connected = connect(fd, &sa.any, len) == 0;
        if (res->connected || errno == EINPROGRESS) {
            res->fd = fd;
            return ST_OK;
        }
    }
    failed(res, errno);
    close(fd);
    return res->status;
}

/* ---- race ------------------------------------------------------------------------------------ */

static void free_dial(struct dial *d)
{
    for (unsigned i = 0; i < DIAL_FLIGHT_MAX; i++) {
        int fd = d->attempts[i].watch.fd;
        if (fd < 0)
            continue;
        loop_watch_forget(d->loop, &d->attempts[i].watch);
        close(fd);
    }
    loop_timer_del(d->loop, &d->stagger);
    loop_timer_del(d->loop, &d->deadline);
    free(d);
}

static void finish(struct dial *d, const struct dial_result *res)
{
    struct dial_result copy = *res;
    void (*fn)(void *, const struct dial_result *) = d->fn;
    void *arg = d->arg;

    free_dial(d);
    fn(arg, &copy);
}

static void on_writable(struct watch *w, uint32_t events);

static struct attempt *free_attempt(struct dial *d)
{
    for (unsigned i = 0; i < DIAL_FLIGHT_MAX; i++)
        if (d->attempts[i].watch.fd < 0)
            return &d->attempts[i];
    return NULL;
}

/* Starts attempts until one is under way: addresses that fail at once (no route for a family) cost
 * no time.
 *   ST_OK    *@res is a connected socket, or the last address, connecting with no rival left
 *   ST_MORE  an attempt is under way, or there was nothing left to start
 *   error    nothing is under way any more */
static enum status start_next(struct dial *d, struct dial_result *res)
{
    struct attempt *a = free_attempt(d);

    while (a != NULL && d->next < d->n) {
        bool only = d->next + 1 == d->n && d->live == 0;
        enum status st = connect_one(&d->conf, &d->addrs[d->next++], false, res);
        if (st == ST_OK && (res->connected || only))
            return ST_OK;
        if (st == ST_OK) {
            st = loop_watch_add(d->loop, &a->watch, res->fd, LOOP_OUT | LOOP_EDGE, on_writable);
            if (st == ST_OK) {
                a->addr = res->addr;
                d->live++;
                if (d->next < d->n)
                    loop_timer_in(d->loop, &d->stagger, DIAL_STAGGER_MS);
                return ST_MORE;
            }
            int err = errno;
            close(res->fd);
            failed(res, err);
        }
        d->last = *res;
        if (d->last.status == ST_E_LIMIT)
            d->next = d->n; /* out of descriptors: more addresses do not help */
    }
    if (d->live > 0)
        return ST_MORE;
    *res = d->last;
    return res->status;
}

static void go_on(struct dial *d)
{
    struct dial_result res;

    if (start_next(d, &res) != ST_MORE)
        finish(d, &res);
}

static void on_writable(struct watch *w, uint32_t events)
{
    struct attempt *a = LIST_ENTRY(w, struct attempt, watch);
    struct dial *d = a->dial;
    int fd = w->fd, err = 0;
    socklen_t len = sizeof(err);

    (void)events;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
        err = errno;
    d->live--;
    if (err == 0) {
        loop_watch_del(d->loop, w);
        finish(d, &(struct dial_result){.fd = fd, .connected = true, .addr = a->addr});
        return;
    }
    loop_watch_forget(d->loop, w);
    close(fd);
    d->last.addr = a->addr;
    failed(&d->last, err);
    loop_timer_del(d->loop, &d->stagger);
    go_on(d);
}

static void on_stagger(struct timer *t)
{
    go_on(LIST_ENTRY(t, struct dial, stagger));
}

static void on_deadline(struct timer *t)
{
    struct dial *d = LIST_ENTRY(t, struct dial, deadline);
    const struct dial_result res = {
        .status = ST_E_TIMEOUT, .err = ETIMEDOUT, .fd = -1, .addr = d->addrs[d->next - 1]};

    finish(d, &res);
}

static struct dial *new_dial(struct loop *l, const struct dial_conf *conf, const struct addr *addrs,
                             size_t n)
{
    struct dial *d = calloc(1, sizeof(*d) + n * sizeof(struct addr));

    if (d == NULL)
        return NULL;
    d->loop = l;
    d->conf = *conf;
    d->n = n;
    memcpy(d->addrs, addrs, n * sizeof(struct addr));
    timer_init(&d->stagger, on_stagger);
    timer_init(&d->deadline, on_deadline);
    for (unsigned i = 0; i < DIAL_FLIGHT_MAX; i++) {
        d->attempts[i].watch.fd = -1;
        d->attempts[i].dial = d;
    }
    return d;
}

enum status dial_start(struct loop *l, const struct dial_conf *conf, const struct addr *addrs,
                       size_t n, void *arg, void (*fn)(void *arg, const struct dial_result *),
                       struct dial_result *now, struct dial **out)
{
    struct dial *d;
    enum status st;

    BUG_ON(n == 0);
    *out = NULL;
    if (n == 1)
        return connect_one(conf, addrs, conf->tfo, now);
    d = new_dial(l, conf, addrs, n < DIAL_ADDRS_MAX ? n : DIAL_ADDRS_MAX);
    if (d == NULL) {
        *now = (struct dial_result){.status = ST_E_NOMEM, .err = ENOMEM, .fd = -1};
        return ST_E_NOMEM;
    }
    d->arg = arg;
    d->fn = fn;
    st = start_next(d, now);
    if (st != ST_MORE) {
        free_dial(d);
        return st;
    }
    loop_timer_in(l, &d->deadline, conf->timeout_ms != 0 ? conf->timeout_ms : DIAL_TIMEOUT_MS);
    *out = d;
    return ST_MORE;
}

void dial_cancel(struct dial *d)
{
    if (d != NULL)
        free_dial(d);
}

void dial_interleave(struct addr *addrs, size_t n, enum addr_family first)
{
    struct addr copy[DIAL_ADDRS_MAX];
    size_t at[2] = {0, 0}; /* next candidate of the first family, and of the other */
    unsigned turn = 0;

    n = n < DIAL_ADDRS_MAX ? n : DIAL_ADDRS_MAX;
    memcpy(copy, addrs, n * sizeof(copy[0]));
    for (size_t i = 0; i < n;) {
        while (at[turn] < n && (copy[at[turn]].family == first) != (turn == 0))
            at[turn]++;
        if (at[turn] < n)
            addrs[i++] = copy[at[turn]++];
        turn ^= 1;
    }
}

/* ---- Unix sockets ---------------------------------------------------------------------------- */

enum status dial_unix(const char *path, bool padded, struct dial_result *out)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    bool abstract = path[0] == '@';

    *out = (struct dial_result){.fd = -1};
    if (len >= sizeof(sa.sun_path))
        return failed(out, ENAMETOOLONG);
    memcpy(sa.sun_path, path, len);
    if (abstract)
        sa.sun_path[0] = '\0';
    size_t used = padded ? sizeof(sa.sun_path) : abstract ? len : len + 1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return failed(out, errno);
    if (connect(fd, (struct sockaddr *)&sa,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + used)) != 0) {
        failed(out, errno);
        if (out->err == EAGAIN)
            out->status = ST_E_BUSY;
        close(fd);
        return out->status;
    }
    out->fd = fd;
    out->connected = true;
    return ST_OK;
}
