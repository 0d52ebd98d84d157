/* crypto/xchacha.h - XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): HChaCha20 turns key and the
 * first 16 bytes of the nonce into a key for ChaCha20-Poly1305 (crypto/aead.h), which takes the
 * rest of the nonce. Constant time. Pure. */
#ifndef CRYPTO_XCHACHA_H
#define CRYPTO_XCHACHA_H

#include <stdint.h>

#define XCHACHA_KEY_LEN   32u
#define XCHACHA_NONCE_LEN 24u

/* The key and the nonce (RFC 8439) to go on with. @subkey is a secret. */
void xchacha_begin(const uint8_t key[XCHACHA_KEY_LEN], const uint8_t nonce[XCHACHA_NONCE_LEN],
                   uint8_t subkey[XCHACHA_KEY_LEN], uint8_t iv[12]);

#endif
