#include <string.h>

#include "tls/accept.h"
#include "tls/server_hello.h"

enum extension {
    EXT_SERVER_NAME = 0,
    EXT_STATUS_REQUEST = 5,
    EXT_EC_POINT_FORMATS = 11,
    EXT_COMPRESS_CERTIFICATE = 27,
    EXT_PSK_MODES = 45,
    EXT_SIGNATURE_ALGORITHMS_CERT = 50,
    EXT_NEXT_PROTOCOL = 13172,
    EXT_CRYPTOPRO = 0xfde8,
    EXT_RENEGOTIATION_INFO = 0xff01,
};

#define BIT(n) ((uint64_t)1 << (n))
/* Below 64, those that hello_parse has read, are read here, or mean nothing to a TLS 1.3 server
 * that is OpenSSL's: status_request_v2, signed certificate timestamps, padding, encrypt_then_mac,
 * extended_master_secret, record_size_limit, delegated credentials, tickets. */
#define USUAL                                                                                      \
    (BIT(0) | BIT(5) | BIT(10) | BIT(11) | BIT(13) | BIT(16) | BIT(17) | BIT(18) | BIT(21) |       \
     BIT(22) | BIT(23) | BIT(27) | BIT(28) | BIT(34) | BIT(35) | BIT(43) | BIT(45) | BIT(50) |     \
     BIT(51))

/* ---- extensions ------------------------------------------------------------------------------ */

/* One vector with a u8 length, not empty, that fills @ext. */
static bool is_vector8(struct reader ext, size_t unit)
{
    struct reader v = reader_sub(&ext, reader_u8(&ext));

    return !ext.bad && reader_left(&ext) == 0 && reader_left(&v) > 0 && reader_left(&v) % unit == 0;
}

/* One host name and nothing else. */
static bool is_one_name(struct reader ext, const struct hello *h)
{
    size_t len = reader_left(&h->sni);

    return len > 0 && len <= 255 && reader_left(&ext) == 2 + 1 + 2 + len;
}

/* OCSP, no responders, no extensions: the only form in use. */
static bool is_plain_status(struct reader ext)
{
    static const uint8_t plain[] = {1, 0, 0, 0, 0};

    return reader_left(&ext) == sizeof(plain) && memcmp(ext.p, plain, sizeof(plain)) == 0;
}

static bool covers_leaf(const struct accept_conf *c, struct reader ext)
{
    struct reader list = reader_sub(&ext, reader_u16(&ext));

    return !ext.bad && reader_left(&ext) == 0 && reader_left(&list) % 2 == 0 &&
           c->leaf_scheme != 0 && hello_has_u16(list, c->leaf_scheme);
}

static bool is_usual(const struct accept_conf *c, const struct hello *h, uint16_t type,
                     struct reader ext)
{
    switch (type) {
    case EXT_SERVER_NAME:
        return is_one_name(ext, h);
    case EXT_STATUS_REQUEST:
        return is_plain_status(ext);
    case EXT_EC_POINT_FORMATS:
    case EXT_PSK_MODES:
        return is_vector8(ext, 1);
    case EXT_COMPRESS_CERTIFICATE:
        return is_vector8(ext, 2);
    case EXT_SIGNATURE_ALGORITHMS_CERT:
        return covers_leaf(c, ext);
    case EXT_NEXT_PROTOCOL:
    case EXT_CRYPTOPRO:
        return false;
    default:
        return type >= 64 || (USUAL & BIT(type)) != 0;
    }
}

/* hello_parse has found each below 64 at most once, and the block well formed. */
static bool extensions_usual(const struct accept_conf *c, const struct hello *h)
{
    struct reader exts = h->extensions;
    unsigned renegotiation = 0;

    while (reader_left(&exts) > 0) {
        uint16_t type = reader_u16(&exts);
        struct reader ext = reader_sub(&exts, reader_u16(&exts));
        renegotiation += type == EXT_RENEGOTIATION_INFO;
        if (exts.bad || renegotiation > 1 || !is_usual(c, h, type, ext))
            return false;
    }
    return true;
}

/* ---- what is chosen -------------------------------------------------------------------------- */

static bool is_grease(uint16_t v)
{
    return (v & 0x0f0f) == 0x0a0a && v >> 8 == (v & 0xff);
}

/* Whether ChaCha20 is what the client prefers, as a device without AES instructions does; OpenSSL
 * follows that (SSL_OP_PRIORITIZE_CHACHA). The first suite that the library knows decides: false
 * with *@odd if we cannot tell which that is. */
