#include "outbound/udp_names.h"

#include <string.h>

#include "base/frame.h"
#include "outbound/family.h"

struct name {
    struct list node; /* least recently used first */
    struct udp_names *all;
    struct resolve_req req;
    enum status status; /* ST_MORE: being looked up */
    struct addr addr;   /* without a port of its own */
    struct bufq waiting;
    uint16_t port; /* of the datagram that it was looked up for */
    uint8_t host_len;
    char host[]; /* NUL-terminated */
};

struct udp_names {
    struct direct_env env;
    const struct direct_conf *conf;
    void *arg;
    void (*fn)(void *arg);
    struct list used;
    unsigned count;
    struct bufq ready;
};

static size_t size_of(uint8_t host_len)
{
    return sizeof(struct name) + host_len + 1u;
}

static void forget(struct name *m)
{
    struct udp_names *n = m->all;

    resolve_cancel(&m->req);
    bufq_clear(&m->waiting, n->env.pool);
    list_del(&m->node);
    n->count--;
    pool_release(n->env.pool, m, size_of(m->host_len));
}

struct udp_names *udp_names_new(const struct direct_env *env, const struct direct_conf *conf,
                                void *arg, void (*fn)(void *arg))
{
    struct udp_names *n = pool_alloc(env->pool, sizeof(*n));

    if (n == NULL)
        return NULL;
    n->env = *env;
    n->conf = conf;
    n->arg = arg;
    n->fn = fn;
    list_init(&n->used);
    bufq_init(&n->ready, UINT32_MAX);
    return n;
}

void udp_names_free(struct udp_names *n)
{
    if (n == NULL)
        return;
    LIST_FOREACH(node, tmp, &n->used)
        forget(LIST_ENTRY(node, struct name, node));
    bufq_clear(&n->ready, n->env.pool);
    pool_release(n->env.pool, n, sizeof(*n));
}

/* IPv4 unless the node prefers IPv6, for nothing tells a datagram that its way is dead. */
static void pin(struct name *m, const struct resolve_answer *answer)
{
    struct addr addrs[RESOLVE_ADDRS_MAX];
    struct direct_conf conf = *m->all->conf;

    m->status = answer->status;
    if (m->status != ST_OK)
        return;
    if (conf.ip_strategy == VIEW_IP_ANY)
        conf.ip_strategy = VIEW_IP_V4_FIRST;
    if (family_pick(&conf, answer, m->port, addrs, NULL) == 0)
        m->status = ST_E_REFUSED;
    else
        m->addr = addrs[0];
}

static void address(const struct name *m, struct span *s)
{
    uint16_t port = s->peer.port;
    s->peer = m->addr;
    s->peer.port = port;
}

static void on_resolved(struct resolve_req *req, const struct resolve_answer *answer)
{
    struct name *m = LIST_ENTRY(req, struct name, req);
    struct udp_names *n = m->all;

    pin(m, answer);
    if (m->status != ST_OK) {
        bufq_clear(&m->waiting, n->env.pool);
        return;
    }
    for (struct span *s; (s = bufq_pop(&m->waiting)) != NULL;) {
        address(m, s);
        bufq_push(&n->ready, s);
    }
    n->fn(n->arg); /* may free us */
}

static struct name *known(struct udp_names *n, const struct target *t)
{
    LIST_FOREACH(node, tmp, &n->used) {
        struct name *m = LIST_ENTRY(node, struct name, node);
        if (m->host_len == t->host_len && memcmp(m->host, t->host, t->host_len) == 0)
            return m;
    }
    return NULL;
}

static bool make_room(struct udp_names *n)
{
    if (n->count < UDP_NAMES_MAX)
        return true;
    LIST_FOREACH(node, tmp, &n->used) {
        struct name *m = LIST_ENTRY(node, struct name, node);
        if (m->status == ST_MORE)
            continue;
        forget(m);
        return true;
    }
    return false;
}

static struct name *learn(struct udp_names *n, const struct target *t)
{
    struct resolve_answer answer;
    enum resolve_want want;
    struct name *m;

    if (family_want(n->conf, &want, NULL) != ST_OK || !make_room(n) ||
        (m = pool_alloc(n->env.pool, size_of(t->host_len))) == NULL)
        return NULL;
    m->all = n;
    m->port = t->addr.port;
    m->host_len = t->host_len;
    memcpy(m->host, t->host, t->host_len);
    bufq_init(&m->waiting, UDP_NAMES_WAITING);
    list_add_tail(&n->used, &m->node);
    n->count++;
    m->status = resolver_get(n->env.resolver, m->host, want, &m->req, on_resolved, &answer);
    if (m->status != ST_MORE)
        pin(m, &answer);
    return m;
}

enum status udp_names_find(struct udp_names *n, struct span *s)
{
    struct target t;
    struct name *m;

    frame_get_target(s, &t);
    m = known(n, &t);
    if (m == NULL && (m = learn(n, &t)) == NULL)
        return ST_E_LIMIT;
    list_del(&m->node);
    list_add_tail(&n->used, &m->node);
    if (m->status == ST_OK) {
        address(m, s);
    } else if (m->status == ST_MORE) {
        if (bufq_room(&m->waiting) == 0)
            return ST_E_LIMIT;
        bufq_push(&m->waiting, s);
    }
    return m->status;
}

struct bufq *udp_names_ready(struct udp_names *n)
{
    return &n->ready;
}
