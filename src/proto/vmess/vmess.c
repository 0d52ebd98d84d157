#include "proto/vmess/vmess.h"

#include <string.h>

#include "base/frame.h"
#include "crypto/mem.h"
#include "crypto/rng.h"
#include "proto/vmess/chunks.h"
#include "proto/vmess/lookup.h"
#include "proto/vmess/packetaddr.h"

enum mode { AUTH_ID, HEADER, STREAM, PACKETS, RAW, DRAIN };

#define DRAIN_MIN 54u /* Xray-core proxy/vmess/encoding: the shortest request */

/* Until the request is known. */
struct opening {
    struct vmess_lookup lookup;
    size_t header_len; /* 0: not opened yet */
};

/* Until the answer is out. */
struct answer {
    uint8_t key[VMESS_KEY_LEN], iv[VMESS_KEY_LEN];
    uint8_t verifier;
};

/* As long as there are chunks. */
struct body {
    struct vmess_chunks up, down;
};

struct vmess {
    struct layer layer;
    const struct vmess_conf *conf;
    struct opening *opening;
    struct answer *answer;
    struct body *body;
    struct why drain_why; /* what the connection ends with */
    uint32_t drain_left;
    uint8_t mode;
    bool says_end;  /* the client expects to be told the end */
    bool addressed; /* PACKETS: datagrams have addresses of their own */
};

static struct vmess *self(struct layer *l)
{
    return (struct vmess *)(void *)l;
}

static enum status server_init(struct layer *l, const void *conf)
{
    self(l)->conf = conf;
    return ST_OK;
}

/* ---- parts of the state ---------------------------------------------------------------------- */

static void drop(struct pool *p, void *part, size_t size)
{
    if (part == NULL)
        return;
    crypto_wipe(part, size);
    pool_release(p, part, size);
}

static void end_opening(struct vmess *v)
{
    drop(v->layer.env->pool, v->opening, sizeof(*v->opening));
    v->opening = NULL;
}

static void end_answer(struct vmess *v)
{
    drop(v->layer.env->pool, v->answer, sizeof(*v->answer));
    v->answer = NULL;
}

static void end_body(struct vmess *v)
{
    struct pool *p = v->layer.env->pool;

    if (v->body != NULL) {
        vmess_chunks_fini(&v->body->up, p);
        vmess_chunks_fini(&v->body->down, p);
    }
    drop(p, v->body, sizeof(*v->body));
    v->body = NULL;
}

static void server_fini(struct layer *l)
{
    end_opening(self(l));
    end_answer(self(l));
    end_body(self(l));
}

/* ---- strangers ------------------------------------------------------------------------------- */

static enum status rx_drain(struct vmess *v, struct turn *t)
{
    struct bufq *in = t->wire_in;
    uint32_t n = in->bytes < v->drain_left ? in->bytes : v->drain_left;

    bufq_drop(in, n, v->layer.env->pool);
    v->drain_left -= n;
    if (v->drain_left > 0 && !in->eof)
        return ST_OK;
    return turn_fail(t, v->drain_why.status, v->drain_why.text, v->drain_why.number);
}

/* Not a request of ours; t->ev->why says why. All that was sent so far still lies in wire_in. */
static enum status drain(struct vmess *v, struct turn *t)
{
    const struct vmess_shared *shared = v->layer.env->shared;

    end_opening(v);
    if (!v->conf->drain)
        return t->ev->why.status;
    v->drain_why = t->ev->why;
    t->ev->why = (struct why){0};
    v->drain_left = DRAIN_MIN + shared->drain_base +
                    (uint32_t)rng_below(v->layer.env->rng, shared->drain_spread);
    v->mode = DRAIN;
    return rx_drain(v, t);
}

/* ---- request --------------------------------------------------------------------------------- */

static enum status incomplete(struct turn *t)
{
    if (t->wire_in->eof)
        return turn_fail(t, ST_E_CLOSED, "vmess: the client left before its request was whole", 0);
    return ST_MORE;
}

static enum status no_memory(struct turn *t)
{
    return turn_fail(t, ST_E_NOMEM, "no memory for VMess", 0);
}

