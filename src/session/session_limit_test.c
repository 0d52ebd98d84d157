/* What a worker refuses or puts off: strangers, sessions beyond the bound, spent memory; and whom a
 * PROXY header names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "policy/user_devices.h"
#include "policy/user_live.h"
#include "session/test_plane.h"

static struct bench *open_bench(const struct bench_conf *conf)
{
    struct bench *b = bench_new(conf);
    bench_open(b);
    return b;
}

static void close_bench(struct bench *b)
{
    bench_wait_open(b, 0);
    assert_int_equal(bench_stats(b).handshaking, 0);
    bench_free(b);
}

static void strangers_of_one_source_are_bounded_and_users_do_not_count(void **state)
{
    (void)state;
    static const struct bench_conf one = {.workers = 1};
    struct bench *b = open_bench(&one);
    bench_change(b)->source_max = 3;
    bench_publish(b, 2, NULL, 0);
    bench_settle(b);
    int users[5], strangers[3], targets[5];
    for (int i = 0; i < 5; i++)
        users[i] = bench_pair(b, 0, &targets[i]);
    for (int i = 0; i < 3; i++)
        strangers[i] = bench_dial(b);
    bench_wait_open(b, 8);
    assert_int_equal(bench_stats(b).handshaking, 3);
    uint64_t bytes;
    int refused = bench_dial(b);
    (void)bench_drain(refused, &bytes);
    close(refused);
    assert_int_equal(bench_stats(b).rejected, 1);
    close(strangers[0]);
    bench_wait_open(b, 7);
    int target, again = bench_pair(b, 0, &target); /* the place is free again */
    close(again);
    close(target);
    for (int i = 0; i < 5; i++) {
        close(users[i]);
        close(targets[i]);
    }
    close(strangers[1]);
    close(strangers[2]);
    close_bench(b);
}

static void connections_beyond_the_bound_wait_and_are_served_later(void **state)
{
    (void)state;
    static const struct bench_conf small = {.workers = 1, .sessions_max = 16};
    struct bench *b = open_bench(&small);
    int users[16], targets[16];
    for (int i = 0; i < 16; i++)
        users[i] = bench_pair(b, 0, &targets[i]);
    int late = bench_stream(b, 0, WISH_HOLD); /* in the kernel's queue */
    bench_settle(b);
    assert_int_equal(bench_stats(b).open, 16);
    for (int i = 0; i < 4; i++) {
        close(users[i]);
        close(targets[i]);
    }
    char got;
    assert_true(bench_answered(late));
    assert_true(bench_read(late, &got, 1));
    close(late);
    for (int i = 4; i < 16; i++) {
        close(users[i]);
        close(targets[i]);
    }
    close_bench(b);
}

