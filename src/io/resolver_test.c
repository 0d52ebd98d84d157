#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "io/resolver.h"
#include "io/sockaddr.h"

#define TYPE_A    1
#define TYPE_AAAA 28
#define ROUNDS    20000 /* far more than any test needs: a hang fails instead */

/* ---- a name server on loopback, in the loop under test --------------------------------------- */

struct server {
    struct watch watch;
    unsigned queries, asked_a, asked_aaaa;
    bool mute; /* answers nothing */
};

/* What a name gets, told by its first label. */
static bool has_a(const char *name)
{
    return strncmp(name, "both", 4) == 0 || strncmp(name, "four", 4) == 0 ||
           strncmp(name, "slow", 4) == 0;
}

static size_t put_record(uint8_t *p, uint16_t type, uint32_t ttl, const uint8_t *data, uint16_t len)
{
    put_be16(p, 0xc00c); /* the question's name */
    put_be16(p + 2, type);
    put_be16(p + 4, 1);
    put_be32(p + 6, ttl);
    put_be16(p + 10, len);
    memcpy(p + 12, data, len);
    return 12u + len;
}

static size_t put_answers(uint8_t *p, const char *name, uint16_t type)
{
    static const uint8_t ip4[2][4] = {{192, 0, 2, 1}, {192, 0, 2, 2}};
    static const uint8_t ip6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
    size_t n = 0;

    if (type == TYPE_A && has_a(name)) {
        n += put_record(p, type, 60, ip4[0], 4);
        n += put_record(p + n, type, 60, ip4[1], 4);
    } else if (type == TYPE_AAAA && strncmp(name, "both", 4) == 0) {
        n += put_record(p, type, 0, ip6, 16);
    }
    return n;
}

static void on_query(struct watch *w, uint32_t events)
{
    struct server *sv = LIST_ENTRY(w, struct server, watch);
    union sockaddr_any from;
    socklen_t from_len = sizeof(from);
    uint8_t q[1024];
    char name[256] = "";
    ssize_t n = recvfrom(w->fd, q, 512, 0, &from.any, &from_len);

    (void)events;
    if (n < 12)
        return;
    size_t at = 12, out = 0;
    while (at < (size_t)n && q[at] != 0) {
        memcpy(name + out, q + at + 1, q[at]);
        out += q[at];
        name[out++] = '.';
        at += q[at] + 1u;
    }
    uint16_t type = get_be16(q + at + 1);
    sv->queries++;
    sv->asked_a += type == TYPE_A;
    sv->asked_aaaa += type == TYPE_AAAA;
    if (sv->mute || (type == TYPE_AAAA && strncmp(name, "slow", 4) == 0))
        return;
    bool none = strncmp(name, "nx", 2) == 0;
    bool broken = strncmp(name, "broken", 6) == 0;
    at += 5;
    size_t len = put_answers(q + at, name, type);
    put_be16(q + 2, (uint16_t)(0x8180 | (none ? 3 : broken ? 2 : 0)));
    put_be16(q + 6, (uint16_t)(len == 0 ? 0 : type == TYPE_A ? 2 : 1));
    put_be16(q + 8, 0);
    put_be16(q + 10, 0);
    if (sendto(w->fd, q, at + len, 0, &from.any, from_len) < 0)
        fail_msg("the test's name server cannot answer");
}

struct bench {
    struct loop *loop;
    struct resolver *resolver;
    struct server server;
};

static void open_bench(struct bench *b)
{
    const struct addr any_port = {.family = ADDR_IP4, .ip = {127, 0, 0, 1}};
    union sockaddr_any sa;
    struct addr local;
    char servers[ADDR_STRLEN];
    const int room = 4 << 20;

    memset(b, 0, sizeof(*b));
    b->loop = loop_new();
    assert_non_null(b->loop);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    socklen_t len = sockaddr_from_addr(&sa, &any_port);
    assert_int_equal(bind(fd, &sa.any, len), 0);
    sockaddr_local(fd, &local);
    assert_int_equal(loop_watch_add(b->loop, &b->server.watch, fd, LOOP_IN, on_query), ST_OK);
    assert_int_equal(resolver_new(b->loop, addr_str(&local, servers), &b->resolver), ST_OK);
}

