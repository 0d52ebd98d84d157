/* crypto/rng.h - random numbers for keys, nonces and padding: a buffered CSPRNG, one a worker.
 * Not thread-safe; must not be used in a child after fork without rng_init. */
#ifndef CRYPTO_RNG_H
#define CRYPTO_RNG_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define RNG_BUFFER 1024u

/* Bytes of @buf not yet handed out; what was handed out is wiped. */
struct rng {
    uint32_t left;
    uint8_t buf[RNG_BUFFER];
};

/* ST_OK, or ST_E_CRYPTO when the machine has no randomness to give. */
NODISCARD enum status rng_init(struct rng *r);
/* Wipes what was not handed out. */
void rng_fini(struct rng *r);
/* Fills @n bytes. Never fails: a generator that stops working after start ends the process, because
 * nothing that follows would be safe. */
void rng_bytes(struct rng *r, void *dst, size_t n);
/* 64 random bits. */
uint64_t rng_u64(struct rng *r);
/* Uniform in 0 .. @bound-1; @bound > 0. */
uint64_t rng_below(struct rng *r, uint64_t bound);

#endif
