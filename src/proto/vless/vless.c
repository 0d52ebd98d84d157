#include "proto/vless/vless.h"

#include <string.h>

#include "base/bytes.h"
#include "base/frame.h"
#include "policy/key_index.h"
#include "proto/vless/header.h"
#include "proto/vless/vision.h"

enum mode { MODE_HEADER, MODE_TCP, MODE_VISION, MODE_UDP };

#define FIRST_MIN    18 /* a shorter first read is not looked at before it falls back */
#define RESPONSE_LEN 2  /* version 0, no addons */
#define FRAME_HEAD   2  /* length of a datagram */

struct vless {
    struct layer layer;
    const struct vless_conf *conf;
    enum mode mode;
    bool answered;         /* the response header is out */
    uint32_t skip;         /* bytes of an oversized datagram still to be dropped */
    struct vision *vision; /* NULL: no such flow, or it is over */
};

static enum status server_init(struct layer *l, const void *conf)
{
    ((struct vless *)(void *)l)->conf = conf;
    return ST_OK;
}

/* ---- request --------------------------------------------------------------------------------- */

/* Not a user of ours. Xray-core closes at once, without a byte, or hands over to its fallback. */
static enum status not_ours(const struct vless *v, struct turn *t, const char *text)
{
    if (v->conf->fallback) {
        t->ev->mask |= EV_DIVERT;
        return ST_OK;
    }
    return turn_fail(t, ST_E_AUTH, text, 0);
}

/* What the user may do (docs/internals/reality-and-vision.md, "Who may use Vision"). */
static enum status judge(const struct vless *v, const struct vless_header *h, struct turn *t)
{
    bool asks = h->flow == VLESS_FLOW_IS_VISION;
    if (h->flow == VLESS_FLOW_OTHER)
        return turn_fail(t, ST_E_UNSUPPORTED, "vless: unknown flow", 0);
    if (asks && !v->conf->vision)
        return turn_fail(t, ST_E_AUTH, "vless: the node has no flow, the client uses Vision", 0);
    if (asks && !v->layer.env->info->tls13 && !v->layer.env->info->encrypted)
        return turn_fail(t, ST_E_PROTO,
                         "vless: Vision needs TLS 1.3, REALITY or VLESS encryption below it", 0);
    if (asks && h->command == VLESS_UDP)
        return turn_fail(t, ST_E_PROTO, "vless: UDP inside Vision", 0);
    if (!asks && v->conf->vision && h->command == VLESS_TCP)
        return turn_fail(t, ST_E_AUTH, "vless: the node's flow is Vision, the client has none", 0);
    if (h->command == VLESS_REVERSE)
        return turn_fail(t, ST_E_UNSUPPORTED, "vless: reverse is not allowed for this user", 0);
    return ST_OK;
}

static enum status incomplete(struct turn *t)
{
    if (t->wire_in->eof)
        return turn_fail(t, ST_E_CLOSED, "vless: the client left before its request was whole", 0);
    return ST_MORE;
}

static enum network network_of(enum vless_command command)
{
    return command == VLESS_UDP ? NETWORK_UDP : command == VLESS_MUX ? NETWORK_MUX : NETWORK_TCP;
}

static enum status rx_header(struct vless *v, struct turn *t)
{
    const struct user_index *users = v->layer.env->users;
    uint8_t copy[VLESS_HEADER_MAX];
    struct vless_header h;
    struct user_rt *user;
    enum status st;
    size_t len;

    if (t->wire_in->bytes == 0)
        return incomplete(t);
    len = bufq_peek(t->wire_in, copy, sizeof(copy));
    /* With a fallback the first read decides alone; real clients send the header in one write. */
    if (v->conf->fallback && len < FIRST_MIN)
        return not_ours(v, t, NULL);
    if (copy[0] != 0)
        return not_ours(v, t, "vless: not a request (unknown version)");
    if (len < VLESS_ID_END)
        return incomplete(t);
    user = uuid_index_find(users, copy + VLESS_ID_AT);
    if (user == NULL)
        return not_ours(v, t, "vless: unknown user");

    st = vless_header_parse(copy, len, &h, &t->ev->why);
    if (st == ST_MORE)
        return incomplete(t);
    if (st == ST_OK)
        st = judge(v, &h, t);
    if (st != ST_OK)
        return st;
    if (h.flow == VLESS_FLOW_IS_VISION) {
        bool streams = h.command == VLESS_MUX;
        v->vision = vision_new(v->layer.env->pool, copy + VLESS_ID_AT, streams);
        if (v->vision == NULL)
            return turn_fail(t, ST_E_NOMEM, "no memory for Vision", 0);
    } else {
        t->ev->mask |= EV_UNITS_OFF;
    }
    bufq_drop(t->wire_in, h.len, v->layer.env->pool);
    t->ev->request.network = network_of(h.command);
    t->ev->request.target = h.target;
    t->ev->request.datagrams_only = h.command == VLESS_MUX && v->conf->vision;
    t->ev->request.user = user;
    t->ev->mask |= EV_REQUEST | EV_READY;
    v->mode = h.command == VLESS_UDP ? MODE_UDP : v->vision ? MODE_VISION : MODE_TCP;
    return ST_OK;
}

/* ---- datagrams up ---------------------------------------------------------------------------- */

static void skip_bytes(struct vless *v, struct bufq *q)
{
    uint32_t n = v->skip < q->bytes ? v->skip : q->bytes;

    bufq_drop(q, n, v->layer.env->pool);
    v->skip -= n;
}

static enum status rx_datagrams(struct vless *v, struct turn *t)
{
    struct pool *p = v->layer.env->pool;
    struct bufq *in = t->wire_in;

