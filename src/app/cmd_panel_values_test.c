#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "app/cmd_panel.h"
#include "base/textbuf.h"

#define NOW INT64_C(1800000000) /* 2027-01-15 08:00:00 UTC */

static void sizes_are_read_in_both_systems(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t want; /* -1: refused */
    } cases[] = {
        {"0", 0},
        {"none", 0},
        {"1500", 1500},
        {"7B", 7},
        {"100G", INT64_C(107374182400)},
        {"100g", INT64_C(107374182400)},
        {"100GiB", INT64_C(107374182400)},
        {"100GB", INT64_C(100000000000)},
        {"1.5T", INT64_C(1649267441664)},
        {"1024P", INT64_C(1) << 60},
        {"1025P", -1},
        {"", -1},
        {"-1G", -1},
        {"+1", -1},
        {"G", -1},
        {"1 G", -1},
        {"1GX", -1},
        {"1e999", -1},
        {"nan", -1},
        {"inf", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t v = -1;
        bool ok = panel_read_size(cases[i].text, &v);
        if (ok != (cases[i].want >= 0) || (ok && v != cases[i].want))
            fail_msg("%s: %d %lld", cases[i].text, ok, (long long)v);
    }
}

static void moments_are_read_as_people_write_them(void **state)
{
    (void)state;
    int64_t v;
    assert_true(panel_read_expiry("never", NOW, &v));
    assert_int_equal(v, 0);
    assert_true(panel_read_expiry("30d", NOW, &v));
    assert_int_equal(v, NOW + 30 * 86400);
    assert_true(panel_read_expiry("12h", NOW, &v));
    assert_int_equal(v, NOW + 12 * 3600);
    assert_true(panel_read_expiry("2027-01-15", NOW, &v));
    assert_int_equal(v, 1800057600); /* midnight after it */
    static const char *const bad[] = {"",
                                      "d",
                                      "30",
                                      "30 d",
                                      "-3d",
                                      "3dd",
                                      "3w",
                                      "2027-02-29",
                                      "2027-13-01",
                                      "2027-1-",
                                      "1969-12-01",
                                      "2027-01-15x",
                                      "99999999999999999999d"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (panel_read_expiry(bad[i], NOW, &v))
            fail_msg("%s", bad[i]);
    }
}

static void whole_days_come_back_as_they_were_given(void **state)
{
    (void)state;
    char text[PANEL_VALUE_MAX];
    int64_t v;
    assert_true(panel_read_expiry("2028-02-29", NOW, &v));
    assert_string_equal(panel_expiry_str(text, v), "2028-02-29");
    assert_string_equal(panel_expiry_str(text, NOW), "2027-01-15 08:00Z");
    assert_string_equal(panel_expiry_str(text, 0), "never");
}

static void numbers_are_shown_short(void **state)
{
    (void)state;
    char text[PANEL_VALUE_MAX];
    assert_string_equal(panel_size_str(text, 0), "0 B");
    assert_string_equal(panel_size_str(text, 999), "999 B");
    assert_string_equal(panel_size_str(text, 1000), "0.98 KiB");
    assert_string_equal(panel_size_str(text, UINT64_C(1610612736)), "1.50 GiB");
    assert_string_equal(panel_size_str(text, UINT64_MAX), "16.0 EiB");
    assert_string_equal(panel_ago_str(text, NOW - 120, NOW), "2 min ago");
    assert_string_equal(panel_ago_str(text, NOW + 5, NOW), "0 s ago");
    assert_string_equal(panel_ago_str(text, 0, NOW), "never");
}

static void a_table_is_as_wide_as_its_widest_cells(void **state)
{
    (void)state;
    struct textbuf cells, out;
    struct panel_table t = {.columns = 3, .right = 4, .cells = &cells};
    textbuf_init(&cells);
    textbuf_init(&out);
    static const char *const words[] = {"ID", "NAME", "UP", "1", "Zürich", "5", "200", "x", "1000"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        panel_table_cell(&t, words[i]);
    panel_table_write(&t, &out);
    textbuf_put(&out, "", 1);
    assert_string_equal(out.p, "ID   NAME      UP\n"
                               "1    Zürich     5\n"
                               "200  x       1000\n");
    textbuf_fini(&cells);
    textbuf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_read_in_both_systems),
        cmocka_unit_test(moments_are_read_as_people_write_them),
        cmocka_unit_test(whole_days_come_back_as_they_were_given),
        cmocka_unit_test(numbers_are_shown_short),
        cmocka_unit_test(a_table_is_as_wide_as_its_widest_cells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
