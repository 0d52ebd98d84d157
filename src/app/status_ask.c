#include "app/status_ask.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A form field: all but letters and digits as %XX. */
static void encode(char *dst, size_t cap, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t n = 0;

    for (const unsigned char *p = (const unsigned char *)text; *p != '\0' && n + 4 <= cap; p++) {
        if (isascii(*p) && isalnum(*p)) {
            dst[n++] = (char)*p;
            continue;
        }
        dst[n++] = '%';
        dst[n++] = hex[*p >> 4];
        dst[n++] = hex[*p & 15];
    }
    dst[n] = '\0';
}

enum status status_ask(const char *path, const struct status_ask *ask, struct admin_reply *out)
{
    char target[1024], node[800] = "";

    if (ask->node != NULL)
        encode(node, sizeof(node), ask->node);
    snprintf(target, sizeof(target), "/status?users=%u%s%s%s", ask->users,
             ask->node != NULL ? "&node=" : "", node, ask->rates ? "" : "&rates=no");
    return admin_call(path, "GET", target, NULL, ADMIN_CLIENT_WAIT_MS, out);
}

bool status_ask_number(const char *text, uint32_t max, uint32_t *out)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);

    if (!isdigit((unsigned char)text[0]) || *end != '\0' || v > max)
        return false;
    *out = (uint32_t)v;
    return true;
}
