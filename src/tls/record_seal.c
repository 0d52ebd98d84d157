#include <string.h>

#include "base/bytes.h"
#include "crypto/aead.h"
#include "tls/alert.h"
#include "tls/record.h"
#include "tls/record_keys.h"

/* Spans up to this size are copied together: copying it costs less than the fixed cost of a
 * record. */
#define MERGE_MAX 4096u
/* AES-GCM: 2^24.5 full records a key (RFC 8446 section 5.5). */
#define SEQ_MAX ((uint64_t)1 << 24)

/* Queues @s if it was sealed; what failed half way may be plaintext and must never get to the
 * wire. */
static enum status push_sealed(enum status st, struct pool *p, struct span *s, struct bufq *out)
{
    if (st == ST_OK)
        bufq_push(out, s);
    else
        span_free(p, s);
    return st;
}

static bool seals_in_place(const struct span *s)
{
    return span_owns_blk(s) && s->len <= RECORD_PLAIN_MAX && span_headroom(s) >= RECORD_HEADER &&
           span_tailroom(s) >= RECORD_TAIL;
}

static enum status begin(struct record_keys *k, struct crypto_ctx *cc, uint32_t content,
                         uint8_t header[RECORD_HEADER])
{
    uint8_t nonce[AEAD_IV_LEN];

    header[0] = RECORD_DATA;
    header[1] = 3;
    header[2] = 3;
    put_be16(header + 3, (uint16_t)(content + RECORD_TAIL));
    record_nonce(k, nonce);
    k->seq++;
    return aead_begin(cc, (enum aead_alg)k->alg, AEAD_SEAL, k->key, nonce, header, RECORD_HEADER);
}

/* Seals @s where it lies. */
static enum status seal_in_place(struct record_keys *k, struct crypto_ctx *cc, struct span *s,
                                 uint8_t type)
{
    uint8_t *data = span_data(s);
    uint32_t len = s->len;
    enum status st = begin(k, cc, len, data - RECORD_HEADER);

    data[len] = type;
    if (st == ST_OK)
        st = aead_update(cc, data, data, len + 1);
    if (st == ST_OK)
        st = aead_seal_end(cc, data + len + 1);
    s->off -= RECORD_HEADER;
    s->len += RECORD_OVERHEAD;
    return st;
}

/* Seals the first @n bytes of @down into the fresh span @dst and eats them. */
static enum status seal_across(struct record_keys *k, struct crypto_ctx *cc, struct pool *p,
                               struct bufq *down, uint32_t n, struct span *dst)
{
    dst->off -= RECORD_HEADER;
    uint8_t *out = span_data(dst) + RECORD_HEADER;
    uint32_t done = 0;
    enum status st = begin(k, cc, n, span_data(dst));

    for (const struct span *s = down->head; s != NULL && done < n && st == ST_OK; s = s->next) {
        uint32_t step = s->len < n - done ? s->len : n - done;
        st = aead_update(cc, out + done, span_data(s), step);
        done += step;
    }
    out[n] = RECORD_DATA;
    if (st == ST_OK)
        st = aead_update(cc, out + n, out + n, 1);
    if (st == ST_OK)
        st = aead_seal_end(cc, out + n + 1);
    dst->len = n + RECORD_OVERHEAD;
    dst->flags = down->head->flags;
    bufq_drop(down, n, p);
    return st;
}

/* Bytes that go into the next record: the first span and the small ones behind it, as far as
 * marks allow. */
static uint32_t plan(const struct span *first)
{
    uint32_t n = first->len;

    if (n > RECORD_PLAIN_MAX)
        return RECORD_PLAIN_MAX;
    if ((first->flags & SPAN_ALONE) || (n > MERGE_MAX && seals_in_place(first)))
        return n;
    for (const struct span *s = first->next; s != NULL; s = s->next) {
        if (s->flags != 0 || n + s->len > RECORD_PLAIN_MAX ||
            (s->len > MERGE_MAX && seals_in_place(s)))
            break;
        n += s->len;
    }
    return n;
}

/* A few bytes in front of a big span (the header of a proxy protocol) move into its head room.
 * True if they did. */
static bool prepend(struct bufq *down, struct pool *p)
{
    struct span *small = down->head, *big = small->next;

    if (big == NULL || (small->flags & SPAN_ALONE) || big->flags != 0 || !seals_in_place(big) ||
        big->len <= MERGE_MAX || small->len + RECORD_HEADER > span_headroom(big) ||
        small->len + big->len > RECORD_PLAIN_MAX)
        return false;
    small = bufq_pop(down);
    big = bufq_pop(down);
    big->off -= small->len;
    big->len += small->len;
    memcpy(span_data(big), span_data(small), small->len);
    big->flags = small->flags;
    span_free(p, small);
    bufq_unshift(down, big);
    return true;
}

static enum status seal_next(struct record_keys *k, struct crypto_ctx *cc, struct pool *p,
                             struct bufq *down, struct bufq *out)
{
    uint32_t n = plan(down->head);

    if (n == down->head->len && prepend(down, p))
        n = down->head->len;
    if (n == down->head->len && seals_in_place(down->head)) {
        struct span *s = bufq_pop(down);
        return push_sealed(seal_in_place(k, cc, s, RECORD_DATA), p, s, out);
    }
    struct span *dst = span_new_for(p, n);
    if (dst == NULL)
        return ST_E_NOMEM;
    return push_sealed(seal_across(k, cc, p, down, n, dst), p, dst, out);
}

enum status record_seal(struct record_keys *k, struct crypto_ctx *cc, struct pool *p,
                        struct bufq *down, struct bufq *out)
{
    while (down->head != NULL) {
        if (down->head->len == 0) {
            span_free(p, bufq_pop(down));
            continue;
        }
        if (bufq_room(out) == 0)
            return ST_FULL;
        enum status st = ST_OK;
        if (k->seq >= SEQ_MAX)
            st = record_seal_update(k, cc, p, out);
        if (st == ST_OK)
            st = seal_next(k, cc, p, down, out);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status seal_message(struct record_keys *k, struct crypto_ctx *cc, struct pool *p,
                                uint8_t type, const void *msg, uint32_t len, struct bufq *out)
{
    struct span *s = span_new_small(p);

    if (s == NULL)
        return ST_E_NOMEM;
    memcpy(span_data(s), msg, len);
    s->len = len;
    return push_sealed(seal_in_place(k, cc, s, type), p, s, out);
}

enum status record_seal_alert(struct record_keys *k, struct crypto_ctx *cc, struct pool *p,
                              uint8_t alert, struct bufq *out)
{
    uint8_t msg[2] = {alert == TLS_ALERT_CLOSE_NOTIFY ? 1 : 2, alert};

    return seal_message(k, cc, p, RECORD_ALERT, msg, sizeof(msg), out);
}

enum status record_seal_update(struct record_keys *k, struct crypto_ctx *cc, struct pool *p,
                               struct bufq *out)
{
    static const uint8_t msg[5] = {24, 0, 0, 1, 0};
    enum status st = seal_message(k, cc, p, RECORD_HANDSHAKE, msg, sizeof(msg), out);

    return st == ST_OK ? record_keys_update(k, cc) : st;
}
