#include <string.h>

#include "base/span.h"

void bufq_init(struct bufq *q, uint32_t cap)
{
    memset(q, 0, sizeof(*q));
    q->cap = cap;
}

void bufq_clear(struct bufq *q, struct pool *p)
{
    struct span *s;
    while ((s = bufq_pop(q)) != NULL)
        span_free(p, s);
}

void bufq_push(struct bufq *q, struct span *s)
{
    s->next = NULL;
    if (q->tail)
        q->tail->next = s;
    else
        q->head = s;
    q->tail = s;
    q->bytes += s->len;
    q->count++;
}

void bufq_unshift(struct bufq *q, struct span *s)
{
    s->next = q->head;
    q->head = s;
    if (q->tail == NULL)
        q->tail = s;
    q->bytes += s->len;
    q->count++;
}

struct span *bufq_pop(struct bufq *q)
{
    struct span *s = q->head;
    if (s == NULL)
        return NULL;
    q->head = s->next;
    if (q->head == NULL)
        q->tail = NULL;
    s->next = NULL;
    q->bytes -= s->len;
    q->count--;
    return s;
}

void bufq_move(struct bufq *dst, struct bufq *src)
{
    if (src->head == NULL)
        return;
    if (dst->tail)
        dst->tail->next = src->head;
    else
        dst->head = src->head;
    dst->tail = src->tail;
    dst->bytes += src->bytes;
    dst->count += src->count;
    src->head = src->tail = NULL;
    src->bytes = src->count = 0;
}

size_t bufq_move_bytes(struct bufq *dst, struct bufq *src, size_t n, struct pool *p)
{
    size_t moved = 0;
    while (moved < n && src->head) {
        struct span *s = src->head;
        if (s->len <= n - moved) {
            moved += s->len;
            bufq_push(dst, bufq_pop(src));
            continue;
        }
        struct span *part = span_share(p, s);
        if (part == NULL)
            break;
        uint32_t take = (uint32_t)(n - moved);
        part->len = take;
        s->off += take;
        s->len -= take;
        s->flags &= (uint8_t)~SPAN_EDGE;
        src->bytes -= take;
        bufq_push(dst, part);
        moved += take;
    }
    return moved;
}

void bufq_drop(struct bufq *q, size_t n, struct pool *p)
{
    while (q->head && (n > 0 || q->head->len == 0)) {
        struct span *s = q->head;
        if (s->len <= n) {
            n -= s->len;
            span_free(p, bufq_pop(q));
            continue;
        }
        s->off += (uint32_t)n;
        s->len -= (uint32_t)n;
        s->flags &= (uint8_t)~SPAN_EDGE;
        q->bytes -= (uint32_t)n;
        return;
    }
}

bool bufq_peek_at(const struct bufq *q, size_t off, void *dst, size_t n)
{
    uint8_t *out = dst;
    if (q->bytes < off || q->bytes - off < n)
        return false;
    for (const struct span *s = q->head; s && n > 0; s = s->next) {
        if (off >= s->len) {
            off -= s->len;
            continue;
        }
        size_t take = s->len - off < n ? s->len - off : n;
        memcpy(out, span_data(s) + off, take);
        out += take;
        n -= take;
        off = 0;
    }
    return true;
}

size_t bufq_peek(const struct bufq *q, void *dst, size_t n)
{
    if (n > q->bytes)
        n = q->bytes;
    return bufq_peek_at(q, 0, dst, n) ? n : 0;
}

/* Bytes that may be appended in place to the last span. */
static uint32_t tail_fill(const struct bufq *q)
{
    const struct span *s = q->tail;
    if (s == NULL || s->flags != 0 || s->peer.family != ADDR_NONE || !span_owns_blk(s))
        return 0;
    uint32_t keep = s->blk->size == BLK_SIZE ? BLK_TAIL : BLK_SMALL_HEAD;
    uint32_t room = span_tailroom(s);
    return room > keep ? room - keep : 0;
}

enum status bufq_put(struct bufq *q, const void *data, size_t n, struct pool *p)
{
    const uint8_t *src = data;
    struct bufq fresh;
    bufq_init(&fresh, UINT32_MAX);
    uint32_t fill = tail_fill(q);
    if (fill > n)
        fill = (uint32_t)n;
    for (size_t at = fill; at < n;) {
        size_t take = n - at < BLK_DATA ? n - at : BLK_DATA;
        struct span *s = span_new_for(p, take);
        if (s == NULL) {
            bufq_clear(&fresh, p);
            return ST_E_NOMEM;
        }
        memcpy(span_data(s), src + at, take);
        s->len = (uint32_t)take;
        bufq_push(&fresh, s);
        at += take;
    }
    if (fill > 0) {
        memcpy(span_data(q->tail) + q->tail->len, src, fill);
        q->tail->len += fill;
        q->bytes += fill;
    }
    bufq_move(q, &fresh);
    return ST_OK;
}

uint8_t *bufq_pullup(struct bufq *q, size_t n, struct pool *p)
{
    if (q->bytes < n || n > BLK_DATA || q->head == NULL)
        return NULL;
    if (q->head->len >= n)
        return span_data(q->head);
    struct span *s = span_new_for(p, n);
    if (s == NULL)
        return NULL;
    bufq_peek(q, span_data(s), n);
    s->len = (uint32_t)n;
    bufq_drop(q, n, p);
    bufq_unshift(q, s);
    return span_data(s);
}
