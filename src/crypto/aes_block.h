/* crypto/aes_block.h - AES (FIPS 197) of single blocks under a key that is expanded once: no mode,
 * no authentication. With AES instructions where the machine has them, else by the library, which
 * expands the key each time. Constant after init: threads may share one. Pure. */
#ifndef CRYPTO_AES_BLOCK_H
#define CRYPTO_AES_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define AES_BLOCK_LEN 16u

/* Holds a secret: crypto_wipe when done. */
struct aes_block {
    uint8_t round[15][AES_BLOCK_LEN]; /* round keys; without instructions the key itself */
    uint8_t key_len;
    bool decrypts;
};

/* Expands @key of 16 or 32 bytes for one direction. */
void aes_block_init(struct aes_block *a, const uint8_t *key, size_t key_len, bool decrypts);
/* One block; @out may be @in. ST_OK, ST_E_NOMEM, ST_E_CRYPTO; never an error with instructions. */
NODISCARD enum status aes_block_run(const struct aes_block *a, const uint8_t in[AES_BLOCK_LEN],
                                    uint8_t out[AES_BLOCK_LEN]);

#endif
