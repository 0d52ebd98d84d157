/* control/store/test_spool.h - a spool with its counters in a directory of its own, for their
 * tests. Not part of the product. */
#ifndef CONTROL_STORE_TEST_SPOOL_H
#define CONTROL_STORE_TEST_SPOOL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ftw.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "control/store/counters.h"
#include "control/store/spool.h"
#include "control/store/store.h"

static unsigned lines; /* of level warning and above */

static inline void count_line(struct log_sink *s, const char *line, size_t len)
{
    (void)s;
    (void)line;
    (void)len;
    lines++;
}

static struct log_sink sink = {.write = count_line};
static struct log lg = {.sink = &sink, .level = LOG_WARNING};

static char dir[64];

static inline int make_dir(void **state)
{
    (void)state;
    memcpy(dir, "/tmp/v2sp-spool-XXXXXX", sizeof("/tmp/v2sp-spool-XXXXXX"));
    lines = 0;
    return mkdtemp(dir) == NULL;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline int remove_dir(void **state)
{
    (void)state;
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

struct side {
    struct store *s;
    struct counters *c;
    uint32_t node;
};

static inline void open_side(struct side *d)
{
    d->s = store_open(dir, &lg);
    assert_non_null(d->s);
    d->c = counters_open(dir, d->s, 2, &lg);
    assert_non_null(d->c);
    assert_int_equal(store_node(d->s, "panel|7", &d->node), ST_OK);
}

static inline void close_side(struct side *d)
{
    counters_close(d->c);
    store_close(d->s);
}

static inline void expect_pending(const struct side *d, uint64_t up, uint64_t down)
{
    uint64_t u = 0, w = 0;
    assert_int_equal(spool_pending(d->s, d->node, &u, &w), ST_OK);
    assert_int_equal(u, up);
    assert_int_equal(w, down);
}

static inline uint32_t take(struct side *d, uint64_t uid)
{
    assert_int_equal(counters_reserve(d->c, 1), ST_OK);
    return counters_take(d->c, d->node, uid);
}

static inline void add(struct side *d, unsigned worker, uint32_t slot, uint64_t up, uint64_t down)
{
    meter_add(counters_meter(d->c, worker), slot, up, down);
}

static inline void sample(struct side *d)
{
    assert_int_equal(counters_sample(d->c, 1000, NULL), ST_OK);
}

/* Runs @steps in a child that dies without a word, as by kill -9. */
static inline void killed(void (*steps)(void))
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        steps();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

struct rows {
    uint64_t uid[8], up[8], down[8];
    unsigned n;
};

static inline enum status take_row(void *arg, uint64_t uid, uint64_t up, uint64_t down)
{
    struct rows *r = arg;
    assert_true(r->n < 8);
    r->uid[r->n] = uid;
    r->up[r->n] = up;
    r->down[r->n++] = down;
    return ST_OK;
}

static inline struct rows rows_of(struct side *d, uint64_t seq)
{
    struct rows r = {.n = 0};
    assert_int_equal(spool_rows(d->s, d->node, seq, take_row, &r), ST_OK);
    return r;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

#endif
