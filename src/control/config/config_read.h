/* control/config/config_read.h - inside of the config module: where the reader stands, what it has
 * found, and how values are read.
 *
 * All of it works on arena memory and never stops: out of memory is noted in @nomem, the caller
 * looks once at the end. */
#ifndef CONTROL_CONFIG_CONFIG_READ_H
#define CONTROL_CONFIG_CONFIG_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/config/config.h"

struct json_t;
struct json_error;

/* Where a value stands: a chain up to the root (NULL). */
struct config_path {
    const struct config_path *up;
    const char *key; /* member name as written; NULL: element @index */
    size_t index;
};
#define CONFIG_PATH_MAX       16
#define CONFIG_KEY(up_, key_) (&(const struct config_path){.up = (up_), .key = (key_), .index = 0})
#define CONFIG_AT(up_, index_)                                                                     \
    (&(const struct config_path){.up = (up_), .key = NULL, .index = (index_)})

/* Line and column (from 1) of the key, or element, that @path names; of the nearest one above it
 * when it is missing. Of duplicates the last, as the value is taken from it. */
void config_where(const char *text, size_t len, const struct config_path *path, int *line,
                  int *column);
/* "Nodes[0].CertConfig.CertMode"; cut at @cap. Returns @dst. */
char *config_path_str(const struct config_path *path, char *dst, size_t cap);

struct config_file {
    const char *name;
    const char *text; /* for positions; NULL: unknown */
    size_t len;
};

struct config_note; /* one finding while they are collected */

struct config_reader {
    struct arena *a;
    struct config *cfg;
    const struct config_env_io *io; /* NULL: no Include */
    struct config_file file;        /* being read */
    const char *node;               /* tag for findings, NULL outside */
    bool node_bad;                  /* an error was found since it was cleared */
    bool nomem;
    unsigned include_depth;
    struct config_note *first, *last;
    const void *noticed[64]; /* rows that have had their one notice */
    size_t noticed_count;
    bool panel;      /* reading a panel's reply: nothing is reported but the first problem */
    char *problem;   /* then; NULL or CONFIG_PROBLEM_MAX bytes */
    uint64_t *given; /* bits of the rows met (locally), or to leave alone (panel) */
};

#define CONFIG_FINDINGS_MAX 200u

/* Notes a finding about @at; an error sets node_bad too. Beyond CONFIG_FINDINGS_MAX only
 * counted. From a panel's reply the first error goes to r->problem, and nothing else. */
void config_report(struct config_reader *r, enum config_severity s, const struct config_path *at,
                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The file is no JSON. */
void config_report_json(struct config_reader *r, const struct json_error *err);
/* Turns the collected findings into the array of r->cfg and counts them. */
void config_report_end(struct config_reader *r);

/* Arena copies; "" and r->nomem set without memory. */
const char *config_copy(struct config_reader *r, const char *text);
const char *config_copy_part(struct config_reader *r, const char *text, size_t len);
void *config_alloc(struct config_reader *r, size_t size); /* NULL: r->nomem is set */

/* Each reads @v into @out; when it cannot, it reports an error at @at, leaves @out alone and
 * returns false. */
bool config_bool(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                 bool *out);
bool config_number(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                   uint64_t min, uint64_t max, uint64_t *out);
/* kbit/s from a number of Mbit/s, such as 100, 1.5 or "0.5"; at most @max_kbps. */
bool config_rate(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                 uint32_t max_kbps, uint32_t *out);
/* Milliseconds from a number in units of @unit_ms or a text such as "500ms", "30s", "5m", "2h",
 * "1d". */
bool config_duration(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                     uint64_t unit_ms, uint64_t min_ms, uint64_t max_ms, uint64_t *out);
/* Bytes from a number in units of @unit or a text such as "64k", "512m", "2g" (powers of 1024). */
bool config_size(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                 uint64_t unit, uint64_t max, uint64_t *out);
/* A text without control characters, copied. */
bool config_text(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                 const char **out);
/* Items of a list of texts, of one text, or of one text with commas, trimmed, copied; empty ones
 * are left out. At most @max. */
bool config_list(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                 size_t max, const char *const **out, size_t *count);
/* A numeric address with or without brackets; "" is 0.0.0.0. */
bool config_ip(struct config_reader *r, const struct config_path *at, const char *text,
               struct addr *out);
/* Addresses and networks, as config_list takes them; count 0 for nothing. */
bool config_cidrs(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                  const struct cidr **out, size_t *count);
/* false, 0, "", "none", null, [] and {}: asks for nothing. */
bool config_is_neutral(const struct json_t *v);

#endif
