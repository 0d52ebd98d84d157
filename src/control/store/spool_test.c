#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "control/store/counters.h"
#include "control/store/spool.h"
#include "control/store/store.h"

static unsigned lines; /* of level warning and above */

static void count_line(struct log_sink *s, const char *line, size_t len)
{
    (void)s;
    (void)line;
    (void)len;
    lines++;
}

static struct log_sink sink = {.write = count_line};
static struct log lg = {.sink = &sink, .level = LOG_WARNING};

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/v2sp-spool-XXXXXX");
    lines = 0;
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
    (void)state;
    char cmd[512];
    snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
    return system(cmd);
}

struct side {
    struct store *s;
    struct counters *c;
    uint32_t node;
};

static void open_side(struct side *d)
{
    d->s = store_open(dir, &lg);
    assert_non_null(d->s);
    d->c = counters_open(dir, d->s, 2, &lg);
    assert_non_null(d->c);
    assert_int_equal(store_node(d->s, "panel|7", &d->node), ST_OK);
}

static void close_side(struct side *d)
{
    counters_close(d->c);
    store_close(d->s);
}

static void expect_pending(const struct side *d, uint64_t up, uint64_t down)
{
    uint64_t u = 0, w = 0;
    assert_int_equal(spool_pending(d->s, d->node, &u, &w), ST_OK);
    assert_int_equal(u, up);
    assert_int_equal(w, down);
}

static uint32_t take(struct side *d, uint64_t uid)
{
    assert_int_equal(counters_reserve(d->c, 1), ST_OK);
    return counters_take(d->c, d->node, uid);
}

static void add(struct side *d, unsigned worker, uint32_t slot, uint64_t up, uint64_t down)
{
    meter_add(counters_meter(d->c, worker), slot, up, down);
}

static void sample(struct side *d)
{
    assert_int_equal(counters_sample(d->c, 1000, NULL), ST_OK);
}

/* Runs @steps in a child that dies without a word, as by kill -9. */
static void killed(void (*steps)(void))
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

static void copy(const char *from, const char *to)
{
    char cmd[512];
    snprintf(cmd, sizeof(cmd), "cp --sparse=always %s/%s %s/%s", dir, from, dir, to);
    assert_int_equal(system(cmd), 0);
}

struct rows {
    uint64_t uid[8], up[8], down[8];
    unsigned n;
};

static enum status take_row(void *arg, uint64_t uid, uint64_t up, uint64_t down)
{
    struct rows *r = arg;
    assert_true(r->n < 8);
    r->uid[r->n] = uid;
    r->up[r->n] = up;
    r->down[r->n++] = down;
    return ST_OK;
}

static struct rows rows_of(struct side *d, uint64_t seq)
{
    struct rows r = {.n = 0};
    assert_int_equal(spool_rows(d->s, d->node, seq, take_row, &r), ST_OK);
    return r;
}

static void traffic_moves_once(void **state)
{
    (void)state;
    struct side d;
    struct spool_batch b;

    open_side(&d);
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_E_NOTFOUND);
    uint32_t x = take(&d, 11), y = take(&d, 12);
    add(&d, 0, x, 5, 7);
    add(&d, 1, x, 10, 0);
    sample(&d);
    sample(&d);
    add(&d, 1, x, 1, 0);
    add(&d, 0, y, 0, 3);
    expect_pending(&d, 15, 7);
    sample(&d);
    expect_pending(&d, 16, 10);

    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    assert_int_equal(b.seq, 1);
    assert_int_equal(b.rows, 2);
    assert_false(b.tried);
    add(&d, 0, x, 100, 0); /* after the freeze: the next batch */
    sample(&d);
    struct rows r = rows_of(&d, b.seq);
    assert_int_equal(r.n, 2);
    assert_int_equal(r.uid[0], 11);
    assert_int_equal(r.up[0], 16);
    assert_int_equal(r.down[0], 7);
    assert_int_equal(r.uid[1], 12);
    assert_int_equal(r.down[1], 3);

    assert_int_equal(spool_sending(d.s, d.node, b.seq), ST_OK);
    /* The same batch again, with its mark, as long as it is not done. */
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    assert_int_equal(b.seq, 1);
    assert_true(b.tried);
    assert_int_equal(spool_done(d.s, d.node, b.seq), ST_OK);
    expect_pending(&d, 100, 0);
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    assert_int_equal(b.seq, 2);
    assert_int_equal(spool_sending(d.s, d.node, b.seq), ST_OK);
    assert_int_equal(spool_back(d.s, d.node, b.seq, false), ST_OK);
    close_side(&d);

    open_side(&d);
    expect_pending(&d, 100, 0);
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    assert_int_equal(b.seq, 2);
    assert_false(b.tried);
    close_side(&d);
    assert_int_equal(lines, 0);
}