static enum status rx_auth_id(struct vmess *v, struct turn *t)
{
    const struct env *env = v->layer.env;
    const struct vmess_arrival at = {&env->info->peer, t->now_us, t->unix_s};
    uint8_t auth_id[VMESS_AUTH_ID_LEN];

    if (bufq_peek(t->wire_in, auth_id, sizeof(auth_id)) < sizeof(auth_id))
        return incomplete(t);
    if (v->opening == NULL)
        v->opening = pool_alloc(env->pool, sizeof(*v->opening));
    if (v->opening == NULL)
        return no_memory(t);
    enum status st =
        vmess_lookup_run(&v->opening->lookup, (const struct vmess_users *)(const void *)env->users,
                         env->shared, &at, auth_id, &t->ev->why);
    if (st == ST_E_NOMEM)
        return st;
    if (st < 0)
        return drain(v, t);
    if (st == ST_OK)
        v->mode = HEADER;
    return st;
}

/* Prepares the body and the answer. */
static enum status begin(struct vmess *v, const struct vmess_header *h)
{
    const struct vmess_kdf *kdf = &v->conf->kdf;
    struct pool *p = v->layer.env->pool;

    v->answer = pool_alloc(p, sizeof(*v->answer));
    if (v->answer == NULL)
        return ST_E_NOMEM;
    vmess_kdf_answer(kdf, h->key, v->answer->key);
    vmess_kdf_answer(kdf, h->iv, v->answer->iv);
    v->answer->verifier = h->verifier;
    v->says_end = h->options & VMESS_CHUNKS;
    if (h->security == VMESS_NONE && !(h->options & VMESS_CHUNKS)) {
        v->mode = RAW;
        return ST_OK;
    }
    v->body = pool_alloc(p, sizeof(*v->body));
    if (v->body == NULL)
        return ST_E_NOMEM;
    vmess_chunks_init(&v->body->up, kdf, h, h->key, h->iv);
    vmess_chunks_init(&v->body->down, kdf, h, v->answer->key, v->answer->iv);
    v->mode = h->command == VMESS_UDP ? PACKETS : STREAM;
    v->addressed = v->mode == PACKETS && packetaddr_is(&h->target);
    return ST_OK;
}

static const enum network NETWORKS[] = {
    [VMESS_TCP] = NETWORK_TCP, [VMESS_UDP] = NETWORK_UDP, [VMESS_MUX] = NETWORK_MUX};

/* The header is open: what it asks for is judged and begun. */
static enum status take_header(struct vmess *v, struct turn *t, const uint8_t *plain, size_t len)
{
    const struct env *env = v->layer.env;
    struct user_rt *user = vmess_lookup_user(&v->opening->lookup);
    struct vmess_header h;
    enum status st = vmess_header_parse(plain, len, &h, &t->ev->why);

    if (st != ST_OK)
        goto out;
    st = vmess_session_add(env->shared, user->uuid, &h, t->now_us);
    if (st == ST_E_REFUSED)
        st = turn_fail(t, st, "vmess: replayed session", 0);
    else if (st == ST_OK)
        st = begin(v, &h);
    if (st == ST_E_NOMEM)
        st = no_memory(t);
    if (st != ST_OK)
        goto out;
    vmess_lookup_proved(&v->opening->lookup, env->shared);
    t->ev->request = (struct request){.network = NETWORKS[h.command],
                                      .target = h.target,
                                      .addressed = v->addressed,
                                      .user = user};
    t->ev->mask |= EV_REQUEST | EV_READY;
out:
    crypto_wipe(&h, sizeof(h));
    return st;
}

/* Errors that show that the bytes are not the user's are drained, others not. */
static enum status unopened(struct vmess *v, struct turn *t, enum status st)
{
    if (st == ST_E_AUTH) {
        (void)turn_fail(t, st, "vmess: header fails authentication", 0);
        return drain(v, t);
    }
    return turn_fail(t, st, st == ST_E_LIMIT ? "vmess: header too long" : "cannot open a header",
                     0);
}

static enum status rx_header(struct vmess *v, struct turn *t)
{
    const struct env *env = v->layer.env;
    struct opening *o = v->opening;
    const uint8_t *key = o->lookup.key;
    uint8_t copy[VMESS_REQUEST_MAX];
    size_t have = bufq_peek(t->wire_in, copy, sizeof(copy)), whole;
    enum status st = ST_OK;

