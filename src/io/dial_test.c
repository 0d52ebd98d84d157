#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/dial.h"
#include "io/sockaddr.h"

#define ROUNDS 20000

static const struct dial_conf plain = {0};

/* ---- listeners ------------------------------------------------------------------------------- */

static int listen_on(struct addr *a, int backlog)
{
    union sockaddr_any sa;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    socklen_t len;

    *a = (struct addr){.family = ADDR_IP4, .ip = {127, 0, 0, 1}};
    len = sockaddr_from_addr(&sa, a);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &sa.any, len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    sockaddr_local(fd, a);
    return fd;
}

/* An address where nobody answers: a listener whose queue is full drops every SYN. */
struct hole {
    struct addr addr;
    int fds[16];
    unsigned n;
};

static void dig(struct hole *h)
{
    union sockaddr_any sa;

    memset(h, 0, sizeof(*h));
    h->fds[h->n++] = listen_on(&h->addr, 0);
    socklen_t len = sockaddr_from_addr(&sa, &h->addr);
    while (h->n < 16) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        h->fds[h->n++] = fd;
        /* One that is not connected at once found the queue full. */
        if (connect(fd, &sa.any, len) != 0 && poll(&p, 1, 0) == 0)
            return;
    }
    fail_msg("the listener's queue is never full");
}

static void fill_in(struct hole *h)
{
    while (h->n > 0)
        close(h->fds[--h->n]);
}

/* An address that refuses: a port that was free a moment ago. */
static struct addr closed_port(void)
{
    struct addr a;
    close(listen_on(&a, 1));
    return a;
}

/* ---- results --------------------------------------------------------------------------------- */

struct outcome {
    unsigned calls;
    struct dial_result res;
};

static void on_dialed(void *arg, const struct dial_result *res)
{
    struct outcome *o = arg;
    o->calls++;
    o->res = *res;
}

static void wait_outcome(struct loop *l, struct outcome *o)
{
    for (unsigned i = 0; i < ROUNDS && o->calls == 0; i++)
        loop_once(l, 1000);
    assert_int_equal(o->calls, 1);
}

/* Dials and waits; the result is in @o whether it came at once or later. */
static void dial_all(struct loop *l, const struct dial_conf *conf, const struct addr *addrs,
                     size_t n, struct outcome *o)
{
    struct dial *d;
    memset(o, 0, sizeof(*o));
    enum status st = dial_start(l, conf, addrs, n, o, on_dialed, &o->res, &d);
    if (st == ST_MORE)
        wait_outcome(l, o);
    else
        assert_null(d);
}

static int connect_error(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int err = 0;
    socklen_t len = sizeof(err);

    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len), 0);
    return err;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void a_single_address_is_handed_over_at_once(void **state)
{
    struct loop *l = loop_new();
    struct outcome o = {0};
    struct dial *d;
    struct addr to, seen;
    int listener = listen_on(&to, 4);

    (void)state;
    assert_int_equal(dial_start(l, &plain, &to, 1, &o, on_dialed, &o.res, &d), ST_OK);
    assert_null(d);
    assert_true(addr_equal(&o.res.addr, &to));
    assert_int_equal(connect_error(o.res.fd), 0);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    sockaddr_peer(o.res.fd, &seen);
    assert_true(addr_equal(&seen, &to));
    assert_int_equal(o.calls, 0);
    close(fd);
    close(o.res.fd);
    close(listener);
    loop_free(l);
}

static void a_refused_address_tells_its_errno(void **state)
{
    struct loop *l = loop_new();
    struct addr to[2] = {closed_port(), closed_port()};
    struct outcome o;

    (void)state;
    dial_all(l, &plain, to, 1, &o);
    if (o.res.status == ST_OK) { /* the kernel may refuse within connect() or after it */
        assert_int_equal(connect_error(o.res.fd), ECONNREFUSED);
        close(o.res.fd);
    } else {
        assert_int_equal(o.res.err, ECONNREFUSED);
    }
    dial_all(l, &plain, to, 2, &o);
    if (o.res.status == ST_OK) {
        assert_int_equal(connect_error(o.res.fd), ECONNREFUSED);
        close(o.res.fd);
    } else {
        assert_int_equal(o.res.err, ECONNREFUSED);
        assert_int_equal(o.res.fd, -1);
    }
    loop_free(l);
}

static void a_race_goes_past_refusals_and_silence(void **state)
{
    struct loop *l = loop_new();
    struct hole hole;
    struct outcome o;
    struct addr to[4];
    int listener = listen_on(&to[2], 4);

    (void)state;
    dig(&hole);
    to[0] = closed_port();
    to[1] = hole.addr;
    to[3] = hole.addr;
    dial_all(l, &plain, to, 4, &o);
    assert_int_equal(o.res.status, ST_OK);
    assert_true(o.res.connected);
    assert_true(addr_equal(&o.res.addr, &to[2]));
    assert_int_equal(connect_error(o.res.fd), 0);
    close(o.res.fd);
    fill_in(&hole);
    close(listener);
    loop_free(l);
}

static void a_race_ends_at_its_deadline(void **state)
{
    const struct dial_conf conf = {.timeout_ms = 30};
    struct loop *l = loop_new();
    struct hole hole;
    struct outcome o;

    (void)state;
    dig(&hole);
    const struct addr to[2] = {hole.addr, hole.addr};
    dial_all(l, &conf, to, 2, &o);
    assert_int_equal(o.res.status, ST_E_TIMEOUT);
    assert_int_equal(o.res.fd, -1);
    fill_in(&hole);
    loop_free(l);
}

