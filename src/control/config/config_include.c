/* Include: nodes from other files and from the web. (docs/configuration.md, "Include".) */
#include "control/config/config_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "codec/json.h"
#include "crypto/hash.h"

#define INCLUDE_DEPTH_MAX 4u /* also what ends a circle */
#define INCLUDE_FILES_MAX 4096u
#define PIPE_WAIT_MS      1000

/* More of a file. A pipe (`-c <(...)`, /dev/stdin) may take a moment, but no reload waits for
 * one to which nobody writes. */
static ssize_t read_more(int fd, char *to, size_t room)
{
    for (;;) {
        ssize_t n = read(fd, to, room);
        if (n >= 0 || (errno != EINTR && errno != EAGAIN))
            return n;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (errno == EAGAIN && poll(&p, 1, PIPE_WAIT_MS) == 0) {
            errno = ETIMEDOUT;
            return -1;
        }
    }
}

char *config_slurp(const char *path, size_t *len)
{
    size_t cap = 16384, used = 0;
    char *buf = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return NULL;
    for (;;) {
        char *grown = realloc(buf, cap + 1);
        if (grown == NULL)
            goto fail;
        buf = grown;
        ssize_t n = read_more(fd, buf + used, cap - used);
        if (n < 0)
            goto fail;
        if (n == 0)
            break;
        used += (size_t)n;
        if (used > JSON_SIZE_MAX) {
            errno = EFBIG;
            goto fail;
        }
        if (used == cap)
            cap *= 2;
    }
    close(fd);
    buf[used] = '\0';
    *len = used;
    return buf;
fail:;
    int why = errno;
    close(fd);
    free(buf);
    errno = why;
    return NULL;
}

/* A document that is a node, a list of nodes, or a configuration with "Nodes". */
static void read_document(struct config_reader *r, struct config_nodes *ns,
                          const struct json_t *doc)
{
    const struct json_t *nodes = json_get(doc, "Nodes");
    bool whole = nodes != NULL && json_get(doc, "ApiHost") == NULL;
    const struct json_t *list = whole ? nodes : doc;
    const struct config_path *at = whole ? CONFIG_KEY(NULL, "Nodes") : NULL;
    if (!json_is_array(list)) {
        config_nodes_add(r, ns, at, list);
        return;
    }
    for (size_t i = 0; i < json_array_len(list) && !r->nomem; i++)
        config_nodes_add(r, ns, CONFIG_AT(at, i), json_at(list, i));
}

/* Reads @text as a file of its own and comes back to the including one. */
static bool read_text(struct config_reader *r, struct config_nodes *ns, const char *name,
                      const char *text, size_t len)
{
    struct config_file outer = r->file;
    struct json_t *doc;
    struct json_error err;
    r->file = (struct config_file){.name = config_copy(r, name), .text = NULL, .len = 0};
    enum status st = json_parse(text, len, &doc, &err);
    if (st == ST_E_NOMEM) {
        r->nomem = true;
    } else if (st != ST_OK) {
        config_report_json(r, &err);
    } else {
        r->file.text = text;
        r->file.len = len;
        r->include_depth++;
        read_document(r, ns, doc);
        r->include_depth--;
    }
    json_unref(doc);
    r->file = outer;
    return st == ST_OK;
}

static bool read_file(struct config_reader *r, struct config_nodes *ns,
                      const struct config_path *at, const char *path)
{
    size_t len;
    char *text = config_slurp(path, &len);
    config_source_add(r, path);
    if (text == NULL) {
        config_report(r, CONFIG_ERROR, at, "cannot read %.200s: %s", path, strerror(errno));
        return false;
    }
    (void)read_text(r, ns, path, text, len);
    explicit_bzero(text, len);
    free(text);
    return true;
}

/* @path as seen from the including file; NULL if it is absolute or the file stands in the working
 * directory. */
static char *beside(struct config_reader *r, const char *path)
{
    const char *slash = strrchr(r->file.name, '/');
    if (*path == '/' || slash == NULL)
        return NULL;
    char *p = arena_printf(r->a, "%.*s/%s", (int)(slash - r->file.name), r->file.name, path);
    if (p == NULL)
        r->nomem = true;
    return p;
}

