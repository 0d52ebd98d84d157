#include "codec/base64.h"

static const char alphabet_std[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t base64_encode(char *dst, const void *data, size_t n, unsigned flags)
{
    const char *abc = (flags & BASE64_URL) != 0 ? alphabet_url : alphabet_std;
    const uint8_t *p = data;
    char *d = dst;

    for (; n >= 3; n -= 3, p += 3) {
        uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *d++ = abc[v >> 18];
        *d++ = abc[v >> 12 & 63];
        *d++ = abc[v >> 6 & 63];
        *d++ = abc[v & 63];
    }
    if (n > 0) {
        uint32_t v = (uint32_t)p[0] << 16 | (n == 2 ? (uint32_t)p[1] << 8 : 0);
        *d++ = abc[v >> 18];
        *d++ = abc[v >> 12 & 63];
        if (n == 2)
            *d++ = abc[v >> 6 & 63];
        if ((flags & BASE64_UNPADDED) == 0) {
            *d++ = '=';
            if (n == 1)
                *d++ = '=';
        }
    }
    *d = '\0';
    return (size_t)(d - dst);
}

/* The value of one character, or -1. */
static int value_of(char c, unsigned flags)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == ((flags & BASE64_URL) != 0 ? '-' : '+'))
        return 62;
    if (c == ((flags & BASE64_URL) != 0 ? '_' : '/'))
        return 63;
    return -1;
}

/* Cuts the padding off *@n; false when it is missing, or there although it should not. */
static bool cut_padding(const char *text, size_t *n, unsigned flags)
{
    if ((flags & BASE64_UNPADDED) != 0)
        return *n % 4 != 1;
    if (*n % 4 != 0)
        return false;
    if (*n > 0 && text[*n - 1] == '=')
        *n -= text[*n - 2] == '=' ? 2 : 1;
    return true;
}

enum status base64_decode(uint8_t *dst, size_t *len, const char *text, size_t n, unsigned flags)
{
    uint8_t *d = dst;
    uint32_t v = 0;
    unsigned bits = 0;

    if (!cut_padding(text, &n, flags))
        return ST_E_PROTO;
    for (size_t i = 0; i < n; i++) {
        int x = value_of(text[i], flags);
        if (x < 0)
            return ST_E_PROTO;
        v = v << 6 | (uint32_t)x;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *d++ = (uint8_t)(v >> bits);
        }
    }
    if ((flags & BASE64_ANY_TAIL) == 0 && (v & ((1u << bits) - 1)) != 0)
        return ST_E_PROTO;
    *len = (size_t)(d - dst);
    return ST_OK;
}
