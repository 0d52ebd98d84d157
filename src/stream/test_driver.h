/* stream/test_driver.h - the loop of a fuzz target that drives one layer: bytes in, one run, a look
 * at what came out. For fuzz targets: what is not as it should be aborts. */
#ifndef STREAM_TEST_DRIVER_H
#define STREAM_TEST_DRIVER_H

#include "stream/chain.h"

struct test_driver {
    struct chain chain;
    struct pool *pool;
    struct conn_info info;
    struct env env;
    enum status st;   /* of the last run; an error or a diversion ends the connection */
    uint32_t seen;    /* enum events_mask: all that was reported */
    uint64_t wake_us; /* what the last run asked for; UINT64_MAX: nothing */

    /* The target's to set before the first byte: */
    uint64_t now_us; /* the clocks; each run is a microsecond later */
    int64_t unix_s;
    size_t cut; /* n: the client's bytes come in pieces of 1 to n; 0: at once */
    /* Called after every run, the loop having seen that an error has its reason. Judges what was
     * reported, and plays the relay and the wire: takes from the ends of the chain what they take,
     * adds what the relay says. See test_driver_echo. */
    void (*after)(struct test_driver *d, const struct events *ev);
    const void *arg; /* for after */
};

/* A chain of @ops with @conf. @env: users, keys and the like; pool and info are the loop's own. */
void test_driver_open(struct test_driver *d, const struct env *env, const struct layer_ops *ops,
                      const void *conf);
/* The client sends @data, a span a piece. Nothing once the connection has ended. */
void test_driver_feed(struct test_driver *d, const uint8_t *data, size_t size);
/* Neither end has more to say. Nothing once the connection has ended. */
void test_driver_end(struct test_driver *d);
/* Nothing may be left in the pool. */
void test_driver_close(struct test_driver *d);

/* For test_driver.after: a relay that sends back what it gets, and a wire that takes all. */
void test_driver_echo(struct test_driver *d);
/* Aborts unless @ok. */
void test_driver_must(bool ok);

#endif
