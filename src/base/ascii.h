/* base/ascii.h - letters and digits of ASCII, whatever the locale. Pure. */
#ifndef BASE_ASCII_H
#define BASE_ASCII_H

#include <stdbool.h>
#include <stddef.h>

static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool ascii_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Other bytes, those of UTF-8 among them, stay. */
static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* The same for a whole text, in place. Returns @text, which may be NULL. */
static inline char *ascii_lower_text(char *text)
{
    for (char *p = text; p != NULL && *p != '\0'; p++)
        *p = ascii_lower(*p);
    return text;
}

/* 0..15, -1 for what is no hexadecimal digit. Both cases are read. */
static inline int ascii_hex(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
