/* QUIC: Initial packets are opened with the keys that their first Destination Connection ID gives
 * away (RFC 9001 section 5.2), and the ClientHello is put together from their CRYPTO frames. */
#include <string.h>

#include "base/bytes.h"
#include "crypto/aead.h"
#include "crypto/aes_block.h"
#include "crypto/hkdf.h"
#include "sniff/sniff.h"

#define LONG_HEADER 0x80
#define FIXED_BIT   0x40
#define CID_MAX     20u /* of versions 1 and 2 */
#define KEY_LEN     16u
#define PN_MAX      4u
#define SAMPLE_LEN  16u
#define PACKET_MAX  4096u /* of one Initial: far over what crosses the Internet in one piece */
/* Of the ClientHello: three times a browser's with a hybrid key share. */
#define HELLO_BYTES 8192u
#define HELLO_HEAD  4u

struct version {
    uint32_t number;
    uint8_t initial; /* the type bits of an Initial packet, and of a Retry, which no client sends */
    uint8_t retry;
    uint8_t salt[20];
    const char *key, *iv, *hp; /* labels */
};

static const struct version versions[] = {
    {1,
     0,
     3,
     {0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
      0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a},
     "quic key",
     "quic iv",
     "quic hp"},
    {0x6b3343cf,
     1,
     0,
     {0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
      0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9},
     "quicv2 key",
     "quicv2 iv",
     "quicv2 hp"},
};

struct sniff_quic {
    const struct version *version;
    uint8_t dcid[CID_MAX];
    uint8_t dcid_len;
    uint8_t fed;   /* datagrams */
    bool opened;   /* a packet was authentic: it is QUIC */
    bool too_long; /* the hello, or an offset in it */
    uint32_t got;  /* bytes from the beginning of the hello on, without a gap */
    uint8_t key[KEY_LEN], iv[AEAD_IV_LEN];
    struct aes_block hp;
    uint8_t there[HELLO_BYTES / 8]; /* a bit for each byte of the hello */
    uint8_t hello[HELLO_BYTES];
};

/* A long header up to its packet number, and where its packet ends. */
struct header {
    const struct version *version;
    const uint8_t *dcid;
    uint8_t dcid_len;
    bool initial;
    size_t pn_at; /* from the packet's first byte */
    size_t size;  /* of the packet */
};

/* RFC 9000 section 16 */
static uint64_t read_varint(struct reader *r)
{
    uint8_t first = reader_u8(r);
    uint64_t v = first & 0x3f;

    for (unsigned more = (1u << (first >> 6)) - 1; more > 0; more--)
        v = v << 8 | reader_u8(r);
    return r->bad ? 0 : v;
}

static const struct version *find_version(uint32_t number)
{
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
        if (versions[i].number == number)
            return &versions[i];
    return NULL;
}

/* Reads the head of the packet at @p. False: it is none that a client sends in a long header, or is
 * cut off. */
