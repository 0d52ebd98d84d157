/* The server on a real loop, spoken to over loopback sockets from the same thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "io/loop.h"
#include "io/sockaddr.h"
#include "panelserver/panelserver.h"
#include "panelserver/test_db.h"

#define ROUNDS 2000 /* of the loop, 10 ms at most each: a test that hangs fails */
#define TARGET "/api/v2sp?node_id=1&token=" TEST_DB_TOKEN "&action="

struct fix {
    struct db *db;
    struct loop *loop;
    struct log log;
    struct panelserver *ps;
};

static int set_up(void **state)
{
    struct fix *f = calloc(1, sizeof *f);
    f->log.level = LOG_NONE;
    f->db = test_db_open();
    test_db_node(f->db, TEST_DB_TOKEN);
    f->loop = loop_new();
    struct panelserver_conf conf = {.loop = f->loop,
                                    .log = &f->log,
                                    .db = f->db,
                                    .rate_per_s = UINT32_MAX,
                                    .listen = {.family = ADDR_IP4, .ip = {127, 0, 0, 1}}};
    struct why why = {0};
    if (panelserver_new(&conf, &f->ps, &why) != ST_OK || panelserver_start(f->ps, &why) != ST_OK)
        return 1;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fix *f = *state;
    panelserver_free(f->ps);
    loop_free(f->loop);
    db_close(f->db);
    free(f);
    return 0;
}

static int dial(struct fix *f)
{
    union sockaddr_any sa;
    socklen_t len = sockaddr_from_addr(&sa, panelserver_addr(f->ps));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, &sa.any, len), 0);
    return fd;
}

/* Writes while the loop runs, because what is written may be more than the sockets hold. */
static void say(struct fix *f, int fd, const char *data, size_t len)
{
    for (int i = 0; len > 0; i++) {
        ssize_t n = send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
        assert_true(i < ROUNDS);
        loop_once(f->loop, 0);
    }
}

/* Reads until @want is there (NULL: till the end of the connection). Returns a text for free. */
static char *hear(struct fix *f, int fd, const char *want)
{
    size_t len = 0, cap = 1 << 16;
    char *text = malloc(cap);
    for (int i = 0;; i++) {
        ssize_t n = recv(fd, text + len, cap - len - 1, MSG_DONTWAIT);
        if (n > 0) {
            len += (size_t)n;
            if (cap - len < 2)
                text = realloc(text, cap *= 2);
        }
        text[len] = '\0';
        if (n == 0 || (want != NULL && strstr(text, want) != NULL))
            return text;
        if (i == ROUNDS)
            fail_msg("heard only: %.400s", text);
        if (n < 0)
            loop_once(f->loop, 10);
    }
}

static void exchange(struct fix *f, int fd, const char *request, const char *want)
{
    say(f, fd, request, strlen(request));
    char *text = hear(f, fd, want);
    if (strstr(text, want) == NULL)
        fail_msg("got: %s", text);
    free(text);
}

static void requests_follow_each_other_on_one_connection(void **state)
{
    struct fix *f = *state;
    int fd = dial(f);
    exchange(f, fd, "GET " TARGET "user HTTP/1.1\r\nHost: x\r\n\r\n", "{\"users\":[]}");
    exchange(f, fd, "GET " TARGET "config HTTP/1.1\r\nHost: x\r\n\r\n", "\"routes\":[]}");
    exchange(f, fd,
             "POST " TARGET "push HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
             "GET " TARGET "alivelist HTTP/1.1\r\nHost: x\r\n\r\n",
             "{\"alive\":{}}");
    struct panelserver_counters c;
    panelserver_counters(f->ps, &c);
    assert_int_equal(c.connections, 1);
    assert_int_equal(c.requests, 4);
    close(fd);
    for (int i = 0; c.connections > 0 && i < ROUNDS; i++) {
        loop_once(f->loop, 10);
        panelserver_counters(f->ps, &c);
    }
    assert_int_equal(c.connections, 0);
}

static void heads_say_what_the_contract_asks_for(void **state)
{
    struct fix *f = *state;
    int fd = dial(f);
    say(f, fd, "GET " TARGET "user HTTP/1.1\r\nHost: x\r\n\r\n",
        strlen("GET " TARGET "user HTTP/1.1\r\nHost: x\r\n\r\n"));
    char *text = hear(f, fd, "[]}"), request[256], etag[64];
    assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(text, "\r\nContent-Type: application/json; charset=utf-8\r\n"));
    assert_non_null(strstr(text, "\r\nContent-Length: 12\r\n"));
    assert_int_equal(sscanf(strstr(text, "\r\nETag: ") + 8, "%60s", etag), 1);
    free(text);
    snprintf(request, sizeof request,
             "GET " TARGET
             "user HTTP/1.1\r\nHost: x\r\nIf-None-Match: W/%s\r\nConnection: close\r\n\r\n",
             etag);
    say(f, fd, request, strlen(request));
    text = hear(f, fd, NULL);
    assert_non_null(strstr(text, "HTTP/1.1 304 Not Modified\r\n"));
    assert_non_null(strstr(text, etag));
    assert_string_equal(text + strlen(text) - 4, "\r\n\r\n"); /* no body */
    free(text);
    close(fd);
}

