#include "control/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define SCHEMA_VERSION 3
#define STATEMENTS_MAX 64
#define BUSY_MS        2000
#define CLAIMS         "claims" /* a file without bytes: locks on one byte a node */

struct store {
    struct sqlite3 *db;
    const struct log *lg;
    bool durable, alone;
    int lock_fd;  /* shared lock on the directory while we have the database open */
    int claim_fd; /* -1: no locks */
    bool failing; /* said already */
    bool full;    /* the running transaction is on disk when it is committed */
    uint64_t id;
    uint32_t epoch;
    struct {
        const char *sql;
        sqlite3_stmt *q;
    } statements[STATEMENTS_MAX];
    unsigned statement_count;
};

/* Sums are what the live counters showed (up, down) and what of it has been put into batches (fup,
 * fdown): the difference waits to be reported. The accounts of a node lie together, so a push reads
 * only them; an index on the difference would cost every sample twice the time. */
static const char schema[] =
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS node(id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL,"
    " seq INTEGER NOT NULL DEFAULT 0, config BLOB);"
    "CREATE TABLE IF NOT EXISTS node_user(node INTEGER NOT NULL, uid INTEGER NOT NULL,"
    " uuid BLOB NOT NULL, secret TEXT NOT NULL, speed INTEGER NOT NULL, device INTEGER NOT NULL,"
    " conn INTEGER NOT NULL, PRIMARY KEY(node, uid, uuid, secret)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS live(node INTEGER NOT NULL, aid INTEGER NOT NULL,"
    " uid INTEGER NOT NULL, up INTEGER NOT NULL, down INTEGER NOT NULL, fup INTEGER NOT NULL,"
    " fdown INTEGER NOT NULL, since INTEGER NOT NULL, dead INTEGER NOT NULL,"
    " PRIMARY KEY(node, aid)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS live_dead ON live(node) WHERE dead=1;"
    "CREATE TABLE IF NOT EXISTS batch(node INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " tried INTEGER NOT NULL, frozen INTEGER NOT NULL DEFAULT 0,"
    " parked INTEGER NOT NULL DEFAULT 0, key TEXT, PRIMARY KEY(node, seq)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS batch_row(node INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " uid INTEGER NOT NULL, up INTEGER NOT NULL, down INTEGER NOT NULL,"
    " PRIMARY KEY(node, seq, uid)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS recovered(epoch INTEGER PRIMARY KEY);"
    /* Not there before: an older program of version 3 does not look at these. */
    "CREATE TABLE IF NOT EXISTS held(node INTEGER NOT NULL, uid INTEGER NOT NULL,"
    " kbps INTEGER NOT NULL, until INTEGER NOT NULL, left INTEGER NOT NULL,"
    " PRIMARY KEY(node, uid)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS hit(node INTEGER NOT NULL, rule TEXT NOT NULL,"
    " uid INTEGER NOT NULL, count INTEGER NOT NULL, since INTEGER NOT NULL,"
    " last INTEGER NOT NULL, PRIMARY KEY(node, rule, uid)) WITHOUT ROWID;"
    "PRAGMA user_version=3;";

/* Version 2 did not know when a batch was frozen, nor that it may be parked. */
static const char from_2[] = "ALTER TABLE batch ADD COLUMN frozen INTEGER NOT NULL DEFAULT 0;"
                             "ALTER TABLE batch ADD COLUMN parked INTEGER NOT NULL DEFAULT 0;"
                             "ALTER TABLE batch ADD COLUMN key TEXT;";

/* Version 1 knew users by their UUID alone. */
static const char from_1_before[] = "ALTER TABLE node_user RENAME TO node_user_1;";
static const char from_1_after[] =
    "INSERT INTO node_user SELECT node, uid, uuid, '', speed, device, conn FROM node_user_1;"
    "DROP TABLE node_user_1;";

static enum status trouble(struct store *s, int rc)
{
    if (!s->failing && s->lg != NULL)
        log_line(s->lg, LOG_ERROR, NULL,
                 "state database: %s (%s); service goes on, traffic stays in the live counters and "
                 "is reported once writing works again",
                 sqlite3_errstr(rc), sqlite3_errmsg(s->db));
    s->failing = true;
    return ST_E_IO;
}

static void works(struct store *s)
{
    if (s->failing && s->lg != NULL)
        log_line(s->lg, LOG_WARNING, NULL, "state database: writing works again");
    s->failing = false;
}

static int exec(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int query_int(sqlite3 *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &q, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(q);
        if (rc == SQLITE_ROW) {
            *out = sqlite3_column_int64(q, 0);
            rc = SQLITE_OK;
        } else if (rc == SQLITE_DONE) {
            rc = SQLITE_NOTFOUND;
        }
    }
    sqlite3_finalize(q);
    return rc;
}

/* Schema, database number, start number; the last commit is on disk before any of it is used. */
static int set_up(struct store *s)
{
    int64_t version = 0, id = 0, epoch = 0;
    int rc;

    sqlite3_busy_timeout(s->db, BUSY_MS);
    if ((rc = exec(s->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                          "PRAGMA cache_size=-1024; PRAGMA temp_store=MEMORY;"
                          "PRAGMA journal_size_limit=4194304;")) != SQLITE_OK)
        return rc;
    if ((rc = query_int(s->db, "PRAGMA user_version", &version)) != SQLITE_OK)
        return rc;
    if (version > SCHEMA_VERSION)
        return SQLITE_MISMATCH;
    if ((rc = exec(s->db, "BEGIN IMMEDIATE")) != SQLITE_OK ||
        (rc = exec(s->db, version == 1 || version == 2 ? from_2 : "")) != SQLITE_OK ||
        (rc = exec(s->db, version == 1 ? from_1_before : "")) != SQLITE_OK ||
        (rc = exec(s->db, schema)) != SQLITE_OK ||
        (rc = exec(s->db, version == 1 ? from_1_after : "")) != SQLITE_OK)
        return rc;
    rc = query_int(s->db, "SELECT value FROM meta WHERE key='id'", &id);
    if (rc == SQLITE_NOTFOUND) {
        sqlite3_stmt *q = NULL;
        if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
            return SQLITE_IOERR;
        rc = sqlite3_prepare_v2(s->db, "INSERT INTO meta VALUES('id',?),('epoch',0)", -1, &q, NULL);
        if (rc == SQLITE_OK) {
            sqlite3_bind_int64(q, 1, id);
            rc = sqlite3_step(q) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(s->db);
        }
        sqlite3_finalize(q);
    }
    if (rc != SQLITE_OK ||
        (rc = exec(s->db, "UPDATE meta SET value=value+1 WHERE key='epoch'")) != SQLITE_OK ||
        (rc = query_int(s->db, "SELECT value FROM meta WHERE key='epoch'", &epoch)) != SQLITE_OK ||
        (rc = exec(s->db, "COMMIT")) != SQLITE_OK)
        return rc;
    s->id = (uint64_t)id;
    s->epoch = (uint32_t)epoch;
    return exec(s->db, "PRAGMA synchronous=NORMAL");
}

static int open_at(struct store *s, const char *path)
{
    int rc = sqlite3_open_v2(
        path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = set_up(s);
    if (rc != SQLITE_OK && s->db != NULL) {
        sqlite3_close_v2(s->db);
        s->db = NULL;
    }
    return rc;
}

/* mkdir -p with mode 0700 for what is missing. */
static void make_dir(const char *dir)
{
    char path[1024];

    if (snprintf(path, sizeof(path), "%s", dir) >= (int)sizeof(path))
        return;
    for (char *p = path + 1; *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        mkdir(path, 0700);
        *p = '/';
    }
    mkdir(path, 0700);
}

/* Two processes on one database are allowed (an upgrade), but each must know. */
static void lock_dir(struct store *s, const char *dir)
{
    s->lock_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->lock_fd < 0)
        return;
    s->alone = flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0;
    flock(s->lock_fd, LOCK_SH | LOCK_NB);
    s->claim_fd = openat(s->lock_fd, CLAIMS, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* Of the open file, not of the process: closing another descriptor of it does not end them. */
bool store_claim_node(struct store *s, uint32_t node)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)node, .l_len = 1};

    return !s->durable || s->claim_fd < 0 || fcntl(s->claim_fd, F_OFD_SETLK, &lock) == 0 ||
           (errno != EAGAIN && errno != EACCES);
}

