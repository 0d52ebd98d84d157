#include "tls/hello.h"

#include <string.h>

#include "tls/record.h"

#define MESSAGE_HEADER       4u
#define MESSAGE_CLIENT_HELLO 1u

enum extension {
    EXT_SERVER_NAME = 0,
    EXT_SUPPORTED_GROUPS = 10,
    EXT_SIGNATURE_ALGORITHMS = 13,
    EXT_ALPN = 16,
    EXT_PRE_SHARED_KEY = 41,
    EXT_EARLY_DATA = 42,
    EXT_SUPPORTED_VERSIONS = 43,
    EXT_KEY_SHARE = 51,
};

/* ---- records --------------------------------------------------------------------------------- */

/* Reads the record header at @off. ST_OK with the payload's length, ST_MORE, or ST_E_PROTO as
 * early as the bytes show it. */
static enum status record_at(const struct bufq *in, size_t off, size_t *len)
{
    uint8_t header[RECORD_HEADER] = {RECORD_HANDSHAKE, 3};
    size_t have = in->bytes - off < sizeof(header) ? in->bytes - off : sizeof(header);

    (void)bufq_peek_at(in, off, header, have);
    if (header[0] != RECORD_HANDSHAKE || header[1] != 3)
        return ST_E_PROTO;
    if (have < sizeof(header))
        return ST_MORE;
    *len = get_be16(header + 3);
    return *len > 0 && *len <= RECORD_PLAIN_MAX ? ST_OK : ST_E_PROTO;
}

enum status hello_locate(const struct bufq *in, size_t max, size_t *wire, size_t *msg)
{
    uint8_t head[MESSAGE_HEADER] = {MESSAGE_CLIENT_HELLO};
    size_t off = 0, have = 0, want = MESSAGE_HEADER; /* have, want: bytes of the message */

    while (have < want) {
        size_t len;
        enum status st = record_at(in, off, &len);
        if (st != ST_OK)
            return st;
        off += RECORD_HEADER;
        size_t left = in->bytes - off, there = left < len ? left : len;
        if (have < MESSAGE_HEADER) {
            size_t n = MESSAGE_HEADER - have < there ? MESSAGE_HEADER - have : there;
            (void)bufq_peek_at(in, off, head + have, n);
            if (head[0] != MESSAGE_CLIENT_HELLO)
                return ST_E_PROTO;
            if (have + n == MESSAGE_HEADER)
                want = MESSAGE_HEADER + get_be24(head + 1);
            if (want > max)
                return ST_E_LIMIT;
        }
        if (there < len)
            return ST_MORE;
        have += len;
        off += len;
    }
    *wire = off;
    *msg = want;
    return ST_OK;
}

bool hello_ends_record(const struct bufq *in, size_t wire, size_t len)
{
    size_t off = 0, n, sum = 0;

    while (off < wire && record_at(in, off, &n) == ST_OK) {
        sum += n;
        off += RECORD_HEADER + n;
    }
    return off == wire && sum == len;
}

void hello_copy(const struct bufq *in, uint8_t *dst, size_t len)
{
    size_t off = 0, n;

    while (len > 0 && record_at(in, off, &n) == ST_OK) {
        off += RECORD_HEADER;
        size_t take = n < len ? n : len;
        if (!bufq_peek_at(in, off, dst, take))
            return;
        off += n;
        dst += take;
        len -= take;
    }
}

/* ---- the message ----------------------------------------------------------------------------- */

/* A vector with a u16 length that must fill @ext; @unit: its length is a multiple of that and
 * not 0. */
static struct reader whole_vector(struct reader *ext, size_t unit)
{
    struct reader v = reader_sub(ext, reader_u16(ext));

    if (reader_left(ext) != 0 || reader_left(&v) == 0 || reader_left(&v) % unit != 0)
        ext->bad = true;
    return v;
}

static void read_server_name(struct reader *ext, struct hello *h)
{
    struct reader list = whole_vector(ext, 1);

    while (!ext->bad && reader_left(&list) > 0) {
        uint8_t type = reader_u8(&list);
        struct reader name = reader_sub(&list, reader_u16(&list));
        if (list.bad || (type == 0 && reader_left(&h->sni) > 0))
            ext->bad = true;
        else if (type == 0)
            h->sni = name;
    }
    if (memchr(h->sni.p, 0, reader_left(&h->sni)) != NULL)
        ext->bad = true;
}

static void read_alpn(struct reader *ext, struct hello *h)
{
    struct reader list = whole_vector(ext, 1);

    h->alpn = list;
    while (!ext->bad && reader_left(&list) > 0) {
        uint8_t len = reader_u8(&list);
        if (reader_take(&list, len) == NULL || len == 0)
            ext->bad = true;
    }
}

