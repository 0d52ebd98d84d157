/* proto/vless/vision_pad.h - Vision's blocks on the downlink: making them, and finding where to
 * stop. Pure; format and modes in vision_frame.h.
 *
 * Source: Xray-core 25.12.1 proxy/proxy.go. A stream that is not TLS is padded for about six
 * writes, TLS 1.2 up to its first application data, both then go on plain (command 1). TLS 1.3 is
 * cut where the last whole application data record ends (command 2), once the client has answered
 * the server's flight: no length of the inner handshake is shown bare. What follows goes past the
 * outer TLS, and an observer sees the inner connection's records from their first byte. The inner
 * records are followed through any cuts, so a switch comes whether or not reads end where records
 * end.
 *
 * What receivers rely on: each block is one span with SPAN_EDGE (a record of its own: sing-box
 * reads a block's head from one chunk), of at most VISION_BLOCK_MAX bytes; that of a command 2 is
 * SPAN_ALONE too, since bytes behind it in its record would be lost. The first block's span
 * begins with the VLESS response header, not counted in that limit. */
#ifndef PROTO_VLESS_VISION_PAD_H
#define PROTO_VLESS_VISION_PAD_H

#include "base/span.h"
#include "proto/vless/vision_frame.h"

struct rng;

#define VISION_RESPONSE 2 /* response header: version 0, no addons */

struct vision_pad {
    uint8_t uuid[UUID_LEN]; /* wiped once it was sent */
    uint8_t mode;           /* enum vision_mode: to be read by the caller after each call */
    bool may_switch;        /* command 2 is allowed */
    bool opened;            /* response header, uuid and the first block were made */
    bool mid;               /* the first span of the input is the rest of one that was cut */
    bool edge;              /* the next plain span begins a record */
};

/* @uuid as the client sent it. @may_switch false: never command 2, for a stream that is not one
 * connection to one target (mux). */
void vision_pad_init(struct vision_pad *v, const uint8_t uuid[UUID_LEN], bool may_switch);

/* Eats @down, shows it to @filter and fills @out with blocks, or with the bytes as they are once
 * the mode is VISION_PLAIN. Padding lengths come from @rng. Payload stays where it lies when its
 * blk is ours alone and has the room, else it is copied, at most VISION_CONTENT_MAX bytes a block.
 *   ST_OK    all of @down is eaten; or the mode is VISION_DIRECT, @out ends with the last block,
 *            and what @down holds is to go out raw
 *   ST_FULL  @out is at its cap      ST_E_NOMEM */
NODISCARD enum status vision_pad_tx(struct vision_pad *v, struct vision_filter *filter,
                                    struct rng *rng, struct pool *p, struct bufq *down,
                                    struct bufq *out);

#endif
