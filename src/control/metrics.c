#include "control/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "codec/http1.h"
#include "codec/http1_write.h"
#include "control/config_stats.h"
#include "control/node.h"
#include "control/tcp_listener.h"
#include "io/loop.h"

#define CONNS_MAX 32u
#define HEAD_MAX  4096u
#define RETRY_MS  5000u
#define CONN_MS   10000u  /* for the request, and for each piece of the answer */
#define PIECE     262144u /* written before others get their turn */

struct page_conn {
    struct list link;
    struct metrics *m;
    struct watch watch;
    struct timer timer;
    struct task again;
    struct http1_scan scan;
    char in[HEAD_MAX];
    size_t in_len;
    char head[512];
    size_t head_len, sent;
    struct metrics_text body;
    bool answering, bodyless, ended;
};

struct metrics {
    struct metrics_setup setup;
    struct tcp_listener listener;
    struct config_metrics conf;
    struct timer retry;
    struct list conns;
    unsigned count;
    uint64_t scrapes;
    bool told, told_full;
};

static void conn_free(struct page_conn *c)
{
    struct loop *l = c->m->setup.env->loop;
    int fd = c->watch.fd;

    loop_watch_del(l, &c->watch);
    loop_timer_del(l, &c->timer);
    loop_task_del(l, &c->again);
    close(fd);
    list_del(&c->link);
    c->m->count--;
    textbuf_fini(&c->body.text);
    free(c);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void start(struct page_conn *c, unsigned status, const char *type)
{
    struct http1_writer w;

    if (c->body.text.failed) {
        textbuf_fini(&c->body.text);
        status = 503;
        textbuf_puts(&c->body.text, "no memory for this page\n");
        type = "text/plain; charset=utf-8";
    }
    http1_begin_response(&w, c->head, sizeof(c->head), status, NULL);
    http1_add_date(&w, loop_unix_s(c->m->setup.env->loop));
    http1_add_field(&w, "Content-Type", type);
    http1_add_number(&w, "Content-Length", c->body.text.len);
    http1_add_field(&w, "Cache-Control", "no-store");
    if (status == 405)
        http1_add_field(&w, "Allow", "GET, HEAD");
    http1_add_field(&w, "Connection", "close");
    BUG_ON(http1_end(&w) != ST_OK);
    c->head_len = w.len;
    c->answering = true;
}

static void start_text(struct page_conn *c, unsigned status, const char *text)
{
    textbuf_printf(&c->body.text, "%s\n", text);
    start(c, status, "text/plain; charset=utf-8");
}

static void answer(struct page_conn *c, const struct http1_head *h)
{
    struct metrics *m = c->m;

    c->bodyless = http1_str_equal(h->method, "HEAD");
    if (!c->bodyless && !http1_str_equal(h->method, "GET")) {
        start_text(c, 405, "only GET");
    } else if (http1_str_equal(h->path, "/metrics") || http1_str_equal(h->path, "/scrape")) {
        metrics_page(&c->body, &m->setup, m->conf.users, ++m->scrapes);
        start(c, 200, "text/plain; version=0.0.4; charset=utf-8");
    } else if (http1_str_equal(h->path, "/debug/vars")) {
        metrics_vars(&c->body, &m->setup, m->conf.users);
        start(c, 200, "application/json; charset=utf-8");
    } else if (http1_str_equal(h->path, "/healthz")) {
        start_text(c, 200, "ok");
    } else if (http1_str_equal(h->path, "/readyz")) {
        unsigned status = metrics_ready(&c->body, &m->setup) ? 200 : 503;
        start(c, status, "text/plain; charset=utf-8");
    } else {
        start_text(c, 404, "/metrics, /healthz, /readyz, /debug/vars");
    }
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Reads until a request is whole. False: the connection is over. */
static bool take_in(struct page_conn *c)
{
    struct http1_head h;

    while (!c->answering) {
        ssize_t n = recv(c->watch.fd, c->in + c->in_len, sizeof(c->in) - c->in_len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0)
            return false;
        c->in_len += (size_t)n;
        enum status st = http1_parse_request(c->in, c->in_len, &c->scan, &h);
        if (st == ST_OK)
            answer(c, &h);
        else if (st != ST_MORE)
            start_text(c, 400, "not an HTTP request");
        else if (c->in_len == sizeof(c->in))
            start_text(c, 431, "the head is too long");
    }
    return true;
}

/* Closing with unread bytes would take the answer from the client: what comes is read away. */
static bool read_away(struct page_conn *c)
{
    ssize_t n;

    do {
        n = recv(c->watch.fd, c->in, sizeof(c->in), 0);
    } while (n > 0 || (n < 0 && errno == EINTR));
    return n < 0 && errno == EAGAIN;
}

static bool give_out(struct page_conn *c)
{
    size_t body = c->bodyless ? 0 : c->body.text.len, piece = 0;

    while (c->sent < c->head_len + body) {
        const char *p =
            c->sent < c->head_len ? c->head + c->sent : c->body.text.p + (c->sent - c->head_len);
        size_t n = c->sent < c->head_len ? c->head_len - c->sent : body - (c->sent - c->head_len);
        if (piece >= PIECE) {
            loop_task_add(c->m->setup.env->loop, &c->again);
            return true;
        }
        ssize_t sent = send(c->watch.fd, p, n < PIECE ? n : PIECE, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN;
        c->sent += (size_t)sent;
        piece += (size_t)sent;
        loop_timer_in(c->m->setup.env->loop, &c->timer, CONN_MS);
    }
    if (!c->ended)
        shutdown(c->watch.fd, SHUT_WR);
    c->ended = true;
    return read_away(c);
}

static void run(struct page_conn *c)
{
    if (!take_in(c) || (c->answering && !give_out(c)))
        conn_free(c);
}

static void on_event(struct watch *w, uint32_t events)
{
    (void)events;
    run(LIST_ENTRY(w, struct page_conn, watch));
}

static void on_again(struct task *t)
{
    run(LIST_ENTRY(t, struct page_conn, again));
}

static void on_deadline(struct timer *t)
{
    conn_free(LIST_ENTRY(t, struct page_conn, timer));
}

static void on_accepted(struct tcp_listener *t, int fd, const struct addr *peer)
{
    struct metrics *m = LIST_ENTRY(t, struct metrics, listener);
    struct loop *l = m->setup.env->loop;

    (void)peer;
    if (m->count >= CONNS_MAX) {
        /* The oldest one has had its chance. */
        if (!m->told_full)
            log_line(m->setup.env->lg, LOG_WARNING, NULL,
                     "metrics: %u connections: the oldest are closed for new ones (said once)",
                     CONNS_MAX);
        m->told_full = true;
        conn_free(LIST_ENTRY(m->conns.next, struct page_conn, link));
    }
    struct page_conn *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        close(fd);
        return;
    }
    c->body.text.max = METRICS_TEXT_MAX;
    c->m = m;
    c->watch.fd = -1;
    timer_init(&c->timer, on_deadline);
    task_init(&c->again, on_again);
    if (loop_watch_add(l, &c->watch, fd, LOOP_IN | LOOP_OUT | LOOP_EDGE, on_event) != ST_OK) {
        close(fd);
        free(c);
        return;
    }
    list_add_tail(&m->conns, &c->link);
    m->count++;
    loop_timer_in(l, &c->timer, CONN_MS);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void try_listen(struct metrics *m)
{
    const struct log *lg = m->setup.env->lg;
    struct why why = {0};
    char text[ADDR_STRLEN];

    if (tcp_listener_open(&m->listener, &m->conf.listen, &why) == ST_OK) {
        log_line(lg, LOG_INFO, NULL, "metrics: listening on %s", addr_str(&m->conf.listen, text));
        m->told = false;
        return;
    }
    if (!m->told)
        log_line(lg, LOG_ERROR, NULL, "metrics: %s: %s (%s); the nodes go on, it is tried again",
                 addr_str(&m->conf.listen, text), why.text, strerror((int)why.number));
    m->told = true;
    loop_timer_in(m->setup.env->loop, &m->retry, RETRY_MS);
}

static void on_retry(struct timer *t)
{
    try_listen(LIST_ENTRY(t, struct metrics, retry));
}

struct metrics *metrics_new(const struct metrics_setup *setup)
{
    struct metrics *m = calloc(1, sizeof(*m));

    if (m == NULL)
        return NULL;
    m->setup = *setup;
    list_init(&m->conns);
    timer_init(&m->retry, on_retry);
    tcp_listener_init(&m->listener, setup->env->loop, on_accepted);
    return m;
}

void metrics_free(struct metrics *m)
{
    if (m == NULL)
        return;
    loop_timer_del(m->setup.env->loop, &m->retry);
    tcp_listener_close(&m->listener);
    while (!list_empty(&m->conns))
        conn_free(LIST_ENTRY(m->conns.next, struct page_conn, link));
    free(m);
}

void metrics_apply(struct metrics *m, const struct config_metrics *conf)
{
    bool same = conf->listen.family != ADDR_NONE && addr_equal(&conf->listen, &m->conf.listen);

    m->conf = *conf;
    if (same && (tcp_listener_is_open(&m->listener) || timer_armed(&m->retry)))
        return;
    loop_timer_del(m->setup.env->loop, &m->retry);
    tcp_listener_close(&m->listener);
    m->told = false;
    if (conf->listen.family != ADDR_NONE)
        try_listen(m);
}
