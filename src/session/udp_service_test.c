/* A node's own UDP port against real sockets, with a protocol made for it: user 1, session 1,
 * tries 1 | port of the target 2 | payload; answers are session 1 | port of the source 2 | payload.
 * A new session is opened at the so-and-so-many-th try. */
#include "session/udp_service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "io/sockaddr.h"
#include "policy/audit_hits.h"
#include "policy/audit_list.h"
#include "session/test_plane.h"
#include "stream/packet.h"

#define HEAD 5u

struct toy_flow {
    bool known;
    uint8_t session, tries;
};

static struct bench *toy_bench;

static uint32_t toy_idle(const void *conf, bool dns)
{
    (void)conf;
    return dns ? 1000 : 60000;
}

static size_t toy_size(const void *conf)
{
    (void)conf;
    return sizeof(struct toy_flow);
}

static bool toy_same(const void *a, const void *b)
{
    return a == b;
}

static enum status toy_identify(const struct packet_env *e, struct span *s, struct packet *p)
{
    (void)e;
    if (s->len < HEAD)
        return ST_E_PROTO;
    p->key.len = 2;
    memcpy(p->key.bytes, span_data(s), 2);
    return ST_OK;
}

static enum status toy_open(const struct packet_env *e, void *flow, struct span *s,
                            struct packet *p)
{
    const uint8_t *data = span_data(s);
    struct toy_flow *f = flow;

    (void)e;
    if (!f->known && f->tries++ < data[2])
        return ST_YIELD;
    if (data[0] > 1)
        return ST_E_AUTH;
    if (!f->known)
        p->user = &toy_bench->users[data[0]];
    p->target = (struct target){
        .addr = {.family = ADDR_IP4, .port = get_be16(data + 3), .ip = {127, 0, 0, 1}}};
    f->known = true;
    f->session = data[1];
    s->off += HEAD;
    s->len -= HEAD;
    return ST_OK;
}

static struct span *toy_seal(const struct packet_env *e, void *flow, struct span *s)
{
    (void)e;
    s->off -= 3;
    s->len += 3;
    span_data(s)[0] = ((struct toy_flow *)flow)->session;
    put_be16(span_data(s) + 1, s->peer.port);
    return s;
}

static void toy_fini(void *flow, size_t size)
{
    memset(flow, 0, size);
}

static const struct packet_ops toy = {.idle_ms = toy_idle,
                                      .flow_size = toy_size,
                                      .same_conf = toy_same,
                                      .identify = toy_identify,
                                      .open = toy_open,
                                      .seal = toy_seal,
                                      .fini = toy_fini};

/* ---- sockets --------------------------------------------------------------------------------- */

