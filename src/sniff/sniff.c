#include "sniff/sniff.h"

#include <string.h>

#define FIRST_TLS        0x16 /* a record of the handshake */
#define FIRST_BITTORRENT 0x13 /* the length of the protocol's name */

const char *sniff_protocol_str(enum sniff_protocol p)
{
    static const char *const names[] = {
        [SNIFF_HTTP1] = "http1",
        [SNIFF_TLS] = "tls",
        [SNIFF_QUIC] = "quic",
        [SNIFF_BITTORRENT] = "bittorrent",
    };

    return (size_t)p < sizeof(names) / sizeof(names[0]) ? names[p] : NULL;
}

/* ---- names ----------------------------------------------------------------------------------- */

void sniff_set_host(struct sniff *out, const uint8_t *name, size_t len)
{
    out->host[0] = '\0';
    if (len > 0 && name[len - 1] == '.')
        len--;
    if (len > SNIFF_HOST_MAX)
        return;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = name[i];
        if (c <= ' ' || c >= 0x7f) {
            out->host[0] = '\0';
            return;
        }
        out->host[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    out->host[len] = '\0';
}

void sniff_set_authority(struct sniff *out, const uint8_t *text, size_t len)
{
    const uint8_t *end;

    if (len > 0 && text[0] == '[') {
        end = memchr(text, ']', len);
        text++;
        len = end != NULL ? (size_t)(end - text) : 0;
    } else {
        end = memchr(text, ':', len);
        /* Of several colons it is an IPv6 address without its brackets. */
        if (end != NULL && memchr(end + 1, ':', len - (size_t)(end + 1 - text)) == NULL)
            len = (size_t)(end - text);
    }
    sniff_set_host(out, text, len);
}

/* ---- who is asked ---------------------------------------------------------------------------- */

enum status sniff_stream(const struct bufq *in, struct sniff *out)
{
    uint8_t first;
    enum status st;

    memset(out, 0, sizeof(*out));
    if (bufq_peek(in, &first, 1) == 0)
        return ST_MORE;
    switch (first) {
    case FIRST_TLS:
        st = sniff_tls(in, out);
        break;
    case FIRST_BITTORRENT:
        st = sniff_bittorrent(in, out);
        break;
    default:
        st = sniff_http(in, out);
    }
    if (st == ST_MORE && in->bytes >= SNIFF_STREAM_MAX)
        return out->protocol != SNIFF_NONE ? ST_OK : ST_E_NOTFOUND;
    return st;
}

enum status sniff_datagrams_feed(struct sniff_datagrams *d, struct pool *pool,
                                 struct crypto_ctx *cc, const uint8_t *p, size_t n,
                                 struct sniff *out)
{
    memset(out, 0, sizeof(*out));
    enum status st = cc != NULL ? sniff_quic_feed(&d->quic, pool, cc, p, n, out) : ST_E_NOTFOUND;
    if (st == ST_E_NOTFOUND)
        st = sniff_bittorrent_datagram(p, n, out);
    if (st != ST_MORE)
        sniff_datagrams_fini(d, pool);
    return st;
}

void sniff_datagrams_fini(struct sniff_datagrams *d, struct pool *pool)
{
    sniff_quic_free(&d->quic, pool);
}
