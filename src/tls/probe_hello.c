#include "tls/probe_hello.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/mlkem.h"
#include "tls/record.h"
#include "tls/server_hello.h"

#define NAME_MAX 255u

/* RFC 8446 section 4.2, RFC 5246, RFC 7627, RFC 5746. */
enum extension {
    EXT_SERVER_NAME = 0,
    EXT_GROUPS = 10,
    EXT_POINT_FORMATS = 11,
    EXT_SIGALGS = 13,
    EXT_ALPN = 16,
    EXT_MASTER_SECRET = 23,
    EXT_VERSIONS = 43,
    EXT_PSK_MODES = 45,
    EXT_KEY_SHARE = 51,
    EXT_RENEGOTIATION = 0xff01,
};

/* RFC 8446 section 4.1.4: this random says HelloRetryRequest. */
static const uint8_t RETRY[8] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11};

static const uint16_t suites[] = {0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c,
                                  0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014};
static const uint16_t groups[] = {TLS_GROUP_X25519MLKEM768, TLS_GROUP_X25519, 0x0017, 0x0018};
static const uint16_t sigalgs[] = {0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601};
static const uint8_t alpn[] = "\x00\x0c\x02h2\x08http/1.1";
static const uint8_t versions[] = {4, 0x03, 0x04, 0x03, 0x03};

struct writer {
    uint8_t *p;
};

static void put8(struct writer *w, unsigned v)
{
    *w->p++ = (uint8_t)v;
}

static void put16(struct writer *w, unsigned v)
{
    put_be16(w->p, (uint16_t)v);
    w->p += 2;
}

static void put(struct writer *w, const void *data, size_t n)
{
    memcpy(w->p, data, n);
    w->p += n;
}

static void put_ext(struct writer *w, unsigned type, const void *data, size_t n)
{
    put16(w, type);
    put16(w, (unsigned)n);
    if (n > 0)
        put(w, data, n);
}

static void put_u16s(struct writer *w, unsigned type, const uint16_t *list, size_t n)
{
    put16(w, type);
    put16(w, (unsigned)(2 * n + 2));
    put16(w, (unsigned)(2 * n));
    for (size_t i = 0; i < n; i++)
        put16(w, list[i]);
}

static void put_name(struct writer *w, const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > NAME_MAX)
        return;
    put16(w, EXT_SERVER_NAME);
    put16(w, (unsigned)n + 5);
    put16(w, (unsigned)n + 3);
    put8(w, 0);
    put16(w, (unsigned)n);
    put(w, name, n);
}

/* Any 32 bytes are an X25519 key, and nobody will use its secret. */
static void put_shares(struct writer *w, const uint8_t *x25519, const uint8_t *mlkem_seed)
{
    size_t n = 2 * (2 + 2) + TLS_SHARE_MLKEM_CLIENT + TLS_SHARE_X25519;
    put16(w, EXT_KEY_SHARE);
    put16(w, (unsigned)n + 2);
    put16(w, (unsigned)n);
    put16(w, TLS_GROUP_X25519MLKEM768);
    put16(w, TLS_SHARE_MLKEM_CLIENT);
    mlkem_public(mlkem_seed, w->p);
    w->p += MLKEM_PUBLIC_LEN;
    put(w, x25519, TLS_SHARE_X25519);
    put16(w, TLS_GROUP_X25519);
    put16(w, TLS_SHARE_X25519);
    put(w, x25519, TLS_SHARE_X25519);
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

size_t probe_hello_build(uint8_t *out, const char *name, const uint8_t seed[PROBE_HELLO_SEED])
{
    struct writer w = {out + 5 + 4};
    put16(&w, 0x0303);
    put(&w, seed, 32);
    put8(&w, 32);
    put(&w, seed + 32, 32);
    put16(&w, 2 * COUNT(suites));
    for (size_t i = 0; i < COUNT(suites); i++)
        put16(&w, suites[i]);
    put16(&w, 0x0100); /* one compression method: none */
    uint8_t *extensions = w.p;
    w.p += 2;
    put_name(&w, name);
    put_ext(&w, EXT_MASTER_SECRET, NULL, 0);
    put_ext(&w, EXT_RENEGOTIATION, "", 1);
    put_u16s(&w, EXT_GROUPS, groups, COUNT(groups));
    put_ext(&w, EXT_POINT_FORMATS, "\1", 2);
    put_ext(&w, EXT_ALPN, alpn, sizeof(alpn) - 1);
    put_u16s(&w, EXT_SIGALGS, sigalgs, COUNT(sigalgs));
    put_shares(&w, seed + 64, seed + 96);
    put_ext(&w, EXT_PSK_MODES, "\1\1", 2);
    put_ext(&w, EXT_VERSIONS, versions, sizeof(versions));
    put_be16(extensions, (uint16_t)(w.p - extensions - 2));
    size_t len = (size_t)(w.p - out);
    out[0] = RECORD_HANDSHAKE;
    put_be16(out + 1, 0x0301);
    put_be16(out + 3, (uint16_t)(len - 5));
    out[5] = 1; /* ClientHello */
    put_be24(out + 6, (uint32_t)(len - 9));
    return len;
}

/* Does the ServerHello body choose TLS 1.3? */
static bool is_tls13(struct reader r)
{
    reader_take(&r, 2 + 32);
    reader_take(&r, reader_u8(&r));
    reader_take(&r, 3);
    struct reader exts = reader_sub(&r, reader_u16(&r));
    while (!exts.bad && reader_left(&exts) > 0) {
        uint16_t type = reader_u16(&exts);
        struct reader ext = reader_sub(&exts, reader_u16(&exts));
        if (type == EXT_VERSIONS)
            return reader_u16(&ext) == 0x0304;
    }
    return false;
}

const char *probe_hello_why(const uint8_t *answer, size_t len)
{
    struct reader r = reader_of(answer, len);
    uint8_t type = reader_u8(&r), major = reader_u8(&r);
    reader_u8(&r);
    struct reader body = reader_sub(&r, reader_u16(&r));
    if (len < 5)
        return "";
    if (major != 3 || (type != RECORD_HANDSHAKE && type != RECORD_ALERT))
        return "it does not speak TLS";
    if (type == RECORD_ALERT)
        return "it refuses the handshake, perhaps the server name";
    if (body.bad)
        return "";
    if (reader_u8(&body) != 2)
        return "it does not answer with a ServerHello";
    reader_u24(&body);
    if (!is_tls13(body))
        return "it does not speak TLS 1.3";
    reader_take(&body, 2);
    const uint8_t *random = reader_take(&body, sizeof(RETRY));
    if (random != NULL && memcmp(random, RETRY, sizeof(RETRY)) == 0)
        return "it speaks TLS 1.3 but neither X25519 nor X25519MLKEM768";
    return "its TLS 1.3 answer cannot be imitated";
}
