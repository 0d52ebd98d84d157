#include "control/store/dynamic_store.h"

#include <sqlite3.h>

#include "control/store/store.h"

enum status dynamic_store_put(struct store *s, const struct dynamic_held *h, int64_t now_s)
{
    struct sqlite3_stmt *q =
        h->kbps > 0 ? store_sql(s, "INSERT OR REPLACE INTO held(node, uid, kbps, until, left)"
                                   " VALUES(?1, ?2, ?3, ?4, ?5)")
                    : store_sql(s, "DELETE FROM held WHERE node=?1 AND uid=?2");

    if (q == NULL)
        return ST_E_IO;
    sqlite3_bind_int64(q, 1, h->node);
    sqlite3_bind_int64(q, 2, (int64_t)h->uid);
    if (h->kbps > 0) {
        sqlite3_bind_int64(q, 3, h->kbps);
        sqlite3_bind_int64(q, 4, now_s + h->left_s);
        sqlite3_bind_int64(q, 5, h->left_s);
    }
    return store_step(s, q);
}

enum status dynamic_store_each(struct store *s, int64_t now_s,
                               void (*fn)(void *arg, const struct dynamic_held *h), void *arg)
{
    struct sqlite3_stmt *q = store_sql(s, "DELETE FROM held WHERE until<=?1");
    enum status st = ST_E_IO;

    if (q == NULL)
        return st;
    sqlite3_bind_int64(q, 1, now_s);
    if ((st = store_step(s, q)) != ST_OK)
        return st;
    q = store_sql(s, "SELECT node, uid, kbps, min(until-?1, left) FROM held");
    if (q == NULL)
        return ST_E_IO;
    sqlite3_bind_int64(q, 1, now_s);
    while ((st = store_step(s, q)) == ST_MORE) {
        const struct dynamic_held h = {.node = (uint32_t)sqlite3_column_int64(q, 0),
                                       .uid = (uint64_t)sqlite3_column_int64(q, 1),
                                       .kbps = (uint32_t)sqlite3_column_int64(q, 2),
                                       .left_s = (uint32_t)sqlite3_column_int64(q, 3)};
        fn(arg, &h);
    }
    return st;
}
