/* crypto/aes_ctr.h - AES-256 in counter mode (NIST SP 800-38A section 6.5), from any block of the
 * key stream on. Not authenticated: for masking what is protected elsewhere. Pure. */
#ifndef CRYPTO_AES_CTR_H
#define CRYPTO_AES_CTR_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define AES_CTR_KEY_LEN 32u
#define AES_CTR_IV_LEN  16u

/* XORs @n bytes (up to 1 GiB) at @data with the key stream from its 16-byte block @block on. The
 * counter is the whole @iv, big-endian. ST_OK, ST_E_NOMEM, ST_E_CRYPTO. */
NODISCARD enum status aes_ctr_xor(const uint8_t key[AES_CTR_KEY_LEN],
                                  const uint8_t iv[AES_CTR_IV_LEN], uint64_t block, uint8_t *data,
                                  size_t n);

#endif