static void close_bench(struct bench *b)
{
    int fd = b->server.watch.fd;

    resolver_free(b->resolver);
    loop_watch_del(b->loop, &b->server.watch);
    close(fd);
    loop_free(b->loop);
}

/* ---- asking ---------------------------------------------------------------------------------- */

struct ask {
    struct resolve_req req;
    struct resolve_answer answer;
    unsigned calls;
    struct ask *then_cancel; /* by its callback */
};

static void on_answer(struct resolve_req *req, const struct resolve_answer *answer)
{
    struct ask *a = LIST_ENTRY(req, struct ask, req);

    a->answer = *answer;
    a->calls++;
    if (a->then_cancel != NULL)
        resolve_cancel(&a->then_cancel->req);
}

static enum status ask(struct bench *b, struct ask *a, const char *name, enum resolve_want want)
{
    memset(&a->req, 0, sizeof(a->req));
    a->calls = 0;
    return resolver_get(b->resolver, name, want, &a->req, on_answer, &a->answer);
}

static void run_until(struct bench *b, const unsigned *count, unsigned want)
{
    for (unsigned i = 0; i < ROUNDS && *count < want; i++)
        loop_once(b->loop, 1000);
    assert_int_equal(*count, want);
}

static void wait_answer(struct bench *b, struct ask *a)
{
    run_until(b, &a->calls, 1);
    assert_null(a->req.r);
}

