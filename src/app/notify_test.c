#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/notify.h"

static int listen_at(const char *path, bool abstract)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(at.sun_path, path, strlen(path));
    if (abstract)
        at.sun_path[0] = '\0';
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    setenv("NOTIFY_SOCKET", path, 1);
    return fd;
}

static void expect(int fd, const char *text)
{
    char got[128];
    ssize_t n = recv(fd, got, sizeof(got) - 1, 0);
    assert_true(n > 0);
    got[n] = '\0';
    assert_memory_equal(got, text, strlen(text));
}

static void hears_everything(int fd)
{
    char ready[64];
    snprintf(ready, sizeof(ready), "READY=1\nMAINPID=%ld\n", (long)getpid());
    notify_ready();
    expect(fd, ready);
    notify_reloading();
    expect(fd, "RELOADING=1\nMONOTONIC_USEC=");
    notify_stopping();
    expect(fd, "STOPPING=1\n");
}

static void a_socket_in_a_directory(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/v2sp-notify-%ld", (long)getpid());
    int fd = listen_at(path, false);
    hears_everything(fd);
    close(fd);
    unlink(path);
    notify_ready(); /* nobody is there any more */
}

static void an_abstract_socket(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof(path), "@v2sp-notify-%ld", (long)getpid());
    int fd = listen_at(path, true);
    hears_everything(fd);
    close(fd);
}

static void what_is_no_socket_is_left_alone(void **state)
{
    (void)state;
    char longer[200];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[0] = '/';
    longer[sizeof(longer) - 1] = '\0';
    const char *const wrong[] = {"", "/", "relative", "vsock:2:1234", longer};
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        setenv("NOTIFY_SOCKET", wrong[i], 1);
        notify_ready();
    }
    unsetenv("NOTIFY_SOCKET");
    notify_ready();
}

static void a_service_that_is_not_listened_to_cannot_be_upgraded(void **state)
{
    (void)state;
    char pid[32];
    unsetenv("NOTIFY_SOCKET");
    unsetenv("SYSTEMD_EXEC_PID");
    assert_true(notify_allows_upgrade());
    setenv("SYSTEMD_EXEC_PID", "1", 1); /* a shell's, inherited */
    assert_true(notify_allows_upgrade());
    snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    setenv("SYSTEMD_EXEC_PID", pid, 1);
    assert_false(notify_allows_upgrade());
    setenv("NOTIFY_SOCKET", "/run/systemd/notify", 1);
    assert_true(notify_allows_upgrade());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_socket_in_a_directory),
        cmocka_unit_test(an_abstract_socket),
        cmocka_unit_test(what_is_no_socket_is_left_alone),
        cmocka_unit_test(a_service_that_is_not_listened_to_cannot_be_upgraded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
