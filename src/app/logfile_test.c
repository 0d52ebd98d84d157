#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include "app/logfile.h"

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/logfile_test.XXXXXX");
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int drop_dir(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

static const char *path_of(const char *name)
{
    static char path[2][400];
    static unsigned turn;
    char *p = path[turn++ % 2];
    snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
    return p;
}

static struct logfile *open_log(const char *path, uint32_t mb, uint32_t backups, uint32_t age)
{
    struct logfile *f = logfile_new();
    assert_non_null(f);
    struct why why = {0};
    struct logfile_conf conf = {path, mb, backups, age};
    assert_int_equal(logfile_configure(f, &conf, &why), ST_OK);
    return f;
}

static void say(struct logfile *f, const char *line)
{
    struct log_sink *s = logfile_sink(f);
    s->write(s, line, strlen(line));
}

static char *content(const char *path)
{
    static char text[8192];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    return text;
}

static size_t count_files(void)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void appends_and_makes_its_directory(void **state)
{
    (void)state;
    struct stat st;
    struct logfile *f = open_log(path_of("sub/a.log"), 0, 0, 0);
    say(f, "one\n");
    logfile_free(f);
    f = open_log(path_of("sub/a.log"), 0, 0, 0);
    say(f, "two\n");
    assert_string_equal(content(path_of("sub/a.log")), "one\ntwo\n");
    assert_int_equal(stat(path_of("sub/a.log"), &st), 0);
    assert_int_equal(st.st_mode & 0137, 0);
    assert_int_equal(logfile_lost(f), 0);
    logfile_free(f);
    logfile_free(NULL);
}

static void reopens_after_a_rename(void **state)
{
    (void)state;
    struct why why = {0};
    struct logfile *f = open_log(path_of("a.log"), 0, 0, 0);
    say(f, "one\n");
    assert_int_equal(rename(path_of("a.log"), path_of("b.log")), 0);
    say(f, "two\n");
    assert_int_equal(logfile_reopen(f, &why), ST_OK);
    say(f, "three\n");
    assert_string_equal(content(path_of("b.log")), "one\ntwo\n");
    assert_string_equal(content(path_of("a.log")), "three\n");
    logfile_free(f);
}

static void a_path_that_fails_changes_nothing(void **state)
{
    (void)state;
    struct why why = {0};
    struct logfile *f = open_log(path_of("a.log"), 0, 0, 0);
    struct logfile_conf conf = {path_of("a.log/x"), 0, 0, 0};
    assert_int_equal(logfile_configure(f, &conf, &why), ST_E_IO);
    assert_int_equal(why.number, ENOTDIR);
    say(f, "still here\n");
    assert_string_equal(content(path_of("a.log")), "still here\n");
    logfile_free(f);
}

static void rotates_by_size_and_keeps_so_many(void **state)
{
    (void)state;
    static char line[65537];
    memset(line, 'x', sizeof(line) - 2);
    line[sizeof(line) - 2] = '\n';
    struct logfile *f = open_log(path_of("a.log"), 1, 2, 0);
    for (int i = 0; i < 16 * 5; i++) /* five times 1 MiB */
        say(f, line);
    assert_int_equal(count_files(), 3);
    struct stat st;
    assert_int_equal(stat(path_of("a.log"), &st), 0);
    assert_true(st.st_size <= 1 << 20);
    assert_int_equal(logfile_lost(f), 0);
    logfile_free(f);
}

static void removes_what_is_old(void **state)
{
    (void)state;
    struct utimbuf past = {1000000, 1000000};
    static const char *const names[] = {"a.log.20200101T000000Z", "a.log.20200102T000000Z-001",
                                        "a.log.txt", "b.log.20200101T000000Z"};
    for (size_t i = 0; i < 4; i++) {
        FILE *x = fopen(path_of(names[i]), "w");
        assert_non_null(x);
        fclose(x);
        assert_int_equal(utime(path_of(names[i]), &past), 0);
    }
    static char line[700000];
    memset(line, 'x', sizeof(line) - 1);
    struct logfile *f = open_log(path_of("a.log"), 1, 0, 3);
    say(f, line);
    say(f, line);
    assert_int_not_equal(access(path_of(names[0]), F_OK), 0);
    assert_int_not_equal(access(path_of(names[1]), F_OK), 0);
    assert_int_equal(access(path_of(names[2]), F_OK), 0);
    assert_int_equal(access(path_of(names[3]), F_OK), 0);
    assert_int_equal(count_files(), 4); /* with a.log and what it was */
    logfile_free(f);
}

static void restore(int saved)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
}

