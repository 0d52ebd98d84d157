#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "session/alive.h"

static struct addr from(uint32_t n, uint16_t port)
{
    struct addr a = {.family = ADDR_IP4, .port = port};
    memcpy(a.ip, &n, 4);
    return a;
}

static void bytes_of_a_pair_add_up_whatever_the_port(void **state)
{
    (void)state;
    struct alive_table t = {0};
    struct addr a = from(1, 10), b = from(1, 11), c = from(2, 10);
    size_t n;
    alive_add(&t, 7, &a, 100, PLANE_GONE);
    alive_add(&t, 7, &b, 20, PLANE_GONE);
    alive_add(&t, 7, &c, 3, PLANE_GONE);
    alive_add(&t, 8, &a, 0, PLANE_GONE);
    struct plane_alive *list = alive_take(&t, &n);
    assert_int_equal(n, 3);
    for (size_t i = 0; i < n; i++) {
        uint64_t want = list[i].uid == 8 ? 0 : list[i].ip.ip[0] == 1 ? 120 : 3;
        assert_int_equal(list[i].bytes, want);
        assert_int_equal(list[i].ip.port, 0);
    }
    free(list);
    assert_null(alive_take(&t, &n));
    assert_int_equal(n, 0);
}

static void many_pairs_are_kept_apart(void **state)
{
    (void)state;
    enum { PAIRS = 5000 };
    static uint64_t seen[PAIRS];
    struct alive_table t = {0};
    size_t n;
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t i = 0; i < PAIRS; i++) {
            struct addr ip = from(i / 2, 1);
            alive_add(&t, i % 2, &ip, i, PLANE_GONE);
        }
    struct plane_alive *list = alive_take(&t, &n);
    assert_int_equal(n, PAIRS);
    for (size_t i = 0; i < n; i++) {
        uint32_t ip;
        memcpy(&ip, list[i].ip.ip, 4);
        seen[ip * 2 + list[i].uid] += list[i].bytes;
    }
    for (uint32_t i = 0; i < PAIRS; i++)
        assert_int_equal(seen[i], 2 * i);
    free(list);
}

static void the_table_has_an_end(void **state)
{
    (void)state;
    struct alive_table t = {0};
    size_t n;
    for (uint32_t i = 0; i < 3 * ALIVE_MAX; i++) {
        struct addr ip = from(i, 1);
        alive_add(&t, 1, &ip, 1, PLANE_GONE);
    }
    /* Those that are in still count. */
    struct addr in = from(0, 1);
    alive_add(&t, 1, &in, 41, PLANE_GONE);
    struct plane_alive *list = alive_take(&t, &n);
    assert_int_equal(n, ALIVE_MAX);
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        if (addr_ip_equal(&list[i].ip, &in))
            bytes += list[i].bytes;
    assert_int_equal(bytes, 42);
    free(list);
}

static void an_unknown_source_is_no_pair(void **state)
{
    (void)state;
    struct alive_table t = {0};
    const struct addr none = {.family = ADDR_NONE};
    size_t n;
    alive_add(&t, 1, &none, 5, PLANE_GONE);
    assert_null(alive_take(&t, &n));
    alive_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_of_a_pair_add_up_whatever_the_port),
        cmocka_unit_test(many_pairs_are_kept_apart),
        cmocka_unit_test(the_table_has_an_end),
        cmocka_unit_test(an_unknown_source_is_no_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