static bool prefers_chacha(struct reader ciphers, bool *odd)
{
    while (reader_left(&ciphers) >= 2) {
        uint16_t v = reader_u16(&ciphers);
        if (is_grease(v))
            continue;
        if (v == RECORD_CHACHA20_POLY1305_SHA256 || (v >= 0xcca8 && v <= 0xccaa))
            return true;
        /* ECDHE with AES-GCM */
        *odd = v != RECORD_AES_128_GCM_SHA256 && v != RECORD_AES_256_GCM_SHA384 && v != 0xc02b &&
               v != 0xc02c && v != 0xc02f && v != 0xc030;
        return false;
    }
    *odd = true;
    return false;
}

static uint16_t choose_suite(const struct hello *h)
{
    static const uint16_t order[] = {RECORD_AES_128_GCM_SHA256, RECORD_AES_256_GCM_SHA384,
                                     RECORD_CHACHA20_POLY1305_SHA256};
    bool odd = false;
    bool chacha = prefers_chacha(h->ciphers, &odd);

    if (odd)
        return 0;
    if (chacha && hello_has_u16(h->ciphers, RECORD_CHACHA20_POLY1305_SHA256))
        return RECORD_CHACHA20_POLY1305_SHA256;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if (hello_has_u16(h->ciphers, order[i]))
            return order[i];
    }
    return 0;
}

static bool serves_group(const struct ossl_conf *o, uint16_t group)
{
    for (size_t i = 0; i < o->group_count; i++) {
        if (o->groups[i] == group)
            return true;
    }
    return false;
}

/* OpenSSL takes the first share of a group it serves. Shares of groups that the client did not
 * list are an error. */
static bool choose_group(const struct ossl_conf *o, const struct hello *h,
                         struct accept_choice *choice)
{
    struct reader list = h->key_shares;

    while (reader_left(&list) > 0) {
        uint16_t group = reader_u16(&list);
        struct reader share = reader_sub(&list, reader_u16(&list));
        if (!hello_has_u16(h->groups, group))
            return false;
        if (choice->group == 0 && serves_group(o, group)) {
            size_t want = group == TLS_GROUP_X25519 ? TLS_SHARE_X25519 : TLS_SHARE_MLKEM_CLIENT;
            if (group != o->groups[0] || reader_left(&share) != want)
                return false;
            choice->group = group;
            choice->peer = share.p;
        }
    }
    return choice->group != 0;
}

/* False if the client offers protocols and none is ours. */
static bool choose_alpn(const struct ossl_conf *o, const struct hello *h,
                        struct accept_choice *choice)
{
    if (reader_left(&h->alpn) == 0 || o->alpn_len == 0)
        return true;
    for (size_t at = 0; at < o->alpn_len; at += 1u + o->alpn[at]) {
        struct reader list = h->alpn;
        while (reader_left(&list) > 0) {
            struct reader one = reader_sub(&list, reader_u8(&list));
            if (reader_left(&one) == o->alpn[at] &&
                memcmp(one.p, o->alpn + at + 1, o->alpn[at]) == 0) {
                choice->alpn = o->alpn + at;
                return true;
            }
        }
    }
    return false;
}

static bool serves_name(const struct ossl_conf *o, const struct hello *h)
{
    char name[256];
    size_t len = reader_left(&h->sni);

    if (!o->reject_sni)
        return true;
    if (len == 0 || len >= sizeof(name))
        return false;
    memcpy(name, h->sni.p, len);
    name[len] = '\0';
    return cert_names_match(o->names, o->name_count, name);
}

bool accept_choose(const struct accept_conf *c, const struct hello *h, struct accept_choice *choice)
{
    memset(choice, 0, sizeof(*choice));
    if (h->legacy_version != 0x0303 || reader_left(&h->compression) != 1 ||
        h->compression.p[0] != 0 || !hello_has_u16(h->versions, 0x0304) ||
        !hello_has_u16(h->sigalgs, c->key.scheme) || h->psk || h->early_data)
        return false;
    choice->suite = choose_suite(h);
    choice->sni = reader_left(&h->sni) > 0;
    return choice->suite != 0 && extensions_usual(c, h) && choose_group(c->ossl, h, choice) &&
           serves_name(c->ossl, h) && choose_alpn(c->ossl, h, choice);
}
