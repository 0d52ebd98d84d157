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

#include "app/cmd_check.h"
#include "control/config/config.h"

/* A panel that answers one call a connection with what a case says. */
struct panel {
    int fd;
    uint16_t port;
    const char *config, *users; /* whole answers */
    pthread_t thread;
};

static void *serve(void *arg)
{
    struct panel *p = arg;
    for (;;) {
        char request[4096];
        int c = accept(p->fd, NULL, NULL);
        if (c < 0)
            return NULL;
        ssize_t n = recv(c, request, sizeof(request) - 1, 0);
        if (n > 0) {
            request[n] = '\0';
            const char *answer = strstr(request, "action=user") != NULL ? p->users : p->config;
            (void)send(c, answer, strlen(answer), MSG_NOSIGNAL);
        }
        shutdown(c, SHUT_WR);
        close(c);
    }
}

static void start(struct panel *p)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof(a);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    p->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(p->fd >= 0);
    assert_int_equal(bind(p->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(p->fd, 8), 0);
    assert_int_equal(getsockname(p->fd, (struct sockaddr *)&a, &len), 0);
    p->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&p->thread, NULL, serve, p), 0);
}

static void stop(struct panel *p)
{
    shutdown(p->fd, SHUT_RDWR);
    pthread_join(p->thread, NULL);
    close(p->fd);
}

#define NODE(id)                                                                                   \
    "{\"ApiHost\":\"http://127.0.0.1:%u/x\",\"ApiKey\":\"secret\",\"NodeID\":" #id ",\"Timeout\":" \
    "5}"

/* Asks the panel; what is printed comes back in @out. Returns the number of bad nodes. */
static unsigned ask_for(const struct panel *p, const char *nodes, char *out, size_t cap)
{
    char text[512];
    snprintf(text, sizeof(text), nodes, p->port, p->port);
    const struct config *cfg;
    assert_int_equal(config_parse(text, strlen(text), "c", NULL, &cfg), ST_OK);
    FILE *f = tmpfile();
    assert_non_null(f);
    fflush(stdout);
    fflush(stderr);
    int saved_out = dup(STDOUT_FILENO), saved_err = dup(STDERR_FILENO);
    dup2(fileno(f), STDOUT_FILENO);
    dup2(fileno(f), STDERR_FILENO);
    unsigned warnings = 0, bad = check_online(cfg, &warnings);
    fflush(stdout);
    fflush(stderr);
    dup2(saved_out, STDOUT_FILENO);
    dup2(saved_err, STDERR_FILENO);
    close(saved_out);
    close(saved_err);
    rewind(f);
    out[fread(out, 1, cap - 1, f)] = '\0';
    fclose(f);
    config_unref(cfg);
    return bad;
}

static unsigned ask(const struct panel *p, char *out, size_t cap)
{
    return ask_for(p, "{\"Nodes\":[" NODE(1) "]}", out, cap);
}

#define OK(body) "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" body
#define CONFIG   OK("{\"server_port\":\"8443\",\"network\":\"tcp\",\"node_type\":\"vless\"}")
#define UUID     "b831381d-6324-4d53-ad4f-8cda48b30811"

static void every_answer_becomes_one_line(void **state)
{
    (void)state;
    static const struct {
        const char *config, *users, *says;
        unsigned bad;
    } cases[] = {
        {CONFIG, OK("{\"users\":[{\"id\":1,\"uuid\":\"" UUID "\"}]}"),
         "ok: node [http://127.0.0.1:%u/x]-:1: port 8443, vless over tcp, 1 user\n", 0},
        {CONFIG, OK("{\"users\":[]}"), "vless over tcp, 0 users\n", 0},
        {CONFIG, OK("{\"users\":[{\"id\":1}]}"), "0 users (1 more are unusable)\n", 0},
        {OK("{\"server_port\":1,\"network\":\"tcp\",\"node_type\":\"vless\",\"routes\":["
            "{\"id\":7,\"match\":[\"regexp:a(b\"],\"action\":\"block\"}]}"),
         OK("{\"users\":[]}"),
         "-:1: route 7, \"regexp:a(b\": missing closing parenthesis, at character 3: skipped\n", 0},
        {CONFIG, OK("{\"users\":"), "error: node [http://127.0.0.1:%u/x]-:1: user: ", 1},
        {CONFIG, "HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n{\"message\":\"db gone\"}",
         "user: HTTP 500, ", 1},
        {OK("{}"), "", "config: ", 1},
        {OK("<html><body>Welcome</body></html>"), "", "is ApiHost the whole address of the API?",
         1},
        {OK("{\"server_port\":1,"), "", "config: ", 1},
        {"HTTP/1.1 403 No\r\nConnection: close\r\n\r\n{\"message\":\"disabled\"}", "",
         "config: HTTP 403, ", 1},
        {"HTTP/1.1 404 No\r\nConnection: close\r\n\r\n", "", "config: HTTP 404, ", 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct panel p = {.config = cases[i].config, .users = cases[i].users};
        char out[2048], want[256];
        start(&p);
        assert_int_equal(ask(&p, out, sizeof(out)), cases[i].bad);
        stop(&p);
        const char *number = strstr(cases[i].says, "%u");
        if (number != NULL)
            snprintf(want, sizeof(want), "%.*s%u%s", (int)(number - cases[i].says), cases[i].says,
                     p.port, number + 2);
        else
            snprintf(want, sizeof(want), "%s", cases[i].says);
        if (strstr(out, want) == NULL)
            fail_msg("case %zu says: %s", i, out);
        assert_null(strstr(out, "secret"));
    }
}

static void a_panel_that_is_down_is_named(void **state)
{
    (void)state;
    struct panel p = {.config = "", .users = ""};
    char out[2048];
    start(&p);
    stop(&p);
    assert_int_equal(ask(&p, out, sizeof(out)), 1);
    assert_non_null(strstr(out, "config: panel not reachable"));
}

/* What the file cannot show: only the panel's answers have the ports. */
static void two_nodes_on_one_port_are_named(void **state)
{
    (void)state;
    struct panel p = {.config = CONFIG, .users = OK("{\"users\":[]}")};
    char out[2048];
    start(&p);
    assert_int_equal(ask_for(&p, "{\"Nodes\":[" NODE(1) ",\n" NODE(2) "]}", out, sizeof(out)), 1);
    stop(&p);
    assert_non_null(strstr(out, "ok: node [http://"));
    assert_non_null(strstr(out, "c:2:1: error: node [http://"));
    assert_non_null(strstr(out, "listens on port 8443 like [http://"));
    assert_non_null(strstr(out, "(line 1 of c)"));
}

int main(void)
{
    unsetenv("http_proxy"); /* the panel is here, not where a proxy could reach it */
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_becomes_one_line),
        cmocka_unit_test(a_panel_that_is_down_is_named),
        cmocka_unit_test(two_nodes_on_one_port_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
