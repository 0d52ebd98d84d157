#include "transport/ws/ws.h"

#include <string.h>

#include "base/bytes.h"
#include "codec/ws_frame.h"
#include "transport/ws/ws_state.h"

#define COPY_MAX    512u /* frames up to this are copied together instead of holding a blk each */
#define PENDING_MAX 64u  /* spans in wire_out above which no Pong or Ping is added */

static struct ws *ws_of(struct layer *l)
{
    return (struct ws *)(void *)l;
}

static enum status init(struct layer *l, const void *conf)
{
    ws_of(l)->conf = conf;
    return ST_OK;
}

static void fini(struct layer *l)
{
    span_free(l->env->pool, ws_of(l)->pong);
}

/* What is sent first after the 101 starts a new unit below, whatever its own marks say. */
static void push_out(struct ws *w, struct turn *t, struct span *s)
{
    if (!w->spoken)
        s->flags |= SPAN_EDGE;
    w->spoken = true;
    bufq_push(t->wire_out, s);
}

static struct span *control_span(struct pool *p, uint8_t opcode, const void *payload, size_t n)
{
    struct span *s = span_new_small(p);
    if (s == NULL)
        return NULL;
    size_t head = ws_frame_build(span_data(s), opcode, n, NULL);
    if (n > 0)
        memcpy(span_data(s) + head, payload, n);
    s->len = (uint32_t)(head + n);
    return s;
}

static enum status send_close(struct ws *w, struct turn *t, unsigned code)
{
    uint8_t payload[2];
    if (w->close_sent)
        return ST_OK;
    put_be16(payload, (uint16_t)code);
    struct span *s = control_span(w->layer.env->pool, WS_CLOSE, payload,
                                  code == WS_CLOSE_NONE ? 0 : sizeof(payload));
    if (s == NULL)
        return ST_E_NOMEM;
    w->close_sent = true;
    push_out(w, t, s);
    return ST_OK;
}

static enum status fail(struct ws *w, struct turn *t, const char *text)
{
    w->phase = WS_CLOSED;
    enum status st = send_close(w, t, WS_CLOSE_PROTOCOL);
    return st != ST_OK ? st : turn_fail(t, ST_E_PROTO, text, WS_CLOSE_PROTOCOL);
}

/* ---- wire to plain --------------------------------------------------------------------------- */

/* Answers the client's Close with its own code. There is no half-close: both end here. */
static enum status on_close(struct ws *w, struct turn *t, const uint8_t *payload, size_t n)
{
    unsigned code = ws_close_code(payload, n);
    if (code == 0)
        return fail(w, t, "websocket Close with a code that may not be sent");
    enum status st = send_close(w, t, code);
    if (st != ST_OK)
        return st;
    w->phase = WS_CLOSED;
    bufq_clear(t->wire_in, w->layer.env->pool);
    t->up->eof = true;
    t->wire_out->eof = true;
    return ST_OK;
}

static enum status on_control(struct ws *w, struct turn *t, const struct ws_frame *f)
{
    struct pool *p = w->layer.env->pool;
    uint8_t payload[WS_FRAME_CONTROL_MAX];
    size_t n = (size_t)f->len;
    if (!bufq_peek_at(t->wire_in, f->size, payload, n))
        return ST_MORE;
    bufq_drop(t->wire_in, f->size + n, p);
    ws_mask(payload, n, f->mask, 0);
    if (f->opcode == WS_CLOSE)
        return on_close(w, t, payload, n);
    if (f->opcode == WS_PING) {
        span_free(p, w->pong);
        w->pong = control_span(p, WS_PONG, payload, n);
        if (w->pong == NULL)
            return ST_E_NOMEM;
    }
    return ST_OK;
}

/* A whole small frame: copied, so that many tiny ones do not hold a span and a 16 KiB blk each. */
static enum status take_small(struct turn *t, const struct ws_frame *f, struct pool *p)
{
    uint8_t payload[COPY_MAX];
    size_t n = (size_t)f->len;
    bufq_drop(t->wire_in, f->size, p);
    bufq_peek(t->wire_in, payload, n);
    ws_mask(payload, n, f->mask, 0);
    bufq_drop(t->wire_in, n, p);
    return bufq_put(t->up, payload, n, p);
}

