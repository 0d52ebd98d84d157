#include "control/redis/redis_stream.h"

#include <string.h>

#include "control/config/config_device_store.h"
#include "tls/client.h"

#define READ_MAX (64u * 1024) /* then others get their turn */
#define PIECE    16384u

/* ---- trouble ---- */

void redis_stream_close(struct redis_stream *s)
{
    resolve_cancel(&s->resolving);
    dial_cancel(s->dial);
    s->dial = NULL;
    loop_task_del(s->conf.loop, &s->turn);
    conn_close(&s->conn, false);
    bufq_clear(&s->in, s->pool);
    bufq_clear(&s->plain, s->pool);
    bufq_clear(&s->out, s->pool);
    s->in.eof = false;
    tls_client_free(s->tls);
    s->tls = NULL;
    s->ready = false;
}

static void fail(struct redis_stream *s, const char *why)
{
    redis_stream_close(s);
    s->conf.failed(s, why);
}

static void fail_errno(struct redis_stream *s, int err)
{
    fail(s, err != 0 ? strerror(err) : "the connection fails");
}

/* ---- bytes ---- */

/* Lets OpenSSL seal what there is to say, and collects what that makes of it. */
static enum status seal(struct redis_stream *s)
{
    enum status st = ST_OK;
    uint8_t piece[PIECE];
    struct span *sp;
    size_t n;

    while (s->ready && st == ST_OK && (sp = bufq_pop(&s->plain)) != NULL) {
        st = tls_client_say(s->tls, span_data(sp), sp->len);
        span_free(s->pool, sp);
    }
    while (st == ST_OK && (n = tls_client_take(s->tls, piece, sizeof(piece))) > 0)
        st = bufq_put(&s->out, piece, n, s->pool);
    return st;
}

/* False: the stream is closed. */
static bool give_out(struct redis_stream *s)
{
    int err = 0;

    enum status st = s->tls != NULL ? seal(s) : ST_OK;
    if (st != ST_OK) {
        fail(s, st == ST_E_NOMEM ? "no memory" : "TLS with it fails");
        return false;
    }
    if (!bufq_empty(&s->out) && s->conn.writable &&
        conn_write(&s->conn, &s->out, s->pool, NULL, &err) < 0) {
        fail_errno(s, err);
        return false;
    }
    return true;
}

/* The alert that goes with it is for the server's log. */
static void fail_tls(struct redis_stream *s, enum status st)
{
    char why[160] = "no memory";
    const char *text = tls_client_error(s->tls);

    if (st == ST_EOF)
        text = "it closed the connection";
    bufq_clear(&s->plain, s->pool); /* nothing more is sealed */
    if (st != ST_E_NOMEM)
        memcpy(why, text, strnlen(text, sizeof(why) - 1) + 1);
    if (st != ST_E_PROTO || give_out(s))
        fail(s, why);
}

/* Opens what has come. False: the stream is closed. */
static bool open_records(struct redis_stream *s, const void *data, size_t len)
{
    enum status st = tls_client_feed(s->tls, data, len);
    uint8_t piece[PIECE];
    size_t n;

    if (st == ST_OK && !s->ready) {
        s->ready = true;
        s->conf.opened(s);
    }
    while (conn_is_open(&s->conn) && (n = tls_client_hear(s->tls, piece, sizeof(piece))) > 0)
        s->conf.came(s, piece, n);
    if (!conn_is_open(&s->conn))
        return false;
    st = tls_client_feed(s->tls, "", 0); /* what the last of it was */
    if (st == ST_OK || st == ST_MORE)
        return true;
    fail_tls(s, st);
    return false;
}

static bool take_in(struct redis_stream *s)
{
    struct span *sp;
    bool open = true;

    while (open && (sp = bufq_pop(&s->in)) != NULL) {
        if (s->tls != NULL) {
            open = open_records(s, span_data(sp), sp->len);
        } else {
            s->conf.came(s, span_data(sp), sp->len);
            open = conn_is_open(&s->conn);
        }
        span_free(s->pool, sp);
    }
    return open;
}

static void run(struct redis_stream *s)
{
    enum status st = ST_MORE;
    int err = 0;

    if (s->conn.readable)
        st = conn_read(&s->conn, &s->in, READ_MAX, s->pool, &err);
    if (!take_in(s))
        return;
    if (st == ST_EOF)
        fail(s, redis_stream_shakes_hands(s) ? "it ends the TLS handshake"
                                             : "it closed the connection");
    else if (st < 0)
        fail_errno(s, err);
    else if (give_out(s) && s->conn.readable)
        loop_task_add(s->conf.loop, &s->turn);
}

static void on_turn(struct task *t)
{
    run(LIST_ENTRY(t, struct redis_stream, turn));
}

enum status redis_stream_write(struct redis_stream *s, const void *data, size_t len)
{
    loop_task_add(s->conf.loop, &s->turn);
    return bufq_put(s->tls != NULL ? &s->plain : &s->out, data, len, s->pool);
}

