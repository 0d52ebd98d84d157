/* proto/trojan/trojan.h - the Trojan server as a layer. Pure.
 *
 *   HEADER --header whole--> TCP  both directions leave at once: nothing is answered
 *      |                 \-> UDP  frames of address, length and datagram, both ways
 *      +--not ours, conf.fallback--> EV_DIVERT
 *
 * Source: Xray-core 25.12.1 proxy/trojan, sing-box 1.12.12 transport/trojan. Single-threaded, one
 * per connection; no memory beyond its state. */
#ifndef PROTO_TROJAN_TROJAN_H
#define PROTO_TROJAN_TROJAN_H

#include <stdbool.h>

#include "stream/transport.h"

/* The largest datagram a client takes (Xray-core proxy/trojan/protocol.go: one buffer). */
#define TROJAN_DATAGRAM_MAX 8192

struct trojan_conf {
    bool fallback; /* what is no request of a known user is diverted */
};

/* rx reports EV_REQUEST|EV_READY with network, target and user, or EV_DIVERT, or fails:
 *   ST_E_AUTH         no header of a known user (and no fallback): nothing is sent
 *   ST_E_PROTO        the user is known, his header or a datagram's is broken
 *   ST_E_UNSUPPORTED  trojan-go's own multiplexing
 *   ST_E_CLOSED       the client ended before its request was whole
 * A header is waited for as long as what is there may become one. The plain side carries bytes
 * (NETWORK_TCP) or one span a datagram with its peer (NETWORK_UDP, addressed). Datagrams down of
 * more than TROJAN_DATAGRAM_MAX bytes are dropped, up of 0 or more than BLK_DATA. */
extern const struct layer_ops trojan_server_ops;
/* Users are found by SHA-224 of their secret, in one probe. */
extern const struct proto proto_trojan;

#endif
