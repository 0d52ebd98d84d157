#include "proto/vmess/chunks.h"

#include <string.h>

#include "base/bytes.h"
#include "base/frame.h"
#include "crypto/md5.h"
#include "crypto/mem.h"
#include "crypto/rng.h"

/* ChaCha20-Poly1305 takes 32 bytes: MD5 of the key, and MD5 of that. */
static void expand_key(uint8_t out[AEAD_KEY_MAX], const uint8_t key[VMESS_KEY_LEN], uint8_t alg)
{
    if (alg == AEAD_CHACHA20_POLY1305) {
        md5_sum(key, VMESS_KEY_LEN, out);
        md5_sum(out, MD5_LEN, out + MD5_LEN);
    } else {
        memcpy(out, key, VMESS_KEY_LEN);
    }
}

void vmess_chunks_init(struct vmess_chunks *c, const struct vmess_kdf *k,
                       const struct vmess_header *h, const uint8_t key[VMESS_KEY_LEN],
                       const uint8_t iv[VMESS_KEY_LEN])
{
    bool sealed = h->security != VMESS_NONE;

    memset(c, 0, sizeof(*c));
    bufq_init(&c->held, UINT32_MAX);
    c->alg = h->security == VMESS_AES_128_GCM         ? AEAD_AES_128_GCM
             : h->security == VMESS_CHACHA20_POLY1305 ? AEAD_CHACHA20_POLY1305
                                                      : AEAD_ALGS;
    c->sealed_length = sealed && (h->options & VMESS_SEALED_LENGTH);
    c->masked = !c->sealed_length && (h->options & VMESS_MASKED);
    /* Without a cipher an Xray server pads datagrams only. */
    c->padded = (h->options & VMESS_PADDED) && (sealed || h->command == VMESS_UDP);
    if (sealed) {
        expand_key(c->key, key, c->alg);
        memcpy(c->nonce, iv, VMESS_NONCE_LEN);
    }
    if (c->sealed_length) {
        uint8_t length_key[VMESS_KEY_LEN];
        /* Both directions use what came with the request. */
        vmess_kdf_key(k, VMESS_LABEL_CHUNK_LENGTH, h->key, length_key);
        expand_key(c->length_key, length_key, c->alg);
        memcpy(c->length_nonce, h->iv, VMESS_NONCE_LEN);
        crypto_wipe(length_key, sizeof(length_key));
    }
    if (c->masked || c->padded) {
        keccak_init(&c->shake, KECCAK_SHAKE128);
        keccak_absorb(&c->shake, iv, VMESS_KEY_LEN);
        keccak_finish(&c->shake);
    }
}

void vmess_chunks_fini(struct vmess_chunks *c, struct pool *p)
{
    bufq_clear(&c->held, p);
    crypto_wipe(c, sizeof(*c));
}

static uint32_t tag_len(const struct vmess_chunks *c)
{
    return c->alg < AEAD_ALGS ? AEAD_TAG_LEN : 0;
}

static uint32_t size_len(const struct vmess_chunks *c)
{
    return c->sealed_length ? 2 + AEAD_TAG_LEN : 2;
}

static uint16_t draw(struct vmess_chunks *c)
{
    uint8_t two[2];
    keccak_squeeze(&c->shake, two, sizeof(two));
    return get_be16(two);
}

static void draw_padding(struct vmess_chunks *c)
{
    c->padding = c->padded ? (uint8_t)(draw(c) % 64) : 0;
}

static void set_count(struct vmess_chunks *c)
{
    put_be16(c->nonce, c->count);
    put_be16(c->length_nonce, c->count);
}

/* ---- opening --------------------------------------------------------------------------------- */

static enum status read_size(struct vmess_chunks *c, struct crypto_ctx *cc, struct pool *p,
                             struct bufq *in)
{
    uint8_t field[2 + AEAD_TAG_LEN];
    uint32_t n = size_len(c), size;

    if (bufq_peek(in, field, n) < n)
        return in->eof && in->bytes > 0 ? ST_E_CLOSED : ST_MORE;
    bufq_drop(in, n, p);
    draw_padding(c);
    set_count(c);
    if (c->sealed_length) {
        enum status st = aead_open(cc, (enum aead_alg)c->alg, c->length_key, c->length_nonce, NULL,
                                   0, field, 2, field + 2);
        if (st != ST_OK)
            return st;
    }
    size = get_be16(field);
    if (c->sealed_length)
        size += AEAD_TAG_LEN;
    else if (c->masked)
        size ^= draw(c);
    if (size > UINT16_MAX || size < tag_len(c) + c->padding)
        return ST_E_PROTO;
    c->size = (uint16_t)size;
    c->has_size = true;
    return ST_OK;
}

/* Finds the queue that has the whole chunk at its head. A large one must not fill the wire's
 * queue, whose owner would stop reading. ST_OK, ST_MORE, ST_E_CLOSED, ST_E_NOMEM. */
