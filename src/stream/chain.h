/* stream/chain.h - the layers between one connection and the relay, run as one.
 *
 *   bottom:  rx queue (bytes read)  --> layer 0 --> layer 1 ... --> up     (top)
 *            tx queue (to write)   <-- layer 0 <-- layer 1 ... <-- down
 *
 * The caller owns the connection: it fills chain_bottom_in() from the socket, drains
 * chain_bottom_out() to it and calls chain_run in between. With no layers top and bottom are the
 * same queues. Single-threaded. */
#ifndef STREAM_CHAIN_H
#define STREAM_CHAIN_H

#include "stream/layer.h"

#define CHAIN_LAYERS_MAX 4
#define CHAIN_QUEUE_CAP  (64u * 1024) /* soft cap of each inner queue; bulk turns raise the ends */

/* One stage of a recipe: which layer with which configuration. */
struct chain_stage {
    const struct layer_ops *ops;
    const void *conf;
};

struct chain {
    const struct env *env;
    uint8_t count;   /* layers, 0 = the lowest */
    uint8_t made;    /* layers at chain_init: the size of the queues' allocation */
    uint8_t rx_gone; /* bit i: layer i left this direction; spans are moved past it */
    uint8_t tx_gone;
    uint8_t tx_leaving; /* bit i: gone as soon as what is queued above it has passed */
    uint8_t rx_full;    /* bit i: rx of layer i found its output full */
    bool one_unit;      /* a layer with LAYER_ONE_UNIT is undecided */
    uint8_t shut_done;
    uint8_t sound;      /* layers from here on have failed and get no more calls */
    uint8_t divert_at;  /* the layer that reported EV_DIVERT */
    int8_t failed;      /* enum status: the first error, 0 while there is none */
    bool no_half_close; /* a layer has LAYER_NO_HALF_CLOSE, and none above it has told an end */
    struct layer *layers[CHAIN_LAYERS_MAX];
    struct bufq *in, *out; /* count+1 each, in one allocation; [0] is the bottom, [count] the top */
};

enum chain_raw { CHAIN_RAW_NOW, CHAIN_RAW_LATER, CHAIN_RAW_NEVER };

/* Builds a chain of @n (0..CHAIN_LAYERS_MAX) layers. @env outlives the chain. ST_OK, ST_E_NOMEM
 * or what an init returned (then nothing is left to free). */
NODISCARD enum status chain_init(struct chain *c, const struct env *env,
                                 const struct chain_stage *stages, unsigned n);
/* Frees layers and queued bytes. Safe on a zeroed chain and twice. */
void chain_fini(struct chain *c);

static inline struct bufq *chain_bottom_in(const struct chain *c)
{
    return &c->in[0];
}
static inline struct bufq *chain_bottom_out(const struct chain *c)
{
    return &c->out[0];
}
static inline struct bufq *chain_up(const struct chain *c)
{
    return &c->in[c->count];
}
static inline struct bufq *chain_down(const struct chain *c)
{
    return &c->out[c->count];
}

/* Goes up by rx and down by tx until nothing moves. @ev is cleared first and holds what the
 * layers reported; *@wake_us (in/out) becomes the least time a layer asks for. Returns ST_OK;
 * ST_YIELD when its budget is spent: call again soon; or the first error. After an error the bytes
 * in the bottom's tx queue are still to be sent, and more calls only move what the layers below the
 * failed one have to say. When EV_DIVERT is reported the chain stops at once: see chain_divert. */
NODISCARD enum status chain_run(struct chain *c, struct events *ev, uint64_t now_us, int64_t unix_s,
                                uint64_t *wake_us);
/* Drops the layer that reported EV_DIVERT and those above it; its input is then in chain_up().
 * Layers below stay. */
void chain_divert(struct chain *c);
/* May the bytes of one direction bypass the chain (splice)? NOW: every layer left it and its
 * queues are empty; LATER: a layer may still leave, or bytes are queued; NEVER. */
enum chain_raw chain_raw(const struct chain *c, enum chain_dir dir);
/* Sum of queued bytes in one direction. */
size_t chain_queued(const struct chain *c, enum chain_dir dir);

#endif
