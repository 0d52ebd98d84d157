#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/user_devices.h"

static unsigned told, released;

static void on_changed(struct user_devices_owner *o, struct user_devices *ud)
{
    (void)o;
    (void)ud;
    told++;
}

static void on_release(struct user_devices_owner *o, struct user_devices *ud)
{
    (void)o;
    user_devices_fini(ud);
    released++;
}

static enum status enter(struct user_devices *ud, const char *from, uint32_t limit, uint32_t now_s)
{
    struct device_rule rule = {.limit = limit, .bits4 = 32, .bits6 = 64, .grace_s = 60};
    struct device *dev;
    struct addr a;

    assert_int_equal(addr_parse_ip(&a, from, strlen(from)), ST_OK);
    return user_devices_enter(ud, &a, &rule, now_s, &dev);
}

static void what_is_told(void **state)
{
    struct user_devices_owner owner = {.changed = on_changed, .release = on_release};
    struct user_devices ud = {.owner = &owner, .refs = 2};

    (void)state;
    told = released = 0;
    assert_int_equal(enter(&ud, "1.1.1.1", 2, 1), ST_OK);
    assert_int_equal(told, 1);
    assert_int_equal(enter(&ud, "1.1.1.1", 2, 1), ST_OK); /* no news */
    assert_int_equal(told, 1);
    assert_int_equal(enter(&ud, "2.2.2.2", 2, 1), ST_OK);
    assert_int_equal(told, 2);
    assert_int_equal(enter(&ud, "3.3.3.3", 2, 1), ST_E_LIMIT); /* all of them are here */
    assert_int_equal(told, 2);
    atomic_store(&ud.elsewhere, 1);
    assert_int_equal(enter(&ud, "3.3.3.3", 3, 1), ST_E_LIMIT);
    assert_int_equal(told, 3);
    assert_int_equal(enter(&ud, "3.3.3.3", 3, 1), ST_E_LIMIT); /* once a second */
    assert_int_equal(told, 3);
    assert_int_equal(enter(&ud, "3.3.3.3", 3, 2), ST_E_LIMIT);
    assert_int_equal(told, 4);
    atomic_store(&ud.elsewhere, 0);
    assert_int_equal(enter(&ud, "3.3.3.3", 3, 2), ST_OK);
    assert_int_equal(told, 5);
    user_devices_unref(&ud);
    assert_int_equal(released, 0);
    user_devices_unref(&ud);
    assert_int_equal(released, 1);
    user_devices_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
