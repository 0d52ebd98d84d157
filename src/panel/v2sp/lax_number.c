#include "panel/v2sp/lax_number.h"

#include "base/ascii.h"

#define DIGITS_MAX 40

/* @digits with the decimal point after @point of them; false over @max. */
static bool value(const uint8_t *digits, int n, int point, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;

    for (int i = 0; i < point; i++) {
        uint64_t d = i < n ? digits[i] : 0;
        if (v > (max - d) / 10)
            return false;
        v = v * 10 + d;
    }
    *out = v;
    return true;
}

bool v2sp_lax_number(const char *text, size_t len, uint64_t *whole, uint64_t *milli)
{
    uint8_t digits[DIGITS_MAX];
    int n = 0, point = 0, exp = 0;
    size_t i = 0;
    bool any = false, fraction = false, zero = true;
    uint64_t w = 0;

    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    while (i < len && (text[i] == ' ' || text[i] == '\t' || text[i] == '+'))
        i++;
    for (; i < len && (ascii_is_digit(text[i]) || (text[i] == '.' && !fraction)); i++) {
        if (text[i] == '.') {
            fraction = true;
            continue;
        }
        any = true;
        zero = zero && text[i] == '0';
        if (n == 0 && text[i] == '0' && !fraction)
            continue; /* leading zeros */
        if (n < DIGITS_MAX)
            digits[n++] = (uint8_t)(text[i] - '0');
        else if (!fraction)
            return false;
        if (!fraction)
            point++;
    }
    if (!any)
        return false;
    if (i < len && (text[i] == 'e' || text[i] == 'E')) {
        bool neg = ++i < len && text[i] == '-';
        if (i < len && (text[i] == '-' || text[i] == '+'))
            i++;
        if (i == len)
            return false;
        for (; i < len && ascii_is_digit(text[i]); i++)
            exp = exp > 1000 ? exp : exp * 10 + (text[i] - '0');
        point += neg ? -exp : exp;
    }
    if (i != len)
        return false;
    if (n == 0)
        point = 0;
    if (!value(digits, n, point < 0 ? 0 : point, INT64_MAX, &w))
        return false;
    if (whole != NULL)
        *whole = w;
    if (point + 3 < 0)
        *milli = 0;
    else if (!value(digits, n, point + 3, INT64_MAX, milli))
        *milli = UINT64_MAX;
    if (*milli == 0 && !zero)
        *milli = 1;
    return true;
}
