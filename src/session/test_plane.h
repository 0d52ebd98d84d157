/* session/test_plane.h - the data plane against real sockets, for tests; no program links it.
 *
 * Workers with one VLESS node on a loopback port; an origin that answers by the first byte it gets
 * (enum bench_wish); a second listener, the target, whose connections the test accepts itself;
 * clients with blocking sockets. The control plane is the test's thread: it publishes views and
 * pumps its loop for what the workers tell it. What cannot fail in a test that makes sense ends the
 * process. */
#ifndef SESSION_TEST_PLANE_H
#define SESSION_TEST_PLANE_H

#include <pthread.h>
#include <stdbool.h>

#include "base/arena.h"
#include "crypto/ctx.h"
#include "crypto/rng.h"
#include "io/loop.h"
#include "policy/plane.h"
#include "session/workers.h"
#include "stream/transport.h"

#define BENCH_WORKERS_MAX 4
#define BENCH_SLOTS       64
#define BENCH_NODES_MAX   4
#define BENCH_BULK        (8u * 1024 * 1024)

enum bench_wish {
    WISH_ECHO = 'e',   /* sends back what follows, ends when the client ends */
    WISH_SOURCE = 's', /* sends BENCH_BULK bytes and ends */
    WISH_COUNT = 'c',  /* reads to the end, then answers with the sum in 8 bytes */
    WISH_HOLD = 'h',   /* says 'H' and waits for the end */
};

struct bench_conf {
    unsigned workers; /* 0 = 2 */
    size_t sessions_max, memory_budget;
    struct handoff *handoff;  /* of an earlier bench, at whose port this one listens */
    uint16_t port;            /* 0 = a free one */
    const char *proto;        /* of the node; NULL: vless */
    const char *name_servers; /* as workers_conf */
    struct log_sink *access;
};

struct bench {
    struct loop *loop;
    struct workers *workers;
    struct plane plane;
    struct plane_sink sink;
    struct meter meters[BENCH_WORKERS_MAX];
    struct meter_cell cells[BENCH_WORKERS_MAX][BENCH_SLOTS];
    _Atomic uint64_t dirty[BENCH_WORKERS_MAX][1];
    struct log log;
    struct log_sink log_sink;
    unsigned worker_count;
    struct rng rngs[BENCH_WORKERS_MAX];
    struct crypto_ctx cryptos[BENCH_WORKERS_MAX];
    struct crypto_ctx crypto; /* the test's own */
    /* const once published; the first is what bench_new prepared, later ones are heap copies that
     * go with their last view, so that a sanitizer sees who still looks at them */
    struct view_node node;
    const struct view_node *current;
    const struct proto *proto;
    const void *proto_conf;
    void *shared; /* of proto */
    struct user_rt users[2];
    struct arena *arena; /* for configurations; goes with the bench */
    uint16_t port, origin_port, target_port;
    int origin_fd, target_fd;
    pthread_t origin;
    bool listening, busy, gone, alive_told;
    unsigned released;
    uint64_t generation; /* of the view published last */
    size_t alive_n;
    struct plane_alive alive[8];
};

/* Starts workers and origin, prepares node (its protocol without anything below, two users);
 * nothing is published yet. */
struct bench *bench_new(const struct bench_conf *conf);
/* Ends all that is there and checks that no view is left. */
void bench_free(struct bench *b);
/* Publishes current with the first @users users. Takes the ones in @removed out, as plane.publish.
 */
void bench_publish(struct bench *b, unsigned users, struct user_rt *const *removed, size_t n);
/* The same with both, and waits until the node listens. */
void bench_open(struct bench *b);
/* A copy of node that is freed with its last view; becomes current. To be changed before it is
 * published. */
struct view_node *bench_change(struct bench *b);
/* The same with a transport below what is there; its configuration goes with the node's last view.
 */
struct view_node *bench_put_below(struct bench *b, const char *name, const char *settings,
                                  const struct conf_context *ctx);
void bench_pump_until(struct bench *b, const bool *flag);
/* Returns when the workers have carried out all that was asked before. */
void bench_settle(struct bench *b);
struct plane_stats bench_stats(struct bench *b);
/* Waits until so many connections are open. */
void bench_wait_open(struct bench *b, uint64_t n);
/* Payload bytes of a user's slot over all workers. */
uint64_t bench_counted(const struct bench *b, unsigned slot, bool up);

/* ---- sockets ---- */

/* A listening loopback socket with an ephemeral port. */
int bench_listen(uint16_t *port, int backlog);
int bench_dial_port(uint16_t port);
int bench_dial(const struct bench *b);
void bench_send(int fd, const void *data, size_t n);
/* False when the connection ended before. */
bool bench_read(int fd, void *dst, size_t n);
/* Is the end of the stream next, in order (FIN)? */
bool bench_at_end(int fd);
/* Closes by RST. */
void bench_reset(int fd);
/* Blocks until the peer's FIN or RST; reads what comes before. True: it was a FIN. */
bool bench_drain(int fd, uint64_t *bytes);
uint8_t bench_pattern(size_t i);

/* Writes a VLESS request of user @who to the loopback @port; command 1 TCP, 2 UDP. Returns its size
 * (<= 64). */
size_t bench_header(const struct bench *b, unsigned who, uint8_t cmd, uint16_t port, uint8_t *out);
/* Dials the node and asks for the origin with a wish. */
int bench_stream(const struct bench *b, unsigned who, enum bench_wish wish);
/* Dials the node, asks for the test's target, and accepts there. */
int bench_pair(const struct bench *b, unsigned who, int *target);
/* Reads the response header. */
bool bench_answered(int fd);

#endif
