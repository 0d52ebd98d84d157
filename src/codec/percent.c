#include "codec/percent.h"

#include <string.h>

#include "base/ascii.h"

enum status percent_decode(char *dst, size_t *len, const char *text, size_t n, unsigned flags)
{
    char *d = dst;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '%') {
            int hi = n - i > 2 ? ascii_hex(text[i + 1]) : -1;
            int lo = n - i > 2 ? ascii_hex(text[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return ST_E_PROTO;
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (c == '+' && (flags & PERCENT_FORM) != 0) {
            c = ' ';
        }
        *d++ = c;
    }
    *d = '\0';
    *len = (size_t)(d - dst);
    return ST_OK;
}

static bool is_unreserved(char c)
{
    return ascii_is_letter(c) || ascii_is_digit(c) || (c != '\0' && strchr("-._~", c) != NULL);
}

size_t percent_encode(char *dst, const char *text, size_t n)
{
    static const char digits[] = "0123456789ABCDEF";
    char *d = dst;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (is_unreserved(text[i])) {
            *d++ = text[i];
        } else {
            *d++ = '%';
            *d++ = digits[c >> 4];
            *d++ = digits[c & 15];
        }
    }
    *d = '\0';
    return (size_t)(d - dst);
}
