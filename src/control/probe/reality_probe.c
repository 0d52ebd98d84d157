#include "control/probe/reality_probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/proxy_header.h"
#include "control/probe/reality_verdict.h"
#include "crypto/rng.h"
#include "io/conn.h"
#include "io/dial.h"
#include "io/resolver.h"
#include "io/sockaddr.h"
#include "tls/probe_hello.h"
#include "tls/server_hello.h"
#include "transport/reality/target_watch.h"

#define IN_MAX   (64u * 1024)
#define HTTP_MAX 4096u
/* How long a tail is waited for. A journey there and back is known from the connect; the handshake
 * may have had to wait for other visitors. */
#define TAIL_MS     500u
#define TAIL_TRIPS  4u
#define TAIL_MS_MAX 5000u

struct reality_probe {
    struct reality_probe_conf conf;
    struct reality_probe_result result;
    struct resolve_req resolving;
    struct addr addrs[DIAL_ADDRS_MAX];
    size_t addr_count;
    struct dial *dial;
    struct conn conn;
    struct pool *pool;
    struct bufq in, out;
    struct timer deadline;
    struct task finish;
    struct rng rng;
    uint64_t began_ms, trip_ms; /* of the step: its begin, its connect */
    unsigned step;              /* enum reality_probe_step; 0: none yet */
    struct target_watch watch;
    struct tls_probe *tls;
    struct probe_tail *tail;
    bool asked;
    char http[HTTP_MAX + 1];
    size_t http_len;
};

static void next_step(struct reality_probe *p);

static void close_all(struct reality_probe *p)
{
    resolve_cancel(&p->resolving);
    dial_cancel(p->dial);
    p->dial = NULL;
    conn_close(&p->conn, false);
    bufq_clear(&p->in, p->pool);
    bufq_clear(&p->out, p->pool);
    tls_probe_free(p->tls);
    p->tls = NULL;
    if (p->tail != NULL)
        probe_tail_fini(p->tail);
    free(p->tail);
    p->tail = NULL;
}

/* The only thing that is asked for, or what the rest depends on. */
static bool is_first(const struct reality_probe *p)
{
    return p->step <= REALITY_PROBE_FLIGHT || p->step == REALITY_PROBE_TAIL;
}

void reality_probe_cancel(struct reality_probe *p)
{
    if (p == NULL)
        return;
    close_all(p);
    loop_timer_del(p->conf.loop, &p->deadline);
    loop_task_del(p->conf.loop, &p->finish);
    rng_fini(&p->rng);
    pool_free(p->pool);
    free(p);
}

static void on_finish(struct task *t)
{
    struct reality_probe *p = LIST_ENTRY(t, struct reality_probe, finish);
    struct reality_probe_result result = p->result;
    void (*done)(void *, const struct reality_probe_result *) = p->conf.done;
    void *arg = p->conf.arg;
    reality_probe_cancel(p);
    done(arg, &result);
}

/* The answer follows from the loop. */
static void finish(struct reality_probe *p)
{
    close_all(p);
    loop_timer_del(p->conf.loop, &p->deadline);
    loop_task_add(p->conf.loop, &p->finish);
}

static void take_tail(struct reality_probe *p)
{
    p->result.tail = REALITY_TAIL_LEARNT;
    p->result.tail_count = p->tail->count;
    memcpy(p->result.tail_len, p->tail->len, sizeof(p->result.tail_len));
    finish(p);
}

/* The step has failed; @down: there is nobody at all. */
static void fail(struct reality_probe *p, bool down, const char *text)
{
    if (p->tail != NULL && p->tail->counts) {
        take_tail(p); /* the end of it, too */
        return;
    }
    if (is_first(p)) {
        p->result.down = down;
        snprintf(p->result.problem, sizeof(p->result.problem), "%s", text);
        finish(p);
        return;
    }
    if (p->step == REALITY_PROBE_CERT)
        snprintf(p->result.cert_problem, sizeof(p->result.cert_problem), "%s", text);
    next_step(p);
}

static void fail_errno(struct reality_probe *p, int err)
{
    fail(p, true, err != 0 ? strerror(err) : "the connection fails");
}