/* Moves payload up, unmasked where it lies. A blk may be shared by spans of this queue that were
 * cut apart, before and behind this frame; their byte ranges are disjoint from this one, so writing
 * into it disturbs nobody. */
static enum status take_payload(struct ws *w, struct turn *t)
{
    struct pool *p = w->layer.env->pool;
    struct bufq part;
    size_t n = w->left < t->wire_in->bytes ? (size_t)w->left : t->wire_in->bytes;
    size_t unit = t->wire_in->head->len, room = bufq_room(t->up);
    if (room < unit)
        room = unit;
    bufq_init(&part, UINT32_MAX);
    size_t moved = bufq_move_bytes(&part, t->wire_in, n < room ? n : room, p);
    for (struct span *s = part.head; s != NULL; s = s->next) {
        w->mask_phase = (uint8_t)ws_mask(span_data(s), s->len, w->mask, w->mask_phase);
        s->flags = 0;
    }
    bufq_move(t->up, &part);
    w->left -= moved;
    return moved > 0 ? ST_OK : ST_E_NOMEM;
}

/* Reads one frame head; control frames and small data frames whole. */
static enum status take_head(struct ws *w, struct turn *t)
{
    uint8_t head[WS_FRAME_HEAD_MAX];
    struct ws_frame f;
    enum status st = ws_frame_parse(head, bufq_peek(t->wire_in, head, sizeof(head)), &f);
    if (st == ST_MORE)
        return st;
    if (st != ST_OK)
        return fail(w, t, "websocket frame with reserved bits, opcode or length");
    if (!f.masked)
        return fail(w, t, "websocket frame of a client without a mask");
    if (f.opcode >= WS_CLOSE)
        return on_control(w, t, &f);
    if ((f.opcode == WS_CONTINUATION) != w->in_message)
        return fail(w, t, "websocket fragments out of order");
    if (f.len > 0 && bufq_room(t->up) == 0)
        return ST_FULL;
    w->in_message = !f.fin;
    if (f.len <= COPY_MAX && t->wire_in->bytes - f.size >= f.len)
        return take_small(t, &f, w->layer.env->pool);
    bufq_drop(t->wire_in, f.size, w->layer.env->pool);
    memcpy(w->mask, f.mask, sizeof(w->mask));
    w->mask_phase = 0;
    w->left = f.len;
    return ST_OK;
}

/* Adds the waiting Pong, unless so much waits already that the client does not read: then the
 * newest is kept. */
static void flush_pong(struct ws *w, struct turn *t)
{
    if (w->pong == NULL || w->close_sent || w->hold > 0 || bufq_room(t->wire_out) == 0 ||
        t->wire_out->count >= PENDING_MAX)
        return;
    push_out(w, t, w->pong);
    w->pong = NULL;
}

static enum status rx(struct layer *l, struct turn *t)
{
    struct ws *w = ws_of(l);
    enum status st = ST_OK;
    if (w->phase == WS_OPEN && w->hold > 0)
        ws_release(w, t->now_us); /* clients read the 101 before they send frames */
    if (w->phase == WS_REQUEST && (st = ws_handshake(w, t)) != ST_OK)
        return st;
    while (w->phase == WS_OPEN && t->wire_in->bytes > 0 && st == ST_OK) {
        if (w->left == 0)
            st = take_head(w, t);
        else
            st = bufq_room(t->up) > 0 ? take_payload(w, t) : ST_FULL;
    }
    if (w->phase == WS_CLOSED)
        bufq_clear(t->wire_in, l->env->pool);
    flush_pong(w, t);
    return st;
}

/* ---- plain to wire --------------------------------------------------------------------------- */

/* A frame around the bytes of @s, which is taken over. */
static enum status send_frame(struct ws *w, struct turn *t, struct span *s)
{
    struct pool *p = w->layer.env->pool;
    uint8_t head[WS_FRAME_HEAD_MAX];
    uint32_t n = (uint32_t)ws_frame_build(head, WS_BINARY, s->len, NULL);

