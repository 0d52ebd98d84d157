#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/addr.h"
#include "codec/json.h"
#include "control/node/rule_lists.h"

struct world {
    struct rule_lists *lists;
    char dir[40], path[64];
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    strcpy(w->dir, "/tmp/v2sp-rules-XXXXXX");
    if (mkdtemp(w->dir) == NULL)
        return 1;
    snprintf(w->path, sizeof(w->path), "%s/rules.txt", w->dir);
    w->lists = rule_lists_new();
    *state = w;
    return w->lists == NULL;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    rule_lists_free(w->lists);
    unlink(w->path);
    rmdir(w->dir);
    free(w);
    return 0;
}

static void put_file(const struct world *w, const char *text, size_t len)
{
    char other[80];
    snprintf(other, sizeof(other), "%s.new", w->path);
    FILE *f = fopen(other, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(other, w->path), 0);
}

static struct rule_list *panel(const struct world *w, const char *text)
{
    struct json_t *v;
    struct json_error e;
    struct rule_list *l;

    assert_int_equal(json_parse(text, strlen(text), &v, &e), ST_OK);
    assert_int_equal(rule_lists_panel(w->lists, v, &l), ST_OK);
    json_unref(v);
    return l;
}

static struct rule_list *file(const struct world *w)
{
    struct rule_list *l;
    int error;
    assert_int_equal(rule_lists_file(w->lists, w->path, &l, &error), ST_OK);
    return l;
}

static uint32_t blocks(const struct rule_list *l, const char *host)
{
    const struct audit a = {.lists = {l->list}, .count = 1};
    struct target t;

    assert_int_equal(target_set_host(&t, host, strlen(host), 443), ST_OK);
    const struct audit_rule *r = audit_match(&a, &(struct audit_flow){.target = &t});
    return r != NULL ? r->id : 0;
}

static void what_panels_say_is_compiled_once(void **state)
{
    static const char one[] = "[{\"id\":5,\"action\":\"block\",\"match\":[\"domain:a.example\"]}]";
    const struct world *w = *state;
    struct rule_list *a = panel(w, one), *b = panel(w, one);
    struct rule_list *c =
        panel(w, "[{\"id\":6,\"action\":\"block\",\"match\":[\"domain:a.example\"]}]");

    assert_non_null(a);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_int_equal(a->refs, 2);
    assert_int_equal(blocks(a, "x.a.example"), 5);
    assert_int_equal(rule_list_count(a), 1);
    rule_list_unref(a);
    rule_list_unref(b);
    assert_null(panel(w, "[]"));
    assert_null(panel(w, "null"));
    rule_list_unref(c);
}

static void bad_rules_of_a_panel_have_notes(void **state)
{
    const struct world *w = *state;
    struct rule_list *l = panel(w, "[{\"id\":7,\"action\":\"dns\",\"match\":[]},"
                                   "{\"id\":9,\"action\":\"block\",\"match\":[\"regexp:ab(\",\"\","
                                   "\"*.b.example\",\"domain:c.example\"]}]");

    assert_int_equal(l->note_count, 3);
    assert_string_equal(l->notes[0],
                        "1 route with action \"dns\": a later version will do it, not used");
    assert_string_equal(l->notes[1], "route 9, \"*.b.example\": no regular expression, taken for a "
                                     "domain and what is below it");
    assert_string_equal(
        l->notes[2],
        "route 9, \"regexp:ab(\": missing closing parenthesis, at character 3: skipped");
    assert_int_equal(rule_list_count(l), 2);
    assert_int_equal(blocks(l, "c.example"), 9);
    rule_list_unref(l);
    /* Nothing in it but what is not done. */
    l = panel(w, "[{\"id\":7,\"action\":\"dns\",\"match\":[]}]");
    assert_int_equal(l->note_count, 1);
    assert_null(l->list);
    rule_list_unref(l);
}

static void many_bad_rules_are_counted(void **state)
{
    const struct world *w = *state;
    char text[2048] = "";

    for (unsigned i = 0; i < 50; i++)
        strcat(text, "ab(c\n");
    strcat(text, "good\\.example\n");
    put_file(w, text, strlen(text));
    struct rule_list *l = file(w);
    assert_int_equal(l->note_count, RULE_LIST_NOTES);
    assert_int_equal(l->more, 50 - RULE_LIST_NOTES);
    assert_int_equal(rule_list_count(l), 1);
    assert_int_equal(blocks(l, "good.example"), 51);
    rule_list_unref(l);
}

