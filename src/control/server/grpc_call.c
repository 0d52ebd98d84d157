#include "control/server/grpc_call.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define BUFFERED_MAX (GRPC_MESSAGE_MAX + 65536u) /* of a connection's incomplete messages */
#define FILL_TO      32768u                      /* of a stream's answer that is ready to go */
#define FILL_CONN    65536u                      /* of all answers of a connection */
#define MESSAGE_MS   60000u /* a request must be complete by then, deadline or not */
#define TYPE_DEFAULT "application/grpc"
#define MESSAGE_TEXT 512u

static struct grpc_str str(const char *text)
{
    return (struct grpc_str){text, text != NULL ? strlen(text) : 0};
}

static const char *field(const struct grpc_call *c, const char *name)
{
    const char *v = h2_field(c->stream, name);
    return v != NULL ? v : "";
}

/* ---- ending ---------------------------------------------------------------------------------- */

static void free_body(struct grpc_call *c)
{
    if (c->body != NULL)
        c->body->free(c->body);
    c->body = NULL;
    c->left = 0;
}

static void forget_input(struct grpc_call *c)
{
    c->conn->buffered -= c->credited;
    c->credited = 0;
}

/* To whoever waits with the answer: there is nobody any more to give it to. */
static void tell_gone(struct grpc_call *c)
{
    void (*gone)(void *) = c->gone;

    c->gone = NULL;
    if (gone != NULL)
        gone(c->gone_arg);
}

static void call_free(struct grpc_call *c)
{
    free_body(c);
    forget_input(c);
    list_del(&c->link);
    tell_gone(c);
    free(c);
}

/* A connection without memory cannot even be told; nor is who does not take his answer. */
static void give_up(struct grpc_call *c)
{
    c->done = true;
    free_body(c);
    if (!c->given_up)
        h2_reset(&c->conn->h2, c->stream, H2_ENHANCE_YOUR_CALM);
    c->given_up = true;
}

static void fail_http(struct grpc_call *c, unsigned http, enum grpc_code code, const char *text)
{
    char message[3 * MESSAGE_TEXT], number[4];
    const char *type = field(c, "content-type");
    bool echo = grpc_is_content_type(str(type));

    if (c->done)
        return;
    c->done = true;
    c->method = NULL;
    c->gone = NULL;
    free_body(c);
    if (c->head_sent) { /* too late for a status */
        h2_reset(&c->conn->h2, c->stream, H2_CANCEL);
        return;
    }
    grpc_put_message(message, sizeof(message), text, strlen(text));
    snprintf(number, sizeof(number), "%d", (int)code);
    const struct h2_header headers[] = {{"content-type", echo ? type : TYPE_DEFAULT},
                                        {"grpc-status", number},
                                        {"grpc-message", message}};
    if (h2_respond(&c->conn->h2, c->stream, http, headers, 3, true) != ST_OK)
        give_up(c);
    grpc_conn_wake(c->conn);
}

void grpc_call_fail(struct grpc_call *c, enum grpc_code code, const char *fmt, ...)
{
    char text[MESSAGE_TEXT];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    fail_http(c, 200, code, text);
}

static const struct h2_header status_ok = {"grpc-status", "0"};

static bool send_head(struct grpc_call *c)
{
    const struct h2_header head = {"content-type", field(c, "content-type")};

    if (c->head_sent)
        return true;
    c->head_sent = true;
    return h2_respond(&c->conn->h2, c->stream, 200, &head, 1, false) == ST_OK &&
           h2_trailers(&c->conn->h2, c->stream, &status_ok, 1) == ST_OK;
}

static void end_stream(struct grpc_call *c)
{
    c->done = true;
    c->stream->out.eof = true;
    h2_wake(&c->conn->h2, c->stream);
    grpc_conn_wake(c->conn);
}

void grpc_call_answer(struct grpc_call *c, struct grpc_body *own_body)
{
    uint8_t prefix[GRPC_PREFIX];

    c->gone = NULL;
    c->method = NULL;
    BUG_ON(c->body != NULL || c->done);
    c->body = own_body;
    c->left = own_body->size;
    if (own_body->size > UINT32_MAX) {
        grpc_call_fail(c, GRPC_RESOURCE_EXHAUSTED, "the answer is over 4 GiB");
        return;
    }
    grpc_put_prefix(prefix, (uint32_t)own_body->size);
    if (!send_head(c) ||
        bufq_put(&c->stream->out, prefix, sizeof(prefix), c->conn->server->pool) != ST_OK) {
        give_up(c);
        return;
    }
    if (c->left == 0) {
        free_body(c);
        end_stream(c);
        return;
    }
    grpc_conn_wake(c->conn);
}

