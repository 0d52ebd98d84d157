#include "crypto/aes_ctr.h"

#include <openssl/evp.h>

#include "crypto/mem.h"

/* @iv plus @block as 128-bit numbers. */
static void counter_at(uint8_t out[AES_CTR_IV_LEN], const uint8_t iv[AES_CTR_IV_LEN],
                       uint64_t block)
{
    unsigned carry = 0;

    for (int i = AES_CTR_IV_LEN - 1; i >= 0; i--) {
        unsigned sum = iv[i] + (unsigned)(block & 0xff) + carry;
        out[i] = (uint8_t)sum;
        carry = sum >> 8;
        block >>= 8;
    }
}

enum status aes_ctr_xor(const uint8_t key[AES_CTR_KEY_LEN], const uint8_t iv[AES_CTR_IV_LEN],
                        uint64_t block, uint8_t *data, size_t n)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t counter[AES_CTR_IV_LEN];
    enum status st = ST_E_CRYPTO;
    int out;

    if (ctx == NULL)
        return ST_E_NOMEM;
    counter_at(counter, iv, block);
    if (n < (1u << 30) && EVP_EncryptInit_ex(ctx, EVP_aes_256_ctr(), NULL, key, counter) == 1 &&
        EVP_EncryptUpdate(ctx, data, &out, data, (int)n) == 1)
        st = ST_OK;
    EVP_CIPHER_CTX_free(ctx);
    crypto_wipe(counter, sizeof(counter));
    return st;
}
