/* control/admin/status_json.h - writes what status_look.h saw, and what else there is to know of
 * nodes, workers and process, as JSON. Control thread; inside control only. */
#ifndef CONTROL_ADMIN_STATUS_JSON_H
#define CONTROL_ADMIN_STATUS_JSON_H

#include <stdint.h>

#include "codec/json_out.h"
#include "control/admin/status_look.h"
#include "control/store/spool_admin.h"

/* What is dear to find out and does not change from second to second, of node number no. */
struct status_cached {
    const void *served;      /* the certificate is of this one */
    uint64_t cert_ms;        /* when its end was read */
    int64_t cert_end_s;      /* 0: none */
    uint32_t store_node;     /* the spool's sums are of this one */
    uint64_t spool_until_ms; /* and are good so long: reading them costs a walk over accounts */
    struct spool_sum accounts, batches;
    uint32_t batch_count, tried, parked;
    int64_t oldest_s;
};

struct status_cache {
    struct status_cached nodes[VIEW_NODES_MAX];
};

/* Which users are to be listed. */
struct status_wish {
    uint32_t users; /* at most so many */
    char node[256]; /* of the node with this tag; "": of all */
};

/* Writes the document. */
void status_json(struct json_out *o, struct node_env *env, struct status_cache *cache,
                 const struct status_view *v, const struct status_wish *wish);

#endif
