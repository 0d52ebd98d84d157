#include "io/conn.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif

#define IOV_MAX_BLKS 64u /* x 16 KiB = CONN_READ_MAX */
/* reads up to this size move to a 2 KiB blk: a slow peer must not pin 16 KiB */
#define COPY_SMALL 1024u

#define PACE_MAX 1000000000u /* bytes a second */

static void on_event(struct watch *w, uint32_t events)
{
    struct conn *c = LIST_ENTRY(w, struct conn, watch);
    if (events & LOOP_IN)
        c->readable = true;
    if (events & LOOP_OUT)
        c->writable = true;
    if (events & LOOP_HUP)
        c->hup = c->readable = true;
    c->notify(c);
}

enum status conn_open(struct conn *c, struct loop *l, int fd, bool connecting,
                      void (*notify)(struct conn *))
{
    memset(c, 0, sizeof(*c));
    c->loop = l;
    c->notify = notify;
    c->connecting = connecting;
    c->writable = !connecting;
    enum status st =
        loop_watch_add(l, &c->watch, fd, LOOP_IN | LOOP_OUT | LOOP_HUP | LOOP_EDGE, on_event);
    if (st != ST_OK)
        close(fd);
    return st;
}

void conn_close(struct conn *c, bool reset)
{
    if (!conn_is_open(c))
        return;
    int fd = c->watch.fd;
    /* The kernel takes a closed fd out of the epoll set by itself (the fd is never duplicated, but
     * for the moment of an upgrade: loop_files_shared), which saves a system call per connection;
     * loop_watch_forget only drops events of this round. */
    loop_watch_forget(c->loop, &c->watch);
    if (reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    close(fd);
}

enum status conn_connected(struct conn *c, int *err)
{
    if (!c->writable && !c->hup)
        return ST_MORE;
    socklen_t len = sizeof(*err);
    *err = 0;
    /* A connect that failed comes with EPOLLERR, a hang-up for on_event: without one there is
     * nothing to ask for. */
    if (c->hup && getsockopt(c->watch.fd, SOL_SOCKET, SO_ERROR, err, &len) != 0)
        *err = errno;
    if (*err != 0)
        return ST_E_IO;
    c->connecting = false;
    return ST_OK;
}

void conn_mute(struct conn *c)
{
    const uint32_t events = LOOP_OUT | LOOP_HUP | LOOP_EDGE;

    if (c->readable && !c->muted && conn_is_open(c))
        c->muted = loop_watch_mod(c->loop, &c->watch, events) == ST_OK;
}

void conn_pace(struct conn *c, bool on)
{
    /* Below the bound, which few lines reach, the rate is TCP's own, window by round trip. */
    const uint32_t rate = on ? PACE_MAX : UINT32_MAX;

    if (c->paced == on || !conn_is_open(c))
        return;
    c->paced = on;
    (void)!setsockopt(c->watch.fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
}

void conn_drained(struct conn *c)
{
    const uint32_t events = LOOP_IN | LOOP_OUT | LOOP_HUP | LOOP_EDGE;

    c->readable = false;
    /* What came since the read is reported at once. */
    if (c->muted && loop_watch_mod(c->loop, &c->watch, events) != ST_OK)
        c->readable = true; /* read again, as long as nothing would be heard */
    c->muted = c->readable;
}

/* The socket is dead; what the relay does about it depends on whose it is. */
static enum status broken(struct conn *c, int err)
{
    c->broken = true;
    return err == ECONNRESET || err == EPIPE || err == ETIMEDOUT ? ST_E_CLOSED : ST_E_IO;
}

/* A short read into a blk of its own would hold 16 KiB for a few bytes. */
static struct span *shrink(struct span *s, struct pool *p)
{
    if (s->len > COPY_SMALL)
        return s;
    struct span *small = span_new_small(p);
    if (small == NULL)
        return s;
    memcpy(span_data(small), span_data(s), s->len);
    small->len = s->len;
    span_free(p, s);
    return small;
}

enum status conn_read(struct conn *c, struct bufq *q, size_t max, struct pool *p, int *err)
{
    struct iovec iov[IOV_MAX_BLKS];
    struct span *spans[IOV_MAX_BLKS];
    unsigned want = 1u << c->read_hint, n = 0;
    unsigned most = (unsigned)(max / BLK_READ);
    size_t blk = max < BLK_READ ? max : BLK_READ; /* a speed limit may want less than one */
    if (want > most)
        want = most > 0 ? most : 1;
    if (want > IOV_MAX_BLKS)
        want = IOV_MAX_BLKS;
    while (n < want && (spans[n] = span_new(p)) != NULL) {
        iov[n] = (struct iovec){.iov_base = span_data(spans[n]), .iov_len = blk};
        n++;
    }
    if (n == 0)
        return ST_E_NOMEM;
    ssize_t got;
    do {
        got = n == 1 ? recv(c->watch.fd, iov[0].iov_base, iov[0].iov_len, 0)
                     : readv(c->watch.fd, iov, (int)n);
    } while (got < 0 && errno == EINTR);
    size_t left = got > 0 ? (size_t)got : 0;
    int saved = errno;
    for (unsigned i = 0; i < n; i++) {
        if (left == 0) {
            span_free(p, spans[i]);
            continue;
        }
        spans[i]->len = left < BLK_READ ? (uint32_t)left : BLK_READ;
        left -= spans[i]->len;
        bufq_push(q, n == 1 || i == 0 ? shrink(spans[i], p) : spans[i]);
    }
    if (got == 0) {
        c->eof = true;
        conn_drained(c);
        return ST_EOF;
    }
    if (got < 0) {
        conn_drained(c);
        if (saved == EAGAIN || saved == EWOULDBLOCK)
            return ST_MORE;
        *err = saved;
        return broken(c, saved);
    }
    bool full = (size_t)got == (size_t)n * blk;
    /* A short read has drained the socket (epoll(7)), but a FIN seen before it still lies behind
     * the bytes. */
    if (!full && !c->hup)
        conn_drained(c);
    if (full && c->read_hint < 6 && n == 1u << c->read_hint)
        c->read_hint = (uint8_t)(c->read_hint + 2 > 6 ? 6 : c->read_hint + 2);
    else if (c->read_hint > 0 && (size_t)got <= (size_t)n * BLK_READ / 4)
        c->read_hint--;
    return ST_OK;
}

/* Spans that may share one write: stops before an EDGE, and around an ALONE. */
static unsigned gather(const struct bufq *q, struct iovec *iov, unsigned max)
{
    unsigned n = 0;
    for (const struct span *s = q->head; s && n < max; s = s->next) {
        if (n > 0 && (s->flags & (SPAN_EDGE | SPAN_ALONE)))
            break;
        iov[n++] = (struct iovec){.iov_base = span_data(s), .iov_len = s->len};
        if (s->flags & SPAN_ALONE)
            break;
    }
    return n;
}

enum status conn_write(struct conn *c, struct bufq *q, struct pool *p, size_t *sent, int *err)
{
    while (q->head) {
        struct iovec iov[IOV_MAX_BLKS + 8];
        struct msghdr msg = {.msg_iov = iov};
        unsigned n = gather(q, iov, IOV_MAX_BLKS + 8);
        size_t total = 0;
        for (unsigned i = 0; i < n; i++)
            total += iov[i].iov_len;
        msg.msg_iovlen = n;
        ssize_t put;
        do {
            put = sendmsg(c->watch.fd, &msg, MSG_NOSIGNAL);
        } while (put < 0 && errno == EINTR);
        if (put < 0) {
            /* EINPROGRESS: a fast open without room in its SYN, connected soon. */
            if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINPROGRESS) {
                c->writable = false;
                return ST_FULL;
            }
            *err = errno;
            return broken(c, errno);
        }
        bufq_drop(q, (size_t)put, p);
        if (sent)
            *sent += (size_t)put;
        if ((size_t)put < total) {
            /* The socket took part: it is full, and its next room is an edge. */
            c->writable = false;
            return ST_FULL;
        }
    }
    return ST_OK;
}

void conn_shutdown(struct conn *c)
{
    if (c->fin_sent || !conn_is_open(c))
        return;
    c->fin_sent = true;
    shutdown(c->watch.fd, SHUT_WR);
}

size_t conn_send_room(const struct conn *c)
{
    uint32_t mem[SK_MEMINFO_VARS];
    socklen_t len = sizeof(mem);
    if (getsockopt(c->watch.fd, SOL_SOCKET, SO_MEMINFO, mem, &len) != 0)
        return SIZE_MAX;
    uint32_t size = mem[SK_MEMINFO_SNDBUF], queued = mem[SK_MEMINFO_WMEM_QUEUED];
    return size > queued ? size - queued : 0;
}
