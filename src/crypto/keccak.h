/* crypto/keccak.h - SHA-3 and SHAKE (FIPS 202) as a plain value: no allocation, and output can be
 * squeezed in pieces, which OpenSSL before 3.3 cannot. Constant time in the data. Pure. */
#ifndef CRYPTO_KECCAK_H
#define CRYPTO_KECCAK_H

#include <stddef.h>
#include <stdint.h>

#define KECCAK_SHA3_256_LEN 32u
#define KECCAK_SHA3_512_LEN 64u

/* Bytes absorbed or squeezed per permutation. */
enum keccak_rate {
    KECCAK_SHAKE128 = 168,
    KECCAK_SHAKE256 = 136,
};

/* May hold secrets: keccak_wipe when it did. */
struct keccak {
    uint64_t lane[25];
    uint8_t rate, at; /* at: bytes of the present block that were absorbed or squeezed */
};

/* Life of an extendable output: init -> absorb* -> finish -> squeeze*. */
/* init: nothing absorbed. absorb: @n more bytes of input. finish: pads as SHAKE does; no more
 * input. squeeze: the next @n bytes of output. wipe: of the state. */
void keccak_init(struct keccak *k, enum keccak_rate rate);
void keccak_absorb(struct keccak *k, const void *data, size_t n);
void keccak_finish(struct keccak *k);
void keccak_squeeze(struct keccak *k, uint8_t *out, size_t n);
void keccak_wipe(struct keccak *k);

/* Digests of @a followed by @b (either may be empty); nothing stays behind. */
void keccak_sha3_256(uint8_t out[KECCAK_SHA3_256_LEN], const void *a, size_t a_len, const void *b,
                     size_t b_len);
void keccak_sha3_512(uint8_t out[KECCAK_SHA3_512_LEN], const void *a, size_t a_len, const void *b,
                     size_t b_len);
/* @n bytes of SHAKE256 of @a followed by @b. */
void keccak_shake256(uint8_t *out, size_t n, const void *a, size_t a_len, const void *b,
                     size_t b_len);

#endif
