#include "crypto/xchacha.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/mem.h"

static inline uint32_t rotl(uint32_t x, unsigned n)
{
    return (x << n) | (x >> (32 - n));
}

static inline void quarter(uint32_t x[16], int a, int b, int c, int d)
{
    x[a] += x[b];
    x[d] = rotl(x[d] ^ x[a], 16);
    x[c] += x[d];
    x[b] = rotl(x[b] ^ x[c], 12);
    x[a] += x[b];
    x[d] = rotl(x[d] ^ x[a], 8);
    x[c] += x[d];
    x[b] = rotl(x[b] ^ x[c], 7);
}

void xchacha_begin(const uint8_t key[XCHACHA_KEY_LEN], const uint8_t nonce[XCHACHA_NONCE_LEN],
                   uint8_t subkey[XCHACHA_KEY_LEN], uint8_t iv[12])
{
    uint32_t x[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

    for (int i = 0; i < 8; i++)
        x[4 + i] = get_le32(key + 4 * i);
    for (int i = 0; i < 4; i++)
        x[12 + i] = get_le32(nonce + 4 * i);
    for (int i = 0; i < 10; i++) {
        quarter(x, 0, 4, 8, 12);
        quarter(x, 1, 5, 9, 13);
        quarter(x, 2, 6, 10, 14);
        quarter(x, 3, 7, 11, 15);
        quarter(x, 0, 5, 10, 15);
        quarter(x, 1, 6, 11, 12);
        quarter(x, 2, 7, 8, 13);
        quarter(x, 3, 4, 9, 14);
    }
    for (int i = 0; i < 4; i++) {
        put_le32(subkey + 4 * i, x[i]);
        put_le32(subkey + 16 + 4 * i, x[12 + i]);
    }
    memset(iv, 0, 4);
    memcpy(iv + 4, nonce + 16, 8);
    crypto_wipe(x, sizeof(x));
}
