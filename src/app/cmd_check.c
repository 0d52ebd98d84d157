#include "app/cmd_check.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "app/cmd.h"
#include "base/arena.h"
#include "control/config/config.h"
#include "control/config/config_fetch.h"
#include "control/node/rule_lists.h"
#include "tls/client.h"
#include "transport/tls/tls.h"

static int run(int argc, char **argv);

const struct cmd cmd_check = {
    .name = "check",
    .summary = "check a configuration file",
    .usage =
        "Usage: v2sp check [-c FILE] [--online]\n"
        "\n"
        "Reads the configuration and everything it includes, and names file, line, column and key\n"
        "of each finding: errors (this node or setting cannot be used), warnings (most likely a\n"
        "mistake) and notices (understood, but without effect). Certificate files are loaded,\n"
        "block rules of RuleListPath are compiled.\n"
        "Nothing is started and nothing is written, but for copies of included URLs.\n"
        "\n"
        "  -c, --config FILE   the file to check (" CONFIG_FILE_DEFAULT ")\n"
        "  --online            fetch included URLs anew, and ask each panel for the node's\n"
        "                      configuration and users; look at the targets of REALITY nodes\n"
        "\n"
        "Exit status: 0 without errors, 1 with errors.\n",
    .run = run,
};

void check_print(const struct config *cfg, FILE *to)
{
    char line[1200];
    for (size_t i = 0; i < cfg->finding_count; i++)
        fprintf(to, "%s\n", config_finding_str(&cfg->findings[i], line, sizeof(line)));
    size_t all = (size_t)cfg->errors + cfg->warnings + cfg->notices;
    if (all > cfg->finding_count)
        fprintf(to, "%s: and %zu more\n", cfg->file, all - cfg->finding_count);
}

static void say(const struct config_node *n, enum config_severity s, const char *key,
                const char *text)
{
    char line[1200];
    struct config_finding f = {s, n->file, n->line, n->column, n->tag, key, text};
    fprintf(stderr, "%s\n", config_finding_str(&f, line, sizeof(line)));
}

/* Loads the certificate as the listener would. */
static bool try_certificate(const struct config_node *n)
{
    const struct config_cert *c = &n->options.cert;
    bool there = c->cert_file[0] != '\0' && access(c->cert_file, F_OK) == 0 &&
                 access(c->key_file, F_OK) == 0;
    if (c->mode == CONFIG_CERT_NONE || (c->mode != CONFIG_CERT_FILE && !there))
        return true;
    struct conf_context ctx = {
        .cert_file = c->cert_file,
        .key_file = c->key_file,
        .cert_domain = c->domain,
        .reject_unknown_sni = c->reject_unknown_sni,
    };
    struct conf_error err = {.text = "out of memory"};
    const void *conf = NULL;
    struct arena *a = arena_new();
    enum status st = a != NULL ? transport_tls.parse_conf(a, NULL, &ctx, &conf, &err) : ST_E_NOMEM;
    if (st == ST_OK && transport_tls.free_conf != NULL)
        transport_tls.free_conf(conf);
    else if (st != ST_OK)
        say(n, CONFIG_ERROR, "CertConfig", err.text);
    arena_free(a);
    return st == ST_OK;
}

/* The node would serve all the same. */
static unsigned check_rules(const struct config_node *n, struct rule_lists *lists)
{
    const char *path = n->options.rule_list;
    struct rule_list *l = NULL;
    char text[600];
    unsigned warnings = 0;
    int error = 0;

    if (path[0] == '\0')
        return 0;
    if (lists == NULL || rule_lists_file(lists, path, &l, &error) != ST_OK) {
        snprintf(text, sizeof(text), "cannot read %.200s: %s; none of its rules would hold", path,
                 strerror(error));
        say(n, CONFIG_WARNING, "RuleListPath", text);
        return 1;
    }
    for (; warnings < l->note_count; warnings++) {
        snprintf(text, sizeof(text), "%.200s: %s", path, l->notes[warnings]);
        say(n, CONFIG_WARNING, "RuleListPath", text);
    }
    if (l->more > 0) {
        snprintf(text, sizeof(text), "%.200s: %zu more rules are skipped", path, l->more);
        say(n, CONFIG_WARNING, "RuleListPath", text);
        warnings++;
    }
    rule_list_unref(l);
    return warnings;
}