static void assert_addr(const struct addr *a, const char *text)
{
    char got[ADDR_STRLEN];
    assert_string_equal(addr_ip_str(a, got), text);
    assert_int_equal(a->port, 0);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void asks_once_and_remembers(void **state)
{
    struct bench b;
    struct ask a = {0};

    (void)state;
    open_bench(&b);
    assert_int_equal(ask(&b, &a, "both.test", RESOLVE_ANY), ST_MORE);
    assert_int_equal(a.calls, 0);
    wait_answer(&b, &a);
    assert_int_equal(a.answer.status, ST_OK);
    assert_int_equal(a.answer.count, 3);
    assert_addr(&a.answer.addrs[0], "2001:db8::7");
    assert_addr(&a.answer.addrs[1], "192.0.2.1");
    assert_addr(&a.answer.addrs[2], "192.0.2.2");
    /* TTL 0 still lives TTL_MIN; letter case is no difference. */
    assert_int_equal(ask(&b, &a, "BOTH.Test", RESOLVE_ANY), ST_OK);
    assert_int_equal(a.answer.count, 3);
    assert_int_equal(ask(&b, &a, "both.test", RESOLVE_IP4), ST_OK);
    assert_int_equal(a.answer.count, 2);
    assert_int_equal(ask(&b, &a, "both.test", RESOLVE_IP6), ST_OK);
    assert_int_equal(a.answer.count, 1);
    assert_int_equal(b.server.queries, 2);
    close_bench(&b);
}

static void asks_for_the_wanted_family_only(void **state)
{
    struct bench b;
    struct ask a = {0};

    (void)state;
    open_bench(&b);
    assert_int_equal(ask(&b, &a, "four.test", RESOLVE_IP4), ST_MORE);
    wait_answer(&b, &a);
    assert_int_equal(a.answer.count, 2);
    assert_int_equal(b.server.asked_aaaa, 0);
    assert_int_equal(ask(&b, &a, "four.test", RESOLVE_IP6), ST_MORE);
    wait_answer(&b, &a);
    assert_int_equal(a.answer.status, ST_E_NOTFOUND);
    assert_int_equal(b.server.asked_a, 1);
    close_bench(&b);
}

static void many_requests_share_one_lookup(void **state)
{
    struct bench b;
    struct ask a[10] = {0};

    (void)state;
    open_bench(&b);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(ask(&b, &a[i], "both.test", RESOLVE_ANY), ST_MORE);
    resolve_cancel(&a[3].req);
    a[0].then_cancel = &a[7];
    for (unsigned i = 0; i < 10; i++)
        if (i != 3 && i != 7)
            wait_answer(&b, &a[i]);
    assert_int_equal(a[3].calls, 0);
    assert_int_equal(a[7].calls, 0);
    assert_int_equal(b.server.queries, 2);
    close_bench(&b);
}

static void a_cancelled_lookup_still_fills_the_cache(void **state)
{
    struct bench b;
    struct ask a = {0};

    (void)state;
    open_bench(&b);
    assert_int_equal(ask(&b, &a, "four.test", RESOLVE_IP4), ST_MORE);
    resolve_cancel(&a.req);
    resolve_cancel(&a.req);
    run_until(&b, &b.server.queries, 1);
    for (unsigned i = 0; i < ROUNDS && ask(&b, &a, "four.test", RESOLVE_IP4) == ST_MORE; i++) {
        resolve_cancel(&a.req);
        loop_once(b.loop, 1000);
    }
    assert_int_equal(a.answer.count, 2);
    assert_int_equal(b.server.queries, 1);
    close_bench(&b);
}

static void failures_are_told_and_kept(void **state)
{
    struct bench b;
    struct ask a = {0};

    (void)state;
    open_bench(&b);
    assert_int_equal(ask(&b, &a, "nx.test", RESOLVE_ANY), ST_MORE);
    wait_answer(&b, &a);
    assert_int_equal(a.answer.status, ST_E_NOTFOUND);
    assert_int_equal(a.answer.count, 0);
    assert_int_equal(ask(&b, &a, "nx.test", RESOLVE_ANY), ST_E_NOTFOUND);
    assert_int_equal(a.answer.status, ST_E_NOTFOUND);
    assert_int_equal(b.server.queries, 2);

    assert_int_equal(ask(&b, &a, "broken.test", RESOLVE_IP4), ST_MORE);
    wait_answer(&b, &a);
    assert_int_equal(a.answer.status, ST_E_IO);
    assert_int_equal(ask(&b, &a, "broken.test", RESOLVE_IP4), ST_E_IO);

    assert_int_equal(ask(&b, &a, "", RESOLVE_ANY), ST_E_NOTFOUND);
    close_bench(&b);
}

/* A server that drops AAAA queries must not hold up IPv4 (RFC 8305 section 3). */
static void one_silent_family_does_not_hold_up_the_other(void **state)
{
    struct bench b;
    struct ask a = {0};

    (void)state;
    open_bench(&b);
    assert_int_equal(ask(&b, &a, "slow.test", RESOLVE_ANY), ST_MORE);
    wait_answer(&b, &a);
    assert_int_equal(a.answer.status, ST_OK);
    assert_int_equal(a.answer.count, 2);
    /* While AAAA is still being asked, the next request waits as long and asks nothing again. */
    assert_int_equal(ask(&b, &a, "slow.test", RESOLVE_ANY), ST_MORE);
    wait_answer(&b, &a);
    assert_int_equal(a.answer.count, 2);
    assert_int_equal(b.server.asked_a, 1);
    close_bench(&b);
}

static void numbers_are_no_names(void **state)
{
    static const char *const names[] = {"127.1",           "2130706433", "0177.0.0.1",
                                        "127.000.000.001", "127.0.0.1.", "a.example.5",
                                        "0x7f.0.0.1"};
    struct bench b;
    struct ask a = {0};

    (void)state;
    open_bench(&b);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(ask(&b, &a, names[i], RESOLVE_ANY), ST_E_NOTFOUND);
    assert_int_equal(b.server.queries, 0);
    if (ask(&b, &a, "127.0.0.1", RESOLVE_IP4) == ST_MORE) /* as callers may ask */
        wait_answer(&b, &a);
    assert_int_equal(a.answer.status, ST_OK);
    assert_addr(&a.answer.addrs[0], "127.0.0.1");
    assert_string_equal(a.answer.name, "127.0.0.1");
    close_bench(&b);
}

static void localhost_never_leaves_the_host(void **state)
{
    static const char *const names[] = {"localhost", "LocalHost", "a.localhost", "localhost."};
    struct bench b;
    struct ask a = {0};

    (void)state;
    open_bench(&b);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(ask(&b, &a, names[i], RESOLVE_ANY), ST_OK);
        assert_int_equal(a.answer.count, 2);
        assert_addr(&a.answer.addrs[0], "::1");
        assert_addr(&a.answer.addrs[1], "127.0.0.1");
    }
    assert_int_equal(ask(&b, &a, "localhost", RESOLVE_IP4), ST_OK);
    assert_int_equal(a.answer.count, 1);
    assert_int_equal(ask(&b, &a, "notlocalhost", RESOLVE_IP4), ST_MORE);
    wait_answer(&b, &a);
    assert_int_equal(b.server.queries, 1);
    close_bench(&b);
}

