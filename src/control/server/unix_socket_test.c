#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/server/unix_socket.h"

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/v2sp-socket-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
    char cmd[128];

    (void)state;
    snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
    return system(cmd);
}

static int listen_on(struct unix_socket *u)
{
    struct why why = {0};
    int fd = -1;

    assert_int_equal(unix_socket_listen(u, &fd, &why), ST_OK);
    assert_true(fd >= 0);
    return fd;
}

static void is_ours_alone(void **state)
{
    struct unix_socket u;
    struct stat info;

    (void)state;
    unix_socket_init(&u, dir, "s");
    int fd = listen_on(&u);
    assert_int_equal(stat(u.path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    int c = unix_socket_connect(u.path, 0);
    assert_true(c >= 0);
    close(c);
    unix_socket_remove(&u);
    assert_int_equal(stat(u.path, &info), -1);
    close(fd);
}

static void a_dead_one_is_replaced(void **state)
{
    struct unix_socket u;

    (void)state;
    unix_socket_init(&u, dir, "s");
    close(listen_on(&u)); /* the file stays */
    assert_int_equal(unix_socket_connect(u.path, 0), -1);
    assert_int_equal(errno, ECONNREFUSED);
    int fd = listen_on(&u);
    close(unix_socket_connect(u.path, 0));
    close(fd);
}

static void a_living_one_is_left_alone(void **state)
{
    struct unix_socket a, b;
    struct why why = {0};
    int none = -1;

    (void)state;
    unix_socket_init(&a, dir, "s");
    unix_socket_init(&b, dir, "s");
    int fd = listen_on(&a);
    assert_int_equal(unix_socket_listen(&b, &none, &why), ST_E_BUSY);
    assert_int_equal(none, -1);
    unix_socket_remove(&b); /* it has made none */
    int c = unix_socket_connect(a.path, 0);
    assert_true(c >= 0);
    close(c);
    close(fd);
    fd = listen_on(&b);
    unix_socket_remove(&a); /* it is not a's any more */
    c = unix_socket_connect(b.path, 0);
    assert_true(c >= 0);
    close(c);
    close(fd);
}

/* Without descriptors nothing can be said of it, least of all that it is dead. */
static void an_unknown_one_is_left_alone(void **state)
{
    struct unix_socket a, b;
    struct why why = {0};
    struct rlimit was, none = {0};
    int fd, at = -1;

    (void)state;
    unix_socket_init(&a, dir, "s");
    unix_socket_init(&b, dir, "s");
    fd = listen_on(&a);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none.rlim_max = was.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum status st = unix_socket_listen(&b, &at, &why);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(st, ST_E_IO);
    assert_int_equal(why.number, EMFILE);
    assert_non_null(strstr(why.text, "whether another process serves it"));
    int c = unix_socket_connect(a.path, 0);
    assert_true(c >= 0);
    close(c);
    close(fd);
}

static void long_paths(void **state)
{
    char deep[256], name[128];
    struct unix_socket u;
    struct why why = {0};
    int none = -1;

    (void)state;
    snprintf(deep, sizeof(deep), "%s/%0120d", dir, 0);
    assert_int_equal(mkdir(deep, 0700), 0);
    unix_socket_init(&u, deep, "s");
    int fd = listen_on(&u);
    int c = unix_socket_connect(u.path, 0);
    assert_true(c >= 0);
    close(c);
    close(fd);
    /* The name itself must fit. */
    snprintf(name, sizeof(name), "%0110d", 0);
    unix_socket_init(&u, deep, name);
    assert_int_equal(unix_socket_listen(&u, &none, &why), ST_E_LIMIT);
    assert_int_equal(why.number, ENAMETOOLONG);
}

static void no_directory(void **state)
{
    struct unix_socket u;
    struct why why = {0};
    char gone[128];
    int none = -1;

    (void)state;
    snprintf(gone, sizeof(gone), "%s/gone", dir);
    unix_socket_init(&u, gone, "s");
    assert_int_equal(unix_socket_listen(&u, &none, &why), ST_E_IO);
    assert_int_equal(why.number, ENOENT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(is_ours_alone),
        TEST(a_dead_one_is_replaced),
        TEST(a_living_one_is_left_alone),
        TEST(an_unknown_one_is_left_alone),
        TEST(long_paths),
        TEST(no_directory),
    };
    return cmocka_run_group_tests_name("unix_socket", tests, NULL, NULL);
}
