#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "h2/h2.h"
#include "h2/test_client.h"

static const struct h2_conf conf = {
    .streams_max = 100, .stream_window = 65535, .conn_window = 1 << 20, .head_max = 1024};

struct fixture {
    struct pool *pool;
    struct h2 h;
    struct test_client c;
    struct bufq out;
    enum status read;
};

static void begin(struct fixture *f)
{
    f->pool = pool_new(0);
    assert_non_null(f->pool);
    assert_int_equal(h2_init(&f->h, f->pool, &conf), ST_OK);
    test_client_init(&f->c, f->pool);
    bufq_init(&f->out, 32768);
    f->read = ST_OK;
}

static void end(struct fixture *f)
{
    test_client_fini(&f->c);
    h2_fini(&f->h);
    bufq_clear(&f->out, f->pool);
    assert_int_equal(pool_used(f->pool), 0);
    pool_free(f->pool);
}

/* Moves bytes both ways until nothing moves. */
static void run(struct fixture *f)
{
    for (int i = 0; i < 100; i++) {
        test_client_turn(&f->c, &f->out);
        if (f->read == ST_OK)
            f->read = h2_read(&f->h, &f->c.out);
        if (f->read != ST_OK)
            return;
        assert_true(h2_write(&f->h, &f->out) >= ST_OK);
        if (bufq_empty(&f->out) && bufq_empty(&f->c.out))
            return;
    }
}

static struct h2_stream *next_request(struct fixture *f)
{
    unsigned ev = 0;
    struct h2_stream *s = h2_next(&f->h, &ev);
    assert_non_null(s);
    assert_true(ev & H2_REQUEST);
    return s;
}

static void expect_closed(struct fixture *f, struct h2_stream *s)
{
    unsigned ev = 0;
    assert_ptr_equal(h2_next(&f->h, &ev), s);
    assert_true(ev & H2_CLOSED);
    h2_stream_free(&f->h, s);
}

static const struct h2_header type = {"content-type", "application/grpc"};
static const struct h2_header ok = {"grpc-status", "0"};

static void test_request_body_answer_trailers(void **state)
{
    (void)state;
    struct fixture f;
    char body[5];
    begin(&f);
    struct test_answer *a = test_client_post(&f.c, "/S/M", "hello", 5);
    run(&f);
    struct h2_stream *s = next_request(&f);
    assert_string_equal(h2_field(s, ":path"), "/S/M");
    assert_string_equal(h2_field(s, ":method"), "POST");
    assert_string_equal(h2_field(s, "te"), "trailers");
    assert_null(h2_field(s, "trailers"));
    assert_true(s->in.eof && s->half_closed);
    assert_int_equal(bufq_peek(&s->in, body, 5), 5);
    assert_memory_equal(body, "hello", 5);
    bufq_drop(&s->in, 5, f.pool);
    h2_ate(&f.h, s, 5);

    assert_int_equal(h2_respond(&f.h, s, 200, &type, 1, false), ST_OK);
    run(&f);
    assert_false(a->ended);
    assert_int_equal(bufq_put(&s->out, "answer", 6, f.pool), ST_OK);
    assert_int_equal(h2_trailers(&f.h, s, &ok, 1), ST_OK);
    s->out.eof = true;
    h2_wake(&f.h, s);
    run(&f);
    assert_true(a->ended && a->closed && a->code == H2_NO_ERROR);
    assert_int_equal(a->len, 6);
    assert_string_equal(a->heads, ":status: 200\ncontent-type: application/grpc\ngrpc-status: 0\n");
    expect_closed(&f, s);
    end(&f);
}

/* An answer before the request has ended: the peer is told to stop, without an error. */
static void test_answer_before_the_end(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    f.c.requests[0].open = true;
    struct test_answer *a = test_client_post(&f.c, "/S/M", "x", 1);
    run(&f);
    struct h2_stream *s = next_request(&f);
    assert_false(s->half_closed);
    assert_int_equal(h2_respond(&f.h, s, 405, &ok, 1, true), ST_OK);
    run(&f);
    assert_true(a->ended && a->closed && a->code == H2_NO_ERROR);
    expect_closed(&f, s);
    end(&f);
}

/* A body larger than all windows arrives whole when it is eaten, and stops when it is not. */
static void test_the_peer_waits_for_its_window(void **state)
{
    (void)state;
    static char big[200000];
    struct fixture f;
    unsigned ev;
    begin(&f);
    memset(big, 'b', sizeof(big));
    (void)test_client_post(&f.c, "/S/M", big, sizeof(big));
    run(&f);
    struct h2_stream *s = next_request(&f);
    assert_int_equal(s->in.bytes, conf.stream_window);
    size_t got = 0;
    while (!s->in.eof || s->in.bytes > 0) {
        assert_true(s->in.bytes > 0);
        got += s->in.bytes;
        size_t n = s->in.bytes;
        bufq_drop(&s->in, n, f.pool);
        h2_ate(&f.h, s, n);
        run(&f);
        (void)h2_next(&f.h, &ev);
    }
    assert_int_equal(got, sizeof(big));
    end(&f);
}

