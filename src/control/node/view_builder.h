/* control/node/view_builder.h - makes the listener and chain of a node from the panel's words:
 * security, network and protocol, looked up in the registry.
 *
 * What the registry does not know is refused with a text that says what it is, so the node waits
 * and its neighbours run. Control thread. */
#ifndef CONTROL_NODE_VIEW_BUILDER_H
#define CONTROL_NODE_VIEW_BUILDER_H

#include <stdint.h>

#include "control/node/node_config.h"
#include "policy/view.h"
#include "stream/transport.h"

/* A node as it can be served, with the rest of what the panel asked for. Refcounted in the control
 * thread: views hold one each. */
struct served_node {
    struct view_node node; /* its texts and configurations live in the arena */
    uint32_t refs;
    struct arena *arena;
    struct {
        void (*free_conf)(const void *);
        const void *conf;
    } confs[VIEW_STAGES_MAX];
    unsigned conf_count;
    const struct proto *proto;
    const void *proto_conf;
    const char *type;               /* for the node_type of requests */
    const char *network, *security; /* "ws", "tls" */
    const char *cert_domain;        /* "" = none given */
    enum config_cert_mode cert_mode;
    struct node_rules *rules; /* node.audit and what it needs; NULL: none */
    uint16_t port;
    uint32_t pull_s, push_s;
    uint64_t report_min, online_min;
    struct config_limits limits;
    uint32_t drain_ms;
    bool mass_delete_guard;
    bool device_limit_kick;
    uint64_t hash;       /* of the panel's configuration: v2sp_node_object_hash */
    uint64_t cert_stamp; /* of the certificate's files when they were read; 0 = none */
    const char *cert_file, *key_file;
    char notice[CONFIG_PROBLEM_MAX]; /* to be logged once; "" = nothing */
};

/* Builds from the panel's answer. *@out has one reference. ST_OK; ST_E_PROTO: no configuration;
 * ST_E_CONFIG, ST_E_UNSUPPORTED, ST_E_CRYPTO: cannot be served; ST_E_NOMEM. All with @problem. */
NODISCARD enum status view_builder_make(const struct config_node *conf, const struct json_t *reply,
                                        struct served_node **out, char problem[NODE_PROBLEM_MAX]);
/* One more reference; the last one that goes frees the node and wipes its keys. */
struct served_node *served_node_ref(struct served_node *s);
void served_node_unref(struct served_node *s); /* NULL is fine */
/* What cert_stamp would be now; 0: there are no files, or one is just missing. */
uint64_t served_node_cert_now(const struct served_node *s);
/* Unix time at which the certificate in the files ends; 0: there is none. Reads them. */
int64_t served_node_cert_end(const struct served_node *s);

#endif
