/* Streams of AEAD methods, and of none. */
#include <string.h>

#include "codec/proxy_address.h"
#include "crypto/mem.h"
#include "crypto/rng.h"
#include "crypto/siphash.h"
#include "proto/shadowsocks/server.h"

/* Xray-core looks at nothing before so many bytes are there, whatever the method's salt. */
#define FIRST_READ 50u
/* What it eats before it closes on a stranger: so many, a number fixed for each server, and a small
 * random one whose bound is fixed too (common/drain). */
#define DRAIN_LEAST 54u
#define DRAIN_FIXED 3266u
#define DRAIN_ROLL  64u

static void eat(struct ss *s, struct turn *t, uint32_t n)
{
    bufq_drop(t->wire_in, n, s->layer.env->pool);
    s->opening->eaten += n;
}

/* ---- strangers ------------------------------------------------------------------------------- */

static enum status drain(struct ss *s, struct turn *t)
{
    struct ss_opening *o = s->opening;
    uint32_t n = t->wire_in->bytes < o->drain_left ? t->wire_in->bytes : o->drain_left;

    bufq_drop(t->wire_in, n, s->layer.env->pool);
    o->drain_left -= n;
    if (o->drain_left > 0)
        return ss_incomplete(t);
    return turn_fail(t, o->cause == SS_CAUSE_MALFORMED ? ST_E_PROTO : ST_E_AUTH,
                     ss_cause_text((enum ss_cause)o->cause), 0);
}

static enum status refuse(struct ss *s, struct turn *t, enum ss_cause cause)
{
    static const char what[2][8] = {"fixed", "roll"};
    const struct env *e = s->layer.env;
    struct ss_shared *shared = ss_shared_of(s);
    struct ss_opening *o = s->opening;
    uint8_t key[SIPHASH_KEY_LEN] = {0};

    memcpy(key, &shared->seed, sizeof(shared->seed));
    uint64_t fixed = siphash(key, what[0], sizeof(what[0])) % DRAIN_FIXED;
    uint64_t roll = siphash(key, what[1], sizeof(what[1])) % DRAIN_ROLL + 1;
    uint32_t most = (uint32_t)(DRAIN_LEAST + fixed + rng_below(e->rng, roll));

    ss_refuse(shared, cause);
    bufq_clear(&o->plain, e->pool);
    crypto_wipe(o->key, sizeof(o->key));
    crypto_wipe(&s->rx, sizeof(s->rx));
    o->cause = (uint8_t)cause;
    o->drain_left = o->eaten < most ? most - o->eaten : 0;
    s->mode = SS_MODE_DRAIN;
    return drain(s, t);
}

/* ---- whose is it? ---------------------------------------------------------------------------- */

static enum status search(struct ss *s, struct turn *t)
{
    const struct env *e = s->layer.env;
    const struct ss_method *m = s->conf->method;
    struct ss_opening *o = s->opening;
    uint8_t sealed[SS_LENGTH_LEN], subkey[SS_KEY_MAX];
    struct ss_search_for w = {.method = m,
                              .index = e->users,
                              .shared = ss_shared_of(s),
                              .cc = e->crypto,
                              .from = &e->info->peer,
                              .now_us = t->now_us,
                              .sealed = sealed,
                              .len = sizeof(sealed)};

    (void)bufq_peek_at(t->wire_in, m->key_len, sealed, sizeof(sealed));
    enum status st = ss_search_run(&o->search, &w, &o->user, o->key, subkey, &t->wake_us);
    if (st == ST_E_NOTFOUND)
        return refuse(s, t, SS_CAUSE_UNKNOWN);
    if (st != ST_OK)
        return st < 0 ? turn_fail(t, st, "shadowsocks: looking for the user", 0) : st;
    crypto_wipe(&o->search, sizeof(o->search));
    o->uid = o->user->uid;
    /* Only what a user has sealed is noted: strangers cannot fill the filter. */
    if (seen_add(&ss_shared_of(s)->salts, o->salt, m->key_len, t->unix_s, 0) != ST_OK)
        return refuse(s, t, SS_CAUSE_REPLAY);
    ss_cipher_init(&s->rx, m, subkey);
    crypto_wipe(subkey, sizeof(subkey));
    eat(s, t, m->key_len);
    s->mode = SS_MODE_ADDRESS;
    return ST_OK;
}

static enum status take_salt(struct ss *s, struct turn *t)
{
    const struct ss_method *m = s->conf->method;

