#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/span.h"

static int setup(void **state)
{
    *state = pool_new(0);
    return *state == NULL;
}

static int teardown(void **state)
{
    pool_free(*state); /* ends the process if anything is still out */
    return 0;
}

static void put(struct bufq *q, struct pool *p, const char *text)
{
    assert_int_equal(bufq_put(q, text, strlen(text), p), ST_OK);
}

static void assert_holds(struct bufq *q, const char *text)
{
    char got[256] = "";
    assert_int_equal(q->bytes, strlen(text));
    assert_int_equal(bufq_peek(q, got, sizeof(got)), strlen(text));
    assert_string_equal(got, text);
}

static void put_appends_to_the_last_span_that_is_ours(void **state)
{
    struct pool *p = *state;
    struct bufq q;
    bufq_init(&q, 100);
    put(&q, p, "hello ");
    put(&q, p, "world");
    assert_int_equal(q.count, 1);
    assert_holds(&q, "hello world");
    q.tail->flags = SPAN_ALONE;
    put(&q, p, "!");
    assert_int_equal(q.count, 2);
    bufq_clear(&q, p);
    assert_int_equal(pool_used(p), 0);
}

static void put_never_writes_into_a_shared_blk(void **state)
{
    struct pool *p = *state;
    struct bufq q, other;
    bufq_init(&q, 100);
    bufq_init(&other, 100);
    put(&q, p, "abcdef");
    assert_int_equal(bufq_move_bytes(&other, &q, 3, p), 3);
    assert_holds(&other, "abc");
    assert_holds(&q, "def");
    put(&other, p, "XYZ"); /* would overwrite "def" */
    assert_holds(&other, "abcXYZ");
    assert_holds(&q, "def");
    bufq_clear(&q, p);
    bufq_clear(&other, p);
    assert_int_equal(pool_used(p), 0);
}

static void a_put_without_memory_adds_nothing(void **state)
{
    struct pool *p = *state;
    static uint8_t big[3 * BLK_DATA];
    for (unsigned nth = 1; nth < 8; nth++) {
        struct bufq q;
        bufq_init(&q, UINT32_MAX);
        put(&q, p, "keep");
        pool_fail_after(p, nth, false);
        enum status st = bufq_put(&q, big, sizeof(big), p);
        pool_fail_after(p, 0, false);
        assert_int_equal(q.bytes, st == ST_OK ? 4 + sizeof(big) : 4);
        if (nth < 6)
            assert_int_equal(st, ST_E_NOMEM);
        bufq_clear(&q, p);
        assert_int_equal(pool_used(p), 0);
    }
}

static void drop_and_peek_cross_spans(void **state)
{
    struct pool *p = *state;
    struct bufq q, parts;
    bufq_init(&q, 100);
    bufq_init(&parts, 100);
    for (int i = 0; i < 4; i++) {
        put(&parts, p, "0123456789");
        bufq_move(&q, &parts);
    }
    assert_int_equal(q.count, 4);
    char two[3] = "";
    assert_true(bufq_peek_at(&q, 19, two, 2));
    assert_string_equal(two, "90");
    assert_false(bufq_peek_at(&q, 39, two, 2));
    bufq_drop(&q, 25, p);
    assert_holds(&q, "567890123456789");
    bufq_drop(&q, 100, p);
    assert_true(bufq_empty(&q));
    assert_int_equal(pool_used(p), 0);
}

static void pullup_joins_spans_and_keeps_the_bytes(void **state)
{
    struct pool *p = *state;
    struct bufq q, part;
    bufq_init(&q, 100);
    bufq_init(&part, 100);
    put(&q, p, "abc");
    put(&part, p, "def");
    bufq_move(&q, &part);
    uint8_t *whole = bufq_pullup(&q, 5, p);
    assert_non_null(whole);
    assert_memory_equal(whole, "abcde", 5);
    assert_holds(&q, "abcdef");
    assert_null(bufq_pullup(&q, 7, p));
    bufq_clear(&q, p);
    assert_int_equal(pool_used(p), 0);
}

static void splitting_a_span_keeps_its_edge_in_front(void **state)
{
    struct pool *p = *state;
    struct bufq q, head;
    bufq_init(&q, 100);
    bufq_init(&head, 100);
    put(&q, p, "abcdef");
    q.head->flags = SPAN_EDGE;
    assert_int_equal(bufq_move_bytes(&head, &q, 2, p), 2);
    assert_int_equal(head.head->flags, SPAN_EDGE);
    assert_int_equal(q.head->flags, 0);
    bufq_clear(&q, p);
    bufq_clear(&head, p);
}

static void the_budget_refuses_and_returns(void **state)
{
    (void)state;
    struct pool *p = pool_new(2 * (BLK_SIZE + sizeof(struct span)));
    struct span *a = span_new(p), *b = span_new(p);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(span_new(p));
    assert_null(pool_alloc(p, 64));
    assert_int_equal(pool_load(p), 100);
    span_free(p, a);
    a = span_new(p);
    assert_non_null(a);
    span_free(p, a);
    span_free(p, b);
    pool_free(p);
}

static void many_blks_come_and_go(void **state)
{
    struct pool *p = *state;
    enum { N = 300 };
    struct span *s[N];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) {
            s[i] = i % 3 ? span_new(p) : span_new_small(p);
            assert_non_null(s[i]);
            memset(s[i]->blk->mem, i, s[i]->blk->size);
        }
        for (int i = 0; i < N; i++)
            assert_int_equal(s[i]->blk->mem[s[i]->blk->size - 1], i & 0xff);
        for (int i = 0; i < N; i++)
            span_free(p, s[(i * 7) % N]);
        assert_int_equal(pool_used(p), 0);
        pool_trim(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_appends_to_the_last_span_that_is_ours),
        cmocka_unit_test(put_never_writes_into_a_shared_blk),
        cmocka_unit_test(a_put_without_memory_adds_nothing),
        cmocka_unit_test(drop_and_peek_cross_spans),
        cmocka_unit_test(pullup_joins_spans_and_keeps_the_bytes),
        cmocka_unit_test(splitting_a_span_keeps_its_edge_in_front),
        cmocka_unit_test(the_budget_refuses_and_returns),
        cmocka_unit_test(many_blks_come_and_go),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
