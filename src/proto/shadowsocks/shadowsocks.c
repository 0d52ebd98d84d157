#include "proto/shadowsocks/shadowsocks.h"

#include <string.h>

#include "crypto/mem.h"
#include "policy/key_index.h"
#include "proto/shadowsocks/server.h"

static enum status server_init(struct layer *l, const void *conf)
{
    struct ss *s = (struct ss *)(void *)l;

    s->conf = conf;
    s->mode = s->conf->method->family == SS_PLAIN ? SS_MODE_ADDRESS : SS_MODE_SALT;
    s->opening = pool_alloc(l->env->pool, sizeof(*s->opening));
    if (s->opening == NULL)
        return ST_E_NOMEM;
    bufq_init(&s->opening->plain, UINT32_MAX);
    return ST_OK;
}

static void end_opening(struct ss *s)
{
    struct pool *p = s->layer.env->pool;

    if (s->opening == NULL)
        return;
    bufq_clear(&s->opening->plain, p);
    crypto_wipe(s->opening, sizeof(*s->opening));
    pool_release(p, s->opening, sizeof(*s->opening));
    s->opening = NULL;
}

struct user_rt *ss_user_now(const struct ss *s)
{
    const struct user_index *users = s->layer.env->users;
    const struct ss_opening *o = s->opening;

    if (o->user != NULL)
        return o->user;
    if (s->conf->method->family == SS_AEAD)
        return ss_index_find(users, s->conf->method, o->uid, o->key);
    return s->conf->identity ? key_index_find(users, o->name) : ss_index_single(users);
}

void ss_report(struct ss *s, struct turn *t, struct user_rt *user, const struct target *target)
{
    t->ev->request.network = NETWORK_TCP;
    t->ev->request.target = *target;
    t->ev->request.user = user;
    t->ev->mask |= EV_REQUEST | EV_READY;
    s->mode = SS_MODE_RELAY;
    if (s->conf->method->family == SS_PLAIN)
        end_opening(s);
}

static enum status server_rx(struct layer *l, struct turn *t)
{
    struct ss *s = (struct ss *)(void *)l;
    enum status st = ST_OK;

    if (s->opening != NULL)
        s->opening->user = NULL;
    if (s->mode != SS_MODE_RELAY)
        st = s->conf->method->family == SS_2022 ? ss2022_rx(s, t) : ss_aead_rx(s, t);
    if (st != ST_OK || s->conf->method->family == SS_PLAIN)
        return st;
    st = ss_chunks_open(&s->rx, l->env->crypto, l->env->pool, &s->want, t->wire_in, t->up, 0);
    switch (st) {
    case ST_E_AUTH:
        return turn_fail(t, st, "shadowsocks: a chunk was altered", 0);
    case ST_E_NOMEM:
        return turn_fail(t, st, "no memory for a chunk", 0);
    default:
        return st < 0 ? turn_fail(t, st, "shadowsocks: opening a chunk", 0) : st;
    }
}

/* An answer begins with its salt when there is something to say, not before: 2022 cannot say less
 * than a byte, and alone a salt would mark the protocol by its length. */
static enum status server_tx(struct layer *l, struct turn *t)
{
    struct ss *s = (struct ss *)(void *)l;
    struct ss2022_answer answer = {s, t->unix_s};
    bool edition = s->conf->method->family == SS_2022;
    ss_head_fn *first = s->answered ? NULL : edition ? ss2022_head : ss_aead_head;

    if (s->mode != SS_MODE_RELAY || s->conf->method->family == SS_PLAIN)
        return ST_OK;
    enum status st = ss_chunks_seal(&s->tx, l->env->crypto, l->env->pool, &first,
                                    edition ? (void *)&answer : (void *)s, t->down, t->wire_out);
    if (first == NULL && !s->answered) {
        s->answered = true;
        end_opening(s);
    }
    return st < 0 ? turn_fail(t, st, "shadowsocks: sealing a chunk", 0) : st;
}

static void server_fini(struct layer *l)
{
    struct ss *s = (struct ss *)(void *)l;

    end_opening(s);
    crypto_wipe(&s->rx, sizeof(s->rx));
    crypto_wipe(&s->tx, sizeof(s->tx));
}

const struct layer_ops ss_server_ops = {
    .name = "shadowsocks",
    .size = sizeof(struct ss),
    .wire = PORT_BYTES,
    .plain = PORT_BYTES,
    .flags = LAYER_MAY_LEAVE, /* none */
    .init = server_init,
    .rx = server_rx,
    .tx = server_tx,
    .fini = server_fini,
};

_Static_assert(sizeof(struct ss) <= 160, "an idle connection keeps this");
