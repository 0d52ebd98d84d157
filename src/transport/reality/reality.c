#include "transport/reality/reality.h"

#include <string.h>

#include "crypto/mem.h"
#include "crypto/rng.h"
#include "stream/aux.h"
#include "tls/flight.h"
#include "tls/record_pair.h"
#include "tls/server_hello.h"
#include "transport/reality/reality_auth.h"
#include "transport/reality/target_watch.h"

/*  HELLO --authenticated--> TARGET --its flight is whole--> CLIENT --Finished--> RECORDS
 *    |                        |                               |
 *    +------------------------+-------------------------------+--> EV_ADOPT: the session drops
 *                                                                  this layer
 *  RECORDS goes to DEAD by an error: nothing may follow the alert that was sent. */
enum state { HELLO, TARGET, CLIENT, RECORDS, DEAD };

/* What only the handshake needs. */
struct handshake {
    uint32_t forwarded; /* bytes at the head of wire_in that the target has got too */
    uint32_t wire;      /* bytes of wire_in that carry the hello */
    uint32_t imitated;  /* bytes of the target's flight that are still in aux->in, or to come */
    uint32_t msg_len;
    uint8_t *msg; /* the hello; pool_alloc'ed, from TARGET on */
    struct hello hello;
    uint8_t auth_key[FLIGHT_AUTH_KEY_LEN];
    struct target_watch watch;
    struct flight flight;
    uint16_t suite;
    bool asked;
};

struct reality_server {
    struct layer base;
    const struct reality_conf *conf;
    struct handshake *hs; /* until RECORDS */
    uint8_t state;
    struct record_pair records;
};

static struct reality_server *self(struct layer *l)
{
    return (struct reality_server *)(void *)l;
}

static void end_handshake(struct reality_server *s)
{
    struct pool *p = s->base.env->pool;

    if (s->hs == NULL)
        return;
    if (s->hs->msg != NULL)
        pool_release(p, s->hs->msg, s->hs->msg_len);
    crypto_wipe(s->hs, sizeof(*s->hs));
    pool_release(p, s->hs, sizeof(*s->hs));
    s->hs = NULL;
}

static enum status server_init(struct layer *l, const void *conf)
{
    struct reality_server *s = self(l);

    BUG_ON(l->env->aux == NULL);
    s->conf = conf;
    s->hs = pool_alloc(l->env->pool, sizeof(*s->hs));
    return s->hs != NULL ? ST_OK : ST_E_NOMEM;
}

static void server_fini(struct layer *l)
{
    end_handshake(self(l));
    record_pair_wipe(&self(l)->records);
}

/* ---- with the target ------------------------------------------------------------------------- */

/* Hands the connection over: what the target has got already is not sent to it again. */
static enum status adopt(struct reality_server *s, struct turn *t)
{
    bufq_drop(t->wire_in, s->hs->forwarded, s->base.env->pool);
    s->hs->forwarded = 0;
    s->state = DEAD;
    t->ev->mask |= EV_ADOPT | EV_DIVERT;
    return ST_OK;
}

/* Copies what the client said since the last call. A copy, because the record layer opens in place
 * what follows the hello. */
static enum status forward(struct reality_server *s, struct turn *t)
{
    struct aux *aux = s->base.env->aux;
    uint8_t piece[2048];

    while (s->hs->forwarded < t->wire_in->bytes && bufq_room(&aux->out) > 0) {
        size_t n = t->wire_in->bytes - s->hs->forwarded;
        if (n > sizeof(piece))
            n = sizeof(piece);
        (void)bufq_peek_at(t->wire_in, s->hs->forwarded, piece, n);
        if (bufq_put(&aux->out, piece, n, s->base.env->pool) != ST_OK)
            return turn_fail(t, ST_E_NOMEM, "no memory for a REALITY handshake", 0);
        s->hs->forwarded += (uint32_t)n;
    }
    return ST_OK;
}