    for (;;) {
        uint8_t head[FRAME_HEAD];
        struct span *s;
        uint32_t len;

        skip_bytes(v, in);
        if (v->skip > 0 || bufq_peek(in, head, sizeof(head)) < sizeof(head))
            return in->bytes > 0 || v->skip > 0 ? ST_MORE : ST_OK;
        len = get_be16(head);
        if (len == 0 || len > BLK_DATA) {
            bufq_drop(in, FRAME_HEAD, p);
            v->skip = len;
            continue;
        }
        if (in->bytes < FRAME_HEAD + len)
            return ST_MORE;
        if (bufq_room(t->up) == 0)
            return ST_FULL;
        bufq_drop(in, FRAME_HEAD, p);
        s = frame_take(in, len, p);
        if (s == NULL)
            return turn_fail(t, ST_E_NOMEM, "no memory for a datagram", 0);
        bufq_push(t->up, s);
    }
}

/* After each call: the state goes as soon as no direction needs it. */
static enum status seen_by_vision(struct vless *v, enum status st)
{
    v->answered = vision_answered(v->vision);
    if (vision_is_over(v->vision)) {
        vision_free(v->layer.env->pool, v->vision);
        v->vision = NULL;
    }
    return st;
}

static enum status server_rx(struct layer *l, struct turn *t)
{
    struct vless *v = (struct vless *)(void *)l;

    if (v->mode == MODE_HEADER) {
        enum status st = rx_header(v, t);
        if (st != ST_OK || (t->ev->mask & EV_DIVERT))
            return st;
    }
    if (v->mode == MODE_UDP)
        return rx_datagrams(v, t);
    if (v->vision != NULL)
        return seen_by_vision(v, vision_rx(v->vision, l->env, t));
    t->ev->mask |= EV_LEAVE_RX;
    return ST_OK;
}

/* ---- down ------------------------------------------------------------------------------------ */

/* The response header shares its write with the first bytes from the target, as Xray-core does it:
 * alone on the wire it would mark the protocol by its length. */
static enum status tx_first(struct vless *v, struct turn *t)
{
    static const uint8_t response[RESPONSE_LEN] = {0, 0};
    struct pool *p = v->layer.env->pool;
    struct span *s, *out;

    while (t->down->head != NULL && t->down->head->len == 0)
        span_free(p, bufq_pop(t->down));
    if (t->down->head == NULL)
        return ST_OK;
    if (bufq_room(t->wire_out) == 0)
        return ST_FULL;
    s = bufq_pop(t->down);
    out = frame_prepend(p, s, response, sizeof(response), t->down);
    if (out == NULL) {
        bufq_unshift(t->down, s);
        return turn_fail(t, ST_E_NOMEM, "no memory for the response header", 0);
    }
    bufq_push(t->wire_out, out);
    v->answered = true;
    t->ev->mask |= EV_LEAVE_TX;
    return ST_OK;
}

static enum status tx_datagrams(struct vless *v, struct turn *t)
{
    struct pool *p = v->layer.env->pool;

    while (t->down->head != NULL) {
        uint8_t head[RESPONSE_LEN + FRAME_HEAD] = {0};
        uint32_t skip = v->answered ? RESPONSE_LEN : 0;
        struct span *s, *out;

        if (bufq_room(t->wire_out) == 0)
            return ST_FULL;
        s = bufq_pop(t->down);
        if (s->len == 0 || s->len > VLESS_DATAGRAM_MAX) {
            span_free(p, s);
            continue;
        }
        put_be16(head + RESPONSE_LEN, (uint16_t)s->len);
        out = frame_prepend(p, s, head + skip, (uint32_t)sizeof(head) - skip, NULL);
        if (out == NULL) {
            bufq_unshift(t->down, s);
            return turn_fail(t, ST_E_NOMEM, "no memory for a datagram", 0);
        }
        memset(&out->peer, 0, sizeof(out->peer)); /* a byte stream from here on */
        bufq_push(t->wire_out, out);
        v->answered = true;
    }
    return ST_OK;
}

static enum status server_tx(struct layer *l, struct turn *t)
{
    struct vless *v = (struct vless *)(void *)l;

    switch (v->mode) {
    case MODE_TCP:
        return tx_first(v, t);
    case MODE_VISION:
        if (v->vision != NULL)
            return seen_by_vision(v, vision_tx(v->vision, l->env, t));
        break;
    case MODE_UDP:
        return tx_datagrams(v, t);
    case MODE_HEADER:
        break;
    }
    return ST_OK;
}

/* A client whose target could not be reached, or sent nothing, still gets the response header. */
static enum status server_shut(struct layer *l, struct turn *t)
{
    static const uint8_t response[RESPONSE_LEN] = {0, 0};
    struct vless *v = (struct vless *)(void *)l;

    if (v->mode != MODE_HEADER && !v->answered) {
        if (bufq_put(t->wire_out, response, sizeof(response), l->env->pool) != ST_OK)
            return turn_fail(t, ST_E_NOMEM, "no memory for the response header", 0);
        v->answered = true;
    }
    t->wire_out->eof = true;
    return ST_OK;
}

static void server_fini(struct layer *l)
{
    vision_free(l->env->pool, ((struct vless *)(void *)l)->vision);
}

const struct layer_ops vless_server_ops = {
    .name = "vless",
    .size = sizeof(struct vless),
    .wire = PORT_BYTES,
    .plain = PORT_BYTES, /* datagrams once a request of NETWORK_UDP was reported */
    .flags = LAYER_MAY_DIVERT | LAYER_MAY_LEAVE | LAYER_ONE_UNIT,
    .init = server_init,
    .rx = server_rx,
    .tx = server_tx,
    .shut = server_shut,
    .fini = server_fini,
};

_Static_assert(sizeof(struct vless) <= 64, "an idle connection keeps this");
