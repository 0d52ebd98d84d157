/* stream/layer.h - what stands between a bottom (a connection) and a relay: one stage of bytes in,
 * bytes out.
 *
 *   wire side:  wire_in --> rx --> up      plain side
 *               wire_out <-- tx <-- down
 *
 * A layer has no fd, no clock, no thread and no callback: it eats from one queue, fills another,
 * and reports through struct events. Back-pressure is a full queue and nothing else. "Up" is
 * toward the relay, "down" toward the wire. Single-threaded. Life: chain allocates ops->size
 * zeroed bytes, init -> (rx | tx | shut)* -> fini. After an error only fini is called. What to
 * send before the end (alert, close frame) is put in wire_out by the call that returns the
 * error. */
#ifndef STREAM_LAYER_H
#define STREAM_LAYER_H

#include "base/addr.h"
#include "base/span.h"
#include "base/status.h"
#include "stream/env.h"

struct user_rt;  /* policy/user.h */
struct aux_dest; /* stream/aux.h */
struct layer;

enum port_kind { PORT_BYTES, PORT_PACKETS, PORT_STREAMS };

enum layer_flags {
    LAYER_MAY_DIVERT = 1,    /* may answer EV_DIVERT before READY */
    LAYER_MAY_LEAVE = 2,     /* may step out of a direction (EV_LEAVE_*) */
    LAYER_NO_HALF_CLOSE = 4, /* the end of one direction ends both (WebSocket) */
    LAYER_ONE_UNIT = 8,      /* until EV_UNITS_OFF the layers below open one unit at a time */
    LAYER_ASKS = 16,         /* needs env->aux; run it once before the client speaks */
};

enum events_mask {
    EV_READY = 1,   /* handshake of this layer done */
    EV_REQUEST = 2, /* a client named its target: events.request is filled */
    /* not ours: give wire_in (nothing of it eaten) to a fallback, this layer and those above are
     * dropped */
    EV_DIVERT = 4,
    EV_LEAVE_RX = 8, /* after this call the layer changes no byte of rx (or tx) any more */
    EV_LEAVE_TX = 16,
    /* The same for this layer, the nearest one below that can leave (ops->leave: a record layer)
     * and those between. rx: what wire_in of that layer still holds is raw, and follows what is
     * already decoded. tx: what this call put in wire_out still goes through it, nothing after
     * that. */
    EV_LEAVE_RX_BOTTOM = 32,
    EV_LEAVE_TX_BOTTOM = 64,
    EV_UNITS_OFF = 128, /* it is decided that nobody leaves to the bottom: ends LAYER_ONE_UNIT */
    EV_ASK = 256,       /* stream/aux.h: events.ask is filled */
    EV_AUX_DONE = 512,
    EV_ADOPT = 1024, /* together with EV_DIVERT */
    EV_RESET = 2048, /* with an error: the connection is to be reset, nothing more is said */
};

enum chain_dir { CHAIN_RX, CHAIN_TX };

/* MUX: Mux.Cool, many targets in the stream, none in the request. */
enum network { NETWORK_TCP = 1, NETWORK_UDP = 2, NETWORK_MUX = 3 };

struct request {
    enum network network;
    struct target target;
    /* NETWORK_UDP: every datagram has its own destination (span.peer), target is only the first */
    bool addressed;
    bool datagrams_only;  /* NETWORK_MUX: its streams must be of datagrams */
    struct user_rt *user; /* borrowed from env->users; the session takes its own reference */
};

/* Filled by the layers during one chain_run, read by the session right after it. Lives in the
 * worker, not in the session. */
struct events {
    uint32_t mask; /* enum events_mask */
    struct request request;
    const struct aux_dest *ask;
    struct why why; /* the origin of an error, for the one log line */
};

/* One call of a layer. Queues are borrowed for the call. */
struct turn {
    struct bufq *wire_in, *up, *down, *wire_out;
    struct events *ev;
    uint64_t now_us; /* monotonic */
    int64_t unix_s;  /* wall clock */
    bool one_unit;   /* open at most one unit of wire_in in this call */
    /* in/out: a layer lowers it to the monotonic time at which it wants a tx call; UINT64_MAX =
     * never */
    uint64_t wake_us;
};

struct layer_ops {
    const char *name;
    size_t size;                /* of the layer's state; struct layer is its first member */
    enum port_kind wire, plain; /* checked when a node is configured */
    uint32_t flags;             /* enum layer_flags */
    /* @conf is what the transport's or protocol's parse_conf made; outlives the layer. ST_OK,
     * ST_E_NOMEM, ST_E_CRYPTO. */
    enum status (*init)(struct layer *, const void *conf);
    /* Eats wire_in, fills up, may add to wire_out. wire_in->eof with what is left tells that
     * nothing follows. Sets up->eof when the peer ended its direction in order. Unfinished input
     * may stay in wire_in.
     *   ST_OK    everything usable is eaten
     *   ST_MORE  wire_in holds the beginning of a unit; call when there is more
     *   ST_FULL  up is at its cap; call when there is room
     *   error    the connection ends after wire_out is flushed; ev->why says why */
    enum status (*rx)(struct layer *, struct turn *);
    /* Eats down, fills wire_out. Same answers. Also called when wake_us passed and after rx of
     * the same chain. */
    enum status (*tx)(struct layer *, struct turn *);
    /* Once, when down is empty and ended: says goodbye in this direction (close_notify, Close
     * frame) and sets wire_out->eof if the layer below is to end too. NULL: wire_out->eof is set
     * and nothing is said. */
    enum status (*shut)(struct layer *, struct turn *);
    /* Asked when a layer above leaves to the bottom: from now on this layer changes and sends
     * nothing in that direction: no goodbye, ticket, alert or key update. False: it stays (a
     * codec whose masking goes on). NULL: not a layer that can leave. */
    bool (*leave)(struct layer *, enum chain_dir);
    void (*fini)(struct layer *); /* frees what the layer owns beyond its state; NULL if nothing */
};

/* First member of every layer's state. */
struct layer {
    const struct layer_ops *ops;
    const struct env *env;
};

/* Sets why and returns @st: for the origin of an error. */
static inline enum status turn_fail(struct turn *t, enum status st, const char *text, long number)
{
    return why_set(&t->ev->why, st, text, number);
}

#endif
