#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panelserver/report.h"

static enum status parse_push(const char *body, struct report_push *out, struct report_error *err)
{
    return report_parse_push(body, strlen(body), out, err);
}

static void reads_the_example_of_the_contract(void **state)
{
    (void)state;
    struct report_push p;
    struct report_error err;
    assert_int_equal(parse_push("{\n  \"1001\": [104857600, 209715200],\n  \"1002\": [52428800, "
                                "104857600]\n}",
                                &p, &err),
                     ST_OK);
    assert_int_equal(p.count, 2);
    assert_int_equal(p.entries[0].user_id, 1001);
    assert_int_equal(p.entries[0].up, 104857600);
    assert_int_equal(p.entries[1].down, 104857600);
    report_push_fini(&p);
}

static void nothing_to_report_is_fine_in_both_of_phps_forms(void **state)
{
    (void)state;
    struct report_push p;
    struct report_error err;
    assert_int_equal(parse_push("{}", &p, &err), ST_OK);
    assert_int_equal(p.count, 0);
    assert_int_equal(parse_push(" [ ] ", &p, &err), ST_OK);
    assert_int_equal(p.count, 0);
}

static void one_wrong_value_refuses_the_whole_push(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{",
        "[1]",
        "[]x",
        "{} {}",
        "null",
        "\"x\"",
        "17",
        "<html>",
        "{\"1\":[1,2],\"2\":[-1,0]}",       /* negative */
        "{\"1\":[1125899906842625,0]}",     /* over 2^50 */
        "{\"1\":[99999999999999999999,0]}", /* over 2^64 */
        "{\"1\":[1.5,0]}",
        "{\"1\":[1e3,0]}", /* no integers */
        "{\"1\":[\"1\",0]}",
        "{\"1\":[null,0]}",
        "{\"1\":[true,0]}",
        "{\"1\":[1]}",
        "{\"1\":[1,2,3]}",
        "{\"1\":[]}",
        "{\"1\":{}}",
        "{\"1\":[[1,2],3]}",
        "{\"0\":[1,2]}",
        "{\"-1\":[1,2]}",
        "{\"\":[1,2]}",
        "{\"bob\":[1,2]}",
        "{\"1 \":[1,2]}",
        "{\"9999999999999999999\":[1,2]}",
        "{\"1\":[1,2],}",
        "{\"1\":[1,2]",
        "// {}\n{}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct report_push p;
        struct report_error err;
        enum status st = parse_push(bad[i], &p, &err);
        if (st != ST_E_PROTO)
            fail_msg("%s: %s", bad[i], status_str(st));
        assert_true(err.text[0] != '\0');
        report_push_fini(&p);
    }
}

static void the_error_names_place_and_user(void **state)
{
    (void)state;
    struct report_push p;
    struct report_error err;
    assert_int_equal(parse_push("{\"7\":[1,-2]}", &p, &err), ST_E_PROTO);
    assert_int_equal(err.offset, 8);
    report_push_fini(&p);
    assert_int_equal(parse_push("{\"7\":5}", &p, &err), ST_E_PROTO);
    assert_non_null(strstr(err.text, "user 7"));
    report_push_fini(&p);
}

static void numbers_keep_all_their_bits(void **state)
{
    (void)state;
    struct report_push p;
    struct report_error err;
    assert_int_equal(parse_push("{\"9007199254740993\":[1125899906842624,9007199]}", &p, &err),
                     ST_OK);
    assert_true(p.entries[0].user_id == INT64_C(9007199254740993));
    assert_true(p.entries[0].up == INT64_C(1) << 50);
    report_push_fini(&p);
}

static void addresses_come_out_canonical(void **state)
{
    (void)state;
    struct report_alive a;
    struct report_error err;
    char text[ADDR_STRLEN];
    const char *body = "{\"5\":[\"1.2.3.4\",\"2001:DB8:0:0::1\",\"::ffff:9.8.7.6\"],\"6\":[]}";
    assert_int_equal(report_parse_alive(body, strlen(body), &a, &err), ST_OK);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.users[0].count, 3);
    assert_int_equal(a.users[1].count, 0);
    assert_string_equal(addr_ip_str(&a.ips[1], text), "2001:db8::1");
    assert_string_equal(addr_ip_str(&a.ips[2], text), "9.8.7.6");
    report_alive_fini(&a);
}

static void what_is_no_address_refuses_the_whole_report(void **state)
{
    (void)state;
    static const char *const bad[] = {"{\"5\":[\"host\"]}",  "{\"5\":[\"1.2.3.4:80\"]}",
                                      "{\"5\":[\"\"]}",      "{\"5\":[1]}",
                                      "{\"5\":\"1.2.3.4\"}", "{\"5\":{}}",
                                      "{\"5\":[\"1.2.3.4\"", "{\"5\":[\"1.2.3.4\"]} x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct report_alive a;
        struct report_error err;
        if (report_parse_alive(bad[i], strlen(bad[i]), &a, &err) != ST_E_PROTO)
            fail_msg("%s", bad[i]);
        report_alive_fini(&a);
    }
}

static void a_user_has_a_bounded_number_of_addresses(void **state)
{
    (void)state;
    struct report_alive a;
    struct report_error err;
    size_t size = 32 + (REPORT_IPS_MAX + 1) * 12;
    char *body = malloc(size);
    size_t len = (size_t)snprintf(body, size, "{\"5\":[");
    for (unsigned i = 0; i <= REPORT_IPS_MAX; i++)
        len += (size_t)snprintf(body + len, size - len, "%s\"1.2.%u.%u\"", i > 0 ? "," : "", i >> 8,
                                i & 255);
    len += (size_t)snprintf(body + len, size - len, "]}");
    assert_int_equal(report_parse_alive(body, len, &a, &err), ST_E_LIMIT);
    report_alive_fini(&a);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_example_of_the_contract),
        cmocka_unit_test(nothing_to_report_is_fine_in_both_of_phps_forms),
        cmocka_unit_test(one_wrong_value_refuses_the_whole_push),
        cmocka_unit_test(the_error_names_place_and_user),
        cmocka_unit_test(numbers_keep_all_their_bits),
        cmocka_unit_test(addresses_come_out_canonical),
        cmocka_unit_test(what_is_no_address_refuses_the_whole_report),
        cmocka_unit_test(a_user_has_a_bounded_number_of_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
