/* control/config/config_keys.h - inside of the config module: the tables of all keys, and the
 * walk over an object's members. */
#ifndef CONTROL_CONFIG_CONFIG_KEYS_H
#define CONTROL_CONFIG_CONFIG_KEYS_H

#include "control/config/config_read.h"

enum config_key_state {
    KEY_WORKS,
    KEY_LATER,   /* understood, not implemented yet: one notice when it asks for something */
    KEY_IGNORED, /* has no meaning here, @why says so in the one notice */
    KEY_PLACE,   /* read elsewhere */
};

enum config_kind {
    KIND_NONE,
    KIND_BOOL,    /* bool */
    KIND_U32,     /* uint32_t, min..max */
    KIND_MBPS,    /* uint32_t kbit/s, of Mbit/s with a fraction or not; max in kbit/s */
    KIND_MS,      /* uint32_t milliseconds; unit: of a bare number; min..max in ms */
    KIND_SECONDS, /* uint32_t seconds, likewise (min..max in ms) */
    KIND_BYTES,   /* uint64_t; unit: bytes a bare number counts; max in bytes */
    KIND_TEXT,    /* const char * */
    KIND_CUSTOM,  /* @read, which gets the struct itself */
    KIND_OBJECT,  /* @scope, into the struct at @offset */
};

struct config_scope;

struct config_key {
    const char *name, *alias; /* alias NULL: none */
    enum config_kind kind;
    enum config_key_state state;
    unsigned part; /* bit: which objects it may stand in, see config_walk */
    bool panel;    /* may come from a panel */
    size_t offset;
    uint64_t unit, min, max;
    bool (*read)(struct config_reader *, const struct config_path *, const struct json_t *,
                 void *dst);
    const struct config_scope *scope;
    const char *why;
};

struct config_scope {
    const char *name; /* for messages: "CertConfig" */
    const struct config_key *keys;
    size_t count;
    unsigned given_bit; /* of its first row in config_node.given; CONFIG_NO_BITS: not tracked */
};
#define CONFIG_NO_BITS 1000u

/* Parts of a node. */
#define PART_ENTRY  1u
#define PART_API    2u
#define PART_OPTION 4u

/* A node while it is read. */
struct config_draft {
    struct config_api api;
    struct config_options opt;
    const char *name, *core, *core_name;
    bool enable_vless, reality_off; /* off: RealityConfig is there and not meant */
};

/* A core while it is read. */
struct config_core {
    const char *type, *name, *access;
    struct view_timeouts timeouts;
    bool usable; /* one of ours: "", xray, sing, v2sp */
};

extern const struct config_scope config_scope_top, config_scope_log, config_scope_core,
    config_scope_node, config_scope_cert, config_scope_limits, config_scope_reality;

/* Reads the members of @obj that @scope knows into @dst; the others are warned about, with the
 * nearest name. Rows whose part is not in @parts are warned about as standing in the wrong
 * place. */
void config_walk(struct config_reader *r, const struct config_path *at, const struct json_t *obj,
                 const struct config_scope *scope, unsigned parts, void *dst);
/* The row of @name in any case; NULL if there is none. */
const struct config_key *config_key_find(const struct config_scope *scope, const char *name);
/* The name in @scope that is nearest to @name, NULL if none is near. */
const char *config_key_nearest(const struct config_scope *scope, const char *name);
/* Letters to change, add, drop or swap to make @a of @b, any case; more than @max is @max + 1. */
unsigned config_distance(const char *a, const char *b, unsigned max);

/* Rows of KIND_CUSTOM. @dst is a config_log, config_core, config_cert or config_draft, as the table
 * says. */
typedef bool config_read_fn(struct config_reader *, const struct config_path *,
                            const struct json_t *, void *dst);
config_read_fn config_read_listen;
config_read_fn config_read_send_ip;
config_read_fn config_read_port;
config_read_fn config_read_proxy_from;
config_read_fn config_read_trusted;
config_read_fn config_read_fallbacks;
config_read_fn config_read_reality;
config_read_fn config_read_dns_type;
config_read_fn config_read_report_policy;
config_read_fn config_read_tls_engine;
config_read_fn config_read_speed_mode;
config_read_fn config_read_dynamic_traffic;
config_read_fn config_read_device_overflow;
config_read_fn config_read_device_store;
config_read_fn config_read_global_device_limit;
config_read_fn config_read_top_device_store;
config_read_fn config_read_cert_mode;
config_read_fn config_read_domain;
config_read_fn config_read_dns_env;
config_read_fn config_read_timeouts;
config_read_fn config_read_api_host;
config_read_fn config_read_node_id;
config_read_fn config_read_node_type;
config_read_fn config_read_panel_type;
config_read_fn config_read_api_timeout;
config_read_fn config_read_api_send_ip;
config_read_fn config_read_level;
config_read_fn config_read_format;
config_read_fn config_read_output;
config_read_fn config_read_api_listen;
config_read_fn config_read_stats_inbounds;
config_read_fn config_read_stats_outbounds;
config_read_fn config_read_stats_users;
config_read_fn config_read_metrics_listen;

/* Defaults, and what follows from several options together. @r only for memory. */
void config_options_init(struct config_options *o);
void config_options_end(struct config_reader *r, struct config_options *o);
void config_timeouts_init(struct view_timeouts *t);

/* Entries of "Nodes", or of an included file, appended to r->cfg by config_nodes_end. */
struct config_nodes;
struct config_nodes *config_nodes_new(struct config_reader *r, const struct config_core *cores,
                                      size_t core_count);
void config_nodes_add(struct config_reader *r, struct config_nodes *ns,
                      const struct config_path *at, const struct json_t *entry);
void config_nodes_end(struct config_reader *r, struct config_nodes *ns);
/* The value of "Include": a path, a glob, a URL, or a list of them. */
void config_include(struct config_reader *r, struct config_nodes *ns, const struct config_path *at,
                    const struct json_t *value);
/* Notes a file in r->cfg->sources ("" and twice are no harm), and the files that @n reads when it
 * is served. */
void config_source_add(struct config_reader *r, const char *path);
void config_source_add_node(struct config_reader *r, const struct config_node *n);
/* All of a file, malloc'ed and NUL-terminated; NULL with errno (EFBIG over JSON_SIZE_MAX). */
char *config_slurp(const char *path, size_t *len);
/* Prints one node as a JSON object; @open shows secrets too (for the digest). */
void config_print_node(const struct config_node *n, FILE *to, bool open);

#endif
