/* proto/vless/vision.h - flow xtls-rprx-vision of one connection: the blocks of both directions and
 * what they know of the TLS inside. Pure. Exists only until both directions have stopped padding.
 *
 * Source: Xray-core 25.12.1 proxy/proxy.go; docs/internals/reality-and-vision.md. */
#ifndef PROTO_VLESS_VISION_H
#define PROTO_VLESS_VISION_H

#include "proto/vless/vision_filter.h"
#include "proto/vless/vision_frame.h"
#include "proto/vless/vision_pad.h"
#include "stream/layer.h"

struct vision;

/* @uuid as the client sent it. @streams: there are many in it (mux), so nobody below ever leaves
 * the way down. NULL without memory. */
struct vision *vision_new(struct pool *p, const uint8_t uuid[UUID_LEN], bool streams);
void vision_free(struct pool *p, struct vision *v); /* wipes; NULL is fine */

/* One call of the layer's rx and tx. What the direction came to is reported by EV_LEAVE_RX (plain
 * from here on, nobody leaves below), EV_LEAVE_RX_BOTTOM (raw), and the same for tx. Answers as
 * struct layer_ops says. */
NODISCARD enum status vision_rx(struct vision *v, const struct env *env, struct turn *t);
NODISCARD enum status vision_tx(struct vision *v, const struct env *env, struct turn *t);
/* The response header has gone out with the first block. */
bool vision_answered(const struct vision *v);
/* Both directions have stopped padding: nothing is left to do. */
bool vision_is_over(const struct vision *v);

#endif
