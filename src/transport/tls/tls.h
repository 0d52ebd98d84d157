/* transport/tls/tls.h - TLS 1.2 and 1.3 for listeners (RFC 5246, RFC 8446; as Xray-core 25.12.1
 * transport/internet/tls offers them).
 *
 * The layer waits for a whole ClientHello, answers an ordinary one by tls/accept.h, lets
 * tls/ossl.h do any other handshake, and after TLS 1.3 keeps two sets of traffic keys and nothing
 * else; TLS 1.2 stays with the library. Reports EV_READY, stores server name and protocol in
 * conn_info. End of the client's direction: close_notify, or a bare FIN. Ours: close_notify and
 * FIN. */
#ifndef TRANSPORT_TLS_TLS_H
#define TRANSPORT_TLS_TLS_H

#include "stream/transport.h"

#define TLS_HELLO_MAX (16u * 1024) /* the message; real ones are 200..2,000 bytes */
/* The same in records, as finely cut as a client may like. */
#define TLS_HELLO_WIRE_MAX (64u * 1024)

/* Settings object: minVersion, maxVersion ("1.2", "1.3"), cipherSuites, curvePreferences,
 * rejectUnknownSni, in camel or snake case; everything else in it belongs to clients.
 * Certificate: files of the context, else a self-signed one. */
extern const struct transport transport_tls;
extern const struct layer_ops tls_server_ops;

/* True while @l, a layer of tls_server_ops, holds a handshake object of the library (45 KiB). */
bool tls_server_handshaking(const struct layer *l);

#endif
