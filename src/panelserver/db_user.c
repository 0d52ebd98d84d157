#include "panelserver/db_user.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panelserver/sql.h"
#include "panelserver/token.h"

#define COLUMNS                                                                                    \
    "id, name, uuid, speed_limit, device_limit, conn_limit, quota, expires, enabled, all_nodes, "  \
    "up, down"

void db_user_init(struct db_user *u)
{
    memset(u, 0, sizeof *u);
    u->enabled = u->all_nodes = true;
}

enum db_user_state db_user_state(const struct db_user *u, int64_t now)
{
    if (!u->enabled)
        return DB_USER_DISABLED;
    if (u->expires != 0 && u->expires <= now)
        return DB_USER_EXPIRED;
    if (u->quota != 0 && u->up + u->down >= (uint64_t)u->quota)
        return DB_USER_OVER_QUOTA;
    return DB_USER_ACTIVE;
}

static void read_row(sqlite3_stmt *st, struct db_user *u)
{
    u->id = sqlite3_column_int64(st, 0);
    sql_text(st, 1, u->name, sizeof u->name);
    sql_text(st, 2, u->uuid, sizeof u->uuid);
    u->speed_limit = sqlite3_column_int64(st, 3);
    u->device_limit = sqlite3_column_int64(st, 4);
    u->conn_limit = sqlite3_column_int64(st, 5);
    u->quota = sqlite3_column_int64(st, 6);
    u->expires = sqlite3_column_int64(st, 7);
    u->enabled = sqlite3_column_int(st, 8) != 0;
    u->all_nodes = sqlite3_column_int(st, 9) != 0;
    u->up = (uint64_t)sqlite3_column_int64(st, 10);
    u->down = (uint64_t)sqlite3_column_int64(st, 11);
}

