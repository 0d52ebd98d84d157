#include "panelserver/http_conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "codec/http1.h"
#include "codec/http1_chunked.h"
#include "codec/http1_write.h"
#include "crypto/mem.h"
#include "io/loop.h"
#include "panelserver/api.h"

#define TURN_REQUESTS 16             /* answered before others get their turn */
#define TURN_BYTES    (1024u * 1024) /* of bodies read before others get their turn */
#define ETAGS_MAX     512            /* of If-None-Match kept */
#define BODY_FIRST    16384u

enum conn_state { STATE_HEAD, STATE_BODY, STATE_SEND, STATE_LINGER };

struct http_conn {
    struct watch watch;
    struct timer timer;
    struct task again; /* goes on after a turn's share is used up */
    struct list node;
    struct http_server *server;
    struct addr peer;
    enum conn_state state;
    bool readable, writable; /* edges seen */
    bool eof;

    char in[HTTP_HEAD_MAX]; /* what was read and not yet eaten */
    size_t in_len;
    struct http1_scan scan;

    struct api_call call; /* the request being read */
    char if_none_match[ETAGS_MAX];
    size_t if_none_match_len;
    bool chunked;
    struct http1_chunked chunks;
    uint64_t left; /* of a body with a length */
    char *body;
    size_t body_len, body_cap;

    bool keep_alive, bodyless; /* bodyless: to a HEAD, or a 304 */
    char out[1024];
    size_t out_len, sent; /* sent: of head and body together */
    struct reply reply;
};

void http_server_init(struct http_server *s)
{
    list_init(&s->conns);
    s->count = 0;
    s->body_bytes = 0;
}

static void drop_body(struct http_conn *c)
{
    c->server->body_bytes -= c->body_cap;
    free(c->body);
    c->body = NULL;
    c->body_len = c->body_cap = 0;
}

static void tell_room(struct http_server *s)
{
    if (s->room != NULL)
        s->room(s);
}

static void close_conn(struct http_conn *c)
{
    struct http_server *s = c->server;
    int fd = c->watch.fd;
    loop_watch_del(s->loop, &c->watch);
    loop_timer_del(s->loop, &c->timer);
    loop_task_del(s->loop, &c->again);
    close(fd);
    list_del(&c->node);
    s->count--;
    drop_body(c);
    reply_fini(&c->reply);
    crypto_wipe(c->in, sizeof c->in); /* the token was in it */
    free(c);
    tell_room(s);
}

/* ---- replies --------------------------------------------------------------------------------- */

static size_t reply_len(const struct http_conn *c)
{
    return c->reply.body == NULL || c->bodyless ? 0 : c->reply.body->len;
}

static void start_reply(struct http_conn *c)
{
    const struct reply *r = &c->reply;
    struct http1_writer w;
    http1_begin_response(&w, c->out, sizeof c->out, r->status, NULL);
    http1_add_date(&w, loop_unix_s(c->server->loop));
    if (r->tagged && r->body != NULL)
        http1_add_field(&w, "ETag", r->body->etag);
    http1_add_field(&w, "Cache-Control", "private, no-cache");
    if (r->status != 304) {
        http1_add_field(&w, "Content-Type", "application/json; charset=utf-8");
        http1_add_number(&w, "Content-Length", r->body != NULL ? r->body->len : 0);
    }
    if (r->allow != NULL)
        http1_add_field(&w, "Allow", r->allow);
    if (r->retry_after_s != 0)
        http1_add_number(&w, "Retry-After", r->retry_after_s);
    http1_add_field(&w, "Connection", c->keep_alive ? "keep-alive" : "close");
    BUG_ON(http1_end(&w) != ST_OK);
    c->bodyless = c->bodyless || r->status == 304;
    c->out_len = w.len;
    c->sent = 0;
    c->state = STATE_SEND;
    loop_timer_in(c->server->loop, &c->timer, HTTP_STALL_MS);
}

/* An answer the API was not asked for; the connection ends with it, because what follows cannot be
 * told apart. */
static void start_error(struct http_conn *c, unsigned status, const char *code, const char *message)
{
    api_count_failed(c->server->api);
    c->keep_alive = false;
    drop_body(c);
    reply_error(&c->reply, status, code, message, NULL);
    start_reply(c);
}

/* ---- reading a request ----------------------------------------------------------------------- */

