/* tls/server_hello.h - another server's ServerHello, read to answer in its place (RFC 8446 section
 * 4.1.3; xtls/reality 20251014 tls.go). Pure. */
#ifndef TLS_SERVER_HELLO_H
#define TLS_SERVER_HELLO_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

#define SERVER_HELLO_MAX 2048u /* the message; with X25519MLKEM768 it has 1,210 bytes */

enum tls_group {
    TLS_GROUP_X25519 = 0x001d,
    TLS_GROUP_X25519MLKEM768 = 0x11ec, /* draft-ietf-tls-ecdhe-mlkem */
};
#define TLS_SHARE_X25519       32u
#define TLS_SHARE_MLKEM_CLIENT 1216u /* encapsulation key, X25519 */
#define TLS_SHARE_MLKEM_SERVER 1120u /* ciphertext, X25519 */

struct server_hello {
    const uint8_t *random;    /* 32 bytes of the message */
    struct reader session_id; /* echoed */
    uint16_t suite;           /* enum record_suite */
    uint16_t group;           /* enum tls_group */
    size_t share_off;         /* of the key share in the message */
    size_t share_len;         /* 32 or 1120 */
};

/* Reads a whole message with its 4 byte header. ST_OK: TLS 1.3 with a suite and a group of the
 * above. ST_E_PROTO: malformed, or an extension twice. ST_E_UNSUPPORTED: any other version, suite
 * or group, HelloRetryRequest, or a PSK handshake. */
NODISCARD enum status server_hello_parse(const uint8_t *msg, size_t len, struct server_hello *h);

#endif
