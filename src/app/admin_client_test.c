/* A service that does not answer as it should. */
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

#include "app/admin_client.h"

#define HASTY   20u
#define PATIENT 20000u

struct world {
    char dir[32], path[48];
    int fd; /* listens */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_that_hangs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(none_at_all, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("admin_client", tests, NULL, NULL);
}
