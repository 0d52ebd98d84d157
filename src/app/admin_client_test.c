/* A service that does not answer as it should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/admin_client.h"

#define HASTY   20u
#define PATIENT 20000u

struct world {
    char dir[32], path[48];
    int fd; /* listens */
    const char *answer;
};

static int set_up(void **state)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct world *w = calloc(1, sizeof(*w));

    strcpy(w->dir, "/tmp/v2sp-admin-XXXXXX");
    w->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (w->fd < 0 || mkdtemp(w->dir) == NULL)
        return 1;
    snprintf(w->path, sizeof(w->path), "%s/s", w->dir);
    strcpy(sa.sun_path, w->path);
    *state = w;
    return bind(w->fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(w->fd, 0) != 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    close(w->fd);
    unlink(w->path);
    rmdir(w->dir);
    free(w);
    return 0;
}

static void expect(const struct world *w, uint32_t wait_ms, enum status st, const char *problem)
{
    struct admin_reply r;

    assert_int_equal(admin_call(w->path, "GET", "/status", NULL, wait_ms, &r), st);
    if (st == ST_OK)
        assert_int_equal(r.uid, geteuid());
    if (strstr(r.problem, problem) == NULL)
        fail_msg("no \"%s\" in %s", problem, r.problem);
    admin_reply_fini(&r);
}

/* The kernel takes the first connection for it, and lets the second one wait. */
static void one_that_hangs(void **state)
{
    struct world *w = *state;

    for (unsigned i = 0; i < 3; i++)
        expect(w, HASTY, ST_E_IO, "no answer in time: v2sp hangs");
}

static void none_at_all(void **state)
{
    struct world *w = *state;

    close(w->fd);
    expect(w, PATIENT, ST_E_NOTFOUND, "v2sp does not run");
    unlink(w->path);
    expect(w, PATIENT, ST_E_NOTFOUND, "v2sp does not run");
    w->fd = -1;
}

static void *serve(void *arg)
{
    struct world *w = arg;
    int fd = accept(w->fd, NULL, NULL);
    char scrap[1024];

    if (fd >= 0 && recv(fd, scrap, sizeof(scrap), 0) > 0)
        (void)!send(fd, w->answer, strlen(w->answer), MSG_NOSIGNAL);
    close(fd);
    return NULL;
}

static void one_that_refuses(void **state)
{
    static const struct {
        const char *answer, *problem;
        enum status st;
    } cases[] = {
        {"HTTP/1.1 409 Conflict\r\nContent-Length: 16\r\n\r\n{\"error\":\"busy\"}", "busy", ST_OK},
        {"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 16\r\n\r\nit took so long\n",
         "it took so long (HTTP 504)", ST_OK},
        {"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"a\":", "cut off", ST_E_PROTO},
        {"SSH-2.0-x\r\n", "no answer of v2sp", ST_E_PROTO},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pthread_t t;
        w->answer = cases[i].answer;
        assert_int_equal(pthread_create(&t, NULL, serve, w), 0);
        expect(w, PATIENT, cases[i].st, cases[i].problem);
        pthread_join(t, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_that_hangs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(none_at_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_refuses, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("admin_client", tests, NULL, NULL);
}