/* False: said. Its server is asked for nothing. */
static bool check_store(const char *file, const char *tag, const struct config_device_store *s)
{
    const struct tls_client_conf conf = {
        .name = s->host, .ca = s->ca, .cert = s->cert_file, .key = s->key_file};
    struct tls_client *c = NULL;
    struct cert_error err;

    if (!s->on || !s->tls)
        return true;
    enum status st = tls_client_new(&conf, &c, &err);
    tls_client_free(c);
    if (st == ST_OK)
        return true;
    fprintf(stderr, "%s: error: %s%sDeviceStore: %s\n", file, tag, tag[0] != '\0' ? ": " : "",
            err.text[0] != '\0' ? err.text : "out of memory");
    return false;
}

static unsigned check_files(const struct config *cfg, unsigned *warnings)
{
    struct rule_lists *lists = rule_lists_new();
    unsigned errors = !check_store(cfg->file, "", &cfg->device_store);
    for (size_t i = 0; i < cfg->node_count; i++) {
        const struct config_node *n = &cfg->nodes[i];
        char text[400];
        *warnings += check_rules(n, lists);
        if (!try_certificate(n))
            errors++;
        errors += n->options.device_store.given &&
                  !check_store(cfg->file, n->tag, &n->options.device_store);
        if (n->api.ca[0] != '\0' && access(n->api.ca, R_OK) != 0) {
            snprintf(text, sizeof(text), "cannot read %.200s: %s", n->api.ca, strerror(errno));
            say(n, CONFIG_ERROR, "ApiCA", text);
            errors++;
        }
    }
    rule_lists_free(lists);
    if (access(cfg->state_dir, F_OK) == 0 && access(cfg->state_dir, W_OK) != 0) {
        fprintf(stderr,
                "%s: warning: StateDir: %s cannot be written by this user; traffic that the panel "
                "has not acknowledged would be lost at a restart\n",
                cfg->file, cfg->state_dir);
        (*warnings)++;
    }
    return errors;
}

static void print_count(const char *before, unsigned n, const char *word)
{
    if (n != 0)
        printf("%s%u %s%s", before, n, word, n == 1 ? "" : "s");
    else
        printf("%sno %ss", before, word);
}

int check_file(const struct cmd *c, const char *path, bool online)
{
    const struct config *cfg;
    struct config_env_io io = {.fetch = online ? config_fetch : NULL};
    if (config_load(path, &io, &cfg) == ST_E_NOMEM) {
        fprintf(stderr, "v2sp %s: out of memory\n", c->name);
        return 1;
    }
    check_print(cfg, stderr);
    unsigned warnings = cfg->warnings, errors = cfg->errors + check_files(cfg, &warnings);
    if (online)
        errors += check_online(cfg, &warnings);
    if (cfg->node_count == 0 && errors == 0) {
        fprintf(stderr, "%s: error: there is no node, v2sp run would not start\n", path);
        errors++;
    }
    printf("%s: ", path);
    print_count("", (unsigned)cfg->node_count, "node");
    print_count(", ", errors, "error");
    print_count(", ", warnings, "warning");
    print_count(", ", cfg->notices, "notice");
    printf("\n");
    config_unref(cfg);
    return errors != 0 ? 1 : 0;
}

static int run(int argc, char **argv)
{
    const char *path = CONFIG_FILE_DEFAULT;
    bool online = false;
    const struct cmd_option options[] = {{"--config", "-c", &path, NULL},
                                         {"--online", NULL, NULL, &online},
                                         {NULL, NULL, NULL, NULL}};
    int words;
    int rc = cmd_parse(&cmd_check, argc, argv, options, NULL, 0, &words);
    return rc != CMD_GO_ON ? rc : check_file(&cmd_check, path, online);
}
