/* control/server/grpc_server.h - a gRPC server in the control thread: plain-text HTTP/2 on one
 * address, unary methods and simple streams. Single-threaded; nothing blocks.
 *
 * Bounds: GRPC_CONNS connections (over that the one that is idle longest goes, then one whose calls
 * are stuck, else the one that was silent longest), 100 streams each, messages of GRPC_MESSAGE_MAX
 * bytes, GRPC_MEMORY bytes in all. A connection whose client does not read for GRPC_STALL_MS while
 * there is something for it, and one without a request GRPC_FIRST_MS after it was opened, are
 * closed. An answer of which the client takes nothing for GRPC_STARVE_MS, or not all within
 * GRPC_ANSWER_MS, is given up. Connections take turns, GRPC_TURN_MS in a round of the loop: however
 * many calls there are, the rest of the control thread waits for no more than that and the longest
 * one. */
#ifndef CONTROL_SERVER_GRPC_SERVER_H
#define CONTROL_SERVER_GRPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"
#include "codec/grpc.h"

#define GRPC_CONNS       256u
#define GRPC_MESSAGE_MAX 4194304u /* as grpc-go's default */
#define GRPC_MEMORY      (64u << 20)
#define GRPC_STALL_MS    30000u
#define GRPC_FIRST_MS    20000u
#define GRPC_STARVE_MS   120000u
#define GRPC_ANSWER_MS   600000u
#define GRPC_TURN_MS     10u

struct grpc_call;
struct grpc_server;
struct log;
struct loop;

/* An answer that is written as the client takes it. */
struct grpc_body {
    uint64_t size; /* of the whole message; at most UINT32_MAX */
    /* Writes at most @cap (>= 16000) bytes of what comes next, at least one while some are left. */
    size_t (*read)(struct grpc_body *, uint8_t *dst, size_t cap);
    void (*free)(struct grpc_body *);
};

/* @fn gets each complete message of a call, borrowed, and must then or later answer it. */
enum grpc_kind {
    GRPC_UNARY, /* by grpc_call_answer or grpc_call_fail */
    /* By any number of grpc_call_send; the call ends when the client has ended its side, or by
     * grpc_call_fail. */
    GRPC_BIDI,
    /* There is one message; the call then goes on until grpc_call_end or grpc_call_fail, or until
     * the client resets it. */
    GRPC_SERVER_STREAM,
};

struct grpc_method {
    const char *service, *name;
    enum grpc_kind kind;
    void (*fn)(void *arg, struct grpc_call *call, const uint8_t *message, size_t len);
    void *arg;
};

struct grpc_server_conf {
    struct loop *loop;
    const struct log *log;
    const struct grpc_method *methods; /* borrowed for the server's life */
    size_t method_count;
};

/* NULL: no memory. */
struct grpc_server *grpc_server_new(const struct grpc_server_conf *conf);
/* Cuts what is open. NULL is fine. */
void grpc_server_free(struct grpc_server *s);
/* Listens on @at, on nothing else. As tcp_listener_open. */
NODISCARD enum status grpc_server_listen(struct grpc_server *s, const struct addr *at,
                                         struct why *why);
/* The address it listens on; family 0: on none. */
const struct addr *grpc_server_addr(const struct grpc_server *s);
/* No new connections and calls (GOAWAY); open calls go on. */
void grpc_server_stop(struct grpc_server *s);
/* Gives up answers of which a client has taken nothing for seconds. False: there are none. */
bool grpc_server_relieve(struct grpc_server *s);
unsigned grpc_server_count(const struct grpc_server *s); /* open connections */

/* Ends the call with one message; the body is the server's from now on, also on failure. */
void grpc_call_answer(struct grpc_call *c, struct grpc_body *own_body);
/* The same with a copy of @len bytes. */
void grpc_call_bytes(struct grpc_call *c, const void *data, size_t len);
/* Ends it with an error. */
void grpc_call_fail(struct grpc_call *c, enum grpc_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A message of a stream. */
void grpc_call_send(struct grpc_call *c, const void *data, size_t len);
/* Ends a stream behind what was sent, status OK. */
void grpc_call_end(struct grpc_call *c);
/* @gone is called if the call ends (reset, deadline, connection) before it was answered; NULL
 * clears. The call must not be used any more then. */
void grpc_call_watch(struct grpc_call *c, void (*gone)(void *arg), void *arg);

#endif