static void on_deadline(struct timer *t)
{
    struct reality_probe *p = LIST_ENTRY(t, struct reality_probe, deadline);
    if (p->tail != NULL && p->tail->counts) {
        take_tail(p);
        return;
    }
    bool silent = p->step == 0 || p->conn.connecting || p->dial != NULL;
    char text[96];
    snprintf(text, sizeof(text), "%s within %u s",
             p->step == 0 && p->addr_count == 0 ? "its name cannot be looked up"
             : silent                           ? "does not take connections"
                                                : "does not answer",
             (p->conf.limit_ms + 500) / 1000);
    if (is_first(p)) {
        fail(p, silent, text);
        return;
    }
    if (p->step == REALITY_PROBE_CERT)
        snprintf(p->result.cert_problem, sizeof(p->result.cert_problem), "%s", text);
    finish(p);
}

/* ---- the steps ---- */

static void read_server_hello(struct reality_probe *p)
{
    uint8_t msg[SERVER_HELLO_MAX];
    struct server_hello h;
    size_t len = p->watch.shape.len[FLIGHT_SERVER_HELLO] - 5u;
    if (len <= sizeof(msg) && bufq_peek_at(&p->in, 5, msg, len) &&
        server_hello_parse(msg, len, &h) == ST_OK) {
        p->result.group = h.group;
        p->result.suite = h.suite;
    }
}

static void run_flight(struct reality_probe *p)
{
    struct reality_probe_result *r = &p->result;
    uint8_t head[512];
    enum status st = target_watch_run(&p->watch, &p->in);
    if (st == ST_MORE && !p->conn.eof && p->in.bytes < IN_MAX)
        return;
    if (st == ST_MORE && p->in.bytes == 0) {
        fail(p, false, "it ends the connection without an answer");
        return;
    }
    if (st != ST_OK) {
        size_t n = bufq_peek(&p->in, head, sizeof(head));
        const char *why = probe_hello_why(head, n);
        fail(p, false,
             p->watch.part > FLIGHT_SERVER_HELLO || why[0] == '\0'
                 ? "its first TLS 1.3 records cannot be imitated"
                 : why);
        return;
    }
    r->answer_ms = (uint32_t)(loop_now_ms(p->conf.loop) - p->began_ms);
    r->shape = p->watch.shape;
    read_server_hello(p);
    reality_verdict_fit(r, p->conf.mldsa);
    next_step(p);
}

/* Gives what has come to OpenSSL, and what that has to say to the server. */
static enum status talk_tls(struct reality_probe *p)
{
    enum status st = ST_MORE;
    struct span *sp;
    uint8_t buf[4096];
    size_t n;
    if (p->in.head == NULL)
        st = tls_probe_feed(p->tls, "", 0);
    while ((sp = bufq_pop(&p->in)) != NULL) {
        st = tls_probe_feed(p->tls, span_data(sp), sp->len);
        span_free(p->pool, sp);
    }
    while ((n = tls_probe_take(p->tls, buf, sizeof(buf))) > 0)
        if (bufq_put(&p->out, buf, n, p->pool) != ST_OK)
            return ST_E_NOMEM;
    return st;
}

static void run_cert(struct reality_probe *p)
{
    enum status st = talk_tls(p);
    if (st == ST_OK) {
        tls_probe_facts(p->tls, &p->result.facts);
        p->result.has_facts = true;
        next_step(p);
    } else if (st != ST_MORE || p->conn.eof) {
        fail(p, false,
             tls_probe_error(p->tls)[0] != '\0' ? tls_probe_error(p->tls)
                                                : "it ends the connection");
    }
}

static void run_http(struct reality_probe *p)
{
    char request[512];
    enum status st = talk_tls(p);
    if (st == ST_OK && !p->asked) {
        int n = snprintf(request, sizeof(request),
                         "GET / HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0\r\n"
                         "Accept: */*\r\nConnection: close\r\n\r\n",
                         p->conf.server_name);
        p->asked = true;
        if (n < 0 || (size_t)n >= sizeof(request) ||
            tls_probe_say(p->tls, request, (size_t)n) != ST_OK) {
            fail(p, false, "");
            return;
        }
        (void)talk_tls(p);
    }
    if (p->asked)
        p->http_len += tls_probe_hear(p->tls, p->http + p->http_len, HTTP_MAX - p->http_len);
    p->http[p->http_len] = '\0';
    if (strstr(p->http, "\r\n\r\n") != NULL || p->http_len == HTTP_MAX || p->conn.eof ||
        (st != ST_OK && st != ST_MORE)) {
        reality_verdict_http(&p->result, p->http);
        next_step(p);
    }
}

