/* panel/v2sp/node_object.h - the answer to action=config: which port, protocol and transport a node
 * is to serve. Pure, stateless.
 *
 * Two shapes are read (docs/panel-api.md, "config"): the flat node object of the UniProxy family,
 * and a whole local configuration file with Log, Cores, Nodes[], of which the entry with our NodeID
 * (or the only one) counts. Both may be mixed; what stands at the top level wins. Types are PHP's:
 * numbers as strings, [] for {}, null for absent. */
#ifndef PANEL_V2SP_NODE_OBJECT_H
#define PANEL_V2SP_NODE_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct json_t;

/* Every pointer is borrowed from the parsed answer; NULL = absent or null. Numbers: -1 = absent. */
struct v2sp_node_object {
    const char *node_type; /* node_type, protocol or type, in that order */
    int64_t server_port;   /* 0 = absent */
    const char *listen_ip, *host, *server_name;
    const char *network;
    const struct json_t *network_settings; /* networkSettings wins over network_settings */
    int64_t tls;                           /* 0 none, 1 TLS, 2 REALITY; -1 absent */
    const struct json_t *tls_settings;     /* tlsSettings wins over tls_settings */
    const char *flow, *encryption, *decryption;
    const struct json_t *routes;
    int64_t pull_interval, push_interval;                       /* seconds as given */
    int64_t node_report_min_traffic, device_online_min_traffic; /* kB of 1000 bytes */
    /* the object the keys were read from: for a protocol's own settings */
    const struct json_t *node;
    /* entry of Nodes[]: local options the panel proposes; NULL in the flat shape */
    const struct json_t *options;
};

/* Why an answer cannot be used. */
struct v2sp_reply_error {
    char text[160];
};

/* Reads @reply (parsed JSON, kept by the caller as long as @out is used) for node @node_id. ST_OK;
 * ST_E_PROTO with @err: no object, an error message in place of one ({"status":"fail"},
 * {"message":..} alone), a number that is none, no entry for this node. A missing port is no error
 * here: a local option may give it. */
NODISCARD enum status v2sp_node_object_read(const struct json_t *reply, int64_t node_id,
                                            struct v2sp_node_object *out,
                                            struct v2sp_reply_error *err);
/* Key of two configurations that mean the same, whatever their white space, order of members and
 * spelling of numbers: FNV-1a over a canonical form. */
uint64_t v2sp_node_object_hash(const struct json_t *reply);

#endif
