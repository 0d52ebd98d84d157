#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/config/config.h"

static char dir[64];

static char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/config_include_test.XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(mkdir(path_of("nodes.d"), 0700), 0);
    return 0;
}

static int drop_dir(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

static const struct config *load(const char *text, const struct config_env_io *io)
{
    const struct config *cfg;
    put("config.json", text);
    assert_int_equal(config_load(path_of("config.json"), io, &cfg), ST_OK);
    return cfg;
}

static void assert_finding(const struct config *cfg, size_t i, const char *file, int line,
                           const char *says)
{
    assert_true(i < cfg->finding_count);
    const struct config_finding *f = &cfg->findings[i];
    assert_string_equal(f->file + strlen(f->file) - strlen(file), file);
    assert_int_equal(f->line, line);
    assert_non_null(strstr(f->text, says));
}

#define NODE(id) "{\"ApiHost\":\"http://x\",\"ApiKey\":\"k\",\"NodeID\":" #id "}"

static void files_lists_and_patterns(void **state)
{
    (void)state;
    put("one.json", "// a node\n" NODE(1));
    put("nodes.d/b.json", "[" NODE(4) "," NODE(5) ",]");
    put("nodes.d/a.json", "{\"Nodes\":[" NODE(3) "]}");
    char text[512];
    snprintf(text, sizeof(text),
             "{\"StateDir\":\"s\",\"Nodes\":[{\"Include\":\"one.json\"}," NODE(
                 2) ","
                    "{\"include\":[\"nodes.d/*.json\"]}]}");
    const struct config *cfg = load(text, NULL);
    assert_int_equal(cfg->finding_count, 0);
    assert_int_equal(cfg->node_count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(cfg->nodes[i].api.node_id, i + 1);
    assert_string_equal(cfg->nodes[0].file, path_of("one.json"));
    assert_int_equal(cfg->nodes[0].line, 2);
    assert_string_equal(cfg->state_dir, path_of("s"));
    config_unref(cfg);
}

/* A reload is done by the thread that does everything else, signals included. */
static void nobody_waits_for_a_pipe(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path_of("pipe.json"), 0600), 0);
    const struct config *cfg =
        load("{\"Nodes\":[\n{\"Include\":\"pipe.json\"}," NODE(1) "]}", NULL);
    assert_int_equal(cfg->node_count, 1);
    assert_finding(cfg, 0, "pipe.json", 1, "expected a value");
    config_unref(cfg);
    assert_int_equal(config_load(path_of("pipe.json"), NULL, &cfg), ST_E_CONFIG);
    config_unref(cfg);
}

static void what_goes_wrong_is_said_at_its_place(void **state)
{
    (void)state;
    put("bad.json", "{\n \"ApiHost\": }");
    put("typo.json", "\n" NODE(1) "\n");
    put("typo2.json", "[\n{\"ApiHost\":\"http://x\",\"ApiKey\":\"k\",\n\"NodeID\":2,\"Portt\":1}]");
    put("circle.json", "{\"Include\":\"circle.json\"}");
    const struct config *cfg =
        load("{\"Nodes\":[\n{\"Include\":\"missing.json\"},\n{\"Include\":\"bad.json\"},\n"
             "{\"Include\":\"typo2.json\"},\n{\"Include\":\"none.d/*.json\"},\n"
             "{\"Include\":\"typo.json\",\"Name\":\"x\"},\n{\"Include\":\"circle.json\"},\n"
             "{\"Include\":\"\"}]}",
             NULL);
    assert_int_equal(cfg->node_count, 2);
    assert_int_equal(cfg->finding_count, 7);
    assert_finding(cfg, 0, "config.json", 2, "No such file");
    assert_finding(cfg, 1, "bad.json", 2, "expected a value");
    assert_finding(cfg, 2, "typo2.json", 3, "did you mean \"Port\"?");
    assert_finding(cfg, 3, "config.json", 5, "no file matches");
    assert_finding(cfg, 4, "config.json", 6, "Include stands for the whole entry");
    assert_finding(cfg, 5, "circle.json", 1, "deeper than 4 levels");
    assert_finding(cfg, 6, "config.json", 8, "must be the path of a file");
    config_unref(cfg);
}

struct web {
    const char *body; /* NULL: down */
    unsigned calls;
};

static enum status fetch(void *arg, const char *url, char **body, size_t *len, char reason[160])
{
    struct web *w = arg;
    w->calls++;
    assert_string_equal(url, "https://c.example/nodes");
    if (w->body == NULL) {
        snprintf(reason, 160, "connection refused");
        return ST_E_IO;
    }
    *body = strdup(w->body);
    *len = strlen(w->body);
    return ST_OK;
}

