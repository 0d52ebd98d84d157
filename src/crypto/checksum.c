#include "crypto/checksum.h"

#define CRC_POLYNOMIAL 0xedb88320u
#define FNV_OFFSET     0x811c9dc5u
#define FNV_PRIME      0x01000193u

uint32_t checksum_crc32(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (CRC_POLYNOMIAL & (0u - (crc & 1)));
    }
    return ~crc;
}

uint32_t checksum_fnv1a(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t h = FNV_OFFSET;

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * FNV_PRIME;
    return h;
}
