#include "proto/shadowsocks/cipher.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/mem.h"
#include "crypto/xchacha.h"

void ss_cipher_init(struct ss_cipher *c, const struct ss_method *m, const uint8_t *subkey)
{
    memset(c, 0, sizeof(*c));
    memcpy(c->key, subkey, m->key_len);
    c->alg = (uint8_t)m->alg;
    c->wide = m->wide && m->family == SS_AEAD;
}

/* Begins the next operation. */
static enum status begin(struct ss_cipher *c, struct crypto_ctx *cc, enum aead_dir dir)
{
    uint8_t nonce[XCHACHA_NONCE_LEN] = {0}, subkey[XCHACHA_KEY_LEN], iv[AEAD_IV_LEN];
    const uint8_t *key = c->key;

    for (unsigned i = 0; i < 8; i++)
        nonce[i] = (uint8_t)(c->seq >> (8 * i));
    c->seq++;
    memcpy(iv, nonce, sizeof(iv));
    if (c->wide) {
        xchacha_begin(c->key, nonce, subkey, iv);
        key = subkey;
    }
    enum status st = aead_begin(cc, (enum aead_alg)c->alg, dir, key, iv, NULL, 0);
    if (c->wide)
        crypto_wipe(subkey, sizeof(subkey));
    return st;
}

enum status ss_cipher_seal(struct ss_cipher *c, struct crypto_ctx *cc, uint8_t *data, size_t len)
{
    enum status st = begin(c, cc, AEAD_SEAL);

    if (st == ST_OK)
        st = aead_update(cc, data, data, len);
    return st == ST_OK ? aead_seal_end(cc, data + len) : st;
}

enum status ss_cipher_open(struct ss_cipher *c, struct crypto_ctx *cc, uint8_t *data, size_t len)
{
    enum status st = begin(c, cc, AEAD_OPEN);

    if (st == ST_OK)
        st = aead_update(cc, data, data, len);
    return st == ST_OK ? aead_open_end(cc, data + len) : st;
}

enum status ss_cipher_open_queued(struct ss_cipher *c, struct crypto_ctx *cc, struct bufq *in,
                                  uint32_t len)
{
    enum status st = begin(c, cc, AEAD_OPEN);
    uint8_t tag[SS_TAG];
    uint32_t done = 0;

    if (!bufq_peek_at(in, len, tag, sizeof(tag)))
        return ST_E_CRYPTO; /* the caller has not looked */
    for (struct span *s = in->head; done < len && st == ST_OK; s = s->next) {
        uint32_t n = s->len < len - done ? s->len : len - done;
        st = aead_update(cc, span_data(s), span_data(s), n);
        done += n;
    }
    return st == ST_OK ? aead_open_end(cc, tag) : st;
}

/* ---- chunks, up ------------------------------------------------------------------------------ */

/* Payload up to this size is copied behind what is queued, so that a peer who sends a byte at a
 * time does not hold one blk a byte. */
#define COPY_MAX 256u

static enum status read_length(struct ss_cipher *c, struct crypto_ctx *cc, struct pool *p,
                               struct bufq *in, uint32_t *want)
{
    uint8_t sealed[SS_LENGTH_LEN];

    if (bufq_peek(in, sealed, sizeof(sealed)) < sizeof(sealed))
        return in->bytes > 0 ? ST_MORE : ST_OK;
    enum status st = ss_cipher_open(c, cc, sealed, 2);
    if (st != ST_OK)
        return st;
    bufq_drop(in, sizeof(sealed), p);
    *want = get_be16(sealed) + SS_TAG;
    return ST_OK;
}

static enum status deliver(struct pool *p, struct bufq *in, struct bufq *up, uint32_t len)
{
    if (len <= COPY_MAX) {
        uint8_t copy[COPY_MAX];
        bufq_peek(in, copy, len);
        bufq_drop(in, len + SS_TAG, p);
        return bufq_put(up, copy, len, p);
    }
    if (bufq_move_bytes(up, in, len, p) != len)
        return ST_E_NOMEM;
    bufq_drop(in, SS_TAG, p);
    return ST_OK;
}

