/* From the request to the relay: counts the user in, dials his target (or the fallback), begins
 * the relay. */
#include <stdio.h>
#include <string.h>

#include "codec/proxy_header.h"
#include "io/dial.h"
#include "io/sockaddr.h"
#include "session/carrier.h"
#include "session/relay.h"
#include "session/screen.h"
#include "session/session.h"
#include "session/worker.h"
#include "session/workers.h"

#define DIAL_DEADLINE_MS 15000
#define RELAY_QUEUE_CAP  (1024u * 1024 + 256u * 1024) /* a bulk turn and what the last one left */
#define MUX_NAME         "v1.mux.cool"                /* Xray-core common/mux/server.go; any port */
#define SING_MUX_NAME    "sp.mux.sing-box.arpa"

static void on_target(struct conn *c)
{
    session_run(LIST_ENTRY(c, struct session, target));
}

static void fail(struct session *s, enum status st, const char *text, long number)
{
    struct why why = {st, text, number};
    session_give_up(s, &why);
}

static void no_stranger_any_more(struct session *s)
{
    if (!s->stranger)
        return;
    s->stranger = false;
    admission_known(&s->wn->worker->admission, &s->source);
    worker_count_down(&s->wn->stats->handshaking);
}

static void raise_caps(struct chain *c)
{
    for (unsigned i = 0; i <= c->count; i++)
        c->in[i].cap = c->out[i].cap = RELAY_QUEUE_CAP;
}

