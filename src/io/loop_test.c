#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "io/conn.h"
#include "io/loop.h"
#include "io/mailbox.h"
#include "io/splice.h"

static int setup(void **state)
{
    *state = loop_new();
    return *state == NULL;
}

static int teardown(void **state)
{
    loop_free(*state);
    return 0;
}

struct alarm {
    struct timer timer;
    struct loop *loop;
    unsigned fired;
    uint64_t at_ms;
    struct alarm *deletes;
};

static void ring(struct timer *t)
{
    struct alarm *a = LIST_ENTRY(t, struct alarm, timer);
    a->fired++;
    a->at_ms = loop_now_ms(a->loop);
    if (a->deletes)
        loop_timer_del(a->loop, &a->deletes->timer);
}

static void timers_fire_in_order_and_never_early(void **state)
{
    struct loop *l = *state;
    enum { N = 40 };
    struct alarm a[N];
    for (int i = 0; i < N; i++) {
        a[i] = (struct alarm){.loop = l};
        timer_init(&a[i].timer, ring);
        loop_timer_in(l, &a[i].timer, (uint64_t)i * 3);
    }
    while (a[N - 1].fired == 0)
        loop_once(l, -1);
    for (int i = 0; i < N; i++) {
        assert_int_equal(a[i].fired, 1);
        assert_true(a[i].at_ms >= a[i].timer.at_ms);
        assert_false(timer_armed(&a[i].timer));
    }
}

static void far_timers_come_down_the_wheel(void **state)
{
    struct loop *l = *state;
    struct alarm near = {.loop = l}, far = {.loop = l}, very = {.loop = l};
    timer_init(&near.timer, ring);
    timer_init(&far.timer, ring);
    timer_init(&very.timer, ring);
    loop_timer_in(l, &very.timer, UINT64_C(100) * 86400 * 1000);
    loop_timer_in(l, &far.timer, 2100); /* beyond the first level */
    loop_timer_in(l, &near.timer, 10);
    while (far.fired == 0)
        loop_once(l, -1);
    assert_int_equal(near.fired, 1);
    assert_true(far.at_ms >= far.timer.at_ms);
    assert_int_equal(very.fired, 0);
    loop_timer_del(l, &very.timer);
}

static void a_timer_deleted_in_a_callback_stays_silent(void **state)
{
    struct loop *l = *state;
    struct alarm b = {.loop = l}, a = {.loop = l, .deletes = &b}, end = {.loop = l};
    timer_init(&a.timer, ring);
    timer_init(&b.timer, ring);
    timer_init(&end.timer, ring);
    loop_timer_in(l, &a.timer, 5);
    loop_timer_in(l, &b.timer, 5);
    loop_timer_in(l, &end.timer, 30);
    while (end.fired == 0)
        loop_once(l, -1);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 0);
}

struct job {
    struct task task;
    struct loop *loop;
    unsigned runs;
};

static void again(struct task *t)
{
    struct job *j = LIST_ENTRY(t, struct job, task);
    if (++j->runs < 3)
        loop_task_add(j->loop, t);
}

static void work_for_5_ms(struct task *t)
{
    struct timespec from, now;

    (void)t;
    clock_gettime(CLOCK_MONOTONIC, &from);
    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - from.tv_sec) * 1000000000 + now.tv_nsec - from.tv_nsec < 5000000);
}

/* Not less than the work; how much more is the machine's affair. */
static void tells_its_work_and_its_longest_round(void **state)
{
    struct loop *l = *state;
    struct loop_load before, after;
    struct task work;

    loop_once(l, 0);
    loop_load(l, &before);
    task_init(&work, work_for_5_ms);
    loop_task_add(l, &work);
    loop_once(l, 0);
    loop_once(l, 0);
    loop_load(l, &after);
    assert_true(after.longest_us >= 5000);
    assert_true(after.busy_us >= before.busy_us + 5000);
}