static void kill_between_batches(void)
{
    struct side d;
    struct spool_batch b;

    open_side(&d);
    uint32_t x = take(&d, 11);
    add(&d, 0, x, 100, 1);
    sample(&d);
    if (spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b) != ST_OK ||
        spool_sending(d.s, d.node, b.seq) != ST_OK)
        _exit(1);
    add(&d, 0, x, 20, 2);
    sample(&d);
    add(&d, 1, x, 3, 3); /* never sampled */
}

static void kill_loses_nothing(void **state)
{
    (void)state;
    struct side d;
    struct spool_batch b;
    char key[SPOOL_KEY_LEN], again[SPOOL_KEY_LEN];

    for (uint64_t i = 1; i <= 3; i++) {
        killed(kill_between_batches);
        open_side(&d);
        /* The frozen batch waits, marked; the rest was taken from the file. */
        assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
        assert_true(b.tried);
        assert_int_equal(rows_of(&d, b.seq).up[0], 100);
        spool_key(d.s, 7, d.node, b.seq, key);
        expect_pending(&d, 123, 6);
        close_side(&d);
        open_side(&d);
        assert_string_equal(spool_key(d.s, 7, d.node, b.seq, again), key);
        expect_pending(&d, 123, 6);
        assert_int_equal(spool_done(d.s, d.node, b.seq), ST_OK);
        assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
        assert_int_equal(rows_of(&d, b.seq).up[0], 23);
        assert_int_equal(spool_done(d.s, d.node, b.seq), ST_OK);
        expect_pending(&d, 0, 0);
        close_side(&d);
    }
}

static void only_traffic(void)
{
    struct side d;

    open_side(&d);
    add(&d, 0, take(&d, 11), 100, 1);
    add(&d, 1, take(&d, 12), 200, 2);
}

/* Killed between the commit and the unlink: the file is found again after its traffic was pushed
 * and its accounts are gone. A copy that seems to have a living owner stands for it. */
