/* crypto/ed25519.h - Ed25519 (RFC 8032). Pure. */
#ifndef CRYPTO_ED25519_H
#define CRYPTO_ED25519_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define ED25519_SEED_LEN   32u
#define ED25519_PUBLIC_LEN 32u
#define ED25519_SIG_LEN    64u

/* The public key of @seed. ST_OK or ST_E_CRYPTO. */
NODISCARD enum status ed25519_public(const uint8_t seed[ED25519_SEED_LEN],
                                     uint8_t pub[ED25519_PUBLIC_LEN]);
/* Signs @len bytes. ST_OK, ST_E_NOMEM, ST_E_CRYPTO. */
NODISCARD enum status ed25519_sign(const uint8_t seed[ED25519_SEED_LEN], const void *msg,
                                   size_t len, uint8_t sig[ED25519_SIG_LEN]);
/* A private key made ready once, for any number of threads: half the cost of ed25519_sign. */
struct ed25519_key;
/* ST_OK or ST_E_CRYPTO. */
NODISCARD enum status ed25519_key_new(const uint8_t seed[ED25519_SEED_LEN],
                                      struct ed25519_key **out);
void ed25519_key_free(struct ed25519_key *key); /* wipes; NULL is fine */
/* As ed25519_sign. */
NODISCARD enum status ed25519_key_sign(const struct ed25519_key *key, const void *msg, size_t len,
                                       uint8_t sig[ED25519_SIG_LEN]);
/* ST_OK, ST_E_AUTH when the signature is not of @pub over @msg, ST_E_NOMEM. */
NODISCARD enum status ed25519_verify(const uint8_t pub[ED25519_PUBLIC_LEN], const void *msg,
                                     size_t len, const uint8_t sig[ED25519_SIG_LEN]);

#endif
