#include "proto/shadowsocks/salts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

static bool add(struct ss_salts *s, uint64_t n, int64_t now_s, int64_t keep_s)
{
    uint8_t salt[32] = {0};
    memcpy(salt, &n, sizeof(n));
    return ss_salts_add(s, salt, sizeof(salt), now_s, keep_s);
}

static bool seen(struct ss_salts *s, uint64_t n)
{
    uint8_t salt[32] = {0};
    memcpy(salt, &n, sizeof(n));
    return ss_salts_seen(s, salt, sizeof(salt));
}

static void a_salt_is_new_once(void **state)
{
    struct ss_salts s;

    (void)state;
    ss_salts_init(&s, 1);
    for (uint64_t n = 0; n < 5000; n++) {
        assert_false(seen(&s, n));
        assert_true(add(&s, n, 0, 0));
        assert_true(seen(&s, n));
        assert_false(add(&s, n, 0, 0));
    }
    for (uint64_t n = 0; n < 5000; n++)
        assert_false(add(&s, n, 1000000, 0));
    ss_salts_fini(&s);
}

static void lives_through_as_many_others_as_promised(void **state)
{
    struct ss_salts s;

    (void)state;
    ss_salts_init(&s, 2);
    assert_true(add(&s, 0, 0, 0));
    for (uint64_t n = 1; n < SS_SALTS_MAX; n++)
        assert_true(add(&s, n, 0, 0));
    assert_true(seen(&s, 0));
    for (unsigned i = 0; i < SS_SALTS_SHARDS; i++)
        assert_true(s.shard[i].young.count <= SS_SALTS_MAX / SS_SALTS_SHARDS);
    for (uint64_t n = SS_SALTS_MAX; n < 3 * SS_SALTS_MAX; n++)
        assert_true(add(&s, n, 0, 0));
    assert_false(seen(&s, 0)); /* and not for ever */
    ss_salts_fini(&s);
}

static void is_kept_for_its_time(void **state)
{
    struct ss_salts s;

    (void)state;
    ss_salts_init(&s, 3);
    for (int64_t now = 1000; now < 2000; now++) {
        assert_true(add(&s, (uint64_t)now, now, 61));
        for (int64_t then = now - 60; then < now; then++)
            assert_true(then < 1000 || seen(&s, (uint64_t)then));
        assert_true(now < 1000 + 16 * 130 || !seen(&s, (uint64_t)now - 16 * 130));
    }
    ss_salts_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_salt_is_new_once),
        cmocka_unit_test(lives_through_as_many_others_as_promised),
        cmocka_unit_test(is_kept_for_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