static void a_head_may_come_byte_by_byte(void **state)
{
    struct fix *f = *state;
    static const char request[] =
        "POST " TARGET "push HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
    int fd = dial(f);
    for (size_t i = 0; i < sizeof request - 1; i++)
        say(f, fd, request + i, 1);
    char *text = hear(f, fd, "{\"message\":\"ok\"}");
    free(text);
    close(fd);
}

static void twenty_thousand_entries_are_one_push(void **state)
{
    struct fix *f = *state;
    size_t cap = 1 << 20, len = 0;
    char *body = malloc(cap), head[256];
    assert_int_equal(db_begin(f->db), ST_OK);
    for (int i = 1; i <= 20000; i++) {
        char name[16];
        snprintf(name, sizeof name, "u%d", i);
        test_db_user(f->db, name, 0, 0);
        len += (size_t)snprintf(body + len, cap - len, "%s\"%d\":[%d,1]", i == 1 ? "{" : ",", i, i);
    }
    assert_int_equal(db_commit(f->db), ST_OK);
    body[len++] = '}';
    snprintf(head, sizeof head,
             "POST " TARGET "push HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nIdempotency-Key: "
             "k\r\nContent-Length: %zu\r\n\r\n",
             len);
    int fd = dial(f);
    exchange(f, fd, head, "HTTP/1.1 100 Continue\r\n\r\n");
    say(f, fd, body, len);
    free(hear(f, fd, "{\"message\":\"ok\"}"));
    struct panelserver_counters c;
    panelserver_counters(f->ps, &c);
    assert_int_equal(c.up, 200010000);
    assert_int_equal(c.down, 20000);
    exchange(f, fd, "GET " TARGET "user HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
             "{\"id\":20000,");
    free(body);
    close(fd);
}

static void broken_requests_get_an_answer_and_the_end(void **state)
{
    struct fix *f = *state;
    static const struct {
        const char *request, *want;
    } cases[] = {
        {"\x16\x03\x01\x02\x01 hello\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", "HTTP/1.1 505 "},
        {"POST " TARGET "push HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
         "HTTP/1.1 501 "},
        {"POST " TARGET "push HTTP/1.1\r\nHost: x\r\nContent-Length: 16777217\r\n\r\n",
         "HTTP/1.1 413 "},
        {"POST " TARGET "push HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
         "HTTP/1.1 400 "},
        {"POST /?action=push&node_id=1&token=guess HTTP/1.1\r\nHost: x\r\nContent-Length: "
         "5\r\n\r\n{\"1\":",
         "HTTP/1.1 401 "},
        {"POST " TARGET "push HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = dial(f);
        say(f, fd, cases[i].request, strlen(cases[i].request));
        char *text = hear(f, fd, NULL);
        if (strncmp(text, cases[i].want, strlen(cases[i].want)) != 0 ||
            strstr(text, "Connection: close") == NULL)
            fail_msg("%.60s: %s", cases[i].request, text);
        free(text);
        close(fd);
    }
    char *head = malloc(9000);
    memset(head, 'a', 9000);
    memcpy(head, "GET /", 5);
    int fd = dial(f);
    say(f, fd, head, 9000);
    char *text = hear(f, fd, NULL);
    assert_memory_equal(text, "HTTP/1.1 431 ", 13);
    free(text);
    free(head);
    close(fd);
}

static void a_full_house_lets_idle_connections_go(void **state)
{
    struct fix *f = *state;
    static int fds[PANELSERVER_CONNS + 1];
    struct panelserver_counters c;
    for (int i = 0; i < PANELSERVER_CONNS; i++) {
        fds[i] = dial(f);
        exchange(f, fds[i], "GET " TARGET "user HTTP/1.1\r\nHost: x\r\n\r\n", "[]}");
    }
    fds[PANELSERVER_CONNS] = dial(f);
    exchange(f, fds[PANELSERVER_CONNS], "GET " TARGET "user HTTP/1.1\r\nHost: x\r\n\r\n", "[]}");
    panelserver_counters(f->ps, &c);
    assert_int_equal(c.connections, PANELSERVER_CONNS);
    char *text = hear(f, fds[0], NULL); /* the one that was idle longest was closed */
    assert_string_equal(text, "");
    free(text);
    for (int i = 0; i <= PANELSERVER_CONNS; i++)
        close(fds[i]);
}

static void a_taken_port_is_told(void **state)
{
    struct fix *f = *state;
    struct panelserver_conf conf = {
        .loop = f->loop, .log = &f->log, .db = f->db, .listen = *panelserver_addr(f->ps)};
    struct panelserver *other;
    struct why why = {0};
    assert_int_equal(panelserver_new(&conf, &other, &why), ST_OK);
    assert_int_equal(panelserver_start(other, &why), ST_E_BUSY);
    assert_non_null(why.text);
    panelserver_free(other);
    panelserver_stop(f->ps);
    assert_int_equal(panelserver_addr(f->ps)->family, ADDR_NONE);
    assert_int_equal(panelserver_start(f->ps, &why), ST_OK);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(requests_follow_each_other_on_one_connection),
        T(heads_say_what_the_contract_asks_for),
        T(a_head_may_come_byte_by_byte),
        T(twenty_thousand_entries_are_one_push),
        T(broken_requests_get_an_answer_and_the_end),
        T(a_full_house_lets_idle_connections_go),
        T(a_taken_port_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
