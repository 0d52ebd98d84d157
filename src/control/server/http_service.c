#include "control/server/http_service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "codec/http1_write.h"
#include "control/server/tcp_listener.h"
#include "io/loop.h"

#define PIECE     262144u  /* written before others get their turn */
#define WASTE_MAX 1048576u /* read away behind a request; who sends on has no claim to an answer */
#define SHORT     4096u    /* an answer of so many bytes is always to be had */
#define TEXT_TYPE "text/plain; charset=utf-8"

enum call_state { CALL_READING, CALL_WAITING, CALL_ANSWERING };

struct http_call {
    struct list link;
    struct http_service *s;
    struct watch watch;
    struct timer timer;
    struct task again;
    struct http1_scan scan;
    struct http1_head request;
    char in[HTTP_SERVICE_HEAD_MAX];
    size_t in_len;
    char *body_in; /* NULL: within in[], or none */
    size_t body_len;
    char head[512];
    size_t head_len, sent, wasted;
    struct textbuf text;
    const char *allow;
    enum call_state state;
    bool bodyless, ended;
    void (*gone)(void *arg, struct http_call *c); /* CALL_WAITING */
    void *gone_arg;
};

struct http_service {
    struct http_service_conf conf;
    struct tcp_listener listener;
    struct list conns;
    unsigned count;
    bool told_full;
};

static void call_free(struct http_call *c)
{
    struct loop *l = c->s->conf.loop;
    int fd = c->watch.fd;

    loop_watch_del(l, &c->watch);
    loop_timer_del(l, &c->timer);
    loop_task_del(l, &c->again);
    close(fd);
    list_del(&c->link);
    c->s->count--;
    textbuf_fini(&c->text);
    free(c->body_in);
    free(c);
}

static void tell_gone(struct http_call *c)
{
    void (*gone)(void *, struct http_call *) = c->gone;

    c->gone = NULL;
    if (gone != NULL)
        gone(c->gone_arg, c);
}