bool redis_stream_shakes_hands(const struct redis_stream *s)
{
    return s->tls != NULL && !s->ready;
}

/* ---- connecting ---- */

static enum status begin_tls(struct redis_stream *s, struct cert_error *err)
{
    const struct config_device_store *store = s->conf.store;
    const struct tls_client_conf conf = {
        .name = store->server_name[0] != '\0' ? store->server_name : store->host,
        .ca = store->ca,
        .cert = store->cert_file,
        .key = store->key_file,
        .insecure = store->insecure,
    };
    enum status st = tls_client_new(&conf, &s->tls, err);

    if (st != ST_OK)
        return st;
    st = tls_client_feed(s->tls, "", 0);
    return st == ST_MORE ? ST_OK : st;
}

static void connected(struct redis_stream *s)
{
    struct cert_error err = {.text = ""};
    enum status st = ST_OK;

    if (s->conf.store->tls) {
        st = begin_tls(s, &err);
    } else {
        s->ready = true;
        s->conf.opened(s);
        if (!conn_is_open(&s->conn))
            return;
    }
    if (st != ST_OK)
        fail(s, err.text[0] != '\0' ? err.text : "no memory");
    else
        run(s);
}

static void on_conn(struct conn *c)
{
    struct redis_stream *s = LIST_ENTRY(c, struct redis_stream, conn);
    int err = 0;

    if (!c->connecting) {
        run(s);
        return;
    }
    enum status st = conn_connected(c, &err);
    if (st == ST_OK)
        connected(s);
    else if (st != ST_MORE)
        fail_errno(s, err);
}

static void take_socket(struct redis_stream *s, const struct dial_result *d)
{
    if (d->status != ST_OK)
        fail_errno(s, d->err);
    else if (conn_open(&s->conn, s->conf.loop, d->fd, !d->connected, on_conn) != ST_OK)
        fail(s, "the socket cannot be watched");
    else if (d->connected)
        connected(s);
}

static void on_dialed(void *arg, const struct dial_result *d)
{
    struct redis_stream *s = arg;

    s->dial = NULL;
    take_socket(s, d);
}

static void dial_addrs(struct redis_stream *s, const struct addr *addrs, size_t n)
{
    const struct dial_conf conf = {.timeout_ms = s->conf.store->timeout_ms};
    struct dial_result now;
    struct addr to[DIAL_ADDRS_MAX];

    n = n < DIAL_ADDRS_MAX ? n : DIAL_ADDRS_MAX;
    for (size_t i = 0; i < n; i++) {
        to[i] = addrs[(i + s->first) % n];
        to[i].port = s->conf.store->port;
    }
    if (dial_start(s->conf.loop, &conf, to, n, s, on_dialed, &now, &s->dial) != ST_MORE)
        take_socket(s, &now);
}

static void take_addresses(struct redis_stream *s, const struct resolve_answer *a)
{
    if (a->status == ST_OK && a->count > 0)
        dial_addrs(s, a->addrs, a->count);
    else
        fail(s, "its name cannot be found");
}

static void on_resolved(struct resolve_req *req, const struct resolve_answer *a)
{
    take_addresses(LIST_ENTRY(req, struct redis_stream, resolving), a);
}

void redis_stream_open(struct redis_stream *s, unsigned turn)
{
    const struct config_device_store *store = s->conf.store;
    struct resolver **r = s->conf.resolver;
    struct resolve_answer found;
    struct dial_result now;
    struct addr a;

    s->first = turn;
    if (store->path[0] != '\0') {
        (void)!dial_unix(store->path, false, &now);
        take_socket(s, &now);
    } else if (addr_parse_ip(&a, store->host, strlen(store->host)) == ST_OK) {
        dial_addrs(s, &a, 1);
    } else if (*r == NULL && resolver_new(s->conf.loop, NULL, r) != ST_OK) {
        *r = NULL;
        fail(s, "no resolver for its name");
    } else if (resolver_get(*r, store->host, RESOLVE_ANY, &s->resolving, on_resolved, &found) !=
               ST_MORE) {
        take_addresses(s, &found);
    }
}

/* ---- life ---- */

enum status redis_stream_init(struct redis_stream *s, const struct redis_stream_conf *conf)
{
    *s = (struct redis_stream){.conf = *conf, .conn.watch.fd = -1, .pool = pool_new(0)};
    task_init(&s->turn, on_turn);
    bufq_init(&s->in, READ_MAX);
    bufq_init(&s->plain, UINT32_MAX);
    bufq_init(&s->out, UINT32_MAX);
    return s->pool != NULL ? ST_OK : ST_E_NOMEM;
}

void redis_stream_fini(struct redis_stream *s)
{
    if (s->pool == NULL)
        return;
    redis_stream_close(s);
    pool_free(s->pool);
    s->pool = NULL;
}
