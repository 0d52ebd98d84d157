/* proto/vmess/packetaddr.h - datagrams that say where they go to or come from, inside a flow that
 * has one target: a request for UDP to a name that nobody has (sing-vmess 0.2.7 packetaddr, asked
 * for by sing-box's packet_encoding). Pure.
 *
 *   datagram = type 1 (1 IPv4, 2 IPv6) | address | port 2 | payload */
#ifndef PROTO_VMESS_PACKETADDR_H
#define PROTO_VMESS_PACKETADDR_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/span.h"

#define PACKETADDR_NAME "sp.packet-addr.v2fly.arpa"
#define PACKETADDR_HEAD (1u + 16u + 2u) /* the longest */

/* True if datagrams to @t have addresses of their own. */
bool packetaddr_is(const struct target *t);
/* Makes the address at the beginning of @s, which is in no queue, its peer. False: there is
 * none. */
bool packetaddr_open(struct span *s);
/* Puts the peer of @s, which is in no queue, in front of it. Returns the span to use in place of
 * @s; NULL without memory (then @s is as it was). The peer must be an IP. */
struct span *packetaddr_seal(struct pool *p, struct span *s);

#endif
