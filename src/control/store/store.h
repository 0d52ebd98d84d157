/* control/store/store.h - the one SQLite database of a node process: who the nodes are, what was
 * good last, what is still to be reported.
 *
 * WAL mode; ordinary commits are consistent but may be lost in a power cut (synchronous=NORMAL),
 * one begun with store_begin_durable is not. One connection, control thread only. A database that
 * cannot be opened is replaced by one in memory, a damaged one is set aside; either is said once.
 * Later failures (disk full, read-only) are said once when they begin and once when they end; every
 * function then answers ST_E_IO and the caller keeps what it has. */
#ifndef CONTROL_STORE_STORE_H
#define CONTROL_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct log;
struct sqlite3_stmt;
struct store;

#define STORE_FILE "node.db"

/* Opens or makes <dir>/node.db (file mode 0600, directory 0700). NULL without memory. */
struct store *store_open(const char *dir, const struct log *lg);
/* Opens <dir>/node.db to look at it, beside whoever has it open, and changes nothing. NULL:
 * @problem says why. */
struct store *store_open_read(const char *dir, char problem[200]);
void store_close(struct store *s); /* NULL is fine */
/* False: the state lives in memory and ends with the process. */
bool store_is_durable(const struct store *s);
/* True: when it was opened no other process had it open. */
bool store_is_alone(const struct store *s);
/* Random number of this database, made when it was; part of idempotency keys. */
uint64_t store_id(const struct store *s);
/* Number of this start, durable before it is handed out: no two processes on one database get the
 * same. */
uint32_t store_epoch(const struct store *s);
/* The row of a node, made if new. @key names it for ever (panel, node id, type). ST_OK; ST_E_IO:
 * *@id is untouched. */
NODISCARD enum status store_node(struct store *s, const char *key, uint32_t *id);

/* Only one process at a time may report a node of this database: false, another one does. True
 * where that cannot be locked. Ours from then on, until store_give_nodes or our end. */
bool store_claim_node(struct store *s, uint32_t node);
/* Another process may report now, and this one must not claim again. */
void store_give_nodes(struct store *s);

/* ---- for the modules that keep tables here: spool, node_cache ---- */

/* Begins a transaction; they do not nest. ST_OK or ST_E_IO. */
NODISCARD enum status store_begin(struct store *s);
/* As store_begin; this transaction, and all before it, are on disk when store_commit returns.
 * ST_OK or ST_E_IO. */
NODISCARD enum status store_begin_durable(struct store *s);
/* ST_OK; ST_E_IO: everything since store_begin is undone. */
NODISCARD enum status store_commit(struct store *s);
/* Undoes everything since store_begin. */
void store_rollback(struct store *s);
/* Ends a transaction that came to @st: commits if that is ST_OK (answers as store_commit), else
 * undoes it and returns @st. */
NODISCARD enum status store_finish(struct store *s, enum status st);
/* A prepared statement, reset and without bindings; kept for the next time. @sql must be a literal.
 * NULL: failed (said). */
struct sqlite3_stmt *store_sql(struct store *s, const char *sql);
/* ST_MORE: a row is there; ST_OK: done, the statement is reset; ST_E_IO: failed (said). A statement
 * left in the middle is reset by its next store_sql. */
NODISCARD enum status store_step(struct store *s, struct sqlite3_stmt *q);
/* Ends a read that is not stepped to its end. */
void store_reset(struct sqlite3_stmt *q);
/* Rows the last finished statement changed. */
int store_changes(const struct store *s);

#endif
