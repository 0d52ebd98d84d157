#include "proto/shadowsocks/packets.h"

#include <string.h>

#include "base/bytes.h"
#include "codec/proxy_address.h"
#include "crypto/mem.h"
#include "proto/shadowsocks/index.h"
#include "proto/shadowsocks/shared.h"

static const struct ss_conf *conf_of(const struct packet_env *e)
{
    return e->conf;
}

struct span *ss_make_room(struct pool *p, struct span *s, uint32_t head, uint32_t tail)
{
    if (span_owns_blk(s) && span_headroom(s) >= head && span_tailroom(s) >= tail)
        return s;
    struct span *c = s->len <= BLK_DATA ? span_new(p) : NULL;
    if (c != NULL) {
        memcpy(span_data(c), span_data(s), s->len);
        c->len = s->len;
        c->peer = s->peer;
    }
    span_free(p, s);
    return c;
}

/* ---- none ------------------------------------------------------------------------------------ */

static enum status plain_open(const struct packet_env *e, struct span *s, struct packet *p)
{
    struct reader r = reader_of(span_data(s), s->len);

    p->user = ss_index_single(e->users);
    if (p->user == NULL || proxy_address_read(&r, PROXY_ADDRESS_SHADOWSOCKS, &p->target) != ST_OK) {
        ss_refuse(e->shared, p->user == NULL ? SS_CAUSE_UNKNOWN : SS_CAUSE_MALFORMED);
        return ST_E_PROTO;
    }
    ss_cut(s, (uint32_t)(s->len - reader_left(&r)), (uint32_t)reader_left(&r));
    return ST_OK;
}

static struct span *plain_seal(const struct packet_env *e, struct span *s)
{
    uint8_t address[PROXY_ADDRESS_IP_MAX];
    uint32_t n = (uint32_t)proxy_address_write(PROXY_ADDRESS_SHADOWSOCKS, &s->peer, address);

    s = ss_make_room(e->pool, s, n, 0);
    if (s == NULL)
        return NULL;
    s->off -= n;
    s->len += n;
    memcpy(span_data(s), address, n);
    return s;
}

/* ---- by the node's method -------------------------------------------------------------------- */

static size_t flow_size(const void *conf)
{
    switch (((const struct ss_conf *)conf)->method->family) {
    case SS_AEAD:
        return ss_aead_flow_size();
    case SS_2022:
        return ss2022_flow_size();
    case SS_PLAIN:
        break;
    }
    return 0;
}

static bool same_conf(const void *a, const void *b)
{
    const struct ss_conf *x = a, *y = b;
    return x->method == y->method && x->identity == y->identity &&
           crypto_ct_equal(x->key, y->key, sizeof(x->key));
}

/* Xray-core keeps an AEAD association 120 s, a session of 2022 500 s, sing-box 300 s. A session
 * must outlive the time in which its datagrams are fresh, for it remembers their numbers. */
static uint32_t idle_ms(const void *conf, bool dns)
{
    if (((const struct ss_conf *)conf)->method->family == SS_2022)
        return dns ? 65000 : 300000;
    return dns ? 20000 : 120000;
}

static enum status identify(const struct packet_env *e, struct span *s, struct packet *p)
{
    struct packet_key *k = &p->key;

    if (conf_of(e)->method->family == SS_2022)
        return ss2022_identify(e, s, p);
    k->bytes[0] = p->from.family;
    put_be16(k->bytes + 1, p->from.port);
    memcpy(k->bytes + 3, p->from.ip, sizeof(p->from.ip));
    k->len = 3 + sizeof(p->from.ip);
    return ST_OK;
}

static enum status open_packet(const struct packet_env *e, void *flow, struct span *s,
                               struct packet *p)
{
    switch (conf_of(e)->method->family) {
    case SS_AEAD:
        return ss_aead_open_packet(e, flow, s, p);
    case SS_2022:
        return ss2022_open_packet(e, flow, s, p);
    case SS_PLAIN:
        break;
    }
    return plain_open(e, s, p);
}

static struct span *seal_packet(const struct packet_env *e, void *flow, struct span *s)
{
    switch (conf_of(e)->method->family) {
    case SS_AEAD:
        return ss_aead_seal_packet(e, flow, s);
    case SS_2022:
        return ss2022_seal_packet(e, flow, s);
    case SS_PLAIN:
        break;
    }
    return plain_seal(e, s);
}

static void fini(void *flow, size_t size)
{
    crypto_wipe(flow, size);
}

const struct packet_ops ss_packet_ops = {
    .idle_ms = idle_ms,
    .flow_size = flow_size,
    .same_conf = same_conf,
    .identify = identify,
    .open = open_packet,
    .seal = seal_packet,
    .fini = fini,
};
