#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/devices.h"

static struct device_rule rule(uint32_t limit)
{
    return (struct device_rule){
        .limit = limit, .bits4 = 32, .bits6 = 64, .grace_s = DEVICE_GRACE_S};
}

static struct addr ip(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse_ip(&a, text, strlen(text)), ST_OK);
    a.port = 4711;
    return a;
}

static struct device *enter(struct devices *d, const char *from, const struct device_rule *r,
                            uint32_t now_s)
{
    struct device *spare = NULL, *dev;
    struct addr a = ip(from);
    enum status st = devices_enter(d, &a, r, now_s, &spare, &dev);

    if (st == ST_MORE) {
        spare = calloc(1, sizeof(*spare));
        assert_non_null(spare);
        st = devices_enter(d, &a, r, now_s, &spare, &dev);
    }
    free(spare);
    assert_int_equal(st, dev != NULL ? ST_OK : ST_E_LIMIT);
    return dev;
}

static unsigned free_all(struct devices *d)
{
    unsigned n = 0;
    for (struct device *dev = devices_take_all(d), *next; dev != NULL; dev = next, n++) {
        next = dev->next;
        free(dev);
    }
    return n;
}

static void as_many_devices_as_allowed(void **state)
{
    struct devices d = {0};
    struct device_rule two = rule(2);

    (void)state;
    struct device *a = enter(&d, "1.2.3.4", &two, 100), *b = enter(&d, "1.2.3.5", &two, 100);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_equal(enter(&d, "1.2.3.4", &two, 100), a); /* a second session of one */
    assert_null(enter(&d, "1.2.3.6", &two, 101));
    assert_int_equal(devices_count(&d, 101), 2);
    assert_int_equal(free_all(&d), 2);
}

static void a_network_of_ip6_is_one_device(void **state)
{
    struct devices d = {0};
    struct device_rule one = rule(1);

    (void)state;
    struct device *a = enter(&d, "2001:db8:1:2:aaaa::1", &one, 1);
    assert_ptr_equal(enter(&d, "2001:db8:1:2:bbbb::9", &one, 1), a);
    assert_null(enter(&d, "2001:db8:1:3::1", &one, 1));
    free_all(&d);
    one.bits4 = 20;
    a = enter(&d, "10.1.16.1", &one, 1);
    assert_ptr_equal(enter(&d, "10.1.31.255", &one, 1), a);
    assert_null(enter(&d, "10.1.32.0", &one, 1));
    free_all(&d);
}

static void a_place_is_kept_for_a_while(void **state)
{
    struct devices d = {0};
    struct device_rule one = rule(1);

    (void)state;
    struct device *a = enter(&d, "1.1.1.1", &one, 100);
    devices_leave(&d, a);
    assert_int_equal(devices_count(&d, 159), 1);
    assert_int_equal(devices_count(&d, 160), 0);
    /* Without a session it goes to the next who comes: he has changed his network. */
    struct device *b = enter(&d, "2.2.2.2", &one, 101);
    assert_non_null(b);
    assert_true(a->out);
    assert_null(enter(&d, "1.1.1.1", &one, 102));
    devices_leave(&d, b);
    assert_ptr_equal(enter(&d, "1.1.1.1", &one, 300), a);
    assert_false(a->out);
    assert_int_equal(free_all(&d), 2);
}

static void quiet_sessions_give_way(void **state)
{
    struct devices d = {0};
    struct device_rule two = rule(2);

    (void)state;
    struct device *a = enter(&d, "1.1.1.1", &two, 100), *b = enter(&d, "2.2.2.2", &two, 100);
    atomic_store(&b->active_s, 105);
    atomic_store(&a->active_s, 104);
    assert_null(enter(&d, "3.3.3.3", &two, 113));
    assert_non_null(enter(&d, "3.3.3.3", &two, 114));
    assert_true(a->out);
    assert_false(b->out);
    assert_int_equal(devices_count(&d, 114), 2);
    free_all(&d);
}

