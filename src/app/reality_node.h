/* app/reality_node.h - the REALITY settings of a node in the embedded panel: what is given, the
 * rest made up. */
#ifndef APP_REALITY_NODE_H
#define APP_REALITY_NODE_H

#include <stdbool.h>

#include "base/status.h"

struct db;
struct db_node;

/* What is wished for; NULL: keep what the node has, or make it. */
struct reality_wish {
    const char *dest;     /* host:port of the target */
    const char *names;    /* server names, with commas */
    const char *short_id; /* hex, may be "" */
    const char *private_key;
    bool mldsa; /* a pair for ML-DSA-65 too, unless there is one */
};

#define REALITY_NODE_PROBLEM 240

/* Brings n->tls_settings in line with @w and completes them: keys, short id, names from the target
 * or the target from the first name. ST_OK; ST_E_CONFIG, ST_E_UNSUPPORTED (REALITY does not go with
 * that network, ML-DSA without a library), ST_E_LIMIT, ST_E_CRYPTO, ST_E_NOMEM with @problem. */
NODISCARD enum status reality_node_fill(struct db *db, struct db_node *n,
                                        const struct reality_wish *w,
                                        char problem[REALITY_NODE_PROBLEM]);

#endif