static void include_glob(struct config_reader *r, struct config_nodes *ns,
                         const struct config_path *at, const char *pattern)
{
    glob_t found = {0};
    char *near = beside(r, pattern);
    config_source_add(r, near != NULL ? near : pattern);
    int rc = glob(near != NULL ? near : pattern, 0, NULL, &found);
    if (rc == GLOB_NOMATCH && near != NULL) {
        globfree(&found);
        rc = glob(pattern, 0, NULL, &found);
    }
    if (rc == GLOB_NOMATCH)
        config_report(r, CONFIG_WARNING, at, "no file matches %.200s", pattern);
    else if (rc != 0)
        config_report(r, CONFIG_ERROR, at, "cannot look for %.200s", pattern);
    for (size_t i = 0; rc == 0 && i < found.gl_pathc && i < INCLUDE_FILES_MAX; i++)
        (void)read_file(r, ns, at, found.gl_pathv[i]);
    globfree(&found);
}

static void include_file(struct config_reader *r, struct config_nodes *ns,
                         const struct config_path *at, const char *path)
{
    char *near = beside(r, path);
    if (near != NULL)
        config_source_add(r, near); /* where it would be looked for first */
    (void)read_file(r, ns, at, near != NULL && access(near, F_OK) == 0 ? near : path);
}

/* Where the last good copy of @url lies; NULL without memory. */
static char *copy_path(struct config_reader *r, const char *url)
{
    uint8_t digest[HASH_SHA256_LEN];
    char name[17];
    if (hash_sum(NULL, HASH_SHA256, url, strlen(url), digest) != ST_OK)
        return NULL;
    for (size_t i = 0; i < 8; i++)
        snprintf(name + 2 * i, 3, "%02x", digest[i]);
    return arena_printf(r->a, "%s/include-%s.json", r->cfg->state_dir, name);
}

/* Keeps a copy: written beside and renamed, so that a full disk leaves the old one. It holds keys:
 * for the owner only. */
static void keep_copy(struct config_reader *r, const char *path, const char *body, size_t len)
{
    char *temp = arena_printf(r->a, "%s.new", path);
    if (temp == NULL)
        return;
    (void)mkdir(r->cfg->state_dir, 0700);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    size_t done = 0;
    while (done < len) {
        ssize_t n = write(fd, body + done, len - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    bool good = done == len && fsync(fd) == 0;
    if (close(fd) != 0 || !good || rename(temp, path) != 0)
        (void)unlink(temp);
}

static void include_url(struct config_reader *r, struct config_nodes *ns,
                        const struct config_path *at, const char *url)
{
    char reason[160] = "this command does not fetch";
    char *body = NULL, *copy = copy_path(r, url);
    size_t len = 0;
    if (r->io->fetch != NULL && r->io->fetch(r->io->arg, url, &body, &len, reason) == ST_OK) {
        if (read_text(r, ns, url, body, len) && copy != NULL)
            keep_copy(r, copy, body, len);
    } else {
        body = copy != NULL ? config_slurp(copy, &len) : NULL;
        config_report(r, body != NULL ? CONFIG_WARNING : CONFIG_ERROR, at,
                      body != NULL ? "cannot fetch %.200s (%s): the copy of the last time is used"
                                   : "cannot fetch %.200s (%s), and there is no copy of it yet",
                      url, reason);
        if (body != NULL)
            (void)read_text(r, ns, url, body, len);
    }
    if (body != NULL)
        explicit_bzero(body, len);
    free(body);
}

static void include_one(struct config_reader *r, struct config_nodes *ns,
                        const struct config_path *at, const struct json_t *value)
{
    const char *s;
    if (!config_text(r, at, value, &s))
        return;
    if (*s == '\0')
        config_report(r, CONFIG_ERROR, at, "must be the path of a file, a pattern or a URL");
    else if (strncasecmp(s, "http://", 7) == 0 || strncasecmp(s, "https://", 8) == 0)
        include_url(r, ns, at, s);
    else if (strpbrk(s, "*?[") != NULL)
        include_glob(r, ns, at, s);
    else
        include_file(r, ns, at, s);
}

void config_include(struct config_reader *r, struct config_nodes *ns, const struct config_path *at,
                    const struct json_t *value)
{
    if (r->io == NULL) {
        config_report(r, CONFIG_ERROR, at, "Include cannot be used here");
        return;
    }
    if (r->include_depth >= INCLUDE_DEPTH_MAX) {
        config_report(r, CONFIG_ERROR, at, "files include each other deeper than %u levels",
                      INCLUDE_DEPTH_MAX);
        return;
    }
    if (!json_is_array(value)) {
        include_one(r, ns, at, value);
        return;
    }
    for (size_t i = 0; i < json_array_len(value) && !r->nomem; i++)
        include_one(r, ns, CONFIG_AT(at, i), json_at(value, i));
}
