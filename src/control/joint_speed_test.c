#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "control/joint_speed.h"

static void both_see_the_same_cells(void **state)
{
    struct joint_speed *a = joint_speed_new(), *b = joint_speed_new();
    uint32_t last = 0;

    (void)state;
    assert_int_equal(joint_speed_fd(a), -1);
    assert_null(joint_speed_at(a, 0, 1));
    assert_int_equal(joint_speed_add(a, 1), 1);
    assert_int_equal(joint_speed_add(a, 2), 2);
    assert_true(joint_speed_take(b, dup(joint_speed_fd(a))));
    assert_false(joint_speed_take(b, dup(joint_speed_fd(a))));
    uint64_t *x = joint_speed_at(a, 2, 2), *y = joint_speed_at(b, 2, 2);
    assert_non_null(x);
    assert_non_null(y);
    assert_true(*x == 0);
    *x = 7;
    assert_true(*y == 7);
    assert_int_equal(joint_speed_no(a, x), 2);
    assert_int_equal(joint_speed_no(b, y), 2);
    assert_int_equal(joint_speed_no(b, x), JOINT_SPEED_NONE);
    assert_int_equal(joint_speed_no(b, NULL), JOINT_SPEED_NONE);
    /* Both may give them: to nobody the same. */
    assert_int_equal(joint_speed_add(b, 1), 4);
    assert_int_equal(joint_speed_add(a, 1), 5);
    for (int i = 0; i < 40000; i++) {
        last = joint_speed_add(b, 3);
        uint64_t *cells = joint_speed_at(b, last, 3);
        assert_non_null(cells);
        assert_int_equal(joint_speed_no(b, cells), last);
    }
    assert_non_null(joint_speed_at(a, last, 3)); /* the file has grown */
    joint_speed_free(a);
    *y = 8; /* it stays */
    assert_true(*(uint64_t *)joint_speed_at(b, 2, 1) == 8);
    joint_speed_free(b);
}

static void what_is_not_in_the_file_is_no_cell(void **state)
{
    struct joint_speed *j = joint_speed_new();
    uint32_t no = 0, count = 0;

    (void)state;
    int pair[2];
    assert_int_equal(pipe(pair), 0);
    assert_true(joint_speed_take(j, pair[0])); /* not even such a file */
    assert_null(joint_speed_at(j, 0, 1));
    assert_int_equal(joint_speed_add(j, 1), JOINT_SPEED_NONE);
    close(pair[1]);
    assert_null(joint_speed_at(j, 1 << 16, 1));
    assert_null(joint_speed_at(j, UINT32_MAX, 1));
    joint_speed_free(j);
    j = joint_speed_new();
    assert_int_equal(joint_speed_add(j, UINT32_MAX), JOINT_SPEED_NONE);
    while ((no = joint_speed_add(j, 16000)) != JOINT_SPEED_NONE)
        count++;
    assert_int_equal(count, 64);
    assert_non_null(joint_speed_at(j, 63 * 16384, 16384));
    assert_null(joint_speed_at(j, 63 * 16384, 16385));
    assert_null(joint_speed_at(j, 64 * 16384, 1));
    joint_speed_free(j);
    joint_speed_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_see_the_same_cells),
        cmocka_unit_test(what_is_not_in_the_file_is_no_cell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
