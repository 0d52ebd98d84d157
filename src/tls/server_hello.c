#include "tls/server_hello.h"

#include <string.h>

#include "tls/record.h"

#define MESSAGE_SERVER_HELLO 2u

enum extension {
    EXT_PRE_SHARED_KEY = 41,
    EXT_SUPPORTED_VERSIONS = 43,
    EXT_KEY_SHARE = 51,
};

/* SHA-256("HelloRetryRequest"): the random of a ServerHello that is none. */
static const uint8_t RETRY[32] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
                                  0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
                                  0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

struct found {
    uint16_t version;
    bool psk;
};

static bool read_extension(uint16_t type, struct reader ext, const uint8_t *msg,
                           struct server_hello *h, struct found *f)
{
    switch (type) {
    case EXT_SUPPORTED_VERSIONS:
        f->version = reader_u16(&ext);
        return !ext.bad && reader_left(&ext) == 0;
    case EXT_KEY_SHARE:
        h->group = reader_u16(&ext);
        if (reader_left(&ext) == 0)
            return !ext.bad; /* HelloRetryRequest names the group only */
        h->share_len = reader_u16(&ext);
        h->share_off = (size_t)(ext.p - msg);
        return reader_take(&ext, h->share_len) != NULL && reader_left(&ext) == 0;
    case EXT_PRE_SHARED_KEY:
        f->psk = true;
        return true;
    default:
        return true;
    }
}

static enum status read_extensions(struct reader exts, const uint8_t *msg, struct server_hello *h,
                                   struct found *f)
{
    uint64_t seen = 0;

    while (reader_left(&exts) > 0) {
        uint16_t type = reader_u16(&exts);
        struct reader ext = reader_sub(&exts, reader_u16(&exts));
        uint64_t bit = type < 64 ? (uint64_t)1 << type : 0;
        if (exts.bad || (seen & bit) != 0 || !read_extension(type, ext, msg, h, f))
            return ST_E_PROTO;
        seen |= bit;
    }
    return ST_OK;
}

static bool is_usable(const struct server_hello *h, const struct found *f)
{
    if (f->version != 0x0304 || f->psk || memcmp(h->random, RETRY, sizeof(RETRY)) == 0)
        return false;
    if (h->suite < RECORD_AES_128_GCM_SHA256 || h->suite > RECORD_CHACHA20_POLY1305_SHA256)
        return false;
    return (h->group == TLS_GROUP_X25519 && h->share_len == TLS_SHARE_X25519) ||
           (h->group == TLS_GROUP_X25519MLKEM768 && h->share_len == TLS_SHARE_MLKEM_SERVER);
}

enum status server_hello_parse(const uint8_t *msg, size_t len, struct server_hello *h)
{
    struct reader r = reader_of(msg, len);
    struct found found = {0};

    memset(h, 0, sizeof(*h));
    uint8_t type = reader_u8(&r);
    uint32_t body = reader_u24(&r);
    if (r.bad || type != MESSAGE_SERVER_HELLO || body != reader_left(&r))
        return ST_E_PROTO;
    uint16_t legacy_version = reader_u16(&r);
    h->random = reader_take(&r, 32);
    h->session_id = reader_sub(&r, reader_u8(&r));
    h->suite = reader_u16(&r);
    uint8_t compression = reader_u8(&r);
    if (r.bad || reader_left(&h->session_id) > 32)
        return ST_E_PROTO;
    if (reader_left(&r) == 0)
        return ST_E_UNSUPPORTED; /* before TLS 1.3 extensions are optional */
    struct reader exts = reader_sub(&r, reader_u16(&r));
    if (r.bad || reader_left(&r) != 0)
        return ST_E_PROTO;
    enum status st = read_extensions(exts, msg, h, &found);
    if (st != ST_OK)
        return st;
    return legacy_version == 0x0303 && compression == 0 && is_usable(h, &found) ? ST_OK
                                                                                : ST_E_UNSUPPORTED;
}
