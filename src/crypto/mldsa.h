/* crypto/mldsa.h - ML-DSA-65 (FIPS 204), where the OpenSSL at run time has it (3.5 and later).
 * Pure. */
#ifndef CRYPTO_MLDSA_H
#define CRYPTO_MLDSA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define MLDSA_SEED_LEN   32u
#define MLDSA_PUBLIC_LEN 1952u
#define MLDSA_SIG_LEN    3309u

/* Whether the library can do it; where not, the others return ST_E_UNSUPPORTED, and what a
 * configuration that asks for it is told. */
bool mldsa_available(void);
#define MLDSA_UNAVAILABLE_TEXT "ML-DSA-65 needs OpenSSL 3.5 or later"

/* The public key of the pair that @seed (xi of FIPS 204 algorithm 6) stands for. ST_OK,
 * ST_E_UNSUPPORTED, ST_E_CRYPTO. */
NODISCARD enum status mldsa_public(const uint8_t seed[MLDSA_SEED_LEN],
                                   uint8_t pub[MLDSA_PUBLIC_LEN]);
/* Pure, deterministic signature with an empty context. Same answers. */
NODISCARD enum status mldsa_sign(const uint8_t seed[MLDSA_SEED_LEN], const void *msg, size_t len,
                                 uint8_t sig[MLDSA_SIG_LEN]);

#endif
