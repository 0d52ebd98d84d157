#include "policy/sources.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int open_sources(void **state)
{
    static struct sources s;

    memset(&s, 0, sizeof(s));
    sources_init(&s, (const uint8_t *)"sixteen bytes...");
    *state = &s;
    return 0;
}

static int close_sources(void **state)
{
    sources_fini(*state);
    return 0;
}

static struct addr ip4(uint32_t n)
{
    struct addr a = {.family = ADDR_IP4, .port = (uint16_t)n};
    memcpy(a.ip, &n, sizeof(n));
    return a;
}

static uint64_t key4(const struct sources *s, uint32_t n)
{
    struct addr a = ip4(n);
    return sources_key(s, &a);
}

static void a_source_is_a_network(void **state)
{
    const struct sources *s = *state;
    struct addr a = {.family = ADDR_IP6, .ip = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 9}}, b = a, c = a;
    struct addr four = ip4(0x01020304), again = four;

    b.ip[15] = 77; /* the same /64 */
    b.port = 9;
    c.ip[7] = 2;
    again.port = 4711;
    assert_true(sources_key(s, &a) == sources_key(s, &b));
    assert_true(sources_key(s, &a) != sources_key(s, &c));
    assert_true(sources_key(s, &four) == sources_key(s, &again));
    assert_true(sources_key(s, &four) != key4(s, 0x01020305));
}

static void remembers_the_last_users_of_a_source(void **state)
{
    static const struct {
        uint64_t seen, want[SOURCES_USERS];
        unsigned n;
    } steps[] = {
        {0, {0}, 1},          {5, {5, 0}, 2},       {5, {5, 0}, 2},
        {0, {0, 5}, 2},       {9, {9, 0, 5}, 3},    {8, {8, 9, 0, 5}, 4},
        {7, {7, 8, 9, 0}, 4}, {0, {0, 7, 8, 9}, 4}, {UINT64_MAX - 1, {UINT64_MAX - 1, 0, 7, 8}, 4},
    };
    struct sources *s = *state;
    uint64_t users[SOURCES_USERS];

    assert_int_equal(sources_find(s, 7, users), 0);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        sources_note(s, 7, steps[i].seen);
        assert_int_equal(sources_find(s, 7, users), steps[i].n);
        assert_memory_equal(users, steps[i].want, steps[i].n * sizeof(users[0]));
        assert_int_equal(sources_find(s, 8, users), 0);
    }
}

static void remembers_many_sources_and_no_more(void **state)
{
    struct sources *s = *state;
    uint64_t users[SOURCES_USERS];
    uint32_t known = 0, entries = 0;

    for (uint32_t i = 0; i < 20000; i++)
        sources_note(s, key4(s, i), i);
    for (uint32_t i = 0; i < 20000; i++) {
        unsigned n = sources_find(s, key4(s, i), users);
        known += n == 1 && users[0] == i;
        assert_true(n <= 1 && (n == 0 || users[0] == i));
    }
    assert_in_range(known, 19900, 20000);
    for (uint32_t i = 0; i < 4 * SOURCES_MAX; i++)
        sources_note(s, key4(s, i), i);
    for (unsigned i = 0; i < SOURCES_STRIPES; i++)
        entries += s->stripe[i].buckets * 4;
    assert_int_equal(entries, SOURCES_MAX);
    assert_int_equal(sources_find(s, key4(s, 4 * SOURCES_MAX - 1), users), 1);
}

static void *note_and_find(void *arg)
{
    struct sources *s = arg;
    uint64_t users[SOURCES_USERS];

    for (uint32_t i = 0; i < 20000; i++) {
        sources_note(s, i % 300 + 1, i % 300 + 1);
        for (unsigned n = sources_find(s, i % 299 + 1, users); n > 0; n--)
            assert_true(users[n - 1] == i % 299 + 1);
    }
    return NULL;
}

static void many_threads_share_it(void **state)
{
    pthread_t threads[4];

    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, note_and_find, *state), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_sources, close_sources)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_source_is_a_network),
        TEST(remembers_the_last_users_of_a_source),
        TEST(remembers_many_sources_and_no_more),
        TEST(many_threads_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
