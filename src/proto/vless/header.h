/* proto/vless/header.h - the VLESS request header. Pure.
 *
 * Source: Xray-core 25.12.1 proxy/vless/encoding (encoding.go, addons.go):
 *   version 0 | uuid 16 | addons length 1 | addons | command 1 | port 2 | address type 1 | address
 * Commands mux and reverse have no port and address. */
#ifndef PROTO_VLESS_HEADER_H
#define PROTO_VLESS_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"
#include "base/uuid.h"

#define VLESS_ID_AT       1                                /* offset of the uuid */
#define VLESS_ID_END      (VLESS_ID_AT + UUID_LEN)         /* what tells a user of ours: 17 bytes */
#define VLESS_HEADER_MAX  (18 + 255 + 1 + 2 + 1 + 1 + 255) /* the longest header */
#define VLESS_FLOW_VISION "xtls-rprx-vision"

enum vless_command { VLESS_TCP = 1, VLESS_UDP = 2, VLESS_MUX = 3, VLESS_REVERSE = 4 };
enum vless_flow { VLESS_FLOW_NONE, VLESS_FLOW_IS_VISION, VLESS_FLOW_OTHER };

struct vless_header {
    size_t len; /* bytes of the header */
    enum vless_command command;
    enum vless_flow flow;
    struct target target; /* commands TCP and UDP only */
};

/* Reads a header from the beginning of @p.
 *   ST_OK       @h is filled
 *   ST_MORE     what is there is sound, but not all; always so below h->len, never at
 *               VLESS_HEADER_MAX
 *   ST_E_PROTO  never a header, however it goes on; @why says where it broke
 * The uuid is the caller's to look up (VLESS_ID_AT). */
NODISCARD enum status vless_header_parse(const uint8_t *p, size_t len, struct vless_header *h,
                                         struct why *why);

/* Reads the addons message (protobuf: field 1 string Flow, field 2 bytes Seed; unknown fields of
 * any kind are skipped). ST_OK or ST_E_PROTO (malformed: what a protobuf library would refuse). */
NODISCARD enum status vless_addons_parse(const uint8_t *p, size_t len, enum vless_flow *flow);

#endif