static void a_file_as_editors_write_it(void **state)
{
    static const char text[] = "\xef\xbb\xbf"
                               "# names\r\n"
                               "domain:a.example\r\n"
                               "\r\n"
                               "   \t\n"
                               "^ads[0-9]+\\.\n"
                               "10.0.0.0/8";
    const struct world *w = *state;

    put_file(w, text, sizeof(text) - 1);
    struct rule_list *l = file(w);
    assert_int_equal(l->note_count, 0);
    assert_int_equal(rule_list_count(l), 3);
    assert_int_equal(blocks(l, "a.example"), 2);
    assert_int_equal(blocks(l, "ads1.example"), 5);
    assert_int_equal(blocks(l, "10.1.1.1"), 6);
    assert_int_equal(blocks(l, "b.example"), 0);
    rule_list_unref(l);
    put_file(w, "\xef\xbb\xbf", 3);
    l = file(w);
    assert_null(l->list);
    rule_list_unref(l);
    put_file(w, "", 0);
    l = file(w);
    assert_null(l->list);
    rule_list_unref(l);
}

/* Memory is taken for rules, not for lines. */
static void a_file_of_blank_lines(void **state)
{
    const struct world *w = *state;
    const size_t size = RULE_LIST_FILE_MAX;
    char *text = malloc(size);
    struct rusage before, after;

    assert_non_null(text);
    memset(text, '\n', size);
    memcpy(text + size - 2, "ab", 2);
    put_file(w, text, size);
    free(text);
    getrusage(RUSAGE_SELF, &before);
    struct rule_list *l = file(w);
    getrusage(RUSAGE_SELF, &after);
    assert_int_equal(blocks(l, "ab"), size - 1);
    assert_in_range(after.ru_maxrss - before.ru_maxrss, 0, 256 * 1024); /* KiB */
    rule_list_unref(l);
}

static void a_file_of_too_many_rules(void **state)
{
    const struct world *w = *state;
    const size_t size = 2 * (AUDIT_LIST_MAX + 3u);
    char *text = malloc(size);

    assert_non_null(text);
    for (size_t i = 0; i < size; i += 2)
        memcpy(text + i, i + 6 < size ? "9\n" : "x\n", 2);
    put_file(w, text, size);
    free(text);
    struct rule_list *l = file(w);
    assert_int_equal(rule_list_count(l), AUDIT_LIST_MAX);
    assert_int_equal(l->more, 3);
    assert_string_equal(l->notes[0], "it has more than 1000000 rules: those behind are skipped");
    assert_int_equal(blocks(l, "9.example"), 1);
    assert_int_equal(blocks(l, "x.b"), 0);
    rule_list_unref(l);
}

static void a_file_is_read_again_when_it_changes(void **state)
{
    const struct world *w = *state;

    put_file(w, "a.example\n", 10);
    struct rule_list *a = file(w), *same = file(w);
    assert_ptr_equal(a, same);
    assert_false(rule_list_is_stale(a));
    put_file(w, "b.example\n", 10);
    assert_true(rule_list_is_stale(a));
    struct rule_list *b = file(w);
    assert_ptr_not_equal(a, b);
    assert_int_equal(blocks(b, "b.example"), 1);
    assert_int_equal(blocks(a, "a.example"), 1); /* whoever holds it has it */
    unlink(w->path);
    assert_false(rule_list_is_stale(b));
    rule_list_unref(a);
    rule_list_unref(same);
    rule_list_unref(b);
}

static void files_that_cannot_be_read(void **state)
{
    const struct world *w = *state;
    struct rule_list *l;
    int error = 0;

    assert_int_equal(rule_lists_file(w->lists, w->path, &l, &error), ST_E_IO);
    assert_int_equal(error, ENOENT);
    assert_int_equal(rule_lists_file(w->lists, w->dir, &l, &error), ST_E_IO);
    assert_int_equal(error, EINVAL);
    /* Nobody writes into it: opened as a file is it would wait for ever. */
    assert_int_equal(mkfifo(w->path, 0600), 0);
    assert_int_equal(rule_lists_file(w->lists, w->path, &l, &error), ST_E_IO);
    assert_int_equal(error, EINVAL);
    put_file(w, "a", 1);
    assert_int_equal(truncate(w->path, RULE_LIST_FILE_MAX + 1), 0);
    assert_int_equal(rule_lists_file(w->lists, w->path, &l, &error), ST_E_IO);
    assert_int_equal(error, EFBIG);
    assert_null(l);
}

static void lists_outlive_their_shelf(void **state)
{
    struct world *w = *state;
    struct rule_list *l = panel(w, "[{\"id\":1,\"action\":\"block\",\"match\":\"a.example\"}]");

    rule_lists_free(w->lists);
    w->lists = NULL;
    assert_int_equal(blocks(l, "a.example"), 1);
    rule_list_unref(l);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_panels_say_is_compiled_once),
        TEST(bad_rules_of_a_panel_have_notes),
        TEST(many_bad_rules_are_counted),
        TEST(a_file_as_editors_write_it),
        TEST(a_file_of_blank_lines),
        TEST(a_file_of_too_many_rules),
        TEST(a_file_is_read_again_when_it_changes),
        TEST(files_that_cannot_be_read),
        TEST(lists_outlive_their_shelf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
