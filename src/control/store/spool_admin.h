/* control/store/spool_admin.h - the spool as people work on it: what waits of which node, and what
 * is to become of a batch. Works on any open state database, also one whose nodes do not run.
 * Control thread only, or whoever has the database to himself.
 *
 * A parked batch is one the panel may have booked, of a node whose ReportPolicy is at-most-once:
 * nothing but spool_admin_replay sends it again. */
#ifndef CONTROL_STORE_SPOOL_ADMIN_H
#define CONTROL_STORE_SPOOL_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "control/store/spool.h"

struct store;

#define SPOOL_PARKED_MAX 64u /* of a node: the oldest is given up for another */

struct spool_sum {
    uint64_t rows, up, down;
};

/* A node of the state database. */
struct spool_node_info {
    uint32_t node;        /* store_node() */
    const char *identity; /* config_node_identity(); borrowed for the call */
};

struct spool_batch_info {
    uint64_t seq;
    int64_t frozen_s; /* unix time; 0: not known */
    bool tried;       /* the panel may have booked it */
    enum spool_parked parked;
    struct spool_sum sum;
    const char *key; /* Idempotency-Key; borrowed for the call */
};

/* Calls @fn for each node there ever was, in the order they came. What @fn returns, other than
 * ST_OK, ends the walk. ST_OK, ST_E_IO. */
NODISCARD enum status
spool_admin_nodes(struct store *s, enum status (*fn)(void *arg, const struct spool_node_info *n),
                  void *arg);
/* What of @node is in no batch yet; *@oldest_s: since when the first of it waits, 0 = nothing does,
 * or since an earlier run. ST_OK or ST_E_IO. */
NODISCARD enum status spool_admin_accounts(struct store *s, uint32_t node, struct spool_sum *sum,
                                           int64_t *oldest_s);
/* Calls @fn for each batch of the node, oldest first, as spool_admin_nodes does. @identity: of the
 * node. */
NODISCARD enum status
spool_admin_batches(struct store *s, uint32_t node, const char *identity,
                    enum status (*fn)(void *arg, const struct spool_batch_info *b), void *arg);

/* Lets batch @seq be sent again, with its key, if it is parked; 0: all that are. *@sum is what they
 * hold. ST_OK, ST_E_NOTFOUND, ST_E_IO. */
NODISCARD enum status spool_admin_replay(struct store *s, uint32_t node, uint64_t seq,
                                         struct spool_sum *sum);
/* Forgets batch @seq; *@sum is what it held. ST_OK, ST_E_NOTFOUND, ST_E_IO. */
NODISCARD enum status spool_admin_drop(struct store *s, uint32_t node, uint64_t seq,
                                       struct spool_sum *sum);
/* Forgets everything that waits of a node that does not run: batches and ended accounts. ST_OK,
 * ST_E_NOTFOUND: nothing did; ST_E_IO. */
NODISCARD enum status spool_admin_drop_node(struct store *s, uint32_t node, struct spool_sum *sum);
/* Everything that waits of node @from, which does not run, is @to's from now on. Its batches keep
 * their keys: a panel that has booked one knows it again. @identity: of @from. ST_OK;
 * ST_E_NOTFOUND: nothing waits; ST_E_IO. */
NODISCARD enum status spool_admin_move(struct store *s, uint32_t from, const char *identity,
                                       uint32_t to, struct spool_sum *sum);
/* Forgets the oldest parked batch of the node if there are more than SPOOL_PARKED_MAX. ST_OK:
 * *@seq and *@sum say which; ST_E_NOTFOUND: there are not; ST_E_IO. */
NODISCARD enum status spool_admin_give_up(struct store *s, uint32_t node, uint64_t *seq,
                                          struct spool_sum *sum);

#endif