static enum status target_gone(struct turn *t)
{
    return turn_fail(t, ST_E_CLOSED, "cannot reach the REALITY target", 0);
}

/* True if the target said or did anything. */
static bool target_moved(const struct aux *aux)
{
    return aux->in.bytes > 0 || aux->in.eof || aux->failed;
}

/* ---- HELLO ----------------------------------------------------------------------------------- */

static enum status authenticate(struct reality_server *s, struct turn *t, size_t wire, size_t len)
{
    const struct env *env = s->base.env;
    struct handshake *hs = s->hs;

    hs->msg = pool_alloc(env->pool, len);
    if (hs->msg == NULL)
        return turn_fail(t, ST_E_NOMEM, "no memory for a REALITY handshake", 0);
    hs->msg_len = (uint32_t)len;
    hs->wire = (uint32_t)wire;
    hello_copy(t->wire_in, hs->msg, len);
    if (hello_parse(hs->msg, len, &hs->hello) != ST_OK)
        return adopt(s, t);
    enum status st = reality_authenticate(s->conf, env->crypto, hs->msg, len, &hs->hello, t->unix_s,
                                          hs->auth_key);
    if (st == ST_E_AUTH)
        return adopt(s, t);
    if (st != ST_OK)
        return turn_fail(t, st, "cannot judge a REALITY hello", 0);
    s->state = TARGET;
    return ST_OK;
}

static enum status hear_hello(struct reality_server *s, struct turn *t)
{
    size_t wire, len;
    enum status st = forward(s, t);

    if (st != ST_OK)
        return st;
    /* A target that has something to say before the hello is whole says it to the client. Who takes
     * so long to say hello is left to the target's patience. */
    if (target_moved(s->base.env->aux) || s->base.env->aux->late)
        return adopt(s, t);
    st = hello_locate(t->wire_in, REALITY_HELLO_MAX, &wire, &len);
    if (st == ST_MORE && !t->wire_in->eof && t->wire_in->bytes < REALITY_HELLO_WIRE_MAX)
        return ST_MORE;
    if (st != ST_OK || wire > REALITY_HELLO_WIRE_MAX)
        return adopt(s, t);
    /* The target has to get the whole of it before we stop to forward. */
    return s->hs->forwarded >= wire ? authenticate(s, t, wire, len) : ST_FULL;
}

/* ---- TARGET ---------------------------------------------------------------------------------- */

static enum status send_flight(struct reality_server *s, struct turn *t)
{
    const struct env *env = s->base.env;
    struct handshake *hs = s->hs;
    uint8_t server_hello[SERVER_HELLO_MAX], secrets[64];
    struct flight_input in = {
        .client_hello = hs->msg,
        .client_hello_len = hs->msg_len,
        .client = &hs->hello,
        .server_hello = server_hello,
        .server_hello_len = hs->watch.shape.len[FLIGHT_SERVER_HELLO] - RECORD_HEADER,
        .shape = &hs->watch.shape,
        .auth_key = hs->auth_key,
        .identity = &s->conf->identity,
        .x25519 = secrets,
        .mlkem = secrets + 32,
    };
    struct server_hello sh;

    (void)bufq_peek_at(&env->aux->in, RECORD_HEADER, server_hello, in.server_hello_len);
    if (server_hello_parse(server_hello, in.server_hello_len, &sh) == ST_OK)
        hs->suite = sh.suite;
    rng_bytes(env->rng, secrets, sizeof(secrets));
    enum status st = flight_build(&hs->flight, &in, env->crypto, env->pool, t->wire_out);
    crypto_wipe(secrets, sizeof(secrets));
    return st;
}

static enum status follow_target(struct reality_server *s, struct turn *t)
{
    const struct env *env = s->base.env;
    struct aux *aux = env->aux;