static void test_we_wait_for_the_peers_window(void **state)
{
    (void)state;
    static char big[150000];
    struct fixture f;
    begin(&f);
    f.c.hold = true;
    struct test_answer *a = test_client_post(&f.c, "/S/M", "", 0);
    run(&f);
    struct h2_stream *s = next_request(&f);
    assert_int_equal(h2_window(&f.h, s), 65535);
    assert_int_equal(h2_respond(&f.h, s, 200, &type, 1, false), ST_OK);
    assert_int_equal(bufq_put(&s->out, big, sizeof(big), f.pool), ST_OK);
    s->out.eof = true;
    h2_wake(&f.h, s);
    run(&f);
    assert_int_equal(a->len, 65535);
    assert_int_equal(h2_window(&f.h, s), 0);
    assert_int_equal(s->out.bytes, sizeof(big) - 65535);
    assert_false(a->ended);
    end(&f);
}

static void test_garbage_is_no_http2(void **state)
{
    (void)state;
    struct fixture f;
    struct bufq in;
    begin(&f);
    bufq_init(&in, 65536);
    assert_int_equal(bufq_put(&in, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, f.pool), ST_OK);
    assert_int_equal(h2_read(&f.h, &in), ST_E_PROTO);
    bufq_clear(&in, f.pool);
    end(&f);
}

static void test_a_head_too_long(void **state)
{
    (void)state;
    static char path[4000];
    struct fixture f;
    unsigned ev = 0;
    begin(&f);
    memset(path, 'p', sizeof(path) - 1);
    path[0] = '/';
    struct test_answer *a = test_client_post(&f.c, path, "", 0);
    run(&f);
    assert_true(a->closed && a->code == H2_ENHANCE_YOUR_CALM);
    struct h2_stream *s = h2_next(&f.h, &ev);
    assert_true(s != NULL && (ev & H2_CLOSED) && !(ev & H2_REQUEST));
    h2_stream_free(&f.h, s);
    end(&f);
}

static void test_many_streams_and_goaway(void **state)
{
    (void)state;
    struct fixture f;
    struct test_answer *a[3];
    struct h2_stream *s[3];
    begin(&f);
    for (int i = 0; i < 3; i++)
        a[i] = test_client_post(&f.c, "/S/M", "x", 1);
    run(&f);
    for (int i = 0; i < 3; i++)
        s[i] = next_request(&f);
    h2_shutdown(&f.h);
    run(&f);
    assert_true(f.c.goaway);
    for (int i = 2; i >= 0; i--)
        assert_int_equal(h2_respond(&f.h, s[i], 200, &ok, 1, true), ST_OK);
    run(&f);
    for (int i = 0; i < 3; i++)
        assert_true(a[i]->ended);
    assert_true(h2_is_over(&f.h));
    end(&f);
}

/* Whichever allocation fails: an error or a reset, and all memory comes back. */
static void test_any_allocation_may_fail(void **state)
{
    (void)state;
    for (unsigned nth = 1; nth < 60; nth++) {
        struct pool *peer = pool_new(0), *p = pool_new(0);
        struct test_client c;
        struct h2 h;
        struct bufq in, out;
        test_client_init(&c, peer);
        bufq_init(&in, 65536);
        bufq_init(&out, 65536);
        (void)test_client_post(&c, "/S/M", "hello", 5);
        test_client_turn(&c, &in);
        pool_fail_after(p, nth, false);
        if (h2_init(&h, p, &conf) == ST_OK) {
            uint8_t bytes[4096];
            unsigned ev;
            size_t n = bufq_peek(&c.out, bytes, sizeof(bytes));
            if (bufq_put(&in, bytes, n, p) == ST_OK && h2_read(&h, &in) == ST_OK) {
                for (struct h2_stream *s; (s = h2_next(&h, &ev)) != NULL;) {
                    if (ev & H2_CLOSED) {
                        h2_stream_free(&h, s);
                        continue;
                    }
                    if (h2_respond(&h, s, 200, &type, 1, false) != ST_OK ||
                        h2_trailers(&h, s, &ok, 1) != ST_OK ||
                        bufq_put(&s->out, "x", 1, p) != ST_OK)
                        h2_reset(&h, s, H2_CANCEL);
                    s->out.eof = true;
                    h2_wake(&h, s);
                }
                (void)!h2_write(&h, &out);
            }
            h2_fini(&h);
        }
        bufq_clear(&in, p);
        bufq_clear(&out, p);
        assert_int_equal(pool_used(p), 0);
        pool_free(p);
        test_client_fini(&c);
        pool_free(peer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_body_answer_trailers),
        cmocka_unit_test(test_answer_before_the_end),
        cmocka_unit_test(test_the_peer_waits_for_its_window),
        cmocka_unit_test(test_we_wait_for_the_peers_window),
        cmocka_unit_test(test_garbage_is_no_http2),
        cmocka_unit_test(test_a_head_too_long),
        cmocka_unit_test(test_many_streams_and_goaway),
        cmocka_unit_test(test_any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
