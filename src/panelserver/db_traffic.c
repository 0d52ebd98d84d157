#include "panelserver/db_traffic.h"

#include <string.h>

#include "panelserver/report.h"
#include "panelserver/sql.h"

#define DAY_S 86400

/* Has this node sent this key before? Notes it if not. */
static enum status claim_key(struct db *db, int64_t node_id, const char *key, const uint8_t *hash,
                             int64_t now, bool *replayed)
{
    sqlite3_stmt *st = sql_stmt(db, "SELECT hash FROM push_keys WHERE node_id=?1 AND key=?2");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "is", node_id, key);
    enum status s = sql_step(db, st);
    if (s == ST_OK) {
        bool same = sqlite3_column_bytes(st, 0) == DB_KEY_HASH &&
                    memcmp(sqlite3_column_blob(st, 0), hash, DB_KEY_HASH) == 0;
        sqlite3_reset(st);
        *replayed = same;
        return same ? ST_OK
                    : sql_fail(db, ST_E_REFUSED,
                               "this Idempotency-Key came with another body before");
    }
    if (s != ST_EOF)
        return s;
    if ((st = sql_stmt(db, "INSERT INTO push_keys VALUES (?1, ?2, ?3, ?4)")) == NULL)
        return ST_E_IO;
    sql_bind(st, "isbi", node_id, key, (const void *)hash, DB_KEY_HASH, now);
    return sql_run(db, st);
}

/* Books one entry; *@known tells if there is such a user. A number is at most 2^50 (report.h) and a
 * sum is held under 2^62, because SQLite turns an overflowing integer into a float. */
static enum status book(struct db *db, int64_t node_id, const struct report_push_entry *e,
                        int64_t day, bool *known)
{
    sqlite3_stmt *st =
        sql_stmt(db, "UPDATE users SET up=min(up+?2, 1<<61), down=min(down+?3, 1<<61)"
                     " WHERE id=?1");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "iii", e->user_id, e->up, e->down);
    enum status s = sql_run(db, st);
    *known = s == ST_OK && sqlite3_changes(db->handle) > 0;
    if (!*known || (e->up == 0 && e->down == 0))
        return s;
    st = sql_stmt(db, "INSERT INTO traffic VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE"
                      " SET up=min(up+excluded.up, 1<<61), down=min(down+excluded.down, 1<<61)");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "iiiii", day, e->user_id, node_id, e->up, e->down);
    return sql_run(db, st);
}

static enum status add_totals(struct db *db, int64_t node_id, const struct db_push_result *r,
                              int64_t now)
{
    int64_t up = (int64_t)r->up, down = (int64_t)r->down;
    sqlite3_stmt *st = sql_stmt(db, "UPDATE nodes SET up=min(up+?2, 1<<61),"
                                    " down=min(down+?3, 1<<61), seen=?4 WHERE id=?1");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "iiii", node_id, up, down, now);
    enum status s = sql_run(db, st);
    if (s != ST_OK)
        return s;
    st = sql_stmt(db, "UPDATE meta SET value=min(value + iif(key='total_up', ?1, ?2), 1<<61)"
                      " WHERE key IN ('total_up', 'total_down')");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "ii", up, down);
    return sql_run(db, st);
}

static enum status push(struct db *db, int64_t node_id, const char *key, const uint8_t *hash,
                        const struct report_push *push, int64_t now, struct db_push_result *out)
{
    enum status s = key == NULL ? ST_OK : claim_key(db, node_id, key, hash, now, &out->replayed);
    if (s != ST_OK || out->replayed)
        return s;
    for (size_t i = 0; i < push->count; i++) {
        const struct report_push_entry *e = &push->entries[i];
        bool known;
        if ((s = book(db, node_id, e, now / DAY_S, &known)) != ST_OK)
            return s;
        if (!known) {
            out->unknown++;
            continue;
        }
        out->up += (uint64_t)e->up;
        out->down += (uint64_t)e->down;
    }
    return add_totals(db, node_id, out, now);
}

