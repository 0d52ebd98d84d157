#include "proto/vless/vision_frame.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/mem.h"
#include "proto/vless/vision_filter.h"

/*  UUID --met--> HEAD --> CONTENT --> PADDING --command 0--> HEAD
 *     \--anything else: VISION_PLAIN     \--command 1, 2: VISION_PLAIN, VISION_DIRECT */
enum part { PART_UUID, PART_HEAD, PART_CONTENT, PART_PADDING };

_Static_assert(sizeof(struct vision_frame) <= 32, "an idle connection keeps this");

void vision_frame_init(struct vision_frame *f, const uint8_t uuid[UUID_LEN])
{
    memset(f, 0, sizeof(*f));
    memcpy(f->uuid, uuid, UUID_LEN);
}

static enum status more(const struct bufq *in)
{
    return in->bytes > 0 ? ST_MORE : ST_OK;
}

/* Clients may send the VLESS header alone and the uuid later (Xray-core behind SOCKS), so fewer
 * bytes than a uuid are waited with as long as they may become it. */
static enum status eat_uuid(struct vision_frame *f, struct pool *p, struct bufq *in)
{
    uint8_t begin[UUID_LEN];
    size_t n = bufq_peek(in, begin, sizeof(begin));

    if (!crypto_ct_equal(begin, f->uuid, n) || (n < UUID_LEN && in->eof)) {
        crypto_wipe(f->uuid, sizeof(f->uuid));
        f->mode = VISION_PLAIN;
        return ST_OK;
    }
    if (n < UUID_LEN)
        return more(in);
    bufq_drop(in, UUID_LEN, p);
    crypto_wipe(f->uuid, sizeof(f->uuid));
    f->part = PART_HEAD;
    return ST_OK;
}

static enum status eat_head(struct vision_frame *f, struct pool *p, struct bufq *in)
{
    uint8_t head[VISION_HEAD];

    if (bufq_peek(in, head, sizeof(head)) < sizeof(head))
        return more(in);
    /* Xray-core goes on with an unknown command, to no good end. */
    if (head[0] > VISION_SWITCH)
        return ST_E_PROTO;
    bufq_drop(in, sizeof(head), p);
    f->command = head[0];
    f->content = get_be16(head + 1);
    f->padding = get_be16(head + 3);
    f->part = PART_CONTENT;
    f->fresh = true;
    return ST_OK;
}

static void show(struct vision_frame *f, struct vision_filter *filter, const struct bufq *in,
                 uint32_t n)
{
    for (const struct span *s = in->head; n > 0; s = s->next) {
        uint32_t take = s->len < n ? s->len : n;
        if (take == 0)
            continue;
        if (filter != NULL)
            vision_filter_up(filter, span_data(s), take, f->fresh);
        f->fresh = false;
        n -= take;
    }
}

static enum status move_content(struct vision_frame *f, struct vision_filter *filter,
                                struct pool *p, struct bufq *in, struct bufq *up)
{
    uint32_t n = f->content < in->bytes ? f->content : in->bytes;

    if (bufq_room(up) == 0)
        return ST_FULL;
    show(f, filter, in, n);
    if (bufq_move_bytes(up, in, n, p) != n)
        return ST_E_NOMEM;
    f->content = (uint16_t)(f->content - n);
    return ST_OK;
}

static void drop_padding(struct vision_frame *f, struct pool *p, struct bufq *in)
{
    uint32_t n = f->padding < in->bytes ? f->padding : in->bytes;

    bufq_drop(in, n, p);
    f->padding = (uint16_t)(f->padding - n);
    if (f->padding > 0)
        return;
    f->part = PART_HEAD;
    if (f->command == VISION_END)
        f->mode = VISION_PLAIN;
    else if (f->command == VISION_SWITCH)
        f->mode = VISION_DIRECT;
}

/* One part of a block, or as much of it as is there. */
static enum status eat_part(struct vision_frame *f, struct vision_filter *filter, struct pool *p,
                            struct bufq *in, struct bufq *up)
{
    enum status st = ST_OK;

    switch ((enum part)f->part) {
    case PART_UUID:
        return eat_uuid(f, p, in);
    case PART_HEAD:
        return eat_head(f, p, in);
    case PART_CONTENT:
        if (f->content > 0)
            st = move_content(f, filter, p, in, up);
        if (f->content == 0)
            f->part = PART_PADDING;
        return st;
    case PART_PADDING:
        drop_padding(f, p, in);
        break;
    }
    return st;
}

enum status vision_frame_rx(struct vision_frame *f, struct vision_filter *filter, struct pool *p,
                            struct bufq *in, struct bufq *up)
{
    for (;;) {
        bool nothing_to_come = (f->part == PART_CONTENT && f->content == 0) ||
                               (f->part == PART_PADDING && f->padding == 0) ||
                               (f->part == PART_UUID && in->eof);

        if (f->mode != VISION_PADDED || (in->bytes == 0 && !nothing_to_come))
            break;
        enum status st = eat_part(f, filter, p, in, up);
        if (st != ST_OK)
            return st;
    }
    if (f->mode != VISION_PADDED && filter != NULL)
        vision_filter_up_end(filter);
    if (f->mode == VISION_PLAIN && in->head != NULL) {
        if (bufq_room(up) == 0)
            return ST_FULL;
        bufq_move(up, in);
    }
    return ST_OK;
}
