/* transport/reality/reality.h - REALITY for listeners: TLS 1.3 in the shape of another server's,
 * for those who know the key; everybody else talks to that server (xtls/reality 20251014;
 * docs/internals/reality-and-vision.md).
 *
 * The layer needs env->aux (stream/aux.h): at its first call it reports EV_ASK with the target, and
 * what the client says is forwarded there as it comes, before anything is judged. Then either
 *   EV_DIVERT | EV_ADOPT    a stranger, or a target whose flight cannot be imitated: the session
 *                           relays; nothing of ours was sent
 * or, after the target has answered, our flight, and with the client's Finished
 *   EV_READY | EV_AUX_DONE  a TLS 1.3 connection like transport/tls's.
 * Never answers before the target did; while the client's Finished is awaited the end of the target
 * ends the connection. What failed at the target: ST_E_CLOSED, nothing sent.
 * Stores the server name in conn_info; ALPN is never negotiated. */
#ifndef TRANSPORT_REALITY_REALITY_H
#define TRANSPORT_REALITY_REALITY_H

#include "stream/transport.h"

#define REALITY_HELLO_MAX (16u * 1024) /* the message; real ones are below 2,000 bytes */
/* The same in records, as finely cut as a client may like; a longer one is a stranger's. */
#define REALITY_HELLO_WIRE_MAX (32u * 1024)

/* Settings object: privateKey, serverNames, shortIds, dest, server_port, xver, minClientVer,
 * maxClientVer, maxTimeDiff, mldsa65Seed, limitFallbackUpload, limitFallbackDownload, in camel or
 * snake case, singular or plural; those of conf_context.reality count more. */
extern const struct transport transport_reality;
extern const struct layer_ops reality_server_ops;

#endif
