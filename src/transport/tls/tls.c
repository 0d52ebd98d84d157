#include "transport/tls/tls.h"

#include <string.h>

#include "crypto/mem.h"
#include "tls/accept.h"
#include "tls/alert.h"
#include "tls/hello.h"
#include "tls/ossl.h"
#include "tls/record_pair.h"
#include "transport/tls/tls_conf.h"

/* With all handshake objects of the worker in use the oldest is given up, if it had this long. */
#define HEAVY_PATIENCE_US 3000000u

/*  WAIT --ordinary ClientHello--> ACCEPT --Finished--> RECORDS (TLS 1.3, ours)
 *     \---any other ClientHello--> HANDSHAKE --Finished--^
 *                                          \------------> LIBRARY (TLS 1.2)
 *  Any of them goes to DEAD by an error: nothing may follow the alert that was sent. HANDSHAKE goes
 *  to DROPPED when a newer connection needs the object. */
enum state { WAIT, ACCEPT, HANDSHAKE, RECORDS, LIBRARY, DROPPED, DEAD };

struct tls_server {
    struct layer base;
    const struct tls_conf *conf;
    union {
        struct accept *accept; /* ACCEPT */
        struct ossl *ossl;     /* HANDSHAKE, LIBRARY; NULL in WAIT, RECORDS */
    };
    struct record_pair records; /* RECORDS; in ACCEPT they are known already */
    uint8_t state;
};

/* What an ossl lies in. */
struct session_object {
    struct ossl ossl;
    struct tls_server *owner;
    struct list node; /* in env->heavy during the handshake, else unlinked */
    uint64_t since_us;
};

static struct tls_server *self(struct layer *l)
{
    return (struct tls_server *)(void *)l;
}

static enum status server_init(struct layer *l, const void *conf)
{
    self(l)->conf = conf;
    return ST_OK;
}

static struct session_object *object_of(const struct tls_server *s)
{
    return LIST_ENTRY(s->ossl, struct session_object, ossl);
}

/* The handshake is over, one way or the other. */
static void light(struct session_object *o)
{
    if (!list_linked(&o->node))
        return;
    list_del(&o->node);
    o->owner->base.env->heavy->count--;
}

static void drop_ossl(struct tls_server *s)
{
    if (s->ossl == NULL)
        return;
    struct session_object *o = object_of(s);
    light(o);
    ossl_fini(s->ossl);
    pool_release(s->base.env->pool, o, sizeof(*o));
    s->ossl = NULL;
}

static void drop_accept(struct tls_server *s)
{
    accept_wipe(s->accept);
    pool_release(s->base.env->pool, s->accept, sizeof(*s->accept));
    s->accept = NULL;
}

static void server_fini(struct layer *l)
{
    struct tls_server *s = self(l);

    if (s->state == ACCEPT)
        drop_accept(s);
    else
        drop_ossl(s);
    record_pair_wipe(&s->records);
}

/* ---- what the client asked for --------------------------------------------------------------- */

static enum status set_sni(const struct env *env, const char *sni, size_t len)
{
    char low[256];

    if (len >= sizeof(low))
        return ST_OK;
    for (size_t i = 0; i < len; i++)
        low[i] = (char)(sni[i] >= 'A' && sni[i] <= 'Z' ? sni[i] + 32 : sni[i]);
    return conn_info_set(env->pool, &env->info->sni, low, len);
}

/* ---- our handshake --------------------------------------------------------------------------- */

static struct accept_env accept_env(const struct env *env)
{
    return (struct accept_env){.cc = env->crypto, .rng = env->rng, .pool = env->pool};
}

static enum status publish_hello(struct tls_server *s, const struct hello *h,
                                 const struct accept_choice *choice)
{
    const struct env *env = s->base.env;
    size_t len = reader_left(&h->sni);
    enum status st = ST_OK;

    env->info->tls13 = true;
    if (len > 0)
        st = set_sni(env, (const char *)h->sni.p, len);
    if (st == ST_OK && choice->alpn != NULL)
        st = conn_info_set(env->pool, &env->info->alpn, (const char *)choice->alpn + 1,
                           choice->alpn[0]);
    return st;
}