/* Clients that do not read fill the budget; when they go, others are served as before. */
static void a_spent_budget_recovers(void **state)
{
    (void)state;
    enum { HOGS = 40 };
    static const struct bench_conf tight = {.workers = 1, .memory_budget = 3u * 1024 * 1024};
    static char block[1 << 20];
    struct bench *b = open_bench(&tight);
    int hogs[HOGS], targets[HOGS];
    for (int i = 0; i < HOGS; i++) {
        hogs[i] = bench_pair(b, 0, &targets[i]);
        (void)!send(targets[i], block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    bench_settle(b);
    for (int i = 0; i < HOGS; i++) {
        close(hogs[i]);
        close(targets[i]);
    }
    bench_wait_open(b, 0);
    uint8_t *got = malloc(BENCH_BULK);
    assert_non_null(got);
    int fd = bench_stream(b, 1, WISH_SOURCE);
    assert_true(bench_answered(fd));
    assert_true(bench_read(fd, got, BENCH_BULK));
    for (size_t i = 0; i < BENCH_BULK; i++)
        if (got[i] != bench_pattern(i))
            fail_msg("byte %zu is wrong", i);
    assert_true(bench_at_end(fd));
    close(fd);
    free(got);
    close_bench(b);
}

static void without_descriptors_clients_wait(void **state)
{
    (void)state;
    static const struct bench_conf one = {.workers = 1};
    struct bench *b = open_bench(&one);
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(b->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct rlimit usual, none;
    uint8_t head[64];
    size_t n = bench_header(b, 0, 1, b->origin_port, head);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    head[n++] = WISH_HOLD;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    none = usual;
    none.rlim_cur = 0; /* no new ones, whichever an earlier test gives back meanwhile */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    bench_send(fd, head, n);
    bench_settle(b);
    bench_settle(b);
    assert_int_equal(bench_stats(b).accepted, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
    char got;
    assert_true(bench_answered(fd));
    assert_true(bench_read(fd, &got, 1));
    close(fd);
    close_bench(b);
}

/* ---- the PROXY protocol ---- */

static struct bench *open_proxied(const struct cidr *from, size_t n)
{
    struct bench *b = open_bench(NULL);
    struct view_node *node = bench_change(b);
    node->proxy_protocol = true;
    node->proxy_from = from;
    node->proxy_from_count = n;
    bench_publish(b, 2, NULL, 0);
    bench_settle(b);
    return b;
}

static const char v1[] = "PROXY TCP4 198.51.100.7 203.0.113.1 4000 443\r\n";

static void a_proxy_header_names_the_client(void **state)
{
    (void)state;
    struct bench *b = open_proxied(NULL, 0);
    uint8_t text[128];
    char got;
    size_t n = sizeof(v1) - 1;
    memcpy(text, v1, n);
    n += bench_header(b, 0, 1, b->origin_port, text + n);
    text[n++] = WISH_HOLD;
    int fd = bench_dial(b);
    bench_send(fd, text, n); /* header, request and payload in one segment */
    assert_true(bench_answered(fd));
    assert_true(bench_read(fd, &got, 1));
    bench_settle(b);
    assert_int_equal(b->alive_n, 1);
    assert_memory_equal(b->alive[0].ip.ip, "\xc6\x33\x64\x07", 4);
    close(fd);
    close_bench(b);
}

static void a_proxy_header_may_come_byte_by_byte(void **state)
{
    (void)state;
    struct bench *b = open_proxied(NULL, 0);
    uint8_t head[64];
    char got;
    int fd = bench_dial(b);
    for (size_t i = 0; i < sizeof(v1) - 1; i++) {
        bench_send(fd, v1 + i, 1);
        if (i % 8 == 0)
            bench_settle(b); /* lets the worker see it alone */
    }
    size_t n = bench_header(b, 0, 1, b->origin_port, head);
    head[n++] = WISH_HOLD;
    bench_send(fd, head, n);
    assert_true(bench_answered(fd));
    assert_true(bench_read(fd, &got, 1));
    close(fd);
    close_bench(b);
}

static void without_its_proxy_header_a_connection_is_closed(void **state)
{
    (void)state;
    struct bench *b = open_proxied(NULL, 0);
    uint8_t head[64];
    uint64_t bytes;
    size_t n = bench_header(b, 0, 1, b->origin_port, head);
    int fd = bench_dial(b);
    bench_send(fd, head, n);
    (void)bench_drain(fd, &bytes);
    assert_int_equal(bytes, 0);
    close(fd);
    int cut = bench_dial(b); /* the end comes in the middle of the header */
    bench_send(cut, v1, 20);
    shutdown(cut, SHUT_WR);
    (void)bench_drain(cut, &bytes);
    assert_int_equal(bytes, 0);
    close(cut);
    close_bench(b);
}

static void only_listed_sources_send_a_proxy_header(void **state)
{
    (void)state;
    static const struct cidr elsewhere = {.net = {.family = ADDR_IP4, .ip = {10, 0, 0, 0}},
                                          .bits = 8};
    struct bench *b = open_proxied(&elsewhere, 1);
    char got;
    int fd = bench_stream(b, 0, WISH_HOLD); /* we are not listed: no header */
    assert_true(bench_answered(fd));
    assert_true(bench_read(fd, &got, 1));
    close(fd);
    close_bench(b);
}

static void strangers_behind_a_balancer_are_counted_by_their_own_address(void **state)
{
    (void)state;
    static const struct bench_conf one = {.workers = 1};
    struct bench *b = open_bench(&one);
    struct view_node *node = bench_change(b);
    node->proxy_protocol = true;
    node->source_max = 2;
    bench_publish(b, 2, NULL, 0);
    bench_settle(b);
    int fds[6];
    for (int i = 0; i < 6; i++) {
        char text[80];
        int n = snprintf(text, sizeof(text), "PROXY TCP4 198.51.100.%d 203.0.113.1 4000 443\r\n",
                         i / 2 + 1);
        fds[i] = bench_dial(b);
        bench_send(fds[i], text, (size_t)n);
        bench_wait_open(b, (uint64_t)i + 1);
        bench_settle(b);
    }
    uint64_t bytes;
    int third = bench_dial(b);
    bench_send(third, "PROXY TCP4 198.51.100.1 203.0.113.1 4000 443\r\n", 46);
    (void)bench_drain(third, &bytes);
    assert_int_equal(bytes, 0);
    close(third);
    for (int i = 0; i < 6; i++)
        close(fds[i]);
    close_bench(b);
}

static bool counted;

static void on_counted(void *self, uint32_t no)
{
    (void)self;
    (void)no;
    counted = true;
}

static void count_devices(struct bench *b)
{
    counted = false;
    b->plane.count_devices(b->plane.self, 0);
    bench_pump_until(b, &counted);
}

/* Who was connected before there was a limit is counted when it comes; a device that loses its
 * place ends, also where nothing moves. */
static void a_device_limit_that_comes_later(void **state)
{
    (void)state;
    static struct user_devices_owner nobody;
    struct user_devices ud = {.owner = &nobody, .refs = 1};
    struct device_seen seen[2];
    struct bench *b = open_bench(NULL);
    int target[3], fd[3];

    b->sink.devices_counted = on_counted;
    bench_change(b)->device_private = true;
    bench_publish(b, 2, NULL, 0);
    bench_settle(b);
    fd[0] = bench_pair(b, 0, &target[0]);
    fd[1] = bench_pair(b, 1, &target[1]);
    bench_wait_open(b, 2);
    atomic_store(&b->users[0].devices, &ud);
    atomic_store(&b->users[0].device_limit, 1);
    count_devices(b);
    count_devices(b); /* once, however often */
    assert_int_equal(ud.set.first->sessions, 1);
    fd[2] = bench_pair(b, 0, &target[2]); /* the same device */
    bench_settle(b);
    assert_int_equal(ud.set.first->sessions, 2);
    assert_int_equal(devices_list(&ud.set, 0, seen, 2), 1);
    assert_true(devices_put_out(&ud.set, &seen[0], 0));
    b->plane.end_devices(b->plane.self, 0);
    uint64_t bytes;
    (void)bench_drain(fd[0], &bytes);
    (void)bench_drain(fd[2], &bytes);
    bench_wait_open(b, 1);
    assert_int_equal(ud.set.first->sessions, 0);
    for (int i = 0; i < 3; i++) {
        close(fd[i]);
        close(target[i]);
    }
    close_bench(b);
    user_devices_fini(&ud);
}

static unsigned taken;

static void on_taken(void *self, struct user_rt *u)
{
    struct bench *b = self;

    assert_ptr_equal(u, &b->users[0]);
    taken++;
}

/* In an upgrade: a stream takes the place of one that the earlier process has, which is said; and
 * gives its own to one of a later process, also where nothing moves. */
static void places_are_given_from_process_to_process(void **state)
{
    (void)state;
    static const uint32_t older[CONN_CLASSES] = {[CONN_TCP] = 2}, none[CONN_CLASSES] = {0};
    struct bench *b = open_bench(NULL);
    struct user_live *live = user_live_get(&b->users[0]);
    uint32_t grant[CONN_CLASSES];
    int target[2], fd[2];
    uint64_t bytes;

    assert_non_null(live);
    b->sink.streams_taken = on_taken;
    taken = 0;
    atomic_store(&b->users[0].conn_limit, 2);
    conns_set_older(&live->conns, older);
    fd[0] = bench_pair(b, 0, &target[0]);
    bench_settle(b);
    assert_int_equal(taken, 1);
    assert_true(conns_grant(&live->conns, 2, grant));
    assert_int_equal(grant[CONN_TCP], 1);
    fd[1] = bench_pair(b, 0, &target[1]);
    bench_settle(b);
    assert_int_equal(taken, 2);
    b->plane.allow_streams(b->plane.self, &b->users[0], none);
    for (int i = 0; i < 2; i++) {
        (void)bench_drain(fd[i], &bytes);
        close(fd[i]);
        close(target[i]);
    }
    bench_wait_open(b, 0);
    bench_settle(b); /* the last session has left */
    user_live_free(&b->users[0]);
    close_bench(b);
}

/* Another device has the place of an idle one: that is not reported as one more, and ends. */
static void a_device_that_lost_its_place_is_not_reported(void **state)
{
    (void)state;
    static struct user_devices_owner nobody;
    struct user_devices ud = {.owner = &nobody, .refs = 1};
    struct device_seen seen[2];
    struct bench *b = open_bench(NULL);
    int target[2], fd[2];
    uint64_t bytes;

    bench_change(b)->device_private = true;
    bench_publish(b, 2, NULL, 0);
    bench_settle(b);
    atomic_store(&b->users[0].devices, &ud);
    atomic_store(&b->users[0].device_limit, 1);
    fd[0] = bench_pair(b, 0, &target[0]);
    fd[1] = bench_pair(b, 1, &target[1]);
    bench_wait_open(b, 2);
    bench_settle(b);
    assert_int_equal(b->alive_n, 2);
    assert_int_equal(devices_list(&ud.set, 0, seen, 2), 1);
    assert_true(devices_put_out(&ud.set, &seen[0], 0));
    bench_settle(b);
    assert_int_equal(b->alive_n, 1);
    assert_int_equal(b->alive[0].uid, 12);
    (void)bench_drain(fd[0], &bytes);
    bench_wait_open(b, 1);
    for (int i = 0; i < 2; i++) {
        close(fd[i]);
        close(target[i]);
    }
    close_bench(b);
    user_devices_fini(&ud);
}

/* Streams that began without a limit count when there is one. */
static void a_connection_limit_that_comes_later(void **state)
{
    (void)state;
    struct bench *b = open_bench(NULL);
    struct user_live *live = user_live_get(&b->users[0]);
    int target[3], fd[3];

    assert_non_null(live);
    b->sink.devices_counted = on_counted;
    for (int i = 0; i < 3; i++)
        fd[i] = bench_pair(b, i < 2 ? 0 : 1, &target[i]);
    bench_wait_open(b, 3);
    assert_int_equal(live->conns.of[CONN_TCP].count, 0);
    atomic_store(&b->users[0].conn_limit, 1);
    count_devices(b);
    count_devices(b); /* once, however often */
    assert_int_equal(live->conns.of[CONN_TCP].count, 2);
    bench_settle(b); /* the workers go on after we have looked */
    for (int i = 0; i < 3; i++) {
        close(fd[i]);
        close(target[i]);
    }
    bench_wait_open(b, 0);
    bench_settle(b); /* the last session has left */
    assert_int_equal(live->conns.of[CONN_TCP].count, 0);
    user_live_free(&b->users[0]);
    close_bench(b);
}

static _Atomic unsigned said;

static void count_line(struct log_sink *s, const char *line, size_t len)
{
    (void)s;
    (void)len;
    said += strstr(line, "DeviceCountPrivate") != NULL;
}

static void a_limit_that_counts_nobody_is_said_once(void **state)
{
    (void)state;
    static struct user_devices_owner nobody;
    struct user_devices ud = {.owner = &nobody, .refs = 1};
    struct bench *b = bench_new(NULL);
    int target[2], fd[2];

    said = 0;
    b->log_sink.write = count_line;
    atomic_store(&b->users[0].devices, &ud);
    atomic_store(&b->users[0].device_limit, 1);
    bench_open(b);
    for (unsigned i = 0; i < 2; i++)
        fd[i] = bench_pair(b, 0, &target[i]);
    bench_wait_open(b, 2);
    assert_null(ud.set.first);
    assert_int_equal(said, 1);
    for (unsigned i = 0; i < 2; i++) {
        close(fd[i]);
        close(target[i]);
    }
    close_bench(b);
    user_devices_fini(&ud);
}

/* Is the server's end of this client's connection paced? It is in this process, too. */
static bool paced(int client)
{
    struct sockaddr_in mine, peer;
    socklen_t len = sizeof(mine);
    uint32_t rate = UINT32_MAX;
    assert_int_equal(getsockname(client, (struct sockaddr *)&mine, &len), 0);
    for (int fd = 3; fd < 1024; fd++) {
        len = sizeof(peer);
        if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0 || len != sizeof(peer) ||
            peer.sin_family != AF_INET || peer.sin_port != mine.sin_port)
            continue;
        len = sizeof(rate);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &len), 0);
        return rate != UINT32_MAX;
    }
    fail_msg("the server's end is not there");
    return false;
}

static void only_turns_that_are_large_leave_paced(void **state)
{
    (void)state;
    static const struct {
        uint32_t kbps;
        bool paced;
    } limits[] = {{0, false}, {100000, false}, {1000000, true}, {0, false}};
    struct bench *b = open_bench(NULL);
    int target, fd = bench_pair(b, 0, &target);
    char got;
    bench_send(target, "x", 1);
    assert_true(bench_answered(fd) && bench_read(fd, &got, 1));
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        atomic_store(&b->users[0].speed_kbps, limits[i].kbps);
        bench_send(target, "x", 1);
        assert_true(bench_read(fd, &got, 1));
        assert_int_equal(paced(fd), limits[i].paced);
    }
    close(fd);
    close(target);
    close_bench(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_limit_that_comes_later),
        cmocka_unit_test(a_connection_limit_that_comes_later),
        cmocka_unit_test(places_are_given_from_process_to_process),
        cmocka_unit_test(a_device_that_lost_its_place_is_not_reported),
        cmocka_unit_test(a_limit_that_counts_nobody_is_said_once),
        cmocka_unit_test(strangers_of_one_source_are_bounded_and_users_do_not_count),
        cmocka_unit_test(connections_beyond_the_bound_wait_and_are_served_later),
        cmocka_unit_test(a_spent_budget_recovers),
        cmocka_unit_test(without_descriptors_clients_wait),
        cmocka_unit_test(a_proxy_header_names_the_client),
        cmocka_unit_test(a_proxy_header_may_come_byte_by_byte),
        cmocka_unit_test(without_its_proxy_header_a_connection_is_closed),
        cmocka_unit_test(only_listed_sources_send_a_proxy_header),
        cmocka_unit_test(strangers_behind_a_balancer_are_counted_by_their_own_address),
        cmocka_unit_test(only_turns_that_are_large_leave_paced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
