#include <string.h>

#include "base/bytes.h"
#include "codec/proxy_address.h"
#include "crypto/mem.h"
#include "crypto/rng.h"
#include "proto/shadowsocks/cipher.h"
#include "proto/shadowsocks/packets.h"
#include "proto/shadowsocks/search.h"

/* type 1 | IPv4 4 | port 2: the shortest that names a target */
#define PLAIN_MIN 7u

struct flow {
    bool known;
    bool begun; /* the search for the user */
    uint8_t key[SS_KEY_MAX];
    struct ss_search search;
};

size_t ss_aead_flow_size(void)
{
    return sizeof(struct flow);
}

static const struct ss_method *method_of(const struct packet_env *e)
{
    return ((const struct ss_conf *)e->conf)->method;
}

static enum status refuse(const struct packet_env *e, enum ss_cause cause)
{
    ss_refuse(e->shared, cause);
    return cause == SS_CAUSE_UNKNOWN ? ST_E_AUTH : ST_E_PROTO;
}

/* Finds the user of a new flow by its first datagram. */
static enum status search(const struct packet_env *e, struct flow *f, const struct span *s,
                          struct packet *p, uint8_t subkey[SS_KEY_MAX])
{
    const struct ss_method *m = method_of(e);
    struct ss_search_for w = {.method = m,
                              .index = e->users,
                              .shared = e->shared,
                              .cc = e->crypto,
                              .from = &p->from,
                              .now_us = e->now_us,
                              .sealed = span_data(s) + m->key_len,
                              .len = s->len - m->key_len,
                              .datagram = true};
    uint64_t wake_us = UINT64_MAX;

    if (!f->begun)
        ss_search_begin(&f->search, m, span_data(s));
    f->begun = true;
    enum status st = ss_search_run(&f->search, &w, &p->user, f->key, subkey, &wake_us);
    return st == ST_MORE ? ST_E_LIMIT : st; /* a datagram does not wait for the budget */
}

enum status ss_aead_open_packet(const struct packet_env *e, void *flow, struct span *s,
                                struct packet *p)
{
    const struct ss_method *m = method_of(e);
    struct flow *f = flow;
    uint8_t subkey[SS_KEY_MAX];
    struct ss_cipher c;
    enum status st = ST_OK;

    if (s->len < m->key_len + PLAIN_MIN + SS_TAG)
        return refuse(e, SS_CAUSE_SHORT);
    if (f->known)
        ss_subkey(m, f->key, span_data(s), subkey);
    else
        st = search(e, f, s, p, subkey);
    if (st == ST_E_NOTFOUND)
        return refuse(e, SS_CAUSE_UNKNOWN);
    if (st != ST_OK)
        return st;

    uint32_t len = s->len - m->key_len - SS_TAG;
    ss_cipher_init(&c, m, subkey);
    st = ss_cipher_open(&c, e->crypto, span_data(s) + m->key_len, len);
    crypto_wipe(&c, sizeof(c));
    crypto_wipe(subkey, sizeof(subkey));
    if (st != ST_OK)
        return refuse(e, SS_CAUSE_UNKNOWN);
    struct reader r = reader_of(span_data(s) + m->key_len, len);
    if (proxy_address_read(&r, PROXY_ADDRESS_SHADOWSOCKS, &p->target) != ST_OK)
        return refuse(e, SS_CAUSE_MALFORMED);
    uint32_t left = (uint32_t)reader_left(&r);
    ss_cut(s, m->key_len + len - left, left);
    f->known = true;
    return ST_OK;
}

struct span *ss_aead_seal_packet(const struct packet_env *e, void *flow, struct span *s)
{
    const struct ss_method *m = method_of(e);
    const struct flow *f = flow;
    uint8_t address[PROXY_ADDRESS_IP_MAX], subkey[SS_KEY_MAX];
    uint32_t n = (uint32_t)proxy_address_write(PROXY_ADDRESS_SHADOWSOCKS, &s->peer, address);
    struct ss_cipher c;

    s = ss_make_room(e->pool, s, m->key_len + n, SS_TAG);
    if (s == NULL)
        return NULL;
    s->off -= n;
    memcpy(span_data(s), address, n);
    uint8_t *salt = span_data(s) - m->key_len;
    rng_bytes(e->rng, salt, m->key_len);
    ss_subkey(m, f->key, salt, subkey);
    ss_cipher_init(&c, m, subkey);
    enum status st = ss_cipher_seal(&c, e->crypto, span_data(s), s->len + n);
    crypto_wipe(&c, sizeof(c));
    crypto_wipe(subkey, sizeof(subkey));
    if (st != ST_OK) {
        span_free(e->pool, s);
        return NULL;
    }
    s->off -= m->key_len;
    s->len += m->key_len + n + SS_TAG;
    return s;
}
