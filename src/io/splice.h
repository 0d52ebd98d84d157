/* io/splice.h - bytes from socket to socket without passing through the process (splice(2)).
 *
 * Pipes of 1 MiB belong to the worker and are lent while they hold bytes; at most SPLICE_PIPES
 * of them, because the kernel gives a user without privileges only 64 such pipes before it falls
 * back to tiny ones. Single-threaded. */
#ifndef IO_SPLICE_H
#define IO_SPLICE_H

#include "io/conn.h"

#define SPLICE_PIPES     24
#define SPLICE_PIPE_SIZE (1024 * 1024)

struct splice_pool;
struct splice_pipe;

struct splice_pool *splice_pool_new(void); /* NULL without memory; pipes are made on demand */
/* No pipe may be lent. NULL is fine. */
void splice_pool_free(struct splice_pool *sp);

/* One direction of a relay; zeroed = idle. */
struct splice {
    struct splice_pipe *pipe; /* held while it has bytes */
};

/* Two steps, so that what was taken can be counted before it is handed on: a process killed in the
 * second one has then counted what it moved.
 *
 * Reads up to @max bytes of @src into the pipe; *@n says how many.
 * ST_OK: src may have more (see readable); ST_MORE: nothing to read; ST_EOF: src ended;
 * ST_E_BUSY: no pipe free, use read and write; errors as conn_read with *@err. */
NODISCARD enum status splice_fill(struct splice *s, struct splice_pool *sp, struct conn *src,
                                  size_t max, size_t *n, int *err);
/* Writes what the pipe holds to @dst; *@n says how much. ST_OK: the pipe is empty and given back;
 * ST_FULL: dst takes no more; errors as conn_write with *@err. */
NODISCARD enum status splice_drain(struct splice *s, struct splice_pool *sp, struct conn *dst,
                                   size_t *n, int *err);
/* Gives the pipe back; bytes in it are lost (their session ends). */
void splice_fini(struct splice *s, struct splice_pool *sp);
static inline bool splice_pending(const struct splice *s)
{
    return s->pipe != NULL;
}

#endif
