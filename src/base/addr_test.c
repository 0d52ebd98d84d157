#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/addr.h"
#include "base/uuid.h"

static struct addr ip(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse_ip(&a, text, strlen(text)), ST_OK);
    return a;
}

static void ips_are_read_and_written_canonically(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"1.2.3.4", "1.2.3.4"},
        {"::", "::"},
        {"::1", "::1"},
        {"[::1]", "::1"},
        {"2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"fe80::", "fe80::"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"::ffff:1.2.3.4", "::ffff:102:304"},
        {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
    };
    char text[ADDR_STRLEN];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct addr a = ip(cases[i].in);
        assert_string_equal(addr_ip_str(&a, text), cases[i].out);
    }
}

static void what_is_no_ip_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",          "1.2.3",  "1.2.3.4.5", "01.2.3.4",      "256.1.1.1", "1.2.3.",
        ":1",        "1:",     ":::",       "1::2::3",       "12345::",   "1:2:3:4:5:6:7:8:9",
        "[1.2.3.4]", "::1%lo", "::1.2.3",   "1:2:3:4:5:6:7", "g::",       "localhost",
        "1.2.3.4 "};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct addr a;
        assert_int_equal(addr_parse_ip(&a, bad[i], strlen(bad[i])), ST_E_PROTO);
    }
}

static void private_addresses_are_known_in_every_disguise(void **state)
{
    (void)state;
    static const char *const yes[] = {"127.0.0.1",
                                      "10.1.2.3",
                                      "172.31.255.255",
                                      "192.168.0.1",
                                      "169.254.169.254",
                                      "100.64.0.1",
                                      "0.0.0.0",
                                      "224.0.0.1",
                                      "255.255.255.255",
                                      "::",
                                      "::1",
                                      "fe80::1",
                                      "fd00::1",
                                      "ff02::1",
                                      "::ffff:127.0.0.1",
                                      "::ffff:10.0.0.1",
                                      "64:ff9b::10.0.0.1",
                                      "2002:7f00:1::",
                                      "::127.0.0.1",
                                      "198.18.0.1",
                                      "240.0.0.1"};
    static const char *const no[] = {"1.1.1.1",         "172.32.0.1",     "100.128.0.1",
                                     "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
                                     "2002:808:808::"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        struct addr a = ip(yes[i]);
        if (!addr_is_private(&a))
            fail_msg("%s should be private", yes[i]);
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        struct addr a = ip(no[i]);
        if (addr_is_private(&a))
            fail_msg("%s should not be private", no[i]);
    }
}

static void networks_contain_what_they_should(void **state)
{
    (void)state;
    struct cidr c;
    struct addr in = ip("10.1.255.9"), out = ip("10.2.0.0"), six = ip("2001:db8:1::1");
    assert_int_equal(cidr_parse(&c, "10.1.0.0/16", 11), ST_OK);
    assert_true(cidr_contains(&c, &in));
    assert_false(cidr_contains(&c, &out));
    assert_false(cidr_contains(&c, &six));
    assert_int_equal(cidr_parse(&c, "2001:db8::/33", 13), ST_OK);
    assert_true(cidr_contains(&c, &six));
    assert_int_equal(cidr_parse(&c, "10.1.255.9", 10), ST_OK);
    assert_true(cidr_contains(&c, &in));
    assert_false(cidr_contains(&c, &out));
    assert_int_equal(cidr_parse(&c, "0.0.0.0/0", 9), ST_OK);
    assert_true(cidr_contains(&c, &out));
    assert_int_equal(cidr_parse(&c, "10.0.0.0/33", 11), ST_E_PROTO);
    assert_int_equal(cidr_parse(&c, "10.0.0.0/", 9), ST_E_PROTO);
    assert_int_equal(cidr_parse(&c, "10.0.0.0/8x", 11), ST_E_PROTO);
}

static void targets_are_names_or_addresses(void **state)
{
    (void)state;
    struct target t;
    char text[TARGET_STRLEN];
    assert_int_equal(target_set_host(&t, "Example.com", 11, 443), ST_OK);
    assert_string_equal(target_str(&t, text), "Example.com:443");
    assert_int_equal(target_set_host(&t, "[::1]", 5, 80), ST_OK);
    assert_int_equal(t.host_len, 0);
    assert_string_equal(target_str(&t, text), "[::1]:80");
    assert_int_equal(target_set_host(&t, "::ffff:1.2.3.4", 14, 80), ST_OK);
    assert_string_equal(target_str(&t, text), "1.2.3.4:80");
    assert_int_equal(target_set_host(&t, "a b", 3, 80), ST_E_PROTO);
    assert_int_equal(target_set_host(&t, "", 0, 80), ST_E_PROTO);
    assert_int_equal(target_set_host(&t, "a\0b", 3, 80), ST_E_PROTO);
}

static void uuids_are_read_with_and_without_dashes(void **state)
{
    (void)state;
    uint8_t id[UUID_LEN];
    char text[UUID_STRLEN];
    const char *dashed = "01234567-89ab-cdef-0123-456789abcdef";
    assert_int_equal(uuid_parse(id, dashed, 36), ST_OK);
    assert_string_equal(uuid_str(id, text), dashed);
    assert_int_equal(uuid_parse(id, "0123456789ABCDEF0123456789ABCDEF", 32), ST_OK);
    assert_string_equal(uuid_str(id, text), dashed);
    assert_int_equal(uuid_parse(id, dashed, 35), ST_E_PROTO);
    assert_int_equal(uuid_parse(id, "0123456-789ab-cdef-0123-456789abcdef", 36), ST_E_PROTO);
    assert_int_equal(uuid_parse(id, "g1234567-89ab-cdef-0123-456789abcdef", 36), ST_E_PROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ips_are_read_and_written_canonically),
        cmocka_unit_test(what_is_no_ip_is_refused),
        cmocka_unit_test(private_addresses_are_known_in_every_disguise),
        cmocka_unit_test(networks_contain_what_they_should),
        cmocka_unit_test(targets_are_names_or_addresses),
        cmocka_unit_test(uuids_are_read_with_and_without_dashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
