#include "app/cmd_config_init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/cmd.h"
#include "app/cmd_check.h"
#include "control/config/config.h"
#include "crypto/mem.h"

static const char head[] =
    "{\n"
    "    // Comments and trailing commas are fine; keys may be written in any case.\n"
    "    // \"v2sp check\" names what is wrong, \"v2sp config show\" prints every option.\n"
    "    \"Log\": {\n"
    "        \"Level\": \"info\", // debug, info, warning, error, none\n"
    "        \"Output\": \"\", // a file; empty: standard error (journalctl -u v2sp)\n"
    "    },\n"
    "    \"Nodes\": [\n";

/* Between the API part and the end of each entry. */
static const char options[] =
    "            \"Timeout\": 30, // seconds for one call of the panel\n"
    "            \"ListenIP\": \"::\", // IPv4 and IPv6; \"0.0.0.0\" for IPv4 only\n"
    "            \"CertConfig\": {\n"
    "                // none: no TLS here; file: CertFile and KeyFile; self: made by v2sp\n"
    "                \"CertMode\": \"none\",\n"
    "                // \"CertDomain\": \"node1.example.com\",\n"
    "                // \"CertFile\": \"/etc/v2sp/cert/node1.crt\",\n"
    "                // \"KeyFile\": \"/etc/v2sp/cert/node1.key\",\n"
    "            },\n"
    "        },\n";

static const char tail[] = "    ],\n}\n";

static void put_text(FILE *to, const char *s)
{
    fputc('"', to);
    for (; *s != '\0'; s++) {
        if (*s == '"' || *s == '\\')
            fputc('\\', to);
        if ((unsigned char)*s < 0x20)
            fprintf(to, "\\u%04x", (unsigned)*s);
        else
            fputc(*s, to);
    }
    fputc('"', to);
}

static void put_node(FILE *to, const char *url, const char *key, const char *id)
{
    fputs("        {\n            \"ApiHost\": ", to);
    put_text(to, url);
    fputs(", // the panel's API\n            \"ApiKey\": ", to);
    put_text(to, key);
    fputs(", // its token\n            \"NodeID\": ", to);
    put_text(to, id);
    fputs(",\n            // vless, vmess, trojan or shadowsocks; the panel's word counts if it "
          "differs\n"
          "            \"NodeType\": \"vless\",\n",
          to);
    fputs(options, to);
}

/* The whole file; NULL without memory. */
static char *compose(const char *const *words, size_t count, size_t *len)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, len);
    if (to == NULL)
        return NULL;
    fputs(head, to);
    if (count == 0)
        put_node(to, "https://panel.example.com/api/node", "CHANGE-ME", "1");
    for (size_t i = 2; i < count; i++)
        put_node(to, words[0], words[1], words[i]);
    fputs(tail, to);
    if (fclose(to) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* Splits one line into words in place. */
static size_t split(char *line, const char **words, size_t max)
{
    size_t n = 0;
    char *rest = NULL;
    for (char *w = strtok_r(line, " \t\r\n", &rest); w != NULL && n < max;
         w = strtok_r(NULL, " \t\r\n", &rest))
        words[n++] = w;
    return n;
}

static bool ask(char *line, size_t cap, const char **words, size_t *count)
{
    for (;;) {
        fputs("The address of the panel's API, its token, and the numbers of the nodes, such as\n"
              "  https://panel.example.com/api/node s3cret 1 2\n> ",
              stderr);
        if (fgets(line, (int)cap, stdin) == NULL)
            return false;
        *count = split(line, words, 2 + CONFIG_INIT_IDS_MAX);
        if (*count >= 3)
            return true;
        fputs("Three words at least are needed.\n", stderr);
    }
}

/* Nothing is written that v2sp would not read. */
static bool is_usable(const char *text, size_t len, const char *name)
{
    const struct config *cfg;
    if (config_parse(text, len, name, NULL, &cfg) == ST_E_NOMEM)
        return false;
    bool good = cfg->errors == 0;
    if (!good)
        check_print(cfg, stderr);
    config_unref(cfg);
    return good;
}

/* Makes the directory of @path, one level. */
static void make_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash != NULL && slash != path ? strndup(path, (size_t)(slash - path)) : NULL;
    if (dir != NULL)
        (void)mkdir(dir, 0755);
    free(dir);
}

static bool save_old(const struct cmd *c, const char *path)
{
    char *backup = NULL;
    if (asprintf(&backup, "%s.bak", path) < 0)
        return false;
    bool good = rename(path, backup) == 0;
    if (good)
        fprintf(stderr, "The old file is kept as %s\n", backup);
    else
        fprintf(stderr, "v2sp %s: cannot rename %s to %s: %s\n", c->name, path, backup,
                strerror(errno));
    free(backup);
    return good;
}

static int write_file(const struct cmd *c, const struct config_init *init, const char *text,
                      size_t len)
{
    make_parent(init->path);
    if (init->force && access(init->path, F_OK) == 0 && !save_old(c, init->path))
        return 1;
    int fd = open(init->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) {
        fprintf(stderr, "v2sp %s: %s exists; --force replaces it and keeps a copy\n", c->name,
                init->path);
        return 1;
    }
    if (fd < 0) {
        fprintf(stderr, "v2sp %s: cannot write %s: %s\n", c->name, init->path, strerror(errno));
        return 1;
    }
    bool good = write(fd, text, len) == (ssize_t)len;
    good = close(fd) == 0 && good;
    if (!good) {
        fprintf(stderr, "v2sp %s: cannot write %s: %s\n", c->name, init->path, strerror(errno));
        (void)unlink(init->path);
        return 1;
    }
    printf("Written: %s\n", init->path);
    if (init->word_count == 0 && !init->interactive)
        printf("Edit ApiHost, ApiKey and NodeID in it, then: v2sp check -c %s --online\n",
               init->path);
    else
        printf("Now: v2sp check -c %s --online, then: v2sp run -c %s\n", init->path, init->path);
    return 0;
}

int config_init_run(const struct cmd *c, const struct config_init *init)
{
    char line[4096];
    const char *asked[2 + CONFIG_INIT_IDS_MAX];
    const char *const *words = init->words;
    size_t count = init->word_count, len = 0;
    if (init->interactive) {
        if (count != 0)
            return cmd_misused(c, "--interactive asks for what stands there already");
        if (!ask(line, sizeof(line), asked, &count)) {
            fprintf(stderr, "v2sp %s: nothing was given, nothing is written\n", c->name);
            return 1;
        }
        words = asked;
    }
    if (count == 1 || count == 2)
        return cmd_misused(c, "%s is missing: init takes URL KEY ID...",
                           count == 1 ? "the token" : "the number of the node");
    char *text = compose(words, count, &len);
    if (text == NULL) {
        fprintf(stderr, "v2sp %s: out of memory\n", c->name);
        return 1;
    }
    int rc = 1;
    if (!is_usable(text, len, "what would be written"))
        fprintf(stderr, "v2sp %s: nothing is written\n", c->name);
    else if (strcmp(init->path, "-") == 0)
        rc = fwrite(text, 1, len, stdout) == len ? 0 : 1;
    else
        rc = write_file(c, init, text, len);
    crypto_wipe(text, len);
    free(text);
    return rc;
}
