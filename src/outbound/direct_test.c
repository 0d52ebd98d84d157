#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/frame.h"
#include "io/sockaddr.h"
#include "outbound/block.h"
#include "outbound/direct.h"
#include "outbound/udp_names.h"

#define ROUNDS 20000

struct bench {
    struct loop *loop;
    struct pool *pool;
    struct direct_env env;
};

static int bound(int type, struct addr *at)
{
    union sockaddr_any sa;
    int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);

    *at = (struct addr){.family = ADDR_IP4, .ip = {127, 0, 0, 1}};
    socklen_t len = sockaddr_from_addr(&sa, at);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &sa.any, len), 0);
    sockaddr_local(fd, at);
    return fd;
}

static void open_bench(struct bench *b)
{
    struct addr nobody;
    char servers[ADDR_STRLEN];

    memset(b, 0, sizeof(*b));
    b->loop = loop_new();
    b->pool = pool_new(0);
    assert_non_null(b->loop);
    b->env.loop = b->loop;
    b->env.pool = b->pool;
    assert_int_equal(udp_batch_new(b->pool, &b->env.batch), ST_OK);
    /* A name server that is not there: refused at once. */
    close(bound(SOCK_DGRAM, &nobody));
    assert_int_equal(resolver_new(b->loop, addr_str(&nobody, servers), &b->env.resolver), ST_OK);
}

static void close_bench(struct bench *b)
{
    resolver_free(b->env.resolver);
    udp_batch_free(b->env.batch);
    loop_once(b->loop, 0);
    loop_free(b->loop);
    assert_int_equal(pool_used(b->pool), 0);
    pool_free(b->pool);
}

static struct target named(const char *host, uint16_t port)
{
    struct target t;
    assert_int_equal(target_set_host(&t, host, strlen(host), port), ST_OK);
    return t;
}

static struct target at(const struct addr *a)
{
    return (struct target){.addr = *a};
}

/* ---- TCP ------------------------------------------------------------------------------------- */

struct call {
    struct direct_dial dial;
    struct direct_result res;
    unsigned calls;
};

static void on_dialed(struct direct_dial *h, const struct direct_result *res)
{
    struct call *c = LIST_ENTRY(h, struct call, dial);
    c->calls++;
    c->res = *res;
}

static enum status dial(struct bench *b, struct call *c, const struct direct_conf *conf,
                        struct target t)
{
    memset(c, 0, sizeof(*c));
    enum status st = direct_dial_start(&c->dial, &b->env, conf, &t, on_dialed, &c->res);
    if (st != ST_MORE) {
        assert_int_equal(st, c->res.status);
        assert_null(c->dial.busy);
    }
    return st;
}

static void wait_call(struct bench *b, struct call *c)
{
    for (unsigned i = 0; i < ROUNDS && c->calls == 0; i++)
        loop_once(b->loop, 1000);
    assert_int_equal(c->calls, 1);
    assert_null(c->dial.busy);
}

static void assert_connects(struct call *c, int listener)
{
    struct pollfd p = {.fd = c->res.fd, .events = POLLOUT};
    int err = 0;
    socklen_t len = sizeof(err);

    assert_int_equal(c->res.status, ST_OK);
    assert_null(c->res.why.text);
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(getsockopt(c->res.fd, SOL_SOCKET, SO_ERROR, &err, &len), 0);
    assert_int_equal(err, 0);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    close(fd);
    close(c->res.fd);
}

static void an_ip_target_is_dialed_at_once(void **state)
{
    const struct direct_conf conf = {.allow_private = true};
    struct bench b;
    struct call c;
    struct addr to;

    (void)state;
    open_bench(&b);
    int listener = bound(SOCK_STREAM, &to);
    assert_int_equal(listen(listener, 4), 0);
    size_t before = pool_used(b.pool);
    assert_int_equal(dial(&b, &c, &conf, at(&to)), ST_OK);
    assert_int_equal(pool_used(b.pool), before);
    assert_true(addr_equal(&c.res.addr, &to));
    assert_connects(&c, listener);
    direct_dial_cancel(&c.dial);
    close(listener);
    close_bench(&b);
}