    if (!span_owns_blk(s) || span_headroom(s) < n) {
        /* Small ones and those that must travel in one piece are copied; the others get their head
         * in front. */
        bool copy = s->len <= COPY_MAX || ((s->flags & SPAN_ALONE) != 0 && s->len <= BLK_DATA);
        struct span *fresh = copy ? span_new_for(p, s->len) : span_new_small(p);
        if (fresh == NULL) {
            span_free(p, s);
            return ST_E_NOMEM;
        }
        fresh->flags = s->flags;
        if (!copy) {
            memcpy(span_data(fresh), head, n);
            fresh->len = n;
            s->flags &= (uint8_t)~SPAN_EDGE;
            push_out(w, t, fresh);
            bufq_push(t->wire_out, s);
            return ST_OK;
        }
        memcpy(span_data(fresh), span_data(s), s->len);
        fresh->len = s->len;
        span_free(p, s);
        s = fresh;
    }
    s->off -= n;
    s->len += n;
    memcpy(span_data(s), head, n);
    push_out(w, t, s);
    return ST_OK;
}

void ws_release(struct ws *w, uint64_t now_us)
{
    w->hold = 0;
    w->ping_at = UINT64_MAX;
    if (w->conf->heartbeat_s > 0)
        w->ping_at = now_us + (uint64_t)w->conf->heartbeat_s * 1000000;
}

/* Pings when it is time to.
 *
 * An answer to early data may be ready at once, but sing-box's client drops what it reads together
 * with the 101, and on plain TCP two writes may be read as one. So payload is held back a moment,
 * until a timeout or until the client is heard: Pings make it speak as soon as it has read the 101
 * alone (one that is dropped does no harm). */
static enum status heartbeat(struct ws *w, struct turn *t)
{
    if (w->hold > 0 && t->now_us >= w->hold)
        ws_release(w, t->now_us);
    if (t->now_us >= w->ping_at) {
        if (bufq_room(t->wire_out) > 0 && t->wire_out->count < PENDING_MAX) {
            struct span *s = control_span(w->layer.env->pool, WS_PING, NULL, 0);
            if (s == NULL)
                return ST_E_NOMEM;
            push_out(w, t, s);
        }
        uint64_t since = t->now_us - (w->hold - WS_HOLD_US);
        w->ping_at = t->now_us + (w->hold > 0 ? since : (uint64_t)w->conf->heartbeat_s * 1000000);
    }
    if (w->ping_at < t->wake_us)
        t->wake_us = w->ping_at;
    if (w->hold > 0 && w->hold < t->wake_us)
        t->wake_us = w->hold;
    return ST_OK;
}

/* Xray-core closes without a word too. Who keeps the connection alive gets the time anew. */
static enum status await_head(struct ws *w, struct turn *t)
{
    if (w->head_by == 0)
        w->head_by = t->now_us + WS_HEAD_US;
    if (t->now_us >= w->head_by)
        return turn_fail(t, ST_E_TIMEOUT, "no HTTP request within 4 s", 0);
    if (w->head_by < t->wake_us)
        t->wake_us = w->head_by;
    return ST_OK;
}

static enum status tx(struct layer *l, struct turn *t)
{
    struct ws *w = ws_of(l);
    if (w->phase == WS_REQUEST)
        return await_head(w, t);
    if (w->phase == WS_CLOSED)
        bufq_clear(t->down, l->env->pool); /* nobody is left to read it */
    if (w->phase != WS_OPEN || w->close_sent)
        return ST_OK;
    enum status st = heartbeat(w, t);
    if (st != ST_OK || w->hold > 0)
        return st;
    flush_pong(w, t);
    while (!bufq_empty(t->down)) {
        if (bufq_room(t->wire_out) == 0)
            return ST_FULL;
        struct span *s = bufq_pop(t->down);
        if (s->len == 0) {
            span_free(l->env->pool, s);
            continue;
        }
        st = send_frame(w, t, s);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* Close with 1000, and the end of the connection right behind it: Xray-core does not wait for the
 * echo either. */
static enum status shut(struct layer *l, struct turn *t)
{
    struct ws *w = ws_of(l);
    enum status st = w->phase == WS_OPEN ? send_close(w, t, WS_CLOSE_NORMAL) : ST_OK;
    t->wire_out->eof = true;
    return st;
}

const struct layer_ops ws_server_ops = {
    .name = "ws",
    .size = sizeof(struct ws),
    .wire = PORT_BYTES,
    .plain = PORT_BYTES,
    .flags = LAYER_NO_HALF_CLOSE,
    .init = init,
    .rx = rx,
    .tx = tx,
    .shut = shut,
    .fini = fini,
};