static void drop(struct http_call *c)
{
    tell_gone(c);
    call_free(c);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void start(struct http_call *c, unsigned status, const char *type)
{
    struct http1_writer w;

    if (c->text.failed) {
        textbuf_fini(&c->text);
        status = 503;
        textbuf_puts(&c->text, "no memory for this answer\n");
        type = TEXT_TYPE;
    }
    http1_begin_response(&w, c->head, sizeof(c->head), status, NULL);
    http1_add_date(&w, loop_unix_s(c->s->conf.loop));
    http1_add_field(&w, "Content-Type", type);
    http1_add_number(&w, "Content-Length", c->text.len);
    http1_add_field(&w, "Cache-Control", "no-store");
    if (status == 405 && c->allow != NULL)
        http1_add_field(&w, "Allow", c->allow);
    http1_add_field(&w, "Connection", "close");
    BUG_ON(http1_end(&w) != ST_OK);
    c->head_len = w.len;
    c->state = CALL_ANSWERING;
    loop_timer_in(c->s->conf.loop, &c->timer, HTTP_SERVICE_WAIT_MS);
}

static void start_text(struct http_call *c, unsigned status, const char *text)
{
    textbuf_printf(&c->text, "%s\n", text);
    start(c, status, TEXT_TYPE);
}

const struct http1_head *http_call_head(const struct http_call *c)
{
    return &c->request;
}

struct http1_str http_call_body(const struct http_call *c)
{
    return (struct http1_str){.p = c->body_in, .len = c->body_len};
}

struct textbuf *http_call_text(struct http_call *c)
{
    return &c->text;
}

void http_call_allow(struct http_call *c, const char *methods)
{
    c->allow = methods;
}

void http_call_answer(struct http_call *c, unsigned status, const char *type)
{
    c->gone = NULL;
    start(c, status, type);
    /* Written from the loop: the caller may still be in the middle of something. */
    loop_task_add(c->s->conf.loop, &c->again);
}

void http_call_later(struct http_call *c, uint32_t ms, void (*gone)(void *arg, struct http_call *c),
                     void *arg)
{
    c->gone = gone;
    c->gone_arg = arg;
    loop_timer_in(c->s->conf.loop, &c->timer, ms);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* The head is whole: makes room for the body, if there is one. */
static void begin_body(struct http_call *c)
{
    size_t have = c->in_len - c->request.size;

    if (c->request.body == HTTP1_BODY_CHUNKED) {
        start_text(c, 411, "a body needs its Content-Length");
        return;
    }
    if (c->request.content_length > HTTP_SERVICE_BODY_MAX) {
        start_text(c, 413, "the body is too long");
        return;
    }
    size_t want = (size_t)c->request.content_length;
    c->body_in = malloc(want + 1);
    if (c->body_in == NULL) {
        start_text(c, 503, "no memory");
        return;
    }
    c->body_len = have < want ? have : want;
    memcpy(c->body_in, c->in + c->request.size, c->body_len);
}

static void take_head(struct http_call *c, size_t n)
{
    c->in_len += n;
    enum status st = http1_parse_request(c->in, c->in_len, &c->scan, &c->request);
    if (st == ST_OK)
        begin_body(c);
    else if (st != ST_MORE)
        start_text(c, 400, "not an HTTP request");
    else if (c->in_len == sizeof(c->in))
        start_text(c, 431, "the head is too long");
}

/* For the next answer: those still being read count. */
static size_t answer_room(const struct http_service *s)
{
    size_t held = 0;

    LIST_FOREACH(l, tmp, &s->conns)
        held += LIST_ENTRY(l, struct http_call, link)->text.cap;
    return held + SHORT < s->conf.answer_max ? s->conf.answer_max - held : SHORT;
}

static void serve(struct http_call *c)
{
    c->text.max = answer_room(c->s);
    c->bodyless = http1_str_equal(c->request.method, "HEAD");
    c->state = CALL_WAITING;
    c->s->conf.request(c->s->conf.arg, c);
}

/* Reads until a request is whole. False: the connection is over. */
static bool take_in(struct http_call *c)
{
    while (c->state == CALL_READING) {
        bool in_body = c->body_in != NULL;
        size_t want =
            in_body ? (size_t)c->request.content_length - c->body_len : sizeof(c->in) - c->in_len;
        if (in_body && want == 0) {
            serve(c);
            return true;
        }
        ssize_t n =
            recv(c->watch.fd, in_body ? c->body_in + c->body_len : c->in + c->in_len, want, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0)
            return false;
        if (in_body)
            c->body_len += (size_t)n;
        else
            take_head(c, (size_t)n);
    }
    return true;
}

/* Closing with unread bytes would take the answer from the client: what comes is read away. */
static bool read_away(struct http_call *c)
{
    char scrap[1024];
    ssize_t n;

    do {
        n = recv(c->watch.fd, scrap, sizeof(scrap), 0);
        c->wasted += n > 0 ? (size_t)n : 0;
    } while ((n > 0 && c->wasted < WASTE_MAX) || (n < 0 && errno == EINTR));
    return n < 0 && errno == EAGAIN;
}

static bool give_out(struct http_call *c)
{
    size_t body = c->bodyless ? 0 : c->text.len, piece = 0;

    while (c->sent < c->head_len + body) {
        const char *p =
            c->sent < c->head_len ? c->head + c->sent : c->text.p + (c->sent - c->head_len);
        size_t n = c->sent < c->head_len ? c->head_len - c->sent : body - (c->sent - c->head_len);
        if (piece >= PIECE) {
            loop_task_add(c->s->conf.loop, &c->again);
            return true;
        }
        ssize_t sent = send(c->watch.fd, p, n < PIECE ? n : PIECE, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN;
        c->sent += (size_t)sent;
        piece += (size_t)sent;
        loop_timer_in(c->s->conf.loop, &c->timer, HTTP_SERVICE_WAIT_MS);
    }
    if (!c->ended) {
        shutdown(c->watch.fd, SHUT_WR);
        textbuf_fini(&c->text);
    }
    c->ended = true;
    return read_away(c);
}

static void run(struct http_call *c)
{
    bool alive = true;

    if (c->state == CALL_READING)
        alive = take_in(c);
    else if (c->state == CALL_WAITING)
        alive = read_away(c); /* nobody is left to answer to */
    if (alive && c->state == CALL_ANSWERING)
        alive = give_out(c);
    if (!alive)
        drop(c);
}

static void on_event(struct watch *w, uint32_t events)
{
    (void)events;
    run(LIST_ENTRY(w, struct http_call, watch));
}

static void on_again(struct task *t)
{
    run(LIST_ENTRY(t, struct http_call, again));
}

static void on_deadline(struct timer *t)
{
    struct http_call *c = LIST_ENTRY(t, struct http_call, timer);

    if (c->state != CALL_WAITING) {
        drop(c);
        return;
    }
    tell_gone(c);
    textbuf_fini(&c->text);
    start_text(c, 504, "the answer took too long");
    run(c);
}

/* ---- connections ----------------------------------------------------------------------------- */

/* The oldest connection has had its chance; one that waits for us has not. */
static bool make_room(struct http_service *s)
{
    if (!s->told_full)
        log_line(s->conf.log, LOG_WARNING, NULL,
                 "%s: %u connections: the oldest are closed for new ones (said once)", s->conf.name,
                 HTTP_SERVICE_CONNS);
    s->told_full = true;
    LIST_FOREACH(l, tmp, &s->conns) {
        struct http_call *c = LIST_ENTRY(l, struct http_call, link);
        if (c->state == CALL_WAITING)
            continue;
        drop(c);
        return true;
    }
    return false;
}

static void on_accepted(struct tcp_listener *t, int fd, const struct addr *peer)
{
    struct http_service *s = LIST_ENTRY(t, struct http_service, listener);
    struct loop *l = s->conf.loop;

    (void)peer;
    if (s->count >= HTTP_SERVICE_CONNS && !make_room(s)) {
        close(fd);
        return;
    }
    struct http_call *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        close(fd);
        return;
    }
    c->s = s;
    c->watch.fd = -1;
    timer_init(&c->timer, on_deadline);
    task_init(&c->again, on_again);
    if (loop_watch_add(l, &c->watch, fd, LOOP_IN | LOOP_OUT | LOOP_EDGE, on_event) != ST_OK) {
        close(fd);
        free(c);
        return;
    }
    list_add_tail(&s->conns, &c->link);
    s->count++;
    loop_timer_in(l, &c->timer, HTTP_SERVICE_WAIT_MS);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct http_service *http_service_new(const struct http_service_conf *conf)
{
    struct http_service *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->conf = *conf;
    list_init(&s->conns);
    tcp_listener_init(&s->listener, conf->loop, on_accepted);
    return s;
}

void http_service_free(struct http_service *s)
{
    if (s == NULL)
        return;
    http_service_close(s);
    while (!list_empty(&s->conns))
        drop(LIST_ENTRY(s->conns.next, struct http_call, link));
    free(s);
}

enum status http_service_listen(struct http_service *s, const struct addr *at, struct why *why)
{
    return tcp_listener_open(&s->listener, at, why);
}

enum status http_service_take(struct http_service *s, int own_fd, struct why *why)
{
    return tcp_listener_take(&s->listener, own_fd, why);
}

bool http_service_is_open(const struct http_service *s)
{
    return tcp_listener_is_open(&s->listener);
}

void http_service_close(struct http_service *s)
{
    tcp_listener_close(&s->listener);
}
