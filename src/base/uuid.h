/* base/uuid.h - user ids as text. Pure. */
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define UUID_LEN    16
#define UUID_STRLEN 37

/* Reads 32 hex digits, with optional dashes in the usual four places, any case (RFC 9562 section
 * 4).
 * ST_OK or ST_E_PROTO. */
NODISCARD enum status uuid_parse(uint8_t out[UUID_LEN], const char *text, size_t len);
/* Writes 36 lower-case characters and a NUL. Returns @dst. */
char *uuid_str(const uint8_t id[UUID_LEN], char dst[UUID_STRLEN]);

#endif
