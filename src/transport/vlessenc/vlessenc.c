#include "transport/vlessenc/vlessenc.h"

#include <string.h>

#include "crypto/mem.h"
#include "transport/vlessenc/vlessenc_conf.h"
#include "transport/vlessenc/vlessenc_hello.h"
#include "transport/vlessenc/vlessenc_record.h"

/* What a client whose ticket we do not know is told: as many bytes as our hello may have, and no
 * record. */
#define NOISE_MIN 1279u
#define NOISE_MAX 2279u

enum state { HELLO, TICKET, KEYS, PADDING_LEN, PADDING, RECORDS };

/* Needed until both hellos are over. */
struct opening {
    struct vlessenc_hello hello;
    struct bufq out; /* ours, as far as it is not sent */
    struct vlessenc_pieces pieces;
    unsigned piece;
    uint32_t piece_left;
    uint64_t due_us; /* not before */
};

/* Mode `random`. */
struct masks {
    struct vlessenc_mask up, down;
};

struct vlessenc {
    struct layer base;
    const struct vlessenc_conf *conf;
    struct opening *opening;
    struct masks *masks;
    struct vlessenc_aead up, down;
    uint8_t random[VLESSENC_IV_LEN]; /* 0-RTT: goes in front of our first record */
    const uint8_t *prefix;           /* random, as long as it is not sent */
    uint8_t state;
    bool up_raw, down_raw; /* Vision has left this direction, we go on masking */
};

static struct vlessenc *self(struct layer *l)
{
    return (struct vlessenc *)(void *)l;
}

static enum status server_init(struct layer *l, const void *conf)
{
    self(l)->conf = conf;
    return ST_OK;
}

static void end_opening(struct vlessenc *v)
{
    struct pool *p = v->base.env->pool;

    if (v->opening == NULL)
        return;
    bufq_clear(&v->opening->out, p);
    crypto_wipe(v->opening, sizeof(*v->opening));
    pool_release(p, v->opening, sizeof(*v->opening));
    v->opening = NULL;
}

static void server_fini(struct layer *l)
{
    struct vlessenc *v = self(l);

    end_opening(v);
    if (v->masks != NULL) {
        crypto_wipe(v->masks, sizeof(*v->masks));
        pool_release(l->env->pool, v->masks, sizeof(*v->masks));
    }
    crypto_wipe(&v->up, sizeof(v->up));
    crypto_wipe(&v->down, sizeof(v->down));
}

/* ---- the client's hello ---------------------------------------------------------------------- */

static enum status fail(struct turn *t, enum status st)
{
    static const char *const texts[] = {
        [-ST_E_PROTO] = "vless encryption: malformed",
        [-ST_E_AUTH] = "vless encryption: fails authentication (another key or mode?)",
        [-ST_E_LIMIT] = "vless encryption: a message too long",
        [-ST_E_NOMEM] = "no memory for VLESS encryption",
        [-ST_E_CLOSED] = "vless encryption: the client left before its handshake was over",
    };
    const char *text = -(int)st < (int)(sizeof(texts) / sizeof(texts[0])) ? texts[-(int)st] : NULL;

    return turn_fail(t, st, text != NULL ? text : "vless encryption: the crypto library failed", 0);
}

/* Takes the next @n bytes of the handshake out of the queue, or none. ST_OK, ST_MORE,
 * ST_E_CLOSED. */
static enum status take(struct vlessenc *v, struct turn *t, size_t n, uint8_t *data)
{
    if (bufq_peek(t->wire_in, data, n) < n)
        return t->wire_in->eof ? ST_E_CLOSED : ST_MORE;
    bufq_drop(t->wire_in, n, v->base.env->pool);
    return ST_OK;
}

static enum status rx_hello(struct vlessenc *v, struct turn *t)
{
    uint8_t data[VLESSENC_IV_LEN + VLESSENC_KEYS_MAX * (MLKEM_CIPHER_LEN + BLAKE3_LEN) +
                 VLESSENC_SEALED_LEN];
    struct pool *p = v->base.env->pool;
    enum status st = take(v, t, vlessenc_hello_len(v->conf), data);

