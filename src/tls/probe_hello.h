/* tls/probe_hello.h - a ClientHello as today's browsers send it, to see which group and records
 * another server answers with; nothing is decrypted. Pure. */
#ifndef TLS_PROBE_HELLO_H
#define TLS_PROBE_HELLO_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define PROBE_HELLO_SEED 160u
#define PROBE_HELLO_MAX  2048u

/* Writes one record with a ClientHello for @name ("" or over 255 bytes: without a server name): TLS
 * 1.3 and 1.2, X25519MLKEM768 and X25519 with a share of each, ALPN h2 and http/1.1. @seed: fresh
 * random bytes. @out takes PROBE_HELLO_MAX bytes. Returns the length. */
size_t probe_hello_build(uint8_t *out, const char *name, const uint8_t seed[PROBE_HELLO_SEED]);

/* What stands in the way of imitating a server whose answer, @len bytes from its first record on,
 * server_hello_parse does not like; static text. "" when nothing is known yet. */
const char *probe_hello_why(const uint8_t *answer, size_t len);

#endif