    if (t->wire_in->bytes < FIRST_READ)
        return ss_incomplete(t);
    (void)bufq_peek(t->wire_in, s->opening->salt, m->key_len);
    ss_search_begin(&s->opening->search, m, s->opening->salt);
    s->mode = SS_MODE_SEARCH;
    return ST_OK;
}

/* ---- where to? ------------------------------------------------------------------------------- */

/* The target at the beginning of @q and how many bytes it takes there. */
static enum status read_target(const struct bufq *q, struct target *target, uint32_t *len)
{
    uint8_t copy[PROXY_ADDRESS_MAX];
    size_t n = bufq_peek(q, copy, sizeof(copy));
    struct reader r = reader_of(copy, n);
    enum status st = proxy_address_read(&r, PROXY_ADDRESS_SHADOWSOCKS, target);

    *len = (uint32_t)(n - reader_left(&r));
    return st;
}

/* An address may be cut over chunks; what is behind it is payload. */
static enum status address(struct ss *s, struct turn *t)
{
    struct pool *p = s->layer.env->pool;
    struct bufq *plain = &s->opening->plain;
    struct target target;
    uint32_t len = 0, before;
    enum status st;

    while ((st = read_target(plain, &target, &len)) == ST_MORE) {
        before = t->wire_in->bytes;
        st = ss_chunks_open(&s->rx, s->layer.env->crypto, p, &s->want, t->wire_in, plain, 1);
        s->opening->eaten += before - t->wire_in->bytes;
        if (st == ST_E_NOMEM)
            return turn_fail(t, st, "no memory for a chunk", 0);
        if (st == ST_MORE || (st == ST_OK && t->wire_in->bytes == before))
            return ss_incomplete(t);
        if (st != ST_OK)
            return refuse(s, t, SS_CAUSE_MALFORMED);
    }
    if (st != ST_OK)
        return refuse(s, t, SS_CAUSE_MALFORMED);
    struct user_rt *user = ss_user_now(s);
    if (user == NULL)
        return refuse(s, t, SS_CAUSE_UNKNOWN);
    bufq_drop(plain, len, p);
    bufq_move(t->up, plain);
    ss_report(s, t, user, &target);
    return ST_OK;
}

static enum status plain_address(struct ss *s, struct turn *t)
{
    struct target target;
    uint32_t len = 0;

    struct user_rt *user = ss_user_now(s);
    if (user == NULL)
        return refuse(s, t, SS_CAUSE_UNKNOWN);
    enum status st = read_target(t->wire_in, &target, &len);
    if (st == ST_MORE)
        return ss_incomplete(t);
    if (st != ST_OK)
        return refuse(s, t, SS_CAUSE_MALFORMED);
    eat(s, t, len);
    ss_report(s, t, user, &target);
    t->ev->mask |= EV_LEAVE_RX | EV_LEAVE_TX;
    return ST_OK;
}

enum status ss_aead_rx(struct ss *s, struct turn *t)
{
    enum status st = ST_OK;

    if (s->mode == SS_MODE_DRAIN)
        return drain(s, t);
    if (s->conf->method->family == SS_PLAIN)
        return plain_address(s, t);
    if (s->mode == SS_MODE_SALT)
        st = take_salt(s, t);
    if (st == ST_OK && s->mode == SS_MODE_SEARCH)
        st = search(s, t);
    if (st == ST_OK && s->mode == SS_MODE_ADDRESS)
        st = address(s, t);
    return st;
}

/* ---- the answer ------------------------------------------------------------------------------ */

enum status ss_aead_head(void *arg, uint32_t n, uint8_t head[SS_HEAD_MAX], uint32_t *len)
{
    struct ss *s = arg;
    const struct ss_method *m = s->conf->method;
    uint8_t subkey[SS_KEY_MAX];

    rng_bytes(s->layer.env->rng, head, m->key_len);
    /* So that our own salt is not sent back to us as a client's. */
    if (seen_add(&ss_shared_of(s)->salts, head, m->key_len, 0, 0) == ST_E_NOMEM)
        return ST_E_NOMEM;
    ss_subkey(m, s->opening->key, head, subkey);
    ss_cipher_init(&s->tx, m, subkey);
    crypto_wipe(subkey, sizeof(subkey));
    head[m->key_len] = (uint8_t)(n >> 8);
    head[m->key_len + 1] = (uint8_t)n;
    *len = m->key_len + SS_LENGTH_LEN;
    return ss_cipher_seal(&s->tx, s->layer.env->crypto, head + m->key_len, 2);
}
