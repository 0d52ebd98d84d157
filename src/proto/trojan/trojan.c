#include "proto/trojan/trojan.h"

#include <string.h>

#include "base/arena.h"
#include "base/frame.h"
#include "proto/trojan/header.h"
#include "proto/trojan/users.h"

enum mode { MODE_HEADER, MODE_TCP, MODE_UDP };

struct trojan {
    struct layer layer;
    const struct trojan_conf *conf;
    enum mode mode;
    uint32_t skip; /* bytes of a dropped datagram still to come */
};

static enum status server_init(struct layer *l, const void *conf)
{
    ((struct trojan *)(void *)l)->conf = conf;
    return ST_OK;
}

/* ---- request --------------------------------------------------------------------------------- */

/* Xray-core closes at once, without a byte, or hands over to its fallback. */
static enum status not_ours(const struct trojan *j, struct turn *t, const char *text)
{
    if (j->conf->fallback) {
        t->ev->mask |= EV_DIVERT;
        return ST_OK;
    }
    return turn_fail(t, ST_E_AUTH, text, 0);
}

static enum status begin(struct trojan *j, const struct trojan_header *h, struct user_rt *user,
                         struct turn *t)
{
    bool udp = h->command == TROJAN_UDP;

    if (h->command == TROJAN_SMUX)
        return turn_fail(t, ST_E_UNSUPPORTED, "trojan: trojan-go's mux is not supported", 0);
    bufq_drop(t->wire_in, h->len, j->layer.env->pool);
    /* Any other command is TCP to Xray-core, too. */
    t->ev->request.network = udp ? NETWORK_UDP : NETWORK_TCP;
    t->ev->request.target = h->target;
    t->ev->request.addressed = udp;
    t->ev->request.user = user;
    t->ev->mask |= EV_REQUEST | EV_READY;
    j->mode = udp ? MODE_UDP : MODE_TCP;
    return ST_OK;
}

static enum status rx_header(struct trojan *j, struct turn *t)
{
    uint8_t copy[TROJAN_HEADER_MAX], digest[TROJAN_DIGEST_LEN];
    struct trojan_header h;
    struct user_rt *user;
    size_t len = bufq_peek(t->wire_in, copy, sizeof(copy));
    enum status st = trojan_digest_parse(copy, len, digest);

    /* A client of Xray-core whose first write is too long for it ends without a byte. */
    if (st == ST_MORE && t->wire_in->eof)
        return len > 0 ? not_ours(j, t, "trojan: not a request")
                       : turn_fail(t, ST_E_CLOSED, "trojan: the client left without a byte", 0);
    if (st == ST_MORE)
        return ST_MORE;
    if (st != ST_OK)
        return not_ours(j, t, "trojan: not a request");
    user = trojan_users_find(j->layer.env->users, digest);
    if (user == NULL)
        return not_ours(j, t, "trojan: unknown user");
    st = trojan_header_parse(copy, len, &h);
    if (st == ST_MORE && t->wire_in->eof)
        return turn_fail(t, ST_E_CLOSED, "trojan: the client left before its request was whole", 0);
    if (st == ST_E_PROTO)
        return turn_fail(t, ST_E_PROTO, "trojan: bad target address", 0);
    return st == ST_OK ? begin(j, &h, user, t) : st;
}

/* ---- datagrams ------------------------------------------------------------------------------- */

static enum status rx_datagram(struct trojan *j, struct turn *t, const struct target *to,
                               uint16_t len)
{
    struct pool *p = j->layer.env->pool;
    struct span *s = frame_take(t->wire_in, len, p);
    struct span *named = s != NULL ? frame_set_target(p, s, to) : NULL;

    if (named == NULL) {
        if (s != NULL)
            span_free(p, s);
        return turn_fail(t, ST_E_NOMEM, "no memory for a datagram", 0);
    }
    bufq_push(t->up, named);
    return ST_OK;
}

static enum status rx_datagrams(struct trojan *j, struct turn *t)
{
    struct pool *p = j->layer.env->pool;
    struct bufq *in = t->wire_in;

