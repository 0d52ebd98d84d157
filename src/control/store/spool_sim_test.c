/* Counters and spool through many lives: random traffic, users who come and go, writes that fail,
 * a process that dies in the middle of one, a panel that books or does not and answers or does not.
 * In the end every byte is booked once. SPOOL_SIM_SEEDS=N tries N seeds, from SPOOL_SIM_FIRST
 * on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/test_log.h"
#include "control/store/counters.h"
#include "control/store/spool.h"
#include "control/store/store.h"

#define SEEDS   24
#define LIVES   8
#define STEPS   120
#define USERS   6u
#define WORKERS 2u
#define BATCHES 4096u
#define DIED    77 /* exit status of a life that ended in the middle of a write */
#define WRONG   78

/* ---- a disk that fails, in place of the C library's; SQLite uses it as well ------------------ */

static unsigned until_full, full_for; /* writes */
static unsigned until_death;          /* writes; 0: none */

static bool fails(void)
{
    if (until_death > 0 && --until_death == 0)
        _exit(DIED);
    if (until_full > 0 && --until_full > 0)
        return false;
    if (full_for == 0)
        return false;
    full_for--;
    errno = ENOSPC;
    return true;
}

/* pwrite64, with _FILE_OFFSET_BITS of 64. */
ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    return fails() ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, p, n, at);
}

/* Where it fails, SQLite has written a commit and must say that it failed. */
int fdatasync(int fd)
{
    (void)fd;
    return fails() ? -1 : 0;
}

int unlink(const char *path)
{
    return fails() ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int fsync(int fd)
{
    return fdatasync(fd);
}

/* ---- what must come out ---------------------------------------------------------------------- */

struct sums {
    uint64_t up, down;
};

/* Shared with the lives, which end without a word. */
struct model {
    uint64_t rng;
    struct sums moved[USERS], booked[USERS]; /* by uid - 1 */
    struct {
        bool seen, booked; /* it reached the panel */
        uint64_t content;
    } batch[BATCHES];
    int line; /* of what is wrong */
};

static struct model *m;
static char dir[64];

#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            m->line = __LINE__;                                                                    \
            _exit(WRONG);                                                                          \
        }                                                                                          \
    } while (0)

static uint64_t draw(uint64_t below)
{
    m->rng ^= m->rng << 13;
    m->rng ^= m->rng >> 7;
    m->rng ^= m->rng << 17;
    return (m->rng >> 11) % below;
}

/* ---- one life -------------------------------------------------------------------------------- */

struct life {
    struct store *s;
    struct counters *c;
    uint32_t node;
    int64_t slot[USERS]; /* -1: not there */
    uint64_t acked;      /* booked, but the spool could not note it */
    uint64_t cursor;
    int64_t now;
};

static struct rows {
    uint64_t uid[USERS];
    struct sums sum[USERS];
    unsigned n;
} rows;

static enum status take_row(void *arg, uint64_t uid, uint64_t up, uint64_t down)
{
    (void)arg;
    MUST(rows.n < USERS && uid >= 1 && uid <= USERS);
    rows.uid[rows.n] = uid;
    rows.sum[rows.n++] = (struct sums){up, down};
    return ST_OK;
}

static void panel_books(uint64_t seq)
{
    uint64_t content = UINT64_C(0xcbf29ce484222325);

    for (unsigned i = 0; i < rows.n; i++) {
        const uint64_t v[] = {rows.uid[i], rows.sum[i].up, rows.sum[i].down};
        for (unsigned k = 0; k < 3; k++)
            content = (content ^ v[k]) * UINT64_C(0x100000001b3);
    }
    if (m->batch[seq].booked) {
        MUST(m->batch[seq].content == content); /* one key, two bodies */
        return;
    }
    m->batch[seq].booked = true;
    m->batch[seq].content = content;
    for (unsigned i = 0; i < rows.n; i++) {
        struct sums *b = &m->booked[rows.uid[i] - 1];
        b->up += rows.sum[i].up;
        b->down += rows.sum[i].down;
    }
}

/* As node_push.c does it. False: nothing to report, or the disk fails. */
static bool push(struct life *l, bool everything, bool well)
{
    struct spool_batch b;

    if (l->acked != 0) {
        if (spool_done(l->s, l->node, l->acked) != ST_OK)
            return false;
        l->acked = 0;
    }
    enum status sampled = counters_sample(l->c, l->now, NULL);
    MUST(sampled == ST_OK || sampled == ST_E_IO);
    uint64_t min = everything ? 0 : draw(2) * 500;
    uint32_t most = draw(2) == 0 ? SPOOL_ROWS_MAX : 1 + (uint32_t)draw(3);
    if (spool_freeze(l->s, l->node, min, most, l->now, &l->cursor, &b) != ST_OK)
        return false;
    rows.n = 0;
    MUST(b.seq < BATCHES);
    if (spool_rows(l->s, l->node, b.seq, take_row, NULL) != ST_OK ||
        spool_sending(l->s, l->node, b.seq) != ST_OK)
        return false;
    MUST(rows.n == b.rows && rows.n > 0);
    uint64_t what = well ? 0 : draw(6);
    if (what == 4 && !m->batch[b.seq].seen) { /* too large for what stands before the panel */
        if (spool_back(l->s, l->node, b.seq, b.tried) == ST_OK) {
            enum status st = spool_split(l->s, l->node, b.seq);
            MUST(st == ST_OK || st == ST_E_IO || (st == ST_E_NOTFOUND && rows.n == 1));
        }
        return true;
    }
    m->batch[b.seq].seen = true;
    if (what < 3)
        panel_books(b.seq);
    if (what < 2 && spool_done(l->s, l->node, b.seq) != ST_OK)
        l->acked = b.seq;
    if (what == 3 && spool_back(l->s, l->node, b.seq, b.tried) != ST_OK)
        return false; /* the mark stays */
    return true;
}

