#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "codec/proxy_header.h"
#include "control/probe/reality_probe.h"
#include "io/loop.h"
#include "tls/server_hello.h"
#include "tls/test_target.h"

/* A target on loopback, in the same loop: reads one hello, says what the test wants. */
struct world {
    struct loop *loop;
    struct watch listener, client;
    struct aux_dest dest;
    struct test_target target;
    const char *text; /* to say instead of an answer; NULL: the target's */
    bool silent, hang_up;
    uint8_t in[4096];
    size_t len;
    unsigned accepted;
    bool done;
    struct reality_probe_result result;
};

static void end_client(struct world *w)
{
    if (w->client.fd < 0)
        return;
    int fd = w->client.fd;
    loop_watch_del(w->loop, &w->client);
    close(fd);
}

static void answer(struct world *w)
{
    uint8_t out[16384];
    struct proxy_header ph;
    size_t at = 0;
    if (w->dest.xver != 0 && proxy_header_parse(w->in, w->len, &ph, &at) != ST_OK)
        return;
    if (w->len < at + 5 || w->len < at + 5 + get_be16(w->in + at + 3))
        return;
    if (w->silent)
        return;
    if (w->text != NULL) {
        assert_int_equal(write(w->client.fd, w->text, strlen(w->text)), (ssize_t)strlen(w->text));
    } else if (!w->hang_up) {
        size_t n = test_target_answer(&w->target, w->in + at + 5, get_be16(w->in + at + 3), out,
                                      sizeof(out));
        assert_int_equal(write(w->client.fd, out, n), (ssize_t)n);
    }
    if (w->hang_up || w->text != NULL)
        end_client(w);
}

static void on_client(struct watch *watch, uint32_t events)
{
    struct world *w = LIST_ENTRY(watch, struct world, client);
    (void)events;
    ssize_t n = read(watch->fd, w->in + w->len, sizeof(w->in) - w->len);
    if (n <= 0) {
        end_client(w);
        return;
    }
    w->len += (size_t)n;
    answer(w);
}

static void on_accept(struct watch *watch, uint32_t events)
{
    struct world *w = LIST_ENTRY(watch, struct world, listener);
    (void)events;
    int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    w->accepted++;
    end_client(w);
    w->len = 0;
    assert_int_equal(loop_watch_add(w->loop, &w->client, fd, LOOP_IN, on_client), ST_OK);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    w->loop = loop_new();
    w->client.fd = -1;
    w->listener.fd = -1;
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) != 0 ||
        loop_watch_add(w->loop, &w->listener, fd, LOOP_IN, on_accept) != ST_OK)
        return -1;
    w->target = (struct test_target){
        .suite = 0x1301, .group = TLS_GROUP_X25519MLKEM768, .len = {0, 0, 40, 900, 110, 74}};
    *state = w;
    return target_set_host(&w->dest.target, "127.0.0.1", 9, ntohs(sa.sin_port)) == ST_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    end_client(w);
    int fd = w->listener.fd;
    loop_watch_del(w->loop, &w->listener);
    close(fd);
    loop_free(w->loop);
    free(w);
    return 0;
}

static void on_done(void *arg, const struct reality_probe_result *r)
{
    struct world *w = arg;
    assert_false(w->done);
    w->done = true;
    w->result = *r;
}

static const struct reality_probe_result *probe(struct world *w, unsigned steps, uint32_t limit_ms)
{
    struct reality_probe_conf conf = {.loop = w->loop,
                                      .dest = &w->dest,
                                      .server_name = "target.example",
                                      .steps = steps,
                                      .limit_ms = limit_ms,
                                      .arg = w,
                                      .done = on_done};
    w->done = false;
    assert_non_null(reality_probe_start(&conf));
    assert_false(w->done);
    for (int i = 0; i < 10000 && !w->done; i++)
        loop_once(w->loop, 100);
    assert_true(w->done);
    return &w->result;
}

