/* control/redis/redis_link.h - a connection to a Redis server that is kept up for one script: its
 * commands and their answers, over a redis_stream. Control thread; inside control only.
 *
 *   DOWN --name found, connected, TLS, AUTH, SELECT, SCRIPT LOAD--> UP --any trouble--> DOWN
 *
 * Anything that is not as it should be ends the connection: no answer within Timeout, an error, an
 * answer nobody understands. It is made again after 1 s, then more seldom, up to every 30 s. One
 * line of the log says when that begins, one when it is over. */
#ifndef CONTROL_REDIS_REDIS_LINK_H
#define CONTROL_REDIS_REDIS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct config_device_store;
struct log;
struct loop;
struct redis_link;
struct redisReply;
struct resolver;

struct redis_link_conf {
    struct loop *loop;
    const struct log *log;
    struct resolver **resolver;              /* made when a name is to be found first */
    const struct config_device_store *store; /* copied */
    const char *script;                      /* constant */
    /* Both may be called from within any call but redis_link_new. @up: commands may be sent.
     * @down: what was sent has been answered with NULL. */
    void (*up)(void *arg);
    void (*down)(void *arg);
    void *arg;
};

/* NULL: no memory. Tries to connect from the loop's next round on. */
struct redis_link *redis_link_new(const struct redis_link_conf *conf);
/* Commands under way are answered with NULL; down is not called. NULL is fine. */
void redis_link_free(struct redis_link *l);

/* What the log was told, and more. */
enum redis_link_phase {
    REDIS_LINK_CONNECTING, /* for the first time */
    REDIS_LINK_UP,
    REDIS_LINK_DOWN, /* also while it is connected and has not answered a command yet */
};

struct redis_link_state {
    enum redis_link_phase phase;
    int64_t since_s;   /* unix time at which it began */
    const char *error; /* why it was down last, plain text without a secret; "": it never was;
                          borrowed until the next event */
    uint64_t answered, failed; /* commands */
};

void redis_link_state(const struct redis_link *l, struct redis_link_state *out);
/* The link's copy of what it was made with. */
const struct config_device_store *redis_link_store(const struct redis_link *l);
bool redis_link_is_up(const struct redis_link *l);
/* What SCRIPT LOAD has answered; "" while it is down. */
const char *redis_link_sha(const struct redis_link *l);
/* Sends a command. @fn is called once, from the loop or a call that ends the connection: with its
 * answer, or with NULL. It says whether the answer was understood; if not the connection ends.
 * ST_OK; ST_E_IO: it is down; ST_E_LIMIT: REDIS_LINK_MAX are under way; ST_E_NOMEM. Then @fn is not
 * called. */
#define REDIS_LINK_MAX 1024u
NODISCARD enum status redis_link_send(struct redis_link *l, int argc, const char **argv,
                                      const size_t *len,
                                      enum status (*fn)(void *arg, const struct redisReply *),
                                      void *arg);

#endif