    if (have < VMESS_FIXED_LEN)
        return incomplete(t);
    if (o->header_len == 0)
        st = vmess_header_length(&v->conf->kdf, env->crypto, key, copy, &o->header_len);
    if (st != ST_OK)
        return unopened(v, t, st);
    whole = VMESS_FIXED_LEN + o->header_len + AEAD_TAG_LEN;
    if (have < whole)
        return incomplete(t);
    st = vmess_header_open(&v->conf->kdf, env->crypto, key, copy, o->header_len);
    if (st == ST_OK)
        st = take_header(v, t, copy + VMESS_FIXED_LEN, o->header_len);
    else
        st = unopened(v, t, st);
    crypto_wipe(copy, sizeof(copy));
    if (st != ST_OK || v->mode == DRAIN)
        return st;
    end_opening(v);
    bufq_drop(t->wire_in, whole, env->pool);
    return ST_OK;
}

/* ---- up -------------------------------------------------------------------------------------- */

static enum status chunk_failed(struct turn *t, enum status st)
{
    static const char *const texts[] = {
        [-ST_E_PROTO] = "vmess: a chunk of impossible size",
        [-ST_E_AUTH] = "vmess: a chunk fails authentication",
        [-ST_E_NOMEM] = "no memory for VMess",
        [-ST_E_CLOSED] = "vmess: the client left within a chunk",
    };
    const char *text = -(int)st < (int)(sizeof(texts) / sizeof(texts[0])) ? texts[-(int)st] : NULL;

    return turn_fail(t, st, text != NULL ? text : "the crypto library failed", 0);
}

/* As vmess_chunks_open, for datagrams with addresses; those without are dropped. */
static enum status open_addressed(struct vmess *v, struct turn *t)
{
    const struct env *env = v->layer.env;
    struct bufq opened;
    struct span *s;

    bufq_init(&opened, bufq_room(t->up));
    enum status st =
        vmess_chunks_open(&v->body->up, env->crypto, env->pool, t->wire_in, &opened, true);
    while ((s = bufq_pop(&opened)) != NULL) {
        if (packetaddr_open(s))
            bufq_push(t->up, s);
        else
            span_free(env->pool, s);
    }
    return st;
}

static enum status rx_chunks(struct vmess *v, struct turn *t)
{
    const struct env *env = v->layer.env;
    enum status st = v->addressed ? open_addressed(v, t)
                                  : vmess_chunks_open(&v->body->up, env->crypto, env->pool,
                                                      t->wire_in, t->up, v->mode == PACKETS);

    if (v->body->up.ended)
        t->up->eof = true;
    return st < 0 ? chunk_failed(t, st) : st;
}

static enum status server_rx(struct layer *l, struct turn *t)
{
    struct vmess *v = self(l);
    enum status st = ST_OK;

    /* Others may have been let in since the user was found: is he still the one? */
    if (v->mode == AUTH_ID || v->mode == HEADER)
        st = rx_auth_id(v, t);
    if (st == ST_OK && v->mode == HEADER)
        st = rx_header(v, t);
    if (st != ST_OK)
        return st;
    switch ((enum mode)v->mode) {
    case STREAM:
    case PACKETS:
        return rx_chunks(v, t);
    case RAW:
        t->ev->mask |= EV_LEAVE_RX;
        break;
    case DRAIN:
        return rx_drain(v, t);
    case AUTH_ID:
    case HEADER:
        break;
    }
    return ST_OK;
}

/* ---- down ------------------------------------------------------------------------------------ */

/* The answer, which shares its write with the first payload, as with Xray-core. */
static enum status make_answer(struct vmess *v, uint8_t out[VMESS_ANSWER_LEN])
{
    const struct answer *a = v->answer;
    return vmess_answer_seal(&v->conf->kdf, v->layer.env->crypto, a->key, a->iv, a->verifier, out);
}

static enum status tx_raw(struct vmess *v, struct turn *t)
{
    struct pool *p = v->layer.env->pool;
    uint8_t answer[VMESS_ANSWER_LEN];