struct bytes {
    struct grpc_body body;
    size_t at;
    uint8_t data[];
};

static size_t read_bytes(struct grpc_body *body, uint8_t *dst, size_t cap)
{
    struct bytes *b = (struct bytes *)body;
    size_t n = (size_t)body->size - b->at < cap ? (size_t)body->size - b->at : cap;

    memcpy(dst, b->data + b->at, n);
    b->at += n;
    return n;
}

static void free_bytes(struct grpc_body *body)
{
    free(body);
}

void grpc_call_bytes(struct grpc_call *c, const void *data, size_t len)
{
    struct bytes *b = malloc(sizeof(*b) + len);

    if (b == NULL) {
        grpc_call_fail(c, GRPC_RESOURCE_EXHAUSTED, "no memory");
        return;
    }
    *b = (struct bytes){.body = {.size = len, .read = read_bytes, .free = free_bytes}};
    if (len > 0)
        memcpy(b->data, data, len);
    grpc_call_answer(c, &b->body);
}

void grpc_call_send(struct grpc_call *c, const void *data, size_t len)
{
    struct pool *p = c->conn->server->pool;
    uint8_t prefix[GRPC_PREFIX];

    grpc_put_prefix(prefix, (uint32_t)len);
    if (!send_head(c) || bufq_put(&c->stream->out, prefix, sizeof(prefix), p) != ST_OK ||
        bufq_put(&c->stream->out, data, len, p) != ST_OK) {
        give_up(c);
        return;
    }
    h2_wake(&c->conn->h2, c->stream);
    grpc_conn_wake(c->conn);
}

void grpc_call_end(struct grpc_call *c)
{
    if (c->done)
        return;
    c->gone = NULL;
    c->method = NULL;
    if (send_head(c))
        end_stream(c);
    else
        give_up(c);
}

void grpc_call_watch(struct grpc_call *c, void (*gone)(void *arg), void *arg)
{
    c->gone = gone;
    c->gone_arg = arg;
}

/* No more than the client takes at once: what waits for its window waits in the body, which is
 * smaller. */
bool grpc_call_fill(struct grpc_conn *conn)
{
    struct pool *p = conn->server->pool;
    size_t ready = 0;

    LIST_FOREACH(l, tmp, &conn->calls)
        ready += LIST_ENTRY(l, struct grpc_call, link)->stream->out.bytes;
    LIST_FOREACH(l, tmp, &conn->calls) {
        struct grpc_call *c = LIST_ENTRY(l, struct grpc_call, link);
        size_t window = c->body != NULL ? h2_window(&conn->h2, c->stream) : 0;
        size_t most = window < FILL_TO ? window : FILL_TO;
        while (c->body != NULL && c->stream->out.bytes < most && ready < FILL_CONN) {
            struct span *s = span_new(p);
            if (s == NULL)
                return false;
            s->len = (uint32_t)c->body->read(c->body, span_data(s), BLK_DATA);
            BUG_ON(s->len == 0 || s->len > c->left);
            c->left -= s->len;
            ready += s->len;
            bufq_push(&c->stream->out, s);
            h2_wake(&conn->h2, c->stream);
            if (c->left > 0)
                continue;
            free_body(c);
            end_stream(c);
        }
    }
    return true;
}

/* ---- what the client sends ------------------------------------------------------------------- */

static void find_method(struct grpc_call *c)
{
    const struct grpc_server *server = c->conn->server;
    struct grpc_str service, method;
    const char *path = field(c, ":path");
    bool known = false;

    if (!grpc_split_path(str(path), &service, &method)) {
        grpc_call_fail(c, GRPC_UNIMPLEMENTED, "malformed method name: \"%.200s\"", path);
        return;
    }
    for (size_t i = 0; i < server->method_count; i++) {
        const struct grpc_method *m = &server->methods[i];
        if (strlen(m->service) != service.len || memcmp(m->service, service.p, service.len) != 0)
            continue;
        known = true;
        if (strlen(m->name) == method.len && memcmp(m->name, method.p, method.len) == 0) {
            c->method = m;
            return;
        }
    }
    if (known)
        grpc_call_fail(c, GRPC_UNIMPLEMENTED, "unknown method %.*s for service %.*s",
                       method.len > 200 ? 200 : (int)method.len, method.p, (int)service.len,
                       service.p);
    else
        grpc_call_fail(c, GRPC_UNIMPLEMENTED, "unknown service %.*s",
                       service.len > 200 ? 200 : (int)service.len, service.p);
}

