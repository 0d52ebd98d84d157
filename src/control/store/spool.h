/* control/store/spool.h - traffic between the live counters and the panel, in the database. Control
 * thread only.
 *
 *   live counters --spool_put--> account --spool_freeze--> batch --spool_sending--> (push)
 *                                                            ^                      |    |
 *                                                            +----- spool_back -----+    |
 *                                                     gone <--------- spool_done --------+
 *                                                   parked <--------- spool_park --------+
 *
 * An account is one assignment of a counter slot to a user; its number (aid) is never used twice.
 * It holds the counter's sums as last seen and the part of them that is in batches. Putting the
 * same sums twice changes nothing, so a sampler that was killed simply samples again: no byte is
 * moved twice or lost. A batch is frozen: same number, same rows, for ever. At most a few exist a
 * node, because nothing is frozen while one waits; what comes later stays in the accounts, 100
 * bytes a user, so a panel that is down for a month costs no more than one that is down for a
 * minute. (docs/internals/accounting.md.) */
#ifndef CONTROL_STORE_SPOOL_H
#define CONTROL_STORE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct store;

struct spool_account {
    uint64_t aid, uid;
    uint32_t node;     /* store_node() */
    uint64_t up, down; /* sums of the counter since the account began */
    bool last;         /* the counter will not move any more */
};

/* Notes the sums of one account, within a transaction of the caller. ST_OK or ST_E_IO. */
NODISCARD enum status spool_put(struct store *s, const struct spool_account *a, int64_t unix_s);

/* The counters of start @epoch are put a last time: no later put of them counts. In the same
 * transaction as the puts. *@before: that had been done already, so nothing must be put. ST_OK or
 * ST_E_IO. */
NODISCARD enum status spool_recover(struct store *s, uint32_t epoch, bool *before);
/* No counters of starts before @epoch exist any more: their accounts end with what is known, their
 * marks go. ST_OK or ST_E_IO. */
NODISCARD enum status spool_bury(struct store *s, uint32_t epoch);

#define SPOOL_KEY_LEN 80 /* with its NUL */
/* About 700 KB of body; panels count online users by the entries of one push. */
#define SPOOL_ROWS_MAX 20000u
#define SPOOL_WAIT_S   600 /* traffic below the least amount waits no longer than this */

struct spool_batch {
    uint64_t seq; /* from 1, grows by one a batch of the node */
    bool tried;   /* it may have reached the panel: resend it as it is */
    bool asked;   /* it was parked, and somebody wants it sent again */
    bool more;    /* there may be more for another one */
    uint32_t rows;
    char key[SPOOL_KEY_LEN]; /* it goes on with this one; "": that of spool_key */
};

/* Finds the oldest batch of @node that is not parked, or freezes a new one of at most @rows_max
 * accounts with at least @min_bytes each (of a user a row); those that have ended, or have waited
 * SPOOL_WAIT_S, come along with less. *@cursor: the account at which the last one ended, 0 at first
 * and when that had room left; this one begins behind it, or with the first where nothing is behind
 * it. NULL: with the first. ST_OK; ST_E_NOTFOUND: nothing to report; ST_E_IO: nothing changed. */
NODISCARD enum status spool_freeze(struct store *s, uint32_t node, uint64_t min_bytes,
                                   uint32_t rows_max, int64_t unix_s, uint64_t *cursor,
                                   struct spool_batch *out);
/* Walks the rows of a batch, by uid. ST_OK, ST_E_IO, or what @row returned. */
NODISCARD enum status
spool_rows(struct store *s, uint32_t node, uint64_t seq,
           enum status (*row)(void *arg, uint64_t uid, uint64_t up, uint64_t down), void *arg);
/* The first byte may now be sent: on disk when it returns ST_OK. Else ST_E_IO. */
NODISCARD enum status spool_sending(struct store *s, uint32_t node, uint64_t seq);
/* The panel has applied it: it is gone. ST_OK; ST_E_IO: it still waits. */
NODISCARD enum status spool_done(struct store *s, uint32_t node, uint64_t seq);
/* The panel has certainly not applied it this time. @before: an earlier time it may have, so the
 * mark stays, and it is not parked for that. ST_OK or ST_E_IO. */
NODISCARD enum status spool_back(struct store *s, uint32_t node, uint64_t seq, bool before);
/* It may have been applied and shall not be applied twice: it stays, but is not found by
 * spool_freeze any more, until somebody decides (spool_admin.h). ST_OK or ST_E_IO. */
NODISCARD enum status spool_park(struct store *s, uint32_t node, uint64_t seq);
/* It was certainly not applied and is too large: its upper half becomes a batch of its own. ST_OK;
 * ST_E_NOTFOUND: one row cannot be halved; ST_E_IO. */
NODISCARD enum status spool_split(struct store *s, uint32_t node, uint64_t seq);
/* Takes the next number of the node, within a transaction of the caller; 0: failed. */
uint64_t spool_next_seq(struct store *s, uint32_t node);
enum spool_parked { SPOOL_NOT_PARKED, SPOOL_PARKED, SPOOL_ASKED }; /* batch.parked */
/* Sum of what is not yet acknowledged, in bytes: accounts and batches. ST_OK or ST_E_IO. */
NODISCARD enum status spool_pending(struct store *s, uint32_t node, uint64_t *up, uint64_t *down);

/* The same for the same batch, different for any other: "<node id>-<database>.<node row>-<seq>".
 * @dst takes SPOOL_KEY_LEN bytes. */
char *spool_key(const struct store *s, uint64_t node_id, uint32_t node, uint64_t seq, char *dst);

#endif
