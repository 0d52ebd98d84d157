/* sniff/test_initial.h - ClientHellos and QUIC Initial packets of a client, for tests; the
 * latter sealed with the keys that RFC 9001 appendix A.1 and RFC 9369 appendix A.1 print for
 * their connection id, not with derived ones. */
#ifndef SNIFF_TEST_INITIAL_H
#define SNIFF_TEST_INITIAL_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/ctx.h"

#define TEST_INITIAL_V1  1u
#define TEST_INITIAL_V2  0x6b3343cfu
#define TEST_INITIAL_ADD 64u /* at most so many bytes more than the payload */

/* Writes a packet with number @pn and @n (>= 4) bytes of frames at @frames. Returns its size. */
size_t test_initial_seal(struct crypto_ctx *cc, uint32_t version, uint16_t pn,
                         const uint8_t *frames, size_t n, uint8_t *out);
/* The same once the server has answered: sent to the connection id that it chose. */
size_t test_initial_seal_answered(struct crypto_ctx *cc, uint32_t version, uint16_t pn,
                                  const uint8_t *frames, size_t n, uint8_t *out);
/* Writes a CRYPTO frame at @out (n + 9 bytes). Returns its size. */
size_t test_initial_crypto(uint8_t *out, size_t at, const uint8_t *data, size_t n);
/* A ClientHello for @name in one TLS record at @out (name + 80 bytes); the message, which QUIC
 * carries bare, is what follows its first TEST_INITIAL_RECORD bytes. Returns the size with the
 * record's header. */
#define TEST_INITIAL_RECORD 5u
size_t test_initial_hello(uint8_t *out, const char *name);

#endif