enum status db_traffic_push(struct db *db, int64_t node_id, const char *key,
                            const uint8_t hash[DB_KEY_HASH], const struct report_push *report,
                            int64_t now, struct db_push_result *out)
{
    memset(out, 0, sizeof *out);
    bool own;
    enum status s = sql_enter(db, &own);
    return s != ST_OK ? s : sql_leave(db, own, push(db, node_id, key, hash, report, now, out));
}

/* Addresses for one user, those already there only made young again. Repeated addresses meet the
 * key of the table. */
static enum status put_user(struct db *db, int64_t node_id, const struct report_alive *alive,
                            const struct report_alive_user *u, int64_t now, bool *known)
{
    sqlite3_stmt *st = sql_stmt(db, "SELECT 1 FROM users WHERE id=?1");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "i", u->user_id);
    enum status s = sql_step(db, st);
    sqlite3_reset(st);
    *known = s == ST_OK;
    if (s != ST_OK)
        return s == ST_EOF ? ST_OK : s;
    for (size_t i = 0; i < u->count; i++) {
        char ip[ADDR_STRLEN];
        if ((st = sql_stmt(db, "INSERT INTO alive VALUES (?1, ?2, ?3, ?4)"
                               " ON CONFLICT DO UPDATE SET seen=excluded.seen")) == NULL)
            return ST_E_IO;
        sql_bind(st, "isii", u->user_id, addr_ip_str(&alive->ips[u->first + i], ip), node_id, now);
        if ((s = sql_run(db, st)) != ST_OK)
            return s;
    }
    return ST_OK;
}

static enum status put(struct db *db, int64_t node_id, const struct report_alive *alive,
                       int64_t now, uint64_t *unknown)
{
    sqlite3_stmt *st;
    enum status s;
    /* First what the node said before about these users, all of them, so that a user named twice
     * keeps both. */
    for (size_t i = 0; i < alive->count; i++) {
        if ((st = sql_stmt(db, "DELETE FROM alive WHERE user_id=?1 AND node_id=?2")) == NULL)
            return ST_E_IO;
        sql_bind(st, "ii", alive->users[i].user_id, node_id);
        if ((s = sql_run(db, st)) != ST_OK)
            return s;
    }
    for (size_t i = 0; i < alive->count; i++) {
        bool known;
        if ((s = put_user(db, node_id, alive, &alive->users[i], now, &known)) != ST_OK)
            return s;
        *unknown += !known;
    }
    if ((st = sql_stmt(db, "UPDATE nodes SET seen=?2 WHERE id=?1")) == NULL)
        return ST_E_IO;
    sql_bind(st, "ii", node_id, now);
    return sql_run(db, st);
}

enum status db_alive_put(struct db *db, int64_t node_id, const struct report_alive *alive,
                         int64_t now, uint64_t *unknown)
{
    *unknown = 0;
    bool own;
    enum status s = sql_enter(db, &own);
    return s != ST_OK ? s : sql_leave(db, own, put(db, node_id, alive, now, unknown));
}

enum status db_alive_each(struct db *db, int64_t now,
                          bool (*fn)(void *ctx, int64_t user_id, int64_t devices), void *ctx)
{
    sqlite3_stmt *st = sql_stmt(db, "SELECT user_id, count(DISTINCT ip) FROM alive"
                                    " WHERE seen>?1 GROUP BY user_id ORDER BY user_id");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "i", now - DB_ALIVE_TTL_S);
    enum status s;
    while ((s = sql_step(db, st)) == ST_OK) {
        if (!fn(ctx, sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1)))
            break;
    }
    sqlite3_reset(st);
    return s == ST_EOF ? ST_OK : s;
}

