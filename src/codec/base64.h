/* codec/base64.h - base64 and base64url (RFC 4648 sections 4 and 5). Pure. */
#ifndef CODEC_BASE64_H
#define CODEC_BASE64_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum base64_flags {
    BASE64_URL = 1,      /* '-' and '_' in place of '+' and '/' */
    BASE64_UNPADDED = 2, /* without '=': written without, refused when read */
    BASE64_ANY_TAIL = 4, /* reading: the unused bits of the last character may be set (Go's decoders
                          * allow it; without this flag every text has one decoding only) */
};

/* Characters that @n bytes become, with padding, without the NUL. */
#define BASE64_ENCODED_LEN(n) (((n) + 2) / 3 * 4)
/* Bytes that @n characters become at most. */
#define BASE64_DECODED_MAX(n) (((n) + 3) / 4 * 3)

/* Writes the text of @n bytes and a NUL; @dst takes BASE64_ENCODED_LEN(n) + 1. Returns the length
 * of the text. */
size_t base64_encode(char *dst, const void *data, size_t n, unsigned flags);

/* Reads exactly @n characters: no blanks, no line ends. @dst takes BASE64_DECODED_MAX(n) bytes and
 * may be @text itself; *@len is set on ST_OK only. Without BASE64_UNPADDED the padding must be
 * there. ST_OK or ST_E_PROTO. */
NODISCARD enum status base64_decode(uint8_t *dst, size_t *len, const char *text, size_t n,
                                    unsigned flags);

#endif