static void a_task_that_queues_itself_runs_once_a_round(void **state)
{
    struct loop *l = *state;
    struct job j = {.loop = l};
    task_init(&j.task, again);
    loop_task_add(l, &j.task);
    loop_task_add(l, &j.task);
    for (unsigned i = 1; i <= 3; i++) {
        loop_once(l, 0);
        assert_int_equal(j.runs, i);
    }
}

/* ---- mailbox ---- */

#define SENDERS 4
#define EACH    500

struct inbox {
    struct mailbox *mb;
    struct loop *loop;
    unsigned got, last[SENDERS];
};

struct letter {
    struct message msg;
    unsigned from, number;
};

static void receive(struct message *m, void *receiver)
{
    struct inbox *in = receiver;
    struct letter *l = (struct letter *)(void *)m;
    assert_int_equal(l->number, in->last[l->from] + 1); /* in order per sender */
    in->last[l->from] = l->number;
    free(l);
    if (++in->got == SENDERS * EACH)
        loop_stop(in->loop);
}

struct sender {
    struct inbox *in;
    unsigned no;
};

static void *send_all(void *arg)
{
    struct sender *s = arg;
    for (unsigned i = 1; i <= EACH; i++) {
        struct letter *l = malloc(sizeof(*l));
        if (l == NULL)
            abort();
        *l = (struct letter){.msg = {.fn = receive}, .from = s->no, .number = i};
        mailbox_send(s->in->mb, &l->msg);
    }
    return NULL;
}

static void every_message_arrives_in_its_senders_order(void **state)
{
    struct loop *l = *state;
    struct inbox in = {.loop = l};
    in.mb = mailbox_new(l, &in);
    assert_non_null(in.mb);
    pthread_t threads[SENDERS];
    struct sender senders[SENDERS];
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){&in, i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    loop_run(l);
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(in.got, SENDERS * EACH);
    mailbox_free(in.mb);
}

/* ---- connections ---- */

static void noticed(struct conn *c)
{
    (void)c;
}

static void pair(struct loop *l, struct conn *a, struct conn *b)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(conn_open(a, l, fds[0], false, noticed), ST_OK);
    assert_int_equal(conn_open(b, l, fds[1], false, noticed), ST_OK);
}

static void bytes_cross_a_connection_unchanged(void **state)
{
    struct loop *l = *state;
    struct pool *p = pool_new(0);
    struct conn a, b;
    struct bufq out, in;
    bufq_init(&out, UINT32_MAX);
    bufq_init(&in, UINT32_MAX);
    pair(l, &a, &b);
    enum { SIZE = 3000000 };
    uint8_t *data = malloc(SIZE), *got = malloc(SIZE);
    assert_non_null(data);
    assert_non_null(got);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 31 + i / 251);
    assert_int_equal(bufq_put(&out, data, SIZE, p), ST_OK);
    int err = 0;
    while (in.bytes < SIZE) {
        loop_once(l, 0);
        if (a.writable && out.head)
            assert_true(conn_write(&a, &out, p, NULL, &err) >= 0);
        if (b.readable)
            assert_true(conn_read(&b, &in, CONN_READ_MAX, p, &err) >= 0);
    }
    assert_true(bufq_peek(&in, got, SIZE) == SIZE);
    assert_memory_equal(got, data, SIZE);
    conn_shutdown(&a);
    loop_once(l, -1);
    assert_int_equal(conn_read(&b, &in, BLK_READ, p, &err), ST_EOF);
    assert_true(b.eof);
    bufq_clear(&in, p);
    conn_close(&a, false);
    conn_close(&b, false);
    free(data);
    free(got);
    pool_free(p);
}

