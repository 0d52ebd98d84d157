/* What a spool keeps when its process is killed, the disk is full or a file is damaged. */
#include "control/store/test_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>

static void copy(const char *from, const char *to)
{
    char cmd[512];
    snprintf(cmd, sizeof(cmd), "cp --sparse=always %s/%s %s/%s", dir, from, dir, to);
    assert_int_equal(system(cmd), 0);
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
    snprintf(cmd, sizeof(cmd), "rm %s/" STORE_FILE "*; echo x > %s/counters-9", dir, dir);
    assert_int_equal(system(cmd), 0);
    open_side(&d); /* another database: what was pushed through the old one cannot be known */
    expect_pending(&d, 0, 0);
    assert_int_equal(lines, 2);
    close_side(&d);
}

/* Of a process that was killed while it made them: nothing is lost, nothing is said. */
static void half_made_counters(void **state)
{
    (void)state;
    char cmd[512];
    struct side d;

    snprintf(cmd, sizeof(cmd), ": > %s/counters-8; truncate -s 1M %s/counters-9", dir, dir);
    assert_int_equal(system(cmd), 0);
    open_side(&d);
    assert_int_equal(lines, 0);
    close_side(&d);
    snprintf(cmd, sizeof(cmd), "! ls %s | grep counters", dir);
    assert_int_equal(system(cmd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(kill_loses_nothing),
        TEST(kill_in_recovery),
        TEST(kill_in_retirement),
        TEST(kill_in_retirement_beside_another),
        TEST(killed_beside_another),
        TEST(full_counters),
        TEST(full_disk),
        TEST(full_disk_names_no_node),
        TEST(unusable_directory),
        TEST(damaged_database),
        TEST(damaged_database_of_two),
        TEST(foreign_and_broken_counters),
        TEST(half_made_counters),
    };
    return cmocka_run_group_tests_name("spool crash", tests, NULL, NULL);
}