    while (t->down->head != NULL && t->down->head->len == 0)
        span_free(p, bufq_pop(t->down));
    if (t->down->head == NULL)
        return ST_OK;
    if (bufq_room(t->wire_out) == 0)
        return ST_FULL;
    enum status st = make_answer(v, answer);
    if (st != ST_OK)
        return chunk_failed(t, st);
    struct span *s = bufq_pop(t->down);
    struct span *out = frame_prepend(p, s, answer, sizeof(answer), t->down);
    if (out == NULL) {
        bufq_unshift(t->down, s);
        return no_memory(t);
    }
    bufq_push(t->wire_out, out);
    end_answer(v);
    t->ev->mask |= EV_LEAVE_TX;
    return ST_OK;
}

/* As vmess_chunks_seal, for datagrams with addresses: one at a time, so that none is given its
 * address twice. */
static enum status seal_addressed(struct vmess *v, struct turn *t, struct vmess_prefix *prefix)
{
    const struct env *env = v->layer.env;
    enum status st = ST_OK;

    while (t->down->head != NULL && st == ST_OK) {
        struct bufq one;
        if (bufq_room(t->wire_out) == 0)
            return ST_FULL;
        struct span *s = bufq_pop(t->down), *sealed = NULL;
        if (s->peer.family != ADDR_IP4 && s->peer.family != ADDR_IP6) {
            span_free(env->pool, s);
            continue;
        }
        if (s->len <= VMESS_DATAGRAM_WIRE_MAX)
            sealed = packetaddr_seal(env->pool, s);
        if (sealed == NULL)
            span_free(env->pool, s); /* dropped, as datagrams are */
        bufq_init(&one, UINT32_MAX);
        if (sealed != NULL)
            bufq_push(&one, sealed);
        st = vmess_chunks_seal(&v->body->down, env->crypto, env->rng, env->pool, &one, t->wire_out,
                               true, prefix);
        bufq_clear(&one, env->pool);
    }
    return st;
}

static enum status tx_chunks(struct vmess *v, struct turn *t)
{
    const struct env *env = v->layer.env;
    uint8_t answer[VMESS_ANSWER_LEN];
    struct vmess_prefix prefix = {answer, 0};
    enum status st = ST_OK;

    if (t->down->head == NULL)
        return ST_OK;
    if (v->answer != NULL) {
        st = make_answer(v, answer);
        prefix.len = VMESS_ANSWER_LEN;
    }
    if (st == ST_OK && v->addressed)
        st = seal_addressed(v, t, &prefix);
    else if (st == ST_OK)
        st = vmess_chunks_seal(&v->body->down, env->crypto, env->rng, env->pool, t->down,
                               t->wire_out, v->mode == PACKETS, &prefix);
    if (prefix.len == 0)
        end_answer(v);
    return st < 0 ? chunk_failed(t, st) : st;
}

static enum status server_tx(struct layer *l, struct turn *t)
{
    struct vmess *v = self(l);

    if (v->mode == STREAM || v->mode == PACKETS)
        return tx_chunks(v, t);
    return v->mode == RAW ? tx_raw(v, t) : ST_OK;
}

/* A client whose target sent nothing gets the answer alone; others are told the end if they asked
 * for it. */
static enum status server_shut(struct layer *l, struct turn *t)
{
    struct vmess *v = self(l);
    const struct env *env = l->env;
    uint8_t answer[VMESS_ANSWER_LEN];
    enum status st = ST_OK;

    t->wire_out->eof = true;
    if (v->answer != NULL) {
        st = make_answer(v, answer);
        if (st == ST_OK)
            st = bufq_put(t->wire_out, answer, sizeof(answer), env->pool);
        end_answer(v);
    } else if (v->body != NULL && v->says_end) {
        st = vmess_chunks_end(&v->body->down, env->crypto, env->rng, env->pool, t->wire_out);
    }
    return st < 0 ? chunk_failed(t, st) : st;
}

const struct layer_ops vmess_server_ops = {
    .name = "vmess",
    .size = sizeof(struct vmess),
    .wire = PORT_BYTES,
    .plain = PORT_BYTES, /* datagrams once a request of NETWORK_UDP was reported */
    .flags = LAYER_MAY_LEAVE,
    .init = server_init,
    .rx = server_rx,
    .tx = server_tx,
    .shut = server_shut,
    .fini = server_fini,
};

_Static_assert(sizeof(struct vmess) <= 96, "an idle connection keeps this");