static bool is_number(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static enum status check_name(struct db *db, const char *name)
{
    if (name[0] == '\0')
        return sql_fail(db, ST_E_CONFIG, "name: empty");
    if (is_number(name))
        return sql_fail(db, ST_E_CONFIG, "name \"%s\": a number would be read as a user's id",
                        name);
    for (const char *p = name; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return sql_fail(db, ST_E_CONFIG, "name: control characters");
    }
    uint8_t id[UUID_LEN];
    if (uuid_parse(id, name, strlen(name)) == ST_OK)
        return sql_fail(db, ST_E_CONFIG, "name: would be read as a UUID");
    return ST_OK;
}

/* Also rewrites the uuid in its canonical form, so that one credential is one text. */
static enum status check(struct db *db, struct db_user *u)
{
    uint8_t id[UUID_LEN];
    enum status st = check_name(db, u->name);
    if (st != ST_OK)
        return st;
    if (uuid_parse(id, u->uuid, strlen(u->uuid)) != ST_OK)
        return sql_fail(db, ST_E_CONFIG, "uuid: 32 hex digits with or without dashes");
    uuid_str(id, u->uuid);
    if (u->speed_limit < 0 || u->speed_limit > DB_LIMIT_MAX)
        return sql_fail(db, ST_E_CONFIG, "speed: 0 to %d Mbit/s", DB_LIMIT_MAX);
    if (u->device_limit < 0 || u->device_limit > DB_LIMIT_MAX)
        return sql_fail(db, ST_E_CONFIG, "devices: 0 to %d", DB_LIMIT_MAX);
    if (u->conn_limit < 0 || u->conn_limit > DB_LIMIT_MAX)
        return sql_fail(db, ST_E_CONFIG, "connections: 0 to %d", DB_LIMIT_MAX);
    if (u->quota < 0 || u->quota > DB_QUOTA_MAX)
        return sql_fail(db, ST_E_CONFIG, "quota: 0 to 1 EiB");
    if (u->expires < 0)
        return sql_fail(db, ST_E_CONFIG, "expires: before 1970");
    return ST_OK;
}

static void bind_user(sqlite3_stmt *st, const struct db_user *u)
{
    sql_bind(st, "issiiiiiii", u->id, u->name, u->uuid, u->speed_limit, u->device_limit,
             u->conn_limit, u->quota, u->expires, (int64_t)u->enabled, (int64_t)u->all_nodes);
}

/* A broken UNIQUE is told in the caller's words. */
static enum status explain(struct db *db, enum status s, const struct db_user *u)
{
    if (s != ST_E_BUSY)
        return s;
    if (strstr(db->error, "users.name") != NULL)
        return sql_fail(db, s, "there is a user \"%s\" already", u->name);
    if (strstr(db->error, "users.uuid") != NULL)
        return sql_fail(db, s, "another user has this uuid");
    if (strstr(db->error, "users.id") != NULL)
        return sql_fail(db, s, "there is a user %lld already", (long long)u->id);
    return s;
}

enum status db_user_add(struct db *db, struct db_user *u)
{
    if (u->uuid[0] == '\0' && token_uuid(u->uuid) != ST_OK)
        return sql_fail(db, ST_E_CRYPTO, "the kernel gives no random bytes");
    enum status s = check(db, u);
    if (s != ST_OK)
        return s;
    if (u->id < 0 || u->id > INT64_C(1) << 53)
        return sql_fail(db, ST_E_CONFIG, "id: 1 to 2^53");
    sqlite3_stmt *st = sql_stmt(
        db, "INSERT INTO users (id, name, uuid, speed_limit, device_limit, conn_limit, quota,"
            " expires, enabled, all_nodes) VALUES (nullif(?1, 0), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
            "?10)");
    if (st == NULL)
        return ST_E_IO;
    bind_user(st, u);
    if ((s = sql_run(db, st)) == ST_OK)
        u->id = sqlite3_last_insert_rowid(db->handle);
    return explain(db, s, u);
}

static enum status not_found(struct db *db, int64_t id)
{
    return sql_fail(db, ST_E_NOTFOUND, "there is no user %lld", (long long)id);
}

enum status db_user_update(struct db *db, const struct db_user *u)
{
    struct db_user checked = *u;
    enum status s = check(db, &checked);
    if (s != ST_OK)
        return s;
    sqlite3_stmt *st = sql_stmt(
        db, "UPDATE users SET name=?2, uuid=?3, speed_limit=?4, device_limit=?5, conn_limit=?6,"
            " quota=?7, expires=?8, enabled=?9, all_nodes=?10 WHERE id=?1");
    if (st == NULL)
        return ST_E_IO;
    bind_user(st, &checked);
    s = explain(db, sql_run(db, st), u);
    return s == ST_OK && sqlite3_changes(db->handle) == 0 ? not_found(db, u->id) : s;
}

enum status db_user_del(struct db *db, int64_t id)
{
    sqlite3_stmt *st = sql_stmt(db, "DELETE FROM users WHERE id=?1");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "i", id);
    enum status s = sql_run(db, st);
    return s == ST_OK && sqlite3_changes(db->handle) == 0 ? not_found(db, id) : s;
}

static enum status read_one(struct db *db, sqlite3_stmt *st, struct db_user *out)
{
    enum status s = sql_step(db, st);
    if (s == ST_OK)
        read_row(st, out);
    sqlite3_reset(st);
    return s;
}

enum status db_user_get(struct db *db, int64_t id, struct db_user *out)
{
    sqlite3_stmt *st = sql_stmt(db, "SELECT " COLUMNS " FROM users WHERE id=?1");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "i", id);
    enum status s = read_one(db, st, out);
    return s == ST_EOF ? not_found(db, id) : s;
}

enum status db_user_find(struct db *db, const char *text, struct db_user *out)
{
    if (is_number(text) && strlen(text) <= 18)
        return db_user_get(db, strtoll(text, NULL, 10), out);
    uint8_t id[UUID_LEN];
    char uuid[UUID_STRLEN] = "";
    if (uuid_parse(id, text, strlen(text)) == ST_OK)
        uuid_str(id, uuid);
    sqlite3_stmt *st = sql_stmt(db, "SELECT " COLUMNS " FROM users WHERE name=?1 OR uuid=?2");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "ss", text, uuid);
    enum status s = read_one(db, st, out);
    return s == ST_EOF ? sql_fail(db, ST_E_NOTFOUND, "there is no user \"%s\"",
                                  uuid[0] ? "of this uuid" : text)
                       : s;
}

