/* panelserver/token.h - secrets of the panel: made from a CSPRNG (crypto/rng.h), compared in
 * constant time. Thread-safe. */
#ifndef PANELSERVER_TOKEN_H
#define PANELSERVER_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/uuid.h"

#define TOKEN_STRLEN 44 /* 32 random bytes as 43 characters of base64url, and NUL */

/* ST_OK; ST_E_CRYPTO when the kernel gives no random bytes. */
NODISCARD enum status token_new(char dst[TOKEN_STRLEN]);
/* A random UUID, version 4 (RFC 9562 section 5.4), as text. ST_OK; ST_E_CRYPTO. */
NODISCARD enum status token_uuid(char dst[UUID_STRLEN]);
/* Is @given the token @want? The time tells the lengths and nothing else. Nothing equals an
 * empty token. */
bool token_equal(const char *want, const char *given, size_t given_len);

#endif
