/* proto/shadowsocks/shadowsocks.h - the Shadowsocks server: both families, streams as a layer,
 * datagrams as packet_ops (packets.h). Pure.
 *
 *   AEAD:  SALT --50 bytes--> SEARCH --found--> ADDRESS --whole--> RELAY
 *             \------ nobody, played back, broken: DRAIN ------/
 *   2022:  SALT --fixed header--> VARIABLE --> RELAY;  on failure the connection is reset
 *   none:  ADDRESS --> leaves both directions
 *
 * Sources: SIP004, SIP022; Xray-core 25.12.1 proxy/shadowsocks, proxy/shadowsocks_2022;
 * sing-shadowsocks 0.2.7. Single-threaded, one per connection. */
#ifndef PROTO_SHADOWSOCKS_SHADOWSOCKS_H
#define PROTO_SHADOWSOCKS_SHADOWSOCKS_H

#include "stream/transport.h"

/* rx reports EV_REQUEST|EV_READY with target and user, or fails:
 *   ST_E_AUTH    nobody's, played back, or another clock; AEAD: after as many bytes as the node
 *                always eats before it closes, so that nothing is learnt from when. 2022: EV_RESET.
 *   ST_E_PROTO   the user is known, his request is broken; the same
 *   ST_E_CLOSED  the client ended before its request was whole */
extern const struct layer_ops ss_server_ops;
extern const struct proto proto_shadowsocks;

#endif
