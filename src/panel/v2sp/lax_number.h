/* panel/v2sp/lax_number.h - numbers as PHP panels write them. Pure, stateless. */
#ifndef PANEL_V2SP_LAX_NUMBER_H
#define PANEL_V2SP_LAX_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads a decimal number from 0 to 2^63-1 with an optional fraction and exponent ("12", " 12 ",
 * "1.5", "1e3"), in thousandths: a fraction finer than that is cut, but not to nothing: "0.0001"
 * is one thousandth. Over the range of thousandths *@milli is UINT64_MAX. *@whole (may be NULL)
 * is the integral part; for numbers without fraction and exponent it is exact over the whole
 * range. False: no such number, or negative. */
bool v2sp_lax_number(const char *text, size_t len, uint64_t *whole, uint64_t *milli);

#endif
