#include "control/server/grpc_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "control/server/grpc_call.h"

#define TICK_MS    1000
#define TURN_READ  65536u
#define TURN_STEPS 16     /* reads or writes before others get their turn */
#define STUCK_MS   3000   /* calls without progress for so long give way to new connections */
#define OUT_CAP    65536u /* of the queue to the socket */

static const struct h2_conf h2_conf = {
    .streams_max = 100, .stream_window = 65535, .conn_window = 1u << 20, .head_max = 16384};

static void conn_free(struct grpc_conn *c)
{
    struct grpc_server *s = c->server;

    list_del(&c->turn);
    conn_close(&c->conn, false);
    grpc_call_drop_all(c);
    h2_fini(&c->h2);
    bufq_clear(&c->in, s->pool);
    bufq_clear(&c->out, s->pool);
    list_del(&c->link);
    s->count--;
    if (s->count < GRPC_CONNS / 2)
        s->told_full = false;
    free(c);
}

void grpc_conn_wake(struct grpc_conn *c)
{
    struct grpc_server *s = c->server;

    if (!list_linked(&c->turn))
        list_add_tail(&s->runnable, &c->turn);
    loop_task_add(s->loop, &s->again);
}

static uint64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

bool grpc_server_rests(const struct grpc_server *s)
{
    return now_us() >= s->turn_ends_us;
}

static void say_failure(struct grpc_server *s, enum status st)
{
    if (st == ST_E_NOMEM && !s->told_memory) {
        s->told_memory = true;
        log_line(s->log, LOG_WARNING, NULL,
                 "v2ray_api: the memory for calls is used up, connections are cut (said once)");
    } else if (st != ST_E_NOMEM && st != ST_E_CLOSED && !s->told_garbage) {
        s->told_garbage = true;
        log_line(s->log, LOG_WARNING, NULL,
                 "v2ray_api: a client that does not speak gRPC was cut: %s (said once)",
                 status_str(st));
    }
}

/* Reads and handles a piece; *@moved when there was one. */
static enum status take_in(struct grpc_conn *c, bool *moved)
{
    unsigned events;
    int err = 0;

    /* Who does not take his answers gets no more questions read. */
    if (c->conn.readable && bufq_room(&c->out) > 0 && !grpc_server_rests(c->server)) {
        enum status st = conn_read(&c->conn, &c->in, TURN_READ, c->server->pool, &err);
        if (st == ST_EOF)
            return ST_E_CLOSED;
        if (st < 0)
            return st == ST_E_NOMEM ? st : ST_E_CLOSED;
        *moved |= st == ST_OK;
    }
    enum status st = h2_read(&c->h2, &c->in);
    while (!grpc_server_rests(c->server)) {
        struct h2_stream *s = h2_next(&c->h2, &events);
        if (s == NULL)
            break;
        grpc_call_event(c, s, events);
    }
    return st;
}

static enum status give_out(struct grpc_conn *c, bool *moved)
{
    size_t sent = 0;
    int err = 0;

    if (!grpc_call_fill(c))
        return ST_E_NOMEM;
    enum status st = h2_write(&c->h2, &c->out);
    if (st < 0)
        return st;
    if (bufq_empty(&c->out))
        return h2_is_over(&c->h2) ? ST_E_CLOSED : ST_OK;
    if (!c->conn.writable)
        return ST_OK;
    st = conn_write(&c->conn, &c->out, c->server->pool, &sent, &err);
    if (sent > 0) {
        c->since_ms = loop_now_ms(c->server->loop);
        *moved = true;
    }
    return st < 0 ? ST_E_CLOSED : ST_OK;
}

static void run(struct grpc_conn *c)
{
    for (int i = 0; i < TURN_STEPS; i++) {
        bool quiet = bufq_empty(&c->out), moved = false;
        enum status in = take_in(c, &moved);
        enum status out = give_out(c, &moved);
        if (quiet)
            c->since_ms = loop_now_ms(c->server->loop);
        if (in < 0 || out < 0) {
            /* What h2_read had to say about the mistake has been written, as far as it goes. */
            say_failure(c->server, in < 0 ? in : out);
            conn_free(c);
            return;
        }
        if (grpc_server_rests(c->server))
            break;
        if (!moved)
            return;
    }
    grpc_conn_wake(c);
}

static void begin_turn(struct grpc_server *s)
{
    s->turn_ends_us = now_us() + GRPC_TURN_MS * 1000;
}

static void on_again(struct task *t)
{
    struct grpc_server *s = LIST_ENTRY(t, struct grpc_server, again);

    begin_turn(s);
    while (!list_empty(&s->runnable) && !grpc_server_rests(s)) {
        struct grpc_conn *c = LIST_ENTRY(s->runnable.next, struct grpc_conn, turn);
        list_del(&c->turn);
        run(c);
    }
    if (!list_empty(&s->runnable))
        loop_task_add(s->loop, &s->again);
}

static void on_notify(struct conn *conn)
{
    struct grpc_conn *c = LIST_ENTRY(conn, struct grpc_conn, conn);

    /* The one idle longest stays at the front. */
    list_del(&c->link);
    list_add_tail(&c->server->conns, &c->link);
    grpc_conn_wake(c);
}

