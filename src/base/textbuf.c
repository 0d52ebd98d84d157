#include "base/textbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void textbuf_init(struct textbuf *t)
{
    memset(t, 0, sizeof *t);
}

void textbuf_fini(struct textbuf *t)
{
    free(t->p);
    memset(t, 0, sizeof *t);
}

/* Makes room for @more bytes and a NUL that snprintf may write. */
static bool reserve(struct textbuf *t, size_t more)
{
    if (t->failed)
        return false;
    if (t->cap - t->len > more)
        return true;
    size_t cap = t->cap < 256 ? 256 : t->cap;
    while (cap - t->len <= more)
        cap *= 2;
    char *p = t->max == 0 || cap <= t->max ? realloc(t->p, cap) : NULL;
    if (p == NULL) {
        t->failed = true;
        return false;
    }
    t->p = p;
    t->cap = cap;
    return true;
}

char *textbuf_room(struct textbuf *t, size_t n)
{
    return reserve(t, n) ? t->p + t->len : NULL;
}

void textbuf_put(struct textbuf *t, const char *text, size_t len)
{
    if (len == 0 || !reserve(t, len))
        return;
    memcpy(t->p + t->len, text, len);
    t->len += len;
}

void textbuf_puts(struct textbuf *t, const char *text)
{
    textbuf_put(t, text, strlen(text));
}

void textbuf_printf(struct textbuf *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0 || !reserve(t, (size_t)len))
        return;
    va_start(ap, fmt);
    vsnprintf(t->p + t->len, t->cap - t->len, fmt, ap);
    va_end(ap);
    t->len += (size_t)len;
}

/* 100,000 users have 400,000 numbers: printf would be most of the work. */
void textbuf_int(struct textbuf *t, int64_t v)
{
    char digits[21];
    size_t at = sizeof digits;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        digits[--at] = (char)('0' + u % 10);
        u /= 10;
    } while (u > 0);
    if (v < 0)
        digits[--at] = '-';
    textbuf_put(t, digits + at, sizeof digits - at);
}

/* Length of the well-formed UTF-8 character at @p (RFC 3629 section 4), 0 if there is none. */
static size_t utf8_len(const unsigned char *p)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t n;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        n = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        n = 3;
        low = p[0] == 0xe0 ? 0xa0 : low;
        high = p[0] == 0xed ? 0x9f : high;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        n = 4;
        low = p[0] == 0xf0 ? 0x90 : low;
        high = p[0] == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return n;
}

void textbuf_json(struct textbuf *t, const char *text)
{
    textbuf_put(t, "\"", 1);
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0';) {
        size_t n = utf8_len(p);
        if (n == 0) {
            textbuf_puts(t, "\\ufffd");
            n = 1;
        } else if (*p == '"' || *p == '\\') {
            char escaped[2] = {'\\', (char)*p};
            textbuf_put(t, escaped, 2);
        } else if (*p < 0x20) {
            textbuf_printf(t, "\\u%04x", *p);
        } else {
            textbuf_put(t, (const char *)p, n);
        }
        p += n;
    }
    textbuf_put(t, "\"", 1);
}
