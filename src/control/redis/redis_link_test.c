/* A link and a server that answers what the test says, each connection the next line of a
 * script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "control/config/config_device_store.h"
#include "control/redis/redis_link.h"
#include "io/loop.h"

#define SHA     "0123456789012345678901234567890123456789"
#define LOADED  "$40\r\n" SHA "\r\n"
#define SECRET  "Pa55word"
#define PATIENT 20000u
#define HASTY   200u

struct world {
    char path[64];
    struct loop *loop;
    struct redis_link *link;
    struct watch listener, conn;
    const char *const *script; /* of each connection the answers, sent with the first bytes read */
    char got[4096];            /* by the server, all connections */
    size_t got_len;
    unsigned accepted, ups, downs, answers, nulls;
    enum status like; /* what the commands' callbacks say */
    unsigned warnings, infos;
    char line[512]; /* the last warning */
};

static struct world *now;

static void on_line(struct log_sink *s, const char *line, size_t len)
{
    (void)s;
    if (getenv("V2SP_TEST_LOG") != NULL)
        print_message("%.*s", (int)len, line);
    assert_null(strstr(line, SECRET));
    now->infos += strstr(line, "Z info") != NULL;
    if (strstr(line, "Z warning") == NULL)
        return;
    now->warnings++;
    snprintf(now->line, sizeof(now->line), "%.*s", (int)len, line);
}

static struct log_sink sink = {.write = on_line};
static struct log lg = {.sink = &sink, .level = LOG_DEBUG};

static void hang_up(struct world *w)
{
    int fd = w->conn.fd;
    if (fd < 0)
        return;
    loop_watch_del(w->loop, &w->conn);
    close(fd);
}

static void on_bytes(struct watch *watch, uint32_t events)
{
    struct world *w = now;
    ssize_t n = recv(watch->fd, w->got + w->got_len, sizeof(w->got) - 1 - w->got_len, 0);

    (void)events;
    if (n <= 0) {
        hang_up(w);
        return;
    }
    w->got_len += (size_t)n;
    w->got[w->got_len] = '\0';
    const char *say = *w->script;
    if (say != NULL && say[0] != '\0') {
        assert_int_equal(send(watch->fd, say, strlen(say), MSG_NOSIGNAL), strlen(say));
        if (w->script[1] != NULL)
            w->script++;
    } else if (say == NULL) {
        hang_up(w);
    }
}

static void on_accept(struct watch *watch, uint32_t events)
{
    struct world *w = now;
    int fd = accept(watch->fd, NULL, NULL);

    (void)events;
    assert_true(fd >= 0);
    hang_up(w);
    w->accepted++;
    assert_int_equal(loop_watch_add(w->loop, &w->conn, fd, LOOP_IN, on_bytes), ST_OK);
}

static void on_up(void *arg)
{
    ((struct world *)arg)->ups++;
}

static void on_down(void *arg)
{
    ((struct world *)arg)->downs++;
}

static enum status on_reply(void *arg, const struct redisReply *r)
{
    struct world *w = arg;
    w->answers += r != NULL;
    w->nulls += r == NULL;
    return w->like;
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(w->path, "/tmp/v2sp-redis-XXXXXX");
    if (fd < 0 || mkdtemp(w->path) == NULL)
        return 1;
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/s", w->path);
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, 8) != 0)
        return 1;
    now = w;
    w->loop = loop_new();
    w->conn.fd = -1;
    assert_int_equal(loop_watch_add(w->loop, &w->listener, fd, LOOP_IN, on_accept), ST_OK);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    char path[80];

    redis_link_free(w->link);
    hang_up(w);
    int fd = w->listener.fd;
    loop_watch_del(w->loop, &w->listener);
    close(fd);
    loop_free(w->loop);
    snprintf(path, sizeof(path), "%s/s", w->path);
    unlink(path);
    rmdir(w->path);
    free(w);
    return 0;
}