static void a_flight_is_measured(void **state)
{
    struct world *w = *state;
    const struct reality_probe_result *r = probe(w, REALITY_PROBE_FLIGHT, 0);
    assert_string_equal(r->problem, "");
    assert_int_equal(r->group, TLS_GROUP_X25519MLKEM768);
    assert_int_equal(r->suite, 0x1301);
    assert_int_equal(r->shape.len[FLIGHT_CERTIFICATE], 900);
    assert_int_equal(w->accepted, 1);
    w->dest.xver = 2;
    r = probe(w, REALITY_PROBE_FLIGHT, 0);
    assert_string_equal(r->problem, "");
    w->dest.xver = 0;
    w->target.len[FLIGHT_CERTIFICATE] = 100;
    r = probe(w, REALITY_PROBE_FLIGHT, 0);
    assert_string_equal(r->problem, "its Certificate record has 100 bytes, ours needs 213");
}

static void what_stands_in_the_way_is_said(void **state)
{
    struct world *w = *state;
    w->text = "HTTP/1.1 400 Bad Request\r\n\r\n";
    assert_string_equal(probe(w, REALITY_PROBE_FLIGHT, 0)->problem, "it does not speak TLS");
    assert_false(w->result.down);
    w->text = "\x15\x03\x03";
    assert_string_equal(probe(w, REALITY_PROBE_FLIGHT, 0)->problem,
                        "its first TLS 1.3 records cannot be imitated");
    w->text = NULL;
    w->hang_up = true;
    assert_string_equal(probe(w, REALITY_PROBE_FLIGHT, 0)->problem,
                        "it ends the connection without an answer");
    w->silent = true;
    w->hang_up = false;
    assert_string_equal(probe(w, REALITY_PROBE_FLIGHT, 1000)->problem,
                        "does not answer within 1 s");
    assert_false(w->result.down);
}

static void nobody_there_is_down(void **state)
{
    struct world *w = *state;
    struct aux_dest dest = w->dest;
    w->dest.path = "/nonexistent/v2sp.sock";
    assert_string_equal(probe(w, REALITY_PROBE_FLIGHT, 0)->problem, "No such file or directory");
    assert_true(w->result.down);
    w->dest = dest;
    /* A name, and nobody to ask. */
    assert_int_equal(target_set_host(&w->dest.target, "target.example", 14, 443), ST_OK);
    assert_string_equal(probe(w, REALITY_PROBE_FLIGHT, 0)->problem, "its name cannot be looked up");
    assert_true(w->result.down);
}

/* The certificate of a target that cannot finish a handshake is no reason to refuse it. */
static void later_steps_do_not_spoil_the_first(void **state)
{
    struct world *w = *state;
    const struct reality_probe_result *r =
        probe(w, REALITY_PROBE_FLIGHT | REALITY_PROBE_CERT | REALITY_PROBE_HTTP, 0);
    assert_string_equal(r->problem, "");
    assert_false(r->has_facts);
    assert_string_not_equal(r->cert_problem, "");
    assert_int_equal(r->http_status, 0);
    assert_int_equal(w->accepted, 3);
}

static void it_can_be_cancelled_at_any_time(void **state)
{
    struct world *w = *state;
    for (int rounds = 0; rounds < 6; rounds++) {
        struct reality_probe_conf conf = {.loop = w->loop,
                                          .dest = &w->dest,
                                          .server_name = "target.example",
                                          .arg = w,
                                          .done = on_done};
        w->done = false;
        struct reality_probe *p = reality_probe_start(&conf);
        assert_non_null(p);
        for (int i = 0; i < rounds && !w->done; i++)
            loop_once(w->loop, 0);
        if (!w->done)
            reality_probe_cancel(p);
    }
    reality_probe_cancel(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_flight_is_measured),
        TEST(what_stands_in_the_way_is_said),
        TEST(nobody_there_is_down),
        TEST(later_steps_do_not_spoil_the_first),
        TEST(it_can_be_cancelled_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
