#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/audit_hits.h"

struct seen {
    size_t n;
    uint64_t sum;
    struct audit_hit last;
};

static void on_hit(void *arg, const struct audit_hit *hit)
{
    struct seen *s = arg;
    s->n++;
    s->sum += hit->count;
    s->last = *hit;
}

static void hits_are_counted_by_user_and_rule(void **state)
{
    struct audit_hits *h = audit_hits_new();
    const struct audit_rule a = {.text = "domain:a", .id = 1}, b = {.text = "domain:b", .id = 2};
    /* The same rule, elsewhere in another list. */
    const struct audit_rule moved = {.text = "domain:a", .id = 7};
    struct seen pairs = {0}, rules = {0};

    (void)state;
    assert_non_null(h);
    assert_int_equal(audit_hits_sum(h).hits, 0);
    audit_hits_pairs(h, on_hit, &pairs);
    assert_int_equal(pairs.n, 0);
    audit_hits_add(h, 5, &a);
    audit_hits_add(h, 5, &moved);
    audit_hits_add(h, 6, &a);
    audit_hits_add(h, 5, &b);
    audit_hits_pairs(h, on_hit, &pairs);
    assert_int_equal(pairs.n, 3);
    assert_int_equal(pairs.sum, 4);
    assert_int_equal(pairs.last.uid, 5);
    assert_string_equal(pairs.last.rule, "domain:b");
    audit_hits_rules(h, on_hit, &rules);
    assert_int_equal(rules.n, 2);
    assert_int_equal(rules.sum, 4);
    assert_int_equal(rules.last.count, 1);
    const struct audit_hits_sums s = audit_hits_sum(h);
    assert_int_equal(s.hits, 4);
    assert_int_equal(s.pairs, 3);
    assert_int_equal(s.rules, 2);
    assert_int_equal(s.other_pairs + s.other_rules, 0);
    audit_hits_free(h);
}

static void what_does_not_fit_is_in_the_sums(void **state)
{
    struct audit_hits *h = audit_hits_new();
    struct seen pairs = {0}, rules = {0};
    char text[16];

    (void)state;
    for (uint64_t uid = 1; uid <= AUDIT_HITS_PAIRS + 10; uid++)
        audit_hits_add(h, uid, &(struct audit_rule){.text = "one"});
    for (unsigned i = 0; i < AUDIT_HITS_RULES + 10; i++) {
        snprintf(text, sizeof(text), "rule %u", i);
        audit_hits_add(h, 1, &(struct audit_rule){.text = text});
    }
    audit_hits_add(h, 1, &(struct audit_rule){.text = "one"});
    audit_hits_pairs(h, on_hit, &pairs);
    audit_hits_rules(h, on_hit, &rules);
    const struct audit_hits_sums s = audit_hits_sum(h);
    assert_int_equal(s.hits, AUDIT_HITS_PAIRS + 10 + AUDIT_HITS_RULES + 10 + 1);
    assert_int_equal(s.pairs, AUDIT_HITS_PAIRS);
    assert_int_equal(s.rules, AUDIT_HITS_RULES);
    assert_int_equal(pairs.n, AUDIT_HITS_PAIRS);
    assert_int_equal(pairs.sum + s.other_pairs, s.hits);
    assert_int_equal(s.other_rules, 11);
    assert_int_equal(rules.sum + s.other_rules, s.hits);
    audit_hits_free(h);
}

/* Told apart by the whole text, though only its beginning is kept. */
static void long_texts_are_cut(void **state)
{
    char a[300], b[300];
    struct audit_hits *h = audit_hits_new();
    struct seen rules = {0};

    (void)state;
    memset(a, 'a', sizeof(a));
    a[AUDIT_HITS_TEXT - 2] = (char)0xc3; /* a letter of two bytes across the end */
    a[AUDIT_HITS_TEXT - 1] = (char)0xa4;
    memcpy(b, a, sizeof(b));
    a[sizeof(a) - 1] = b[sizeof(b) - 1] = '\0';
    b[200] = 'b';
    audit_hits_add(h, 1, &(struct audit_rule){.text = a});
    audit_hits_add(h, 1, &(struct audit_rule){.text = b});
    audit_hits_rules(h, on_hit, &rules);
    assert_int_equal(rules.n, 2);
    assert_int_equal(strlen(rules.last.rule), AUDIT_HITS_TEXT - 2);
    audit_hits_free(h);
}

static void no_table_no_hits(void **state)
{
    struct seen s = {0};

    (void)state;
    audit_hits_add(NULL, 1, &(struct audit_rule){.text = "a"});
    audit_hits_pairs(NULL, on_hit, &s);
    audit_hits_rules(NULL, on_hit, &s);
    assert_int_equal(audit_hits_sum(NULL).hits + s.n, 0);
    audit_hits_free(NULL);
}

static void *count_along(void *arg)
{
    for (uint64_t i = 0; i < 2000; i++)
        audit_hits_add(arg, i % 50, &(struct audit_rule){.text = i % 2 == 0 ? "even" : "odd"});
    return NULL;
}

static void workers_count_together(void **state)
{
    struct audit_hits *h = audit_hits_new();
    pthread_t threads[3];
    struct seen pairs = {0};

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_along, h), 0);
    /* Read meanwhile, whatever is there. */
    for (int i = 0; i < 20; i++) {
        struct seen some = {0};
        audit_hits_rules(h, on_hit, &some);
        assert_true(some.n <= 2 && (some.n == 0 || some.last.rule[0] != '\0'));
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    audit_hits_pairs(h, on_hit, &pairs);
    assert_int_equal(pairs.n, 50);
    assert_int_equal(pairs.sum, 6000);
    audit_hits_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hits_are_counted_by_user_and_rule),
        cmocka_unit_test(what_does_not_fit_is_in_the_sums),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(no_table_no_hits),
        cmocka_unit_test(workers_count_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
