/* transport/ws/ws.h - the server side of WebSocket (RFC 6455) as Xray-core and sing-box use it.
 *
 * Life:   init -> rx reads requests until one is an upgrade (others are answered, the connection
 *         stays) -> 101 -> frames -> Close.
 * Memory: a fixed state below 100 bytes and at most one waiting Pong; request heads and frame heads
 *         wait in wire_in.
 * Marks:  the 101 is EDGE and ALONE and the first bytes after it are a new EDGE: sing-box's client
 *         drops what it reads together with the 101. On plain TCP its answer to early
 *         data waits up to 250 ms for a sign of it. A frame is one span of the relay,
 *         its head written into the room in front when nobody else holds the blk.
 * Source: RFC 6455; Xray-core 25.12.1 transport/internet/websocket, gorilla/websocket 1.5.3. */
#ifndef TRANSPORT_WS_WS_H
#define TRANSPORT_WS_WS_H

#include "http/host_path.h"
#include "stream/transport.h"

#define WS_HEARTBEAT_MAX 86400u /* seconds */

/* Made by transport_ws.parse_conf, or by hand in a test. */
struct ws_conf {
    const char *host; /* NULL: any */
    struct http_path path;
    uint32_t heartbeat_s; /* server pings every so often; 0: never */
    const char *const *trusted_xff;
    size_t trusted_xff_count;
};

/* Wants env: pool, crypto (NULL works), info (its peer is replaced by a trusted X-Forwarded-For;
 * NULL: not wanted). Errors: ST_E_PROTO with the status of the answer or the code of the Close
 * frame in why, ST_E_NOMEM, ST_E_CRYPTO. */
extern const struct layer_ops ws_server_ops;

/* Settings: path, host, headers.Host (when host is empty), heartbeatPeriod. */
extern const struct transport transport_ws;

#endif