#define UNTIL(w, cond)                                                                             \
    do {                                                                                           \
        time_t until_ = time(NULL) + 20;                                                           \
        while (!(cond)) {                                                                          \
            loop_once((w)->loop, 1000);                                                            \
            if (time(NULL) > until_)                                                               \
                fail_msg("never: %s (%s)", #cond, (w)->line);                                      \
        }                                                                                          \
    } while (0)

static void make_link(struct world *w, const char *const *script,
                      const struct config_device_store *store)
{
    struct resolver *none = NULL;
    const struct redis_link_conf conf = {.loop = w->loop,
                                         .log = &lg,
                                         .resolver = &none,
                                         .store = store,
                                         .script = "return 1",
                                         .up = on_up,
                                         .down = on_down,
                                         .arg = w};
    w->script = script;
    w->link = redis_link_new(&conf);
    assert_non_null(w->link);
}

/* Makes the link; the server says a line of @script whenever it has read something, the last one
 * again and again; "" is nothing, NULL hangs up. */
static void begin(struct world *w, const char *const *script, const char *password,
                  uint32_t timeout_ms)
{
    struct config_device_store store;
    char path[80];

    snprintf(path, sizeof(path), "%s/s", w->path);
    config_device_store_init(&store);
    store.path = store.address = path;
    store.password = password;
    store.timeout_ms = timeout_ms;
    make_link(w, script, &store);
}

static enum status ask(struct world *w)
{
    const char *argv[] = {"PING"};
    const size_t len[] = {4};
    return redis_link_send(w->link, 1, argv, len, on_reply, w);
}

static void expect_state(const struct world *w, enum redis_link_phase phase, const char *error,
                         uint64_t answered, uint64_t failed)
{
    struct redis_link_state s;

    redis_link_state(w->link, &s);
    assert_int_equal(s.phase, phase);
    assert_true(s.since_s > 0);
    if (strstr(s.error, error) == NULL || (error[0] == '\0' && s.error[0] != '\0'))
        fail_msg("\"%s\", not \"%s\"", s.error, error);
    assert_int_equal(s.answered, answered);
    assert_int_equal(s.failed, failed);
}

static void a_question_is_answered(void **state)
{
    static const char *const script[] = {"+OK\r\n" LOADED, ":1\r\n", NULL};
    struct world *w = *state;

    begin(w, script, SECRET, PATIENT);
    assert_int_equal(ask(w), ST_E_IO);
    expect_state(w, REDIS_LINK_CONNECTING, "", 0, 0);
    UNTIL(w, w->ups == 1);
    assert_string_equal(redis_link_sha(w->link), SHA);
    assert_string_equal(w->got, "*2\r\n$4\r\nAUTH\r\n$8\r\n" SECRET "\r\n"
                                "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$8\r\nreturn 1\r\n");
    assert_int_equal(ask(w), ST_OK);
    UNTIL(w, w->answers == 1);
    assert_int_equal(w->infos, 1);
    assert_int_equal(w->warnings, 0);
    expect_state(w, REDIS_LINK_UP, "", 1, 0);
    /* The server goes: one line, and one when it is back. */
    static const char *const again[] = {"+OK\r\n" LOADED, "", NULL};
    w->script = again;
    assert_int_equal(ask(w), ST_OK);
    hang_up(w);
    UNTIL(w, w->downs == 1);
    assert_int_equal(w->nulls, 1);
    assert_false(redis_link_is_up(w->link));
    assert_string_equal(redis_link_sha(w->link), "");
    expect_state(w, REDIS_LINK_DOWN, "closed", 1, 1);
    UNTIL(w, w->ups == 2);
    expect_state(w, REDIS_LINK_UP, "closed", 1, 1);
    assert_int_equal(w->warnings, 1);
    assert_int_equal(w->infos, 2);
}

static void it_says_nothing(void **state)
{
    static const char *const script[] = {LOADED, "", NULL};
    struct world *w = *state;

    begin(w, script, "", HASTY);
    UNTIL(w, redis_link_is_up(w->link));
    assert_int_equal(ask(w), ST_OK);
    UNTIL(w, w->nulls == 1);
    UNTIL(w, !redis_link_is_up(w->link));
    assert_non_null(strstr(w->line, "in time"));
}

static void only_so_many_at_a_time(void **state)
{
    static const char *const script[] = {LOADED, "", NULL};
    struct world *w = *state;

    begin(w, script, "", PATIENT);
    UNTIL(w, w->ups == 1);
    for (unsigned i = 0; i < REDIS_LINK_MAX; i++)
        assert_int_equal(ask(w), ST_OK);
    assert_int_equal(ask(w), ST_E_LIMIT);
    redis_link_free(w->link);
    w->link = NULL;
    assert_int_equal(w->nulls, REDIS_LINK_MAX);
    assert_int_equal(w->downs, 0);
}

/* What a server may say in place of an answer to SCRIPT LOAD, and what the log says of it. */
static void it_is_no_store(void **state)
{
    static const struct {
        const char *script[2], *why;
        bool hasty;
    } cases[] = {
        {{"HTTP/1.1 400 Bad Request\r\n\r\n", NULL}, "Protocol error", false},
        {{"+OK\r\n-NOSCRIPT no such thing\r\n", NULL}, "NOSCRIPT no such thing", false},
        {{"-ERR unknown command 'AUTH', with args: " SECRET "\r\n", NULL},
         "it refuses Username",
         false},
        {{"+OK\r\n:7\r\n", NULL}, "it answers something else", false},
        {{"+OK\r\n*100000000\r\n", NULL}, "it answers something else", false},
        {{"+OK\r\n$3\r\nabc\r\n", NULL}, "it answers something else", false},
        {{"+OK\r\n" LOADED "+and\r\n+more\r\n", NULL}, "it answers something else", false},
        {{"-ERR max number of clients reached\r\n", NULL}, "it has too many clients", false},
        {{"+OK\r\n-DENIED \x1b[2J\r\n", NULL}, "DENIED ;", false},
        {{"+OK\r\n", NULL}, "cannot be reached in time", true},
        {{NULL, NULL}, "it closed the connection", false},
        {{"\x15\x03\x03", NULL}, "it speaks TLS", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(i == 0 ? 0 : set_up(state), 0);
        struct world *w = *state;
        begin(w, cases[i].script, SECRET, cases[i].hasty ? HASTY : PATIENT);
        UNTIL(w, w->warnings == 1);
        if (strstr(w->line, cases[i].why) == NULL)
            fail_msg("case %zu: %s", i, w->line);
        assert_false(redis_link_is_up(w->link));
        assert_int_equal(w->ups, w->downs);
        if (i + 1 < sizeof(cases) / sizeof(cases[0]))
            tear_down(state);
    }
}

/* Nobody listens at all: said once, however often it is tried. */
static void nobody_is_there(void **state)
{
    static const char *const script[] = {LOADED, NULL};
    struct world *w = *state;
    struct config_device_store store;

    config_device_store_init(&store);
    store.path = store.address = "/nowhere/at/all";
    make_link(w, script, &store);
    UNTIL(w, w->warnings == 1);
    assert_int_equal(w->downs, 0); /* it was never up */
}

static void an_answer_nobody_understands_ends_it(void **state)
{
    static const char *const script[] = {LOADED, "+PONG\r\n", NULL};
    struct world *w = *state;

    begin(w, script, "", PATIENT);
    UNTIL(w, w->ups == 1);
    w->like = ST_E_PROTO;
    assert_int_equal(ask(w), ST_OK);
    UNTIL(w, w->downs == 1);
    assert_int_equal(w->answers, 1);
    assert_non_null(strstr(w->line, "it answers something else"));
}

/* A replica takes the script and refuses every command: said once, and not asked for ever more. */
static void it_takes_only_the_script(void **state)
{
    static const char *const refusing[] = {
        LOADED, "-READONLY a replica\r\n", LOADED, "-READONLY a replica\r\n", "", NULL};
    static const char *const working[] = {LOADED, "+PONG\r\n", NULL};
    struct world *w = *state;

    begin(w, refusing, "", PATIENT);
    for (unsigned i = 1; i <= 2; i++) {
        UNTIL(w, w->ups == i);
        w->like = ST_E_PROTO;
        assert_int_equal(ask(w), ST_OK);
        UNTIL(w, w->downs == i);
    }
    assert_non_null(strstr(w->line, "READONLY"));
    assert_int_equal(w->warnings, 1);
    assert_int_equal(w->infos, 1);
    w->script = working;
    w->like = ST_OK;
    UNTIL(w, w->ups == 3);
    assert_int_equal(w->infos, 1);
    expect_state(w, REDIS_LINK_DOWN, "READONLY", 0, 2);
    assert_int_equal(ask(w), ST_OK);
    UNTIL(w, w->infos == 2); /* works again */
    expect_state(w, REDIS_LINK_UP, "READONLY", 1, 2);
}

/* The server listens on a port of this host instead; returns that. */
static uint16_t listen_tcp(struct world *w)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int old = w->listener.fd, fd = socket(AF_INET, SOCK_STREAM, 0);

    loop_watch_del(w->loop, &w->listener);
    close(old);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(loop_watch_add(w->loop, &w->listener, fd, LOOP_IN, on_accept), ST_OK);
    return ntohs(sa.sin_port);
}

static bool was_down_for(const struct world *w, const char *why)
{
    struct redis_link_state s;

    redis_link_state(w->link, &s);
    return strstr(s.error, why) != NULL;
}

/* TLS is asked of a server that has none, and with files that are none. The password is kept. */
static void it_has_no_tls(void **state)
{
    static const struct {
        const char *script[2], *ca, *why;
        bool hasty;
    } cases[] = {
        {{"", NULL}, "", "no answer to the TLS handshake in time", true},
        {{"-ERR unknown command\r\n", ""}, "", "it does not speak TLS", false},
        {{NULL, NULL}, "", "it ends the TLS handshake", false},
        {{"", NULL}, "/nowhere/ca.pem", "no roots in /nowhere/ca.pem: No such file", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(i == 0 ? 0 : set_up(state), 0);
        struct world *w = *state;
        struct config_device_store store;
        config_device_store_init(&store);
        store.address = store.host = "127.0.0.1";
        store.port = listen_tcp(w);
        store.password = SECRET;
        store.tls = true;
        store.ca = cases[i].ca;
        store.timeout_ms = cases[i].hasty ? HASTY : PATIENT;
        make_link(w, cases[i].script, &store);
        UNTIL(w, was_down_for(w, cases[i].why)); /* a slow machine may first take long to connect */
        assert_int_equal(w->warnings, 1);
        expect_state(w, REDIS_LINK_DOWN, cases[i].why, 0, 0);
        assert_null(memmem(w->got, w->got_len, SECRET, strlen(SECRET)));
        if (i + 1 < sizeof(cases) / sizeof(cases[0]))
            tear_down(state);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_question_is_answered),   TEST(it_says_nothing),
        TEST(only_so_many_at_a_time),   TEST(it_is_no_store),
        TEST(nobody_is_there),          TEST(an_answer_nobody_understands_ends_it),
        TEST(it_takes_only_the_script), TEST(it_has_no_tls),
    };
    return cmocka_run_group_tests_name("redis_link", tests, NULL, NULL);
}