static enum status feed_tail(struct reality_probe *p)
{
    enum status st = p->tail->ready ? ST_OK : ST_MORE;
    struct span *sp;
    uint8_t buf[4096];
    size_t n;
    while ((sp = bufq_pop(&p->in)) != NULL) {
        if (st >= 0 && st != ST_EOF)
            st = probe_tail_feed(p->tail, span_data(sp), sp->len);
        span_free(p->pool, sp);
    }
    while (st >= 0 && (n = probe_tail_take(p->tail, buf, sizeof(buf))) > 0)
        if (bufq_put(&p->out, buf, n, p->pool) != ST_OK)
            return ST_E_NOMEM;
    return st;
}

static void run_tail(struct reality_probe *p)
{
    uint64_t wait = TAIL_MS + TAIL_TRIPS * p->trip_ms;
    enum status st = feed_tail(p);
    if (p->tail->counts) {
        if (st != ST_OK || p->conn.eof)
            take_tail(p);
    } else if (p->tail->ready && st >= 0) {
        /* What came in one go with the flight belongs to it. */
        probe_tail_begin(p->tail);
        loop_timer_in(p->conf.loop, &p->deadline, wait < TAIL_MS_MAX ? wait : TAIL_MS_MAX);
    } else if (st == ST_E_PROTO) {
        p->result.tail = REALITY_TAIL_REFUSED;
        fail(p, false, tls_probe_error(p->tail->tls));
    } else if (st < 0 || p->conn.eof) {
        fail(p, false, st < 0 ? status_str(st) : "it ends the connection");
    }
}

static void run(struct reality_probe *p)
{
    unsigned step = p->step;
    int err = 0;
    while (p->conn.readable && !p->conn.eof && p->in.bytes < IN_MAX) {
        enum status st = conn_read(&p->conn, &p->in, IN_MAX, p->pool, &err);
        if (st == ST_MORE || st == ST_EOF)
            break;
        if (st != ST_OK) {
            fail_errno(p, err);
            return;
        }
    }
    if (step == REALITY_PROBE_FLIGHT)
        run_flight(p);
    else if (step == REALITY_PROBE_CERT)
        run_cert(p);
    else if (step == REALITY_PROBE_HTTP)
        run_http(p);
    else
        run_tail(p);
    if (p->step == step && conn_is_open(&p->conn) && p->out.head != NULL && p->conn.writable &&
        conn_write(&p->conn, &p->out, p->pool, NULL, &err) < 0)
        fail_errno(p, err);
}

/* ---- connections ---- */

static bool put_proxy_header(struct reality_probe *p)
{
    uint8_t header[PROXY_HEADER_BUILD_MAX];
    struct addr local = {.family = ADDR_NONE};
    if (p->conf.dest->xver == 0)
        return true;
    sockaddr_local(p->conn.watch.fd, &local);
    size_t n = proxy_header_build(header, p->conf.dest->xver, &local, &local);
    return bufq_put(&p->out, header, n, p->pool) == ST_OK;
}

static bool begin_tail(struct reality_probe *p)
{
    p->tail = calloc(1, sizeof(*p->tail));
    return p->tail != NULL &&
           probe_tail_init(p->tail, p->conf.server_name, p->conf.alpn, p->conf.suite) == ST_OK &&
           feed_tail(p) == ST_MORE;
}

static bool begin(struct reality_probe *p)
{
    uint8_t hello[PROBE_HELLO_MAX], seed[PROBE_HELLO_SEED];
    if (!put_proxy_header(p))
        return false;
    if (p->step == REALITY_PROBE_TAIL)
        return begin_tail(p);
    if (p->step != REALITY_PROBE_FLIGHT)
        return tls_probe_new(p->conf.server_name,
                             p->step == REALITY_PROBE_HTTP ? TLS_PROBE_HTTP11 : TLS_PROBE_H2_FIRST,
                             loop_unix_s(p->conf.loop), &p->tls) == ST_OK;
    rng_bytes(&p->rng, seed, sizeof(seed));
    size_t n = probe_hello_build(hello, p->conf.server_name, seed);
    return bufq_put(&p->out, hello, n, p->pool) == ST_OK;
}

static void on_conn(struct conn *c)
{
    struct reality_probe *p = LIST_ENTRY(c, struct reality_probe, conn);
    int err = 0;
    if (c->connecting) {
        enum status st = conn_connected(c, &err);
        if (st == ST_MORE)
            return;
        if (st != ST_OK) {
            fail_errno(p, err);
            return;
        }
        p->trip_ms = loop_now_ms(p->conf.loop) - p->began_ms;
    }
    run(p);
}

