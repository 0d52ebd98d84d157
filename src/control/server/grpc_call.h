/* control/server/grpc_call.h - inside of the gRPC server: connections and their calls.
 * grpc_server.c has the sockets, grpc_call.c what a stream means. */
#ifndef CONTROL_SERVER_GRPC_CALL_H
#define CONTROL_SERVER_GRPC_CALL_H

#include "control/server/grpc_server.h"
#include "control/server/tcp_listener.h"
#include "h2/h2.h"
#include "io/conn.h"

struct grpc_conn {
    struct list link; /* in server.conns, the one idle longest first */
    struct grpc_server *server;
    struct conn conn;
    struct list turn; /* in server.runnable */
    struct h2 h2;
    struct bufq in, out;
    struct list calls;
    uint64_t since_ms; /* opened, or last progress while there was something to write */
    size_t buffered;   /* bytes of messages that are not complete */
    bool asked;        /* it has made a request */
};

struct grpc_call {
    struct list link;
    struct grpc_conn *conn;
    struct h2_stream *stream;
    const struct grpc_method *method; /* NULL: answered already, with an error */
    uint64_t begin_ms, deadline_ms;   /* 0: none */
    size_t credited;                  /* bytes in stream->in that the peer has got back */
    struct grpc_body *body;           /* being written */
    uint64_t left;                    /* bytes of it */
    uint64_t waiting;                 /* bytes not yet sent, at moved_ms */
    uint64_t moved_ms, answered_ms;   /* it last moved, it began; 0: nothing to send */
    bool head_sent, done;             /* done: nothing more is wanted of it */
    bool given_up;                    /* reset by us */
    bool handed;                      /* the one message of a unary call is with its method */
    void (*gone)(void *arg);
    void *gone_arg;
};

struct grpc_server {
    struct tcp_listener listener;
    struct loop *loop;
    const struct log *log;
    const struct grpc_method *methods;
    size_t method_count;
    struct pool *pool;
    struct list conns;
    unsigned count;
    struct list runnable; /* struct grpc_conn.turn */
    struct task again;    /* runs them */
    uint64_t turn_ends_us;
    struct timer tick;
    bool stopping, told_full, told_garbage, told_memory;
};

/* The server's share of this round is used up. */
bool grpc_server_rests(const struct grpc_server *s);
/* Something happened to a stream. */
void grpc_call_event(struct grpc_conn *c, struct h2_stream *s, unsigned events);
/* Puts more of the answers into the streams. False: no memory. */
bool grpc_call_fill(struct grpc_conn *c);
/* Deadlines. */
void grpc_call_tick(struct grpc_conn *c, uint64_t now_ms);
/* Gives up answers that have not moved for @ms. False: there are none. */
bool grpc_call_relieve(struct grpc_conn *c, uint64_t now_ms, uint64_t ms);
/* The connection ends. */
void grpc_call_drop_all(struct grpc_conn *c);
/* Gives the connection a turn before the loop sleeps. */
void grpc_conn_wake(struct grpc_conn *c);

#endif
