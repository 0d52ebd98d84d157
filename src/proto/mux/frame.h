/* proto/mux/frame.h - the frames of Mux.Cool and XUDP. Pure.
 *
 * Source: Xray-core 25.12.1 common/mux/frame.go, common/xudp/xudp.go:
 *   meta length 2 | id 2 | status 1 | option 1 | rest of meta | with option 1: data length 2 | data
 *   New:  network 1 | port 2 | address type 1 | address | UDP with data: GlobalID 8, or nothing
 *   Keep: nothing, or 2 (UDP) | port 2 | address type 1 | address
 * Whatever else follows in meta is ignored, as Xray-core does. */
#ifndef PROTO_MUX_FRAME_H
#define PROTO_MUX_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"

#define MUX_META_MIN   4
#define MUX_META_MAX   512 /* Xray-core closes the carrier above it */
#define MUX_HEAD_MAX   (2 + MUX_META_MAX + 2)
#define MUX_GLOBAL_LEN 8

enum mux_status { MUX_NEW = 1, MUX_KEEP = 2, MUX_END = 3, MUX_KEEP_ALIVE = 4 };
enum mux_option { MUX_OPT_DATA = 1, MUX_OPT_ERROR = 2 };
enum mux_network { MUX_TCP = 1, MUX_UDP = 2 };

/* Everything of a frame but its data. */
struct mux_frame {
    uint16_t id;
    uint8_t status;    /* enum mux_status */
    uint8_t option;    /* enum mux_option */
    uint8_t network;   /* enum mux_network; 0: the frame names no address */
    bool has_global;   /* New, UDP, with data: a GlobalID that is not zero */
    uint16_t data_len; /* 0 without data */
    uint8_t global_id[MUX_GLOBAL_LEN];
    struct target target; /* only with a network */
};

/* Reads the head of a frame from the beginning of @p; its data follows after *@used bytes.
 *   ST_OK       @f and *@used are filled
 *   ST_MORE     sound so far, but not all is there; never at MUX_HEAD_MAX
 *   ST_E_PROTO  meta of a length below 4 or above 512, unknown status or network, bad address: the
 *               carrier is beyond repair; @why says which */
NODISCARD enum status mux_frame_parse(const uint8_t *p, size_t len, struct mux_frame *f,
                                      size_t *used, struct why *why);

/* Heads of what a server sends. Each writes to @out and returns how many bytes. */
#define MUX_END_LEN       6
#define MUX_KEEP_LEN      8
#define MUX_KEEP_ADDR_MAX (2 + 4 + 1 + 2 + 1 + 1 + 255 + 2)
/* End; @failed: the target failed rather than ended. */
size_t mux_frame_end(uint8_t out[MUX_END_LEN], uint16_t id, bool failed);
/* Keep with @data_len bytes to follow. */
size_t mux_frame_keep(uint8_t out[MUX_KEEP_LEN], uint16_t id, uint16_t data_len);
/* Keep of a datagram that came from @from (a name or an IP). */
size_t mux_frame_keep_from(uint8_t out[MUX_KEEP_ADDR_MAX], uint16_t id, const struct target *from,
                           uint16_t data_len);
size_t mux_frame_keep_from_ip(uint8_t out[MUX_KEEP_ADDR_MAX], uint16_t id, const struct addr *from,
                              uint16_t data_len);

#endif
