#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/admin/status_blocked.h"
#include "policy/audit_hits.h"

static void expect(const struct textbuf *t, const char *want)
{
    assert_int_equal(t->len, strlen(want));
    assert_memory_equal(t->p, want, t->len);
}

static void the_most_come_first(void **state)
{
    struct audit_hits *h = audit_hits_new();
    const struct audit_rule a = {.id = 1, .text = "a"}, b = {.id = 2, .text = "b"};
    struct textbuf t;
    struct json_out o = {.t = &t};

    (void)state;
    assert_non_null(h);
    textbuf_init(&t);
    audit_hits_add(h, 7, &a);
    audit_hits_add(h, 8, &b);
    audit_hits_add(h, 9, &b);
    audit_hits_add(h, 9, &b);
    status_blocked(&o, h);
    expect(&t, "\"blocked\":{\"hits\":4,\"rules\":[{\"rule\":\"b\",\"hits\":3},{\"rule\":\"a\","
               "\"hits\":1}],\"users\":[{\"uid\":9,\"rule\":\"b\",\"hits\":2},{\"uid\":7,"
               "\"rule\":\"a\",\"hits\":1},{\"uid\":8,\"rule\":\"b\",\"hits\":1}]}");
    textbuf_fini(&t);
    audit_hits_free(h);
}

static void many_are_cut(void **state)
{
    struct audit_hits *h = audit_hits_new();
    struct textbuf t;
    struct json_out o = {.t = &t};
    unsigned rules = 0;

    (void)state;
    assert_non_null(h);
    textbuf_init(&t);
    for (uint32_t i = 1; i <= 50; i++) {
        char text[8];
        const struct audit_rule r = {.id = i, .text = text};
        snprintf(text, sizeof(text), "r%u", i);
        for (uint32_t k = 0; k < i; k++)
            audit_hits_add(h, i, &r);
    }
    status_blocked(&o, h);
    textbuf_put(&t, "", 1);
    for (const char *p = t.p; (p = strstr(p, "\"rule\":")) != NULL; p++)
        rules++;
    assert_int_equal(rules, 2 * STATUS_BLOCKED_MAX);
    assert_non_null(strstr(t.p, "[{\"rule\":\"r50\",\"hits\":50},{\"rule\":\"r49\""));
    assert_null(strstr(t.p, "\"r30\""));
    textbuf_fini(&t);
    audit_hits_free(h);
}

static void without_rules(void **state)
{
    struct textbuf t;
    struct json_out o = {.t = &t};

    (void)state;
    textbuf_init(&t);
    status_blocked(&o, NULL);
    expect(&t, "\"blocked\":null");
    textbuf_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_come_first),
        cmocka_unit_test(many_are_cut),
        cmocka_unit_test(without_rules),
    };
    return cmocka_run_group_tests_name("status_blocked", tests, NULL, NULL);
}