/* Answers the hello @msg. ST_E_UNSUPPORTED: it is left for the library. */
static enum status answer_hello(struct tls_server *s, struct turn *t, const uint8_t *msg,
                                size_t len)
{
    struct accept_env env = accept_env(s->base.env);
    struct accept_choice choice;
    struct hello h;

    s->accept = pool_alloc(env.pool, sizeof(*s->accept));
    if (s->accept == NULL)
        return ST_E_NOMEM;
    enum status st = accept_hello(s->accept, &s->conf->accept, &env, msg, len, &choice, &h,
                                  &s->records.rx, &s->records.tx, t->wire_out);
    if (st == ST_OK)
        st = publish_hello(s, &h, &choice);
    if (st != ST_OK)
        drop_accept(s);
    return st;
}

static enum status start_accept(struct tls_server *s, struct turn *t, size_t wire, size_t len)
{
    struct pool *p = s->base.env->pool;

    /* The message must end with its record (RFC 8446 section 5.1): what does not is the library's
     * to refuse. */
    if (!s->conf->ours || !hello_ends_record(t->wire_in, wire, len))
        return ST_E_UNSUPPORTED;
    uint8_t *msg = pool_alloc(p, len);
    if (msg == NULL)
        return turn_fail(t, ST_E_NOMEM, "no memory for a TLS handshake", 0);
    hello_copy(t->wire_in, msg, len);
    enum status st = answer_hello(s, t, msg, len);
    pool_release(p, msg, len);
    if (st == ST_OK) {
        bufq_drop(t->wire_in, wire, p);
        s->state = ACCEPT;
    } else if (st != ST_E_UNSUPPORTED) {
        (void)turn_fail(t, st, "cannot answer a TLS hello", 0);
    }
    return st;
}

static enum status hear_finished(struct tls_server *s, struct turn *t)
{
    struct accept_env env = accept_env(s->base.env);
    struct record_note note = {0};
    enum status st = accept_finish(s->accept, &env, t->wire_in, &note);

    if (st == ST_MORE && !t->wire_in->eof)
        return st;
    drop_accept(s);
    if (st == ST_MORE)
        return turn_fail(t, ST_E_CLOSED, "the client left during the TLS handshake", 0);
    if (st != ST_OK)
        return record_pair_fail(&s->records, s->base.env, t, st, &note);
    s->state = RECORDS;
    t->ev->mask |= EV_READY;
    return ST_OK;
}

/* ---- the library's handshake ----------------------------------------------------------------- */

/* Makes room for one more handshake object. False: all are young. */
static bool make_room(struct heavy *h, uint64_t now_us)
{
    if (h == NULL || h->count < h->max)
        return true;
    struct session_object *oldest = LIST_ENTRY(h->held.next, struct session_object, node);
    struct tls_server *owner = oldest->owner;
    if (now_us - oldest->since_us < HEAVY_PATIENCE_US)
        return false;
    owner->state = DROPPED; /* told when it is heard of again, at the latest by its deadline */
    drop_ossl(owner);
    return true;
}

static enum status start_handshake(struct tls_server *s, struct turn *t)
{
    const struct env *env = s->base.env;

    if (!make_room(env->heavy, t->now_us))
        return turn_fail(t, ST_E_LIMIT, "too many TLS handshakes at once", 0);
    struct session_object *o = pool_alloc(env->pool, sizeof(*o));
    if (o == NULL)
        return turn_fail(t, ST_E_NOMEM, "no memory for a TLS handshake", 0);
    o->owner = s;
    o->since_us = t->now_us;
    list_init(&o->node);
    if (env->heavy != NULL) {
        list_add_tail(&env->heavy->held, &o->node);
        env->heavy->count++;
    }
    s->ossl = &o->ossl;
    s->state = HANDSHAKE;
    enum status st = ossl_init(s->ossl, &s->conf->ossl);
    return st == ST_OK ? ST_OK : turn_fail(t, st, "no memory for a TLS handshake", 0);
}

static enum status wait_hello(struct tls_server *s, struct turn *t)
{
    size_t wire, msg;
    enum status st = hello_locate(t->wire_in, TLS_HELLO_MAX, &wire, &msg);

    if (st == ST_MORE) {
        if (t->wire_in->eof)
            return turn_fail(t, ST_E_CLOSED, "the client left before its TLS hello", 0);
        if (t->wire_in->bytes > TLS_HELLO_WIRE_MAX)
            return turn_fail(t, ST_E_LIMIT, "TLS hello too long", 0);
        return st;
    }
    if (st == ST_E_LIMIT)
        return turn_fail(t, st, "TLS hello too long", 0);
    /* Like Go's server we say nothing to a peer who does not speak TLS. */
    if (st != ST_OK)
        return turn_fail(t, st, "not a TLS hello", 0);
    st = start_accept(s, t, wire, msg);
    return st == ST_E_UNSUPPORTED ? start_handshake(s, t) : st;
}

