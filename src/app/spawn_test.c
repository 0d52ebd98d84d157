#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/pid_file.h"
#include "app/spawn.h"

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/v2sp-spawn-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int drop_dir(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static const char *at(const char *name)
{
    static char path[2][128];
    static unsigned next;
    char *p = path[next++ % 2];
    snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
    return p;
}

static void put(const char *name, const char *text, mode_t mode)
{
    FILE *f = fopen(at(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(at(name), mode), 0);
}

static void finds_its_own_file(void **state)
{
    (void)state;
    char path[SPAWN_PATH_MAX], exe[PATH_MAX];
    put("prog", "", 0755);
    put("data", "", 0644);
    /* By its name as it was typed, so that a link that was turned counts. */
    assert_int_equal(spawn_own_path(at("prog"), path), ST_OK);
    assert_string_equal(path, at("prog"));
    char *before = strdup(getenv("PATH"));
    snprintf(path, sizeof(path), "/nowhere:relative:%s", dir);
    setenv("PATH", path, 1);
    assert_int_equal(spawn_own_path("prog", path), ST_OK);
    assert_string_equal(path, at("prog"));
    /* Else by what the kernel says. */
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    assert_true(n > 0);
    exe[n] = '\0';
    const char *const others[] = {"data", "missing", "", NULL};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(spawn_own_path(others[i], path), ST_OK);
        assert_string_equal(path, exe);
    }
    assert_int_equal(spawn_own_path(at("data"), path), ST_OK);
    assert_string_equal(path, exe);
    setenv("PATH", before, 1);
    free(before);
}

/* The program gets our arguments, our environment, the descriptor, and no blocked signal. */
static void starts_a_program_as_this_one_was_started(void **state)
{
    (void)state;
    int ends[2], err, status = 0;
    pid_t pid;
    char got[512] = "";
    put("prog",
        "#!/bin/sh\n"
        "eval 'exec 4>&'$V2SP_TEST_FD\n"
        "echo \"$# $V2SP_TEST_FD $V2SP_TEST_OTHER $(grep SigBlk /proc/self/status)\" >&4\n",
        0755);
    setenv("V2SP_TEST_OTHER", "kept", 1);
    setenv("V2SP_TEST_FD", "an older one", 1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    assert_int_equal(spawn_again(at("prog"), "V2SP_TEST_FD", ends[1], &pid, &err), ST_OK);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    size_t used = 0;
    for (ssize_t n; (n = read(ends[0], got + used, sizeof(got) - 1 - used)) > 0;)
        used += (size_t)n;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_string_equal(got, "0 3 kept SigBlk:\t0000000000000000\n");
}

static void leaves_it_no_other_descriptor(void **state)
{
    (void)state;
    int ends[2], err, status = 0;
    pid_t pid;
    put("prog", "#!/bin/sh\n[ -e /proc/$$/fd/3 ] && ! [ -e /proc/$$/fd/63 ]\n", 0755);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(dup2(ends[0], 63), 63); /* stays open at an exec */
    assert_int_equal(spawn_again(at("prog"), "V2SP_TEST_FD", ends[1], &pid, &err), ST_OK);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(63);
    close(ends[0]);
    close(ends[1]);
}

static void says_why_it_cannot(void **state)
{
    (void)state;
    int err = 0;
    pid_t pid;
    put("data", "no program", 0755);
    assert_int_equal(spawn_again(at("missing"), "V2SP_TEST_FD", 2, &pid, &err), ST_E_IO);
    assert_int_equal(err, ENOENT);
    assert_int_equal(spawn_again(at("data"), "V2SP_TEST_FD", 2, &pid, &err), ST_E_IO);
    assert_int_equal(err, ENOEXEC);
    assert_int_equal(spawn_again(dir, "V2SP_TEST_FD", 2, &pid, &err), ST_E_IO);
    assert_int_equal(err, EACCES);
}

static void a_pid_file_is_its_writers(void **state)
{
    (void)state;
    long number = 0;
    assert_int_equal(pid_file_write(at("pid")), ST_OK);
    FILE *f = fopen(at("pid"), "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld", &number), 1);
    fclose(f);
    assert_int_equal(number, getpid());
    put("pid", "1\n", 0644); /* a successor's by now */
    pid_file_remove(at("pid"));
    assert_int_equal(access(at("pid"), F_OK), 0);
    assert_int_equal(pid_file_write(at("pid")), ST_OK);
    pid_file_remove(at("pid"));
    assert_int_equal(access(at("pid"), F_OK), -1);
    pid_file_remove(at("pid"));
    assert_int_equal(pid_file_write(at("none/pid")), ST_E_IO);
    assert_int_equal(errno, ENOENT);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_dir, drop_dir)
    const struct CMUnitTest tests[] = {
        CASE(finds_its_own_file),
        CASE(starts_a_program_as_this_one_was_started),
        CASE(leaves_it_no_other_descriptor),
        CASE(says_why_it_cannot),
        CASE(a_pid_file_is_its_writers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