    if (st != ST_OK)
        return st;
    v->opening = pool_alloc(p, sizeof(*v->opening));
    if (v->opening == NULL)
        return ST_E_NOMEM;
    struct vlessenc_hello *h = &v->opening->hello;
    bufq_init(&v->opening->out, VLESSENC_ANSWER_LEN + VLESSENC_PADDING_MAX);
    st = vlessenc_hello_open(h, v->conf, v->base.env->crypto, data);
    crypto_wipe(data, VLESSENC_IV_LEN + v->conf->relays_len);
    if (st != ST_OK)
        return st;
    if (h->len == VLESSENC_SEALED_TICKET) {
        v->state = TICKET;
        return v->conf->tickets != NULL ? ST_OK : ST_E_PROTO;
    }
    v->state = KEYS;
    if (h->len < VLESSENC_KEYS_MIN)
        return ST_E_PROTO;
    return h->len <= VLESSENC_KEYS_LEN_MAX ? ST_OK : ST_E_LIMIT;
}

static enum status make_masks(struct vlessenc *v, const uint8_t *down_iv)
{
    const struct vlessenc_hello *h = &v->opening->hello;

    if (v->conf->mode != VLESSENC_RANDOM)
        return ST_OK;
    v->masks = pool_alloc(v->base.env->pool, sizeof(*v->masks));
    if (v->masks == NULL)
        return ST_E_NOMEM;
    vlessenc_mask_init(&v->masks->up, h->united, sizeof(h->united), h->iv);
    vlessenc_mask_init(&v->masks->down, h->united, sizeof(h->united), down_iv);
    return ST_OK;
}

/* The handshake is over for the client; what we still have to say of ours may be on its way. */
static void ready(struct vlessenc *v, struct turn *t)
{
    v->state = RECORDS;
    v->base.env->info->encrypted = true;
    t->ev->mask |= EV_READY;
    if (bufq_empty(&v->opening->out))
        end_opening(v);
}

/* ---- 0-RTT ----------------------------------------------------------------------------------- */

/* True if a client would take @p for the header of a record. */
static bool is_header(const uint8_t *p)
{
    return p[0] == 23 && p[1] == 3 && p[2] == 3;
}

static enum status unknown_ticket(struct vlessenc *v, struct turn *t)
{
    struct rng *rng = v->base.env->rng;
    uint8_t noise[NOISE_MAX];
    size_t n = NOISE_MIN + (size_t)rng_below(rng, NOISE_MAX - NOISE_MIN);

    do
        rng_bytes(rng, noise, n);
    while (is_header(noise) || is_header(noise + VLESSENC_IV_LEN));
    if (bufq_put(t->wire_out, noise, n, v->base.env->pool) != ST_OK)
        return ST_E_NOMEM;
    return turn_fail(t, ST_E_REFUSED, "vless encryption: unknown or expired ticket", 0);
}

static enum status rx_ticket(struct vlessenc *v, struct turn *t)
{
    struct vlessenc_hello *h = &v->opening->hello;
    uint8_t data[VLESSENC_SEALED_TICKET], ticket[VLESSENC_TICKET_LEN];
    enum status st = take(v, t, sizeof(data), data);

    if (st == ST_OK)
        st = vlessenc_hello_ticket(h, v->base.env->crypto, data, ticket);
    if (st != ST_OK)
        return st;
    switch (vlessenc_tickets_use(v->conf->tickets, ticket, h->united + VLESSENC_PFS_LEN,
                                 t->now_us / 1000000, h->united)) {
    case VLESSENC_USE_UNKNOWN:
        return unknown_ticket(v, t);
    case VLESSENC_USE_REPLAYED:
        return turn_fail(t, ST_E_REFUSED, "vless encryption: replayed hello", 0);
    case VLESSENC_USE_GOOD:
        break;
    }
    rng_bytes(v->base.env->rng, v->random, sizeof(v->random));
    v->prefix = v->random;
    vlessenc_hello_resume(h, data, v->random, &v->up, &v->down);
    st = make_masks(v, v->random);
    if (st == ST_OK)
        ready(v, t);
    return st;
}

/* ---- 1-RTT ----------------------------------------------------------------------------------- */

/* Our hello with its padding into opening->out, to be sent piece by piece. */
static enum status answer(struct vlessenc *v, struct turn *t, uint8_t *keys)
{
    const struct env *env = v->base.env;
    struct opening *o = v->opening;
    uint8_t bytes[VLESSENC_ANSWER_LEN], ticket[VLESSENC_TICKET_LEN];
    enum status st = vlessenc_hello_answer(&o->hello, v->conf, env->crypto, env->rng, keys, bytes,
                                           ticket, &v->up, &v->down);