/* @out: where it goes, as Xray-core writes it. */
static void write_access_line(struct session *s, bool udp, const struct target *t, const char *out)
{
    struct worker *w = s->wn->worker;
    if (w->access == NULL)
        return;
    char from[ADDR_STRLEN], to[TARGET_STRLEN], line[640];
    int n = snprintf(line, sizeof(line), "%lld from tcp:%s accepted %s:%s [%s -> %s] user: %llu\n",
                     (long long)loop_unix_s(w->loop), addr_str(&s->info.peer, from),
                     udp ? "udp" : "tcp", target_str(t, to), s->wn->view->node->tag, out,
                     (unsigned long long)s->user->uid);
    if (n > 0)
        w->access->write(w->access, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

/* The line that waited. */
static void settle_access_line(struct session *s, bool allowed)
{
    if (!s->access_due)
        return;
    s->access_due = false;
    if (s->target_name != NULL)
        write_access_line(s, false, s->target_name, allowed ? "direct" : "block");
}

void session_settle_access(struct session *s)
{
    settle_access_line(s, true);
}

static void forget_target(struct session *s)
{
    pool_release(s->wn->worker->pool, s->target_name, sizeof(*s->target_name));
    s->target_name = NULL;
}

/* The target (or fallback) is connected: relay from now on. Frees what only the opening needed. */
static void begin_relay(struct session *s)
{
    struct worker *w = s->wn->worker;
    /* The answers of a stream's flow are labelled with the name. */
    bool label =
        s->port && s->state == SESSION_PACKETS && s->target_name && s->target_name->host_len;
    if (!label && !s->unheard)
        forget_target(s);
    conn_info_clear(w->pool, &s->info);
    s->env.users = NULL;
    s->fallback = NULL;
    raise_caps(&s->in);
    s->active_ms = loop_now_ms(w->loop);
    session_deadline(s, s->idle_ms);
    session_run(s); /* the stream may have been cut off meanwhile */
}

/* The PROXY header a fallback wants comes before everything the client sent. */
static enum status put_proxy_header(struct session *s, struct bufq *out)
{
    if (s->fallback == NULL || s->fallback->xver == 0)
        return ST_OK;
    if (s->info.local.family == ADDR_NONE)
        sockaddr_local(s->client.watch.fd, &s->info.local);
    uint8_t head[PROXY_HEADER_BUILD_MAX];
    size_t n = proxy_header_build(head, s->fallback->xver, &s->info.peer, &s->info.local);
    return bufq_put(out, head, n, s->wn->worker->pool);
}

static void connected(struct session *s)
{
    enum status st = ST_OK;
    if (s->out.in == NULL) /* adopted: made when the helper stream was taken over */
        st = chain_init(&s->out, &s->env, NULL, 0);
    if (st == ST_OK)
        st = put_proxy_header(s, chain_down(&s->out));
    if (st != ST_OK) {
        fail(s, st, "no memory for the relay", 0);
        return;
    }
    raise_caps(&s->out);
    s->state = SESSION_RELAY;
    begin_relay(s);
}

/* While the target connects its events come here through session_run's DIALING state. */
static void on_connecting(struct conn *c)
{
    struct session *s = LIST_ENTRY(c, struct session, target);
    int err = 0;
    enum status st = conn_connected(c, &err);
    if (st == ST_MORE)
        return;
    if (st != ST_OK) {
        fail(s, ST_E_IO, "connecting to the target", err);
        return;
    }
    c->notify = on_target;
    connected(s);
}

static void take_fd(struct session *s, int fd, bool is_connected)
{
    enum status st = conn_open(&s->target, s->wn->worker->loop, fd, !is_connected,
                               is_connected ? on_target : on_connecting);
    if (st != ST_OK) {
        fail(s, st, "cannot watch the target's socket", 0);
        return;
    }
    if (is_connected)
        connected(s);
    else
        session_deadline(s, DIAL_DEADLINE_MS);
}

void session_dialed(struct session *s, const struct direct_result *r)
{
    session_settle_access(s);
    if (r->status != ST_OK)
        fail(s, r->why.status, r->why.text, r->why.number);
    else
        take_fd(s, r->fd, r->connected);
}

static void on_dialed(struct direct_dial *h, const struct direct_result *r)
{
    session_dialed(LIST_ENTRY(h, struct session, dial), r);
}

static void dial(struct session *s, const struct direct_conf *conf, const struct target *t)
{
    struct worker *w = s->wn->worker;
    struct direct_result now;
    s->state = SESSION_DIALING;
    session_deadline(s, DIAL_DEADLINE_MS);
    enum status st = direct_dial_start(&s->dial, &w->out, conf, t, on_dialed, &now);
    if (st != ST_MORE)
        session_dialed(s, &now);
}

/* ---- what the name of a target stands for ---- */

static bool allow_addresses(struct session *s, bool udp, const struct resolve_answer *answer,
                            uint16_t port)
{
    const struct screen_flow f = {.wn = s->wn, .user = s->user, .peer = &s->info.peer};
    return screen_addresses(&f, udp, answer, port);
}

static bool allow_stream(void *arg, const struct resolve_answer *answer, uint16_t port)
{
    struct session *s = arg;
    bool allowed = allow_addresses(s, false, answer, port);
    settle_access_line(s, allowed);
    return allowed;
}

static bool allow_datagrams(void *arg, const struct resolve_answer *answer, uint16_t port)
{
    return allow_addresses(arg, true, answer, port);
}

/* How @s goes out for its user. */
static struct direct_conf way_out(struct session *s, direct_allow_fn *allow)
{
    struct direct_conf conf;
    direct_conf_of(&conf, s->view->node);
    conf.allow = allow;
    conf.allow_arg = s;
    return conf;
}

static void keep_target(struct session *s, const struct target *t)
{
    /* Only for logs: without memory the line says less. */
    s->target_name = pool_alloc(s->wn->worker->pool, sizeof(*t));
    if (s->target_name)
        *s->target_name = *t;
}

static uint32_t packets_idle_ms(const struct session *s, const struct request *req)
{
    uint32_t idle = s->view->node->timeouts.idle;
    /* One question to a server of names, as far as that is all that the flow is for. */
    bool dns = req->target.addr.port == 53 && !req->addressed && s->port == NULL;
    uint32_t most = dns ? 20000 : 120000;
    return idle < most ? idle : most;
}

/* Names that are no targets but ask for another protocol inside the stream. Whether the request is
 * done with: the session goes another way, or ends. */
static bool asks_for_streams(struct session *s, const struct request *req)
{
    bool mux = req->network == NETWORK_MUX;
    bool named = req->network == NETWORK_TCP && req->target.host_len > 0;
    if (named && strcmp(req->target.host, SING_MUX_NAME) == 0) {
        fail(s, ST_E_UNSUPPORTED, "sing-box's multiplex is not supported: turn it off", 0);
        return true;
    }
    mux |= named && strcmp(req->target.host, MUX_NAME) == 0;
    if (!mux)
        return false;
    if (s->port)
        fail(s, ST_E_PROTO, "mux: a carrier inside a carrier", 0);
    else
        carrier_begin(s, req->datagrams_only);
    return true;
}

static void end_for_a_newer_one(struct claim *c)
{
    session_end(LIST_ENTRY(c, struct session, claim));
}

/* Counts the user in. False: nothing is left to open. */
static bool begin_request(struct session *s, const struct request *req)
{
    const struct view_timeouts *t = &s->view->node->timeouts;
    user_ref(req->user);
    s->user = req->user;
    atomic_fetch_add_explicit(&s->user->sessions, 1, memory_order_relaxed);
    no_stranger_any_more(s);
    struct why why = {0};
    if (!claim_device(&s->claim, s->wn, s->user, &s->info.peer, &why)) {
        session_give_up(s, &why);
        return false;
    }
    if (asks_for_streams(s, req))
        return false;
    keep_target(s, &req->target);
    enum conn_class class = req->network == NETWORK_TCP ? CONN_TCP : CONN_UDP;
    s->claim.end = end_for_a_newer_one;
    if (!claim_stream(&s->claim, s->wn, s->user, class, &why)) {
        session_give_up(s, &why);
        return false;
    }
    worker_count(&s->wn->stats->served, 1);
    s->uplink_only_ms = t->uplink_only;
    s->downlink_only_ms = t->downlink_only;
    s->idle_ms = req->network == NETWORK_TCP ? t->idle : packets_idle_ms(s, req);
    return true;
}

static void packets_opened(struct session *s, const struct why *why)
{
    if (why->status != ST_OK)
        session_give_up(s, why);
    else
        begin_relay(s);
}

/* What a rule says no to ends as what cannot be reached; screen.h has logged and counted it. */
static void end_blocked(struct session *s)
{
    fail(s, ST_E_REFUSED, NULL, 0);
}

static void dial_target(struct session *s, const struct target *t)
{
    struct direct_conf conf = way_out(s, allow_stream);
    /* TCP_FASTOPEN_CONNECT sends its SYN with the first bytes: without any the target, which may be
     * the one to speak first, would never hear of it. */
    conf.tfo = conf.tfo && chain_up(&s->in)->head != NULL;
    dial(s, &conf, t);
}

/* What is @allowed by its name may yet be blocked by what the name stands for: the line of a stream
 * waits for that. What is not allowed ends. */
static void take_verdict(struct session *s, bool udp, const struct target *t, bool allowed)
{
    s->access_due = allowed && !udp && t->host_len > 0 && s->wn->worker->access != NULL &&
                    screen_has_networks(s->wn);
    if (!s->access_due)
        write_access_line(s, udp, t, allowed ? "direct" : "block");
    if (!allowed)
        end_blocked(s);
}

/* True: the request may go on. Else @s waits, or has ended. */
static bool screened(struct session *s, const struct request *req)
{
    enum screen_answer answer = screen_request(s, req);
    if (answer != SCREEN_WAIT)
        take_verdict(s, req->network == NETWORK_UDP, &req->target, answer == SCREEN_PASS);
    return answer == SCREEN_PASS;
}

void session_screened(struct session *s, bool allowed)
{
    take_verdict(s, false, s->target_name, allowed);
    if (allowed)
        dial_target(s, s->target_name);
}

void session_request(struct session *s, const struct request *req)
{
    struct why why = {0};
    if (!begin_request(s, req) || !screened(s, req))
        return;
    if (req->network == NETWORK_TCP) {
        dial_target(s, &req->target);
        return;
    }
    struct direct_conf conf = way_out(s, allow_datagrams);
    s->state = SESSION_PACKETS;
    relay_packets_open(s, &conf, req->addressed ? NULL : &req->target, &why);
    packets_opened(s, &why);
}

void session_request_moved(struct session *s, const struct request *req)
{
    if (!begin_request(s, req) || !screened(s, req))
        return;
    s->state = SESSION_DIALING;
    session_deadline(s, DIAL_DEADLINE_MS);
}

void session_flow_given(struct session *s, struct direct_udp_sockets *sockets)
{
    struct direct_conf conf = way_out(s, allow_datagrams);
    struct why why = {0};
    bool parked = s->state == SESSION_PARKED;
    if (sockets->fd[0] >= 0 || sockets->fd[1] >= 0) {
        forget_target(s); /* the flow had another first target */
        screen_free(s->screen, s->wn->worker->pool);
        s->screen = NULL;
        relay_packets_reopen(s, &conf, sockets, &why);
    } else if (s->target_name) {
        relay_packets_open(s, &conf, s->target_name, &why);
    } else {
        why_set(&why, ST_E_NOMEM, "no memory for a UDP flow", 0);
    }
    if (parked && why.status == ST_OK) {
        s->state = SESSION_PARKED;
        return;
    }
    s->state = SESSION_PACKETS;
    packets_opened(s, &why);
}

void session_divert(struct session *s)
{
    const struct view_node *n = s->view->node;
    chain_divert(&s->in);
    struct bufq *up = chain_up(&s->in);
    uint8_t first[128];
    size_t len = bufq_peek(up, first, sizeof(first));
    s->fallback =
        n->fallback ? fallback_find(n->fallback, s->info.sni, s->info.alpn, first, len) : NULL;
    if (s->fallback == NULL) {
        session_end(s); /* nothing is said but what TLS says at its end */
        return;
    }
    no_stranger_any_more(s);
    worker_count(&s->wn->stats->diverted, 1);
    s->idle_ms = n->timeouts.idle;
    s->uplink_only_ms = n->timeouts.uplink_only;
    s->downlink_only_ms = n->timeouts.downlink_only;
    if (s->fallback->kind == FALLBACK_UNIX) {
        struct dial_result r;
        s->state = SESSION_DIALING;
        enum status st = dial_unix(s->fallback->host, s->fallback->padded, &r);
        if (st == ST_OK)
            take_fd(s, r.fd, true);
        else
            fail(s, st, "connecting to the fallback", r.err);
        return;
    }
    struct target t;
    if (target_set_host(&t, s->fallback->host, strlen(s->fallback->host), s->fallback->port) !=
        ST_OK) {
        fail(s, ST_E_CONFIG, "fallback destination is no host name", 0);
        return;
    }
    keep_target(s, &t);
    struct direct_conf conf = {.allow_private = true};
    dial(s, &conf, &t);
}

/* ST_OK or ST_E_NOMEM. */
static enum status put_brakes(struct session *s, const struct aux_dest *dest)
{
    struct worker *w = s->wn->worker;
    uint64_t now = loop_now_us(w->loop);
    if (dest->up.rate == 0 && dest->down.rate == 0)
        return ST_OK;
    s->brakes = pool_alloc(w->pool, sizeof(*s->brakes));
    if (s->brakes == NULL)
        return ST_E_NOMEM;
    brake_init(&s->brakes->up, &dest->up, now);
    brake_init(&s->brakes->down, &dest->down, now);
    return ST_OK;
}

/* The helper's connection is the session's target already; it may still be under way. */
void session_adopt(struct session *s)
{
    const struct view_node *n = s->view->node;
    struct aux *x = s->env.aux;
    chain_divert(&s->in);
    if ((x->failed && x->in.head == NULL) || put_brakes(s, x->dest) != ST_OK ||
        chain_init(&s->out, &s->env, NULL, 0) != ST_OK) {
        session_close(s, x->open); /* the helper is not there, or has reset: so do we */
        return;
    }
    no_stranger_any_more(s);
    worker_count(&s->wn->stats->diverted, 1);
    s->mirror = true;
    s->idle_ms = n->timeouts.idle;
    s->uplink_only_ms = s->downlink_only_ms = n->timeouts.idle;
    bufq_move(chain_down(&s->out), &x->out);
    bufq_move(chain_bottom_in(&s->out), &x->in);
    chain_bottom_in(&s->out)->eof = x->in.eof && !x->failed;
    /* What it said before its reset still arrives, then the reset. */
    s->target_failed = s->target.broken = x->failed;
    bool open = x->open;
    session_aux_free(s);
    if (open) {
        s->target.notify = on_target;
        connected(s);
        return;
    }
    s->state = SESSION_DIALING;
    session_deadline(s, DIAL_DEADLINE_MS);
    if (conn_is_open(&s->target))
        s->target.notify = on_connecting;
}
