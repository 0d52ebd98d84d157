/* transport/vlessenc/vlessenc.h - VLESS encryption "mlkem768x25519plus" as a server layer right
 * below VLESS (Xray-core 25.12.1 proxy/vless/encryption). Pure.
 *
 *   HELLO --length--> KEYS (1-RTT) --our hello--> PADDING --client's padding--> RECORDS --> RAW
 *               \---> TICKET (0-RTT) ---------------------------------------------/
 *
 * Modes: native (key exchange as it is), xorpub (public keys masked), random (the headers of all
 * records masked as well). Records look like TLS 1.3 application data and carry AES-256-GCM or
 * ChaCha20-Poly1305, as the client chose. One per connection, single-threaded; what connections
 * of a node share, the tickets, is in the configuration and locked there. After the handshake a
 * connection keeps keys and counters, with `random` the state of two key streams too. */
#ifndef TRANSPORT_VLESSENC_VLESSENC_H
#define TRANSPORT_VLESSENC_VLESSENC_H

#include "stream/transport.h"

/* rx reports EV_READY after the handshake and sets conn_info.encrypted, or fails, nothing sent:
 *   ST_E_AUTH    the client does not know our key, or a record fails authentication
 *   ST_E_PROTO   malformed, 0-RTT where it is not allowed
 *   ST_E_LIMIT   a message longer than a client has reason to send
 *   ST_E_REFUSED a ticket used twice for the same hello; an unknown ticket: then random bytes are
 *                sent that make the client begin anew
 *   ST_E_CLOSED  it ended before its handshake
 * Asked to leave a direction (Vision), native and xorpub are gone; random stays and goes on masking
 * what looks like a record header. Has no goodbye of its own. */
extern const struct layer_ops vlessenc_server_ops;

/* Settings: the node object of the panel, see vlessenc_conf.h. Refused where the node has
 * fallbacks. */
extern const struct transport transport_vlessenc;

#endif
