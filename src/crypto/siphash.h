/* crypto/siphash.h - a keyed hash for hash tables whose keys a stranger chooses (Aumasson,
 * Bernstein: "SipHash: a fast short-input PRF"). Pure. */
#ifndef CRYPTO_SIPHASH_H
#define CRYPTO_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define SIPHASH_KEY_LEN 16u

/* SipHash-2-4, 64 bits, of @len bytes. The key is random and kept for the life of the table. */
uint64_t siphash(const uint8_t key[SIPHASH_KEY_LEN], const void *data, size_t len);
/* SipHash-1-3: half the work, enough where only the table's balance is at stake. */
uint64_t siphash_fast(const uint8_t key[SIPHASH_KEY_LEN], const void *data, size_t len);
/* One of many independent keys from one random number: another for each @label. */
void siphash_derive(uint64_t seed, uint8_t label, uint8_t key[SIPHASH_KEY_LEN]);

#endif
