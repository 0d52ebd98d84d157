/* io/conn.h - one TCP (or Unix) connection: readiness kept as flags, bytes moved between the socket
 * and queues.
 *
 * Registered once, edge-triggered, for in, out and hang-up. An event only sets flags and calls
 * notify; the owner then reads and writes as it likes. Single-threaded. Holds no memory for
 * bytes. */
#ifndef IO_CONN_H
#define IO_CONN_H

#include "base/span.h"
#include "io/loop.h"

#define CONN_READ_MAX (1024u * 1024) /* most one conn_read takes */

struct conn {
    struct watch watch; /* fd -1: closed */
    struct loop *loop;
    void (*notify)(struct conn *); /* flags changed */
    bool connecting;               /* connect() is under way; conn_connected clears it */
    bool readable;                 /* a read may give something */
    bool writable;                 /* a write may take something */
    bool hup;          /* FIN or RST has been seen by the kernel: reads go on to the end */
    bool eof;          /* read returned 0 */
    bool fin_sent;     /* conn_shutdown was called */
    bool broken;       /* a read or write failed: nothing more goes either way */
    bool muted;        /* see conn_mute; only while readable */
    bool paced;        /* see conn_pace */
    uint8_t read_hint; /* log2 of how many blks the next read offers, grown by full reads */
};

/* Registers @fd (the conn's from now on, also on error: then it is closed). ST_OK or ST_E_IO. */
NODISCARD enum status conn_open(struct conn *c, struct loop *l, int fd, bool connecting,
                                void (*notify)(struct conn *));
/* Closes the socket: in order (FIN), or with @reset by RST. Harmless twice. */
void conn_close(struct conn *c, bool reset);
static inline bool conn_is_open(const struct conn *c)
{
    return c->watch.fd >= 0;
}
/* A connecting conn that became writable: ST_OK when connected, ST_MORE when not yet, ST_E_IO
 * with *@err. */
NODISCARD enum status conn_connected(struct conn *c, int *err);

/* Reads at most @max bytes (1..CONN_READ_MAX) into fresh spans of @q. ST_OK: something was
 * read, and readable tells if there may be more; ST_MORE: nothing to read now; ST_EOF: eof set;
 * ST_E_NOMEM: no blk, nothing lost; ST_E_CLOSED: reset (*@err errno); ST_E_IO. */
NODISCARD enum status conn_read(struct conn *c, struct bufq *q, size_t max, struct pool *p,
                                int *err);
/* The owner will not read for a while: what arrives meanwhile is not worth an event each. Does
 * nothing unless readable, which stays so; reports go on with the read that finds nothing more. */
void conn_mute(struct conn *c);
/* From now on the kernel spreads what is written over the round trip, in its own time, instead of
 * sending all of it within the write (SO_MAX_PACING_RATE, tc-fq(8)), a gigabyte a second at most.
 * Off takes away that bound; the kernel goes on pacing. Where it does not know how, nothing
 * changes. */
void conn_pace(struct conn *c, bool on);
/* A read found nothing more: clears readable. For io/splice.c. */
void conn_drained(struct conn *c);
/* Writes from @q until it is empty or the socket is full, obeying SPAN_EDGE and SPAN_ALONE. *@sent
 * (may be NULL) counts bytes. ST_OK: @q is empty; ST_FULL: writable is cleared; ST_E_CLOSED or
 * ST_E_IO with *@err. */
NODISCARD enum status conn_write(struct conn *c, struct bufq *q, struct pool *p, size_t *sent,
                                 int *err);
/* Sends FIN once. */
void conn_shutdown(struct conn *c);
/* Bytes the socket would take now: send buffer less what is queued in it (SO_MEMINFO); SIZE_MAX
 * if the kernel does not say. */
size_t conn_send_room(const struct conn *c);

#endif