static void a_name_is_resolved_and_raced(void **state)
{
    static const enum view_ip_strategy strategies[] = {VIEW_IP_ANY, VIEW_IP_V4_FIRST,
                                                       VIEW_IP_V6_FIRST, VIEW_IP_V4_ONLY};
    struct bench b;
    struct call c;
    struct addr to;

    (void)state;
    open_bench(&b);
    int listener = bound(SOCK_STREAM, &to);
    assert_int_equal(listen(listener, 4), 0);
    for (unsigned i = 0; i < 4; i++) {
        const struct direct_conf conf = {.allow_private = true, .ip_strategy = strategies[i]};
        enum status st = dial(&b, &c, &conf, named("localhost", to.port));
        if (st == ST_MORE)
            wait_call(&b, &c);
        assert_true(addr_equal(&c.res.addr, &to)); /* nobody listens on ::1 */
        assert_connects(&c, listener);
    }
    close(listener);
    close_bench(&b);
}

static void private_addresses_are_refused_however_they_are_named(void **state)
{
    static const char *const hosts[] = {
        "localhost", "127.0.0.1",        "[::1]",      "10.1.2.3",   "0.0.0.0", "169.254.169.254",
        "fd00::1",   "::ffff:127.0.0.1", "100.64.0.1", "a.localhost"};
    const struct direct_conf conf = {.allow_private = false};
    struct bench b;
    struct call c;

    (void)state;
    open_bench(&b);
    for (unsigned i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        assert_int_equal(dial(&b, &c, &conf, named(hosts[i], 80)), ST_E_REFUSED);
        assert_string_equal(c.res.why.text, "private address");
        assert_int_equal(c.res.fd, -1);
    }
    close_bench(&b);
}

static void what_cannot_be_dialed_tells_why(void **state)
{
    const struct direct_conf any = {.allow_private = true};
    const struct direct_conf only6 = {.allow_private = true,
                                      .ip_strategy = VIEW_IP_V4_ONLY,
                                      .send_ip6 = {.family = ADDR_IP6, .ip = {[15] = 1}}};
    struct bench b;
    struct call c;

    (void)state;
    open_bench(&b);
    assert_int_equal(dial(&b, &c, &any, named("localhost", 0)), ST_E_REFUSED);
    assert_int_equal(dial(&b, &c, &only6, named("localhost", 80)), ST_E_REFUSED);
    assert_int_equal(dial(&b, &c, &only6, named("127.0.0.1", 80)), ST_E_REFUSED);
    assert_non_null(c.res.why.text);

    enum status st = dial(&b, &c, &any, named("name.test", 80));
    if (st == ST_MORE)
        wait_call(&b, &c);
    assert_int_equal(c.res.status, ST_E_IO);
    assert_string_equal(c.res.why.text, "name server failure");

    pool_fail_after(b.pool, 1, false);
    assert_int_equal(dial(&b, &c, &any, named("localhost", 80)), ST_E_NOMEM);
    close_bench(&b);
}

static void a_cancelled_dial_is_silent(void **state)
{
    const struct direct_conf any = {.allow_private = true};
    struct bench b;
    struct call c;
    struct addr to;

    (void)state;
    open_bench(&b);
    int mute = bound(SOCK_DGRAM, &to); /* a name server that never answers */
    char servers[ADDR_STRLEN];
    resolver_free(b.env.resolver);
    assert_int_equal(resolver_new(b.loop, addr_str(&to, servers), &b.env.resolver), ST_OK);
    assert_int_equal(dial(&b, &c, &any, named("name.test", 80)), ST_MORE);
    loop_once(b.loop, 0);
    direct_dial_cancel(&c.dial);
    assert_null(c.dial.busy);
    loop_once(b.loop, 0);
    assert_int_equal(c.calls, 0);
    close_bench(&b);
    close(mute);
}