static enum status whole_chunk(struct vmess_chunks *c, struct bufq *in, struct pool *p,
                               struct bufq **q)
{
    uint32_t missing = c->size - c->held.bytes;
    bool whole = in->bytes >= missing;

    *q = c->held.bytes == 0 && whole ? in : &c->held;
    if (!whole && in->eof)
        return ST_E_CLOSED;
    if (*q == in || (!whole && c->size <= VMESS_CHUNK_HELD))
        return whole ? ST_OK : ST_MORE;
    bufq_move_bytes(&c->held, in, missing, p);
    if (c->held.bytes == c->size)
        return ST_OK;
    return whole ? ST_E_NOMEM : ST_MORE;
}

/* Opens @len bytes at the head of @q in place; the tag follows them. */
static enum status open_payload(struct vmess_chunks *c, struct crypto_ctx *cc, struct bufq *q,
                                uint32_t len)
{
    uint8_t tag[AEAD_TAG_LEN];
    uint32_t left = len;

    BUG_ON(!bufq_peek_at(q, len, tag, sizeof(tag)));
    enum status st = aead_begin(cc, (enum aead_alg)c->alg, AEAD_OPEN, c->key, c->nonce, NULL, 0);
    for (struct span *s = q->head; left > 0 && st == ST_OK; s = s->next) {
        uint32_t n = s->len < left ? s->len : left;
        st = aead_update(cc, span_data(s), span_data(s), n);
        left -= n;
    }
    return st == ST_OK ? aead_open_end(cc, tag) : st;
}

/* Payload up to this size is copied behind what is queued, so that a peer who sends a byte at a
 * time does not hold one blk a byte. */
#define COPY_MAX 256u

static enum status deliver_bytes(struct bufq *q, uint32_t len, struct bufq *up, struct pool *p)
{
    if (len <= COPY_MAX) {
        uint8_t copy[COPY_MAX];
        bufq_peek(q, copy, len);
        bufq_drop(q, len, p);
        return bufq_put(up, copy, len, p);
    }
    return bufq_move_bytes(up, q, len, p) == len ? ST_OK : ST_E_NOMEM;
}

static enum status deliver_datagram(struct bufq *q, uint32_t len, struct bufq *up, struct pool *p)
{
    if (len > BLK_DATA) {
        bufq_drop(q, len, p);
        return ST_OK;
    }
    struct span *s = frame_take(q, len, p);
    if (s == NULL)
        return ST_E_NOMEM;
    bufq_push(up, s);
    return ST_OK;
}

/* The chunk at the head of @q. */
static enum status take_chunk(struct vmess_chunks *c, struct crypto_ctx *cc, struct pool *p,
                              struct bufq *q, struct bufq *up, bool datagrams)
{
    uint32_t tail = tag_len(c) + c->padding, len = c->size - tail;
    enum status st = c->alg < AEAD_ALGS ? open_payload(c, cc, q, len) : ST_OK;

    if (st != ST_OK)
        return st;
    if (len > 0)
        st = datagrams ? deliver_datagram(q, len, up, p) : deliver_bytes(q, len, up, p);
    if (st != ST_OK)
        return st;
    bufq_drop(q, tail, p);
    c->ended = len == 0 && c->begun;
    c->begun = true;
    c->has_size = false;
    c->count++;
    return ST_OK;
}

