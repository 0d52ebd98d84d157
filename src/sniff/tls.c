/* TLS: the ClientHello, whichever way it is cut into records and segments. Lenient, for what some
 * server accepts must be found: OpenSSL's skips empty records and extensions it does not know,
 * however they look, and takes a hello of 128 KiB. tls/hello.h, which serves clients, is strict. */
#include <string.h>

#include "base/bytes.h"
#include "sniff/sniff.h"
#include "tls/record.h"

#define CLIENT_HELLO    1u
#define MESSAGE_HEADER  4u
#define EXT_SERVER_NAME 0u
#define NAME_OF_HOST    0u

void sniff_hello(const uint8_t *msg, size_t len, struct sniff *out)
{
    struct reader r = reader_of(msg, len);

    out->host[0] = '\0';
    (void)reader_take(&r, MESSAGE_HEADER + 2 + 32); /* up to the random bytes */
    (void)reader_sub(&r, reader_u8(&r));            /* session id, ciphers, compression */
    (void)reader_sub(&r, reader_u16(&r));
    (void)reader_sub(&r, reader_u8(&r));
    (void)reader_u16(&r); /* of all extensions, which may not be all there */
    while (!r.bad && reader_left(&r) > 0) {
        uint16_t type = reader_u16(&r);
        struct reader ext = reader_sub(&r, reader_u16(&r));
        if (r.bad || type != EXT_SERVER_NAME)
            continue;
        (void)reader_u16(&ext); /* of the list, whose first name is the one that counts */
        uint8_t kind = reader_u8(&ext);
        struct reader name = reader_sub(&ext, reader_u16(&ext));
        if (!ext.bad && kind == NAME_OF_HOST)
            sniff_set_authority(out, name.p, reader_left(&name)); /* nginx drops a port, too */
        return;
    }
}

/* Joins the payloads of the records in the @n bytes at @p, in place. *@have: bytes of the message,
 * as far as it has come. ST_OK: the ClientHello is whole; ST_MORE; ST_E_PROTO: what comes next
 * is no part of one. */
static enum status join_records(uint8_t *p, size_t n, size_t *have)
{
    size_t at = 0;

    *have = 0;
    while (at < n) {
        if (p[at] != RECORD_HANDSHAKE || (n - at > 1 && p[at + 1] != 3))
            return ST_E_PROTO;
        if (n - at < RECORD_HEADER)
            return ST_MORE;
        size_t len = get_be16(p + at + 3);
        if (len > RECORD_PLAIN_MAX)
            return ST_E_PROTO;
        at += RECORD_HEADER;
        size_t part = n - at < len ? n - at : len;
        memmove(p + *have, p + at, part);
        *have += part;
        at += part;
        if (*have > 0 && p[0] != CLIENT_HELLO)
            return ST_E_PROTO;
        if (*have >= MESSAGE_HEADER && *have - MESSAGE_HEADER >= get_be24(p + 1))
            return ST_OK;
    }
    return ST_MORE;
}

enum status sniff_tls(const struct bufq *in, struct sniff *out)
{
    uint8_t wire[SNIFF_STREAM_MAX];
    size_t have;
    enum status st = join_records(wire, bufq_peek(in, wire, sizeof(wire)), &have);

    if (have == 0 || wire[0] != CLIENT_HELLO)
        return st == ST_MORE ? ST_MORE : ST_E_NOTFOUND;
    /* From here on it is a ClientHello, if perhaps a broken one. */
    out->protocol = SNIFF_TLS;
    sniff_hello(wire, have, out);
    return st == ST_MORE ? ST_MORE : ST_OK;
}