static void the_oldest_goes_where_that_is_the_rule(void **state)
{
    struct devices d = {0};
    struct device_rule one = rule(1);

    (void)state;
    one.kick_oldest = true;
    struct device *a = enter(&d, "1.1.1.1", &one, 100);
    assert_non_null(enter(&d, "2.2.2.2", &one, 100));
    assert_true(a->out);
    free_all(&d);
}

static void devices_of_other_nodes_count(void **state)
{
    struct devices d = {0};
    struct device_rule three = rule(3);

    (void)state;
    three.elsewhere = 2;
    assert_non_null(enter(&d, "1.1.1.1", &three, 1));
    assert_null(enter(&d, "2.2.2.2", &three, 1));
    three.elsewhere = 9;
    assert_non_null(enter(&d, "1.1.1.1", &three, 1)); /* who is in stays */
    three.elsewhere = 0;
    assert_non_null(enter(&d, "2.2.2.2", &three, 1));
    free_all(&d);
}

static void objects_are_used_again(void **state)
{
    struct devices d = {0};
    struct device_rule one = rule(1);

    (void)state;
    for (uint32_t i = 0; i < 200; i++) {
        char from[32];
        snprintf(from, sizeof(from), "10.0.%u.1", i);
        struct device *dev = enter(&d, from, &one, 1000 * (i + 1));
        assert_non_null(dev);
        devices_leave(&d, dev);
    }
    assert_int_equal(free_all(&d), 1);
}

/* Nodes may ask with different sizes of networks. */
static void the_larger_network_is_the_device(void **state)
{
    struct devices d = {0};
    struct device_rule fine = rule(1), coarse = rule(1);

    (void)state;
    coarse.bits4 = 24;
    struct device *a = enter(&d, "192.0.2.1", &fine, 1);
    assert_ptr_equal(enter(&d, "192.0.2.77", &coarse, 1), a);
    assert_null(enter(&d, "192.0.2.77", &fine, 1));
    assert_null(enter(&d, "192.0.3.1", &coarse, 1));
    free_all(&d);
    a = enter(&d, "192.0.2.1", &coarse, 1);
    assert_ptr_equal(enter(&d, "192.0.2.77", &fine, 1), a);
    assert_int_equal(devices_count(&d, 1), 1);
    free_all(&d);
}

static void the_limit_of_who_asks_is_held_against_all(void **state)
{
    struct devices d = {0};
    struct device_rule three = rule(3), one = rule(1);

    (void)state;
    assert_non_null(enter(&d, "1.1.1.1", &three, 1));
    assert_non_null(enter(&d, "2.2.2.2", &three, 1));
    assert_null(enter(&d, "3.3.3.3", &one, 1));
    assert_non_null(enter(&d, "3.3.3.3", &three, 1));
    free_all(&d);
}

static void the_grace_of_the_last_node_counts(void **state)
{
    struct devices d = {0};
    struct device_rule longer = rule(1), shorter = rule(1);

    (void)state;
    shorter.grace_s = 5;
    devices_leave(&d, enter(&d, "1.1.1.1", &longer, 100));
    assert_int_equal(devices_count(&d, 150), 1);
    devices_leave(&d, enter(&d, "1.1.1.1", &shorter, 150));
    assert_int_equal(devices_count(&d, 155), 0);
    free_all(&d);
}

static void a_smaller_limit_keeps_who_was_active_last(void **state)
{
    struct devices d = {0};
    struct device_rule three = rule(3);

    (void)state;
    struct device *a = enter(&d, "1.1.1.1", &three, 100), *b = enter(&d, "2.2.2.2", &three, 101);
    struct device *c = enter(&d, "3.3.3.3", &three, 102);
    atomic_store(&a->active_s, 110);
    assert_int_equal(devices_trim(&d, 3, 111), 0);
    assert_int_equal(devices_trim(&d, 1, 111), 2);
    assert_false(a->out);
    assert_true(b->out && c->out);
    assert_int_equal(devices_trim(&d, 1, 111), 0);
    assert_int_equal(devices_count(&d, 111), 1);
    free_all(&d);
}

