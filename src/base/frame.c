#include "base/frame.h"

#include <string.h>

struct span *frame_take(struct bufq *q, uint32_t len, struct pool *p)
{
    struct span *s;

    while (q->head->len == 0)
        span_free(p, bufq_pop(q));
    if (q->head->len == len) {
        s = bufq_pop(q);
    } else if (q->head->len > len) {
        s = span_share(p, q->head);
        if (s == NULL)
            return NULL;
        s->len = len;
        bufq_drop(q, len, p);
    } else {
        s = span_new_for(p, len);
        if (s == NULL)
            return NULL;
        s->len = len;
        bufq_peek(q, span_data(s), len);
        bufq_drop(q, len, p);
    }
    s->flags = 0;
    return s;
}

struct span *frame_prepend(struct pool *p, struct span *s, const uint8_t *head, uint32_t n,
                           struct bufq *rest)
{
    struct span *c;
    uint32_t take = s->len;

    if (span_owns_blk(s) && span_headroom(s) >= n) {
        s->off -= n;
        s->len += n;
        memcpy(span_data(s), head, n);
        return s;
    }
    if (rest != NULL && take > BLK_DATA - n)
        take = BLK_DATA - n;
    c = span_new_for(p, take + n);
    if (c == NULL)
        return NULL;
    memcpy(span_data(c), head, n);
    memcpy(span_data(c) + n, span_data(s), take);
    c->len = take + n;
    c->flags = s->flags;
    if (take < s->len) {
        s->off += take;
        s->len -= take;
        s->flags &= (uint8_t)~SPAN_EDGE;
        bufq_unshift(rest, s);
    } else {
        span_free(p, s);
    }
    return c;
}

/* ---- datagrams to a name --------------------------------------------------------------------- */

/* A span of the same bytes that may be written in front of. */
static struct span *with_room(struct pool *p, struct span *s, uint32_t n)
{
    if (span_owns_blk(s) && span_headroom(s) >= n)
        return s;
    struct span *c = n <= BLK_SMALL_HEAD ? span_new_for(p, s->len) : span_new(p);
    if (c == NULL)
        return NULL;
    memcpy(span_data(c), span_data(s), s->len);
    c->len = s->len;
    c->flags = s->flags;
    span_free(p, s);
    return c;
}

struct span *frame_set_target(struct pool *p, struct span *s, const struct target *t)
{
    if (t->host_len == 0) {
        s->peer = t->addr;
        return s;
    }
    struct span *c = with_room(p, s, t->host_len + 1u);
    if (c == NULL)
        return NULL;
    uint8_t *end = span_data(c);
    end[-1] = t->host_len;
    memcpy(end - 1 - t->host_len, t->host, t->host_len);
    c->peer = (struct addr){.family = ADDR_NAME, .port = t->addr.port};
    return c;
}

void frame_get_target(const struct span *s, struct target *t)
{
    const uint8_t *end = span_data(s);

    memset(t, 0, sizeof(*t));
    t->addr.port = s->peer.port;
    t->host_len = end[-1];
    memcpy(t->host, end - 1 - t->host_len, t->host_len);
}
