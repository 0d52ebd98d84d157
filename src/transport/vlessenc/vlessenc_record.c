#include "transport/vlessenc/vlessenc_record.h"

#include <string.h>

#include "base/bytes.h"

/* Content up to this size is copied behind what is queued, so that a peer who sends a byte at a
 * time does not hold one blk a byte. */
#define COPY_MAX 256u
/* Content sealed into one blk: two records, prefix and their overhead still fit. */
#define BATCH_MAX (BLK_DATA - VLESSENC_PREFIX - 2u * VLESSENC_RECORD_OVERHEAD)

/* ---- up -------------------------------------------------------------------------------------- */

/* The header of the record at the head of @in, unmasked. */
static enum status read_header(struct vlessenc_mask *mask, const struct bufq *in,
                               uint8_t header[VLESSENC_HEADER])
{
    if (!bufq_peek_at(in, 0, header, VLESSENC_HEADER))
        return ST_MORE;
    if (mask == NULL)
        return ST_OK;
    if (mask->have == 0) {
        enum status st = vlessenc_mask_xor(mask, header, VLESSENC_HEADER);
        if (st != ST_OK)
            return st;
        memcpy(mask->head, header, VLESSENC_HEADER);
        mask->have = VLESSENC_HEADER;
    }
    memcpy(header, mask->head, VLESSENC_HEADER);
    return ST_OK;
}

/* Decrypts @len bytes behind the header, in place. */
static enum status decrypt(struct crypto_ctx *cc, struct bufq *in, uint32_t len)
{
    uint32_t skip = VLESSENC_HEADER, done = 0;

    for (struct span *s = in->head; done < len; s = s->next) {
        if (skip >= s->len) {
            skip -= s->len;
            continue;
        }
        uint8_t *p = span_data(s) + skip;
        uint32_t n = s->len - skip < len - done ? s->len - skip : len - done;
        enum status st = aead_update(cc, p, p, n);
        if (st != ST_OK)
            return st;
        done += n;
        skip = 0;
    }
    return ST_OK;
}

/* Opens the record at the head of @in, leaving it there; *@len: bytes of content. */
static enum status open_one(struct vlessenc_aead *a, struct vlessenc_mask *mask,
                            struct crypto_ctx *cc, struct bufq *in, uint32_t *len)
{
    uint8_t header[VLESSENC_HEADER], nonce[AEAD_IV_LEN], tag[AEAD_TAG_LEN];
    enum status st = read_header(mask, in, header);

    if (st != ST_OK)
        return st;
    uint32_t sealed = get_be16(header + 3);
    if (header[0] != 23 || header[1] != 3 || header[2] != 3 || sealed <= AEAD_TAG_LEN ||
        sealed > VLESSENC_RECORD_MAX)
        return ST_E_PROTO;
    *len = sealed - AEAD_TAG_LEN;
    if (!bufq_peek_at(in, VLESSENC_HEADER + *len, tag, sizeof(tag)))
        return ST_MORE;
    vlessenc_aead_nonce(a, nonce);
    st = aead_begin(cc, (enum aead_alg)a->alg, AEAD_OPEN, a->key, nonce, header, sizeof(header));
    if (st == ST_OK)
        st = decrypt(cc, in, *len);
    if (st == ST_OK)
        st = aead_open_end(cc, tag);
    if (st == ST_OK && mask != NULL)
        mask->have = 0;
    return st;
}

/* Moves the content of the record at the head of @in to @up. */
static enum status deliver(struct pool *p, struct bufq *in, struct bufq *up, uint32_t len)
{
    bufq_drop(in, VLESSENC_HEADER, p);
    if (len <= COPY_MAX) {
        uint8_t copy[COPY_MAX];
        bufq_peek(in, copy, len);
        bufq_drop(in, len + AEAD_TAG_LEN, p);
        return bufq_put(up, copy, len, p);
    }
    if (bufq_move_bytes(up, in, len, p) != len)
        return ST_E_NOMEM;
    bufq_drop(in, AEAD_TAG_LEN, p);
    return ST_OK;
}

