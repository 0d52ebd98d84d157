/* crypto/mlkem.h - ML-KEM-768 (FIPS 203). Pure; the caller brings the randomness. Constant time in
 * everything secret: no branch, index or division depends on it; only the public matrix is sampled
 * by rejection. Our own code on every machine, because OpenSSL has the algorithm only from 3.5 on
 * and one path is tested once. */
#ifndef CRYPTO_MLKEM_H
#define CRYPTO_MLKEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define MLKEM_SEED_LEN   64u   /* d and z of key generation */
#define MLKEM_PUBLIC_LEN 1184u /* encapsulation key */
#define MLKEM_CIPHER_LEN 1088u
#define MLKEM_SHARED_LEN 32u
#define MLKEM_RANDOM_LEN 32u

/* The encapsulation key of the key pair that @seed stands for. */
void mlkem_public(const uint8_t seed[MLKEM_SEED_LEN], uint8_t pub[MLKEM_PUBLIC_LEN]);
/* Makes a shared secret from @random (fresh, secret) and wraps it for the owner of @pub. ST_OK, or
 * ST_E_PROTO when @pub is not an encoded key (FIPS 203 section 7.2). */
NODISCARD enum status mlkem_encapsulate(const uint8_t pub[MLKEM_PUBLIC_LEN],
                                        const uint8_t random[MLKEM_RANDOM_LEN],
                                        uint8_t cipher[MLKEM_CIPHER_LEN],
                                        uint8_t shared[MLKEM_SHARED_LEN]);
/* Unwraps. A wrong ciphertext gives a secret that nobody else knows, not an error (FIPS 203
 * section 6.3). */
void mlkem_decapsulate(const uint8_t seed[MLKEM_SEED_LEN], const uint8_t cipher[MLKEM_CIPHER_LEN],
                       uint8_t shared[MLKEM_SHARED_LEN]);

#endif