static void a_node_says_how_to_go_out(void **state)
{
    struct view_node node = {.ip_strategy = VIEW_IP_V4_FIRST, .tfo = true};
    struct direct_conf conf;

    (void)state;
    node.send_ip4 = (struct addr){.family = ADDR_IP4}; /* 0.0.0.0 means any */
    node.send_ip6 = (struct addr){.family = ADDR_IP6, .ip = {0x20, 0x01}};
    direct_conf_of(&conf, &node);
    assert_int_equal(conf.send_ip4.family, ADDR_NONE);
    assert_int_equal(conf.send_ip6.family, ADDR_IP6);
    assert_int_equal(conf.ip_strategy, VIEW_IP_V4_FIRST);
    assert_true(conf.tfo);
    assert_false(conf.allow_private);
}

static void blocked_is_refused(void **state)
{
    struct why why = {0};

    (void)state;
    assert_int_equal(block_dial(&why), ST_E_REFUSED);
    assert_non_null(why.text);
}

/* ---- who has the last word on a name --------------------------------------------------------- */

struct gate {
    bool open;
    unsigned asked;
    char name[64];
    uint16_t port;
    size_t count;
};

static bool at_the_gate(void *arg, const struct resolve_answer *answer, uint16_t port)
{
    struct gate *g = arg;

    g->asked++;
    snprintf(g->name, sizeof(g->name), "%s", answer->name);
    g->port = port;
    g->count = answer->count;
    return g->open;
}

