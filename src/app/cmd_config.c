#include <stdio.h>
#include <string.h>

#include "app/cmd.h"
#include "app/cmd_check.h"
#include "app/cmd_config_init.h"
#include "control/config/config.h"

static int run(int argc, char **argv);

const struct cmd cmd_config = {
    .name = "config",
    .summary = "write, check or show a configuration file",
    .usage =
        "Usage: v2sp config init [-c FILE] [--force] [URL KEY ID...]\n"
        "       v2sp config init -i [-c FILE] [--force]\n"
        "       v2sp config validate [-c FILE] [--online]\n"
        "       v2sp config show [-c FILE]\n"
        "\n"
        "init       writes a first configuration with comments. With URL, KEY and one or more IDs\n"
        "           it is ready to run: the address of the panel's API, its token, and the "
        "numbers\n"
        "           of the nodes there. A file that exists is kept unless --force is given; then\n"
        "           the old one is saved as FILE.bak.\n"
        "validate   does what v2sp check does.\n"
        "show       prints the configuration as it is understood, includes and defaults filled "
        "in,\n"
        "           secrets masked.\n"
        "\n"
        "  -c, --config FILE   the file (" CONFIG_FILE_DEFAULT "); init: \"-\" is standard output\n"
        "  -i, --interactive   ask for URL, KEY and IDs\n"
        "  --force             init: replace a file that exists\n"
        "  --online            validate: ask the panels too\n"
        "\n"
        "Example: v2sp config init https://panel.example.com/api/node s3cret 1 2\n",
    .run = run,
};

static int show(const char *path)
{
    const struct config *cfg;
    enum status st = config_load(path, NULL, &cfg);
    if (st == ST_E_NOMEM) {
        fprintf(stderr, "v2sp config: out of memory\n");
        return 1;
    }
    check_print(cfg, stderr);
    if (st == ST_OK)
        config_print(cfg, stdout);
    bool bad = st != ST_OK || cfg->errors != 0;
    config_unref(cfg);
    return bad ? 1 : 0;
}

static int run(int argc, char **argv)
{
    enum { WORDS_MAX = 3 + CONFIG_INIT_IDS_MAX };
    struct config_init init = {.path = CONFIG_FILE_DEFAULT};
    const char *words[WORDS_MAX];
    bool online = false;
    int count;
    const struct cmd_option options[] = {{"--config", "-c", &init.path, NULL},
                                         {"--interactive", "-i", NULL, &init.interactive},
                                         {"--force", NULL, NULL, &init.force},
                                         {"--online", NULL, NULL, &online},
                                         {NULL, NULL, NULL, NULL}};
    int rc = cmd_parse(&cmd_config, argc, argv, options, words, WORDS_MAX, &count);
    if (rc != CMD_GO_ON)
        return rc;
    if (count == 0)
        return cmd_misused(&cmd_config, "say what to do: init, validate or show");
    const char *what = words[0];
    if (strcmp(what, "init") == 0) {
        if (online)
            return cmd_misused(&cmd_config, "--online belongs to validate");
        init.words = words + 1;
        init.word_count = (size_t)count - 1;
        return config_init_run(&cmd_config, &init);
    }
    if (strcmp(what, "validate") != 0 && strcmp(what, "show") != 0)
        return cmd_misused(&cmd_config, "there is no \"%s\"; say init, validate or show", what);
    if (count > 1)
        return cmd_misused(&cmd_config, "unexpected \"%s\"", words[1]);
    if (init.force || init.interactive)
        return cmd_misused(&cmd_config, "--force and --interactive belong to init");
    if (strcmp(what, "validate") == 0)
        return check_file(&cmd_config, init.path, online);
    if (online)
        return cmd_misused(&cmd_config, "--online belongs to validate");
    return show(init.path);
}
