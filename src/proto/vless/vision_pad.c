#include "proto/vless/vision_pad.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/mem.h"
#include "crypto/rng.h"
#include "proto/vless/vision_filter.h"

#define LEAD_MAX (VISION_RESPONSE + UUID_LEN)
#define KEEP     64u /* room left around a block for the layers below */

/* Padding lengths as Xray-core draws them: blocks of a TLS handshake come out at 900 to 1400 bytes,
 * others get up to 255. */
#define LONG_CONTENT 900u
#define LONG_SPREAD  500u
#define SHORT_SPREAD 256u

/* What is known of a block before it is made. */
struct plan {
    uint32_t content, padding;
    enum vision_command command;
};

void vision_pad_init(struct vision_pad *v, const uint8_t uuid[UUID_LEN], bool may_switch)
{
    memset(v, 0, sizeof(*v));
    memcpy(v->uuid, uuid, UUID_LEN);
    v->may_switch = may_switch;
}

static uint32_t draw_padding(struct rng *rng, uint32_t content, bool lengthy)
{
    uint32_t most = VISION_CONTENT_MAX - content;
    uint32_t n = lengthy && content < LONG_CONTENT
                     ? (uint32_t)rng_below(rng, LONG_SPREAD) + LONG_CONTENT - content
                     : (uint32_t)rng_below(rng, SHORT_SPREAD);

    return n < most ? n : most;
}

/* Looks through as much of @down as a block can carry and decides what the block is. */
static struct plan plan_block(struct vision_pad *v, struct vision_filter *filter, struct rng *rng,
                              const struct bufq *down)
{
    struct plan b = {.command = VISION_CONTINUE};
    uint32_t at = 0, cut = 0;
    bool start = !v->mid;

    b.content = down->bytes < VISION_CONTENT_MAX ? down->bytes : VISION_CONTENT_MAX;
    for (const struct span *s = down->head; at < b.content; s = s->next) {
        uint32_t take = s->len < b.content - at ? s->len : b.content - at;
        size_t end = vision_filter_down(filter, span_data(s), take, start);
        if (end > 0)
            cut = at + (uint32_t)end;
        at += take;
        start = true;
    }
    if (cut > 0 && filter->tls13 && v->may_switch) {
        /* The lengths of the server's flight are what padding is there to hide. */
        if (filter->answered) {
            b.command = VISION_SWITCH;
            b.content = cut;
        }
    } else if (cut > 0 || vision_filter_gave_up(filter)) {
        b.command = VISION_END;
    }
    b.padding = draw_padding(rng, b.content, filter->tls);
    return b;
}

static uint32_t head_len(const struct vision_pad *v)
{
    return v->opened ? VISION_HEAD : LEAD_MAX + VISION_HEAD;
}

/* Writes the head_len() bytes in front of the content. */
static void write_head(struct vision_pad *v, const struct plan *b, uint8_t *dst)
{
    if (!v->opened) {
        memset(dst, 0, VISION_RESPONSE);
        memcpy(dst + VISION_RESPONSE, v->uuid, UUID_LEN);
        dst += LEAD_MAX;
        crypto_wipe(v->uuid, sizeof(v->uuid));
        v->opened = true;
    }
    dst[0] = (uint8_t)b->command;
    put_be16(dst + 1, (uint16_t)b->content);
    put_be16(dst + 3, (uint16_t)b->padding);
}

static bool fits_in_place(const struct span *s, const struct plan *b, uint32_t head)
{
    return s->len == b->content && span_owns_blk(s) && span_headroom(s) >= head + KEEP &&
           span_tailroom(s) >= b->padding + KEEP;
}

/* Takes the content off @down, alone in a span with @head bytes in front of it. NULL: no memory,
 * nothing was taken. */
static struct span *take_content(struct vision_pad *v, const struct plan *b, uint32_t head,
                                 struct pool *p, struct bufq *down)
{
    uint32_t spans = 0;
    struct span *c;

    if (fits_in_place(down->head, b, head)) {
        v->mid = false;
        return bufq_pop(down);
    }
    c = span_new_for(p, head + b->content + b->padding);
    if (c == NULL)
        return NULL;
    c->off += head;
    c->len = b->content;
    bufq_peek(down, span_data(c), b->content);
    for (const struct span *s = down->head; spans < b->content; s = s->next)
        spans += s->len;
    v->mid = spans > b->content;
    bufq_drop(down, b->content, p);
    return c;
}

static enum status put_block(struct vision_pad *v, struct vision_filter *filter, struct rng *rng,
                             struct pool *p, struct bufq *down, struct bufq *out)
{
    uint32_t len = head_len(v);
    struct plan b = plan_block(v, filter, rng, down);
    struct span *s = take_content(v, &b, len, p, down);

    if (s == NULL)
        return ST_E_NOMEM;
    /* Zeros, as Xray-core sends them: the outer TLS hides them, and the receiver looks at none. */
    memset(span_data(s) + s->len, 0, b.padding);
    s->off -= len;
    s->len += len + b.padding;
    write_head(v, &b, span_data(s));
    s->flags = SPAN_EDGE;
    if (b.command == VISION_END) {
        v->mode = VISION_PLAIN;
        v->edge = true;
    } else if (b.command == VISION_SWITCH) {
        v->mode = VISION_DIRECT;
        s->flags |= SPAN_ALONE;
    }
    bufq_push(out, s);
    return ST_OK;
}

enum status vision_pad_tx(struct vision_pad *v, struct vision_filter *filter, struct rng *rng,
                          struct pool *p, struct bufq *down, struct bufq *out)
{
    while (v->mode == VISION_PADDED) {
        bufq_drop(down, 0, p); /* empty spans make no block */
        if (down->head == NULL)
            return ST_OK;
        if (bufq_room(out) == 0)
            return ST_FULL;
        enum status st = put_block(v, filter, rng, p, down, out);
        if (st != ST_OK)
            return st;
    }
    if (v->mode == VISION_DIRECT || down->head == NULL)
        return ST_OK;
    if (bufq_room(out) == 0)
        return ST_FULL;
    if (v->edge)
        down->head->flags |= SPAN_EDGE;
    v->edge = false;
    bufq_move(out, down);
    return ST_OK;
}
