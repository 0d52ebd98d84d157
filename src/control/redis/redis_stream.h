/* control/redis/redis_stream.h - the bytes to and from a Redis server: its name found, connected by
 * TCP or a unix socket, TLS around them if the store wants it. Nothing of it blocks. Control
 * thread; inside control only.
 *
 * Life: redis_stream_init -> (redis_stream_open -> redis_stream_close)* -> redis_stream_fini. */
#ifndef CONTROL_REDIS_REDIS_STREAM_H
#define CONTROL_REDIS_REDIS_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "io/conn.h"
#include "io/dial.h"
#include "io/loop.h"
#include "io/resolver.h"

struct config_device_store;
struct redis_stream;
struct tls_client;

struct redis_stream_conf {
    struct loop *loop;
    struct resolver **resolver;              /* made when a name is to be found first */
    const struct config_device_store *store; /* borrowed for the stream's life */
    /* From the loop, or from within redis_stream_open. In each the stream may be closed, not opened
     * again. */
    void (*opened)(struct redis_stream *); /* and the server is who it must be: bytes may go */
    void (*came)(struct redis_stream *, const void *data, size_t len);
    void (*failed)(struct redis_stream *, const char *why); /* it is closed; said of the server */
};

struct redis_stream {
    struct redis_stream_conf conf;
    struct resolve_req resolving;
    struct dial *dial;
    struct conn conn;
    struct task turn;
    struct pool *pool;
    struct bufq in, plain, out; /* plain: to be sealed */
    struct tls_client *tls;     /* NULL: none */
    bool ready;
    unsigned first; /* of its addresses */
};

/* ST_OK or ST_E_NOMEM. */
NODISCARD enum status redis_stream_init(struct redis_stream *s,
                                        const struct redis_stream_conf *conf);
/* Closes it; safe on a zeroed one. */
void redis_stream_fini(struct redis_stream *s);
/* Begins to connect: to the first of its addresses that answers, @turn of them put behind the
 * others. */
void redis_stream_open(struct redis_stream *s, unsigned turn);
/* At once, whatever is under way; nothing is called. Harmless on a closed one. */
void redis_stream_close(struct redis_stream *s);
/* Is connected and waits for the server's part of the TLS handshake. */
bool redis_stream_shakes_hands(const struct redis_stream *s);
/* Sends @len bytes, once opened; what is given in one round of the loop goes together. ST_OK or
 * ST_E_NOMEM, then nothing of them goes. */
NODISCARD enum status redis_stream_write(struct redis_stream *s, const void *data, size_t len);

#endif