enum status ss_chunks_open(struct ss_cipher *c, struct crypto_ctx *cc, struct pool *p,
                           uint32_t *want, struct bufq *in, struct bufq *up, unsigned max)
{
    for (unsigned n = 0; max == 0 || n < max; n++) {
        enum status st = ST_OK;

        if (bufq_room(up) == 0)
            return ST_FULL;
        if (*want == 0)
            st = read_length(c, cc, p, in, want);
        if (st != ST_OK || *want == 0)
            return st;
        if (in->bytes < *want)
            return ST_MORE;
        st = ss_cipher_open_queued(c, cc, in, *want - SS_TAG);
        if (st == ST_OK)
            st = deliver(p, in, up, *want - SS_TAG);
        if (st != ST_OK)
            return st;
        *want = 0;
    }
    return ST_OK;
}

/* ---- chunks, down ---------------------------------------------------------------------------- */

/* Spans below it are gathered when others follow. */
#define GATHER_BELOW 2048u

/* Takes the next payload off @down: the head span itself when it can be sealed in place with
 * @head_len bytes in front, else a copy of up to SS_CHUNK_MAX bytes of what may go together. NULL:
 * no memory, @down is as it was. */
static struct span *take_payload(struct pool *p, struct bufq *down, uint32_t head_len)
{
    struct span *s = down->head;
    bool gather = s->len < GATHER_BELOW && s->next != NULL && (s->flags & SPAN_ALONE) == 0 &&
                  s->next->flags == 0;

    if (!gather && s->len <= SS_CHUNK_MAX && span_owns_blk(s) && span_headroom(s) >= head_len &&
        span_tailroom(s) >= SS_TAG)
        return bufq_pop(down);

    uint32_t n = s->len;
    for (const struct span *e = s->next; gather && e != NULL && e->flags == 0 && n < SS_CHUNK_MAX;
         e = e->next)
        n += e->len;
    if (n > SS_CHUNK_MAX)
        n = SS_CHUNK_MAX;
    struct span *c = head_len <= BLK_SMALL_HEAD ? span_new_for(p, n) : span_new(p);
    if (c == NULL)
        return NULL;
    c->flags = s->flags;
    c->len = (uint32_t)bufq_peek(down, span_data(c), n);
    bufq_drop(down, n, p);
    return c;
}

static enum status make_head(struct ss_cipher *c, struct crypto_ctx *cc, ss_head_fn **first,
                             void *arg, uint32_t n, uint8_t head[SS_HEAD_MAX], uint32_t *len)
{
    if (*first != NULL) {
        enum status st = (*first)(arg, n, head, len);
        *first = NULL;
        return st;
    }
    put_be16(head, (uint16_t)n);
    *len = SS_LENGTH_LEN;
    return ss_cipher_seal(c, cc, head, 2);
}

enum status ss_chunks_seal(struct ss_cipher *c, struct crypto_ctx *cc, struct pool *p,
                           ss_head_fn **first, void *arg, struct bufq *down, struct bufq *out)
{
    while (down->head != NULL) {
        uint8_t head[SS_HEAD_MAX];
        uint32_t len = 0;

        if (down->head->len == 0) {
            span_free(p, bufq_pop(down));
            continue;
        }
        if (bufq_room(out) == 0)
            return ST_FULL;
        struct span *s = take_payload(p, down, *first != NULL ? SS_HEAD_MAX : SS_LENGTH_LEN);
        if (s == NULL)
            return ST_E_NOMEM;
        enum status st = make_head(c, cc, first, arg, s->len, head, &len);
        if (st == ST_OK)
            st = ss_cipher_seal(c, cc, span_data(s), s->len);
        if (st != ST_OK) {
            span_free(p, s);
            return st;
        }
        s->off -= len;
        s->len += len + SS_TAG;
        memcpy(span_data(s), head, len);
        bufq_push(out, s);
    }
    return ST_OK;
}