static void come(struct life *l, uint64_t i)
{
    if (l->slot[i] < 0 && counters_reserve(l->c, 1) == ST_OK)
        l->slot[i] = counters_take(l->c, l->node, i + 1);
}

static void leave(struct life *l, uint64_t i)
{
    if (l->slot[i] >= 0)
        counters_retire(l->c, (uint32_t)l->slot[i]);
    l->slot[i] = -1;
}

static void move_bytes(struct life *l, uint64_t i)
{
    uint64_t up = draw(1000), down = draw(3) * draw(1000);

    if (l->slot[i] < 0)
        return;
    m->moved[i].up += up;
    m->moved[i].down += down;
    meter_add(counters_meter(l->c, (unsigned)draw(WORKERS)), (uint32_t)l->slot[i], up, down);
}

static void step(struct life *l)
{
    uint64_t what = draw(20), i = draw(USERS);

    l->now += (int64_t)draw(100) - 5; /* the clock may be set back */
    if (what < 10)
        move_bytes(l, i);
    else if (what < 12)
        come(l, i);
    else if (what < 14)
        leave(l, i);
    else if (what < 16)
        (void)!counters_sample(l->c, l->now, NULL);
    else if (what < 19)
        (void)!push(l, draw(4) == 0, false);
    else if (full_for == 0) {
        until_full = (unsigned)draw(6) + 1;
        full_for = (unsigned)draw(12) + 1;
    }
}

static void begin(struct life *l)
{
    *l = (struct life){.now = 1000};
    l->s = store_open(dir, &test_log);
    MUST(l->s != NULL);
    l->c = counters_open(dir, l->s, WORKERS, &test_log);
    MUST(l->c != NULL && store_is_durable(l->s) && counters_is_durable(l->c));
    MUST(store_node(l->s, "panel|7", &l->node) == ST_OK);
    for (unsigned i = 0; i < USERS; i++)
        l->slot[i] = -1;
    for (unsigned i = 0; i < USERS / 2; i++)
        come(l, i);
}

static void live(bool last)
{
    struct life l;

    begin(&l);
    if (!last)
        until_death = draw(3) == 0 ? 0 : (unsigned)draw(400) + 1;
    for (unsigned i = 0; i < STEPS && !last; i++)
        step(&l);
    until_full = full_for = 0;
    for (unsigned i = 0; last && push(&l, true, true); i++)
        MUST(i < BATCHES);
    if (!last && draw(2) == 0)
        _exit(DIED); /* between two steps */
    counters_close(l.c);
    store_close(l.s);
    _exit(0);
}

/* ---- many lives ------------------------------------------------------------------------------ */

static void run_life(uint64_t seed, unsigned number)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        live(number == LIVES);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (code != 0 && code != DIED)
        fail_msg("seed %llu, life %u: status %x, line %d", (unsigned long long)seed, number,
                 (unsigned)status, m->line);
}

static void run_seed(uint64_t seed)
{
    char cmd[128];

    memset(m, 0, sizeof(*m));
    m->rng = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    /* In memory where there is such a place: thousands of synced commits. */
    snprintf(dir, sizeof(dir), "%s/v2sp-spool-sim-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(dir));
    for (unsigned i = 0; i <= LIVES; i++)
        run_life(seed, i);
    snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
    assert_int_equal(system(cmd), 0);
    for (unsigned i = 0; i < USERS; i++) {
        const struct sums *a = &m->moved[i], *b = &m->booked[i];
        if (a->up != b->up || a->down != b->down)
            fail_msg("seed %llu, user %u: moved %llu/%llu, booked %llu/%llu",
                     (unsigned long long)seed, i + 1, (unsigned long long)a->up,
                     (unsigned long long)a->down, (unsigned long long)b->up,
                     (unsigned long long)b->down);
    }
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void what_moved_is_booked_once(void **state)
{
    uint64_t first = number("SPOOL_SIM_FIRST", 1), count = number("SPOOL_SIM_SEEDS", SEEDS);

    (void)state;
    m = mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(m != MAP_FAILED);
    for (uint64_t i = 0; i < count; i++)
        run_seed(first + i);
    munmap(m, sizeof(*m));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_moved_is_booked_once),
    };
    return cmocka_run_group_tests_name("spool_sim", tests, NULL, NULL);
}