enum status db_user_each(struct db *db, bool (*fn)(void *ctx, const struct db_user *u), void *ctx)
{
    sqlite3_stmt *st = sql_stmt(db, "SELECT " COLUMNS " FROM users ORDER BY id");
    if (st == NULL)
        return ST_E_IO;
    enum status s;
    while ((s = sql_step(db, st)) == ST_OK) {
        struct db_user u;
        read_row(st, &u);
        if (!fn(ctx, &u))
            break;
    }
    sqlite3_reset(st);
    return s == ST_EOF ? ST_OK : s;
}

static enum status tie(struct db *db, int64_t id, const int64_t *nodes, size_t count)
{
    sqlite3_stmt *st = sql_stmt(db, "UPDATE users SET all_nodes=0 WHERE id=?1");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "i", id);
    enum status s = sql_run(db, st);
    if (s != ST_OK || sqlite3_changes(db->handle) == 0)
        return s != ST_OK ? s : not_found(db, id);
    if ((st = sql_stmt(db, "DELETE FROM user_nodes WHERE user_id=?1")) == NULL)
        return ST_E_IO;
    sql_bind(st, "i", id);
    s = sql_run(db, st);
    for (size_t i = 0; s == ST_OK && i < count; i++) {
        if ((st = sql_stmt(db, "INSERT OR IGNORE INTO user_nodes VALUES (?1, ?2)")) == NULL)
            return ST_E_IO;
        sql_bind(st, "ii", id, nodes[i]);
        if ((s = sql_run(db, st)) == ST_E_BUSY && strstr(db->error, "FOREIGN KEY") != NULL)
            s = sql_fail(db, ST_E_NOTFOUND, "there is no node %lld", (long long)nodes[i]);
    }
    return s;
}

enum status db_user_set_nodes(struct db *db, int64_t id, const int64_t *nodes, size_t count)
{
    if (count > DB_NODES_MAX)
        return sql_fail(db, ST_E_CONFIG, "more than %d nodes: tie the user to all", DB_NODES_MAX);
    bool own;
    enum status s = sql_enter(db, &own);
    return s != ST_OK ? s : sql_leave(db, own, tie(db, id, nodes, count));
}

enum status db_user_nodes(struct db *db, int64_t id, int64_t *nodes, size_t max, size_t *count)
{
    sqlite3_stmt *st =
        sql_stmt(db, "SELECT node_id FROM user_nodes WHERE user_id=?1 ORDER BY node_id");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "i", id);
    enum status s;
    for (*count = 0; (s = sql_step(db, st)) == ST_OK; ++*count) {
        if (*count < max)
            nodes[*count] = sqlite3_column_int64(st, 0);
    }
    return s == ST_EOF ? ST_OK : s;
}

enum status db_user_reset(struct db *db, int64_t id)
{
    sqlite3_stmt *st = sql_stmt(db, "UPDATE users SET up=0, down=0 WHERE ?1=0 OR id=?1");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "i", id);
    enum status s = sql_run(db, st);
    return s == ST_OK && id != 0 && sqlite3_changes(db->handle) == 0 ? not_found(db, id) : s;
}

enum status db_user_list(struct db *db, int64_t node_id, int64_t now,
                         bool (*fn)(void *ctx, const struct db_user *u), void *ctx, int64_t *next)
{
    sqlite3_stmt *st = sql_stmt(
        db, "SELECT " COLUMNS " FROM users WHERE enabled AND (expires=0 OR expires>?2)"
            " AND (quota=0 OR up+down<quota) AND (all_nodes OR EXISTS"
            " (SELECT 1 FROM user_nodes WHERE user_id=users.id AND node_id=?1)) ORDER BY id");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "ii", node_id, now);
    *next = INT64_MAX;
    enum status s;
    while ((s = sql_step(db, st)) == ST_OK) {
        struct db_user u;
        read_row(st, &u);
        if (u.expires != 0 && u.expires < *next)
            *next = u.expires;
        if (!fn(ctx, &u))
            break;
    }
    sqlite3_reset(st);
    return s == ST_EOF ? ST_OK : s;
}

enum status db_user_any_tied(struct db *db, int64_t node_id, bool *out)
{
    sqlite3_stmt *st = sql_stmt(db, "SELECT EXISTS (SELECT 1 FROM user_nodes WHERE node_id=?1)");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "i", node_id);
    enum status s = sql_step(db, st);
    if (s == ST_OK)
        *out = sqlite3_column_int(st, 0) != 0;
    sqlite3_reset(st);
    return s == ST_EOF ? ST_E_IO : s;
}
