/* control/store/counters.h - the memory behind the live counters (policy/meter.h), in a file that
 * outlives the process. Control thread; workers write their cells.
 *
 *   <dir>/counters-<epoch>:
 *   head | account of each slot | dirty words of each worker | cells of each worker
 *
 * The file is reserved sparse for COUNTERS_SLOTS users and filled by posix_fallocate in chunks
 * before a slot is handed out, so a full disk is an error here and never a SIGBUS in a worker. What
 * cannot be had in a file is had in anonymous memory (said once): the service is the same, a kill
 * -9 then loses the last seconds.
 *
 * Exactly once. A slot carries the number of its account (spool.h), and what the spool is told are
 * the account's sums, not differences: told twice is told once.
 *   sampling  take dirty bits -> put sums -> commit. Not committed: the bits are kept here and put
 *             next time.
 *   retiring  put sums with `last` -> commit -> account number 0 -> slot free. Killed before the
 *             commit: recovery puts the same. Killed after it: the account still exists in the
 *             spool (only a later freeze deletes it), so recovery's put adds nothing.
 *   recovery  lock file -> put all accounts + spool_recover(epoch) in one commit -> unlink. (Two
 *             processes: of an epoch that is neither ours nor recovered a freeze deletes nothing.)
 *             Killed before the commit: done again from the file. Killed before the unlink: the
 *             epoch is found recovered, the file only unlinked. The mark goes when a later start
 *             finds no file (spool_bury).
 *   ending    as recovery, of our own file. */
#ifndef CONTROL_STORE_COUNTERS_H
#define CONTROL_STORE_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "policy/meter.h"

struct counters;
struct log;
struct store;

#define COUNTERS_SLOTS (1u << 20)
#define COUNTERS_CHUNK 4096u /* slots made usable at once */

/* Opens the counters of this start of @s in @dir for @workers workers; first moves what dead
 * processes of the same database left there into the spool. NULL: no memory. */
struct counters *counters_open(const char *dir, struct store *s, unsigned workers,
                               const struct log *lg);
/* Did a process of the same database live when last looked (an upgrade), so that its counters could
 * not be taken over? */
bool counters_has_others(const struct counters *c);
/* Looks again, and moves what those have left that have ended since. */
void counters_recover(struct counters *c);
/* A last sample, then the file goes; if the sample failed the file stays for the next start. The
 * workers must have ended. NULL is fine. */
void counters_close(struct counters *c);
/* False: anonymous memory. */
bool counters_is_durable(const struct counters *c);
/* Where worker @worker counts; valid until counters_close. */
const struct meter *counters_meter(const struct counters *c, unsigned worker);

/* Makes @n slots available. ST_OK; ST_E_LIMIT: over COUNTERS_SLOTS; ST_E_IO: there is no memory for
 * them, in the file or outside. */
NODISCARD enum status counters_reserve(struct counters *c, uint32_t n);
/* Hands out a slot for user @uid of the spool's node @node. Never fails after counters_reserve. */
uint32_t counters_take(struct counters *c, uint32_t node, uint64_t uid);
/* No worker writes @slot any more: it is free after the next committed sample. */
void counters_retire(struct counters *c, uint32_t slot);
/* Moves what changed into the spool, in one transaction. ST_OK; ST_E_IO, ST_E_NOMEM:
 * everything waits for the next time. @moved (may be NULL): slots put. */
NODISCARD enum status counters_sample(struct counters *c, int64_t unix_s, size_t *moved);
/* From now on each sample says how much the users of it moved since the one before: @uid of the
 * spool's @node, both directions. ST_OK, ST_E_NOMEM. */
typedef void counters_moved_fn(void *arg, uint32_t node, uint64_t uid, uint64_t bytes);
NODISCARD enum status counters_observe(struct counters *c, counters_moved_fn *moved, void *arg);
/* Sums of a slot since it was taken. */
void counters_read(const struct counters *c, uint32_t slot, uint64_t *up, uint64_t *down);
/* Slots in use, retired ones included. */
uint32_t counters_used(const struct counters *c);

#endif
