/* control/config/config.h - config.json and its Include files, read once into something immutable.
 *
 * Life: config_load -> (config_ref/config_unref from any thread). Everything in it lives as long as
 * the last reference. Reading never stops at the first mistake: a bad node is left out and named,
 * the others stay, and all findings are in a list with file, line and column. A reload should use a
 * configuration only if errors == 0. What each key means: docs/configuration.md. */
#ifndef CONTROL_CONFIG_CONFIG_H
#define CONTROL_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/log.h"
#include "base/status.h"
#include "control/config/config_node.h"
#include "control/config/config_stats.h"

#define CONFIG_FILE_DEFAULT  "/etc/v2sp/config.json"
#define CONFIG_STATE_DEFAULT "/var/lib/v2sp"

enum config_severity {
    CONFIG_ERROR,   /* this node, or (node NULL) this setting or file, cannot be used */
    CONFIG_WARNING, /* most likely a mistake: unknown key, two nodes on one port */
    CONFIG_NOTICE,  /* understood, but without effect in this version */
};

struct config_finding {
    enum config_severity severity;
    const char *file;
    int line, column; /* from 1; 0 = the file as a whole */
    const char *node; /* tag; NULL: not about one node */
    const char *key;  /* such as "Nodes[0].CertConfig.CertMode"; "" = none */
    const char *text; /* what is wrong and what to do; shows no secret */
};

struct config_log {
    enum log_level level;
    const char *output; /* file; "" = standard error */
    bool json;
    uint32_t max_size_mb, max_backups, max_age_days; /* rotation; 0 = never, all, for ever */
    const char *access;                              /* file of the access log; "" = off */
};

/* A file it was read from, or that a node reads, there or not: the file itself, what Include names
 * (also as a pattern), certificates, keys. */
struct config_source {
    const struct config_source *next;
    const char *path;
};

struct config {
    const char *file; /* as given to config_load */
    struct config_log log;
    const char *state_dir;  /* StateDir, else /var/lib/v2sp, else ./state beside the file */
    unsigned workers;       /* 0 = one a core */
    uint64_t memory_budget; /* bytes; 0 = chosen at start */
    uint32_t drain_ms;      /* DrainTimeout of the process at SIGTERM */
    struct config_stats stats;
    struct config_metrics metrics;
    struct config_device_store device_store; /* of nodes without one of their own */
    const struct config_node *nodes;         /* the usable ones, in file order */
    size_t node_count;
    const struct config_source *sources;   /* files whose change is a reason to read it again */
    const struct config_finding *findings; /* in the order they were met */
    size_t finding_count;
    unsigned errors, warnings, notices;
};

/* What loading needs from outside; members may be NULL/0. */
struct config_env_io {
    /* Fetches an http(s) Include. *@body is malloc'ed and becomes the caller's; at most
     * JSON_SIZE_MAX bytes, at most 10 s. On failure a short reason in @reason. NULL: the copy of
     * the last good fetch is used, which lies in the state directory. */
    enum status (*fetch)(void *arg, const char *url, char **body, size_t *len, char reason[160]);
    void *arg;
};

/* Reads @path. *@out is the caller's reference also when ST_E_CONFIG (unreadable or no JSON: look
 * at the findings, there are no nodes). ST_OK: usable, though nodes may have been left out.
 * ST_E_NOMEM: *@out is NULL. @io may be NULL. */
NODISCARD enum status config_load(const char *path, const struct config_env_io *io,
                                  const struct config **out);
/* The same from memory; @name stands for the file in messages, Include paths are relative to the
 * working directory. @io NULL: Include is refused. */
NODISCARD enum status config_parse(const char *text, size_t len, const char *name,
                                   const struct config_env_io *io, const struct config **out);
const struct config *config_ref(const struct config *cfg);
void config_unref(const struct config *cfg); /* NULL is fine; wipes the memory of secrets */

/* "config.json:12:5: error: [tag] Nodes[0].NodeID: ..." ; @dst is always terminated. Returns
 * @dst. */
char *config_finding_str(const struct config_finding *f, char *dst, size_t cap);

/* The keys at the top of the file that are only read at a start and that differ: "Workers,
 * StateDir". @dst is always terminated, "" where none does. Returns @dst. */
#define CONFIG_AT_START_MAX 80
char *config_at_start_str(const struct config *a, const struct config *b,
                          char dst[CONFIG_AT_START_MAX]);

/* Prints the configuration as it was understood, as JSON, secrets masked. */
void config_print(const struct config *cfg, FILE *to);

#endif