static bool take_timeout(struct grpc_call *c)
{
    char text[MESSAGE_TEXT];
    const char *value = h2_field(c->stream, "grpc-timeout");
    uint64_t us = 0;

    if (value == NULL)
        return true;
    enum status st = grpc_timeout(str(value), &us);
    if (st == ST_OK) {
        c->deadline_ms = c->begin_ms + us / 1000 + 1;
        return true;
    }
    snprintf(text, sizeof(text), "malformed grpc-timeout: %s: \"%.64s\"",
             st == ST_E_LIMIT ? "timeout must be positive" : "not 1 to 8 digits and a unit", value);
    fail_http(c, 400, GRPC_INTERNAL, text);
    return false;
}

/* In the order in which grpc-go judges. */
static void begin(struct grpc_call *c)
{
    char text[MESSAGE_TEXT];
    const char *type = field(c, "content-type"), *method = field(c, ":method");
    const char *coding = field(c, "grpc-encoding");

    if (!grpc_is_content_type(str(type))) {
        snprintf(text, sizeof(text), "invalid gRPC request content-type \"%.64s\"", type);
        fail_http(c, 415, GRPC_INVALID_ARGUMENT, text);
        return;
    }
    if (strcmp(method, "POST") != 0) {
        snprintf(text, sizeof(text),
                 "Received a HEADERS frame with :method \"%.32s\" which should be POST", method);
        fail_http(c, 405, GRPC_INTERNAL, text);
        return;
    }
    if (!take_timeout(c))
        return;
    find_method(c);
    if (c->method != NULL && *coding != '\0' && strcmp(coding, "identity") != 0)
        grpc_call_fail(c, GRPC_UNIMPLEMENTED,
                       "grpc: Decompressor is not installed for grpc-encoding \"%.64s\"", coding);
}

static void on_request(struct grpc_conn *conn, struct h2_stream *s)
{
    struct grpc_call *c = calloc(1, sizeof(*c));

    conn->asked = true;
    if (c == NULL) {
        h2_reset(&conn->h2, s, H2_ENHANCE_YOUR_CALM);
        return;
    }
    *c = (struct grpc_call){.conn = conn, .stream = s, .begin_ms = loop_now_ms(conn->server->loop)};
    s->user = c;
    list_add_tail(&conn->calls, &c->link);
    begin(c);
}

/* Lets the peer send on while its message is incomplete. */
static void credit(struct grpc_call *c)
{
    size_t n = c->stream->in.bytes - c->credited;

    if (c->conn->buffered + n > BUFFERED_MAX)
        return;
    h2_ate(&c->conn->h2, c->stream, n);
    c->credited += n;
    c->conn->buffered += n;
}

static void eat(struct grpc_call *c, size_t n)
{
    size_t credited = c->credited < n ? c->credited : n;

    bufq_drop(&c->stream->in, n, c->conn->server->pool);
    h2_ate(&c->conn->h2, c->stream, n - credited);
    c->credited -= credited;
    c->conn->buffered -= credited;
}

static void hand_over(struct grpc_call *c, size_t len)
{
    struct bufq *in = &c->stream->in;
    struct pool *p = c->conn->server->pool;
    const struct grpc_method *m = c->method;
    uint8_t *copy = NULL;
    const uint8_t *message = NULL;

    if (len <= BLK_DATA - GRPC_PREFIX) {
        uint8_t *all = bufq_pullup(in, GRPC_PREFIX + len, p);
        message = all != NULL ? all + GRPC_PREFIX : NULL;
    } else if ((copy = malloc(len)) != NULL && bufq_peek_at(in, GRPC_PREFIX, copy, len)) {
        message = copy;
    }
    if (message == NULL) {
        grpc_call_fail(c, GRPC_RESOURCE_EXHAUSTED, "no memory for the request");
    } else {
        c->handed = m->kind != GRPC_BIDI;
        m->fn(m->arg, c, message, len);
    }
    free(copy);
    eat(c, GRPC_PREFIX + len);
}