/* A session that was there before there was a limit brings the time of its last payload. */
static void who_was_there_before_is_counted_whatever_the_limit(void **state)
{
    struct devices d = {0};
    struct device_rule all = rule(DEVICES_NO_LIMIT);

    (void)state;
    all.elsewhere = 7;
    struct device *a = enter(&d, "1.1.1.1", &all, 90);
    assert_ptr_equal(enter(&d, "1.1.1.1", &all, 40), a);
    assert_int_equal(a->active_s, 90);
    assert_non_null(enter(&d, "2.2.2.2", &all, 50));
    assert_int_equal(devices_count(&d, 500), 2); /* their sessions are open */
    free_all(&d);
}

static void what_is_told_of_devices(void **state)
{
    struct devices d = {0};
    struct device_rule four = rule(4);
    struct device_seen seen[4];

    (void)state;
    enter(&d, "1.1.1.1", &four, 100);
    enter(&d, "2001:db8::1:2:3:4", &four, 107);
    devices_leave(&d, enter(&d, "3.3.3.3", &four, 40));
    assert_int_equal(devices_list(&d, 110, seen, 4), 2);
    assert_int_equal(seen[0].ip.family, ADDR_IP6);
    assert_int_equal(seen[0].bits, 64);
    assert_int_equal(seen[0].ip.ip[15], 0);
    assert_int_equal(seen[0].quiet_s, 3);
    assert_int_equal(seen[0].limit, 4);
    assert_int_equal(seen[1].quiet_s, 10);
    assert_int_equal(devices_list(&d, 110, seen, 1), 1);
    assert_int_equal(devices_list(&d, 110, seen, 4), 2);
    assert_true(devices_put_out(&d, &seen[0], 110));
    assert_false(devices_put_out(&d, &seen[0], 110));
    seen[1].bits = 24; /* not what it was counted as */
    assert_false(devices_put_out(&d, &seen[1], 110));
    assert_int_equal(devices_count(&d, 110), 1);
    free_all(&d);
}

/* A smaller limit is none for who is in until devices_trim says so. */
static void which_limit_a_device_counts_on(void **state)
{
    struct devices d = {0};
    struct device_rule two = rule(2), three = rule(3), one = rule(1);
    struct device_seen seen;

    (void)state;
    enter(&d, "1.1.1.1", &two, 1);
    enter(&d, "1.1.1.1", &one, 1);
    assert_int_equal(devices_list(&d, 1, &seen, 1), 1);
    assert_int_equal(seen.limit, 2);
    enter(&d, "1.1.1.1", &three, 1);
    assert_int_equal(devices_list(&d, 1, &seen, 1), 1);
    assert_int_equal(seen.limit, 3);
    assert_int_equal(devices_trim(&d, 1, 1), 0);
    assert_int_equal(devices_list(&d, 1, &seen, 1), 1);
    assert_int_equal(seen.limit, 1);
    free_all(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_devices_as_allowed),
        cmocka_unit_test(a_network_of_ip6_is_one_device),
        cmocka_unit_test(a_place_is_kept_for_a_while),
        cmocka_unit_test(quiet_sessions_give_way),
        cmocka_unit_test(the_oldest_goes_where_that_is_the_rule),
        cmocka_unit_test(devices_of_other_nodes_count),
        cmocka_unit_test(objects_are_used_again),
        cmocka_unit_test(the_larger_network_is_the_device),
        cmocka_unit_test(the_limit_of_who_asks_is_held_against_all),
        cmocka_unit_test(the_grace_of_the_last_node_counts),
        cmocka_unit_test(a_smaller_limit_keeps_who_was_active_last),
        cmocka_unit_test(who_was_there_before_is_counted_whatever_the_limit),
        cmocka_unit_test(what_is_told_of_devices),
        cmocka_unit_test(which_limit_a_device_counts_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
