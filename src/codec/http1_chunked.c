#include "codec/http1_chunked.h"

#include "base/ascii.h"

/*  SIZE --CR--> SIZE_LF --LF--> DATA --all of it--> DATA_CR --CR--> DATA_LF --LF--> SIZE
 *   \--;--> EXT --CR--^   \--LF, size 0--> TRAILER
 *  TRAILER --CR--> LAST_LF --LF--> DONE        (TRAILER: at the start of a line)
 *   \--else--> TRAILER_LINE --CR--> TRAILER_LF --LF--> TRAILER  */
enum state {
    SIZE,
    EXT,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER,
    TRAILER_LINE,
    TRAILER_LF,
    LAST_LF,
    DONE
};

static enum status size_byte(struct http1_chunked *c, uint8_t b)
{
    int digit = ascii_hex((char)b);
    if (++c->line > HTTP1_CHUNK_LINE_MAX)
        return ST_E_LIMIT;
    if (c->state == SIZE && digit >= 0) {
        if (++c->digits > 15)
            return ST_E_LIMIT;
        c->left = c->left << 4 | (uint64_t)digit;
        return ST_OK;
    }
    if (c->digits == 0)
        return ST_E_PROTO;
    if (b == '\r') {
        c->state = SIZE_LF;
        return ST_OK;
    }
    /* Blanks before an extension are tolerated (RFC 9112 section 7.1.1, "bad" whitespace). */
    if (c->state == SIZE && b != ';' && b != ' ' && b != '\t')
        return ST_E_PROTO;
    if (b < ' ' && b != '\t')
        return ST_E_PROTO;
    c->state = EXT;
    return ST_OK;
}

static enum status trailer_byte(struct http1_chunked *c, uint8_t b)
{
    if (++c->line > HTTP1_TRAILERS_MAX)
        return ST_E_LIMIT;
    switch (c->state) {
    case TRAILER:
        c->state = b == '\r' ? LAST_LF : TRAILER_LINE;
        return b == '\n' ? ST_E_PROTO : ST_OK;
    case TRAILER_LINE:
        if (b == '\r')
            c->state = TRAILER_LF;
        return b == '\n' ? ST_E_PROTO : ST_OK;
    case TRAILER_LF:
        c->state = TRAILER;
        break;
    default:
        c->state = DONE;
        break;
    }
    return b == '\n' ? ST_OK : ST_E_PROTO;
}

static enum status line_byte(struct http1_chunked *c, uint8_t b)
{
    switch (c->state) {
    case SIZE:
    case EXT:
        return size_byte(c, b);
    case SIZE_LF:
        c->state = c->left > 0 ? DATA : TRAILER;
        c->line = 0;
        c->digits = 0;
        return b == '\n' ? ST_OK : ST_E_PROTO;
    case DATA_CR:
        c->state = DATA_LF;
        return b == '\r' ? ST_OK : ST_E_PROTO;
    case DATA_LF:
        c->state = SIZE;
        return b == '\n' ? ST_OK : ST_E_PROTO;
    default:
        return trailer_byte(c, b);
    }
}

enum status http1_chunked_read(struct http1_chunked *c, const uint8_t *in, size_t len, size_t *used,
                               const uint8_t **data, size_t *data_len)
{
    size_t at = 0;
    *data = in;
    *data_len = 0;
    *used = 0;
    while (c->state != DONE) {
        if (at == len) {
            *used = at;
            return ST_MORE;
        }
        if (c->state == DATA) {
            size_t n = len - at < c->left ? len - at : (size_t)c->left;
            *data = in + at;
            *data_len = n;
            *used = at + n;
            c->left -= n;
            if (c->left == 0)
                c->state = DATA_CR;
            return ST_OK;
        }
        enum status st = line_byte(c, in[at++]);
        if (st != ST_OK)
            return st;
    }
    *used = at;
    return ST_EOF;
}
