/* crypto/blake3.h - BLAKE3 (O'Connor, Aumasson, Neves, Wilcox-O'Hearn: "BLAKE3, one function, fast
 * everywhere", 2020), hash and key derivation with 32 bytes of output. Portable code: it serves
 * handshakes, a few KiB each. Constant time in the data. Pure. */
#ifndef CRYPTO_BLAKE3_H
#define CRYPTO_BLAKE3_H

#include <stddef.h>
#include <stdint.h>

#define BLAKE3_LEN 32u

/* Digest of @len bytes. */
void blake3_hash(const void *data, size_t len, uint8_t out[BLAKE3_LEN]);
/* The derive_key mode: a key for the purpose @context from the secret @material. The context is
 * any string of bytes here, of any length. @out may be @material. */
void blake3_derive_key(const void *context, size_t context_len, const void *material,
                       size_t material_len, uint8_t out[BLAKE3_LEN]);

#endif