    for (;;) {
        uint8_t head[TROJAN_FRAME_MAX];
        struct target to;
        uint16_t len;
        size_t head_len;
        uint32_t skipped = j->skip < in->bytes ? j->skip : in->bytes;

        bufq_drop(in, skipped, p);
        j->skip -= skipped;
        if (in->bytes == 0)
            return j->skip > 0 ? ST_MORE : ST_OK;
        enum status st =
            trojan_frame_parse(head, bufq_peek(in, head, sizeof(head)), &to, &head_len, &len);
        if (st == ST_E_PROTO)
            return turn_fail(t, ST_E_PROTO, "trojan: bad address of a datagram", 0);
        if (st != ST_OK)
            return st;
        if (len == 0 || len > BLK_DATA) {
            bufq_drop(in, head_len, p);
            j->skip = len;
            continue;
        }
        if (in->bytes < head_len + len)
            return ST_MORE;
        if (bufq_room(t->up) == 0)
            return ST_FULL;
        bufq_drop(in, head_len, p);
        if ((st = rx_datagram(j, t, &to, len)) != ST_OK)
            return st;
    }
}

static enum status tx_datagrams(struct trojan *j, struct turn *t)
{
    struct pool *p = j->layer.env->pool;

    while (t->down->head != NULL) {
        uint8_t head[TROJAN_FRAME_IP_MAX];
        struct span *s, *out;

        if (bufq_room(t->wire_out) == 0)
            return ST_FULL;
        s = bufq_pop(t->down);
        if (s->len == 0 || s->len > TROJAN_DATAGRAM_MAX) {
            span_free(p, s);
            continue;
        }
        size_t n = trojan_frame_write(head, &s->peer, (uint16_t)s->len);
        out = frame_prepend(p, s, head, (uint32_t)n, NULL);
        if (out == NULL) {
            bufq_unshift(t->down, s);
            return turn_fail(t, ST_E_NOMEM, "no memory for a datagram", 0);
        }
        memset(&out->peer, 0, sizeof(out->peer)); /* a byte stream from here on */
        bufq_push(t->wire_out, out);
    }
    return ST_OK;
}

/* ---- the layer ------------------------------------------------------------------------------- */

static enum status server_rx(struct layer *l, struct turn *t)
{
    struct trojan *j = (struct trojan *)(void *)l;

    if (j->mode == MODE_HEADER) {
        enum status st = rx_header(j, t);
        if (st != ST_OK || (t->ev->mask & EV_DIVERT))
            return st;
    }
    if (j->mode == MODE_UDP)
        return rx_datagrams(j, t);
    t->ev->mask |= EV_LEAVE_RX | EV_LEAVE_TX;
    return ST_OK;
}

static enum status server_tx(struct layer *l, struct turn *t)
{
    struct trojan *j = (struct trojan *)(void *)l;

    return j->mode == MODE_UDP ? tx_datagrams(j, t) : ST_OK;
}

const struct layer_ops trojan_server_ops = {
    .name = "trojan",
    .size = sizeof(struct trojan),
    .wire = PORT_BYTES,
    .plain = PORT_BYTES, /* datagrams once a request of NETWORK_UDP was reported */
    .flags = LAYER_MAY_DIVERT | LAYER_MAY_LEAVE,
    .init = server_init,
    .rx = server_rx,
    .tx = server_tx,
};

_Static_assert(sizeof(struct trojan) <= 64, "an idle connection keeps this");

static enum status parse_conf(struct arena *a, const struct json_t *node,
                              const struct conf_context *ctx, const void **conf,
                              struct conf_error *err)
{
    struct trojan_conf *c = arena_alloc(a, sizeof(*c));

    (void)node;
    (void)err;
    if (c == NULL)
        return ST_E_NOMEM;
    c->fallback = ctx->fallback;
    *conf = c;
    return ST_OK;
}

static const char *const aliases[] = {NULL};

const struct proto proto_trojan = {
    .name = "trojan",
    .aliases = aliases,
    .parse_conf = parse_conf,
    .server = &trojan_server_ops,
    .users = &trojan_users_ops,
};
