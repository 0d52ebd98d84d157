/* stream/test_bench.h - one layer in a chain between two queues, as a test of a transport or a
 * protocol drives it: bytes in, one run, a look at what came out. For tests: what is not as it
 * should be fails the cmocka test. The laws that every layer obeys are in stream/law.h. */
#ifndef STREAM_TEST_BENCH_H
#define STREAM_TEST_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stream/chain.h"
#include "stream/law.h"

struct test_bench {
    struct pool *pool; /* of all chains opened here; empty again at the close */
    struct conn_info info;
    struct env env;
    struct chain chain;
    struct events ev; /* of the last run */
    enum status st;   /* what it returned */
    uint64_t now_us;  /* the clocks: the test's to move */
    int64_t unix_s;
    uint64_t wake_us; /* what the last run asked for; UINT64_MAX: nothing */
};

/* Another connection in place of the last one: same pool, env and clocks, a chain of its own. */
static inline void test_bench_reopen(struct test_bench *b, const struct layer_ops *ops,
                                     const void *conf)
{
    const struct chain_stage stage = {ops, conf};

    chain_fini(&b->chain);
    assert_int_equal(chain_init(&b->chain, &b->env, &stage, 1), ST_OK);
}

/* A chain of @ops alone. @env: users, keys and the like, outlives the bench but for the struct
 * itself; pool and info are the bench's own. NULL: only those two. */
static inline void test_bench_open(struct test_bench *b, const struct env *env,
                                   const struct layer_ops *ops, const void *conf)
{
    memset(b, 0, sizeof(*b));
    b->pool = pool_new(0);
    assert_non_null(b->pool);
    if (env != NULL)
        b->env = *env;
    b->env.pool = b->pool;
    b->env.info = &b->info;
    b->now_us = 1000000;
    b->unix_s = 1;
    test_bench_reopen(b, ops, conf);
}

/* All that the layer took must be given back. */
static inline void test_bench_close(struct test_bench *b)
{
    chain_fini(&b->chain);
    conn_info_clear(b->pool, &b->info);
    assert_int_equal(pool_used(b->pool), 0);
    pool_free(b->pool);
}

/* Until the chain has nothing more to do; b->ev.mask holds all that was reported meanwhile. What
 * it returns is in b->st as well. */
static inline enum status test_bench_run(struct test_bench *b)
{
    uint32_t seen = 0;

    do {
        b->wake_us = UINT64_MAX;
        b->st = chain_run(&b->chain, &b->ev, b->now_us, b->unix_s, &b->wake_us);
        seen |= b->ev.mask;
    } while (b->st == ST_YIELD);
    b->ev.mask = seen;
    return b->st;
}

/* The client sends @n bytes, and the chain runs. */
static inline enum status test_bench_feed(struct test_bench *b, const void *bytes, size_t n)
{
    assert_int_equal(bufq_put(chain_bottom_in(&b->chain), bytes, n, b->pool), ST_OK);
    return test_bench_run(b);
}

/* @q holds exactly the @n bytes of @want, and still does afterwards. */
static inline void test_bench_holds(const struct bufq *q, const void *want, size_t n)
{
    assert_int_equal(q->bytes, n);
    uint8_t *got = malloc((size_t)q->bytes + 1);
    assert_non_null(got);
    assert_int_equal(bufq_peek(q, got, n), n);
    if (n > 0)
        assert_memory_equal(got, want, n);
    free(got);
}

/* The same, and takes them out. */
static inline void test_bench_takes(struct test_bench *b, struct bufq *q, const void *want,
                                    size_t n)
{
    test_bench_holds(q, want, n);
    bufq_clear(q, b->pool);
}

/* ---- the laws -------------------------------------------------------------------------------- */

static inline void test_bench_laws(const struct law_case *c)
{
    char err[LAW_ERR_LEN];

    if (!law_check(c, err))
        fail_msg("%s", err);
}

/* For law_case.written with one of these as arg: exactly these bytes. */
struct test_bench_bytes {
    const uint8_t *bytes;
    size_t len;
};

static inline bool test_bench_wrote(void *arg, const uint8_t *wire, size_t len)
{
    const struct test_bench_bytes *want = arg;

    return len == want->len && memcmp(wire, want->bytes, len) == 0;
}

#endif
