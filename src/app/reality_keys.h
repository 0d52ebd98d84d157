/* app/reality_keys.h - the keys of a REALITY node as people copy them: base64url without padding,
 * short ids in hex. Secrets are the caller's to wipe. */
#ifndef APP_REALITY_KEYS_H
#define APP_REALITY_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "crypto/mldsa.h"
#include "crypto/x25519.h"

#define REALITY_KEY_TEXT    44u /* 32 bytes, with NUL */
#define REALITY_SHORT_TEXT  17u
#define REALITY_VERIFY_TEXT ((MLDSA_PUBLIC_LEN * 4 + 2) / 3 + 1)

struct reality_keys {
    char private_key[REALITY_KEY_TEXT]; /* secret */
    char public_key[REALITY_KEY_TEXT];
    char short_id[REALITY_SHORT_TEXT];
};

/* A fresh pair and a fresh short id of 8 bytes. ST_OK or ST_E_CRYPTO. */
NODISCARD enum status reality_keys_new(struct reality_keys *k);
/* Both keys of the pair that @priv stands for; the short id is left alone. ST_OK or ST_E_CRYPTO. */
NODISCARD enum status reality_keys_of(struct reality_keys *k, const uint8_t priv[X25519_LEN]);
/* 32 bytes from base64 in either alphabet, padded or not: panels and clients print all four. */
bool reality_key_read(const char *text, uint8_t key[32]);
/* An even number of hex digits, 16 at most; "" is one. */
bool reality_short_id_ok(const char *text);

/* A fresh seed for ML-DSA-65 when @seed is "", and the key by which clients verify. ST_OK,
 * ST_E_UNSUPPORTED (this library cannot), ST_E_CONFIG (no seed), ST_E_CRYPTO. */
NODISCARD enum status reality_mldsa(char seed[REALITY_KEY_TEXT], char verify[REALITY_VERIFY_TEXT]);

#endif