static void lookups_under_way_are_capped(void **state)
{
    static struct ask a[RESOLVER_FLIGHT_MAX + 1];
    struct bench b;

    (void)state;
    open_bench(&b);
    b.server.mute = true;
    for (unsigned i = 0; i <= RESOLVER_FLIGHT_MAX; i++) {
        char name[32];
        snprintf(name, sizeof(name), "four%u.test", i);
        assert_int_equal(ask(&b, &a[i], name, RESOLVE_IP4),
                         i < RESOLVER_FLIGHT_MAX ? ST_MORE : ST_E_LIMIT);
    }
    assert_int_equal(a[RESOLVER_FLIGHT_MAX].answer.status, ST_E_LIMIT);
    /* Those that share a lookup are not refused. */
    assert_int_equal(ask(&b, &a[RESOLVER_FLIGHT_MAX], "four0.test", RESOLVE_IP4), ST_MORE);
    close_bench(&b); /* with all of them waiting */
    for (unsigned i = 0; i <= RESOLVER_FLIGHT_MAX; i++)
        assert_int_equal(a[i].calls, 0);
}

static void the_cache_is_capped_and_forgets_the_oldest(void **state)
{
    struct bench b;
    struct ask a = {0};
    char name[32];

    (void)state;
    open_bench(&b);
    for (unsigned i = 0; i <= RESOLVER_NAMES_MAX; i++) {
        snprintf(name, sizeof(name), "four%u.test", i);
        assert_int_equal(ask(&b, &a, name, RESOLVE_IP4), ST_MORE);
        wait_answer(&b, &a);
        assert_int_equal(ask(&b, &a, "four0.test", RESOLVE_IP4), ST_OK); /* stays in use */
    }
    assert_int_equal(b.server.queries, RESOLVER_NAMES_MAX + 1);
    assert_int_equal(ask(&b, &a, "four2.test", RESOLVE_IP4), ST_OK);
    assert_int_equal(ask(&b, &a, "four1.test", RESOLVE_IP4), ST_MORE);
    wait_answer(&b, &a);
    close_bench(&b);
}

static void unusable_servers_are_refused(void **state)
{
    struct loop *l = loop_new();
    struct resolver *r;

    (void)state;
    assert_non_null(l);
    assert_int_equal(resolver_new(l, "not an address", &r), ST_E_CONFIG);
    assert_null(r);
    resolver_free(NULL);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_once_and_remembers),
        cmocka_unit_test(asks_for_the_wanted_family_only),
        cmocka_unit_test(many_requests_share_one_lookup),
        cmocka_unit_test(a_cancelled_lookup_still_fills_the_cache),
        cmocka_unit_test(failures_are_told_and_kept),
        cmocka_unit_test(one_silent_family_does_not_hold_up_the_other),
        cmocka_unit_test(numbers_are_no_names),
        cmocka_unit_test(localhost_never_leaves_the_host),
        cmocka_unit_test(lookups_under_way_are_capped),
        cmocka_unit_test(the_cache_is_capped_and_forgets_the_oldest),
        cmocka_unit_test(unusable_servers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