static bool read_header(const uint8_t *p, size_t n, struct header *h)
{
    struct reader r = reader_of(p, n);
    uint8_t first = reader_u8(&r);

    h->version = find_version(reader_u32(&r));
    if (r.bad || (first & (LONG_HEADER | FIXED_BIT)) != (LONG_HEADER | FIXED_BIT) ||
        h->version == NULL)
        return false;
    uint8_t type = first >> 4 & 3;
    h->initial = type == h->version->initial;
    h->dcid_len = reader_u8(&r);
    h->dcid = reader_take(&r, h->dcid_len);
    uint8_t scid_len = reader_u8(&r);
    (void)reader_take(&r, scid_len);
    if (r.bad || h->dcid_len > CID_MAX || scid_len > CID_MAX || type == h->version->retry)
        return false;
    if (h->initial)
        (void)reader_take(&r, (size_t)read_varint(&r)); /* its token */
    uint64_t len = read_varint(&r);
    if (r.bad || len > reader_left(&r))
        return false;
    h->pn_at = (size_t)(r.p - p);
    h->size = h->pn_at + (size_t)len;
    return true;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static bool derive(struct sniff_quic *q, struct crypto_ctx *cc)
{
    const struct version *v = q->version;
    uint8_t initial[32], client[32], hp[KEY_LEN];

    bool ok =
        hkdf_extract(cc, HASH_SHA256, v->salt, sizeof(v->salt), q->dcid, q->dcid_len, initial) ==
            ST_OK &&
        hkdf_expand_label(cc, HASH_SHA256, initial, "client in", NULL, 0, client, sizeof(client)) ==
            ST_OK &&
        hkdf_expand_label(cc, HASH_SHA256, client, v->key, NULL, 0, q->key, KEY_LEN) == ST_OK &&
        hkdf_expand_label(cc, HASH_SHA256, client, v->iv, NULL, 0, q->iv, AEAD_IV_LEN) == ST_OK &&
        hkdf_expand_label(cc, HASH_SHA256, client, v->hp, NULL, 0, hp, KEY_LEN) == ST_OK;
    if (ok)
        aes_block_init(&q->hp, hp, KEY_LEN, false);
    return ok;
}

static bool is_of(const struct sniff_quic *q, const struct header *h)
{
    return q->version == h->version && q->dcid_len == h->dcid_len &&
           memcmp(q->dcid, h->dcid, h->dcid_len) == 0;
}

/* The connection that @h belongs to becomes the one that is looked at. */
static bool begin(struct sniff_quic *q, struct crypto_ctx *cc, const struct header *h)
{
    memset(q, 0, sizeof(*q));
    q->version = h->version;
    q->dcid_len = h->dcid_len;
    memcpy(q->dcid, h->dcid, h->dcid_len);
    if (derive(q, cc))
        return true;
    q->version = NULL;
    return false;
}

/* Opens the packet at @p, whose payload goes to @out (PACKET_MAX bytes). */
static bool open_packet(struct sniff_quic *q, struct crypto_ctx *cc, const uint8_t *p,
                        const struct header *h, uint8_t *out, size_t *len)
{
    uint8_t head[PACKET_MAX], mask[AES_BLOCK_LEN], iv[AEAD_IV_LEN];

    if (h->size > PACKET_MAX || h->size - h->pn_at < PN_MAX + SAMPLE_LEN ||
        aes_block_run(&q->hp, p + h->pn_at + PN_MAX, mask) != ST_OK)
        return false;
    memcpy(head, p, h->pn_at + PN_MAX);
    head[0] ^= mask[0] & 0x0f;
    size_t pn_len = (head[0] & 3u) + 1, aad = h->pn_at + pn_len;
    memcpy(iv, q->iv, sizeof(iv));
    for (size_t i = 0; i < pn_len; i++) {
        head[h->pn_at + i] ^= mask[1 + i];
        /* A client's first packets are numbered from 0: what is cut off of the number is 0. */
        iv[AEAD_IV_LEN - pn_len + i] ^= head[h->pn_at + i];
    }
    *len = h->size - aad - AEAD_TAG_LEN;
    return aead_begin(cc, AEAD_AES_128_GCM, AEAD_OPEN, q->key, iv, head, aad) == ST_OK &&
           aead_update(cc, out, p + aad, *len) == ST_OK &&
           aead_open_end(cc, p + aad + *len) == ST_OK;
}

/* ---- the hello ------------------------------------------------------------------------------- */

static void put_crypto(struct sniff_quic *q, uint64_t at, struct reader data)
{
    size_t n = reader_left(&data);

    if (at > HELLO_BYTES || n > HELLO_BYTES - at) {
        q->too_long = true;
        return;
    }
    memcpy(q->hello + at, data.p, n);
    for (size_t i = (size_t)at; i < at + n; i++)
        q->there[i / 8] |= (uint8_t)(1u << i % 8);
    while (q->got < HELLO_BYTES && q->there[q->got / 8] >> q->got % 8 & 1)
        q->got++;
}

static void skip_ack(struct reader *r, bool ecn)
{
    (void)read_varint(r); /* largest */
    (void)read_varint(r); /* delay */
    uint64_t ranges = read_varint(r);
    (void)read_varint(r); /* first range */
    for (; ranges > 0 && !r->bad; ranges--) {
        (void)read_varint(r);
        (void)read_varint(r);
    }
    for (unsigned i = 0; ecn && i < 3; i++)
        (void)read_varint(r);
}

/* Reads the frames of a client's Initial packet (RFC 9000 section 12.4) up to one that does not
 * belong there. */
static void read_frames(struct sniff_quic *q, const uint8_t *p, size_t n)
{
    enum { PADDING = 0, PING = 1, ACK = 2, ACK_ECN = 3, CRYPTO = 6 };
    struct reader r = reader_of(p, n);

    while (reader_left(&r) > 0 && !r.bad) {
        uint8_t type = reader_u8(&r);
        if (type == ACK || type == ACK_ECN) {
            skip_ack(&r, type == ACK_ECN);
        } else if (type == CRYPTO) {
            uint64_t at = read_varint(&r);
            struct reader data = reader_sub(&r, (size_t)read_varint(&r));
            if (!r.bad)
                put_crypto(q, at, data);
        } else if (type != PADDING && type != PING) {
            return;
        }
    }
}

/* Is the hello there, or will it never be? */
static enum status judge(const struct sniff_quic *q, struct sniff *out)
{
    const uint8_t client_hello = 1;

    if (q->opened)
        out->protocol = SNIFF_QUIC;
    if (q->got >= HELLO_HEAD) {
        size_t want = HELLO_HEAD + get_be24(q->hello + 1);
        if (q->hello[0] != client_hello || want > HELLO_BYTES)
            return ST_OK;
        if (q->got >= want) {
            sniff_hello(q->hello, want, out);
            return ST_OK;
        }
    }
    if (!q->too_long && q->fed < SNIFF_DATAGRAMS_MAX)
        return ST_MORE;
    return q->opened ? ST_OK : ST_E_NOTFOUND;
}

/* All packets of a datagram, which are of one connection (RFC 9000 section 12.2): so keys are
 * derived once a datagram at most. Once the server has answered its connection id stands where the
 * first one did, but the keys stay (RFC 9001 section 5.2): what was lost of a hello comes so. */
static void read_packets(struct sniff_quic *q, struct crypto_ctx *cc, const uint8_t *p, size_t n)
{
    uint8_t payload[PACKET_MAX];
    struct header h;
    bool derived = false;
    size_t len;

    for (; n > 0 && read_header(p, n, &h); p += h.size, n -= h.size) {
        if (!h.initial)
            continue; /* 0-RTT may come first, when the network changed the order */
        bool ours = q->version == h.version && open_packet(q, cc, p, &h, payload, &len);
        if (!ours && !is_of(q, &h)) {
            if (derived || !begin(q, cc, &h))
                return;
            ours = open_packet(q, cc, p, &h, payload, &len);
        }
        derived = true;
        if (ours) {
            q->opened = true;
            read_frames(q, payload, len);
        }
    }
}

bool sniff_quic_begins(const uint8_t *p, size_t n)
{
    struct header h;

    return read_header(p, n, &h) && h.initial;
}

enum status sniff_quic_feed(struct sniff_quic **state, struct pool *pool, struct crypto_ctx *cc,
                            const uint8_t *p, size_t n, struct sniff *out)
{
    struct header first;

    if (*state == NULL && read_header(p, n, &first))
        *state = pool_alloc(pool, sizeof(**state));
    if (*state == NULL)
        return ST_E_NOTFOUND;
    read_packets(*state, cc, p, n);
    (*state)->fed++;
    return judge(*state, out);
}

void sniff_quic_free(struct sniff_quic **state, struct pool *pool)
{
    pool_release(pool, *state, sizeof(**state));
    *state = NULL;
}