static int udp_socket(uint16_t *port)
{
    const struct timeval patience = {.tv_sec = 20};
    const struct addr loopback = {.family = ADDR_IP4, .ip = {127, 0, 0, 1}};
    union sockaddr_any sa;
    struct addr at;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    socklen_t len = sockaddr_from_addr(&sa, &loopback);
    assert_int_equal(bind(fd, &sa.any, len), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    sockaddr_local(fd, &at);
    if (port != NULL)
        *port = at.port;
    return fd;
}

static void send_to(int fd, uint16_t port, const void *data, size_t n)
{
    const struct addr to = {.family = ADDR_IP4, .port = port, .ip = {127, 0, 0, 1}};
    union sockaddr_any sa;
    socklen_t len = sockaddr_from_addr(&sa, &to);

    assert_int_equal(sendto(fd, data, n, 0, &sa.any, len), n);
}

struct setup {
    struct bench *b;
    int client, target;
    uint16_t target_port;
};

static int open_setup(void **state)
{
    static struct setup s;

    s.b = toy_bench = bench_new(NULL);
    s.b->node.packets = &toy;
    bench_open(s.b);
    s.client = udp_socket(NULL);
    s.target = udp_socket(&s.target_port);
    *state = &s;
    return 0;
}

static int close_setup(void **state)
{
    struct setup *s = *state;

    close(s->client);
    close(s->target);
    bench_free(s->b);
    return 0;
}

static void ask(const struct setup *s, int client, uint8_t user, uint8_t session, uint8_t tries,
                const char *payload)
{
    uint8_t data[64] = {user, session, tries};

    put_be16(data + 3, s->target_port);
    memcpy(data + HEAD, payload, strlen(payload));
    send_to(client, s->b->port, data, HEAD + strlen(payload));
}

/* The next datagram at the target. Returns the port it came from. */
static uint16_t arrives(const struct setup *s, const char *payload)
{
    union sockaddr_any sa;
    socklen_t len = sizeof(sa);
    struct addr from;
    char got[64];
    ssize_t n = recvfrom(s->target, got, sizeof(got), 0, &sa.any, &len);

    assert_int_equal(n, strlen(payload));
    assert_memory_equal(got, payload, (size_t)n);
    sockaddr_to_addr(&from, &sa.any, len);
    return from.port;
}

static void answer(const struct setup *s, uint16_t to, const char *payload)
{
    send_to(s->target, to, payload, strlen(payload));
}

static void comes_back(const struct setup *s, int client, uint8_t session, const char *payload)
{
    uint8_t got[64];
    ssize_t n = recv(client, got, sizeof(got), 0);

    assert_int_equal(n, 3 + strlen(payload));
    assert_int_equal(got[0], session);
    assert_int_equal(get_be16(got + 1), s->target_port);
    assert_memory_equal(got + 3, payload, strlen(payload));
}

/* ---- */

static void serves_flows_and_counts_them(void **state)
{
    struct setup *s = *state;

    ask(s, s->client, 0, 1, 0, "one");
    ask(s, s->client, 1, 1, 0, "of another");
    uint16_t first = arrives(s, "one"), second = arrives(s, "of another");
    assert_int_not_equal(first, second);
    ask(s, s->client, 0, 1, 0, "two");
    assert_int_equal(arrives(s, "two"), first);
    answer(s, first, "answer");
    comes_back(s, s->client, 1, "answer");
    answer(s, first, "");
    comes_back(s, s->client, 1, "");
    bench_wait_open(s->b, 2);
    bench_settle(s->b);
    assert_int_equal(bench_counted(s->b, s->b->users[0].slot, true), 6);
    assert_int_equal(bench_counted(s->b, s->b->users[0].slot, false), 6);
    assert_int_equal(bench_counted(s->b, s->b->users[1].slot, true), 10);
    assert_int_equal(atomic_load(&s->b->users[0].sessions), 1);
}

/* Answers go to where the client was last. */
static void a_client_may_roam(void **state)
{
    struct setup *s = *state;
    int other = udp_socket(NULL);

    ask(s, s->client, 0, 1, 0, "here");
    uint16_t at = arrives(s, "here");
    ask(s, other, 0, 1, 0, "now here");
    assert_int_equal(arrives(s, "now here"), at);
    answer(s, at, "found");
    comes_back(s, other, 1, "found");
    close(other);
}

/* While one new session takes its time, others wait, and none is lost. */
static void searches_take_turns(void **state)
{
    struct setup *s = *state;
    char text[16];

    ask(s, s->client, 0, 100, 0, "known");
    (void)arrives(s, "known");
    for (uint8_t i = 0; i < 60; i++) {
        snprintf(text, sizeof(text), "s%u", i);
        ask(s, s->client, i % 7 == 6 ? 2 : 0, i, i % 3 == 0 ? 50 : 0, text);
    }
    for (uint8_t i = 0; i < 60; i++) {
        snprintf(text, sizeof(text), "s%u", i);
        if (i % 7 != 6) /* the others are nobody's */
            (void)arrives(s, text);
    }
    bench_wait_open(s->b, 1 + 52);
    assert_int_equal(bench_stats(s->b).rejected, 8);
}

static void what_is_no_datagram_of_ours_is_dropped(void **state)
{
    struct setup *s = *state;

    send_to(s->client, s->b->port, "", 0);
    send_to(s->client, s->b->port, "1234", 4);
    ask(s, s->client, 9, 1, 0, "nobody's");
    ask(s, s->client, 0, 1, 0, "mine");
    (void)arrives(s, "mine");
    bench_wait_open(s->b, 1);
}

static void a_removed_user_is_cut(void **state)
{
    struct setup *s = *state;
    struct user_rt *gone[] = {&s->b->users[1]};

    ask(s, s->client, 0, 1, 0, "stays");
    ask(s, s->client, 1, 1, 0, "goes");
    uint16_t stays = arrives(s, "stays");
    (void)arrives(s, "goes");
    bench_wait_open(s->b, 2);
    bench_publish(s->b, 1, gone, 1);
    bench_wait_open(s->b, 1);
    answer(s, stays, "still there");
    comes_back(s, s->client, 1, "still there");
    assert_int_equal(atomic_load(&s->b->users[1].sessions), 0);
}

static void flows_end_with_their_configuration(void **state)
{
    struct setup *s = *state;

    ask(s, s->client, 0, 1, 0, "before");
    uint16_t at = arrives(s, "before");
    bench_wait_open(s->b, 1);
    bench_change(s->b)->tag = "changed"; /* that is nothing to them */
    bench_open(s->b);
    bench_settle(s->b);
    ask(s, s->client, 0, 1, 0, "still");
    assert_int_equal(arrives(s, "still"), at);
    bench_change(s->b)->packets_conf = "another";
    bench_open(s->b);
    bench_wait_open(s->b, 0);
    ask(s, s->client, 0, 1, 0, "after");
    assert_int_not_equal(arrives(s, "after"), at);
    bench_wait_open(s->b, 1);
    /* a protocol without datagrams: the port is free again */
    bench_change(s->b)->packets = NULL;
    bench_open(s->b);
    bench_wait_open(s->b, 0);
    bench_settle(s->b);
    const struct addr port = {.family = ADDR_IP4, .port = s->b->port, .ip = {127, 0, 0, 1}};
    union sockaddr_any sa;
    socklen_t len = sockaddr_from_addr(&sa, &port);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, &sa.any, len), 0);
    close(fd);
}