    if (st != ST_OK)
        return st;
    vlessenc_padding_draw(&v->conf->padding, env->rng, &o->pieces);
    st = bufq_put(&o->out, bytes, sizeof(bytes), env->pool);
    if (st == ST_OK)
        st = vlessenc_hello_pad(&v->down, env->crypto, env->pool, o->pieces.total, &o->out);
    if (st == ST_OK)
        st = make_masks(v, ticket);
    o->piece_left = (uint32_t)sizeof(bytes) + o->pieces.len[0];
    if (st == ST_OK && v->conf->tickets != NULL && (ticket[0] | ticket[1]) != 0)
        vlessenc_tickets_put(v->conf->tickets, ticket, o->hello.united, t->now_us / 1000000);
    crypto_wipe(ticket, sizeof(ticket));
    return st;
}

static enum status rx_keys(struct vlessenc *v, struct turn *t)
{
    uint8_t keys[VLESSENC_KEYS_LEN_MAX];
    enum status st = take(v, t, v->opening->hello.len, keys);

    if (st == ST_OK)
        st = answer(v, t, keys);
    if (st == ST_OK)
        v->state = PADDING_LEN;
    return st;
}

static enum status rx_padding_len(struct vlessenc *v, struct turn *t)
{
    struct vlessenc_hello *h = &v->opening->hello;
    uint8_t sealed[VLESSENC_SEALED_LEN];
    enum status st = take(v, t, sizeof(sealed), sealed);

    if (st == ST_OK)
        st = vlessenc_hello_length(h, v->base.env->crypto, sealed, &h->len);
    if (st == ST_OK && h->len < AEAD_TAG_LEN)
        st = ST_E_PROTO;
    if (st == ST_OK)
        v->state = PADDING;
    return st;
}

/* The client's padding means nothing, but a byte altered on its way must not go unnoticed. */
static enum status rx_padding(struct vlessenc *v, struct turn *t)
{
    const struct env *env = v->base.env;
    struct vlessenc_aead *nfs = &v->opening->hello.nfs;
    uint32_t left = v->opening->hello.len - AEAD_TAG_LEN;
    uint8_t nonce[AEAD_IV_LEN], tag[AEAD_TAG_LEN], piece[1024];

    if (!bufq_peek_at(t->wire_in, left, tag, sizeof(tag)))
        return t->wire_in->eof ? ST_E_CLOSED : ST_MORE;
    vlessenc_aead_nonce(nfs, nonce);
    enum status st =
        aead_begin(env->crypto, (enum aead_alg)nfs->alg, AEAD_OPEN, nfs->key, nonce, NULL, 0);
    while (left > 0 && st == ST_OK) {
        uint32_t n = left < sizeof(piece) ? left : (uint32_t)sizeof(piece);
        bufq_peek(t->wire_in, piece, n);
        bufq_drop(t->wire_in, n, env->pool);
        st = aead_update(env->crypto, piece, piece, n);
        left -= n;
    }
    if (st == ST_OK)
        st = aead_open_end(env->crypto, tag);
    if (st != ST_OK)
        return st;
    bufq_drop(t->wire_in, AEAD_TAG_LEN, env->pool);
    ready(v, t);
    return ST_OK;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static enum status handshake(struct vlessenc *v, struct turn *t)
{
    enum status st = ST_OK;

    while (st == ST_OK && v->state != RECORDS) {
        switch ((enum state)v->state) {
        case HELLO:
            st = rx_hello(v, t);
            break;
        case TICKET:
            st = rx_ticket(v, t);
            break;
        case KEYS:
            st = rx_keys(v, t);
            break;
        case PADDING_LEN:
            st = rx_padding_len(v, t);
            break;
        case PADDING:
            st = rx_padding(v, t);
            break;
        case RECORDS:
            break;
        }
    }
    return st;
}

static enum status server_rx(struct layer *l, struct turn *t)
{
    struct vlessenc *v = self(l);
    const struct env *env = l->env;
    enum status st = handshake(v, t);

