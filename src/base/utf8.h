/* base/utf8.h - texts from outside: is it UTF-8? RFC 3629: shortest form, no surrogates, at most
 * U+10FFFF. Pure. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the character that the @len (> 0) bytes at @p begin with; 0: it is none, or cut off. */
size_t utf8_char(const uint8_t *p, size_t len);
/* Is all of it characters? */
bool utf8_is_valid(const uint8_t *p, size_t len);

#endif
