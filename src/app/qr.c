#include "app/qr.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <qrencode.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUIET                                                                                      \
    2 /* light modules around the code; the standard's 4 costs lines that terminals are short of   \
       */

enum qr_style qr_style_for(FILE *out)
{
    const char *term = getenv("TERM");
    if (!isatty(fileno(out)) || term == NULL || strcmp(term, "dumb") == 0)
        return QR_NONE;
    locale_t loc = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (loc == (locale_t)0)
        return QR_ASCII;
    enum qr_style style = strcmp(nl_langinfo_l(CODESET, loc), "UTF-8") == 0 ? QR_BLOCKS : QR_ASCII;
    freelocale(loc);
    return style;
}

/* Modules outside the code belong to the quiet zone. */
static bool is_dark(const QRcode *qr, int x, int y)
{
    if (x < 0 || y < 0 || x >= qr->width || y >= qr->width)
        return false;
    return (qr->data[y * qr->width + x] & 1) != 0;
}

/* A light module is drawn, a dark one left out, and the colours are set to white on black: so the
 * code is dark on light on every terminal. */
static void print_blocks(FILE *out, const QRcode *qr)
{
    static const char *const blocks[] = {"\xe2\x96\x88", "\xe2\x96\x80", "\xe2\x96\x84", " "};
    for (int y = -QUIET; y < qr->width + QUIET; y += 2) {
        fputs("\033[40;97m", out);
        for (int x = -QUIET; x < qr->width + QUIET; x++)
            fputs(blocks[is_dark(qr, x, y) * 2 + is_dark(qr, x, y + 1)], out);
        fputs("\033[0m\n", out);
    }
}

static void print_ascii(FILE *out, const QRcode *qr)
{
    for (int y = -QUIET; y < qr->width + QUIET; y++) {
        for (int x = -QUIET; x < qr->width + QUIET; x++)
            fputs(is_dark(qr, x, y) ? "\033[40m  " : "\033[107m  ", out);
        fputs("\033[0m\n", out);
    }
}

enum status qr_print(FILE *out, const char *text, enum qr_style style)
{
    if (style == QR_NONE)
        return ST_OK;
    /* The lowest error correction: a screen has no scratches, and every line less counts. */
    QRcode *qr = QRcode_encodeString(text, 0, QR_ECLEVEL_L, QR_MODE_8, 1);
    if (qr == NULL)
        return errno == ERANGE ? ST_E_LIMIT : ST_E_NOMEM;
    if (style == QR_BLOCKS)
        print_blocks(out, qr);
    else
        print_ascii(out, qr);
    QRcode_free(qr);
    return ST_OK;
}
