#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/test_log.h"
#include "control/server/http_service.h"
#include "control/server/unix_socket.h"
#include "io/loop.h"

struct world {
    struct loop *loop;
    struct http_service *service;
    struct unix_socket socket;
    char dir[64];
    uint32_t later_ms;      /* answers come later */
    struct http_call *held; /* a call that waits */
    unsigned gone, calls;
    char body[64];
};

#define ALL  65536
#define HALF 40000 /* a little more than that */

static void on_gone(void *arg, struct http_call *call)
{
    struct world *w = arg;
    assert_ptr_equal(call, w->held);
    w->held = NULL;
    w->gone++;
}

static void put_half(struct textbuf *t)
{
    char *p = textbuf_room(t, HALF);

    if (p == NULL)
        return;
    memset(p, 'h', HALF);
    t->len += HALF;
}

static void on_request(void *arg, struct http_call *call)
{
    struct world *w = arg;
    struct http1_str body = http_call_body(call), path = http_call_head(call)->path;

    w->calls++;
    snprintf(w->body, sizeof(w->body), "%.*s", (int)body.len, body.p);
    if (w->later_ms != 0) {
        w->held = call;
        http_call_later(call, w->later_ms, on_gone, w);
        return;
    }
    textbuf_put(http_call_text(call), path.p, path.len);
    if (http1_str_equal(path, "/big"))
        textbuf_room(http_call_text(call), 1 << 20);
    if (http1_str_equal(path, "/half"))
        put_half(http_call_text(call));
    http_call_answer(call, 200, "text/plain");
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct why why = {0};
    int fd = -1;

    strcpy(w->dir, "/tmp/v2sp-http-XXXXXX");
    if (mkdtemp(w->dir) == NULL)
        return 1;
    w->loop = loop_new();
    const struct http_service_conf conf = {.loop = w->loop,
                                           .log = &test_log,
                                           .name = "test",
                                           .answer_max = ALL,
                                           .request = on_request,
                                           .arg = w};
    w->service = http_service_new(&conf);
    unix_socket_init(&w->socket, w->dir, "s");
    assert_int_equal(unix_socket_listen(&w->socket, &fd, &why), ST_OK);
    assert_int_equal(http_service_take(w->service, fd, &why), ST_OK);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    char cmd[128];

    http_service_free(w->service);
    loop_free(w->loop);
    snprintf(cmd, sizeof(cmd), "rm -rf %s", w->dir);
    free(w);
    return system(cmd);
}

static int dial(struct world *w)
{
    int fd = unix_socket_connect(w->socket.path, 0);
    assert_true(fd >= 0);
    return fd;
}

static void put(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Everything that comes on @fd up to its end, the service running meanwhile. */
static char *answer(struct world *w, int fd)
{
    static char text[70000];
    size_t len = 0;

    for (;;) {
        ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, MSG_DONTWAIT);
        if (n == 0)
            break;
        if (n > 0)
            len += (size_t)n;
        else if (errno != EAGAIN)
            break; /* reset: what came counts */
        else
            loop_once(w->loop, 1000);
    }
    text[len] = '\0';
    close(fd);
    return text;
}

static void expect(struct world *w, const char *request, const char *start, const char *end)
{
    int fd = dial(w);

    put(fd, request);
    char *text = answer(w, fd);
    assert_memory_equal(text, start, strlen(start));
    assert_true(strlen(text) > strlen(end));
    assert_string_equal(text + strlen(text) - strlen(end), end);
}