static void a_cancelled_race_is_silent(void **state)
{
    struct loop *l = loop_new();
    struct outcome o = {0};
    struct hole hole;
    struct dial *d;

    (void)state;
    dig(&hole);
    const struct addr to[2] = {hole.addr, hole.addr};
    assert_int_equal(dial_start(l, &plain, to, 2, &o, on_dialed, &o.res, &d), ST_MORE);
    loop_once(l, 0);
    dial_cancel(d);
    dial_cancel(NULL);
    loop_once(l, 0);
    assert_int_equal(o.calls, 0);
    fill_in(&hole);
    loop_free(l);
}

static void the_source_address_is_bound(void **state)
{
    const struct dial_conf conf = {.bind4 = {.family = ADDR_IP4, .ip = {127, 0, 0, 9}}};
    const struct dial_conf wrong = {.bind4 = {.family = ADDR_IP4, .ip = {192, 0, 2, 1}}};
    struct loop *l = loop_new();
    struct outcome o;
    struct addr to, seen;
    char text[ADDR_STRLEN];
    int listener = listen_on(&to, 4);

    (void)state;
    dial_all(l, &conf, &to, 1, &o);
    assert_int_equal(o.res.status, ST_OK);
    assert_int_equal(connect_error(o.res.fd), 0);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    sockaddr_peer(fd, &seen);
    assert_string_equal(addr_ip_str(&seen, text), "127.0.0.9");
    close(fd);
    close(o.res.fd);
    dial_all(l, &wrong, &to, 1, &o);
    assert_int_equal(o.res.status, ST_E_IO);
    assert_int_equal(o.res.err, EADDRNOTAVAIL);
    close(listener);
    loop_free(l);
}

static void families_are_interleaved(void **state)
{
    static const struct {
        const char *in, *six_first, *four_first;
    } cases[] = {
        {"4444", "4444", "4444"}, {"6644", "6464", "4646"},    {"4446", "6444", "4644"},
        {"6", "6", "6"},          {"64444", "64444", "46444"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int four = 0; four < 2; four++) {
            struct addr a[8] = {0};
            size_t n = strlen(cases[i].in);
            char got[9] = "";
            uint16_t last[2] = {0, 0};
            for (size_t k = 0; k < n; k++)
                a[k] = (struct addr){.family = (uint8_t)(cases[i].in[k] - '0'),
                                     .port = (uint16_t)(k + 1)};
            dial_interleave(a, n, four ? ADDR_IP4 : ADDR_IP6);
            for (size_t k = 0; k < n; k++) {
                got[k] = (char)('0' + a[k].family);
                assert_true(a[k].port > last[a[k].family == ADDR_IP4]); /* order kept */
                last[a[k].family == ADDR_IP4] = a[k].port;
            }
            assert_string_equal(got, four ? cases[i].four_first : cases[i].six_first);
        }
    }
}

static void unix_sockets_are_reached_by_path_and_name(void **state)
{
    char path[108], names[3][108];
    socklen_t lens[3];

    (void)state;
    snprintf(path, sizeof(path), "/tmp/dial_test.%d", (int)getpid());
    snprintf(names[0], sizeof(names[0]), "%s", path);
    snprintf(names[1], sizeof(names[1]), "@dial_test.%d", (int)getpid());
    snprintf(names[2], sizeof(names[2]), "@padded.dial_test.%d", (int)getpid());
    lens[0] = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
    lens[1] = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(names[1]));
    lens[2] = sizeof(struct sockaddr_un);
    for (unsigned i = 0; i < 3; i++) {
        struct sockaddr_un sa = {.sun_family = AF_UNIX};
        struct dial_result res;
        int listener = socket(AF_UNIX, SOCK_STREAM, 0);
        memcpy(sa.sun_path, names[i], strlen(names[i]));
        if (i > 0)
            sa.sun_path[0] = '\0';
        assert_int_equal(bind(listener, (struct sockaddr *)&sa, lens[i]), 0);
        assert_int_equal(listen(listener, 1), 0);
        assert_int_equal(dial_unix(names[i], i == 2, &res), ST_OK);
        assert_true(res.connected);
        close(res.fd);
        if (i > 0) {
            assert_int_equal(dial_unix(names[i], i != 2, &res), ST_E_IO);
            assert_int_equal(res.err, ECONNREFUSED);
        }
        close(listener);
    }
    unlink(path);
    struct dial_result res;
    assert_int_equal(dial_unix(path, false, &res), ST_E_IO);
    assert_int_equal(res.err, ENOENT);
    assert_int_equal(res.fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_single_address_is_handed_over_at_once),
        cmocka_unit_test(a_refused_address_tells_its_errno),
        cmocka_unit_test(a_race_goes_past_refusals_and_silence),
        cmocka_unit_test(a_race_ends_at_its_deadline),
        cmocka_unit_test(a_cancelled_race_is_silent),
        cmocka_unit_test(the_source_address_is_bound),
        cmocka_unit_test(families_are_interleaved),
        cmocka_unit_test(unix_sockets_are_reached_by_path_and_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
