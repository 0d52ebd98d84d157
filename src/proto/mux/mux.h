/* proto/mux/mux.h - the server's side of a carrier: many streams of bytes and of datagrams in one
 * stream of bytes (Mux.Cool), and one flow of datagrams in it (XUDP). Pure.
 *
 *   carrier up --> mux_rx --> stream.up   (one queue a stream, of the session above it)
 *   carrier down <-- mux_tx <-- stream.down
 *
 * Life of a stream: MUX_EV_OPEN, mux_add -> bytes both ways -> the client's End (MUX_EV_ENDED: it
 * is out) or mux_close (End is sent once mux_tx has room; then mux_take_closed gives it back).
 * Wake-ups are polled: what mux_tx has emptied is in mux_take_drained.
 *
 * Source: Xray-core 25.12.1 common/mux/server.go. Single-threaded, one per carrier. */
#ifndef PROTO_MUX_MUX_H
#define PROTO_MUX_MUX_H

#include "base/list.h"
#include "base/span.h"
#include "proto/mux/frame.h"

/* The largest datagram for a client: a larger one makes Xray-core's close the carrier. */
#define MUX_DATAGRAM_MAX 8192
/* Unread bytes of one stream, of one stream's datagrams in number, and of all streams: beyond it a
 * carrier is not read on, datagrams are dropped. */
#define MUX_UP_MAX       (256u * 1024)
#define MUX_UP_COUNT_MAX 512u
#define MUX_UP_ALL_MAX   (2u * 1024 * 1024)
#define MUX_QUANTUM      (16u * 1024) /* bytes of a stream before the next one's turn */

struct mux_stream {
    struct mux_stream *chain;    /* next of the same bucket */
    struct list all;             /* in mux.all */
    struct list ready;           /* in mux.ready, mux.drained or mux.closed */
    struct bufq *up, *down;      /* lent by the session above; NULL: it is gone */
    uint32_t up_seen, down_seen; /* bytes of the two as they are counted in mux */
    uint16_t id;
    bool udp;
    bool failed; /* says so in its End */
    /* Datagrams that come from @from are told to come from @name (the first target, asked for by
     * name); NULL: none. */
    const struct target *name;
    struct addr from;
};

#define MUX_BUCKETS_MIN 8u

struct mux {
    struct pool *pool;
    uint32_t left;               /* bytes of data that follow a head already eaten */
    struct mux_stream *current;  /* whose they are; NULL: nobody's */
    bool datagram;               /* they are one */
    bool waits;                  /* for a session to take from its up queue */
    struct target *first_to;     /* where New's datagram goes; NULL: the flow's own target */
    struct mux_stream **buckets; /* = few, or pool_alloc'ed */
    struct mux_stream *few[MUX_BUCKETS_MIN];
    uint32_t bucket_count;
    uint32_t count;     /* streams, those that wait for their End included */
    uint64_t up_queued; /* bytes in all up queues, and in all down queues */
    uint64_t down_queued;
    struct list all, ready, drained, closed;
    uint64_t unknown, dropped; /* frames for streams that are not there; datagrams not taken */
};

enum mux_event_kind {
    MUX_EV_OPEN,  /* a new stream: mux_add or mux_refuse before the next mux_rx */
    MUX_EV_DATA,  /* @stream's up queue has more */
    MUX_EV_ENDED, /* the client ended @stream: it is out, its End answered; nothing of it is read */
    MUX_EV_REPLACED, /* the client uses @stream's id anew: it is out, without a word */
};

struct mux_event {
    enum mux_event_kind kind;
    struct mux_stream *stream;
    struct mux_frame open; /* MUX_EV_OPEN: id, network, target, has_global, global_id */
};

/* @pool: for spans and tables. */
void mux_init(struct mux *m, struct pool *pool);
/* Takes all streams out first (mux_first, mux_remove): they are the owner's. */
void mux_fini(struct mux *m);

/* Eats @in up to the next thing the owner must know of; what has to be answered goes to @out.
 *   ST_OK       @ev is filled; call again
 *   ST_MORE     @in holds the beginning of a frame, or nothing
 *   ST_FULL     @out is full, or a stream's queue: call after mux_tx or mux_taken
 *   ST_E_PROTO  the carrier must be closed: @why
 *   ST_E_NOMEM  the carrier must be closed */
NODISCARD enum status mux_rx(struct mux *m, struct bufq *in, struct bufq *out, struct mux_event *ev,
                             struct why *why);
/* The answer to MUX_EV_OPEN. @st, zeroed but for up and down, gets what the frame carried. A first
 * datagram goes to the flow's own target, or, where the flow is an older one (@resumed), to the
 * one that @open names. */
void mux_add(struct mux *m, struct mux_stream *st, const struct mux_frame *open, bool resumed);
/* The other answer: an End with the error mark, written to @out. ST_OK or ST_E_NOMEM. */
NODISCARD enum status mux_refuse(struct mux *m, const struct mux_frame *open, struct bufq *out);

/* The session above has put something in @st's down queue. */
void mux_pushed(struct mux *m, struct mux_stream *st);
/* It has taken something out of the up queue. True: mux_rx waited for that. */
bool mux_taken(struct mux *m, struct mux_stream *st);
/* It is gone, its queues too: End goes out in its turn. @failed: its target failed. */
void mux_close(struct mux *m, struct mux_stream *st, bool failed);
/* Takes @st out at once; nothing is said. */
void mux_remove(struct mux *m, struct mux_stream *st);

/* Fills @out from the streams in turn, a quantum each, as long as it has room. ST_OK: nothing more
 * to send; ST_FULL; ST_E_NOMEM. */
NODISCARD enum status mux_tx(struct mux *m, struct bufq *out);
/* Streams whose down queue mux_tx has emptied; streams whose End is out (they are the owner's
 * again). NULL: no more. */
struct mux_stream *mux_take_drained(struct mux *m);
struct mux_stream *mux_take_closed(struct mux *m);
/* Any stream; NULL: none is left. */
struct mux_stream *mux_first(const struct mux *m);

#endif
