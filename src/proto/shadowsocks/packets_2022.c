#include <string.h>

#include "base/bytes.h"
#include "codec/proxy_address.h"
#include "crypto/mem.h"
#include "crypto/rng.h"
#include "crypto/xchacha.h"
#include "policy/key_index.h"
#include "proto/shadowsocks/cipher.h"
#include "proto/shadowsocks/index.h"
#include "proto/shadowsocks/packets.h"
#include "proto/shadowsocks/shared.h"
#include "proto/shadowsocks/window.h"

/* AES:     E(header 16) | E(name 16), of many users | sealed(body)
 * ChaCha:  nonce 24 | sealed(header 16 | body)
 * header = session id 8 | number 8; body up = type 1 | time 8 | padding length 2 | padding |
 * address | payload; down = type | time | the client's session id 8 | padding length | padding |
 * address | payload. */
#define HEADER      16u
#define ID_LEN      8u
#define BODY_UP     11u
#define BODY_DOWN   19u
#define CLOCK_OFF_S 30

enum { TYPE_REQUEST = 0, TYPE_ANSWER = 1 };

struct flow {
    bool known;
    uint8_t client_id[ID_LEN], id[ID_LEN];
    uint64_t next; /* number of our next datagram */
    uint8_t rx_key[SS_KEY_MAX], tx_key[SS_KEY_MAX];
    struct aes_block seals; /* our headers, under the user's key */
    struct ss_window window;
};

size_t ss2022_flow_size(void)
{
    return sizeof(struct flow);
}

static const struct ss_conf *conf_of(const struct packet_env *e)
{
    return e->conf;
}

static enum status refuse(const struct packet_env *e, enum ss_cause cause)
{
    ss_refuse(e->shared, cause);
    return cause == SS_CAUSE_UNKNOWN ? ST_E_AUTH : ST_E_PROTO;
}

/* One operation over @len bytes with a nonce that is used once, the tag behind them. */
static enum status wide(const struct packet_env *e, enum aead_dir dir, const uint8_t *nonce,
                        uint8_t *data, size_t len)
{
    uint8_t key[XCHACHA_KEY_LEN], iv[AEAD_IV_LEN];

    xchacha_begin(conf_of(e)->key, nonce, key, iv);
    enum status st =
        dir == AEAD_OPEN
            ? aead_open(e->crypto, AEAD_CHACHA20_POLY1305, key, iv, NULL, 0, data, len, data + len)
            : aead_seal(e->crypto, AEAD_CHACHA20_POLY1305, key, iv, NULL, 0, data, len, data + len);
    crypto_wipe(key, sizeof(key));
    return st;
}

/* ---- whose is it? ---------------------------------------------------------------------------- */

/* Bytes in front of the body, once the header is plain. */
static uint32_t front_len(const struct ss_conf *c)
{
    return c->method->wide ? XCHACHA_NONCE_LEN + HEADER
                           : HEADER + (c->identity ? SS2022_NAME_LEN : 0);
}

static const uint8_t *header_of(const struct ss_conf *c, const struct span *s)
{
    return span_data(s) + (c->method->wide ? XCHACHA_NONCE_LEN : 0);
}

/* Makes the header plain, in place. */
static enum status read_header(const struct packet_env *e, struct span *s)
{
    uint8_t *p = span_data(s);

    if (conf_of(e)->method->wide)
        return wide(e, AEAD_OPEN, p, p + XCHACHA_NONCE_LEN, s->len - XCHACHA_NONCE_LEN - SS_TAG);
    return aes_block_run(&conf_of(e)->opens, p, p);
}

/* What the identity block names a user by. */
static enum status read_name(const struct packet_env *e, const struct span *s,
                             uint8_t name[SS2022_NAME_LEN])
{
    const uint8_t *header = span_data(s);
    enum status st = aes_block_run(&conf_of(e)->opens, header + HEADER, name);

    for (unsigned i = 0; i < SS2022_NAME_LEN; i++)
        name[i] ^= header[i];
    return st;
}

enum status ss2022_identify(const struct packet_env *e, struct span *s, struct packet *p)
{
    const struct ss_conf *c = conf_of(e);