static void eat(struct http_conn *c, size_t n)
{
    memmove(c->in, c->in + n, c->in_len - n);
    c->in_len -= n;
}

static struct api_request request_of(const struct http_conn *c)
{
    const struct loop *l = c->server->loop;
    return (struct api_request){
        .if_none_match = {c->if_none_match, c->if_none_match_len},
        .body = c->body != NULL ? c->body : "",
        .body_len = c->body_len,
        .peer = c->peer,
        .now_s = loop_unix_s(l),
        .now_us = loop_now_us(l),
    };
}

static void answer(struct http_conn *c)
{
    struct api_request rq = request_of(c);
    api_answer(c->server->api, &rq, &c->call, &c->reply);
    drop_body(c);
    start_reply(c);
}

static void keep_etags(struct http_conn *c, const struct http1_head *h)
{
    struct http1_str tags;
    c->if_none_match_len = 0;
    /* A list too long to keep is as good as none: the client gets the whole answer. */
    if (http1_field_get(h, "If-None-Match", &tags) && tags.len <= sizeof c->if_none_match) {
        memcpy(c->if_none_match, tags.p, tags.len);
        c->if_none_match_len = tags.len;
    }
}

/* The head is there: judge it, then wait for the body or answer. */
static void begin_request(struct http_conn *c, const struct http1_head *h)
{
    bool has_body =
        h->body == HTTP1_BODY_CHUNKED || (h->body == HTTP1_BODY_LENGTH && h->content_length > 0);
    struct http1_str host;
    c->keep_alive = h->keep_alive;
    c->bodyless = http1_str_equal(h->method, "HEAD");
    if (h->minor >= 1 && !http1_field_get(h, "Host", &host)) {
        start_error(c, 400, "BAD_REQUEST", "Host is missing");
        return;
    }
    keep_etags(c, h);
    struct api_request rq = request_of(c);
    rq.method = h->method;
    rq.path = h->path;
    rq.query = h->query;
    (void)http1_field_get(h, "Idempotency-Key", &rq.idempotency_key);
    if (!api_admit(c->server->api, &rq, &c->call, &c->reply)) {
        c->keep_alive = c->keep_alive && !has_body;
        eat(c, h->size);
        start_reply(c);
        return;
    }
    if (h->body == HTTP1_BODY_LENGTH && h->content_length > HTTP_BODY_MAX) {
        start_error(c, 413, "BODY_TOO_LARGE", "The body is over 16 MiB");
        return;
    }
    bool wait =
        has_body && c->in_len == h->size && http1_field_has_token(h, "Expect", "100-continue");
    c->chunked = h->body == HTTP1_BODY_CHUNKED;
    c->left = h->body == HTTP1_BODY_LENGTH ? h->content_length : 0;
    memset(&c->chunks, 0, sizeof c->chunks);
    eat(c, h->size);
    if (!has_body) {
        answer(c);
        return;
    }
    c->state = STATE_BODY;
    loop_timer_in(c->server->loop, &c->timer, HTTP_STALL_MS);
    if (wait) {
        /* Nothing else is under way on this socket, so 25 bytes always fit; if not, the client goes
         * on after a second by itself. */
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        (void)!send(c->watch.fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

static void read_head(struct http_conn *c)
{
    struct http1_head h;
    if (c->in_len == 0)
        return;
    switch (http1_parse_request(c->in, c->in_len, &c->scan, &h)) {
    case ST_OK:
        begin_request(c, &h);
        memset(&c->scan, 0, sizeof c->scan);
        break;
    case ST_MORE:
        if (c->in_len == sizeof c->in)
            start_error(c, 431, "HEAD_TOO_LARGE", "The head is over 8 KiB");
        break;
    case ST_E_LIMIT:
        start_error(c, 431, "HEAD_TOO_LARGE", "The head is over 8 KiB");
        break;
    case ST_E_UNSUPPORTED:
        if (h.minor == HTTP1_MINOR_OTHER)
            start_error(c, 505, "BAD_REQUEST", "HTTP/1.1 or HTTP/1.0");
        else
            start_error(c, 501, "BAD_REQUEST", "Transfer coding other than chunked");
        break;
    default:
        start_error(c, 400, "BAD_REQUEST", "Not an HTTP request");
        break;
    }
}

/* Adds to the body; false when the request was answered with an error instead. */
static bool keep(struct http_conn *c, const void *data, size_t len)
{
    if (len > HTTP_BODY_MAX - c->body_len) {
        start_error(c, 413, "BODY_TOO_LARGE", "The body is over 16 MiB");
        return false;
    }
    if (c->body_len + len > c->body_cap) {
        size_t cap = c->body_cap > 0 ? c->body_cap : BODY_FIRST;
        while (cap < c->body_len + len)
            cap *= 2;
        char *more = c->server->body_bytes + (cap - c->body_cap) <= HTTP_BODIES_MAX
                         ? realloc(c->body, cap)
                         : NULL;
        if (more == NULL) {
            start_error(c, 503, "BUSY", "No memory for this body now, try again");
            return false;
        }
        c->server->body_bytes += cap - c->body_cap;
        c->body = more;
        c->body_cap = cap;
    }
    memcpy(c->body + c->body_len, data, len);
    c->body_len += len;
    return true;
}

static void read_body(struct http_conn *c)
{
    size_t at = 0;
    bool done = false;
    while (c->chunked && at < c->in_len && !done) {
        size_t used = 0, n = 0;
        const uint8_t *data;
        enum status st = http1_chunked_read(&c->chunks, (const uint8_t *)c->in + at, c->in_len - at,
                                            &used, &data, &n);
        if (st < 0) {
            start_error(c, 400, "BAD_REQUEST", "Broken chunk");
            return;
        }
        if (n > 0 && !keep(c, data, n))
            return;
        at += used;
        done = st == ST_EOF;
    }
    if (!c->chunked) {
        at = c->left < c->in_len ? (size_t)c->left : c->in_len;
        if (at > 0 && !keep(c, c->in, at))
            return;
        c->left -= at;
        done = c->left == 0;
    }
    if (at > 0)
        loop_timer_in(c->server->loop, &c->timer, HTTP_STALL_MS);
    eat(c, at);
    if (done)
        answer(c);
}

/* Fills the buffer from the socket. False: nothing new for now, or the connection is gone (*@gone).
 */
static bool fill(struct http_conn *c, bool *gone)
{
    if (!c->readable || c->eof || c->in_len == sizeof c->in)
        return false;
    ssize_t n = recv(c->watch.fd, c->in + c->in_len, sizeof c->in - c->in_len, 0);
    if (n > 0) {
        if (c->state == STATE_HEAD && c->in_len == 0)
            loop_timer_in(c->server->loop, &c->timer, HTTP_HEAD_MS);
        c->in_len += (size_t)n;
        return true;
    }
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && errno == EAGAIN) {
        c->readable = false;
        return false;
    }
    c->eof = true;
    *gone = n < 0;
    return false;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void reply_sent(struct http_conn *c)
{
    reply_fini(&c->reply);
    if (c->keep_alive && !c->eof) {
        c->state = STATE_HEAD;
        list_del(&c->node);
        list_add_tail(&c->server->conns, &c->node);
        loop_timer_in(c->server->loop, &c->timer, c->in_len > 0 ? HTTP_HEAD_MS : HTTP_IDLE_MS);
        tell_room(c->server);
        return;
    }
    /* Closing with unread bytes would reset the connection and could take the reply from the peer.
     */
    shutdown(c->watch.fd, SHUT_WR);
    c->state = STATE_LINGER;
    c->in_len = 0;
    loop_timer_in(c->server->loop, &c->timer, HTTP_LINGER_MS);
}

/* False: the socket takes no more for now, or is gone (*@gone). */
static bool write_reply(struct http_conn *c, bool *gone)
{
    size_t total = c->out_len + reply_len(c);
    while (c->sent < total) {
        struct iovec v[2];
        int n = 0;
        if (c->sent < c->out_len)
            v[n++] = (struct iovec){c->out + c->sent, c->out_len - c->sent};
        size_t skip = c->sent > c->out_len ? c->sent - c->out_len : 0;
        if (reply_len(c) > skip)
            v[n++] = (struct iovec){c->reply.body->data + skip, reply_len(c) - skip};
        struct msghdr m = {.msg_iov = v, .msg_iovlen = (size_t)n};
        ssize_t sent = sendmsg(c->watch.fd, &m, MSG_NOSIGNAL);
        if (sent >= 0) {
            c->sent += (size_t)sent;
            loop_timer_in(c->server->loop, &c->timer, HTTP_STALL_MS);
        } else if (errno == EAGAIN) {
            c->writable = false;
            return false;
        } else if (errno != EINTR) {
            *gone = true;
            return false;
        }
    }
    reply_sent(c);
    return true;
}

/* ---- driving --------------------------------------------------------------------------------- */

/* One step. False: wait for the socket. */
static bool step(struct http_conn *c, bool *gone)
{
    switch (c->state) {
    case STATE_HEAD:
        read_head(c);
        if (c->state != STATE_HEAD || fill(c, gone))
            return true;
        *gone = c->eof; /* between requests, or in the middle of a head: nothing to answer */
        return false;
    case STATE_BODY:
        read_body(c);
        if (c->state != STATE_BODY || fill(c, gone))
            return true;
        *gone = c->eof;
        return false;
    case STATE_SEND:
        return c->writable && write_reply(c, gone);
    case STATE_LINGER:
        c->in_len = 0;
        if (fill(c, gone))
            return true;
        *gone = c->eof;
        return false;
    }
    return false;
}

static void run(struct http_conn *c)
{
    bool gone = false;
    unsigned replies = 0;
    size_t steps = 0;
    for (;;) {
        bool sending = c->state == STATE_SEND;
        if (!step(c, &gone))
            break;
        replies += sending && c->state != STATE_SEND;
        if (replies == TURN_REQUESTS || ++steps * sizeof c->in > TURN_BYTES) {
            loop_task_add(c->server->loop, &c->again);
            return;
        }
    }
    if (gone)
        close_conn(c);
}

static void on_event(struct watch *w, uint32_t events)
{
    struct http_conn *c = LIST_ENTRY(w, struct http_conn, watch);
    c->readable |= (events & (LOOP_IN | LOOP_HUP)) != 0;
    c->writable |= (events & (LOOP_OUT | LOOP_HUP)) != 0;
    run(c);
}

static void on_again(struct task *t)
{
    run(LIST_ENTRY(t, struct http_conn, again));
}

static void on_deadline(struct timer *t)
{
    close_conn(LIST_ENTRY(t, struct http_conn, timer));
}

static bool is_loopback(const struct addr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    return a->family == ADDR_IP4 ? a->ip[0] == 127 : memcmp(a->ip, one, 16) == 0;
}

static unsigned count_source(const struct http_server *s, const struct addr *peer)
{
    unsigned n = 0;
    LIST_FOREACH(node, tmp, &s->conns) {
        n += addr_ip_equal(&LIST_ENTRY(node, struct http_conn, node)->peer, peer);
    }
    return n;
}

enum status http_conn_open(struct http_server *s, int fd, const struct addr *peer)
{
    enum status st = ST_E_LIMIT;
    struct http_conn *c = NULL;
    if (!is_loopback(peer) && count_source(s, peer) >= HTTP_SOURCE_CONNS)
        goto out;
    st = ST_E_NOMEM;
    if ((c = calloc(1, sizeof *c)) == NULL)
        goto out;
    c->server = s;
    c->peer = *peer;
    c->watch.fd = -1;
    c->writable = true;
    timer_init(&c->timer, on_deadline);
    task_init(&c->again, on_again);
    st = loop_watch_add(s->loop, &c->watch, fd, LOOP_IN | LOOP_OUT | LOOP_EDGE, on_event);
    if (st != ST_OK)
        goto out;
    list_add_tail(&s->conns, &c->node);
    s->count++;
    loop_timer_in(s->loop, &c->timer, HTTP_HEAD_MS);
out:
    if (st != ST_OK) {
        free(c);
        close(fd);
    }
    return st;
}

bool http_conn_close_idle(struct http_server *s)
{
    LIST_FOREACH(node, tmp, &s->conns) {
        struct http_conn *c = LIST_ENTRY(node, struct http_conn, node);
        if (c->state == STATE_HEAD && c->in_len == 0 && c->out_len > 0) {
            close_conn(c);
            return true;
        }
    }
    return false;
}

void http_conn_close_all(struct http_server *s)
{
    void (*room)(struct http_server *) = s->room;
    s->room = NULL;
    while (!list_empty(&s->conns))
        close_conn(LIST_ENTRY(s->conns.next, struct http_conn, node));
    s->room = room;
}
