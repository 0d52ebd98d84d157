#include "transport/vlessenc/vlessenc_mask.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/blake3.h"

void vlessenc_mask_init(struct vlessenc_mask *m, const uint8_t *secret, size_t secret_len,
                        const uint8_t iv[AES_CTR_IV_LEN])
{
    memset(m, 0, sizeof(*m));
    blake3_derive_key("VLESS", 5, secret, secret_len, m->key);
    memcpy(m->iv, iv, sizeof(m->iv));
}

enum status vlessenc_mask_xor(struct vlessenc_mask *m, uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (m->left == 0) {
            memset(m->stream, 0, sizeof(m->stream));
            enum status st = aes_ctr_xor(m->key, m->iv, m->block, m->stream, sizeof(m->stream));
            if (st != ST_OK)
                return st;
            m->block += VLESSENC_STREAM / 16;
            m->left = VLESSENC_STREAM;
        }
        data[i] ^= m->stream[VLESSENC_STREAM - m->left--];
    }
    return ST_OK;
}

enum status vlessenc_mask_flow(struct vlessenc_mask *m, uint8_t *data, size_t n, bool masking)
{
    for (;;) {
        if (m->skip >= n) {
            m->skip -= (uint32_t)n;
            return ST_OK;
        }
        data += m->skip;
        n -= m->skip;
        m->skip = 0;
        size_t part = VLESSENC_HEADER - m->have < n ? VLESSENC_HEADER - m->have : n;
        if (masking)
            memcpy(m->head + m->have, data, part);
        enum status st = vlessenc_mask_xor(m, data, part);
        if (st != ST_OK)
            return st;
        if (!masking)
            memcpy(m->head + m->have, data, part);
        m->have = (uint8_t)(m->have + part);
        data += part;
        n -= part;
        if (m->have < VLESSENC_HEADER)
            return ST_OK;
        m->have = 0;
        if (m->head[0] == 23 && m->head[1] == 3 && m->head[2] == 3)
            m->skip = get_be16(m->head + 3);
    }
}

/* A copy of @s, or of its first BLK_DATA bytes; the rest goes back to @src. NULL without memory,
 * then @s is where it was. */
static struct span *copy(struct pool *p, struct span *s, struct bufq *src)
{
    uint32_t n = s->len < BLK_DATA ? s->len : BLK_DATA;
    struct span *c = span_new_for(p, n);

    if (c == NULL) {
        bufq_unshift(src, s);
        return NULL;
    }
    memcpy(span_data(c), span_data(s), n);
    c->len = n;
    c->flags = s->flags;
    if (n == s->len) {
        span_free(p, s);
        return c;
    }
    s->off += n;
    s->len -= n;
    s->flags &= (uint8_t)~SPAN_EDGE;
    bufq_unshift(src, s);
    return c;
}

enum status vlessenc_mask_move(struct vlessenc_mask *m, struct pool *p, struct bufq *src,
                               struct bufq *dst, bool masking)
{
    while (src->head != NULL) {
        if (bufq_room(dst) == 0)
            return ST_FULL;
        struct span *s = bufq_pop(src);
        if (masking && m->skip < s->len && !span_owns_blk(s) && (s = copy(p, s, src)) == NULL)
            return ST_E_NOMEM;
        enum status st = vlessenc_mask_flow(m, span_data(s), s->len, masking);
        if (st != ST_OK) {
            span_free(p, s);
            return st;
        }
        bufq_push(dst, s);
    }
    return ST_OK;
}
