/* How streams end: half-closes and resets of either side, at every state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "session/test_plane.h"

static int setup(void **state)
{
    struct bench *b = bench_new(NULL);
    bench_open(b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    bench_wait_open(b, 0); /* whatever happened, no session stays */
    assert_int_equal(bench_stats(b).handshaking, 0);
    bench_free(b);
    return 0;
}

static void the_clients_end_goes_through_and_answers_still_come(void **state)
{
    struct bench *b = *state;
    char got[4];
    int target, fd = bench_pair(b, 0, &target);
    bench_send(fd, "ask", 3);
    shutdown(fd, SHUT_WR);
    assert_true(bench_read(target, got, 3));
    assert_true(bench_at_end(target));
    bench_send(target, "late", 4);
    assert_true(bench_answered(fd));
    assert_true(bench_read(fd, got, 4));
    close(target);
    assert_true(bench_at_end(fd));
    close(fd);
}

static void the_targets_end_goes_through_and_uploads_still_arrive(void **state)
{
    struct bench *b = *state;
    char got[6];
    int target, fd = bench_pair(b, 0, &target);
    bench_send(target, "bye", 3);
    shutdown(target, SHUT_WR);
    assert_true(bench_answered(fd));
    assert_true(bench_read(fd, got, 3));
    assert_true(bench_at_end(fd));
    bench_send(fd, "upload", 6);
    assert_true(bench_read(target, got, 6));
    shutdown(fd, SHUT_WR);
    assert_true(bench_at_end(target));
    close(target);
    close(fd);
}

/* The end is there, and seen, before the target takes the last bytes; a limit that has come since
 * lets nothing more be read. */