    /* A user says nothing more before we have answered. */
    if (t->wire_in->eof || t->wire_in->bytes > s->hs->wire)
        return adopt(s, t);
    enum status st = target_watch_run(&s->hs->watch, &aux->in);
    if (st == ST_MORE && !aux->in.eof && !aux->failed && bufq_room(&aux->in) > 0)
        return ST_MORE;
    if (st != ST_OK)
        return adopt(s, t);
    st = send_flight(s, t);
    if (st == ST_E_NOMEM || st == ST_E_CRYPTO)
        return turn_fail(t, st, "cannot build a REALITY handshake", 0);
    if (st != ST_OK)
        return adopt(s, t);
    bufq_drop(t->wire_in, s->hs->wire, env->pool);
    s->hs->forwarded = 0;
    for (unsigned i = 0; i < FLIGHT_PARTS; i++)
        s->hs->imitated += s->hs->watch.shape.len[i];
    s->state = CLIENT;
    return ST_OK;
}

/* ---- CLIENT ---------------------------------------------------------------------------------- */

/* Class of the client's first protocol: struct reality_tail. */
static uint8_t alpn_class(const struct hello *h)
{
    struct reader list = h->alpn;
    struct reader first = reader_sub(&list, reader_u8(&list));

    if (first.bad || reader_left(&first) == 0)
        return 0;
    return reader_left(&first) == 2 && memcmp(first.p, "h2", 2) == 0 ? 2 : 1;
}

/* What the target would have sent now. */
static enum status send_tail(struct reality_server *s, struct turn *t)
{
    const struct env *env = s->base.env;
    const struct reality_tail *tail = reality_tails_find(s->conf->tails, s->hs->hello.sni,
                                                         alpn_class(&s->hs->hello), s->hs->suite);
    enum status st = ST_OK;

    for (unsigned i = 0; tail != NULL && i < tail->count && st == ST_OK; i++) {
        if (tail->len[i] >= RECORD_OVERHEAD && tail->len[i] <= FLIGHT_RECORD_MAX)
            st = flight_seal_empty(&s->records.tx, env->crypto, env->pool, tail->len[i],
                                   t->wire_out);
    }
    return st;
}

static enum status publish(struct reality_server *s)
{
    const struct env *env = s->base.env;
    struct reader sni = s->hs->hello.sni;
    size_t len = reader_left(&sni);
    char low[256];

    env->info->tls13 = true;
    if (len == 0 || len > sizeof(low))
        return ST_OK;
    for (size_t i = 0; i < len; i++)
        low[i] = (char)(sni.p[i] >= 'A' && sni.p[i] <= 'Z' ? sni.p[i] + 32 : sni.p[i]);
    return conn_info_set(env->pool, &env->info->sni, low, len);
}

static enum status finish(struct reality_server *s, struct turn *t)
{
    s->records.rx = s->hs->flight.rx;
    enum status st = send_tail(s, t);
    if (st == ST_OK)
        st = publish(s);
    if (st != ST_OK)
        return turn_fail(t, st, "cannot finish a REALITY handshake", 0);
    end_handshake(s);
    s->state = RECORDS;
    t->ev->mask |= EV_READY | EV_AUX_DONE;
    return ST_OK;
}

/* The target's flight has been answered by ours; what it says after it may still be wanted. */
static void drop_flight(struct handshake *hs, const struct env *env)
{
    size_t n = env->aux->in.bytes < hs->imitated ? env->aux->in.bytes : hs->imitated;

    bufq_drop(&env->aux->in, n, env->pool);
    hs->imitated -= (uint32_t)n;
}

/* What does not open with the client's key was not said by a user: somebody has repeated his hello.
 * For the target it is as wrong as for us, but only the target knows how it answers that, and how
 * it ends. */
static enum status hear_finished(struct reality_server *s, struct turn *t)
{
    const struct env *env = s->base.env;
    struct handshake *hs = s->hs;
    struct record_note note = {0};
    bool over = env->aux->in.eof || env->aux->failed;

