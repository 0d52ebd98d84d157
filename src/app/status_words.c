#include "app/status_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

char *status_bytes(char dst[STATUS_WORD_MAX], uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double v = (double)bytes;
    size_t u = 0;

    /* What would round to 1000 is one of the next unit. */
    while (v >= 999.5 && u + 1 < sizeof(units) / sizeof(units[0])) {
        v /= 1000;
        u++;
    }
    if (u == 0)
        snprintf(dst, STATUS_WORD_MAX, "%" PRIu64 " B", bytes);
    else
        snprintf(dst, STATUS_WORD_MAX,
                 v < 9.995   ? "%.2f %s"
                 : v < 99.95 ? "%.1f %s"
                             : "%.0f %s",
                 v, units[u]);
    return dst;
}

char *status_span(char dst[STATUS_WORD_MAX], uint64_t s)
{
    if (s < 60)
        snprintf(dst, STATUS_WORD_MAX, "%" PRIu64 "s", s);
    else if (s < 3600)
        snprintf(dst, STATUS_WORD_MAX, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(dst, STATUS_WORD_MAX, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
    else if (s < UINT64_C(86400) * 100)
        snprintf(dst, STATUS_WORD_MAX, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
    else
        snprintf(dst, STATUS_WORD_MAX, "%" PRIu64 "d", s / 86400);
    return dst;
}

void status_plain(struct textbuf *out, const char *text, size_t width)
{
    size_t columns = 0;
    const unsigned char *p = (const unsigned char *)text;

    while (*p != '\0') {
        size_t n = 1;
        bool control = *p < 0x20 || *p == 0x7f;
        while ((p[n] & 0xc0) == 0x80)
            n++;
        /* U+0080..U+009F are controls to terminals, too. */
        control = control || (p[0] == 0xc2 && n == 2 && p[1] < 0xa0);
        if (columns + 1 == width && p[n] != '\0') {
            textbuf_put(out, ".", 1);
            return;
        }
        if (columns == width)
            return;
        textbuf_put(out, control ? "?" : (const char *)p, control ? 1 : n);
        columns++;
        p += n;
    }
}
