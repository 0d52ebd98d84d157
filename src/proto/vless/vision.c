#include "proto/vless/vision.h"

#include "crypto/mem.h"

struct vision {
    struct vision_frame frame;   /* uplink */
    struct vision_pad pad;       /* downlink */
    struct vision_filter filter; /* shown both */
};

struct vision *vision_new(struct pool *p, const uint8_t uuid[UUID_LEN], bool streams)
{
    struct vision *v = pool_alloc(p, sizeof(*v));
    if (v == NULL)
        return NULL;
    vision_frame_init(&v->frame, uuid);
    vision_pad_init(&v->pad, uuid, !streams);
    vision_filter_init(&v->filter);
    return v;
}

void vision_free(struct pool *p, struct vision *v)
{
    if (v == NULL)
        return;
    crypto_wipe(v, sizeof(*v));
    pool_release(p, v, sizeof(*v));
}

enum status vision_rx(struct vision *v, const struct env *env, struct turn *t)
{
    enum status st = vision_frame_rx(&v->frame, &v->filter, env->pool, t->wire_in, t->up);
    if (st < 0)
        return turn_fail(t, st, "vless: malformed Vision block", 0);
    if (v->frame.mode == VISION_PLAIN)
        t->ev->mask |= EV_LEAVE_RX | EV_UNITS_OFF;
    else if (v->frame.mode == VISION_DIRECT)
        t->ev->mask |= EV_LEAVE_RX_BOTTOM;
    return st;
}

enum status vision_tx(struct vision *v, const struct env *env, struct turn *t)
{
    enum status st = vision_pad_tx(&v->pad, &v->filter, env->rng, env->pool, t->down, t->wire_out);
    if (st < 0)
        return turn_fail(t, st, "no memory for a Vision block", 0);
    if (v->pad.mode == VISION_PLAIN && bufq_empty(t->down))
        t->ev->mask |= EV_LEAVE_TX;
    else if (v->pad.mode == VISION_DIRECT)
        t->ev->mask |= EV_LEAVE_TX_BOTTOM;
    return st;
}

bool vision_answered(const struct vision *v)
{
    return v->pad.opened;
}

bool vision_is_over(const struct vision *v)
{
    return v->frame.mode != VISION_PADDED && v->pad.mode != VISION_PADDED;
}
