#include "base/utf8.h"

size_t utf8_char(const uint8_t *p, size_t len)
{
    static const struct {
        uint8_t lo, hi;   /* of the first byte */
        uint8_t lo2, hi2; /* of the second: no long forms, no surrogates, not over U+10FFFF */
        uint8_t size;
    } rows[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };

    if (p[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (p[0] < rows[i].lo || p[0] > rows[i].hi)
            continue;
        if (len < rows[i].size || p[1] < rows[i].lo2 || p[1] > rows[i].hi2)
            return 0;
        for (size_t k = 2; k < rows[i].size; k++)
            if ((p[k] & 0xC0) != 0x80)
                return 0;
        return rows[i].size;
    }
    return 0;
}

bool utf8_is_valid(const uint8_t *p, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        n = utf8_char(p + i, len - i);
        if (n == 0)
            return false;
    }
    return true;
}