void store_give_nodes(struct store *s)
{
    if (s->claim_fd >= 0)
        close(s->claim_fd);
    s->claim_fd = -1;
}

static int open_file(struct store *s, const char *dir)
{
    char path[1024], aside[1100];

    make_dir(dir);
    if (snprintf(path, sizeof(path), "%s/" STORE_FILE, dir) >= (int)sizeof(path))
        return SQLITE_CANTOPEN;
    lock_dir(s, dir);
    mode_t old = umask(077);
    int rc = open_at(s, path);
    /* Another process that has it open would go on writing into what was set aside. */
    if ((rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB) && s->alone) {
        snprintf(aside, sizeof(aside), "%s.damaged-%" PRId64, path, (int64_t)time(NULL));
        if (rename(path, aside) == 0) {
            if (s->lg != NULL)
                log_line(s->lg, LOG_ERROR, NULL,
                         "state database %s is damaged: set aside as %s, a new one is made", path,
                         aside);
            snprintf(aside, sizeof(aside), "%s-wal", path);
            unlink(aside);
            rc = open_at(s, path);
        }
    }
    umask(old);
    if (rc != SQLITE_OK && s->lg != NULL)
        log_line(s->lg, LOG_ERROR, NULL,
                 "state database %s cannot be used (%s): state is kept in memory and lost at the "
                 "next stop; check StateDir",
                 path, sqlite3_errstr(rc));
    return rc;
}

struct store *store_open(const char *dir, const struct log *lg)
{
    struct store *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->lg = lg;
    s->lock_fd = s->claim_fd = -1;
    s->durable = dir != NULL && open_file(s, dir) == SQLITE_OK;
    if (!s->durable && open_at(s, ":memory:") != SQLITE_OK) {
        free(s);
        return NULL;
    }
    return s;
}