enum status db_traffic_prune(struct db *db, int64_t now)
{
    static const char *const sql[] = {
        "DELETE FROM alive WHERE seen<=?1",
        "DELETE FROM push_keys WHERE seen<=?1",
        "DELETE FROM traffic WHERE day<=?1",
    };
    const int64_t before[] = {now - DB_ALIVE_TTL_S, now - DB_KEY_TTL_S,
                              now / DAY_S - DB_TRAFFIC_DAYS};
    for (size_t i = 0; i < 3; i++) {
        sqlite3_stmt *st = sql_stmt(db, sql[i]);
        if (st == NULL)
            return ST_E_IO;
        sql_bind(st, "i", before[i]);
        enum status s = sql_run(db, st);
        if (s != ST_OK)
            return s;
    }
    return ST_OK;
}

enum status db_totals(struct db *db, int64_t now, struct db_totals *out)
{
    sqlite3_stmt *st = sql_stmt(
        db, "SELECT (SELECT count(*) FROM nodes), (SELECT count(*) FROM nodes WHERE enabled),"
            " (SELECT count(*) FROM users), (SELECT count(*) FROM users WHERE enabled AND"
            "   (expires=0 OR expires>?1) AND (quota=0 OR up+down<quota)),"
            " (SELECT count(DISTINCT user_id) FROM alive WHERE seen>?2),"
            " (SELECT coalesce(sum(min(up, 1<<50)), 0) FROM users),"
            " (SELECT coalesce(sum(min(down, 1<<50)), 0) FROM users),"
            " (SELECT coalesce(sum(up), 0) FROM traffic WHERE day=?3),"
            " (SELECT coalesce(sum(down), 0) FROM traffic WHERE day=?3),"
            " (SELECT value FROM meta WHERE key='total_up'),"
            " (SELECT value FROM meta WHERE key='total_down')");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "iii", now, now - DB_ALIVE_TTL_S, now / DAY_S);
    enum status s = sql_step(db, st);
    if (s == ST_OK) {
        out->nodes = sqlite3_column_int64(st, 0);
        out->nodes_enabled = sqlite3_column_int64(st, 1);
        out->users = sqlite3_column_int64(st, 2);
        out->users_active = sqlite3_column_int64(st, 3);
        out->online = sqlite3_column_int64(st, 4);
        out->up = (uint64_t)sqlite3_column_int64(st, 5);
        out->down = (uint64_t)sqlite3_column_int64(st, 6);
        out->today_up = (uint64_t)sqlite3_column_int64(st, 7);
        out->today_down = (uint64_t)sqlite3_column_int64(st, 8);
        out->ever_up = (uint64_t)sqlite3_column_int64(st, 9);
        out->ever_down = (uint64_t)sqlite3_column_int64(st, 10);
    }
    sqlite3_reset(st);
    return s == ST_EOF ? ST_E_IO : s;
}

enum status db_traffic_days(struct db *db, int64_t user_id, int days,
                            bool (*fn)(void *ctx, int64_t day, uint64_t up, uint64_t down),
                            void *ctx)
{
    sqlite3_stmt *st =
        user_id == 0 ? sql_stmt(db, "SELECT day, sum(up), sum(down) FROM traffic GROUP BY day"
                                    " ORDER BY day DESC LIMIT ?1")
                     : sql_stmt(db, "SELECT day, sum(up), sum(down) FROM traffic WHERE user_id=?2"
                                    " GROUP BY day ORDER BY day DESC LIMIT ?1");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "i", (int64_t)days);
    if (user_id != 0)
        sqlite3_bind_int64(st, 2, user_id);
    enum status s;
    while ((s = sql_step(db, st)) == ST_OK) {
        if (!fn(ctx, sqlite3_column_int64(st, 0), (uint64_t)sqlite3_column_int64(st, 1),
                (uint64_t)sqlite3_column_int64(st, 2)))
            break;
    }
    sqlite3_reset(st);
    return s == ST_EOF ? ST_OK : s;
}
