/* proto/shadowsocks/packets.h - datagrams of Shadowsocks, all families.
 *
 * AEAD (SIP004 section 1.2): salt | sealed(address | payload). A flow is a client's address and
 * port, pinned to the user who was found for its first datagram (as Xray-core does it).
 * 2022 (SIP022 section 3.2): a flow is a user's session id, wherever it comes from, with a sliding
 * window over the numbers of its datagrams. none: address | payload. */
#ifndef PROTO_SHADOWSOCKS_PACKETS_H
#define PROTO_SHADOWSOCKS_PACKETS_H

#include "proto/shadowsocks/conf.h"
#include "stream/packet.h"

extern const struct packet_ops ss_packet_ops;

/* ---- between the files ---- */

/* A span with @head bytes free in front of @s and @tail behind: @s or a copy. Takes @s over; NULL
 * without memory. */
struct span *ss_make_room(struct pool *p, struct span *s, uint32_t head, uint32_t tail);
/* Cuts @s to @len bytes from @off on. */
static inline void ss_cut(struct span *s, uint32_t off, uint32_t len)
{
    s->off += off;
    s->len = len;
}

/* packets_aead.c: packet_ops.flow_size, open and seal, answers as there */
size_t ss_aead_flow_size(void);
enum status ss_aead_open_packet(const struct packet_env *e, void *flow, struct span *s,
                                struct packet *p);
struct span *ss_aead_seal_packet(const struct packet_env *e, void *flow, struct span *s);
/* packets_2022.c: the same, and packet_ops.identify */
size_t ss2022_flow_size(void);
enum status ss2022_identify(const struct packet_env *e, struct span *s, struct packet *p);
enum status ss2022_open_packet(const struct packet_env *e, void *flow, struct span *s,
                               struct packet *p);
struct span *ss2022_seal_packet(const struct packet_env *e, void *flow, struct span *s);

#endif
