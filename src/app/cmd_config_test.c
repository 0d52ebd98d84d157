#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "app/cmd.h"
#include "control/config/config.h"

static char dir[64];

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/cmd_config_test.XXXXXX");
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int drop_dir(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

/* Runs one command with its output in files "out" and "err" of the directory. */
static int run(const struct cmd *c, const char *const *args)
{
    char *argv[16];
    int argc = 0, saved_out, saved_err;
    argv[argc++] = strdup(c->name);
    for (; *args != NULL; args++)
        argv[argc++] = strdup(*args);
    argv[argc] = NULL;
    fflush(stdout);
    fflush(stderr);
    saved_out = dup(STDOUT_FILENO);
    saved_err = dup(STDERR_FILENO);
    assert_non_null(freopen(path_of("out"), "w", stdout));
    assert_non_null(freopen(path_of("err"), "w", stderr));
    int rc = c->run(argc, argv);
    fflush(stdout);
    fflush(stderr);
    dup2(saved_out, STDOUT_FILENO);
    dup2(saved_err, STDERR_FILENO);
    close(saved_out);
    close(saved_err);
    while (argc > 0)
        free(argv[--argc]);
    return rc;
}
#define RUN(cmd, ...) run(&(cmd), (const char *const[]){__VA_ARGS__, NULL})

static bool said(const char *file, const char *text)
{
    static char all[65536];
    FILE *f = fopen(path_of(file), "r");
    assert_non_null(f);
    all[fread(all, 1, sizeof(all) - 1, f)] = '\0';
    fclose(f);
    return strstr(all, text) != NULL;
}

static void init_writes_what_check_accepts(void **state)
{
    (void)state;
    char file[128];
    struct stat st;
    snprintf(file, sizeof(file), "%s", path_of("etc/config.json"));
    assert_int_equal(RUN(cmd_config, "init", "-c", file), 0);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    const struct config *cfg;
    assert_int_equal(config_load(file, NULL, &cfg), ST_OK);
    assert_int_equal(cfg->finding_count, 0);
    assert_int_equal(cfg->node_count, 1);
    config_unref(cfg);
    assert_int_equal(RUN(cmd_check, "-c", file), 0);
    assert_true(said("out", "1 node, no errors, no warnings, no notices"));
    assert_int_equal(RUN(cmd_config, "validate", "--online=false", "--config", file), 0);

    assert_int_equal(RUN(cmd_config, "init", "-c", file), 1);
    assert_true(said("err", "--force replaces it"));
    assert_int_equal(RUN(cmd_config, "init", "--force", "-c", file, "https://p.example/x",
                         "a\"token-long", "7", "8"),
                     0);
    assert_int_equal(config_load(file, NULL, &cfg), ST_OK);
    assert_int_equal(cfg->finding_count, 0);
    assert_int_equal(cfg->node_count, 2);
    assert_string_equal(cfg->nodes[1].api.key, "a\"token-long");
    assert_int_equal(cfg->nodes[1].api.node_id, 8);
    config_unref(cfg);
    assert_int_equal(access(path_of("etc/config.json.bak"), F_OK), 0);

    assert_int_equal(RUN(cmd_config, "show", "-c", file), 0);
    assert_true(said("out", "\"ApiKey\": \"a\\\"to****long\""));
    assert_false(said("out", "token"));
}

static void init_refuses_what_would_not_work(void **state)
{
    (void)state;
    char file[128];
    snprintf(file, sizeof(file), "%s", path_of("c.json"));
    assert_int_equal(RUN(cmd_config, "init", "-c", file, "panel", "k", "1"), 1);
    assert_true(said("err", "must be a URL that begins with https://"));
    assert_int_equal(RUN(cmd_config, "init", "-c", file, "https://p", "k", "one"), 1);
    assert_int_equal(RUN(cmd_config, "init", "-c", file, "https://p"), 2);
    assert_true(said("err", "the token is missing"));
    assert_int_not_equal(access(file, F_OK), 0);
    assert_int_equal(RUN(cmd_config, "init", "-c", "-"), 0);
    assert_true(said("out", "CHANGE-ME"));
}

static void check_names_mistakes_and_certificates(void **state)
{
    (void)state;
    char file[128];
    snprintf(file, sizeof(file), "%s", path_of("c.json"));
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fprintf(f,
            "{\"StateDir\":\"%s\",\"Nodes\":[\n"
            "{\"ApiHost\":\"http://x\",\"ApiKey\":\"k\",\"NodeID\":1,\"LisenIP\":\"::\"},\n"
            "{\"ApiHost\":\"http://x\",\"ApiKey\":\"k\",\"NodeID\":2,\"CertConfig\":"
            "{\"CertMode\":\"file\",\"CertFile\":\"%s/no.crt\",\"KeyFile\":\"%s/no.key\"}}]}",
            dir, dir, dir);
    fclose(f);
    assert_int_equal(RUN(cmd_check, "-c", file), 1);
    assert_true(said("err", "c.json:2:47: warning: node [http://x]-:1: Nodes[0].LisenIP: unknown "
                            "key, not read; did you mean \"ListenIP\"?"));
    assert_true(said("err", "c.json:3:1: error: node [http://x]-:2: CertConfig: "));
    assert_true(said("out", "2 nodes, 1 error, 1 warning, no notices"));
    assert_int_equal(RUN(cmd_check, "-c", path_of("missing.json")), 1);
    assert_true(said("err", "no such file"));
}

static void keys_are_those_of_the_panels(void **state)
{
    (void)state;
    assert_int_equal(
        RUN(cmd_reality, "--node-id", "1", "--node-type", "VLESS", "--token", "your_api_key"), 0);
    assert_true(said("out", "Private key: UJjLiJyhydvGfyBaHXhS9jnlE_O1GHH_7kLRpJNYPWE\n"
                            "Public key: odD8jjsz9Tb4vXQdom5I79UulKjW5QpSfYj9Zm7mH0M\n"));
    assert_int_equal(RUN(cmd_x25519, "--private=MPKPLDHkGeR-aqf2xOT8dN9h-zPg6NAChpG2PBzyJkQ"), 0);
    assert_true(said("out", "Public key: FJ5u6baMwwg3uxkBKwzAcArsb7JwImwoQyZigrIxKSM\n"));
    assert_int_equal(RUN(cmd_x25519, "-i", "MPKPLDHkGeR+aqf2xOT8dN9h+zPg6NAChpG2PBzyJkQ="), 0);
    assert_true(said("out", "Public key: FJ5u6baMwwg3uxkBKwzAcArsb7JwImwoQyZigrIxKSM\n"));
    assert_int_equal(RUN(cmd_x25519, "--private", "short"), 2);
    assert_int_equal(run(&cmd_x25519, (const char *const[]){NULL}), 0);
    assert_true(said("out", "Private key: "));
}

static void wrong_use_says_what_to_do(void **state)
{
    (void)state;
    static const struct {
        const struct cmd *cmd;
        const char *args[4];
        const char *says;
    } cases[] = {
        {&cmd_check, {"--bogus"}, "v2sp check: there is no option --bogus\nTry: v2sp check --help"},
        {&cmd_check, {"-c"}, "--config needs a value"},
        {&cmd_check, {"--config="}, "the value of --config is empty"},
        {&cmd_check, {"--online=yes"}, "--online takes no value, or true or false"},
        {&cmd_check, {"file"}, "unexpected \"file\""},
        {&cmd_config, {NULL}, "say what to do: init, validate or show"},
        {&cmd_config, {"edit"}, "there is no \"edit\"; say init, validate or show"},
        {&cmd_config, {"show", "--force"}, "belong to init"},
        {&cmd_config, {"show", "--online"}, "--online belongs to validate"},
        {&cmd_config, {"init", "--online"}, "--online belongs to validate"},
        {&cmd_reality, {"--node-id", "1"}, "--node-type is missing"},
        {&cmd_reality, {"--node-type", "x", "--node-id", "1"}, "--token is missing"},
        {&cmd_version, {"--", "--help"}, "unexpected \"--help\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *args[5] = {cases[i].args[0], cases[i].args[1], cases[i].args[2],
                               cases[i].args[3], NULL};
        assert_int_equal(run(cases[i].cmd, args), 2);
        if (!said("err", cases[i].says))
            fail_msg("case %zu does not say: %s", i, cases[i].says);
    }
    assert_int_equal(RUN(cmd_reality, "--node-id", "x", "--node-type", "t", "--token", "k"), 2);
    static const struct cmd *const all[] = {&cmd_check, &cmd_config, &cmd_x25519, &cmd_reality,
                                            &cmd_version};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char usage[64];
        assert_int_equal(RUN(*all[i], "--help"), 0);
        snprintf(usage, sizeof(usage), "Usage: v2sp %s", all[i]->name);
        assert_true(said("out", usage));
    }
    assert_int_equal(run(&cmd_version, (const char *const[]){NULL}), 0);
    assert_true(said("out", "v2sp " V2SP_VERSION "\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(init_writes_what_check_accepts, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(init_refuses_what_would_not_work, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(check_names_mistakes_and_certificates, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(keys_are_those_of_the_panels, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(wrong_use_says_what_to_do, make_dir, drop_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
