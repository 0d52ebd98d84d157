#include "control/node/node_cache.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "control/store/store.h"

enum status node_cache_save_config(struct store *s, uint32_t node, const char *text, size_t len)
{
    struct sqlite3_stmt *q = store_sql(s, "UPDATE node SET config=?2 WHERE id=?1");

    if (q == NULL)
        return ST_E_IO;
    sqlite3_bind_int64(q, 1, node);
    sqlite3_bind_blob64(q, 2, text, len, SQLITE_STATIC);
    return store_step(s, q);
}

enum status node_cache_load_config(struct store *s, uint32_t node, char **text, size_t *len)
{
    struct sqlite3_stmt *q =
        store_sql(s, "SELECT config FROM node WHERE id=?1 AND config IS NOT NULL");
    enum status st;

    if (q == NULL)
        return ST_E_IO;
    sqlite3_bind_int64(q, 1, node);
    if ((st = store_step(s, q)) != ST_MORE)
        return st == ST_OK ? ST_E_NOTFOUND : st;
    *len = (size_t)sqlite3_column_bytes(q, 0);
    *text = malloc(*len + 1);
    if (*text != NULL) {
        if (*len > 0)
            memcpy(*text, sqlite3_column_blob(q, 0), *len);
        (*text)[*len] = '\0';
    }
    store_reset(q);
    return *text != NULL ? ST_OK : ST_E_NOMEM;
}

/* "": uuid says it all. */
static void bind_secret(struct sqlite3_stmt *q, int at, const char *secret)
{
    sqlite3_bind_text(q, at, secret != NULL ? secret : "", -1, SQLITE_STATIC);
}

static enum status put_user(struct store *s, uint32_t node, const struct user_entry *e)
{
    struct sqlite3_stmt *q =
        store_sql(s, "INSERT OR REPLACE INTO node_user(node, uid, uuid, secret, speed, device,"
                     " conn) VALUES(?1, ?2, ?3, ?7, ?4, ?5, ?6)");
    if (q == NULL)
        return ST_E_IO;
    sqlite3_bind_int64(q, 1, node);
    sqlite3_bind_int64(q, 2, (int64_t)e->uid);
    sqlite3_bind_blob(q, 3, e->uuid, UUID_LEN, SQLITE_STATIC);
    sqlite3_bind_int64(q, 4, e->speed_kbps);
    sqlite3_bind_int64(q, 5, e->device_limit);
    sqlite3_bind_int64(q, 6, e->conn_limit);
    bind_secret(q, 7, e->secret);
    return store_step(s, q);
}

static enum status drop_user(struct store *s, uint32_t node, const struct user_rt *u)
{
    struct sqlite3_stmt *q =
        store_sql(s, "DELETE FROM node_user WHERE node=?1 AND uid=?2 AND uuid=?3 AND secret=?4");
    if (q == NULL)
        return ST_E_IO;
    sqlite3_bind_int64(q, 1, node);
    sqlite3_bind_int64(q, 2, (int64_t)u->uid);
    sqlite3_bind_blob(q, 3, u->uuid, UUID_LEN, SQLITE_STATIC);
    bind_secret(q, 4, u->secret);
    return store_step(s, q);
}

enum status node_cache_update(struct store *s, uint32_t node, const struct user_list *l,
                              const struct users_change *change)
{
    enum status st;

    if (change->removed_count + change->added + change->changed == 0)
        return ST_OK;
    if ((st = store_begin(s)) != ST_OK)
        return st;
    for (size_t i = 0; i < change->removed_count && st == ST_OK; i++)
        st = drop_user(s, node, change->removed[i]);
    for (size_t i = 0; i < l->count && st == ST_OK; i++)
        if (l->entries[i].order != USER_SAME)
            st = put_user(s, node, &l->entries[i]);
    return store_finish(s, st);
}

enum status node_cache_rewrite(struct store *s, uint32_t node, const struct user_table *t)
{
    enum status st = store_begin(s);

    if (st != ST_OK)
        return st;
    struct sqlite3_stmt *q = store_sql(s, "DELETE FROM node_user WHERE node=?1");
    if (q != NULL) {
        sqlite3_bind_int64(q, 1, node);
        st = store_step(s, q);
    } else {
        st = ST_E_IO;
    }
    for (size_t i = 0; i < t->count && st == ST_OK; i++) {
        const struct user_rt *u = t->by_id[i];
        struct user_entry e = {
            .uid = u->uid,
            .speed_kbps = atomic_load_explicit(&u->speed_kbps, memory_order_relaxed),
            .device_limit = atomic_load_explicit(&u->device_limit, memory_order_relaxed),
            .conn_limit = atomic_load_explicit(&u->conn_limit, memory_order_relaxed),
        };
        memcpy(e.uuid, u->uuid, UUID_LEN);
        e.secret = (char *)u->secret; /* only read */
        st = put_user(s, node, &e);
    }
    return store_finish(s, st);
}

enum status node_cache_load_users(struct store *s, uint32_t node, struct user_list *l)
{
    struct sqlite3_stmt *q =
        store_sql(s, "SELECT uid, uuid, speed, device, conn, secret FROM node_user"
                     " WHERE node=?1 ORDER BY uid, uuid, secret");
    enum status st;

    if (q == NULL)
        return ST_E_IO;
    sqlite3_bind_int64(q, 1, node);
    while ((st = store_step(s, q)) == ST_MORE) {
        struct user_entry e = {.uid = (uint64_t)sqlite3_column_int64(q, 0),
                               .speed_kbps = (uint32_t)sqlite3_column_int64(q, 2),
                               .device_limit = (uint32_t)sqlite3_column_int64(q, 3),
                               .conn_limit = (uint32_t)sqlite3_column_int64(q, 4)};
        if (sqlite3_column_bytes(q, 1) != UUID_LEN)
            continue;
        memcpy(e.uuid, sqlite3_column_blob(q, 1), UUID_LEN);
        if (sqlite3_column_bytes(q, 5) > 0)
            e.secret = (char *)(uintptr_t)sqlite3_column_text(q, 5); /* copied by the list */
        if ((st = user_list_push(l, &e)) != ST_OK) {
            store_reset(q);
            return st;
        }
    }
    return st;
}