static void the_clients_end_goes_through_a_limit_that_came_after_it(void **state)
{
    struct bench *b = *state;
    static char data[400000];
    const int small = 4096, segment = 1400;
    struct timespec now;
    uint64_t bytes;
    setsockopt(b->target_fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
    setsockopt(b->target_fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    int target, fd = bench_pair(b, 0, &target);
    bench_send(fd, data, sizeof(data));
    shutdown(fd, SHUT_WR);
    bench_settle(b);
    bench_settle(b);
    clock_gettime(CLOCK_MONOTONIC, &now);
    (void)bucket_book(&b->users[0].up, 80000, 10000000, (uint64_t)now.tv_sec * 1000000);
    atomic_store(&b->users[0].speed_kbps, 80000); /* nothing for a second */
    assert_true(bench_drain(target, &bytes));
    assert_int_equal(bytes, sizeof(data));
    close(target);
    close(fd);
}

static void a_target_that_says_nothing_still_ends_with_a_response_header(void **state)
{
    struct bench *b = *state;
    int target, fd = bench_pair(b, 0, &target);
    close(target);
    assert_true(bench_answered(fd));
    assert_true(bench_at_end(fd));
    close(fd);
}

static void a_half_closed_stream_ends_when_nothing_more_comes(void **state)
{
    struct bench *b = *state;
    struct view_node *n = bench_change(b);
    n->timeouts.downlink_only = 30;
    bench_publish(b, 2, NULL, 0);
    bench_settle(b);
    uint64_t bytes;
    int target, fd = bench_pair(b, 0, &target);
    shutdown(fd, SHUT_WR);
    assert_true(bench_at_end(target));
    assert_true(bench_drain(fd, &bytes)); /* the node ends it, not the target */
    close(fd);
    bench_wait_open(b, 0);
    close(target);
}

static void an_idle_stream_ends(void **state)
{
    struct bench *b = *state;
    bench_change(b)->timeouts.idle = 30;
    bench_publish(b, 2, NULL, 0);
    bench_settle(b);
    uint64_t bytes;
    int target, fd = bench_pair(b, 0, &target);
    assert_true(bench_drain(fd, &bytes));
    assert_true(bench_at_end(target));
    close(fd);
    close(target);
}

/* All that the node has read before the target's reset arrives, then the end: also what waits in a
 * pipe because the client does not read. */
static void a_reset_of_the_target_comes_after_what_was_read(void **state)
{
    struct bench *b = *state;
    static char block[65536];
    uint64_t bytes;
    int target, fd = bench_pair(b, 0, &target);
    for (int full = 0; full < 20; full++) { /* until every buffer on the way is full */
        while (send(target, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
            full = 0;
        bench_settle(b);
    }
    bench_reset(target);
    assert_true(bench_answered(fd));
    assert_true(bench_drain(fd, &bytes));
    assert_true(bytes > 1024 * 1024);
    assert_int_equal(bytes, bench_counted(b, 0, false));
    close(fd);
}

static void a_reset_of_the_client_reaches_the_target_as_one(void **state)
{
    struct bench *b = *state;
    char got;
    uint64_t bytes;
    int target, fd = bench_pair(b, 0, &target);
    bench_send(fd, "x", 1);
    assert_true(bench_read(target, &got, 1));
    bench_reset(fd);
    assert_false(bench_drain(target, &bytes));
    close(target);
}

static void a_client_that_resets_in_the_middle_of_a_download_frees_all(void **state)
{
    struct bench *b = *state;
    char got[1000];
    int fd = bench_stream(b, 0, WISH_SOURCE);
    assert_true(bench_answered(fd));
    assert_true(bench_read(fd, got, sizeof(got)));
    bench_reset(fd);
}

static void a_target_that_resets_in_the_middle_of_an_upload_ends_the_client(void **state)
{
    struct bench *b = *state;
    static char block[65536];
    char got;
    uint64_t bytes;
    int target, fd = bench_pair(b, 0, &target);
    bench_send(fd, "x", 1);
    assert_true(bench_read(target, &got, 1));
    bench_reset(target);
    for (int i = 0; i < 64; i++)
        if (send(fd, block, sizeof(block), MSG_NOSIGNAL) < 0)
            break;
    (void)bench_drain(fd, &bytes); /* FIN, or RST for what was on its way */
    close(fd);
}

static void a_target_nobody_listens_at_gives_a_response_header_and_the_end(void **state)
{
    struct bench *b = *state;
    uint8_t head[64];
    uint16_t port;
    close(bench_listen(&port, 1));
    size_t n = bench_header(b, 0, 1, port, head);
    int fd = bench_dial(b);
    bench_send(fd, head, n);
    assert_true(bench_answered(fd));
    assert_true(bench_at_end(fd));
    close(fd);
}

static void a_client_that_leaves_during_the_handshake_is_forgotten(void **state)
{
    struct bench *b = *state;
    uint8_t head[64];
    (void)bench_header(b, 0, 1, 80, head);
    int quiet = bench_dial(b), ends = bench_dial(b), resets = bench_dial(b);
    bench_send(ends, head, 10);
    bench_send(resets, head, 20);
    bench_wait_open(b, 3);
    close(quiet);
    shutdown(ends, SHUT_WR);
    bench_reset(resets);
    bench_wait_open(b, 0);
    close(ends);
}

static void a_request_and_the_clients_end_in_one_segment_are_served(void **state)
{
    struct bench *b = *state;
    uint8_t head[64];
    uint64_t sum = 0;
    size_t n = bench_header(b, 0, 1, b->origin_port, head);
    head[n++] = WISH_COUNT;
    head[n++] = '1';
    head[n++] = '2';
    int fd = bench_dial(b);
    bench_send(fd, head, n);
    shutdown(fd, SHUT_WR);
    assert_true(bench_answered(fd));
    assert_true(bench_read(fd, &sum, sizeof(sum)));
    assert_int_equal(sum, 2);
    assert_true(bench_at_end(fd));
    close(fd);
}

/* ---- while dialing: a listener whose queue is full answers no SYN
 * -------------------------------- */

struct deaf {
    int lfd, filler;
    uint16_t port;
};

static void deaf_open(struct deaf *d)
{
    d->lfd = bench_listen(&d->port, 0);
    d->filler = bench_dial_port(d->port);
    assert_true(d->filler >= 0);
}

static void deaf_close(struct deaf *d)
{
    close(d->filler);
    close(d->lfd);
}

static int ask_deaf(struct bench *b, const struct deaf *d)
{
    uint8_t head[64];
    size_t n = bench_header(b, 1, 1, d->port, head);
    int fd = bench_dial(b);
    bench_send(fd, head, n);
    while (bench_stats(b).handshaking > 0 || bench_stats(b).open == 0)
        bench_settle(b);
    return fd;
}

static void a_user_removed_while_his_target_is_dialed_is_cut(void **state)
{
    struct bench *b = *state;
    struct deaf d;
    uint64_t bytes;
    deaf_open(&d);
    int fd = ask_deaf(b, &d);
    struct user_rt *removed[] = {&b->users[1]};
    bench_publish(b, 1, removed, 1);
    assert_true(bench_drain(fd, &bytes));
    while (b->released == 0)
        loop_once(b->loop, 1000);
    close(fd);
    deaf_close(&d);
}

static void a_node_removed_while_a_target_is_dialed_goes(void **state)
{
    struct bench *b = *state;
    struct deaf d;
    uint64_t bytes;
    deaf_open(&d);
    int fd = ask_deaf(b, &d);
    b->plane.remove(b->plane.self, 0, 20);
    bench_pump_until(b, &b->gone);
    (void)bench_drain(fd, &bytes);
    close(fd);
    deaf_close(&d);
}

static void workers_end_with_streams_in_every_state(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct deaf d;
    char got;
    bench_open(b);
    deaf_open(&d);
    int dialing = ask_deaf(b, &d), fresh = bench_dial(b), target;
    int relaying = bench_pair(b, 0, &target);
    bench_send(relaying, "x", 1);
    assert_true(bench_read(target, &got, 1));
    int bulk = bench_stream(b, 0, WISH_SOURCE);
    bench_wait_open(b, 4);
    bench_free(b);
    close(dialing);
    close(fresh);
    close(relaying);
    close(target);
    close(bulk);
    deaf_close(&d);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(the_clients_end_goes_through_and_answers_still_come),
        CASE(the_targets_end_goes_through_and_uploads_still_arrive),
        CASE(the_clients_end_goes_through_a_limit_that_came_after_it),
        CASE(a_target_that_says_nothing_still_ends_with_a_response_header),
        CASE(a_half_closed_stream_ends_when_nothing_more_comes),
        CASE(an_idle_stream_ends),
        CASE(a_reset_of_the_target_comes_after_what_was_read),
        CASE(a_reset_of_the_client_reaches_the_target_as_one),
        CASE(a_client_that_resets_in_the_middle_of_a_download_frees_all),
        CASE(a_target_that_resets_in_the_middle_of_an_upload_ends_the_client),
        CASE(a_target_nobody_listens_at_gives_a_response_header_and_the_end),
        CASE(a_client_that_leaves_during_the_handshake_is_forgotten),
        CASE(a_request_and_the_clients_end_in_one_segment_are_served),
        CASE(a_user_removed_while_his_target_is_dialed_is_cut),
        CASE(a_node_removed_while_a_target_is_dialed_goes),
        cmocka_unit_test(workers_end_with_streams_in_every_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