static void a_full_disk_is_said_once_and_survived(void **state)
{
    (void)state;
    /* A file size limit of the process stands for the full disk: the same partial write, another
     * number. */
    struct rlimit old, small = {.rlim_cur = 10, .rlim_max = RLIM_INFINITY};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    int saved = dup(STDERR_FILENO);
    assert_true(dup2(pipes[1], STDERR_FILENO) >= 0);
    struct logfile *f = open_log(path_of("a.log"), 0, 0, 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    say(f, "12345678\n");
    say(f, "second\n"); /* one byte fits */
    say(f, "third\n");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    say(f, "fourth\n");
    restore(saved);
    close(pipes[1]);
    char text[1024];
    ssize_t n = read(pipes[0], text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = '\0';
    close(pipes[0]);
    char *end = strchr(text, '\n');
    assert_non_null(end);
    assert_string_equal(end + 1, "second\nthird\n");
    assert_non_null(strstr(text, "cannot be written"));
    assert_string_equal(content(path_of("a.log")), "12345678\ns\nfourth\n");
    assert_int_equal(logfile_lost(f), 0);
    logfile_free(f);
}

static void a_reader_that_sleeps_costs_lines_not_time(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    int saved = dup(STDERR_FILENO);
    assert_true(dup2(pipes[1], STDERR_FILENO) >= 0);
    struct logfile *f = logfile_new();
    restore(saved);
    assert_non_null(f);
    static char line[1001];
    memset(line, 'x', 1000);
    for (int i = 0; i < 1000; i++) /* a pipe holds 64 KiB */
        say(f, line);
    assert_true(logfile_lost(f) > 900);
    close(pipes[0]);
    close(pipes[1]);
    logfile_free(f);
}

static void *write_many(void *arg)
{
    char line[64];
    for (int i = 0; i < 3000; i++) {
        snprintf(line, sizeof(line), "line %05d of a thread, always of one length....\n", i);
        say(arg, line);
    }
    return NULL;
}

static void threads_lose_nothing_over_rotations(void **state)
{
    (void)state;
    pthread_t threads[4];
    struct why why = {0};
    struct logfile *f = open_log(path_of("a.log"), 1, 0, 0);
    static char filler[1000001];
    memset(filler, 'x', sizeof(filler) - 2);
    filler[sizeof(filler) - 2] = '\n';
    say(f, filler); /* the threads go over the limit */
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, f), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(logfile_reopen(f, &why), ST_OK);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    /* Who is over the limit while another opens a file writes on: a reopen may have been in the
     * way of all of them. */
    say(f, "last\n");
    uint64_t bytes = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct stat st;
        if (e->d_name[0] != '.' && stat(path_of(e->d_name), &st) == 0)
            bytes += (uint64_t)st.st_size;
    }
    closedir(d);
    assert_int_equal(bytes, strlen(filler) + 4 * 3000 * 49 + strlen("last\n"));
    assert_int_equal(logfile_lost(f), 0);
    assert_true(count_files() >= 2);
    logfile_free(f);
}

int main(void)
{
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(appends_and_makes_its_directory, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(reopens_after_a_rename, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(a_path_that_fails_changes_nothing, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(rotates_by_size_and_keeps_so_many, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(removes_what_is_old, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(a_full_disk_is_said_once_and_survived, make_dir, drop_dir),
        cmocka_unit_test(a_reader_that_sleeps_costs_lines_not_time),
        cmocka_unit_test_setup_teardown(threads_lose_nothing_over_rotations, make_dir, drop_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