static void connected(struct reality_probe *p, const struct dial_result *d)
{
    if (d->status != ST_OK) {
        fail_errno(p, d->err);
        return;
    }
    if (conn_open(&p->conn, p->conf.loop, d->fd, !d->connected, on_conn) != ST_OK || !begin(p)) {
        fail(p, false, "out of memory");
        return;
    }
    p->trip_ms = loop_now_ms(p->conf.loop) - p->began_ms;
    if (d->connected)
        run(p);
}

static void on_dialed(void *arg, const struct dial_result *d)
{
    struct reality_probe *p = arg;
    p->dial = NULL;
    connected(p, d);
}

static void next_step(struct reality_probe *p)
{
    struct dial_conf dial = {.timeout_ms = p->conf.limit_ms};
    struct dial_result now = {.status = ST_E_IO};
    unsigned next = p->step != 0                          ? p->step << 1
                    : p->conf.steps == REALITY_PROBE_TAIL ? REALITY_PROBE_TAIL
                                                          : REALITY_PROBE_FLIGHT;
    close_all(p);
    while (next <= REALITY_PROBE_HTTP && next != REALITY_PROBE_FLIGHT &&
           (p->conf.steps & next) == 0)
        next <<= 1;
    bool last = p->step != 0 && next > REALITY_PROBE_HTTP;
    if (last || p->result.problem[0] != '\0') {
        finish(p);
        return;
    }
    p->step = next;
    p->in.eof = false;
    p->began_ms = loop_now_ms(p->conf.loop);
    if (p->conf.dest->path != NULL)
        (void)!dial_unix(p->conf.dest->path, p->conf.dest->padded, &now);
    else if (dial_start(p->conf.loop, &dial, p->addrs, p->addr_count, p, on_dialed, &now,
                        &p->dial) == ST_MORE)
        return;
    connected(p, &now);
}

static void take_addresses(struct reality_probe *p, const struct resolve_answer *a)
{
    if (a->status != ST_OK || a->count == 0) {
        fail(p, true,
             a->status == ST_E_NOTFOUND ? "its name does not exist"
                                        : "its name cannot be looked up");
        return;
    }
    p->addr_count = a->count < DIAL_ADDRS_MAX ? a->count : DIAL_ADDRS_MAX;
    for (size_t i = 0; i < p->addr_count; i++) {
        p->addrs[i] = a->addrs[i];
        p->addrs[i].port = p->conf.dest->target.addr.port;
    }
    dial_interleave(p->addrs, p->addr_count, (enum addr_family)p->addrs[0].family);
    next_step(p);
}

static void on_resolved(struct resolve_req *q, const struct resolve_answer *a)
{
    take_addresses(LIST_ENTRY(q, struct reality_probe, resolving), a);
}

static void find_addresses(struct reality_probe *p)
{
    const struct target *t = &p->conf.dest->target;
    struct resolve_answer now;
    if (p->conf.dest->path != NULL) {
        next_step(p);
    } else if (t->host_len == 0) {
        p->addrs[0] = t->addr;
        p->addr_count = 1;
        next_step(p);
    } else if (p->conf.resolver == NULL) {
        fail(p, true, "its name cannot be looked up");
    } else if (resolver_get(p->conf.resolver, t->host, RESOLVE_ANY, &p->resolving, on_resolved,
                            &now) != ST_MORE) {
        take_addresses(p, &now);
    }
}

struct reality_probe *reality_probe_start(const struct reality_probe_conf *conf)
{
    struct reality_probe *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->conf = *conf;
    if (p->conf.limit_ms == 0)
        p->conf.limit_ms = REALITY_PROBE_MS;
    p->pool = pool_new(0);
    if (p->pool == NULL || rng_init(&p->rng) != ST_OK) {
        if (p->pool != NULL)
            pool_free(p->pool);
        free(p);
        return NULL;
    }
    p->conn.watch.fd = -1;
    bufq_init(&p->in, IN_MAX);
    bufq_init(&p->out, IN_MAX);
    timer_init(&p->deadline, on_deadline);
    task_init(&p->finish, on_finish);
    loop_timer_in(conf->loop, &p->deadline, p->conf.limit_ms);
    find_addresses(p);
    return p;
}