static void read_key_shares(struct reader *ext, struct hello *h)
{
    struct reader list = reader_sub(ext, reader_u16(ext));

    h->key_shares = list;
    if (reader_left(ext) != 0)
        ext->bad = true;
    while (!ext->bad && reader_left(&list) > 0) {
        (void)reader_u16(&list);
        uint16_t len = reader_u16(&list);
        if (reader_take(&list, len) == NULL || len == 0)
            ext->bad = true;
    }
}

static void read_versions(struct reader *ext, struct hello *h)
{
    h->versions = reader_sub(ext, reader_u8(ext));
    if (reader_left(ext) != 0 || reader_left(&h->versions) < 2 ||
        reader_left(&h->versions) % 2 != 0)
        ext->bad = true;
}

/* Returns false if @ext is malformed or was there before. */
static bool read_extension(uint16_t type, struct reader ext, struct hello *h, uint64_t *seen)
{
    if (type < 64) {
        uint64_t bit = (uint64_t)1 << type;
        if (*seen & bit)
            return false;
        *seen |= bit;
    }
    switch (type) {
    case EXT_SERVER_NAME:
        read_server_name(&ext, h);
        break;
    case EXT_SUPPORTED_GROUPS:
        h->groups = whole_vector(&ext, 2);
        break;
    case EXT_SIGNATURE_ALGORITHMS:
        h->sigalgs = whole_vector(&ext, 2);
        break;
    case EXT_ALPN:
        read_alpn(&ext, h);
        break;
    case EXT_SUPPORTED_VERSIONS:
        read_versions(&ext, h);
        break;
    case EXT_KEY_SHARE:
        read_key_shares(&ext, h);
        break;
    case EXT_EARLY_DATA:
        h->early_data = true;
        break;
    case EXT_PRE_SHARED_KEY:
        h->psk = true;
        break;
    default:
        break;
    }
    return !ext.bad;
}

enum status hello_parse(const uint8_t *msg, size_t len, struct hello *h)
{
    struct reader r = reader_of(msg, len), none = reader_of(msg + len, 0);
    uint64_t seen = 0;

    *h = (struct hello){.session_id = none,
                        .ciphers = none,
                        .compression = none,
                        .extensions = none,
                        .sni = none,
                        .alpn = none,
                        .versions = none,
                        .groups = none,
                        .sigalgs = none,
                        .key_shares = none};
    uint8_t message = reader_u8(&r);
    uint32_t body = reader_u24(&r);
    if (r.bad || message != MESSAGE_CLIENT_HELLO || body != reader_left(&r))
        return ST_E_PROTO;
    h->legacy_version = reader_u16(&r);
    h->random = reader_take(&r, 32);
    h->session_id = reader_sub(&r, reader_u8(&r));
    h->ciphers = reader_sub(&r, reader_u16(&r));
    h->compression = reader_sub(&r, reader_u8(&r));
    if (r.bad || reader_left(&h->session_id) > 32 || reader_left(&h->ciphers) < 2 ||
        reader_left(&h->ciphers) % 2 != 0 || reader_left(&h->compression) == 0)
        return ST_E_PROTO;
    if (reader_left(&r) == 0)
        return ST_OK; /* before TLS 1.2 extensions were optional */

    struct reader exts = reader_sub(&r, reader_u16(&r));
    if (r.bad || reader_left(&r) != 0)
        return ST_E_PROTO;
    h->extensions = exts;
    while (reader_left(&exts) > 0) {
        uint16_t type = reader_u16(&exts);
        struct reader ext = reader_sub(&exts, reader_u16(&exts));
        if (exts.bad || !read_extension(type, ext, h, &seen))
            return ST_E_PROTO;
    }
    return ST_OK;
}

bool hello_has_u16(struct reader list, uint16_t value)
{
    while (reader_left(&list) >= 2) {
        if (reader_u16(&list) == value)
            return true;
    }
    return false;
}

struct reader hello_key_share(const struct hello *h, uint16_t group)
{
    struct reader list = h->key_shares;

    while (reader_left(&list) > 0 && !list.bad) {
        uint16_t id = reader_u16(&list);
        struct reader key = reader_sub(&list, reader_u16(&list));
        if (id == group)
            return key;
    }
    return (struct reader){.p = list.end, .end = list.end, .bad = true};
}

bool hello_has_alpn(const struct hello *h, const char *name)
{
    struct reader list = h->alpn;
    size_t len = strlen(name);

    while (reader_left(&list) > 0 && !list.bad) {
        struct reader one = reader_sub(&list, reader_u8(&list));
        if (reader_left(&one) == len && memcmp(one.p, name, len) == 0)
            return true;
    }
    return false;
}
