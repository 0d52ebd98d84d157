/* Files that are replaced in all the ways that are used; a change is told once, after a pause. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file_watch.h"
#include "io/loop.h"

#define SETTLE_MS 8

static char dir[64];
static struct loop *loop;
static struct file_watch *fw;
static unsigned told;

static void on_changed(void *arg)
{
    (void)arg;
    told++;
}

static const char *at(const char *name)
{
    static char path[8][128];
    static unsigned next;
    char *p = path[next++ % 8];
    snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
    return p;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(at(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void watch(const char *path)
{
    int err = 0;
    assert_int_equal(file_watch_set(fw, &path, 1, &err), ST_OK);
}

/* The change that was made just now is told, once. */
static void expect_told(void)
{
    unsigned before = told;
    while (told == before)
        loop_once(loop, 1000);
    assert_int_equal(told, before + 1);
}

/* Nothing is told of what was made just now: the next thing that counts is told alone. */
static void expect_quiet(void)
{
    unsigned before = told;
    for (int i = 0; i < 4; i++)
        loop_once(loop, SETTLE_MS);
    assert_int_equal(told, before);
}

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/v2sp-watch-XXXXXX");
    assert_non_null(mkdtemp(dir));
    loop = loop_new();
    assert_non_null(loop);
    fw = file_watch_new(loop, SETTLE_MS, on_changed, NULL);
    assert_non_null(fw);
    told = 0;
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    file_watch_free(fw);
    loop_free(loop);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static void a_file_that_is_written_in_place(void **state)
{
    (void)state;
    put("a", "1");
    watch(at("a"));
    put("a", "2");
    expect_told();
    put("a", "3");
    expect_told();
}

static void a_file_that_is_replaced(void **state)
{
    (void)state;
    put("a", "1");
    watch(at("a"));
    for (int i = 0; i < 3; i++) {
        put("a.new", "2");
        assert_int_equal(rename(at("a.new"), at("a")), 0);
        expect_told();
    }
}

static void neighbours_are_nobodys_business(void **state)
{
    (void)state;
    put("a", "1");
    watch(at("a"));
    put("b", "1");
    put("a~", "1");
    expect_quiet();
}

static void a_file_that_is_not_there_yet(void **state)
{
    (void)state;
    watch(at("later/a"));
    assert_int_equal(mkdir(at("later"), 0700), 0);
    expect_told();
    put("later/a", "1");
    expect_told();
    unlink(at("later/a"));
    expect_told();
}

/* As certbot has it: live/cert -> ../archive/cert1, and the link is turned. */
static void a_link_that_is_turned(void **state)
{
    (void)state;
    mkdir(at("live"), 0700);
    mkdir(at("archive"), 0700);
    put("archive/cert1", "1");
    put("archive/cert2", "2");
    assert_int_equal(symlink("../archive/cert1", at("live/cert")), 0);
    watch(at("live/cert"));
    put("archive/cert1", "1b");
    expect_told();
    assert_int_equal(symlink("../archive/cert2", at("live/new")), 0);
    assert_int_equal(rename(at("live/new"), at("live/cert")), 0);
    expect_told();
    put("archive/cert2", "2b");
    expect_told();
    put("archive/cert1", "nobody looks here any more");
    expect_quiet();
}

/* As Kubernetes has it: config.json -> ..data/config.json, ..data -> a directory, and that link is
 * turned: the file's own directory does not change. */
static void a_directory_that_is_turned(void **state)
{
    (void)state;
    mkdir(at("..1"), 0700);
    mkdir(at("..2"), 0700);
    put("..1/config.json", "1");
    put("..2/config.json", "2");
    assert_int_equal(symlink("..1", at("..data")), 0);
    assert_int_equal(symlink("..data/config.json", at("config.json")), 0);
    watch(at("config.json"));
    assert_int_equal(symlink("..2", at("..tmp")), 0);
    assert_int_equal(rename(at("..tmp"), at("..data")), 0);
    expect_told();
    put("..2/config.json", "2b");
    expect_told();
}

static void the_directory_itself_goes_and_comes(void **state)
{
    (void)state;
    mkdir(at("etc"), 0700);
    put("etc/a", "1");
    watch(at("etc/a"));
    assert_int_equal(rename(at("etc"), at("etc.old")), 0);
    expect_told();
    mkdir(at("etc"), 0700);
    expect_told();
    put("etc/a", "2");
    expect_told();
}

static void a_pattern(void **state)
{
    (void)state;
    mkdir(at("nodes.d"), 0700);
    watch(at("nodes.d/*.json"));
    put("nodes.d/a.json", "1");
    expect_told();
    put("nodes.d/a.txt", "1");
    expect_quiet();
}

static void links_that_lead_in_circles_end(void **state)
{
    (void)state;
    assert_int_equal(symlink("b", at("a")), 0);
    assert_int_equal(symlink("a", at("b")), 0);
    watch(at("a"));
    unlink(at("b"));
    expect_told();
}

static void many_changes_are_told_once(void **state)
{
    (void)state;
    const char *paths[] = {at("a"), at("b")};
    int err = 0;
    assert_int_equal(file_watch_set(fw, paths, 2, &err), ST_OK);
    assert_int_equal(file_watch_count(fw), 1);
    for (int i = 0; i < 20; i++) {
        put("a", "1");
        put("b", "1");
    }
    expect_told();
    expect_quiet();
}

static void what_is_watched_no_more_is_quiet(void **state)
{
    (void)state;
    mkdir(at("one"), 0700);
    mkdir(at("two"), 0700);
    watch(at("one/a"));
    watch(at("two/a"));
    assert_int_equal(file_watch_count(fw), 1);
    put("one/a", "1");
    expect_quiet();
    put("two/a", "1");
    expect_told();
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_file_that_is_written_in_place),
        CASE(a_file_that_is_replaced),
        CASE(neighbours_are_nobodys_business),
        CASE(a_file_that_is_not_there_yet),
        CASE(a_link_that_is_turned),
        CASE(a_directory_that_is_turned),
        CASE(the_directory_itself_goes_and_comes),
        CASE(a_pattern),
        CASE(links_that_lead_in_circles_end),
        CASE(many_changes_are_told_once),
        CASE(what_is_watched_no_more_is_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
