#include "proto/trojan/header.h"

#include <string.h>

#include "base/bytes.h"

/* 16: no digit. Upper case is another user to Xray-core, so it is nobody's. */
static uint8_t digit(uint8_t c)
{
    return c >= '0' && c <= '9'   ? (uint8_t)(c - '0')
           : c >= 'a' && c <= 'f' ? (uint8_t)(c - 'a' + 10)
                                  : 16;
}

enum status trojan_digest_parse(const uint8_t *p, size_t len, uint8_t digest[TROJAN_DIGEST_LEN])
{
    memset(digest, 0, TROJAN_DIGEST_LEN);
    for (size_t i = 0; i < TROJAN_KEY_LEN; i++) {
        if (i == len)
            return ST_MORE;
        uint8_t d = digit(p[i]);
        if (d == 16)
            return ST_E_AUTH;
        digest[i / 2] = (uint8_t)(digest[i / 2] << 4 | d);
    }
    if (len == TROJAN_KEY_LEN)
        return ST_MORE;
    return p[TROJAN_KEY_LEN] == '\r' ? ST_OK : ST_E_AUTH;
}

enum status trojan_header_parse(const uint8_t *p, size_t len, struct trojan_header *h)
{
    struct reader r = reader_of(p, len);

    memset(h, 0, sizeof(*h));
    (void)reader_take(&r, TROJAN_KEY_LEN + 2);
    h->command = reader_u8(&r);
    enum status st = proxy_address_read(&r, PROXY_ADDRESS_SOCKS, &h->target);
    if (st != ST_OK)
        return st;
    (void)reader_take(&r, 2);
    if (r.bad)
        return ST_MORE;
    h->len = (size_t)(r.p - p);
    return ST_OK;
}

enum status trojan_frame_parse(const uint8_t *p, size_t len, struct target *to, size_t *head,
                               uint16_t *payload)
{
    struct reader r = reader_of(p, len);
    enum status st = proxy_address_read(&r, PROXY_ADDRESS_SOCKS, to);

    if (st != ST_OK)
        return st;
    *payload = reader_u16(&r);
    (void)reader_take(&r, 2);
    if (r.bad)
        return ST_MORE;
    *head = (size_t)(r.p - p);
    return ST_OK;
}

size_t trojan_frame_write(uint8_t out[TROJAN_FRAME_IP_MAX], const struct addr *from,
                          uint16_t payload)
{
    size_t n = proxy_address_write(PROXY_ADDRESS_SOCKS, from, out);

    put_be16(out + n, payload);
    out[n + 2] = '\r';
    out[n + 3] = '\n';
    return n + 4;
}
