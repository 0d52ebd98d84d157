/* codec/hex.h - bytes as hexadecimal text. Pure. */
#ifndef CODEC_HEX_H
#define CODEC_HEX_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Writes 2*@n lower-case digits and a NUL. Returns @dst. */
char *hex_encode(char *dst, const void *data, size_t n);
/* Reads exactly @n digits in any case; @dst takes n/2 bytes. ST_OK, or ST_E_PROTO (odd length, no
 * digit). */
NODISCARD enum status hex_decode(uint8_t *dst, const char *text, size_t n);

#endif