    if (st == ST_OK && v->up_raw)
        st = vlessenc_mask_move(&v->masks->up, env->pool, t->wire_in, t->up, false);
    else if (st == ST_OK)
        st = vlessenc_record_open(&v->up, v->masks != NULL ? &v->masks->up : NULL, env->crypto,
                                  env->pool, t->wire_in, t->up, t->one_unit ? 1 : 0);
    return st < 0 ? fail(t, st) : st;
}

/* Moves what is left of the present piece, marked as a write of its own. */
static enum status send_piece(struct vlessenc *v, struct turn *t)
{
    struct opening *o = v->opening;
    struct pool *p = v->base.env->pool;

    while (o->piece_left > 0) {
        struct bufq part;
        if (bufq_room(t->wire_out) == 0)
            return ST_FULL;
        bufq_init(&part, BLK_DATA);
        uint32_t n = o->out.head->len < o->piece_left ? o->out.head->len : o->piece_left;
        if (bufq_move_bytes(&part, &o->out, n, p) != n) {
            bufq_clear(&part, p);
            return ST_E_NOMEM;
        }
        part.head->flags |= SPAN_EDGE;
        bufq_move(t->wire_out, &part);
        o->piece_left -= n;
    }
    return ST_OK;
}

/* Our hello, piece by piece, with pauses in between if @pauses. ST_OK: all of it is out. */
static enum status send_hello(struct vlessenc *v, struct turn *t, bool pauses)
{
    struct opening *o = v->opening;

    while (!bufq_empty(&o->out)) {
        if (pauses && t->now_us < o->due_us) {
            if (t->wake_us > o->due_us)
                t->wake_us = o->due_us;
            return ST_MORE;
        }
        enum status st = send_piece(v, t);
        if (st != ST_OK)
            return st;
        o->due_us = t->now_us + (uint64_t)o->pieces.gap_ms[o->piece] * 1000;
        if (++o->piece < o->pieces.count)
            o->piece_left = o->pieces.len[o->piece];
    }
    if (v->state == RECORDS)
        end_opening(v);
    return ST_OK;
}

static enum status server_tx(struct layer *l, struct turn *t)
{
    struct vlessenc *v = self(l);
    const struct env *env = l->env;
    enum status st = v->opening != NULL ? send_hello(v, t, true) : ST_OK;

    if (st == ST_OK && v->state != RECORDS)
        return bufq_empty(t->down) ? ST_OK : ST_MORE;
    if (st == ST_OK && v->down_raw)
        st = vlessenc_mask_move(&v->masks->down, env->pool, t->down, t->wire_out, true);
    else if (st == ST_OK)
        st = vlessenc_record_seal(&v->down, v->masks != NULL ? &v->masks->down : NULL, env->crypto,
                                  env->pool, &v->prefix, t->down, t->wire_out);
    return st < 0 ? fail(t, st) : st;
}

/* Nothing is said at the end, but a client that ended early gets the rest of our hello. */
static enum status server_shut(struct layer *l, struct turn *t)
{
    struct vlessenc *v = self(l);
    enum status st = ST_OK;

    while (v->opening != NULL && !bufq_empty(&v->opening->out) && st >= 0) {
        struct span *s = bufq_pop(&v->opening->out);
        bufq_push(t->wire_out, s);
    }
    t->wire_out->eof = true;
    return st;
}

static bool server_leave(struct layer *l, enum chain_dir dir)
{
    struct vlessenc *v = self(l);

    if (v->state != RECORDS)
        return false;
    crypto_wipe(dir == CHAIN_RX ? &v->up : &v->down, sizeof(v->up));
    if (v->masks == NULL)
        return true;
    if (dir == CHAIN_RX)
        v->up_raw = true;
    else
        v->down_raw = true;
    return false;
}

const struct layer_ops vlessenc_server_ops = {
    .name = "vless encryption",
    .size = sizeof(struct vlessenc),
    .wire = PORT_BYTES,
    .plain = PORT_BYTES,
    .init = server_init,
    .rx = server_rx,
    .tx = server_tx,
    .shut = server_shut,
    .leave = server_leave,
    .fini = server_fini,
};

static const char *const aliases[] = {NULL};

const struct transport transport_vlessenc = {
    .name = "mlkem768x25519plus",
    .aliases = aliases,
    .role = TRANSPORT_SECURITY,
    .parse_conf = vlessenc_conf_parse,
    .free_conf = vlessenc_conf_free,
    .server = &vlessenc_server_ops,
};

/* An idle connection keeps this, with `random` the masks too. */
_Static_assert(sizeof(struct vlessenc) <= 176, "an idle connection keeps this");