static void a_node_goes_with_its_flows(void **state)
{
    struct setup *s = *state;

    ask(s, s->client, 0, 1, 0, "hello");
    (void)arrives(s, "hello");
    ask(s, s->client, 0, 2, 255, "not found yet");
    s->b->plane.remove(s->b->plane.self, 0, 60000);
    bench_pump_until(s->b, &s->b->gone);
    assert_int_equal(bench_stats(s->b).open, 0);
}

static void sources_are_told(void **state)
{
    struct setup *s = *state;

    ask(s, s->client, 0, 1, 0, "hello");
    (void)arrives(s, "hello");
    bench_settle(s->b);
    s->b->plane.collect_alive(s->b->plane.self, 0);
    bench_pump_until(s->b, &s->b->alive_told);
    assert_int_equal(s->b->alive_n, 1);
    assert_int_equal(s->b->alive[0].uid, s->b->users[0].uid);
    assert_int_equal(s->b->alive[0].bytes, 5);
}

/* ---- under block rules ----------------------------------------------------------------------- */

static void no_problem(void *arg, const struct audit_item *item, bool used, const char *problem)
{
    (void)arg;
    (void)used;
    fail_msg("%s: %s", item->text, problem);
}

static void block(const struct setup *s, struct audit *a, struct audit_hits *hits, const char *rule)
{
    const struct audit_item item = {.text = rule, .len = strlen(rule), .id = 1};
    struct audit_list *list;

    assert_int_equal(audit_list_build(s->b->arena, &item, 1, no_problem, NULL, &list), ST_OK);
    *a = (struct audit){.lists = {list}, .count = 1};
    struct view_node *n = bench_change(s->b);
    n->audit = a;
    n->audit_hits = hits;
    n->sniff = (struct view_sniff){.first_ms = 1, .whole_ms = 1};
    bench_open(s->b);
    bench_settle(s->b);
}

/* A flow that begins with what is blocked is none; one that comes to it ends. Others stay, and the
 * same client may begin anew. */
static void what_rules_block_is_not_forwarded(void **state)
{
    static const char ping[] = "d1:ad2:id20:abcdefghij1e1:q4:ping1:t2:aa1:y1:qe";
    struct setup *s = *state;
    struct audit_hits *hits = audit_hits_new();
    struct audit a;

    block(s, &a, hits, "protocol:bittorrent");
    ask(s, s->client, 0, 1, 0, ping);
    ask(s, s->client, 0, 2, 0, "other");
    uint16_t other = arrives(s, "other");
    bench_wait_open(s->b, 1);
    assert_int_equal(audit_hits_sum(hits).hits, 1);
    ask(s, s->client, 0, 1, 0, "first");
    uint16_t first = arrives(s, "first");
    bench_wait_open(s->b, 2);
    ask(s, s->client, 0, 1, 0, ping);
    bench_wait_open(s->b, 1);
    ask(s, s->client, 0, 1, 0, "anew");
    assert_int_not_equal(arrives(s, "anew"), first);
    ask(s, s->client, 0, 2, 0, "on");
    assert_int_equal(arrives(s, "on"), other);
    assert_int_equal(audit_hits_sum(hits).hits, 2);
    bench_wait_open(s->b, 2);
    bench_settle(s->b);
    assert_int_equal(bench_counted(s->b, s->b->users[0].slot, true), 5 + 5 + 4 + 2);
    audit_hits_free(hits);
}

static void a_blocked_port_gets_nothing(void **state)
{
    struct setup *s = *state, other = *s;
    struct audit_hits *hits = audit_hits_new();
    struct audit a;
    char rule[16];

    other.target = udp_socket(&other.target_port);
    snprintf(rule, sizeof(rule), "port:%u", other.target_port);
    block(s, &a, hits, rule);
    ask(&other, s->client, 0, 1, 0, "opens nothing");
    ask(s, s->client, 0, 1, 0, "opens");
    uint16_t at = arrives(s, "opens");
    for (unsigned i = 0; i < 3; i++)
        ask(&other, s->client, 0, 1, 0, "dropped");
    ask(s, s->client, 0, 1, 0, "goes on");
    assert_int_equal(arrives(s, "goes on"), at);
    bench_settle(s->b);
    assert_int_equal(audit_hits_sum(hits).hits, 2);
    assert_int_equal(bench_counted(s->b, s->b->users[0].slot, true), 5 + 7);
    char c;
    assert_int_equal(recv(other.target, &c, 1, MSG_DONTWAIT), -1);
    close(other.target);
    audit_hits_free(hits);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_setup, close_setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(serves_flows_and_counts_them),
        TEST(a_client_may_roam),
        TEST(searches_take_turns),
        TEST(what_is_no_datagram_of_ours_is_dropped),
        TEST(a_removed_user_is_cut),
        TEST(flows_end_with_their_configuration),
        TEST(a_node_goes_with_its_flows),
        TEST(sources_are_told),
        TEST(what_rules_block_is_not_forwarded),
        TEST(a_blocked_port_gets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
