#include "policy/seen.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HASH_KEY ((const uint8_t *)"sixteen bytes...")

/* Every filter here sees numbers; the first is all zeros. */
static bool add(struct seen *s, uint64_t n, int64_t now_s, int64_t keep_s)
{
    uint8_t salt[32] = {0};
    memcpy(salt, &n, sizeof(n));
    enum status st = seen_add(s, salt, sizeof(salt), now_s, keep_s);
    assert_true(st == ST_OK || st == ST_E_REFUSED);
    return st == ST_OK;
}

static bool has(struct seen *s, uint64_t n)
{
    uint8_t salt[32] = {0};
    memcpy(salt, &n, sizeof(n));
    return seen_has(s, salt, sizeof(salt));
}

static void a_salt_is_new_once(void **state)
{
    struct seen s;

    (void)state;
    seen_init(&s, HASH_KEY);
    for (uint64_t n = 0; n < 5000; n++) {
        assert_false(has(&s, n));
        assert_true(add(&s, n, 0, 0));
        assert_true(has(&s, n));
        assert_false(add(&s, n, 0, 0));
    }
    for (uint64_t n = 0; n < 5000; n++)
        assert_false(add(&s, n, 1000000, 0));
    seen_fini(&s);
}

/* The same bytes and one more are something else. */
static void length_counts(void **state)
{
    static const uint8_t zeros[33];
    struct seen s;

    (void)state;
    seen_init(&s, HASH_KEY);
    assert_int_equal(seen_add(&s, zeros, 16, 0, 0), ST_OK);
    assert_int_equal(seen_add(&s, zeros, 33, 0, 0), ST_OK);
    assert_int_equal(seen_add(&s, zeros, 16, 0, 0), ST_E_REFUSED);
    seen_fini(&s);
}

static void lives_through_as_many_others_as_promised(void **state)
{
    struct seen s;

    (void)state;
    seen_init(&s, HASH_KEY);
    assert_true(add(&s, 0, 0, 0));
    for (uint64_t n = 1; n < SEEN_MAX; n++)
        assert_true(add(&s, n, 0, 0));
    assert_true(has(&s, 0));
    for (unsigned i = 0; i < SEEN_SHARDS; i++)
        assert_true(s.shard[i].young.count <= SEEN_MAX / SEEN_SHARDS);
    for (uint64_t n = SEEN_MAX; n < 3 * SEEN_MAX; n++)
        assert_true(add(&s, n, 0, 0));
    assert_false(has(&s, 0)); /* and not for ever */
    seen_fini(&s);
}

static void is_kept_for_its_time(void **state)
{
    struct seen s;

    (void)state;
    seen_init(&s, HASH_KEY);
    for (int64_t now = 1000; now < 2000; now++) {
        assert_true(add(&s, (uint64_t)now, now, 61));
        for (int64_t then = now - 60; then < now; then++)
            assert_true(then < 1000 || has(&s, (uint64_t)then));
        assert_true(now < 1000 + 16 * 130 || !has(&s, (uint64_t)now - 16 * 130));
    }
    seen_fini(&s);
}

/* Also when nobody has come in between to make the filter turn over. */
static void is_forgotten_after_a_silence(void **state)
{
    struct seen s;

    (void)state;
    seen_init(&s, HASH_KEY);
    for (uint64_t n = 0; n < 100; n++) {
        assert_true(add(&s, n, 1000 + (int64_t)n, 240));
        assert_false(add(&s, n, 1000 + (int64_t)n + 240, 240));
    }
    for (uint64_t n = 0; n < 100; n++)
        assert_true(add(&s, n, 1000000, 240));
    seen_fini(&s);
}

#define THREADS 4u
#define NUMBERS 20000u

struct racer {
    struct seen *seen;
    unsigned won;
};

static void *race(void *arg)
{
    struct racer *r = arg;

    for (uint64_t n = 0; n < NUMBERS; n++)
        r->won += seen_add(r->seen, &n, sizeof(n), (int64_t)n / 1000, 240) == ST_OK;
    return NULL;
}

/* All workers of a node do this at a time. */
static void of_many_threads_one_is_the_first(void **state)
{
    struct seen s;
    struct racer racers[THREADS];
    pthread_t threads[THREADS];
    unsigned won = 0;

    (void)state;
    seen_init(&s, HASH_KEY);
    for (unsigned i = 0; i < THREADS; i++) {
        racers[i] = (struct racer){.seen = &s};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        won += racers[i].won;
    }
    assert_int_equal(won, NUMBERS);
    seen_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_salt_is_new_once),
        cmocka_unit_test(length_counts),
        cmocka_unit_test(lives_through_as_many_others_as_promised),
        cmocka_unit_test(is_kept_for_its_time),
        cmocka_unit_test(is_forgotten_after_a_silence),
        cmocka_unit_test(of_many_threads_one_is_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