enum status vmess_chunks_open(struct vmess_chunks *c, struct crypto_ctx *cc, struct pool *p,
                              struct bufq *in, struct bufq *up, bool datagrams)
{
    while (!c->ended) {
        enum status st = ST_OK;

        if (bufq_room(up) == 0)
            return in->bytes > 0 ? ST_FULL : ST_OK;
        if (!c->has_size)
            st = read_size(c, cc, p, in);
        if (st == ST_MORE && in->bytes == 0)
            return ST_OK;
        if (st != ST_OK)
            return st;
        struct bufq *q;
        st = whole_chunk(c, in, p, &q);
        if (st == ST_OK)
            st = take_chunk(c, cc, p, q, up, datagrams);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* ---- sealing --------------------------------------------------------------------------------- */

/* What goes in front of a chunk's payload. */
struct head {
    uint8_t bytes[VMESS_ANSWER_LEN + 2 + AEAD_TAG_LEN];
    uint32_t len;
};

/* Draws the padding and writes prefix and size for a payload of @len bytes. */
static enum status make_head(struct vmess_chunks *c, struct crypto_ctx *cc, struct head *h,
                             const struct vmess_prefix *prefix, uint32_t len)
{
    uint32_t size = len + tag_len(c) + c->padding;
    uint8_t *field = h->bytes + prefix->len;

    if (prefix->len > 0)
        memcpy(h->bytes, prefix->p, prefix->len);
    h->len = prefix->len + size_len(c);
    set_count(c);
    if (c->sealed_length) {
        put_be16(field, (uint16_t)(size - AEAD_TAG_LEN));
        return aead_seal(cc, (enum aead_alg)c->alg, c->length_key, c->length_nonce, NULL, 0, field,
                         2, field + 2);
    }
    put_be16(field, c->masked ? (uint16_t)(size ^ draw(c)) : (uint16_t)size);
    return ST_OK;
}

/* A span of the first @len bytes of @s with room for @head in front and @tail behind: @s itself
 * when it is ours alone, has the room and nothing but these bytes; else a copy, and @s keeps the
 * rest or is freed. NULL: no memory, @s is as it was. */
static struct span *with_room(struct pool *p, struct span **s, uint32_t len, uint32_t head,
                              uint32_t tail)
{
    struct span *whole = *s;

    if (whole->len == len && span_owns_blk(whole) && span_headroom(whole) >= head &&
        span_tailroom(whole) >= tail) {
        *s = NULL;
        return whole;
    }
    struct span *copy = span_new_for(p, len + tail);
    if (copy == NULL)
        return NULL;
    memcpy(span_data(copy), span_data(whole), len);
    copy->len = len;
    copy->flags = whole->flags;
    whole->off += len;
    whole->len -= len;
    whole->flags &= (uint8_t)~SPAN_EDGE;
    if (whole->len == 0) {
        span_free(p, whole);
        *s = NULL;
    }
    return copy;
}

/* Seals the payload that is @out; its blk has the room. */
static enum status seal_span(struct vmess_chunks *c, struct crypto_ctx *cc, struct rng *rng,
                             struct span *out, const struct head *h)
{
    uint8_t *payload = span_data(out), *end = payload + out->len;

    if (c->alg < AEAD_ALGS) {
        enum status st =
            aead_seal(cc, (enum aead_alg)c->alg, c->key, c->nonce, NULL, 0, payload, out->len, end);
        if (st != ST_OK)
            return st;
        end += AEAD_TAG_LEN;
    }
    /* In clear on the wire: what is drawn here must tell nothing. */
    if (c->padding > 0)
        rng_bytes(rng, end, c->padding);
    end += c->padding;
    memcpy(payload - h->len, h->bytes, h->len);
    out->off -= h->len;
    out->len = (uint32_t)(end - payload) + h->len;
    memset(&out->peer, 0, sizeof(out->peer)); /* a byte stream from here on */
    c->count++;
    c->begun = true;
    return ST_OK;
}

/* Seals the first bytes of @s, which it takes; what is left of it goes back to @down. */
static enum status seal_one(struct vmess_chunks *c, struct crypto_ctx *cc, struct rng *rng,
                            struct pool *p, struct span *s, struct bufq *down, struct bufq *out,
                            struct vmess_prefix *prefix)
{
    uint32_t len = s->len < VMESS_CHUNK_MAX ? s->len : VMESS_CHUNK_MAX;
    struct head h;

    draw_padding(c);
    enum status st = make_head(c, cc, &h, prefix, len);
    struct span *sealed =
        st == ST_OK ? with_room(p, &s, len, h.len, tag_len(c) + c->padding) : NULL;
    if (s != NULL)
        bufq_unshift(down, s);
    if (sealed == NULL)
        return st != ST_OK ? st : ST_E_NOMEM;
    st = seal_span(c, cc, rng, sealed, &h);
    if (st != ST_OK) {
        span_free(p, sealed);
        return st;
    }
    prefix->len = 0;
    bufq_push(out, sealed);
    return ST_OK;
}

static bool datagram_fits(const struct vmess_chunks *c, uint32_t len)
{
    uint32_t around = size_len(c) + tag_len(c) + (c->padded ? 63 : 0);
    return len + around <= VMESS_DATAGRAM_WIRE_MAX;
}

enum status vmess_chunks_seal(struct vmess_chunks *c, struct crypto_ctx *cc, struct rng *rng,
                              struct pool *p, struct bufq *down, struct bufq *out, bool datagrams,
                              struct vmess_prefix *prefix)
{
    while (down->head != NULL) {
        if (bufq_room(out) == 0)
            return ST_FULL;
        struct span *s = bufq_pop(down);
        if (s->len == 0 || (datagrams && !datagram_fits(c, s->len))) {
            span_free(p, s);
            continue;
        }
        enum status st = seal_one(c, cc, rng, p, s, down, out, prefix);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

enum status vmess_chunks_end(struct vmess_chunks *c, struct crypto_ctx *cc, struct rng *rng,
                             struct pool *p, struct bufq *out)
{
    const struct vmess_prefix none = {NULL, 0};
    struct span *s = span_new_small(p);
    struct head h;

    if (s == NULL)
        return ST_E_NOMEM;
    draw_padding(c);
    enum status st = make_head(c, cc, &h, &none, 0);
    if (st == ST_OK)
        st = seal_span(c, cc, rng, s, &h);
    if (st == ST_OK)
        bufq_push(out, s);
    else
        span_free(p, s);
    return st;
}
