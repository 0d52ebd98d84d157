/* stream/aux.h - a second stream that a layer asks its session for: REALITY's connection to the
 * server it stands in for. Owned by the session, which dials, reads and writes it; the layer sees
 * the queues. Pure.
 *
 * Life: env->aux is there, closed and empty, when the layers are made -> EV_ASK (ev->ask says
 * where to; dial now) -> bytes both ways, chain_run after each change -> one of
 *   EV_AUX_DONE            not needed any more: close it
 *   EV_ADOPT | EV_DIVERT   the client is to talk to it from now on: see below
 * or the end of the connection.
 *
 * EV_ADOPT: chain_divert; then client and helper are relayed to each other as they are, ends and
 * resets included. What chain_up() holds was not sent to the helper yet; what @out holds still has
 * to be, before it; what @in holds goes to the client, behind what the layer has written. */
#ifndef STREAM_AUX_H
#define STREAM_AUX_H

#include "base/span.h"

/* A brake on one direction of an adopted relay. */
struct aux_limit {
    uint64_t after;       /* bytes that are free */
    uint64_t rate, burst; /* bytes a second, bytes; rate 0: no brake */
};

/* Where to. Borrowed from the layer's configuration. */
struct aux_dest {
    const char *path;          /* Unix socket, a leading '@': abstract; NULL: @target */
    bool padded;               /* abstract name filled with zeros to 108 bytes */
    struct target target;      /* with its port */
    uint8_t xver;              /* version of the PROXY header to send first; 0: none */
    struct aux_limit up, down; /* once it is adopted: toward the helper, toward the client */
};

#define AUX_IN_CAP  (64u * 1024) /* what may have to be kept for the client ... */
#define AUX_OUT_CAP (16u * 1024) /* ... and for a helper that is not connected yet */

struct aux {
    struct bufq in;  /* from the helper; in.eof: it ended its direction */
    struct bufq out; /* to it; the session keeps it until the helper is connected */
    bool open;       /* connected */
    bool failed;     /* not to be connected, or reset */
    /* The time for a handshake has passed. The helper is connected; the layer gives the connection
     * to it, or waits as long as the helper does (the session: as long as a relay may be idle). */
    bool late;
    const struct aux_dest *dest; /* what was asked for */
};

static inline void aux_init(struct aux *x)
{
    *x = (struct aux){.open = false};
    bufq_init(&x->in, AUX_IN_CAP);
    bufq_init(&x->out, AUX_OUT_CAP);
}

static inline void aux_clear(struct aux *x, struct pool *p)
{
    bufq_clear(&x->in, p);
    bufq_clear(&x->out, p);
}

#endif
