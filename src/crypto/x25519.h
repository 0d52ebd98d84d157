/* crypto/x25519.h - Diffie-Hellman on Curve25519 (RFC 7748), and the REALITY key a node derives
 * from its identity. Pure. */
#ifndef CRYPTO_X25519_H
#define CRYPTO_X25519_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "crypto/rng.h"

#define X25519_LEN 32u

/* A fresh pair. ST_OK or ST_E_CRYPTO. */
NODISCARD enum status x25519_keypair(struct rng *r, uint8_t priv[X25519_LEN],
                                     uint8_t pub[X25519_LEN]);
/* The public key of @priv. ST_OK or ST_E_CRYPTO. */
NODISCARD enum status x25519_public(const uint8_t priv[X25519_LEN], uint8_t pub[X25519_LEN]);
/* Shared secret. ST_OK; ST_E_CRYPTO, also when the peer's point is of low order (all-zero
 * result, RFC 7748 section 6.1). */
NODISCARD enum status x25519_shared(const uint8_t priv[X25519_LEN], const uint8_t peer[X25519_LEN],
                                    uint8_t out[X25519_LEN]);
/* Both for a key used once: its public key and the secret it shares with @peer, without a key
 * object and with a table for the base point. Same answers. */
NODISCARD enum status x25519_exchange(const uint8_t priv[X25519_LEN],
                                      const uint8_t peer[X25519_LEN], uint8_t pub[X25519_LEN],
                                      uint8_t out[X25519_LEN]);

/* A private key made ready once, for any number of threads: half the cost of x25519_shared. */
struct x25519_key;
/* ST_OK, ST_E_NOMEM or ST_E_CRYPTO. */
NODISCARD enum status x25519_key_new(const uint8_t priv[X25519_LEN], struct x25519_key **out);
void x25519_key_free(struct x25519_key *key); /* wipes; NULL is fine */
/* As x25519_shared. */
NODISCARD enum status x25519_key_shared(const struct x25519_key *key,
                                        const uint8_t peer[X25519_LEN], uint8_t out[X25519_LEN]);
/* Private key of a node: SHA-256(decimal id, lower-cased type, token), clamped, so that panels and
 * nodes agree on it without storing it (as `v2sp reality` of nsevo/v2sp derives it). ST_OK,
 * ST_E_LIMIT for a type over 32 bytes, ST_E_NOMEM, ST_E_CRYPTO. */
NODISCARD enum status x25519_from_node(uint64_t node_id, const char *type, const char *token,
                                       uint8_t priv[X25519_LEN]);

#endif
