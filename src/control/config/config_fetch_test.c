#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/json.h"
#include "control/config/config_fetch.h"

/* A web server for one connection: reads a request, sends @answer, then @filler blanks. */
struct server {
    int fd;
    uint16_t port;
    const char *answer;
    size_t filler;
    pthread_t thread;
};

static void *serve(void *arg)
{
    struct server *s = arg;
    char request[2048];
    int c = accept(s->fd, NULL, NULL);
    if (c < 0 || recv(c, request, sizeof(request), 0) <= 0)
        return NULL;
    (void)send(c, s->answer, strlen(s->answer), MSG_NOSIGNAL);
    static char blanks[65536];
    memset(blanks, ' ', sizeof(blanks));
    for (size_t left = s->filler; left > 0;) {
        size_t n = left < sizeof(blanks) ? left : sizeof(blanks);
        if (send(c, blanks, n, MSG_NOSIGNAL) <= 0)
            break;
        left -= n;
    }
    close(c);
    return NULL;
}

static void start(struct server *s, const char *answer, size_t filler)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof(a);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *s = (struct server){.fd = socket(AF_INET, SOCK_STREAM, 0), .answer = answer, .filler = filler};
    assert_true(s->fd >= 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(s->fd, 1), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
    s->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static enum status fetch(const char *answer, size_t filler, char **body, size_t *len,
                         char reason[160])
{
    struct server s;
    char url[64];
    start(&s, answer, filler);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/nodes.json", s.port);
    enum status st = config_fetch(NULL, url, body, len, reason);
    pthread_join(s.thread, NULL);
    close(s.fd);
    return st;
}

static void good_answers_are_handed_over(void **state)
{
    (void)state;
    char *body = NULL, reason[160] = "";
    size_t len = 0;
    assert_int_equal(
        fetch("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", 0, &body, &len, reason), ST_OK);
    assert_int_equal(len, 2);
    assert_string_equal(body, "[]");
    free(body);
    assert_int_equal(fetch("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, &body, &len, reason),
                     ST_OK);
    assert_int_equal(len, 0);
    free(body);
}

static void failures_have_a_reason(void **state)
{
    (void)state;
    char *body = NULL, reason[160] = "";
    size_t len = 0;
    assert_int_equal(
        fetch("HTTP/1.1 404 Gone\r\nContent-Length: 4\r\n\r\ngone", 0, &body, &len, reason),
        ST_E_IO);
    assert_non_null(strstr(reason, "404"));
    assert_int_equal(
        fetch("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 0, &body, &len, reason), ST_E_IO);
    assert_int_equal(fetch("HTTP/1.1 302 Go\r\nLocation: file:///etc/passwd\r\n"
                           "Content-Length: 0\r\n\r\n",
                           0, &body, &len, reason),
                     ST_E_IO);
    assert_int_equal(fetch("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", JSON_SIZE_MAX + 70000u,
                           &body, &len, reason),
                     ST_E_LIMIT);
    assert_string_equal(reason, "larger than 16 MiB");
    assert_int_equal(config_fetch(NULL, "ftp://127.0.0.1/x", &body, &len, reason), ST_E_IO);
    assert_null(body);
}

int main(void)
{
    unsetenv("http_proxy"); /* the servers are here, not where a proxy could reach them */
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_answers_are_handed_over),
        cmocka_unit_test(failures_have_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
