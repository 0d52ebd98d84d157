/* panelserver/db.h - the panel's database file: SQLite in WAL mode, opened, created and migrated
 * here.
 *
 * Several processes may have one file open (the server and `v2sp panel` commands); a writer waits
 * up to DB_BUSY_MS for another. Commits are durable when the function returns (synchronous=FULL):
 * an acknowledged push survives power loss. A handle belongs to one thread. What is in the tables:
 * db_node.h, db_user.h, db_traffic.h.
 *
 * Every function of these files that works on the database may also answer ST_E_BUSY (locked for
 * DB_BUSY_MS), ST_E_IO or ST_E_NOMEM, and nothing has changed then; db_error has the text. */
#ifndef PANELSERVER_DB_H
#define PANELSERVER_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct db;

#define DB_BUSY_MS    3000  /* a server's loop must not stand still for long */
#define DB_PATIENT_MS 15000 /* a person's command may wait */
#define DB_ERROR_MAX  320

enum db_open_flags {
    DB_CREATE = 1,  /* make the file (mode 0600) when it is missing; its directory must exist */
    DB_PATIENT = 2, /* wait DB_PATIENT_MS for another writer, not DB_BUSY_MS */
};

/* Opens @path (":memory:" is a private, empty one), creating and migrating tables as needed.
 * On failure @error (DB_ERROR_MAX bytes) says what is wrong and what to do. ST_OK; ST_E_NOTFOUND
 * (no file and no DB_CREATE); ST_E_IO; ST_E_BUSY (locked for DB_BUSY_MS); ST_E_UNSUPPORTED (made by
 * a newer version); ST_E_PROTO (not a panel database); ST_E_NOMEM. */
NODISCARD enum status db_open(const char *path, unsigned flags, struct db **out, char *error);
void db_close(struct db *db); /* NULL is fine */

/* Text of the last failure of any function with this handle, for a log or a person. Never NULL. */
const char *db_error(const struct db *db);

/* A write transaction around several calls. After a failure in between, db_rollback. */
NODISCARD enum status db_begin(struct db *db);
NODISCARD enum status db_commit(struct db *db);
void db_rollback(struct db *db); /* harmless without a transaction */

/* A number that changes whenever the answer to "which users has a node" changes by a write, in any
 * process (expiry needs no write: see db_user_list). ST_OK. */
NODISCARD enum status db_users_version(struct db *db, int64_t *out);

#endif
