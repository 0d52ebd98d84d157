/* app/qr.h - a text as a QR code in the terminal. */
#ifndef APP_QR_H
#define APP_QR_H

#include <stdio.h>

#include "base/status.h"

enum qr_style {
    QR_NONE,
    QR_BLOCKS, /* two modules a character: half blocks, for terminals that show UTF-8 */
    QR_ASCII,  /* two blanks a module in background colours, for those that do not */
};

/* What fits @out: QR_NONE unless it is a terminal with colours, then by the character set of the
 * locale. Reads the environment's locale once, without changing the program's. */
enum qr_style qr_style_for(FILE *out);
/* Prints @text dark on light, whatever the terminal's colours. Nothing for QR_NONE. ST_OK;
 * ST_E_LIMIT when the text does not fit a code (about 2,900 bytes); ST_E_NOMEM. */
NODISCARD enum status qr_print(FILE *out, const char *text, enum qr_style style);

#endif