struct store *store_open_read(const char *dir, char problem[200])
{
    struct store *s = calloc(1, sizeof(*s));
    char path[1024];
    int64_t version = 0, id = 0;

    problem[0] = '\0';
    if (s == NULL || snprintf(path, sizeof(path), "%s/" STORE_FILE, dir) >= (int)sizeof(path)) {
        free(s);
        return NULL;
    }
    s->lock_fd = s->claim_fd = -1;
    int rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(s->db, BUSY_MS);
    if (rc == SQLITE_OK)
        rc = query_int(s->db, "PRAGMA user_version", &version);
    if (rc == SQLITE_OK && version == SCHEMA_VERSION)
        rc = query_int(s->db, "SELECT value FROM meta WHERE key='id'", &id);
    if (rc == SQLITE_OK && version == SCHEMA_VERSION) {
        s->id = (uint64_t)id;
        return s;
    }
    snprintf(problem, 200, "%.150s: %s", path,
             rc == SQLITE_OK ? "of another version of v2sp" : sqlite3_errstr(rc));
    store_close(s);
    return NULL;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->statement_count; i++)
        sqlite3_finalize(s->statements[i].q);
    sqlite3_close_v2(s->db);
    store_give_nodes(s);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    free(s);
}

bool store_is_durable(const struct store *s)
{
    return s->durable;
}

bool store_is_alone(const struct store *s)
{
    return s->durable && s->alone;
}

uint64_t store_id(const struct store *s)
{
    return s->id;
}

uint32_t store_epoch(const struct store *s)
{
    return s->epoch;
}

enum status store_node(struct store *s, const char *key, uint32_t *id)
{
    sqlite3_stmt *q = store_sql(s, "SELECT id FROM node WHERE key=?1");
    enum status st = ST_E_IO;

    if (q == NULL)
        return ST_E_IO;
    sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
    st = store_step(s, q);
    if (st == ST_MORE) {
        *id = (uint32_t)sqlite3_column_int64(q, 0);
        store_reset(q);
        return ST_OK;
    }
    if (st != ST_OK || (q = store_sql(s, "INSERT INTO node(key) VALUES(?1)")) == NULL)
        return ST_E_IO;
    sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
    st = store_step(s, q);
    if (st == ST_OK)
        *id = (uint32_t)sqlite3_last_insert_rowid(s->db);
    return st;
}

static void relax(struct store *s)
{
    if (s->full)
        exec(s->db, "PRAGMA synchronous=NORMAL");
    s->full = false;
}

static enum status run(struct store *s, const char *sql)
{
    sqlite3_stmt *q = store_sql(s, sql);
    return q == NULL ? ST_E_IO : store_step(s, q);
}

enum status store_begin(struct store *s)
{
    return run(s, "BEGIN IMMEDIATE");
}

enum status store_begin_durable(struct store *s)
{
    /* The setting cannot change within a transaction. In WAL mode one synced commit carries all
     * before it. */
    s->full = true;
    exec(s->db, "PRAGMA synchronous=FULL");
    enum status st = run(s, "BEGIN IMMEDIATE");
    if (st != ST_OK)
        relax(s);
    return st;
}

void store_rollback(struct store *s)
{
    /* SQLite has rolled back by itself after some errors (disk full). */
    if (!sqlite3_get_autocommit(s->db))
        exec(s->db, "ROLLBACK");
    relax(s);
}

enum status store_commit(struct store *s)
{
    enum status st = run(s, "COMMIT");

    if (st != ST_OK) {
        store_rollback(s);
        return st;
    }
    relax(s);
    works(s);
    return st;
}

enum status store_finish(struct store *s, enum status st)
{
    if (st == ST_OK)
        return store_commit(s);
    store_rollback(s);
    return st;
}

struct sqlite3_stmt *store_sql(struct store *s, const char *sql)
{
    for (unsigned i = 0; i < s->statement_count; i++) {
        if (s->statements[i].sql == sql) {
            sqlite3_reset(s->statements[i].q);
            sqlite3_clear_bindings(s->statements[i].q);
            return s->statements[i].q;
        }
    }
    BUG_ON(s->statement_count == STATEMENTS_MAX);
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &q, NULL);
    if (rc != SQLITE_OK) {
        trouble(s, rc);
        return NULL;
    }
    s->statements[s->statement_count].sql = sql;
    s->statements[s->statement_count++].q = q;
    return q;
}

enum status store_step(struct store *s, struct sqlite3_stmt *q)
{
    int rc = sqlite3_step(q);

    if (rc == SQLITE_ROW)
        return ST_MORE;
    if (rc != SQLITE_DONE)
        trouble(s, rc);
    sqlite3_reset(q);
    return rc == SQLITE_DONE ? ST_OK : ST_E_IO;
}

void store_reset(struct sqlite3_stmt *q)
{
    sqlite3_reset(q);
}

int store_changes(const struct store *s)
{
    return sqlite3_changes(s->db);
}
