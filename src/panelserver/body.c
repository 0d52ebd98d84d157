#include "panelserver/body.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/hex.h"
#include "crypto/hash.h"

enum status body_new(struct textbuf *t, struct body **out)
{
    uint8_t hash[HASH_SHA256_LEN];
    enum status st = ST_E_NOMEM;
    struct body *b = calloc(1, sizeof *b);
    if (b == NULL || t->failed)
        goto out;
    if ((st = hash_sum(NULL, HASH_SHA256, t->p, t->len, hash)) != ST_OK)
        goto out;
    b->refs = 1;
    b->len = t->len;
    b->data = t->p;
    b->etag[0] = '"';
    hex_encode(b->etag + 1, hash, 16);
    b->etag[BODY_ETAG_LEN - 2] = '"';
    b->etag[BODY_ETAG_LEN - 1] = '\0';
    /* Doubling left up to half of a large buffer unused. */
    if (t->cap - t->len > 4096) {
        char *fit = realloc(b->data, t->len);
        b->data = fit != NULL ? fit : b->data;
    }
    textbuf_init(t);
out:
    if (st != ST_OK) {
        free(b);
        b = NULL;
        textbuf_fini(t);
    }
    *out = b;
    return st;
}

struct body *body_ref(struct body *b)
{
    b->refs++;
    return b;
}

void body_unref(struct body *b)
{
    if (b == NULL || --b->refs > 0)
        return;
    free(b->data);
    free(b);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool body_etag_matches(const char *etag, const char *text, size_t len)
{
    size_t opaque = strlen(etag) - 2; /* without the quotes */
    const char *end = text + len;
    while (text < end) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma != NULL ? comma : end, *next = stop;
        while (text < stop && is_blank(*text))
            text++;
        while (stop > text && is_blank(stop[-1]))
            stop--;
        if (stop - text == 1 && *text == '*')
            return true;
        if (stop - text > 2 && text[0] == 'W' && text[1] == '/')
            text += 2;
        if (stop - text >= 2 && *text == '"' && stop[-1] == '"') {
            text++;
            stop--;
        }
        if ((size_t)(stop - text) == opaque && memcmp(text, etag + 1, opaque) == 0)
            return true;
        text = next + 1;
    }
    return false;
}
