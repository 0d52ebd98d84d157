/* crypto/lanes.h - the same derivation for many keys at once, one key a lane of a vector register:
 * HKDF-SHA1 (RFC 5869), the first block of ChaCha20 (RFC 8439), HChaCha20 (draft-irtf-cfrg-xchacha
 * section 2.2) and the first blocks of AES-GCM (NIST SP 800-38D).
 *
 * For protocols that do not say who speaks, so that every user's key is tried. With AVX-512, AVX2
 * or AES instructions where the machine has them, asked at run time; else portable. Numbers lie as
 * [word][lane]: words in the byte order of the algorithm that the name of the parameter says.
 * Constant time in the keys. Pure. */
#ifndef CRYPTO_LANES_H
#define CRYPTO_LANES_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define LANES 16u

/* Widest vector used, in lanes: 16, 8 or 4. Tests go through all that the machine has; 0 = best. */
unsigned lanes_width(void);

/* HMAC-SHA1 after its key block: what all keys that are tried against one salt share. */
struct lanes_salt {
    uint32_t inner[5], outer[5];
};

/* @len <= 64. */
void lanes_salt_init(struct lanes_salt *s, const uint8_t *salt, size_t len);
/* HKDF-SHA1 with salt @s and @info (@info_len <= 30) of LANES secrets of @words (4..8) big-endian
 * words each, to @words words each. @width: 16, 8, 4, 1 (lane 0 only) or 0 = best; what the machine
 * lacks becomes 4. */
void lanes_hkdf(const struct lanes_salt *s, const void *info, size_t info_len,
                const uint32_t (*secret_be)[LANES], unsigned words, uint32_t (*out_be)[LANES],
                unsigned width);
/* The first 16 bytes of the ChaCha20 block @counter under each key. */
void lanes_chacha(const uint32_t key_be[8][LANES], uint32_t counter, const uint8_t nonce[12],
                  uint8_t out[LANES][16], unsigned width);
/* HChaCha20 of each key; @out_be may be @key_be. */
void lanes_hchacha(const uint32_t key_be[8][LANES], const uint8_t nonce[16],
                   uint32_t out_be[8][LANES], unsigned width);
/* What AES-GCM with the nonce zero begins with under each key of @words (4 or 8) words: the zero
 * block encrypted, the mask of the tag, and the first block of key stream. ST_OK; ST_E_CRYPTO where
 * the library has to do it. */
enum { LANES_GCM_H, LANES_GCM_MASK, LANES_GCM_STREAM, LANES_GCM_BLOCKS };
NODISCARD enum status lanes_gcm(const uint32_t (*key_be)[LANES], unsigned words,
                                uint8_t out[LANES][LANES_GCM_BLOCKS][16]);

#endif
