/* proto/vmess/vmess.h - the VMess AEAD server as a layer. Pure.
 *
 *   AUTH_ID --user found--> HEADER --opened--> STREAM   chunks both ways (TCP, Mux)
 *      |                       |           |-> PACKETS  a chunk a datagram, both ways (UDP)
 *      |                       |           \-> RAW      the answer, then it leaves (none, zero)
 *      +----- not ours --------+--> DRAIN --enough read, or the end--> closed
 *
 * Source: Xray-core 25.12.1 proxy/vmess, sing-vmess 0.2.7. Single-threaded, one per connection. A
 * connection holds keys, nonces and counters; in RAW nothing beyond its state. alterId and the
 * headers before AEAD are refused like any stranger.
 *
 * A stranger's bytes are read and thrown away up to an amount that is the same for a node, but for
 * a little chance, before the connection ends: nothing is to be learnt from when we close. Inside
 * TLS or WebSocket it ends at once, as peers do it. */
#ifndef PROTO_VMESS_VMESS_H
#define PROTO_VMESS_VMESS_H

#include <stdbool.h>

#include "proto/vmess/kdf.h"
#include "stream/transport.h"

struct vmess_conf {
    struct vmess_kdf kdf;
    bool drain; /* nothing but TCP lies below */
};

/* rx reports EV_REQUEST|EV_READY with network, target (not for NETWORK_MUX) and user, or fails:
 *   ST_E_AUTH, ST_E_REFUSED  no request of a known user, or a replay: nothing is sent
 *   ST_E_PROTO, ST_E_LIMIT   the user is known, his header or a chunk is broken
 *   ST_E_UNSUPPORTED         a command or security that this server does not do
 *   ST_E_CLOSED              the client left before its request, or a chunk, was whole
 * ST_YIELD: the search for the user goes on. The plain side carries bytes, or with NETWORK_UDP one
 * span a datagram, without peer or (proto/vmess/packetaddr.h) addressed; datagrams down that are
 * empty or do not fit into what a client reads (VMESS_DATAGRAM_WIRE_MAX) are dropped. Needs
 * env->shared. */
extern const struct layer_ops vmess_server_ops;
extern const struct proto proto_vmess;

#endif