/* Tells the layers above what the client asked for. */
static enum status publish(struct tls_server *s)
{
    const struct env *env = s->base.env;
    const char *sni = ossl_sni(s->ossl);
    unsigned alpn_len;
    const uint8_t *alpn = ossl_alpn(s->ossl, &alpn_len);
    enum status st = ST_OK;

    env->info->tls13 = ossl_is_tls13(s->ossl);
    if (sni != NULL)
        st = set_sni(env, sni, strlen(sni));
    if (st == ST_OK && alpn_len > 0)
        st = conn_info_set(env->pool, &env->info->alpn, (const char *)alpn, alpn_len);
    return st;
}

static enum status handshake(struct tls_server *s, struct turn *t)
{
    const struct env *env = s->base.env;
    enum status st = ossl_handshake(s->ossl, env->pool, t->wire_in, t->wire_out, &t->ev->why);

    if (st == ST_MORE)
        return st;
    light(object_of(s));
    if (st == ST_OK) {
        st = publish(s);
        if (st == ST_OK && ossl_is_tls13(s->ossl)) {
            st = ossl_take_keys(s->ossl, env->crypto, &s->records.rx, &s->records.tx);
            s->state = RECORDS;
        } else {
            s->state = LIBRARY;
        }
        if (st != ST_OK)
            (void)turn_fail(t, st, "cannot finish the TLS handshake", 0);
    }
    if (st != ST_OK || s->state == RECORDS)
        drop_ossl(s);
    if (st == ST_OK)
        t->ev->mask |= EV_READY;
    return st;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static enum status run_rx(struct tls_server *s, struct turn *t)
{
    enum status st = ST_OK;

    if (s->state == DROPPED)
        return turn_fail(t, ST_E_LIMIT, "TLS handshake given up for a newer one", 0);
    if (s->state == WAIT)
        st = wait_hello(s, t);
    if (st == ST_OK && s->state == ACCEPT)
        st = hear_finished(s, t);
    if (st == ST_OK && s->state == HANDSHAKE)
        st = handshake(s, t);
    if (st == ST_OK && s->state == RECORDS)
        st = record_pair_rx(&s->records, s->base.env, t, t->one_unit ? 1 : 0);
    if (st == ST_OK && s->state == LIBRARY)
        st = ossl_read(s->ossl, s->base.env->pool, t->wire_in, t->up, t->wire_out, &t->ev->why);
    return st;
}

static enum status server_rx(struct layer *l, struct turn *t)
{
    struct tls_server *s = self(l);
    enum status st = run_rx(s, t);

    if (st < 0)
        s->state = DEAD;
    return st;
}

static enum status server_tx(struct layer *l, struct turn *t)
{
    struct tls_server *s = self(l);
    const struct env *env = l->env;

    if (s->state == LIBRARY)
        return ossl_write(s->ossl, env->pool, t->down, t->wire_out, &t->ev->why);
    if (s->state == RECORDS)
        return record_pair_tx(&s->records, env, t);
    return bufq_empty(t->down) || s->state == DEAD ? ST_OK : ST_MORE;
}

static enum status server_shut(struct layer *l, struct turn *t)
{
    struct tls_server *s = self(l);
    const struct env *env = l->env;
    enum status st = ST_OK;

    if (s->state == RECORDS)
        return record_pair_shut(&s->records, env, t);
    if (s->state == LIBRARY)
        st = ossl_close(s->ossl, env->pool, t->wire_out, &t->ev->why);
    t->wire_out->eof = true;
    return st < 0 ? turn_fail(t, st, "cannot seal a TLS record", 0) : st;
}

/* TLS 1.2 stays: its records are the library's. Vision does not ask it to go. */
static bool server_leave(struct layer *l, enum chain_dir dir)
{
    return self(l)->state == RECORDS && record_pair_leave(&self(l)->records, dir);
}

bool tls_server_handshaking(const struct layer *l)
{
    return ((const struct tls_server *)(const void *)l)->state == HANDSHAKE;
}

const struct layer_ops tls_server_ops = {
    .name = "tls",
    .size = sizeof(struct tls_server),
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

const struct transport transport_tls = {
    .name = "tls",
    .aliases = aliases,
    .role = TRANSPORT_SECURITY,
    .parse_conf = tls_conf_parse,
    .free_conf = tls_conf_free,
    .server = &tls_server_ops,
};
