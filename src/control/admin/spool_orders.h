/* control/admin/spool_orders.h - `v2sp spool`: what it shows and does, for the service that runs
 * and for a database that no service has open alike. Control thread, or whoever has the database
 * to himself. Names of members: docs/status.md. */
#ifndef CONTROL_ADMIN_SPOOL_ORDERS_H
#define CONTROL_ADMIN_SPOOL_ORDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "codec/json_out.h"
#include "control/store/spool_admin.h"

struct json_t;
struct store;

/* A node that is configured, or still ends: its traffic waits for nobody's order. */
struct spool_place {
    uint32_t node; /* store_node() */
    const char *tag;
    uint64_t sending; /* the batch on its way to the panel; 0: none */
};

struct spool_places {
    const struct spool_place *list;
    size_t count;
};

/* Writes all that waits, by node. ST_OK, ST_E_IO, ST_E_NOMEM. */
NODISCARD enum status spool_orders_list(struct json_out *o, struct store *s,
                                        struct spool_places places);

#define SPOOL_ORDER_TEXT 400u

struct spool_order {
    bool drop;        /* else replay */
    const char *node; /* tag, number of its row, or identity; NULL: the one that has the batch */
    const char *to;   /* replay: everything of @node goes to this one; NULL: it stays */
    uint64_t batch;   /* 0: replay all parked ones of @node, or drop everything of it */
};

struct spool_outcome {
    uint32_t node; /* whose reports are due now */
    struct spool_sum sum;
    char text[SPOOL_ORDER_TEXT]; /* what was done, or why not */
};

/* Reads {"node": ..., "to": ..., "batch": ...}; texts are borrowed. False: wrong. */
bool spool_order_read(const struct json_t *v, bool drop, struct spool_order *out);
/* ST_OK: done; ST_E_NOTFOUND, ST_E_BUSY, ST_E_CONFIG: it cannot be; ST_E_IO, ST_E_NOMEM.
 * out->text in any case. */
NODISCARD enum status spool_order_run(struct store *s, struct spool_places places,
                                      const struct spool_order *order, struct spool_outcome *out);

#endif
