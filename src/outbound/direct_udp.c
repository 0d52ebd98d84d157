#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "io/resolver.h"
#include "outbound/direct.h"
#include "outbound/family.h"
#include "outbound/udp_names.h"

/* One socket of a flow. */
struct half {
    struct watch watch; /* fd -1: not open */
    struct direct_udp *flow;
    bool dual;
};

/* Usually one dual-stack socket. With source addresses there is one a family, opened when something
 * goes there. */
struct direct_udp {
    struct direct_env env;
    struct direct_conf conf;
    void *arg;
    void (*fn)(void *arg, uint32_t events, const struct why *why);
    struct half half[2]; /* [1]: IPv6, only with source addresses */
    struct addr dflt;    /* where datagrams without peer go, ADDR_NONE: nowhere (yet) */
    bool resolving;
    struct why why; /* the flow is dead */
    size_t dropped;
    struct resolve_req req;
    struct udp_names *names; /* NULL: no datagram went to a name */
};

static void on_ready(struct watch *w, uint32_t events)
{
    struct direct_udp *u = LIST_ENTRY(w, struct half, watch)->flow;
    uint32_t seen = (events & (LOOP_IN | LOOP_HUP) ? DIRECT_UDP_READABLE : 0u) |
                    (events & LOOP_OUT ? DIRECT_UDP_WRITABLE : 0u);

    u->fn(u->arg, seen, &u->why);
}

static bool has_source(const struct direct_conf *conf)
{
    return conf->send_ip4.family != ADDR_NONE || conf->send_ip6.family != ADDR_NONE;
}

/* The socket for destinations of @family, opened if need be. */
static enum status half_for(struct direct_udp *u, uint8_t family, struct half **out,
                            struct why *why)
{
    static const struct addr any = {.family = ADDR_NONE};
    bool bound = has_source(&u->conf);
    struct half *h = &u->half[bound && family == ADDR_IP6];
    struct addr source = any;
    int fd, err = 0;

    *out = h;
    if (h->watch.fd >= 0)
        return ST_OK;
    if (bound)
        source = family == ADDR_IP4 ? u->conf.send_ip4 : u->conf.send_ip6;
    source.port = 0;
    enum status st = udp_open(&source, &fd, &h->dual, &err);
    if (st != ST_OK)
        return why_set(why, st, "no UDP socket", err);
    st = loop_watch_add(u->env.loop, &h->watch, fd, LOOP_IN | LOOP_OUT | LOOP_EDGE, on_ready);
    if (st != ST_OK) {
        err = errno;
        close(fd);
        return why_set(why, st, "no UDP socket", err);
    }
    return ST_OK;
}

/* Pins the address of the target's name: IPv4 unless the node prefers IPv6, for nothing tells a
 * datagram that its way is dead. */
static enum status pin(struct direct_udp *u, const struct resolve_answer *answer)
{
    struct addr addrs[RESOLVE_ADDRS_MAX];
    struct direct_conf conf = u->conf;
    size_t n;

    if (answer->status != ST_OK) {
        u->why = family_lookup_failed(answer->status);
        return answer->status;
    }
    if (conf.ip_strategy == VIEW_IP_ANY)
        conf.ip_strategy = VIEW_IP_V4_FIRST;
    n = family_pick(&conf, answer, u->dflt.port, addrs, &u->why);
    if (n == 0)
        return u->why.status;
    u->dflt = addrs[0];
    return ST_OK;
}

static void on_resolved(struct resolve_req *req, const struct resolve_answer *answer)
{
    struct direct_udp *u = LIST_ENTRY(req, struct direct_udp, req);

    u->resolving = false;
    uint32_t seen = pin(u, answer) == ST_OK ? DIRECT_UDP_WRITABLE : DIRECT_UDP_FAILED;
    u->fn(u->arg, seen, &u->why);
}

static enum status find_target(struct direct_udp *u, const struct target *t)
{
    struct resolve_answer answer;
    enum resolve_want want;
    enum status st;