static void answers_at_once(void **state)
{
    struct world *w = *state;

    expect(w, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\n/a");
    expect(w, "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\n");
    expect(w, "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200",
           "/b");
    assert_string_equal(w->body, "hello");
    assert_int_equal(w->calls, 3);
}

static void a_body_in_pieces(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    put(fd, "POST /c HTTP/1.1\r\nHost: x\r\nContent-Len");
    loop_once(w->loop, 1000);
    put(fd, "gth: 6\r\n\r\nab");
    for (int i = 0; i < 3; i++)
        loop_once(w->loop, 0);
    assert_int_equal(w->calls, 0);
    put(fd, "cdef");
    assert_non_null(strstr(answer(w, fd), "\r\n\r\n/c"));
    assert_string_equal(w->body, "abcdef");
}

static void what_is_refused(void **state)
{
    struct world *w = *state;
    char head[HTTP_SERVICE_HEAD_MAX + 64];

    expect(w, "\x16\x03\x01\r\n\r\n", "HTTP/1.1 400 ", "\n");
    expect(w, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", "HTTP/1.1 413 ", "\n");
    expect(w, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 411 ",
           "\n");
    int n = snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: x\r\nX: ");
    memset(head + n, 'x', sizeof(head) - (size_t)n - 1);
    head[sizeof(head) - 1] = '\0';
    expect(w, head, "HTTP/1.1 431 ", "\n");
    expect(w, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 503 ",
           "no memory for this answer\n");
    assert_int_equal(w->calls, 1);
}

/* A client whose question waits for its answer. */
static int dial_held(struct world *w)
{
    int fd = dial(w);

    w->later_ms = 60000;
    put(fd, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    while (w->held == NULL)
        loop_once(w->loop, 1000);
    return fd;
}

static void answers_later(void **state)
{
    struct world *w = *state;
    int fd = dial_held(w);

    textbuf_puts(http_call_text(w->held), "done");
    http_call_answer(w->held, 200, "text/plain");
    assert_non_null(strstr(answer(w, fd), "\r\n\r\ndone"));
    assert_int_equal(w->gone, 0);
}

static void answers_under_way_share_their_memory(void **state)
{
    struct world *w = *state;
    int fd = dial_held(w);

    put_half(http_call_text(w->held));
    w->later_ms = 0;
    expect(w, "GET /half HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 503 ",
           "no memory for this answer\n");
    expect(w, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 ", "/a");
    http_call_answer(w->held, 200, "text/plain");
    assert_true(strlen(answer(w, fd)) > HALF);
    expect(w, "GET /half HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 ", "hhh");
}

static void who_leaves_is_told(void **state)
{
    struct world *w = *state;
    int fd = dial_held(w);

    close(fd);
    while (w->gone == 0)
        loop_once(w->loop, 1000);
    /* And the end of the service. */
    fd = dial_held(w);
    http_service_free(w->service);
    w->service = NULL;
    assert_int_equal(w->gone, 2);
    close(fd);
}

static void too_late_is_said(void **state)
{
    struct world *w = *state;

    w->later_ms = 1;
    expect(w, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 504 Gateway Timeout\r\n",
           "the answer took too long\n");
    assert_int_equal(w->gone, 1);
}

/* Reading it all away would keep the loop from everything else. */
static void who_sends_for_ever_is_dropped(void **state)
{
    static const char more[16384];
    struct world *w = *state;
    int fd = dial_held(w);

    for (size_t sent = 0; w->gone == 0; loop_once(w->loop, 0)) {
        ssize_t n = send(fd, more, sizeof(more), MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        assert_true(sent < 4u << 20);
    }
    close(fd);
}

/* The oldest silent one makes room; one that waits for us keeps its place. */
static void connections_are_bounded(void **state)
{
    struct world *w = *state;
    int fd[HTTP_SERVICE_CONNS + 1];
    char c;

    fd[0] = dial_held(w);
    for (unsigned i = 1; i <= HTTP_SERVICE_CONNS; i++)
        fd[i] = dial(w);
    w->later_ms = 0;
    while (recv(fd[1], &c, 1, MSG_DONTWAIT) != 0)
        loop_once(w->loop, 1000);
    put(fd[2], "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_non_null(strstr(answer(w, fd[2]), "\r\n\r\n/a"));
    textbuf_puts(http_call_text(w->held), "done");
    http_call_answer(w->held, 200, "text/plain");
    assert_non_null(strstr(answer(w, fd[0]), "\r\n\r\ndone"));
    close(fd[1]);
    for (unsigned i = 3; i <= HTTP_SERVICE_CONNS; i++)
        close(fd[i]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_at_once),
        TEST(a_body_in_pieces),
        TEST(what_is_refused),
        TEST(answers_later),
        TEST(answers_under_way_share_their_memory),
        TEST(who_leaves_is_told),
        TEST(too_late_is_said),
        TEST(connections_are_bounded),
        TEST(who_sends_for_ever_is_dropped),
    };
    return cmocka_run_group_tests_name("http_service", tests, NULL, NULL);
}
