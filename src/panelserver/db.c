#include "panelserver/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "panelserver/schema.h"
#include "panelserver/sql.h"

/* "v2pn": tells our file from any other SQLite database (PRAGMA application_id). */
#define APPLICATION_ID 0x7632706e

static enum status pragma_int(struct db *db, const char *text, int64_t *out)
{
    sqlite3_stmt *st = sql_stmt(db, text);
    if (st == NULL)
        return ST_E_IO;
    enum status s = sql_step(db, st);
    if (s == ST_OK)
        *out = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return s == ST_EOF ? ST_E_IO : s;
}

/* Brings the tables to schema_version(), one step a transaction, so that two processes starting at
 * once do not both take a step: the version is read again under the write lock. */
static enum status migrate(struct db *db)
{
    int64_t version = 0, tables = 0, app = 0;
    enum status st;
    /* The usual case takes no lock. */
    if ((st = pragma_int(db, "PRAGMA user_version", &version)) != ST_OK ||
        (st = pragma_int(db, "PRAGMA application_id", &app)) != ST_OK)
        return st;
    while (app != APPLICATION_ID || version != schema_version()) {
        if ((st = db_begin(db)) != ST_OK)
            return st;
        if ((st = pragma_int(db, "PRAGMA user_version", &version)) != ST_OK ||
            (st = pragma_int(db, "PRAGMA application_id", &app)) != ST_OK ||
            (st = pragma_int(db, "SELECT count(*) FROM sqlite_schema", &tables)) != ST_OK)
            goto out;
        if (app != APPLICATION_ID && tables > 0) {
            st =
                sql_fail(db, ST_E_PROTO, "this is a database, but not a panel's: use another file");
            goto out;
        }
        if (version > schema_version()) {
            st = sql_fail(
                db, ST_E_UNSUPPORTED,
                "the database has version %lld, this program knows %d: use the newer program",
                (long long)version, schema_version());
            goto out;
        }
        if (version == schema_version())
            goto out;
        if ((st = sql_exec(db, schema_step((int)version))) != ST_OK)
            goto out;
        char text[96];
        snprintf(text, sizeof text, "PRAGMA user_version=%d; PRAGMA application_id=%d;",
                 (int)version + 1, APPLICATION_ID);
        if ((st = sql_exec(db, text)) != ST_OK)
            goto out;
        app = APPLICATION_ID;
        version++;
        st = db_commit(db);
    out:
        db_rollback(db);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* SQLite gives a new file the umask's mode; the tokens and uuids in it are for the owner alone. */
static enum status create_private(struct db *db, const char *path, unsigned flags)
{
    if (strcmp(path, ":memory:") == 0 || access(path, F_OK) == 0)
        return ST_OK;
    if ((flags & DB_CREATE) == 0)
        return sql_fail(db, ST_E_NOTFOUND,
                        "%s: no panel database here: make one with `v2sp panel init`", path);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST)
        return sql_fail(db, ST_E_IO, "%s: cannot make the database: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return ST_OK;
}

enum status db_open(const char *path, unsigned flags, struct db **out, char *error)
{
    struct db *db = calloc(1, sizeof *db);
    *out = NULL;
    if (db == NULL) {
        snprintf(error, DB_ERROR_MAX, "out of memory");
        return ST_E_NOMEM;
    }
    enum status st = create_private(db, path, flags);
    if (st != ST_OK)
        goto out;
    int code =
        sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK) {
        st = sql_fail(db, ST_E_IO, "%s: %s", path, sqlite3_errstr(code));
        goto out;
    }
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, (flags & DB_PATIENT) != 0 ? DB_PATIENT_MS : DB_BUSY_MS);
    /* WAL lets readers and the one writer of several processes go on side by side. */
    if ((st = sql_exec(db,
                       "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                       "PRAGMA trusted_schema=OFF; PRAGMA cache_size=-8192;")) == ST_OK)
        st = migrate(db);
out:
    if (st != ST_OK) {
        if (strncmp(db->error, path, strlen(path)) == 0)
            snprintf(error, DB_ERROR_MAX, "%s", db->error);
        else
            snprintf(error, DB_ERROR_MAX, "%s: %.250s", path, db->error);
        db_close(db);
        return st;
    }
    *out = db;
    return ST_OK;
}

void db_close(struct db *db)
{
    if (db == NULL)
        return;
    for (size_t i = 0; i < db->count; i++)
        sqlite3_finalize(db->statements[i].stmt);
    sqlite3_close(db->handle);
    free(db);
}

const char *db_error(const struct db *db)
{
    return db->error;
}

enum status db_begin(struct db *db)
{
    BUG_ON(db->in_transaction);
    /* IMMEDIATE takes the write lock now, where waiting is possible; a read that is upgraded later
     * would fail at once. */
    sqlite3_stmt *st = sql_stmt(db, "BEGIN IMMEDIATE");
    if (st == NULL)
        return ST_E_IO;
    enum status s = sql_run(db, st);
    db->in_transaction = s == ST_OK;
    return s;
}

enum status db_commit(struct db *db)
{
    BUG_ON(!db->in_transaction);
    sqlite3_stmt *st = sql_stmt(db, "COMMIT");
    enum status s = st == NULL ? ST_E_IO : sql_run(db, st);
    if (s == ST_OK)
        db->in_transaction = false;
    else
        db_rollback(db);
    return s;
}

void db_rollback(struct db *db)
{
    if (!db->in_transaction)
        return;
    db->in_transaction = false;
    /* A failed statement may have rolled back already (disk full); then there is nothing left to
     * end. */
    if (sqlite3_get_autocommit(db->handle) == 0)
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

enum status db_users_version(struct db *db, int64_t *out)
{
    return pragma_int(db, "SELECT value FROM meta WHERE key='users_version'", out);
}
