/* panelserver/sql.h - the few calls the db_* files make to SQLite. Private to them. */
#ifndef PANELSERVER_SQL_H
#define PANELSERVER_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "panelserver/db.h"

#define SQL_STATEMENTS 64

struct db {
    sqlite3 *handle;
    /* Prepared once, found by the address of their text. */
    struct {
        const char *sql;
        sqlite3_stmt *stmt;
    } statements[SQL_STATEMENTS];
    size_t count;
    bool in_transaction;
    char error[DB_ERROR_MAX];
};

/* The statement for @sql (a static string: its address is the key), reset and ready to bind; NULL
 * with db->error filled. */
sqlite3_stmt *sql_stmt(struct db *db, const char *sql);
/* Binds parameters 1.. by @types: i int64_t, s const char * (NULL = SQL NULL, borrowed until the
 * statement is reset), b const void * and int. Cannot fail but for memory, which sql_step then
 * reports. */
void sql_bind(sqlite3_stmt *st, const char *types, ...);
/* ST_OK: a row; ST_EOF: no more (and the statement is reset); else an error with db->error filled
 * and the statement reset: ST_E_BUSY (locked, or a constraint broken), ST_E_NOMEM, ST_E_IO. */
NODISCARD enum status sql_step(struct db *db, sqlite3_stmt *st);
/* Runs a statement that gives no rows. ST_OK or sql_step's errors. */
NODISCARD enum status sql_run(struct db *db, sqlite3_stmt *st);
/* Runs a text of several statements without parameters. ST_OK or sql_step's errors. */
NODISCARD enum status sql_exec(struct db *db, const char *text);
/* Copies column @i to @dst, cut to @size; NULL is "". */
void sql_text(sqlite3_stmt *st, int i, char *dst, size_t size);
/* Fills db->error, and returns @st. */
enum status sql_fail(struct db *db, enum status st, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Begins a transaction unless one is open; *@own tells sql_leave whether it is ours to end.
 * ST_OK or sql_step's errors. */
NODISCARD enum status sql_enter(struct db *db, bool *own);
/* Commits if @st is ST_OK, else rolls back; returns the first failure. */
NODISCARD enum status sql_leave(struct db *db, bool own, enum status st);

#endif
