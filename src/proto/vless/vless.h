/* proto/vless/vless.h - the VLESS server as a layer. Pure.
 *
 *   HEADER --header whole--> TCP     rx leaves at once; tx with the first bytes down, after `00 00`
 *      |                 |-> VISION  blocks, see vision.h; then out, or out with the TLS below
 *      |                 \-> UDP     frames of length and datagram, both ways
 *      +--not ours, conf.fallback--> EV_DIVERT
 *
 * Source: Xray-core 25.12.1 proxy/vless. Single-threaded, one per connection; no memory beyond its
 * state, but for Vision's while it pads. Reverse is refused. */
#ifndef PROTO_VLESS_VLESS_H
#define PROTO_VLESS_VLESS_H

#include <stdbool.h>

#include "stream/transport.h"

/* The largest datagram a client takes (Xray-core proxy/vless/encoding: buffer of 8192 less the
 * length). */
#define VLESS_DATAGRAM_MAX 8190

struct vless_conf {
    bool fallback; /* what is no request of a known user is diverted, judged by the first read */
    bool vision;   /* the users' flow is xtls-rprx-vision */
};

/* rx reports EV_REQUEST|EV_READY with network, target and user, or EV_DIVERT, or fails:
 *   ST_E_AUTH         no header of a known user (and no fallback): nothing is sent
 *   ST_E_PROTO        the user is known, his header is broken
 *   ST_E_UNSUPPORTED  a flow or command that this server does not do
 *   ST_E_CLOSED       the client ended before its request was whole
 * The plain side carries bytes (NETWORK_TCP) or one span a datagram without peer (NETWORK_UDP).
 * Datagrams down of 0 or more than VLESS_DATAGRAM_MAX bytes are dropped, up of 0 or more than
 * BLK_DATA. */
extern const struct layer_ops vless_server_ops;
extern const struct proto proto_vless;

#endif
