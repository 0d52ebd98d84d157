#include "codec/hex.h"

#include "base/ascii.h"

char *hex_encode(char *dst, const void *data, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = data;
    for (size_t i = 0; i < n; i++) {
        dst[2 * i] = digits[p[i] >> 4];
        dst[2 * i + 1] = digits[p[i] & 15];
    }
    dst[2 * n] = '\0';
    return dst;
}

enum status hex_decode(uint8_t *dst, const char *text, size_t n)
{
    if (n % 2 != 0)
        return ST_E_PROTO;
    for (size_t i = 0; i < n; i += 2) {
        int hi = ascii_hex(text[i]), lo = ascii_hex(text[i + 1]);
        if (hi < 0 || lo < 0)
            return ST_E_PROTO;
        dst[i / 2] = (uint8_t)(hi << 4 | lo);
    }
    return ST_OK;
}