/* Judges the next message; true: one was handed over. */
static bool take_message(struct grpc_call *c)
{
    struct bufq *in = &c->stream->in;
    uint8_t prefix[GRPC_PREFIX];

    if (bufq_peek(in, prefix, sizeof(prefix)) < sizeof(prefix)) {
        if (in->eof)
            grpc_call_fail(c, GRPC_UNKNOWN, in->bytes == 0 ? "EOF" : "unexpected EOF");
        return false;
    }
    uint32_t len = get_be32(prefix + 1);
    if (len > GRPC_MESSAGE_MAX) {
        grpc_call_fail(c, GRPC_RESOURCE_EXHAUSTED,
                       "grpc: received message larger than max (%u vs. %u)", len, GRPC_MESSAGE_MAX);
        return false;
    }
    if (in->bytes < sizeof(prefix) + len) {
        if (in->eof)
            grpc_call_fail(c, GRPC_UNKNOWN, "unexpected EOF");
        return false;
    }
    if (prefix[0] == 1) {
        grpc_call_fail(c, GRPC_INTERNAL,
                       "grpc: compressed flag set with identity or empty encoding");
        return false;
    }
    if (prefix[0] > 1) {
        grpc_call_fail(c, GRPC_INTERNAL, "grpc: received unexpected payload format %u", prefix[0]);
        return false;
    }
    hand_over(c, len);
    return true;
}

static void on_data(struct grpc_call *c)
{
    struct bufq *in = &c->stream->in;

    while (c->method != NULL && !c->done && !c->handed) {
        bool streaming = c->method->kind == GRPC_BIDI;
        if (streaming && in->eof && in->bytes == 0) {
            grpc_call_end(c);
            return;
        }
        /* Who takes no answers gets no more questions read: H2_ROOM goes on. */
        if (streaming && c->stream->out.bytes >= FILL_TO)
            return;
        if (!take_message(c))
            break;
        if (!streaming)
            break; /* what follows is tolerated and dropped */
    }
    if (c->method == NULL || c->done || c->handed)
        eat(c, in->bytes);
    else
        credit(c);
}

void grpc_call_event(struct grpc_conn *conn, struct h2_stream *s, unsigned events)
{
    if ((events & H2_REQUEST) && !s->closed)
        on_request(conn, s);
    struct grpc_call *c = s->user;
    if (events & H2_CLOSED) {
        if (c != NULL)
            call_free(c);
        h2_stream_free(&conn->h2, s);
        return;
    }
    if (c != NULL && (events & (H2_DATA | H2_REQUEST | H2_ROOM)))
        on_data(c);
}

/* Is the answer one that the client does not take? */
static bool is_starved(struct grpc_call *c, uint64_t now_ms)
{
    uint64_t waiting = c->left + c->stream->out.bytes;

    if (waiting == 0) {
        c->moved_ms = c->answered_ms = 0;
        return false;
    }
    if (c->answered_ms == 0)
        c->answered_ms = now_ms;
    if (c->moved_ms == 0 || waiting != c->waiting)
        c->moved_ms = now_ms;
    c->waiting = waiting;
    return now_ms > c->moved_ms + GRPC_STARVE_MS || now_ms > c->answered_ms + GRPC_ANSWER_MS;
}

void grpc_call_tick(struct grpc_conn *conn, uint64_t now_ms)
{
    LIST_FOREACH(l, tmp, &conn->calls) {
        struct grpc_call *c = LIST_ENTRY(l, struct grpc_call, link);
        bool late = c->deadline_ms != 0 && now_ms >= c->deadline_ms;
        bool slow = c->method != NULL && !c->handed && c->method->kind != GRPC_BIDI &&
                    now_ms > c->begin_ms + MESSAGE_MS;
        bool starved = is_starved(c, now_ms);
        if (!late && !slow && !starved)
            continue;
        if (!c->done && c->body == NULL && !starved) {
            tell_gone(c);
            grpc_call_fail(c, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
        } else if (c->left + c->stream->out.bytes > 0)
            give_up(c);
        grpc_conn_wake(conn);
    }
}

bool grpc_call_relieve(struct grpc_conn *conn, uint64_t now_ms, uint64_t ms)
{
    bool found = false;

    LIST_FOREACH(l, tmp, &conn->calls) {
        struct grpc_call *c = LIST_ENTRY(l, struct grpc_call, link);
        if (c->body == NULL || c->moved_ms == 0 || now_ms <= c->moved_ms + ms)
            continue;
        give_up(c);
        found = true;
    }
    if (found)
        grpc_conn_wake(conn);
    return found;
}

void grpc_call_drop_all(struct grpc_conn *conn)
{
    while (!list_empty(&conn->calls))
        call_free(LIST_ENTRY(conn->calls.next, struct grpc_call, link));
}
