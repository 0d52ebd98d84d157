#include "outbound/direct.h"

#include <errno.h>
#include <string.h>

#include "io/dial.h"
#include "outbound/family.h"

/* What a dial needs while it waits, for a name or for a race. */
struct direct_dialing {
    struct direct_dial *handle;
    struct direct_env env;
    struct direct_conf conf;
    uint16_t port;
    uint64_t deadline_ms;
    void (*fn)(struct direct_dial *, const struct direct_result *);
    struct dial *race;
    struct resolve_req req;
};

void direct_conf_of(struct direct_conf *conf, const struct view_node *node)
{
    *conf = (struct direct_conf){
        .ip_strategy = node->ip_strategy,
        .send_ip4 = node->send_ip4,
        .send_ip6 = node->send_ip6,
        .allow_private = node->allow_private,
        .tfo = node->tfo,
    };
    /* 0.0.0.0 and :: are how an operator says "any". */
    if (addr_is_any(&conf->send_ip4))
        conf->send_ip4.family = ADDR_NONE;
    if (addr_is_any(&conf->send_ip6))
        conf->send_ip6.family = ADDR_NONE;
}

static enum status refuse(struct direct_result *res, struct why why)
{
    *res = (struct direct_result){.status = why.status, .fd = -1, .why = why};
    return why.status;
}

/* Translates the dialer's result, whose fd it takes over. */
static enum status take_result(struct direct_result *res, const struct dial_result *from)
{
    const char *text = "connection failed";

    if (from->status == ST_E_TIMEOUT)
        text = "connection timed out";
    else if (from->status == ST_E_LIMIT)
        text = "no descriptor left";
    else if (from->status == ST_E_NOMEM)
        text = "no memory for a connection";
    *res = (struct direct_result){
        .status = from->status, .fd = from->fd, .connected = from->connected, .addr = from->addr};
    if (from->status != ST_OK)
        (void)why_set(&res->why, from->status, text, from->err);
    return from->status;
}

static struct dial_conf dial_conf_of(const struct direct_conf *conf, uint64_t left_ms)
{
    return (struct dial_conf){
        .bind4 = conf->send_ip4,
        .bind6 = conf->send_ip6,
        .tfo = conf->tfo,
        .timeout_ms = (uint32_t)left_ms,
    };
}

static void end_dialing(struct direct_dialing *d)
{
    d->handle->busy = NULL;
    pool_release(d->env.pool, d, sizeof(*d));
}

static void finish(struct direct_dialing *d, const struct direct_result *res)
{
    struct direct_dial *h = d->handle;
    void (*fn)(struct direct_dial *, const struct direct_result *) = d->fn;

    end_dialing(d);
    fn(h, res);
}

static void on_dialed(void *arg, const struct dial_result *from)
{
    struct direct_dialing *d = arg;
    struct direct_result res;

    d->race = NULL;
    take_result(&res, from);
    finish(d, &res);
}

/* Dials what the name stands for: ST_OK, ST_MORE (a race), or an error, as direct_dial_start. */
static enum status dial_answer(struct direct_dialing *d, const struct resolve_answer *answer,
                               struct direct_result *res)
{
    struct addr addrs[RESOLVE_ADDRS_MAX];
    struct why why = {0};
    struct dial_result now;
    uint64_t now_ms = loop_now_ms(d->env.loop);
    size_t n;

    if (answer->status != ST_OK)
        return refuse(res, family_lookup_failed(answer->status));
    n = family_pick(&d->conf, answer, d->port, addrs, &why);
    if (n == 0)
        return refuse(res, why);
    if (now_ms >= d->deadline_ms)
        return refuse(res, family_lookup_failed(ST_E_TIMEOUT));
    const struct dial_conf conf = dial_conf_of(&d->conf, d->deadline_ms - now_ms);
    enum status st = dial_start(d->env.loop, &conf, addrs, n, d, on_dialed, &now, &d->race);
    return st == ST_MORE ? ST_MORE : take_result(res, &now);
}

static void on_resolved(struct resolve_req *req, const struct resolve_answer *answer)
{
    struct direct_dialing *d = LIST_ENTRY(req, struct direct_dialing, req);
    struct direct_result res;

    if (dial_answer(d, answer, &res) != ST_MORE)
        finish(d, &res);
}

static enum status dial_ip(const struct direct_env *env, const struct direct_conf *conf,
                           const struct addr *a, struct direct_result *now)
{
    struct why why = {0};
    struct dial_result from;
    struct dial *race;

    if (family_check(conf, a, &why) != ST_OK)
        return refuse(now, why);
    const struct dial_conf how = dial_conf_of(conf, 0);
    enum status st = dial_start(env->loop, &how, a, 1, NULL, NULL, &from, &race);
    BUG_ON(st == ST_MORE); /* a single address never waits */
    return take_result(now, &from);
}

enum status direct_dial_start(struct direct_dial *h, const struct direct_env *env,
                              const struct direct_conf *conf, const struct target *t,
                              void (*fn)(struct direct_dial *, const struct direct_result *),
                              struct direct_result *now)
{
    struct why why = {0};
    struct resolve_answer answer;
    enum resolve_want want;
    struct direct_dialing *d;
    enum status st;

    h->busy = NULL;
    if (t->addr.port == 0)
        return refuse(now, (struct why){ST_E_REFUSED, "port 0", 0});
    if (t->host_len == 0)
        return dial_ip(env, conf, &t->addr, now);
    if (family_want(conf, &want, &why) != ST_OK)
        return refuse(now, why);
    d = pool_alloc(env->pool, sizeof(*d));
    if (d == NULL)
        return refuse(now, (struct why){ST_E_NOMEM, "no memory for a connection", ENOMEM});
    d->handle = h;
    d->env = *env;
    d->conf = *conf;
    d->port = t->addr.port;
    d->fn = fn;
    d->deadline_ms =
        loop_now_ms(env->loop) + (conf->timeout_ms != 0 ? conf->timeout_ms : DIAL_TIMEOUT_MS);
    h->busy = d;
    st = resolver_get(env->resolver, t->host, want, &d->req, on_resolved, &answer);
    if (st != ST_MORE)
        st = dial_answer(d, &answer, now);
    if (st != ST_MORE)
        end_dialing(d);
    return st;
}

void direct_dial_cancel(struct direct_dial *h)
{
    struct direct_dialing *d = h->busy;

    if (d == NULL)
        return;
    resolve_cancel(&d->req);
    dial_cancel(d->race);
    end_dialing(d);
}