static void a_name_that_is_not_allowed_is_not_dialed(void **state)
{
    struct gate g = {.open = false};
    struct direct_conf conf = {.allow_private = true, .allow = at_the_gate, .allow_arg = &g};
    struct bench b;
    struct call c;
    struct addr to;

    (void)state;
    open_bench(&b);
    int listener = bound(SOCK_STREAM, &to);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(dial(&b, &c, &conf, named("localhost", to.port)), ST_E_REFUSED);
    assert_null(c.res.why.text);
    assert_int_equal(g.asked, 1);
    assert_string_equal(g.name, "localhost");
    assert_int_equal(g.port, to.port);
    assert_int_equal(g.count, 2); /* all there are, those of the other family too */
    conf.allow_private = false;   /* it comes first */
    assert_int_equal(dial(&b, &c, &conf, named("localhost", to.port)), ST_E_REFUSED);
    assert_null(c.res.why.text);
    assert_int_equal(accept(listener, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    g.open = true;
    assert_int_equal(dial(&b, &c, &conf, named("localhost", to.port)), ST_E_REFUSED);
    assert_string_equal(c.res.why.text, "private address");
    assert_int_equal(g.asked, 3);
    conf.allow_private = true; /* an address is nobody's name, and no answer none */
    assert_int_equal(dial(&b, &c, &conf, at(&to)), ST_OK);
    assert_connects(&c, listener);
    if (dial(&b, &c, &conf, named("name.test", 80)) == ST_MORE)
        wait_call(&b, &c);
    assert_int_equal(c.res.status, ST_E_IO);
    assert_int_equal(g.asked, 3);
    close(listener);
    close_bench(&b);
}

/* Spellings of addresses that some resolvers take: to us no names, or judged by their answer. */
static void no_spelling_of_an_address_leads_past_the_gate(void **state)
{
    static const char *const hosts[] = {"127.1",      "2130706433",      "0x7f000001",
                                        "0177.0.0.1", "127.000.000.001", "127.0.0.1.",
                                        "0x7f.0.0.1", "localhost.",      "1.0.0.127.in-addr.arpa"};
    struct gate g = {.open = false};
    const struct direct_conf conf = {.allow_private = true, .allow = at_the_gate, .allow_arg = &g};
    struct bench b;
    struct call c;
    struct addr to;

    (void)state;
    open_bench(&b);
    int listener = bound(SOCK_STREAM, &to);
    assert_int_equal(listen(listener, 4), 0);
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        if (dial(&b, &c, &conf, named(hosts[i], to.port)) == ST_MORE)
            wait_call(&b, &c);
        assert_true(c.res.status < 0);
    }
    assert_int_equal(accept(listener, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    close(listener);
    close_bench(&b);
}

/* ---- UDP ------------------------------------------------------------------------------------- */

struct flow {
    struct bench *b;
    struct direct_udp *u;
    struct bufq out, in;
    uint64_t sent;
    uint32_t seen;
    bool close_in_fn;
};

static void on_udp(void *arg, uint32_t events, const struct why *why)
{
    struct flow *f = arg;
    f->seen |= events;
    if (events & DIRECT_UDP_FAILED)
        assert_non_null(why->text);
    if (f->close_in_fn) {
        direct_udp_close(f->u);
        f->u = NULL;
    }
}

static enum status open_flow(struct flow *f, struct bench *b, const struct direct_conf *conf,
                             const struct target *t)
{
    struct why why = {0};
    memset(f, 0, sizeof(*f));
    f->b = b;
    bufq_init(&f->out, 64 * 1024);
    bufq_init(&f->in, 64 * 1024);
    enum status st = direct_udp_open(&b->env, conf, t, f, on_udp, &f->u, &why);
    assert_int_equal(st < 0, why.text != NULL);
    return st;
}

static enum status send_out(struct flow *f)
{
    uint64_t sent;
    enum status st = direct_udp_send(f->u, &f->out, &sent);
    f->sent += sent;
    return st;
}

static void close_flow(struct flow *f)
{
    bufq_clear(&f->out, f->b->pool);
    bufq_clear(&f->in, f->b->pool);
    direct_udp_close(f->u);
}

static void put(struct flow *f, char c, const struct addr *peer)
{
    struct span *s = span_new_small(f->b->pool);
    assert_non_null(s);
    span_data(s)[0] = (uint8_t)c;
    s->len = 1;
    if (peer != NULL)
        s->peer = *peer;
    bufq_push(&f->out, s);
}

/* Receives one datagram on a plain socket; returns its source. */
static struct addr take(int fd, char want)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    union sockaddr_any sa;
    socklen_t len = sizeof(sa);
    char c = 0;
    struct addr from;

    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(recvfrom(fd, &c, 1, 0, &sa.any, &len), 1);
    assert_int_equal(c, want);
    sockaddr_to_addr(&from, &sa.any, len);
    return from;
}

static void throw_at(int fd, char c, const struct addr *to)
{
    union sockaddr_any sa;
    struct addr loop4 = {.family = ADDR_IP4, .port = to->port, .ip = {127, 0, 0, 1}};
    socklen_t len = sockaddr_from_addr(&sa, &loop4);
    assert_int_equal(sendto(fd, &c, 1, 0, &sa.any, len), 1);
}

static void wait_in(struct flow *f, unsigned count)
{
    for (unsigned i = 0; i < ROUNDS && f->in.count < count; i++) {
        loop_once(f->b->loop, 1000);
        assert_true(direct_udp_recv(f->u, &f->in) >= 0);
    }
    assert_int_equal(f->in.count, count);
}

static void a_flow_is_full_cone(void **state)
{
    struct direct_conf conf = {.allow_private = true};
    struct bench b;
    struct flow f;
    struct addr at1, at2, at3, from1, from2;

    (void)state;
    for (int with_source = 0; with_source < 2; with_source++) {
        open_bench(&b);
        int one = bound(SOCK_DGRAM, &at1), two = bound(SOCK_DGRAM, &at2);
        int three = bound(SOCK_DGRAM, &at3);
        const struct target t = at(&at1);
        if (with_source)
            conf.send_ip4 = (struct addr){.family = ADDR_IP4, .ip = {127, 0, 0, 1}};
        assert_int_equal(open_flow(&f, &b, &conf, &t), ST_OK);
        put(&f, 'a', NULL);
        put(&f, 'b', &at2);
        assert_int_equal(send_out(&f), ST_OK);
        from1 = take(one, 'a');
        from2 = take(two, 'b');
        assert_int_equal(from1.port, from2.port);
        throw_at(one, 'c', &from1);
        throw_at(three, 'd', &from1); /* a stranger */
        wait_in(&f, 2);
        assert_true(addr_equal(&f.in.head->peer, &at1));
        assert_true(addr_equal(&f.in.tail->peer, &at3));
        assert_true(f.seen & DIRECT_UDP_READABLE);
        close_flow(&f);
        close(one);
        close(two);
        close(three);
        close_bench(&b);
    }
}

static void private_destinations_are_dropped_one_by_one(void **state)
{
    const struct addr doc = {.family = ADDR_IP4, .port = 9, .ip = {8, 8, 8, 8}};
    const struct direct_conf conf = {.allow_private = false};
    struct bench b;
    struct flow f;
    struct addr at1;

    (void)state;
    open_bench(&b);
    int one = bound(SOCK_DGRAM, &at1);
    struct target t = at(&at1);
    assert_int_equal(open_flow(&f, &b, &conf, &t), ST_E_REFUSED);
    t = named("localhost", at1.port);
    assert_int_equal(open_flow(&f, &b, &conf, &t), ST_E_REFUSED);
    t = at(&doc); /* nothing is sent there */
    assert_int_equal(open_flow(&f, &b, &conf, &t), ST_OK);
    put(&f, 'a', &at1);
    put(&f, 'b', &at1);
    assert_int_equal(send_out(&f), ST_OK);
    assert_int_equal(direct_udp_dropped(f.u), 2);
    assert_int_equal(f.sent, 0);
    char c;
    assert_int_equal(recv(one, &c, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    close_flow(&f);
    close(one);
    close_bench(&b);
}

static void a_named_target_is_pinned(void **state)
{
    const struct direct_conf conf = {.allow_private = true};
    struct bench b;
    struct flow f;
    struct addr at1;

    (void)state;
    open_bench(&b);
    int one = bound(SOCK_DGRAM, &at1);
    const struct target t = named("localhost", at1.port);
    assert_int_equal(open_flow(&f, &b, &conf, &t), ST_OK);
    put(&f, 'a', NULL);
    assert_int_equal(send_out(&f), ST_OK);
    throw_at(one, 'b', &(struct addr){.port = take(one, 'a').port});
    wait_in(&f, 1);
    close_flow(&f);
    close(one);
    close_bench(&b);
}

static void datagrams_wait_for_the_name_and_learn_of_its_failure(void **state)
{
    const struct direct_conf conf = {.allow_private = true};
    struct bench b;
    struct flow f;
    struct addr at1, server;
    char servers[ADDR_STRLEN];

    (void)state;
    open_bench(&b);
    int one = bound(SOCK_DGRAM, &at1), mute = bound(SOCK_DGRAM, &server);
    resolver_free(b.env.resolver);
    assert_int_equal(resolver_new(b.loop, addr_str(&server, servers), &b.env.resolver), ST_OK);
    const struct target t = named("name.test", 53);
    assert_int_equal(open_flow(&f, &b, &conf, &t), ST_OK);
    put(&f, 'a', &at1); /* knows where to go */
    put(&f, 'b', NULL);
    put(&f, 'c', &at1); /* behind the one that waits */
    assert_int_equal(send_out(&f), ST_MORE);
    assert_int_equal(f.out.count, 2);
    (void)take(one, 'a');
    /* Then the server says that there is no such name. */
    for (unsigned i = 0; i < ROUNDS && !(f.seen & DIRECT_UDP_FAILED); i++) {
        uint8_t q[512];
        union sockaddr_any sa;
        socklen_t len = sizeof(sa);
        ssize_t n;
        loop_once(b.loop, 10);
        while ((n = recvfrom(mute, q, sizeof(q), 0, &sa.any, &len)) > 2) {
            q[2] |= 0x80;
            q[3] = (uint8_t)((q[3] & 0xf0) | 3); /* no such name */
            assert_true(sendto(mute, q, (size_t)n, 0, &sa.any, len) == n);
            len = sizeof(sa);
        }
    }
    assert_true(f.seen & DIRECT_UDP_FAILED);
    assert_int_equal(send_out(&f), ST_E_NOTFOUND);
    close_flow(&f);
    close(one);
    close(mute);
    close_bench(&b);
}

static void put_named(struct flow *f, char c, const char *host, uint16_t port)
{
    const struct target t = named(host, port);
    struct span *s = span_new_small(f->b->pool);
    assert_non_null(s);
    s->len = 1;
    *span_data(s) = (uint8_t)c;
    s = frame_set_target(f->b->pool, s, &t);
    assert_non_null(s);
    bufq_push(&f->out, s);
}

static void each_datagram_may_go_to_a_name_of_its_own(void **state)
{
    struct bench b;
    struct flow f;
    struct addr at1, at2;
    char host[32];

    (void)state;
    for (int private = 0; private < 2; private ++) {
        const struct direct_conf conf = {.allow_private = private == 0};
        open_bench(&b);
        int one = bound(SOCK_DGRAM, &at1), two = bound(SOCK_DGRAM, &at2);
        assert_int_equal(open_flow(&f, &b, &conf, NULL), ST_OK);
        /* More names than a flow keeps: an unused one makes room. */
        for (int i = 0; i < 2 * UDP_NAMES_MAX; i++) {
            snprintf(host, sizeof(host), "n%d.localhost", i);
            put_named(&f, 'a', host, at1.port);
        }
        put_named(&f, 'b', "localhost", at2.port);
        assert_int_equal(send_out(&f), ST_OK);
        assert_int_equal(f.out.bytes, 0);
        if (private) {
            assert_int_equal(direct_udp_dropped(f.u), 2 * UDP_NAMES_MAX + 1);
        } else {
            for (int i = 0; i < 2 * UDP_NAMES_MAX; i++)
                (void)take(one, 'a');
            (void)take(two, 'b');
        }
        close_flow(&f);
        close(one);
        close(two);
        close_bench(&b);
    }
}

/* A name server on @mute: says 127.0.0.1 for "there.test", no such name for all others. */
static void answer_names(struct bench *b, struct flow *f, int mute)
{
    static const uint8_t loopback[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1};
    uint8_t q[512];
    union sockaddr_any sa;
    socklen_t len = sizeof(sa);
    ssize_t n;

    for (unsigned i = 0; i < ROUNDS && !(f->seen & DIRECT_UDP_WRITABLE); i++) {
        loop_once(b->loop, 10);
        while ((n = recvfrom(mute, q, sizeof(q) - sizeof(loopback), 0, &sa.any, &len)) > 12) {
            bool there = q[13] == 't', a = q[25] == 1;
            q[2] |= 0x80;
            q[3] = (uint8_t)((q[3] & 0xf0) | (there ? 0 : 3));
            q[11] = 0;       /* no additional records */
            n = 12 + 12 + 4; /* head, name, type and class */
            if (there && a) {
                q[7] = 1;
                memcpy(q + n, loopback, sizeof(loopback));
                n += (ssize_t)sizeof(loopback);
            }
            assert_true(sendto(mute, q, (size_t)n, 0, &sa.any, len) == n);
            len = sizeof(sa);
        }
    }
}

static void datagrams_wait_for_their_own_name_alone(void **state)
{
    const struct direct_conf conf = {.allow_private = true};
    struct bench b;
    struct flow f;
    struct addr at1, server;
    char servers[ADDR_STRLEN];

    (void)state;
    open_bench(&b);
    int one = bound(SOCK_DGRAM, &at1), mute = bound(SOCK_DGRAM, &server);
    resolver_free(b.env.resolver);
    assert_int_equal(resolver_new(b.loop, addr_str(&server, servers), &b.env.resolver), ST_OK);
    assert_int_equal(open_flow(&f, &b, &conf, NULL), ST_OK);
    put_named(&f, 'a', "there.test", at1.port);
    put_named(&f, 'x', "other.test", at1.port);
    put(&f, 'b', &at1); /* nobody waits for somebody else's name */
    assert_int_equal(send_out(&f), ST_OK);
    (void)take(one, 'b');
    /* What waits for one name is bounded. */
    for (unsigned i = 0; i < 2 * UDP_NAMES_WAITING; i++)
        put_named(&f, 'y', "other.test", at1.port);
    assert_int_equal(send_out(&f), ST_OK);
    assert_true(direct_udp_dropped(f.u) > UDP_NAMES_WAITING);
    f.seen = 0;
    loop_once(b.loop, 0);
    f.seen = 0; /* the fresh socket's own edge */
    answer_names(&b, &f, mute);
    assert_true(f.seen & DIRECT_UDP_WRITABLE);
    f.sent = 0;
    assert_int_equal(send_out(&f), ST_OK);
    (void)take(one, 'a');
    assert_int_equal(f.sent, 1);
    close_flow(&f); /* with a lookup under way, perhaps */
    close(one);
    close(mute);
    close_bench(&b);
}

static void datagrams_to_a_name_that_is_not_allowed_are_dropped(void **state)
{
    struct gate g = {.open = false};
    const struct direct_conf conf = {.allow_private = true, .allow = at_the_gate, .allow_arg = &g};
    struct bench b;
    struct flow f;
    struct addr at1;
    struct why why = {0};

    (void)state;
    open_bench(&b);
    int one = bound(SOCK_DGRAM, &at1);
    const struct target t = named("localhost", at1.port);
    memset(&f, 0, sizeof(f));
    assert_int_equal(direct_udp_open(&b.env, &conf, &t, &f, on_udp, &f.u, &why), ST_E_REFUSED);
    assert_int_equal(why.status, ST_E_REFUSED);
    assert_null(why.text);
    assert_int_equal(open_flow(&f, &b, &conf, NULL), ST_OK);
    put_named(&f, 'a', "localhost", at1.port);
    put_named(&f, 'b', "localhost", 9);
    put(&f, 'c', &at1);
    g.asked = 0;
    assert_int_equal(send_out(&f), ST_OK);
    (void)take(one, 'c');
    assert_int_equal(direct_udp_dropped(f.u), 2);
    assert_int_equal(f.sent, 1);
    assert_int_equal(g.asked, 1);
    assert_int_equal(g.port, at1.port);
    g.open = true;
    put_named(&f, 'd', "x.localhost", at1.port);
    assert_int_equal(send_out(&f), ST_OK);
    (void)take(one, 'd');
    assert_string_equal(g.name, "x.localhost");
    close_flow(&f);
    close(one);
    close_bench(&b);
}

static void a_flow_may_be_closed_by_its_own_event(void **state)
{
    const struct direct_conf conf = {.allow_private = true};
    struct bench b;
    struct flow f;

    (void)state;
    open_bench(&b);
    assert_int_equal(open_flow(&f, &b, &conf, NULL), ST_OK);
    f.close_in_fn = true;
    loop_once(b.loop, 1000); /* a fresh socket is writable */
    assert_null(f.u);
    close_flow(&f);
    pool_fail_after(b.pool, 1, false);
    assert_int_equal(open_flow(&f, &b, &conf, NULL), ST_E_NOMEM);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ip_target_is_dialed_at_once),
        cmocka_unit_test(a_name_is_resolved_and_raced),
        cmocka_unit_test(private_addresses_are_refused_however_they_are_named),
        cmocka_unit_test(what_cannot_be_dialed_tells_why),
        cmocka_unit_test(a_cancelled_dial_is_silent),
        cmocka_unit_test(a_node_says_how_to_go_out),
        cmocka_unit_test(blocked_is_refused),
        cmocka_unit_test(a_name_that_is_not_allowed_is_not_dialed),
        cmocka_unit_test(no_spelling_of_an_address_leads_past_the_gate),
        cmocka_unit_test(a_flow_is_full_cone),
        cmocka_unit_test(private_destinations_are_dropped_one_by_one),
        cmocka_unit_test(a_named_target_is_pinned),
        cmocka_unit_test(datagrams_wait_for_the_name_and_learn_of_its_failure),
        cmocka_unit_test(each_datagram_may_go_to_a_name_of_its_own),
        cmocka_unit_test(datagrams_wait_for_their_own_name_alone),
        cmocka_unit_test(datagrams_to_a_name_that_is_not_allowed_are_dropped),
        cmocka_unit_test(a_flow_may_be_closed_by_its_own_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