    if (s->len < front_len(c) + BODY_UP + SS_TAG)
        return refuse(e, SS_CAUSE_SHORT);
    if (read_header(e, s) != ST_OK)
        return refuse(e, SS_CAUSE_UNKNOWN);
    /* Session ids are the clients' own: two users may have the same. */
    memcpy(p->key.bytes, header_of(c, s), ID_LEN);
    p->key.len = ID_LEN;
    if (!c->identity)
        return ST_OK;
    p->key.len = ID_LEN + SS2022_NAME_LEN;
    return read_name(e, s, p->key.bytes + ID_LEN);
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool begin_flow(const struct packet_env *e, struct flow *f, const uint8_t *id,
                       const struct user_rt *user)
{
    const struct ss_conf *c = conf_of(e);
    const struct ss_method *m = c->method;
    char text[USER_SECRET_MAX + 1];
    uint8_t key[SS_KEY_MAX];
    bool fits = true;

    memcpy(f->client_id, id, ID_LEN);
    rng_bytes(e->rng, f->id, ID_LEN);
    if (m->wide)
        return true; /* one user, one key for all */
    if (c->identity)
        fits = ss2022_user_key(m, user_secret(user, text), key);
    else
        memcpy(key, c->key, m->key_len);
    if (fits) {
        ss2022_subkey(m, key, id, ID_LEN, f->rx_key);
        aes_block_init(&f->seals, key, m->key_len, false);
        ss2022_subkey(m, key, f->id, ID_LEN, f->tx_key);
    }
    crypto_wipe(text, sizeof(text));
    crypto_wipe(key, sizeof(key));
    return fits;
}

static enum status read_body(const struct packet_env *e, struct span *s, uint32_t front,
                             struct packet *p)
{
    struct reader r = reader_of(span_data(s) + front, s->len - front - SS_TAG);
    uint8_t type = reader_u8(&r);
    const uint8_t *time = reader_take(&r, 8);
    uint16_t padding = reader_u16(&r);

    (void)reader_take(&r, padding);
    if (r.bad || type != TYPE_REQUEST)
        return refuse(e, SS_CAUSE_MALFORMED);
    int64_t off = (int64_t)(get_be64(time) - (uint64_t)e->unix_s);
    if (off < -CLOCK_OFF_S || off > CLOCK_OFF_S)
        return refuse(e, SS_CAUSE_STALE);
    if (proxy_address_read(&r, PROXY_ADDRESS_SOCKS, &p->target) != ST_OK)
        return refuse(e, SS_CAUSE_MALFORMED);
    uint32_t left = (uint32_t)reader_left(&r);
    ss_cut(s, s->len - SS_TAG - left, left);
    return ST_OK;
}

enum status ss2022_open_packet(const struct packet_env *e, void *flow, struct span *s,
                               struct packet *p)
{
    const struct ss_conf *c = conf_of(e);
    const uint8_t *header = header_of(c, s);
    uint64_t number = get_be64(header + ID_LEN);
    uint32_t front = front_len(c);
    struct flow *f = flow;

    if (!f->known) {
        p->user = c->identity ? key_index_find(e->users, p->key.bytes + ID_LEN)
                              : ss_index_single(e->users);
        if (p->user == NULL || !begin_flow(e, f, header, p->user))
            return refuse(e, SS_CAUSE_UNKNOWN);
    }
    if (!ss_window_fits(&f->window, number))
        return refuse(e, SS_CAUSE_REPLAY);
    if (!c->method->wide &&
        aead_open(e->crypto, c->method->alg, f->rx_key, header + 4, NULL, 0, span_data(s) + front,
                  s->len - front - SS_TAG, span_data(s) + s->len - SS_TAG) != ST_OK)
        return refuse(e, SS_CAUSE_UNKNOWN);
    enum status st = read_body(e, s, front, p);
    /* Authentic but late: its number is taken all the same, as in sing-shadowsocks. */
    ss_window_mark(&f->window, number);
    if (st == ST_OK)
        f->known = true;
    return st;
}

/* ---- sealing --------------------------------------------------------------------------------- */

struct span *ss2022_seal_packet(const struct packet_env *e, void *flow, struct span *s)
{
    const struct ss_conf *c = conf_of(e);
    uint8_t head[HEADER + BODY_DOWN + PROXY_ADDRESS_IP_MAX];
    struct flow *f = flow;

    memcpy(head, f->id, ID_LEN);
    put_be64(head + ID_LEN, f->next++);
    uint8_t *body = head + HEADER;
    body[0] = TYPE_ANSWER;
    put_be64(body + 1, (uint64_t)e->unix_s);
    memcpy(body + 9, f->client_id, ID_LEN);
    put_be16(body + 17, 0);
    uint32_t n = HEADER + BODY_DOWN +
                 (uint32_t)proxy_address_write(PROXY_ADDRESS_SOCKS, &s->peer, body + BODY_DOWN);
    uint32_t nonce_len = c->method->wide ? XCHACHA_NONCE_LEN : 0;

    s = ss_make_room(e->pool, s, n + nonce_len, SS_TAG);
    if (s == NULL)
        return NULL;
    s->off -= n;
    s->len += n;
    memcpy(span_data(s), head, n);
    uint8_t *p = span_data(s);
    enum status st;
    if (c->method->wide) {
        rng_bytes(e->rng, p - nonce_len, nonce_len);
        st = wide(e, AEAD_SEAL, p - nonce_len, p, s->len);
    } else {
        st = aead_seal(e->crypto, c->method->alg, f->tx_key, head + 4, NULL, 0, p + HEADER,
                       s->len - HEADER, p + s->len);
        if (st == ST_OK)
            st = aes_block_run(&f->seals, p, p);
    }
    if (st != ST_OK) {
        span_free(e->pool, s);
        return NULL;
    }
    s->off -= nonce_len;
    s->len += nonce_len + SS_TAG;
    return s;
}
