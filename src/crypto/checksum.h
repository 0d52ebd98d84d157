/* crypto/checksum.h - sums that find accidents, not attackers: CRC-32 (IEEE 802.3, reflected) and
 * FNV-1a of 32 bits. For a few bytes at a time: no tables. Pure. */
#ifndef CRYPTO_CHECKSUM_H
#define CRYPTO_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint32_t checksum_crc32(const void *data, size_t len); /* 0 for no bytes */
uint32_t checksum_fnv1a(const void *data, size_t len); /* 0x811c9dc5 for no bytes */

#endif