/* The front is whose last sign of life is oldest. */
static struct grpc_conn *least_missed(struct grpc_server *s)
{
    uint64_t now = loop_now_ms(s->loop);
    struct grpc_conn *stuck = NULL;

    LIST_FOREACH(l, tmp, &s->conns) {
        struct grpc_conn *c = LIST_ENTRY(l, struct grpc_conn, link);
        if (list_empty(&c->calls))
            return c;
        if (stuck == NULL && now > c->since_ms + STUCK_MS)
            stuck = c;
    }
    return stuck != NULL ? stuck : LIST_ENTRY(s->conns.next, struct grpc_conn, link);
}

static void make_room(struct grpc_server *s)
{
    if (s->count < GRPC_CONNS)
        return;
    if (!s->told_full) {
        s->told_full = true;
        log_line(s->log, LOG_WARNING, NULL,
                 "v2ray_api: %u connections: idle ones are closed for new ones", GRPC_CONNS);
    }
    conn_free(least_missed(s));
}

static void on_accepted(struct tcp_listener *t, int fd, const struct addr *peer)
{
    struct grpc_server *s = LIST_ENTRY(t, struct grpc_server, listener);
    struct grpc_conn *c = calloc(1, sizeof(*c));
    int on = 1;

    (void)peer;
    make_room(s);
    if (c == NULL || h2_init(&c->h2, s->pool, &h2_conf) != ST_OK) {
        free(c);
        close(fd);
        return;
    }
    (void)!setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->server = s;
    c->since_ms = loop_now_ms(s->loop);
    bufq_init(&c->in, TURN_READ);
    bufq_init(&c->out, OUT_CAP);
    list_init(&c->calls);
    list_init(&c->turn);
    list_add_tail(&s->conns, &c->link);
    s->count++;
    if (conn_open(&c->conn, s->loop, fd, false, on_notify) != ST_OK)
        conn_free(c);
}

static void on_tick(struct timer *t)
{
    struct grpc_server *s = LIST_ENTRY(t, struct grpc_server, tick);
    uint64_t now = loop_now_ms(s->loop);

    LIST_FOREACH(l, tmp, &s->conns) {
        struct grpc_conn *c = LIST_ENTRY(l, struct grpc_conn, link);
        bool its_turn = list_linked(&c->turn); /* what it sent may not have been looked at */
        bool silent = !c->asked && now > c->since_ms + GRPC_FIRST_MS;
        bool stalled = !bufq_empty(&c->out) && now > c->since_ms + GRPC_STALL_MS;
        if ((silent || stalled) && !its_turn)
            conn_free(c);
        else
            grpc_call_tick(c, now);
    }
    loop_timer_in(s->loop, &s->tick, TICK_MS);
}

/* ---- the server ------------------------------------------------------------------------------ */

struct grpc_server *grpc_server_new(const struct grpc_server_conf *conf)
{
    struct grpc_server *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    *s = (struct grpc_server){.loop = conf->loop,
                              .log = conf->log,
                              .methods = conf->methods,
                              .method_count = conf->method_count};
    s->pool = pool_new(GRPC_MEMORY);
    if (s->pool == NULL) {
        free(s);
        return NULL;
    }
    list_init(&s->conns);
    list_init(&s->runnable);
    task_init(&s->again, on_again);
    timer_init(&s->tick, on_tick);
    tcp_listener_init(&s->listener, conf->loop, on_accepted);
    loop_timer_in(s->loop, &s->tick, TICK_MS);
    return s;
}

enum status grpc_server_listen(struct grpc_server *s, const struct addr *at, struct why *why)
{
    tcp_listener_close(&s->listener);
    return tcp_listener_open(&s->listener, at, why);
}

const struct addr *grpc_server_addr(const struct grpc_server *s)
{
    return &s->listener.bound;
}

unsigned grpc_server_count(const struct grpc_server *s)
{
    return s->count;
}

bool grpc_server_relieve(struct grpc_server *s)
{
    bool found = false;

    LIST_FOREACH(l, tmp, &s->conns)
        found |= grpc_call_relieve(LIST_ENTRY(l, struct grpc_conn, link), loop_now_ms(s->loop),
                                   STUCK_MS);
    return found;
}

void grpc_server_stop(struct grpc_server *s)
{
    if (s->stopping)
        return;
    s->stopping = true;
    tcp_listener_close(&s->listener);
    begin_turn(s);
    LIST_FOREACH(l, tmp, &s->conns) {
        struct grpc_conn *c = LIST_ENTRY(l, struct grpc_conn, link);
        h2_shutdown(&c->h2);
        run(c);
    }
}

void grpc_server_free(struct grpc_server *s)
{
    if (s == NULL)
        return;
    tcp_listener_close(&s->listener);
    loop_timer_del(s->loop, &s->tick);
    loop_task_del(s->loop, &s->again);
    while (!list_empty(&s->conns))
        conn_free(LIST_ENTRY(s->conns.next, struct grpc_conn, link));
    pool_free(s->pool);
    free(s);
}