static void a_url_is_fetched_and_kept(void **state)
{
    (void)state;
    static const char text[] =
        "{\"StateDir\":\"state\",\"Nodes\":[{\"Include\":\"https://c.example/nodes\"}]}";
    struct web w = {.body = NULL, .calls = 0};
    struct config_env_io io = {.fetch = fetch, .arg = &w};

    const struct config *cfg = load(text, &io);
    assert_int_equal(cfg->node_count, 0);
    assert_finding(cfg, 0, "config.json", 1, "(connection refused), and there is no copy");
    config_unref(cfg);

    w.body = "[" NODE(8) "]";
    cfg = load(text, &io);
    assert_int_equal(cfg->finding_count, 0);
    assert_int_equal(cfg->nodes[0].api.node_id, 8);
    config_unref(cfg);

    w.body = "<html>gone</html>"; /* a bad answer does not replace the copy */
    cfg = load(text, &io);
    assert_int_equal(cfg->errors, 1);
    config_unref(cfg);

    w.body = NULL;
    cfg = load(text, &io);
    assert_int_equal(cfg->errors, 0);
    assert_int_equal(cfg->nodes[0].api.node_id, 8);
    assert_finding(cfg, 0, "config.json", 1, "the copy of the last time is used");
    config_unref(cfg);
    assert_int_equal(w.calls, 4);

    cfg = load(text, NULL);
    assert_int_equal(cfg->nodes[0].api.node_id, 8);
    config_unref(cfg);
}

static void files_that_cannot_be_read(void **state)
{
    (void)state;
    const struct config *cfg;
    assert_int_equal(config_load(path_of("nope.json"), NULL, &cfg), ST_E_CONFIG);
    assert_int_equal(cfg->node_count, 0);
    assert_finding(cfg, 0, "nope.json", 0, "v2sp config init -c");
    config_unref(cfg);
    assert_int_equal(config_load(dir, NULL, &cfg), ST_E_CONFIG);
    assert_non_null(strstr(cfg->findings[0].text, "cannot be read"));
    config_unref(cfg);
}

/* What the documentation shows must be right. */
static void the_examples_have_no_findings(void **state)
{
    (void)state;
    const struct config *cfg;
    const char *root = getenv("V2SP_SOURCE_ROOT");
    char path[512];
    snprintf(path, sizeof(path), "%s/dist/config.example.json", root != NULL ? root : ".");
    assert_int_equal(config_load(path, NULL, &cfg), ST_OK);
    for (size_t i = 0; i < cfg->finding_count; i++) {
        char line[900];
        fail_msg("%s", config_finding_str(&cfg->findings[i], line, sizeof(line)));
    }
    assert_true(cfg->node_count > 0);
    config_unref(cfg);
}

/* The configuration of the program that operators come from: all of it is known. */
static void the_old_example_is_understood(void **state)
{
    (void)state;
    const struct config *cfg;
    const char *root = getenv("V2SP_SOURCE_ROOT");
    char path[512];
    snprintf(path, sizeof(path), "%s/src/control/config/testdata/v2sp-go.json",
             root != NULL ? root : ".");
    assert_int_equal(config_load(path, NULL, &cfg), ST_OK);
    assert_int_equal(cfg->errors, 0);
    assert_int_equal(cfg->warnings, 0);
    assert_int_equal(cfg->node_count, 1);
    assert_int_equal(cfg->nodes[0].options.online_min_bytes, 200000);
    config_unref(cfg);
}

static bool has_source(const struct config *cfg, const char *name)
{
    for (const struct config_source *s = cfg->sources; s != NULL; s = s->next)
        if (strcmp(s->path, path_of(name)) == 0)
            return true;
    return false;
}

/* Whoever watches them must know them all, also those that are not there. */
static void names_the_files_it_comes_from(void **state)
{
    (void)state;
    put("one.json", "{\"ApiHost\": \"http://p/api\", \"ApiKey\": \"k\", \"NodeID\": 1, "
                    "\"CertConfig\": {\"CertMode\": \"file\", \"CertDomain\": \"a.test\", "
                    "\"CertFile\": \"/c/a.crt\", \"KeyFile\": \"/c/a.key\"}}");
    const struct config_env_io io = {.fetch = NULL};
    const struct config *cfg = load("{\"Nodes\": [{\"Include\": [\"one.json\", \"one.json\", "
                                    "\"none.json\", \"nodes.d/*.json\"]}]}",
                                    &io);
    assert_true(has_source(cfg, "config.json"));
    assert_true(has_source(cfg, "one.json"));
    assert_true(has_source(cfg, "nodes.d/*.json"));
    size_t count = 0;
    bool cert = false, key = false, none = false;
    for (const struct config_source *s = cfg->sources; s != NULL; s = s->next) {
        cert |= strcmp(s->path, "/c/a.crt") == 0;
        key |= strcmp(s->path, "/c/a.key") == 0;
        none |= strstr(s->path, "none.json") != NULL;
        count++;
    }
    assert_true(cert && key && none);
    assert_true(has_source(cfg, "none.json"));
    assert_int_equal(count, 7);
    config_unref(cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_lists_and_patterns, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(nobody_waits_for_a_pipe, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(what_goes_wrong_is_said_at_its_place, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(a_url_is_fetched_and_kept, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(files_that_cannot_be_read, make_dir, drop_dir),
        cmocka_unit_test(the_examples_have_no_findings),
        cmocka_unit_test(the_old_example_is_understood),
        cmocka_unit_test_setup_teardown(names_the_files_it_comes_from, make_dir, drop_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
