#include "base/uuid.h"

#include "base/ascii.h"

static bool dash_may_stand_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

enum status uuid_parse(uint8_t out[UUID_LEN], const char *text, size_t len)
{
    size_t at = 0;
    for (size_t i = 0; i < UUID_LEN; i++) {
        if (dash_may_stand_before(i) && at < len && text[at] == '-')
            at++;
        if (len - at < 2)
            return ST_E_PROTO;
        int hi = ascii_hex(text[at]), lo = ascii_hex(text[at + 1]);
        if (hi < 0 || lo < 0)
            return ST_E_PROTO;
        out[i] = (uint8_t)(hi << 4 | lo);
        at += 2;
    }
    return at == len ? ST_OK : ST_E_PROTO;
}

char *uuid_str(const uint8_t id[UUID_LEN], char dst[UUID_STRLEN])
{
    static const char digits[] = "0123456789abcdef";
    char *p = dst;
    for (size_t i = 0; i < UUID_LEN; i++) {
        if (dash_may_stand_before(i))
            *p++ = '-';
        *p++ = digits[id[i] >> 4];
        *p++ = digits[id[i] & 15];
    }
    *p = '\0';
    return dst;
}