    if (t->addr.port == 0)
        return why_set(&u->why, ST_E_REFUSED, "port 0", 0);
    u->dflt = t->addr;
    if (t->host_len == 0)
        return family_check(&u->conf, &t->addr, &u->why);
    u->dflt.family = ADDR_NONE;
    st = family_want(&u->conf, &want, &u->why);
    if (st != ST_OK)
        return st;
    st = resolver_get(u->env.resolver, t->host, want, &u->req, on_resolved, &answer);
    u->resolving = st == ST_MORE;
    return u->resolving ? ST_OK : pin(u, &answer);
}

static struct direct_udp *new_flow(const struct direct_env *env, const struct direct_conf *conf,
                                   void *arg,
                                   void (*fn)(void *arg, uint32_t events, const struct why *why))
{
    struct direct_udp *u = pool_alloc(env->pool, sizeof(*u));

    if (u == NULL)
        return NULL;
    u->env = *env;
    u->conf = *conf;
    u->arg = arg;
    u->fn = fn;
    for (unsigned i = 0; i < 2; i++) {
        u->half[i].watch.fd = -1;
        u->half[i].flow = u;
    }
    return u;
}

enum status direct_udp_open(const struct direct_env *env, const struct direct_conf *conf,
                            const struct target *dflt, void *arg,
                            void (*fn)(void *arg, uint32_t events, const struct why *why),
                            struct direct_udp **out, struct why *why)
{
    struct direct_udp *u = new_flow(env, conf, arg, fn);
    struct half *h;
    enum status st = ST_OK;

    *out = NULL;
    if (u == NULL)
        return why_set(why, ST_E_NOMEM, "no memory for a UDP flow", ENOMEM);
    if (dflt != NULL)
        st = find_target(u, dflt);
    if (st == ST_OK && !has_source(conf))
        st = half_for(u, ADDR_NONE, &h, &u->why);
    if (st != ST_OK) {
        if (why != NULL)
            *why = u->why;
        direct_udp_close(u);
        return st;
    }
    *out = u;
    return ST_OK;
}

enum status direct_udp_reopen(const struct direct_env *env, const struct direct_conf *conf,
                              struct direct_udp_sockets *sockets, void *arg,
                              void (*fn)(void *arg, uint32_t events, const struct why *why),
                              struct direct_udp **out)
{
    struct direct_udp *u = new_flow(env, conf, arg, fn);
    enum status st = u != NULL ? ST_OK : ST_E_NOMEM;

    *out = NULL;
    for (unsigned i = 0; i < 2 && st == ST_OK; i++) {
        if (sockets->fd[i] < 0)
            continue;
        u->half[i].dual = sockets->dual[i];
        st = loop_watch_add(env->loop, &u->half[i].watch, sockets->fd[i],
                            LOOP_IN | LOOP_OUT | LOOP_EDGE, on_ready);
        if (st == ST_OK)
            sockets->fd[i] = -1; /* the watch closes it */
    }
    direct_udp_sockets_close(sockets);
    if (st != ST_OK) {
        direct_udp_close(u);
        return st;
    }
    u->dflt = sockets->dflt;
    *out = u;
    return ST_OK;
}

/* The socket for the datagram at the head of @q, NULL when it must be dropped. */
static struct half *route(struct direct_udp *u, const struct span *s)
{
    const struct addr *to = s->peer.family != ADDR_NONE ? &s->peer : &u->dflt;
    struct half *h;

    if (to->family == ADDR_NONE || to->port == 0 || family_check(&u->conf, to, NULL) != ST_OK ||
        half_for(u, to->family, &h, NULL) != ST_OK)
        return NULL;
    return h;
}

static void on_names_ready(void *arg)
{
    struct direct_udp *u = arg;
    u->fn(u->arg, DIRECT_UDP_WRITABLE, &u->why);
}

/* Gives the datagram at the head of @q its address if it goes to a name. False: it is out of @q. */
static bool has_address(struct direct_udp *u, struct bufq *q)
{
    if (q->head->peer.family != ADDR_NAME)
        return true;
    if (u->names == NULL)
        u->names = udp_names_new(&u->env, &u->conf, u, on_names_ready);
    struct span *s = bufq_pop(q);
    enum status st = u->names == NULL ? ST_E_NOMEM : udp_names_find(u->names, s);
    if (st == ST_OK)
        bufq_unshift(q, s);
    if (st < 0) {
        span_free(u->env.pool, s);
        u->dropped++;
    }
    return st == ST_OK;
}