    drop_flight(hs, env);
    s->records.tx = hs->flight.tx;
    enum status st = flight_finish(&hs->flight, env->crypto, env->pool, t->wire_in, &note);
    if (st == ST_OK)
        return finish(s, t);
    if (st == ST_MORE && !t->wire_in->eof && !over)
        return ST_MORE;
    if (st == ST_E_NOMEM || st == ST_E_CRYPTO || (st < 0 && hs->flight.opened))
        return record_pair_fail(&s->records, env, t, st, &note);
    if (hs->imitated > 0 && over)
        return turn_fail(t, ST_E_CLOSED, "the REALITY target closed during the handshake", 0);
    /* Not ST_MORE: of a client who has ended, what waits for the target would be dropped. */
    return hs->imitated > 0 ? ST_FULL : adopt(s, t);
}

/* ---- the layer ------------------------------------------------------------------------------- */

/* Goes on with the handshake as far as client and target allow. */
static enum status step(struct reality_server *s, struct turn *t)
{
    struct aux *aux = s->base.env->aux;
    enum status st = ST_OK;

    if (!s->hs->asked) {
        s->hs->asked = true;
        t->ev->mask |= EV_ASK;
        t->ev->ask = &s->conf->dest;
    }
    if (aux->failed && !aux->open)
        return target_gone(t);
    if (s->state == HELLO)
        st = hear_hello(s, t);
    if (st == ST_OK && s->state == TARGET)
        st = follow_target(s, t);
    if (st == ST_OK && s->state == CLIENT)
        st = hear_finished(s, t);
    return st;
}

static enum status run(struct reality_server *s, struct turn *t)
{
    enum status st = s->state < RECORDS ? step(s, t) : ST_OK;

    if (st < 0)
        s->state = DEAD;
    return st;
}

static enum status server_rx(struct layer *l, struct turn *t)
{
    struct reality_server *s = self(l);
    enum status st = run(s, t);

    if (st == ST_OK && s->state == RECORDS) {
        st = record_pair_rx(&s->records, l->env, t, t->one_unit ? 1 : 0);
        if (st < 0)
            s->state = DEAD;
    }
    return st;
}

static enum status server_tx(struct layer *l, struct turn *t)
{
    struct reality_server *s = self(l);
    /* Also called when only the target has moved. */
    enum status st = run(s, t);

    if (st < 0 || (t->ev->mask & EV_DIVERT))
        return st;
    if (s->state == RECORDS)
        return record_pair_tx(&s->records, l->env, t);
    return bufq_empty(t->down) ? ST_OK : ST_MORE;
}

static enum status server_shut(struct layer *l, struct turn *t)
{
    struct reality_server *s = self(l);

    if (s->state == RECORDS)
        return record_pair_shut(&s->records, l->env, t);
    t->wire_out->eof = true;
    return ST_OK;
}

/* Vision goes to the bottom: nothing of ours is owed in either direction then. */
static bool server_leave(struct layer *l, enum chain_dir dir)
{
    struct reality_server *s = self(l);

    return s->state == RECORDS && record_pair_leave(&s->records, dir);
}

const struct layer_ops reality_server_ops = {
    .name = "reality",
    .size = sizeof(struct reality_server),
    .wire = PORT_BYTES,
    .plain = PORT_BYTES,
    .flags = LAYER_MAY_DIVERT | LAYER_ASKS,
    .init = server_init,
    .rx = server_rx,
    .tx = server_tx,
    .shut = server_shut,
    .leave = server_leave,
    .fini = server_fini,
};

static const char *const aliases[] = {NULL};

const struct transport transport_reality = {
    .name = "reality",
    .aliases = aliases,
    .role = TRANSPORT_SECURITY,
    .parse_conf = reality_conf_parse,
    .free_conf = reality_conf_free,
    .server = &reality_server_ops,
};
