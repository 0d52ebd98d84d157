#include "io/splice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct splice_pipe {
    struct splice_pipe *next; /* while free */
    int rd, wr;
    size_t size, held;
};

struct splice_pool {
    struct splice_pipe *free;
    unsigned made;
};

struct splice_pool *splice_pool_new(void)
{
    return calloc(1, sizeof(struct splice_pool));
}

static void pipe_free(struct splice_pipe *p)
{
    close(p->rd);
    close(p->wr);
    free(p);
}

void splice_pool_free(struct splice_pool *sp)
{
    if (sp == NULL)
        return;
    while (sp->free) {
        struct splice_pipe *p = sp->free;
        sp->free = p->next;
        pipe_free(p);
    }
    free(sp);
}

static struct splice_pipe *pipe_take(struct splice_pool *sp)
{
    struct splice_pipe *p = sp->free;
    if (p) {
        sp->free = p->next;
        return p;
    }
    if (sp->made >= SPLICE_PIPES)
        return NULL;
    int fds[2];
    p = malloc(sizeof(*p));
    if (p == NULL || pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0) {
        free(p);
        return NULL;
    }
    int size = fcntl(fds[1], F_SETPIPE_SZ, SPLICE_PIPE_SIZE);
    if (size < 0)
        size = fcntl(fds[1], F_GETPIPE_SZ);
    *p = (struct splice_pipe){.rd = fds[0], .wr = fds[1], .size = size > 0 ? (size_t)size : 65536};
    sp->made++;
    return p;
}

static void pipe_give(struct splice_pool *sp, struct splice_pipe *p)
{
    if (p->held > 0) { /* never hand another session's bytes on */
        sp->made--;
        pipe_free(p);
        return;
    }
    p->next = sp->free;
    sp->free = p;
}

void splice_fini(struct splice *s, struct splice_pool *sp)
{
    if (s->pipe)
        pipe_give(sp, s->pipe);
    s->pipe = NULL;
}

static enum status broken(struct conn *c, int err)
{
    c->broken = true;
    return err == ECONNRESET || err == EPIPE || err == ETIMEDOUT ? ST_E_CLOSED : ST_E_IO;
}

/* Socket to pipe. ST_OK, ST_MORE, ST_EOF or an error. */
static enum status fill(struct splice_pipe *p, struct conn *src, size_t max, size_t *in, int *err)
{
    size_t want = p->size - p->held < max ? p->size - p->held : max;
    if (want == 0)
        return ST_OK;
    ssize_t n;
    do {
        n = splice(src->watch.fd, NULL, p->wr, NULL, want, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        p->held += (size_t)n;
        *in += (size_t)n;
        return ST_OK;
    }
    if (n == 0) {
        src->eof = true;
        conn_drained(src);
        return ST_EOF;
    }
    if (errno == EAGAIN) {
        /* With bytes in the pipe EAGAIN may mean that the pipe's slots are used up, not that the
         * socket is drained. */
        if (p->held == 0)
            conn_drained(src);
        return ST_MORE;
    }
    *err = errno;
    conn_drained(src);
    return broken(src, errno);
}

/* Pipe to socket. ST_OK: empty; ST_FULL; or an error. */
static enum status drain(struct splice_pipe *p, struct conn *dst, size_t *out, int *err)
{
    while (p->held > 0) {
        ssize_t n;
        do {
            n = splice(p->rd, NULL, dst->watch.fd, NULL, p->held,
                       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        } while (n < 0 && errno == EINTR);
        if (n <= 0) {
            if (n < 0 && errno != EAGAIN) {
                *err = errno;
                return broken(dst, errno);
            }
            dst->writable = false;
            return ST_FULL;
        }
        p->held -= (size_t)n;
        *out += (size_t)n;
    }
    return ST_OK;
}

enum status splice_fill(struct splice *s, struct splice_pool *sp, struct conn *src, size_t max,
                        size_t *n, int *err)
{
    *n = 0;
    if (s->pipe == NULL && (s->pipe = pipe_take(sp)) == NULL)
        return ST_E_BUSY;
    if (src->broken)
        return ST_E_CLOSED;
    if (src->eof)
        return ST_EOF;
    return src->readable ? fill(s->pipe, src, max, n, err) : ST_MORE;
}

enum status splice_drain(struct splice *s, struct splice_pool *sp, struct conn *dst, size_t *n,
                         int *err)
{
    enum status st = ST_OK;
    *n = 0;
    if (s->pipe != NULL && s->pipe->held > 0)
        st = dst->writable ? drain(s->pipe, dst, n, err) : ST_FULL;
    if (s->pipe != NULL && s->pipe->held == 0)
        splice_fini(s, sp);
    return st;
}