/* Moves the datagrams at the head of @q that go out by one and the same socket to @run; drops those
 * that go nowhere. */
static struct half *next_run(struct direct_udp *u, struct bufq *q, struct bufq *run)
{
    struct half *by = NULL;

    while (q->head != NULL) {
        if (q->head->peer.family == ADDR_NONE && u->resolving)
            break;
        if (!has_address(u, q))
            continue;
        struct half *h = route(u, q->head);
        if (h == NULL) {
            span_free(u->env.pool, bufq_pop(q));
            u->dropped++;
            continue;
        }
        if (by != NULL && by != h)
            break;
        by = h;
        bufq_push(run, bufq_pop(q));
    }
    return by;
}

static enum status send_queue(struct direct_udp *u, struct bufq *q, uint64_t *sent)
{
    struct bufq run;
    struct half *h;

    bufq_init(&run, UINT32_MAX);
    while ((h = next_run(u, q, &run)) != NULL) {
        uint64_t before = run.bytes;
        int err = 0;
        enum status st =
            udp_send(u->env.batch, h->watch.fd, h->dual, &run, &u->dflt, &u->dropped, &err);
        *sent += before - run.bytes;
        if (st == ST_OK)
            continue;
        /* What was not taken goes back to the front, in order. */
        bufq_move(&run, q);
        bufq_move(q, &run);
        return st == ST_FULL ? ST_FULL : why_set(&u->why, st, "UDP socket failed", err);
    }
    return bufq_empty(q) ? ST_OK : ST_MORE;
}

enum status direct_udp_send(struct direct_udp *u, struct bufq *q, uint64_t *sent)
{
    enum status st = ST_OK;

    *sent = 0;
    if (u->why.status != ST_OK)
        return u->why.status;
    if (u->names != NULL)
        st = send_queue(u, udp_names_ready(u->names), sent);
    return st == ST_OK ? send_queue(u, q, sent) : st;
}

enum status direct_udp_recv(struct direct_udp *u, struct bufq *q)
{
    enum status worst = ST_OK;

    for (unsigned i = 0; i < 2; i++) {
        if (u->half[i].watch.fd < 0)
            continue;
        enum status st = udp_recv(u->env.batch, u->half[i].watch.fd, q);
        if (st < 0 || st == ST_FULL)
            return st;
        if (st == ST_YIELD)
            worst = st;
    }
    return worst;
}

const struct addr *direct_udp_target(const struct direct_udp *u)
{
    return &u->dflt;
}

size_t direct_udp_dropped(const struct direct_udp *u)
{
    return u->dropped;
}

void direct_udp_take(struct direct_udp *u, struct direct_udp_sockets *out)
{
    out->dflt = u->dflt;
    for (unsigned i = 0; i < 2; i++) {
        out->fd[i] = u->half[i].watch.fd;
        out->dual[i] = u->half[i].dual;
        loop_watch_del(u->env.loop, &u->half[i].watch);
        u->half[i].watch.fd = -1;
    }
    direct_udp_close(u);
}

void direct_udp_sockets_close(struct direct_udp_sockets *sockets)
{
    for (unsigned i = 0; i < 2; i++) {
        if (sockets->fd[i] >= 0)
            close(sockets->fd[i]);
        sockets->fd[i] = -1;
    }
}

void direct_udp_close(struct direct_udp *u)
{
    if (u == NULL)
        return;
    resolve_cancel(&u->req);
    udp_names_free(u->names);
    for (unsigned i = 0; i < 2; i++) {
        int fd = u->half[i].watch.fd;
        if (fd < 0)
            continue;
        loop_watch_forget(u->env.loop, &u->half[i].watch);
        close(fd);
    }
    pool_release(u->env.pool, u, sizeof(*u));
}
