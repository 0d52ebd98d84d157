#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/frame.h"

static struct pool *pool;

static int open_pool(void **state)
{
    (void)state;
    pool = pool_new(0);
    return pool != NULL ? 0 : -1;
}

static int close_pool(void **state)
{
    (void)state;
    assert_int_equal(pool_used(pool), 0);
    pool_free(pool);
    return 0;
}

static struct span *span_of(const char *text)
{
    struct span *s = span_new_small(pool);
    assert_non_null(s);
    s->len = (uint32_t)strlen(text);
    memcpy(span_data(s), text, s->len);
    return s;
}

static void assert_span(const struct span *s, const char *text)
{
    assert_int_equal(s->len, strlen(text));
    assert_memory_equal(span_data(s), text, s->len);
}

static void takes_units_however_they_lie(void **state)
{
    struct bufq q;

    (void)state;
    bufq_init(&q, UINT32_MAX);
    bufq_push(&q, span_of(""));
    bufq_push(&q, span_of("abcdef"));
    bufq_push(&q, span_of("gh"));
    bufq_push(&q, span_of("ij"));
    const struct blk *first = q.head->next->blk;
    struct span *s = frame_take(&q, 4, pool);
    assert_span(s, "abcd");
    assert_ptr_equal(s->blk, first); /* a view */
    span_free(pool, s);
    s = frame_take(&q, 4, pool);
    assert_span(s, "efgh");
    span_free(pool, s);
    pool_fail_after(pool, 1, false);
    assert_null(frame_take(&q, 1, pool));
    assert_int_equal(q.bytes, 2);
    s = frame_take(&q, 2, pool);
    assert_span(s, "ij");
    span_free(pool, s);
    assert_true(bufq_empty(&q));
}

static void heads_go_into_the_room_or_a_copy(void **state)
{
    struct bufq rest;

    (void)state;
    bufq_init(&rest, UINT32_MAX);
    struct span *s = span_of("x");
    assert_ptr_equal(frame_prepend(pool, s, (const uint8_t *)"ab", 2, NULL), s);
    assert_span(s, "abx");
    struct span *other = span_share(pool, s);
    struct span *c = frame_prepend(pool, s, (const uint8_t *)"_", 1, NULL);
    assert_ptr_not_equal(c, s);
    assert_span(c, "_abx");
    assert_span(other, "abx");
    span_free(pool, c);
    span_free(pool, other);

    /* A full blk of somebody else's: what does not fit comes after it. */
    s = span_new(pool);
    s->len = BLK_DATA;
    memset(span_data(s), 'z', s->len);
    other = span_share(pool, s);
    c = frame_prepend(pool, s, (const uint8_t *)"ab", 2, &rest);
    assert_int_equal(c->len, BLK_DATA);
    assert_int_equal(rest.bytes, 2);
    span_free(pool, c);
    span_free(pool, other);
    bufq_clear(&rest, pool);
}

static void names_ride_in_front(void **state)
{
    struct target t, back;
    char text[TARGET_STRLEN], longest[TARGET_HOST_MAX];

    (void)state;
    memset(longest, 'n', sizeof(longest));
    for (unsigned i = 0; i < 3; i++) {
        struct span *s = span_of("payload"), *other = i == 1 ? span_share(pool, s) : NULL;
        if (i == 2)
            assert_int_equal(target_set_host(&t, longest, sizeof(longest), 7), ST_OK);
        else
            assert_int_equal(target_set_host(&t, "example.com", 11, 53), ST_OK);
        s = frame_set_target(pool, s, &t);
        assert_span(s, "payload");
        assert_int_equal(s->peer.family, ADDR_NAME);
        frame_get_target(s, &back);
        if (i < 2)
            assert_string_equal(target_str(&back, text), "example.com:53");
        else
            assert_int_equal(back.host_len, TARGET_HOST_MAX);
        span_free(pool, s);
        if (other != NULL)
            span_free(pool, other);
    }
    struct span *s = span_of("p");
    assert_int_equal(target_set_host(&t, "1.2.3.4", 7, 53), ST_OK);
    assert_ptr_equal(frame_set_target(pool, s, &t), s);
    assert_true(addr_equal(&s->peer, &t.addr));
    span_free(pool, s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_units_however_they_lie),
        cmocka_unit_test(heads_go_into_the_room_or_a_copy),
        cmocka_unit_test(names_ride_in_front),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