static void kill_in_recovery(void **state)
{
    (void)state;
    struct side d;
    struct spool_batch b;
    char path[128];

    killed(only_traffic);
    copy("counters-1", "counters-1-copy");
    snprintf(path, sizeof(path), "%s/counters-1-copy", dir);
    int fd = open(path, O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    open_side(&d); /* epoch 2 takes the file of 1 */
    expect_pending(&d, 300, 3);
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    assert_int_equal(spool_done(d.s, d.node, b.seq), ST_OK);
    close_side(&d);
    close(fd);
    open_side(&d);
    expect_pending(&d, 0, 0);
    assert_int_not_equal(access(path, F_OK), 0);
    close_side(&d);
    open_side(&d);
    assert_int_equal(store_epoch(d.s), 4);
    expect_pending(&d, 0, 0);
    close_side(&d);
}

static void retire_and_die(void)
{
    struct side d;

    open_side(&d);
    uint32_t x = take(&d, 11);
    add(&d, 0, x, 10, 20);
    counters_retire(d.c, x);
    copy("counters-1", "kept"); /* with the account still in it */
    sample(&d);
    assert_int_equal(counters_used(d.c), 0);
}

/* Between the commit of the last sums and the clearing of the account in the file. */
static void kill_in_retirement(void **state)
{
    (void)state;
    struct side d;
    struct spool_batch b;

    killed(retire_and_die);
    copy("kept", "counters-1");
    open_side(&d);
    expect_pending(&d, 10, 20);
    assert_int_equal(spool_freeze(d.s, d.node, UINT32_MAX, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    assert_int_equal(spool_done(d.s, d.node, b.seq), ST_OK);
    expect_pending(&d, 0, 0);
    close_side(&d);
}

static int lock(const char *path, int flags, int how)
{
    int fd = open(path, flags | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, how | LOCK_NB), 0);
    return fd;
}

/* The same of the old process of an upgrade, when the new one has reported the sums already: the
 * account was gone, and what is found in the file was new. */
static void kill_in_retirement_beside_another(void **state)
{
    (void)state;
    struct side d;
    struct spool_batch b;
    char path[128];

    killed(retire_and_die);
    copy("kept", "counters-1");
    snprintf(path, sizeof(path), "%s/counters-1", dir);
    int file = lock(path, O_RDWR, LOCK_EX), database = lock(dir, O_RDONLY, LOCK_SH);
    open_side(&d);
    assert_true(counters_has_others(d.c));
    expect_pending(&d, 10, 20);
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    assert_int_equal(spool_done(d.s, d.node, b.seq), ST_OK);
    expect_pending(&d, 0, 0);
    counters_recover(d.c);
    assert_true(counters_has_others(d.c)); /* it lives */
    close(file);
    close(database);
    counters_recover(d.c);
    assert_false(counters_has_others(d.c));
    assert_int_equal(access(path, F_OK), -1);
    expect_pending(&d, 0, 0);
    close_side(&d);
}

/* The old process of an upgrade is killed: what it had not put is there at once, not at the next
 * start. */
static void killed_beside_another(void **state)
{
    (void)state;
    struct side d;
    char path[128];

    killed(only_traffic);
    snprintf(path, sizeof(path), "%s/counters-1", dir);
    int file = lock(path, O_RDWR, LOCK_EX), database = lock(dir, O_RDONLY, LOCK_SH);
    open_side(&d);
    expect_pending(&d, 0, 0);
    close(file);
    close(database);
    counters_recover(d.c);
    uint64_t up = 0, down = 0;
    assert_int_equal(spool_pending(d.s, d.node, &up, &down), ST_OK);
    assert_true(up + down > 0);
    close_side(&d);
}

static void slot_is_reused_from_zero(void **state)
{
    (void)state;
    struct side d;
    struct spool_batch b;

    open_side(&d);
    uint32_t x = take(&d, 11);
    add(&d, 0, x, 10, 20);
    counters_retire(d.c, x);
    assert_int_equal(counters_used(d.c), 1); /* not before its sums are safe */
    sample(&d);
    assert_int_equal(take(&d, 12), x);
    add(&d, 1, x, 1, 2);
    sample(&d);
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    struct rows r = rows_of(&d, b.seq);
    assert_int_equal(r.n, 2);
    assert_int_equal(r.up[0], 10);
    assert_int_equal(r.uid[1], 12);
    assert_int_equal(r.up[1], 1);
    close_side(&d);
}

static void small_sums_wait(void **state)
{
    (void)state;
    struct side d;
    struct spool_batch b;

    open_side(&d);
    uint32_t x = take(&d, 1), y = take(&d, 2), z = take(&d, 3);
    add(&d, 0, x, 999, 0);
    add(&d, 0, y, 500, 500);
    add(&d, 0, z, 1, 0);
    counters_retire(d.c, z); /* gone: reported with whatever there is */
    sample(&d);
    assert_int_equal(spool_freeze(d.s, d.node, 1000, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    struct rows r = rows_of(&d, b.seq);
    assert_int_equal(r.n, 2);
    assert_int_equal(r.uid[0], 2);
    assert_int_equal(r.uid[1], 3);
    assert_int_equal(spool_done(d.s, d.node, b.seq), ST_OK);
    assert_int_equal(spool_freeze(d.s, d.node, 1000, SPOOL_ROWS_MAX, 1000, NULL, &b),
                     ST_E_NOTFOUND);
    assert_int_equal(spool_freeze(d.s, d.node, 1000, SPOOL_ROWS_MAX, 1000 + SPOOL_WAIT_S, NULL, &b),
                     ST_OK);
    assert_int_equal(rows_of(&d, b.seq).uid[0], 1);
    assert_int_equal(spool_done(d.s, d.node, b.seq), ST_OK);
    add(&d, 0, x, 1, 0);
    sample(&d);
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    close_side(&d);
}

/* They once waited until the clock came to where it had been, and ten minutes more. */
static void small_sums_do_not_wait_for_a_clock_set_back(void **state)
{
    (void)state;
    struct side d;
    struct spool_batch b;

    open_side(&d);
    add(&d, 0, take(&d, 1), 999, 0);
    sample(&d); /* at 1000 */
    assert_int_equal(spool_freeze(d.s, d.node, 1000, SPOOL_ROWS_MAX, 1000, NULL, &b),
                     ST_E_NOTFOUND);
    assert_int_equal(spool_freeze(d.s, d.node, 1000, SPOOL_ROWS_MAX, 999, NULL, &b), ST_OK);
    assert_int_equal(b.rows, 1);
    close_side(&d);
}

static void large_batches_split(void **state)
{
    (void)state;
    struct side d;
    struct spool_batch b;

    open_side(&d);
    for (uint64_t uid = 1; uid <= 5; uid++)
        add(&d, 0, take(&d, uid), uid, 0);
    sample(&d);
    assert_int_equal(spool_freeze(d.s, d.node, 0, 4, 1000, NULL, &b), ST_OK);
    assert_int_equal(b.rows, 4);
    assert_int_equal(spool_split(d.s, d.node, b.seq), ST_OK);
    expect_pending(&d, 15, 0);
    assert_int_equal(spool_freeze(d.s, d.node, 0, 4, 1000, NULL, &b), ST_OK);
    assert_int_equal(b.seq, 2);
    assert_int_equal(b.rows, 2);
    assert_int_equal(rows_of(&d, 2).uid[1], 2);
    assert_int_equal(rows_of(&d, 3).uid[0], 3);
    assert_int_equal(spool_split(d.s, d.node, 2), ST_OK);
    assert_int_equal(spool_done(d.s, d.node, 3), ST_OK);
    assert_int_equal(spool_freeze(d.s, d.node, 0, 4, 1000, NULL, &b), ST_OK);
    assert_int_equal(b.rows, 1);
    assert_int_equal(spool_split(d.s, d.node, b.seq), ST_E_NOTFOUND);
    expect_pending(&d, 8, 0); /* 1 + 2 and the one that was never frozen */
    close_side(&d);
}

static void expect_next(struct side *d, uint32_t most, uint64_t *cursor, uint64_t first,
                        unsigned rows, bool more)
{
    struct spool_batch b;

    assert_int_equal(spool_freeze(d->s, d->node, 10, most, 1000, cursor, &b), ST_OK);
    assert_int_equal(b.rows, rows);
    assert_int_equal(b.more, more);
    struct rows r = rows_of(d, b.seq);
    assert_int_equal(r.n, rows);
    assert_int_equal(r.uid[0], first);
    assert_int_equal(spool_done(d->s, d->node, b.seq), ST_OK);
}

/* Each batch begins behind the last one, then with the first account again; one that was passed by
 * is not forgotten. */
static void batches_go_round(void **state)
{
    (void)state;
    struct side d;
    struct spool_batch b;
    uint64_t cursor = 0;
    uint32_t slot[6];

    open_side(&d);
    for (uint64_t uid = 1; uid <= 6; uid++)
        slot[uid - 1] = take(&d, uid);
    for (unsigned i = 0; i < 6; i++)
        add(&d, 0, slot[i], i == 1 ? 9 : 10, 0); /* the second user's is too little */
    sample(&d);
    expect_next(&d, 2, &cursor, 1, 2, true); /* 1, 3 */
    add(&d, 0, slot[0], 10, 0);
    add(&d, 0, slot[1], 1, 0);
    sample(&d);
    expect_next(&d, 2, &cursor, 4, 2, true);  /* 4, 5 */
    expect_next(&d, 2, &cursor, 6, 1, false); /* 6, the last */
    expect_next(&d, 3, &cursor, 1, 2, false); /* 1, 2 */
    assert_int_equal(spool_freeze(d.s, d.node, 0, 2, 1000, &cursor, &b), ST_E_NOTFOUND);
    expect_pending(&d, 0, 0);
    /* Two accounts of a user are one row where they come together; what ended goes with them. */
    counters_retire(d.c, slot[5]);
    slot[5] = take(&d, 6);
    add(&d, 0, slot[5], 7, 0);
    counters_retire(d.c, slot[5]);
    slot[5] = take(&d, 6);
    add(&d, 0, slot[5], 11, 0);
    sample(&d);
    expect_next(&d, 3, &cursor, 6, 1, false);
    expect_pending(&d, 0, 0);
    close_side(&d);
}

/* The file system takes no byte more. */
static void full_disk_steps(void)
{
    struct side d;
    struct rlimit lim;

    open_side(&d);
    uint32_t x = take(&d, 1);
    add(&d, 0, x, 10, 0);
    sample(&d);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &lim);
    rlim_t old = lim.rlim_cur;
    lim.rlim_cur = 100;
    setrlimit(RLIMIT_FSIZE, &lim);
    add(&d, 0, x, 5, 0);
    if (counters_sample(d.c, 1000, NULL) != ST_E_IO || lines != 1)
        _exit(1);
    add(&d, 1, x, 5, 1);
    if (counters_sample(d.c, 1000, NULL) != ST_E_IO || lines != 1)
        _exit(2); /* said once */
    lim.rlim_cur = old;
    setrlimit(RLIMIT_FSIZE, &lim);
    if (counters_sample(d.c, 1000, NULL) != ST_OK || lines != 2)
        _exit(3);
    expect_pending(&d, 20, 1);
}

/* A node that cannot be stored once got the number of the row stored before it, and its traffic
 * went to the panel of another node. */
static void full_disk_names_no_node_steps(void)
{
    struct side d;
    struct rlimit lim;
    uint32_t other = 0;

    open_side(&d);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &lim);
    rlim_t old = lim.rlim_cur;
    lim.rlim_cur = 100;
    setrlimit(RLIMIT_FSIZE, &lim);
    if (store_node(d.s, "panel|8", &other) != ST_E_IO || other != 0)
        _exit(1);
    lim.rlim_cur = old;
    setrlimit(RLIMIT_FSIZE, &lim);
    if (store_node(d.s, "panel|9", &other) != ST_OK || other == d.node)
        _exit(2);
}

static bool no_space;

/* In place of the C library's. */
int posix_fallocate(int fd, off_t at, off_t len)
{
    if (no_space)
        return ENOSPC;
    return fallocate(fd, 0, at, len) == 0 ? 0 : errno;
}

/* The directory of the counters is full before that of the database. */
static void full_counters_steps(void)
{
    struct side d;

    open_side(&d);
    take(&d, 1);
    no_space = true;
    if (counters_reserve(d.c, 2 * COUNTERS_CHUNK) != ST_OK || lines != 1)
        _exit(1);
    for (uint32_t i = 1; i < 2 * COUNTERS_CHUNK; i++)
        add(&d, 1, counters_take(d.c, d.node, i + 1), 1, 2);
    sample(&d);
    expect_pending(&d, 2 * COUNTERS_CHUNK - 1, 4 * COUNTERS_CHUNK - 2);
}

static void full_counters(void **state)
{
    (void)state;
    killed(full_counters_steps);
    struct side d;
    open_side(&d);
    expect_pending(&d, 2 * COUNTERS_CHUNK - 1, 4 * COUNTERS_CHUNK - 2);
    close_side(&d);
}

static void full_disk_names_no_node(void **state)
{
    (void)state;
    killed(full_disk_names_no_node_steps);
}

static void full_disk(void **state)
{
    (void)state;
    killed(full_disk_steps);
    struct side d;
    open_side(&d);
    expect_pending(&d, 20, 1);
    close_side(&d);
}

static void unusable_directory(void **state)
{
    (void)state;
    char real[64];
    struct side d;
    struct spool_batch b;

    strcpy(real, dir);
    strcpy(dir, "/dev/null/state");
    open_side(&d);
    assert_false(store_is_durable(d.s));
    assert_false(counters_is_durable(d.c));
    assert_int_equal(lines, 1);
    add(&d, 0, take(&d, 1), 3, 4);
    sample(&d);
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    assert_int_equal(spool_sending(d.s, d.node, b.seq), ST_OK);
    assert_int_equal(spool_done(d.s, d.node, b.seq), ST_OK);
    close_side(&d);
    strcpy(dir, real);
}

static void damaged_database(void **state)
{
    (void)state;
    char cmd[512];
    struct side d;

    snprintf(cmd, sizeof(cmd), "head -c 9000 /dev/urandom > %s/" STORE_FILE, dir);
    assert_int_equal(system(cmd), 0);
    open_side(&d);
    assert_true(store_is_durable(d.s));
    assert_int_equal(lines, 1);
    close_side(&d);
    snprintf(cmd, sizeof(cmd), "ls %s | grep -q damaged", dir);
    assert_int_equal(system(cmd), 0);
}

/* A new process that fails must not take the file away from the one that goes on. */
static void damaged_database_of_two(void **state)
{
    (void)state;
    char cmd[512];
    struct side d;
    int other = open(dir, O_RDONLY | O_DIRECTORY);

    assert_true(other >= 0);
    assert_int_equal(flock(other, LOCK_SH), 0);
    snprintf(cmd, sizeof(cmd), "head -c 9000 /dev/urandom > %s/" STORE_FILE, dir);
    assert_int_equal(system(cmd), 0);
    open_side(&d);
    assert_false(store_is_durable(d.s));
    close_side(&d);
    close(other);
    snprintf(cmd, sizeof(cmd), "! ls %s | grep -q damaged", dir);
    assert_int_equal(system(cmd), 0);
}

static void foreign_and_broken_counters(void **state)
{
    (void)state;
    char cmd[512];
    struct side d;

    killed(only_traffic);
    snprintf(cmd, sizeof(cmd), "rm %s/" STORE_FILE "*; echo x > %s/counters-9; : > %s/counters-8",
             dir, dir, dir);
    assert_int_equal(system(cmd), 0);
    open_side(&d); /* another database: what was pushed through the old one cannot be known */
    expect_pending(&d, 0, 0);
    assert_int_equal(lines, 3);
    close_side(&d);
}

static void living_owner_is_left_alone(void **state)
{
    (void)state;
    struct side d, e;

    open_side(&d);
    uint32_t x = take(&d, 1);
    add(&d, 0, x, 3, 0);
    sample(&d);
    open_side(&e); /* an upgrade: both for a while */
    expect_pending(&e, 3, 0);
    add(&d, 0, x, 4, 0);
    sample(&d);
    close_side(&d);
    expect_pending(&e, 7, 0);
    close_side(&e);
}

static void many_slots(void **state)
{
    (void)state;
    struct side d;

    open_side(&d);
    assert_int_equal(counters_reserve(d.c, COUNTERS_SLOTS + 1), ST_E_LIMIT);
    for (uint32_t i = 0; i < 3 * COUNTERS_CHUNK; i++)
        counters_take(d.c, d.node, i + 1);
    add(&d, 1, 3 * COUNTERS_CHUNK - 1, 9, 0);
    sample(&d);
    expect_pending(&d, 9, 0);
    close_side(&d);
}

static double ms_since(const struct timespec *t)
{
    struct timespec n;
    clock_gettime(CLOCK_MONOTONIC, &n);
    return (double)(n.tv_sec - t->tv_sec) * 1e3 + (double)(n.tv_nsec - t->tv_nsec) / 1e6;
}

static void hundred_thousand_dirty_slots(void **state)
{
    (void)state;
    struct timespec t;
    struct spool_batch b;
    struct side d;

    open_side(&d);
    assert_int_equal(counters_reserve(d.c, 100000), ST_OK);
    for (uint32_t i = 0; i < 100000; i++)
        add(&d, i % 2, counters_take(d.c, d.node, i + 1), 1, 2);
    for (int round = 1; round <= 2; round++) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        sample(&d);
        print_message("sample %d of 100,000 users: %.0f ms\n", round, ms_since(&t));
        expect_pending(&d, (uint64_t)round * 100000, (uint64_t)round * 200000);
        for (uint32_t i = 0; i < 100000; i++)
            add(&d, i % 2, i, 1, 2);
    }
    clock_gettime(CLOCK_MONOTONIC, &t);
    assert_int_equal(spool_freeze(d.s, d.node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    print_message("freeze of %u: %.0f ms\n", b.rows, ms_since(&t));
    clock_gettime(CLOCK_MONOTONIC, &t);
    sample(&d);
    sample(&d);
    print_message("sample: %.0f ms\n", ms_since(&t));
    close_side(&d);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(traffic_moves_once),
        TEST(kill_loses_nothing),
        TEST(kill_in_recovery),
        TEST(kill_in_retirement),
        TEST(kill_in_retirement_beside_another),
        TEST(killed_beside_another),
        TEST(slot_is_reused_from_zero),
        TEST(small_sums_wait),
        TEST(small_sums_do_not_wait_for_a_clock_set_back),
        TEST(large_batches_split),
        TEST(batches_go_round),
        TEST(full_counters),
        TEST(full_disk),
        TEST(full_disk_names_no_node),
        TEST(hundred_thousand_dirty_slots),
        TEST(unusable_directory),
        TEST(damaged_database),
        TEST(damaged_database_of_two),
        TEST(foreign_and_broken_counters),
        TEST(living_owner_is_left_alone),
        TEST(many_slots),
    };
    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
