/* Streams of the 2022 editions (SIP022 section 3.1). */
#include <string.h>

#include "base/bytes.h"
#include "codec/proxy_address.h"
#include "crypto/mem.h"
#include "crypto/rng.h"
#include "policy/key_index.h"
#include "proto/shadowsocks/server.h"

#define FIXED_LEN   11u /* type, time, length */
#define CLOCK_OFF_S 30
#define SALT_KEEP_S (2 * CLOCK_OFF_S + 1)

enum { TYPE_REQUEST = 0, TYPE_ANSWER = 1 };

/* Nothing is said to who does not belong here, and nothing is read on. */
static enum status refuse(struct ss *s, struct turn *t, enum ss_cause cause)
{
    ss_refuse(ss_shared_of(s), cause);
    t->ev->mask |= EV_RESET;
    return turn_fail(t, cause == SS_CAUSE_MALFORMED ? ST_E_PROTO : ST_E_AUTH, ss_cause_text(cause),
                     0);
}

/* The user that the identity header behind the salt names, and his key. */
static struct user_rt *find_user(struct ss *s, const uint8_t *header)
{
    const struct ss_method *m = s->conf->method;
    const struct user_index *users = s->layer.env->users;
    uint8_t key[SS_KEY_MAX], *name = s->opening->name;
    char text[USER_SECRET_MAX + 1];
    struct user_rt *user = NULL;
    struct aes_block aes;

    if (!s->conf->identity) {
        memcpy(s->opening->key, s->conf->key, m->key_len);
        return ss_index_single(users);
    }
    ss2022_identity_key(m, s->conf->key, s->opening->salt, key);
    aes_block_init(&aes, key, m->key_len, true);
    if (aes_block_run(&aes, header, name) == ST_OK)
        user = key_index_find(users, name);
    if (user != NULL && !ss2022_user_key(m, user_secret(user, text), s->opening->key))
        user = NULL;
    crypto_wipe(&aes, sizeof(aes));
    crypto_wipe(key, sizeof(key));
    crypto_wipe(text, sizeof(text));
    return user;
}

static enum status fixed_header(struct ss *s, struct turn *t)
{
    const struct env *e = s->layer.env;
    const struct ss_method *m = s->conf->method;
    struct ss_opening *o = s->opening;
    uint8_t begin[SS_SALT_MAX + AES_BLOCK_LEN + FIXED_LEN + SS_TAG], subkey[SS_KEY_MAX];
    uint32_t name_len = s->conf->identity ? AES_BLOCK_LEN : 0;
    uint32_t len = m->key_len + name_len + FIXED_LEN + SS_TAG;
    uint8_t *fixed = begin + m->key_len + name_len;

    if (bufq_peek(t->wire_in, begin, len) < len)
        return ss_incomplete(t);
    memcpy(o->salt, begin, m->key_len);
    if (seen_has(&ss_shared_of(s)->salts, o->salt, m->key_len))
        return refuse(s, t, SS_CAUSE_REPLAY);
    o->user = find_user(s, begin + m->key_len);
    if (o->user == NULL)
        return refuse(s, t, SS_CAUSE_UNKNOWN);
    ss2022_subkey(m, o->key, o->salt, m->key_len, subkey);
    ss_cipher_init(&s->rx, m, subkey);
    crypto_wipe(subkey, sizeof(subkey));
    if (ss_cipher_open(&s->rx, e->crypto, fixed, FIXED_LEN) != ST_OK)
        return refuse(s, t, SS_CAUSE_UNKNOWN);
    int64_t off = (int64_t)(get_be64(fixed + 1) - (uint64_t)t->unix_s);
    s->want = get_be16(fixed + 9);
    if (fixed[0] != TYPE_REQUEST)
        return refuse(s, t, SS_CAUSE_MALFORMED);
    if (off < -CLOCK_OFF_S || off > CLOCK_OFF_S)
        return refuse(s, t, SS_CAUSE_STALE);
    if (seen_add(&ss_shared_of(s)->salts, o->salt, m->key_len, t->unix_s, SALT_KEEP_S) != ST_OK)
        return refuse(s, t, SS_CAUSE_REPLAY);
    bufq_drop(t->wire_in, len, e->pool);
    s->mode = SS_MODE_VARIABLE;
    return ST_OK;
}

/* Address, padding, first payload: one of the latter two must be there. */
static enum status variable_header(struct ss *s, struct turn *t)
{
    const struct env *e = s->layer.env;
    struct bufq *in = t->wire_in;
    uint8_t copy[PROXY_ADDRESS_MAX + 2];
    struct user_rt *user = ss_user_now(s);
    uint32_t left = s->want;
    struct target target;

    if (user == NULL)
        return refuse(s, t, SS_CAUSE_UNKNOWN);
    if (in->bytes < s->want + SS_TAG)
        return ss_incomplete(t);
    if (ss_cipher_open_queued(&s->rx, e->crypto, in, s->want) != ST_OK)
        return refuse(s, t, SS_CAUSE_UNKNOWN);
    struct reader r =
        reader_of(copy, bufq_peek(in, copy, left < sizeof(copy) ? left : sizeof(copy)));
    size_t all = reader_left(&r);
    enum status st = proxy_address_read(&r, PROXY_ADDRESS_SOCKS, &target);
    uint16_t padding = reader_u16(&r);
    left -= (uint32_t)(all - reader_left(&r));
    if (st != ST_OK || r.bad || padding > left || left == 0)
        return refuse(s, t, SS_CAUSE_MALFORMED);
    left -= padding;
    bufq_drop(in, s->want - left, e->pool);
    if (bufq_move_bytes(t->up, in, left, e->pool) != left)
        return turn_fail(t, ST_E_NOMEM, "no memory for the first payload", 0);
    bufq_drop(in, SS_TAG, e->pool);
    s->want = 0;
    ss_report(s, t, user, &target);
    return ST_OK;
}

enum status ss2022_rx(struct ss *s, struct turn *t)
{
    enum status st = ST_OK;

    if (s->mode == SS_MODE_SALT)
        st = fixed_header(s, t);
    if (st == ST_OK && s->mode == SS_MODE_VARIABLE)
        st = variable_header(s, t);
    return st;
}

/* The length of the first payload stands in the header, not in front of the payload. */
enum status ss2022_head(void *arg, uint32_t n, uint8_t head[SS_HEAD_MAX], uint32_t *len)
{
    struct ss2022_answer *a = arg;
    struct ss *s = a->s;
    const struct ss_method *m = s->conf->method;
    uint8_t *fixed = head + m->key_len, subkey[SS_KEY_MAX];

    rng_bytes(s->layer.env->rng, head, m->key_len);
    ss2022_subkey(m, s->opening->key, head, m->key_len, subkey);
    ss_cipher_init(&s->tx, m, subkey);
    crypto_wipe(subkey, sizeof(subkey));
    fixed[0] = TYPE_ANSWER;
    put_be64(fixed + 1, (uint64_t)a->unix_s);
    memcpy(fixed + 9, s->opening->salt, m->key_len);
    put_be16(fixed + 9 + m->key_len, (uint16_t)n);
    uint32_t fixed_len = FIXED_LEN + m->key_len;
    *len = m->key_len + fixed_len + SS_TAG;
    return ss_cipher_seal(&s->tx, s->layer.env->crypto, fixed, fixed_len);
}

_Static_assert(2 * SS_SALT_MAX + FIXED_LEN + SS_TAG <= SS_HEAD_MAX, "the answer's beginning fits");
