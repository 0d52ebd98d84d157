/* proto/vless/vision_frame.h - Vision's blocks, and taking them off the uplink. Pure.
 *
 * Behind the VLESS header each direction begins with blocks (Xray-core 25.12.1 proxy/proxy.go):
 *   first block only: uuid 16 | command 1 | content length 2 | padding length 2 | content | padding
 * Command 0: another block follows; 1: the rest is plain, inside the outer TLS; 2: the rest is raw,
 * behind the outer record that ends the block. Blocks and outer records share no edges but that.
 *
 * The receiver holds what spans calls in its state and copies no payload: spans move on. */
#ifndef PROTO_VLESS_VISION_FRAME_H
#define PROTO_VLESS_VISION_FRAME_H

#include "base/span.h"
#include "base/uuid.h"

struct vision_filter;

#define VISION_HEAD        5    /* command and lengths */
#define VISION_BLOCK_MAX   8192 /* uuid, head, content, padding: what sing-box reads at once */
#define VISION_CONTENT_MAX (VISION_BLOCK_MAX - UUID_LEN - VISION_HEAD)

enum vision_command { VISION_CONTINUE = 0, VISION_END = 1, VISION_SWITCH = 2 };

/* Where one direction has got to. */
enum vision_mode {
    VISION_PADDED, /* blocks */
    VISION_PLAIN,  /* command 1: bytes as they are, through the record layer */
    VISION_DIRECT, /* command 2: bytes as they are, past the record layer */
};

struct vision_frame {
    uint8_t uuid[UUID_LEN];    /* wiped once it was met */
    uint16_t content, padding; /* still to come of this block */
    uint8_t command;
    uint8_t part; /* enum in vision_frame.c */
    uint8_t mode; /* enum vision_mode: to be read by the caller after each call */
    bool fresh;   /* the content's first byte is to come */
};

/* @uuid as the client sent it in his request, not as it is stored: bytes 6 and 7 are the client's
 * to choose (Xray-core proxy/vless/validator.go). */
void vision_frame_init(struct vision_frame *f, const uint8_t uuid[UUID_LEN]);

/* Eats blocks from @in and moves their content to @up, showing it to @filter (NULL: to nobody).
 * What does not begin with the uuid is plain from its first byte.
 *   ST_OK       all of @in is eaten; or the mode is VISION_DIRECT, and what @in holds comes right
 *               behind the block: it is not ours
 *   ST_MORE     @in holds the beginning of the uuid or of a head
 *   ST_FULL     @up is at its cap
 *   ST_E_PROTO  a command that does not exist      ST_E_NOMEM
 * When @in has ended in the middle of a block, what was left of it is nothing. */
NODISCARD enum status vision_frame_rx(struct vision_frame *f, struct vision_filter *filter,
                                      struct pool *p, struct bufq *in, struct bufq *up);

#endif
