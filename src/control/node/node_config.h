/* control/node/node_config.h - what a node is to do: the panel's answer laid over its entry in
 * config.json. Control thread; stateless but for the result.
 *
 * Precedence: what is written locally, then the panel, then defaults (docs/configuration.md). */
#ifndef CONTROL_NODE_NODE_CONFIG_H
#define CONTROL_NODE_NODE_CONFIG_H

#include <stdint.h>

#include "control/config/config_node.h"
#include "panel/v2sp/node_object.h"

struct arena;
struct json_t;

#define NODE_PROBLEM_MAX  160
#define NODE_INTERVAL_MIN 5u
#define NODE_INTERVAL_MAX 3600u

struct node_config {
    struct v2sp_node_object object;  /* borrowed from the answer */
    struct config_options options;   /* merged; in the arena and in the configuration */
    const char *type;                /* lower case: "vless" */
    const char *security;            /* "none", "tls", "reality" */
    const char *network;             /* the panel's word, "tcp" if absent */
    const char *server_name;         /* lower case, NULL = none */
    uint16_t port;                   /* > 0 */
    uint32_t pull_s, push_s;         /* within NODE_INTERVAL_* */
    uint64_t report_min, online_min; /* bytes */
    bool tls_elsewhere; /* the panel says TLS, the local CertMode says a proxy in front ends it */
    char notice[CONFIG_PROBLEM_MAX]; /* something skipped or odd that does not stop the node; "" =
                                        nothing */
};

/* Reads @reply (kept by the caller while @out is used) into @out, texts in @a. ST_OK; ST_E_PROTO:
 * the answer is no configuration; ST_E_CONFIG: it is, but cannot be served; both with @problem.
 * ST_E_NOMEM. */
NODISCARD enum status node_config_read(struct arena *a, const struct config_node *conf,
                                       const struct json_t *reply, struct node_config *out,
                                       char problem[NODE_PROBLEM_MAX]);

#endif
