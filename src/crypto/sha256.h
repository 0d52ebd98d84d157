/* crypto/sha256.h - the compression function of SHA-256 (FIPS 180-4 section 6.2), for key
 * derivations that start again and again from the same first blocks: a state after whole blocks is
 * kept, and only what differs is hashed. For everything else there is crypto/hash.h. Pure. */
#ifndef CRYPTO_SHA256_H
#define CRYPTO_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_LEN      32u
#define SHA256_BLOCK    64u
#define SHA256_TAIL_MAX 55u /* a rest that still fits into one block with its padding */

struct sha256_state {
    uint32_t word[8];
};

/* Mixes @blocks blocks of 64 bytes into @s. */
typedef void sha256_mix_fn(struct sha256_state *s, const uint8_t *data, size_t blocks);

sha256_mix_fn sha256_mix_portable;
/* The fastest one this processor runs (SHA extensions of x86-64, else the portable one). Asks the
 * processor each time, which costs microseconds in a virtual machine: keep the answer. */
sha256_mix_fn *sha256_mix_best(void);

/* The state of an empty message. */
void sha256_start(struct sha256_state *s);
/* The digest of a message whose first @before bytes (whole blocks) are in @s and whose last @n
 * (<= SHA256_TAIL_MAX) are @tail. @s stays as it was. @out may be @tail. */
void sha256_end(sha256_mix_fn *mix, const struct sha256_state *s, size_t before, const void *tail,
                size_t n, uint8_t out[SHA256_LEN]);

#endif
