/* panelserver/cipher.h - the ciphers of Shadowsocks nodes, and the keys of the 2022 editions as
 * panels hand them out. Stateless. */
#ifndef PANELSERVER_CIPHER_H
#define PANELSERVER_CIPHER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#define CIPHER_NAMES                                                                               \
    "2022-blake3-aes-128-gcm, 2022-blake3-aes-256-gcm, 2022-blake3-chacha20-poly1305, "            \
    "aes-128-gcm, aes-256-gcm, chacha20-ietf-poly1305, xchacha20-ietf-poly1305 or none"
#define CIPHER_KEY_TEXT 45 /* 32 bytes in base64, and NUL */

struct cipher {
    const char *name;   /* as clients spell it */
    unsigned key_bytes; /* of the 2022 editions' keys; 0: an older one, with passwords */
    bool single;        /* nothing on the wire tells users apart: a node serves its first one */
};

/* Finds by name, or by another spelling in use ("chacha20-poly1305", "plain"). NULL: there is none.
 */
const struct cipher *cipher_find(const char *name);
/* Is @text a server key for @c: base64, padded, of so many bytes; "" for an older cipher? */
bool cipher_key_ok(const struct cipher *c, const char *text);
/* A random server key, "" for an older cipher. ST_OK; ST_E_CRYPTO without random bytes. */
NODISCARD enum status cipher_key_new(const struct cipher *c, char dst[CIPHER_KEY_TEXT]);
/* What stands for the user in a 2022 edition: base64 of the first characters of the UUID's text,
 * dashes included, as V2board and its descendants do. "" for an older cipher, a shorter text, and
 * where users are not told apart: there the server's key is all a client needs. */
void cipher_user_key(const struct cipher *c, const char *uuid, char dst[CIPHER_KEY_TEXT]);

#endif
