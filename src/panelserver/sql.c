#include "panelserver/sql.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum status sql_fail(struct db *db, enum status st, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(db->error, sizeof db->error, fmt, ap);
    va_end(ap);
    return st;
}

static enum status fail_code(struct db *db, int code)
{
    const char *text = sqlite3_errmsg(db->handle);
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return sql_fail(db, ST_E_BUSY, "the database is locked by another process: try again");
    case SQLITE_CONSTRAINT:
        return sql_fail(db, ST_E_BUSY, "%s", text);
    case SQLITE_NOMEM:
        return sql_fail(db, ST_E_NOMEM, "out of memory");
    case SQLITE_FULL:
        return sql_fail(db, ST_E_IO, "no space left for the database");
    case SQLITE_READONLY:
        return sql_fail(db, ST_E_IO,
                        "the database cannot be written: check owner and mode of the "
                        "file and its directory");
    default:
        return sql_fail(db, ST_E_IO, "database: %s", text);
    }
}

sqlite3_stmt *sql_stmt(struct db *db, const char *sql)
{
    for (size_t i = 0; i < db->count; i++) {
        if (db->statements[i].sql == sql) {
            sqlite3_reset(db->statements[i].stmt);
            sqlite3_clear_bindings(db->statements[i].stmt);
            return db->statements[i].stmt;
        }
    }
    BUG_ON(db->count == SQL_STATEMENTS);
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);
    if (code != SQLITE_OK) {
        (void)fail_code(db, code);
        return NULL;
    }
    db->statements[db->count].sql = sql;
    db->statements[db->count].stmt = st;
    db->count++;
    return st;
}

void sql_bind(sqlite3_stmt *st, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    for (int i = 1; types[i - 1] != '\0'; i++) {
        if (types[i - 1] == 'i') {
            sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
        } else if (types[i - 1] == 's') {
            sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
        } else {
            const void *data = va_arg(ap, const void *);
            sqlite3_bind_blob(st, i, data, va_arg(ap, int), SQLITE_STATIC);
        }
    }
    va_end(ap);
}

enum status sql_step(struct db *db, sqlite3_stmt *st)
{
    int code = sqlite3_step(st);
    if (code == SQLITE_ROW)
        return ST_OK;
    enum status result = code == SQLITE_DONE ? ST_EOF : fail_code(db, code);
    sqlite3_reset(st);
    return result;
}

enum status sql_run(struct db *db, sqlite3_stmt *st)
{
    enum status result = sql_step(db, st);
    if (result == ST_OK)
        sqlite3_reset(st);
    return result == ST_EOF ? ST_OK : result;
}

enum status sql_exec(struct db *db, const char *text)
{
    int code = sqlite3_exec(db->handle, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? ST_OK : fail_code(db, code);
}

void sql_text(sqlite3_stmt *st, int i, char *dst, size_t size)
{
    const unsigned char *text = sqlite3_column_text(st, i);
    snprintf(dst, size, "%s", text != NULL ? (const char *)text : "");
}

enum status sql_enter(struct db *db, bool *own)
{
    *own = !db->in_transaction;
    return *own ? db_begin(db) : ST_OK;
}

enum status sql_leave(struct db *db, bool own, enum status st)
{
    if (!own)
        return st;
    if (st == ST_OK)
        return db_commit(db);
    db_rollback(db);
    return st;
}