static void an_edge_and_an_alone_span_have_writes_of_their_own(void **state)
{
    struct loop *l = *state;
    struct pool *p = pool_new(0);
    int fds[2];
    struct conn a;
    struct bufq out, one;
    /* A packet socket keeps the borders of writes. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(conn_open(&a, l, fds[0], false, noticed), ST_OK);
    bufq_init(&out, UINT32_MAX);
    bufq_init(&one, UINT32_MAX);
    static const struct {
        const char *text;
        uint8_t flags;
    } spans[] = {{"a", 0}, {"b", 0}, {"101", SPAN_ALONE}, {"c", 0}, {"d", SPAN_EDGE}, {"e", 0}};
    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        struct span *s = span_new_small(p);
        assert_non_null(s);
        for (const char *t = spans[i].text; *t; t++)
            span_data(s)[s->len++] = (uint8_t)*t;
        s->flags = spans[i].flags;
        bufq_push(&out, s);
    }
    int err = 0;
    assert_int_equal(conn_write(&a, &out, p, NULL, &err), ST_OK);
    static const char *const want[] = {"ab", "101", "c", "de"};
    for (size_t i = 0; i < 4; i++) {
        char got[16] = "";
        assert_true(recv(fds[1], got, sizeof(got) - 1, 0) > 0);
        assert_string_equal(got, want[i]);
    }
    conn_close(&a, false);
    close(fds[1]);
    pool_free(p);
}

/* Both steps, as the relay does them. */
static enum status splice_move(struct splice *s, struct splice_pool *sp, struct conn *src,
                               struct conn *dst, size_t max, size_t *in, size_t *out, int *err)
{
    enum status got = splice_fill(s, sp, src, max, in, err);
    enum status put = splice_drain(s, sp, dst, out, err);
    return put != ST_OK ? put : got;
}

static void splice_moves_all_and_keeps_what_the_sink_refuses(void **state)
{
    struct loop *l = *state;
    struct pool *p = pool_new(0);
    struct splice_pool *sp = splice_pool_new();
    struct conn src_far, src, dst, dst_far;
    struct bufq out, in;
    struct splice s = {0};
    bufq_init(&out, UINT32_MAX);
    bufq_init(&in, UINT32_MAX);
    pair(l, &src_far, &src);
    pair(l, &dst, &dst_far);
    enum { SIZE = 2000000 };
    uint8_t *data = calloc(1, SIZE);
    assert_non_null(data);
    assert_int_equal(bufq_put(&out, data, SIZE, p), ST_OK);
    size_t read_sum = 0, written = 0;
    int err = 0;
    enum status st = ST_OK;
    while (st != ST_EOF) {
        loop_once(l, 0);
        if (out.head && src_far.writable)
            assert_true(conn_write(&src_far, &out, p, NULL, &err) >= 0);
        if (out.head == NULL)
            conn_shutdown(&src_far);
        size_t i, o;
        st = splice_move(&s, sp, &src, &dst, 1 << 20, &i, &o, &err);
        assert_true(st >= 0);
        read_sum += i;
        written += o;
        if (dst_far.readable)
            assert_true(conn_read(&dst_far, &in, CONN_READ_MAX, p, &err) >= 0);
    }
    assert_int_equal(read_sum, SIZE);
    assert_int_equal(written, SIZE);
    assert_false(splice_pending(&s));
    while (in.bytes < SIZE)
        assert_true(conn_read(&dst_far, &in, CONN_READ_MAX, p, &err) >= 0);
    bufq_clear(&in, p);
    conn_close(&src_far, false);
    conn_close(&src, false);
    conn_close(&dst, false);
    conn_close(&dst_far, true);
    splice_pool_free(sp);
    free(data);
    pool_free(p);
}

/* The pipe's bytes went with the source that failed after it had sent them. */
static void splice_delivers_what_it_holds_when_the_source_fails(void **state)
{
    struct loop *l = *state;
    struct pool *p = pool_new(0);
    struct splice_pool *sp = splice_pool_new();
    struct conn src_far, src, dst, dst_far;
    struct bufq out, in;
    struct splice s = {0};
    static uint8_t block[65536];
    size_t i, o, sent = 0;
    int err = 0;
    bufq_init(&out, UINT32_MAX);
    bufq_init(&in, UINT32_MAX);
    pair(l, &src_far, &src);
    pair(l, &dst, &dst_far);
    enum status st = ST_OK;
    while (st != ST_FULL) { /* until the sink is full, and the pipe has the rest */
        assert_int_equal(bufq_put(&out, block, sizeof(block), p), ST_OK);
        assert_int_equal(conn_write(&src_far, &out, p, NULL, &err), ST_OK);
        sent += sizeof(block);
        loop_once(l, 0);
        st = splice_move(&s, sp, &src, &dst, 1 << 20, &i, &o, &err);
        assert_true(st >= 0);
    }
    do { /* ... and the source nothing */
        assert_true(splice_move(&s, sp, &src, &dst, 1 << 20, &i, &o, &err) >= 0);
    } while (i > 0);
    assert_true(splice_pending(&s));
    /* A Unix socket that is closed with unread bytes resets its peer. */
    assert_int_equal(bufq_put(&out, block, 1, p), ST_OK);
    assert_int_equal(conn_write(&src, &out, p, NULL, &err), ST_OK);
    conn_close(&src_far, false);
    loop_once(l, 0);
    assert_int_equal(splice_move(&s, sp, &src, &dst, 1 << 20, &i, &o, &err), ST_FULL);
    do {
        loop_once(l, 0);
        if (dst_far.readable)
            assert_true(conn_read(&dst_far, &in, CONN_READ_MAX, p, &err) >= 0);
        st = splice_move(&s, sp, &src, &dst, 1 << 20, &i, &o, &err);
    } while (st == ST_FULL);
    assert_int_equal(st, ST_E_CLOSED);
    while (in.bytes < sent)
        assert_true(conn_read(&dst_far, &in, CONN_READ_MAX, p, &err) == ST_OK);
    bufq_clear(&in, p);
    conn_close(&src, false);
    conn_close(&dst, false);
    conn_close(&dst_far, false);
    splice_pool_free(sp);
    pool_free(p);
}

static unsigned seen_at_all;

static void count_event(struct watch *w, uint32_t events)
{
    (void)w;
    (void)events;
    seen_at_all++;
}

/* While a process is started its copy keeps a socket in the epoll set that was closed here: its
 * events came to memory that was free by then. */
static void a_closed_socket_that_another_process_has_is_silent(void **state)
{
    struct loop *l = *state;
    struct watch w = {.fd = -1};
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(loop_watch_add(l, &w, ends[0], LOOP_IN | LOOP_EDGE, count_event), ST_OK);
    int copy = dup(ends[0]);
    loop_files_shared(l, true);
    loop_watch_forget(l, &w);
    loop_files_shared(l, false);
    close(ends[0]);
    seen_at_all = 0;
    assert_int_equal(write(ends[1], "x", 1), 1);
    loop_once(l, 0);
    loop_once(l, 0);
    assert_int_equal(seen_at_all, 0);
    close(copy);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_and_never_early),
        cmocka_unit_test(far_timers_come_down_the_wheel),
        cmocka_unit_test(a_timer_deleted_in_a_callback_stays_silent),
        cmocka_unit_test(tells_its_work_and_its_longest_round),
        cmocka_unit_test(a_task_that_queues_itself_runs_once_a_round),
        cmocka_unit_test(every_message_arrives_in_its_senders_order),
        cmocka_unit_test(bytes_cross_a_connection_unchanged),
        cmocka_unit_test(an_edge_and_an_alone_span_have_writes_of_their_own),
        cmocka_unit_test(splice_moves_all_and_keeps_what_the_sink_refuses),
        cmocka_unit_test(splice_delivers_what_it_holds_when_the_source_fails),
        cmocka_unit_test(a_closed_socket_that_another_process_has_is_silent),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
