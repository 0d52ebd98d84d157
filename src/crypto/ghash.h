/* crypto/ghash.h - the tag of AES-GCM over a few bytes (NIST SP 800-38D section 6.4), for those who
 * try very many keys and have made their blocks side by side (crypto/lanes.h). With carry-less
 * multiplication where the machine has it, else bit by bit in constant time. Pure. */
#ifndef CRYPTO_GHASH_H
#define CRYPTO_GHASH_H

#include <stddef.h>
#include <stdint.h>

/* The tag of at most 16 bytes of ciphertext without additional data. @h: the zero block encrypted;
 * @mask: the block of the nonce and the count 1 encrypted. */
void ghash_tag(const uint8_t h[16], const uint8_t mask[16], const uint8_t *text, size_t len,
               uint8_t tag[16]);
/* The same without the machine's help, whatever it has. */
void ghash_tag_portable(const uint8_t h[16], const uint8_t mask[16], const uint8_t *text,
                        size_t len, uint8_t tag[16]);

#endif