enum status vlessenc_record_open(struct vlessenc_aead *a, struct vlessenc_mask *mask,
                                 struct crypto_ctx *cc, struct pool *p, struct bufq *in,
                                 struct bufq *up, unsigned max)
{
    for (unsigned n = 0;; n++) {
        uint32_t len = 0;

        if (bufq_room(up) == 0)
            return ST_FULL;
        if (in->bytes == 0)
            break;
        if (max > 0 && n == max)
            return ST_YIELD;
        enum status st = open_one(a, mask, cc, in, &len);
        if (st == ST_OK)
            st = deliver(p, in, up, len);
        if (st != ST_OK)
            return st;
    }
    bufq_clear(in, p); /* empty spans */
    return ST_OK;
}

/* ---- down ------------------------------------------------------------------------------------ */

/* Bytes that go into the next blk: the first span and those behind it, as far as marks allow. */
static uint32_t plan(const struct span *first)
{
    uint32_t n = first->len;

    if (first->flags & SPAN_ALONE)
        return n < BATCH_MAX ? n : BATCH_MAX;
    for (const struct span *s = first->next; s != NULL && n < BATCH_MAX && s->flags == 0;
         s = s->next)
        n += s->len;
    return n < BATCH_MAX ? n : BATCH_MAX;
}

/* Seals the first @n bytes of @down behind what is in @dst and eats them. */
static enum status seal_one(struct vlessenc_aead *a, struct vlessenc_mask *mask,
                            struct crypto_ctx *cc, struct pool *p, struct bufq *down, uint32_t n,
                            struct span *dst)
{
    uint8_t *header = span_data(dst) + dst->len, *to = header + VLESSENC_HEADER;
    uint8_t nonce[AEAD_IV_LEN];
    uint32_t done = 0;

    header[0] = 23;
    header[1] = header[2] = 3;
    put_be16(header + 3, (uint16_t)(n + AEAD_TAG_LEN));
    vlessenc_aead_nonce(a, nonce);
    enum status st =
        aead_begin(cc, (enum aead_alg)a->alg, AEAD_SEAL, a->key, nonce, header, VLESSENC_HEADER);
    for (const struct span *s = down->head; s != NULL && done < n && st == ST_OK; s = s->next) {
        uint32_t step = s->len < n - done ? s->len : n - done;
        st = aead_update(cc, to + done, span_data(s), step);
        done += step;
    }
    if (st == ST_OK)
        st = aead_seal_end(cc, to + n);
    if (st == ST_OK && mask != NULL)
        st = vlessenc_mask_xor(mask, header, VLESSENC_HEADER);
    dst->len += n + VLESSENC_RECORD_OVERHEAD;
    bufq_drop(down, n, p);
    return st;
}

static enum status seal_next(struct vlessenc_aead *a, struct vlessenc_mask *mask,
                             struct crypto_ctx *cc, struct pool *p, const uint8_t **prefix,
                             struct bufq *down, struct bufq *out)
{
    uint32_t n = plan(down->head);
    struct span *dst = span_new_for(p, n + VLESSENC_PREFIX + 2 * VLESSENC_RECORD_OVERHEAD);
    enum status st = ST_OK;

    if (dst == NULL)
        return ST_E_NOMEM;
    dst->flags = down->head->flags;
    if (*prefix != NULL) {
        memcpy(span_data(dst), *prefix, VLESSENC_PREFIX);
        dst->len = VLESSENC_PREFIX;
        *prefix = NULL;
    }
    while (n > 0 && st == ST_OK) {
        uint32_t step = n < VLESSENC_RECORD_PLAIN ? n : VLESSENC_RECORD_PLAIN;
        st = seal_one(a, mask, cc, p, down, step, dst);
        n -= step;
    }
    /* What failed half way may be plaintext and must never get to the wire. */
    if (st == ST_OK)
        bufq_push(out, dst);
    else
        span_free(p, dst);
    return st;
}

enum status vlessenc_record_seal(struct vlessenc_aead *a, struct vlessenc_mask *mask,
                                 struct crypto_ctx *cc, struct pool *p, const uint8_t **prefix,
                                 struct bufq *down, struct bufq *out)
{
    while (down->head != NULL) {
        if (down->head->len == 0) {
            span_free(p, bufq_pop(down));
            continue;
        }
        if (bufq_room(out) == 0)
            return ST_FULL;
        enum status st = seal_next(a, mask, cc, p, prefix, down, out);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}
