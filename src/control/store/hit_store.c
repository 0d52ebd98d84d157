#include "control/store/hit_store.h"

#include <sqlite3.h>

#include "control/store/store.h"

#define DAY_S 86400

enum status hit_store_add(struct store *s, uint32_t node, const struct hit_sum *h, int64_t now_s)
{
    struct sqlite3_stmt *q = store_sql(
        s, "INSERT INTO hit(node, rule, uid, count, since, last) VALUES(?1, ?2, ?3, ?4, ?5, ?5)"
           " ON CONFLICT DO UPDATE SET count=count+excluded.count, last=excluded.last");

    if (q == NULL)
        return ST_E_IO;
    sqlite3_bind_int64(q, 1, node);
    sqlite3_bind_text(q, 2, h->rule, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 3, (int64_t)h->uid);
    sqlite3_bind_int64(q, 4, (int64_t)h->count);
    sqlite3_bind_int64(q, 5, now_s);
    return store_step(s, q);
}

enum status hit_store_trim(struct store *s, uint32_t node, int64_t now_s)
{
    struct sqlite3_stmt *q =
        store_sql(s, "DELETE FROM hit WHERE node=?1 AND rule<>'' AND (last<=?2 OR (rule, uid) IN"
                     " (SELECT rule, uid FROM hit WHERE node=?1 AND rule<>''"
                     " ORDER BY last DESC, rule, uid LIMIT -1 OFFSET ?3))");

    if (q == NULL)
        return ST_E_IO;
    sqlite3_bind_int64(q, 1, node);
    sqlite3_bind_int64(q, 2, now_s - (int64_t)HIT_STORE_DAYS * DAY_S);
    sqlite3_bind_int64(q, 3, HIT_STORE_MAX);
    return store_step(s, q);
}

enum status hit_store_all(struct store *s, uint32_t node, struct hit_sum *out)
{
    struct sqlite3_stmt *q =
        store_sql(s, "SELECT count, since FROM hit WHERE node=?1 AND rule='' AND uid=0");

    *out = (struct hit_sum){.rule = ""};
    if (q == NULL)
        return ST_E_IO;
    sqlite3_bind_int64(q, 1, node);
    enum status st = store_step(s, q);
    if (st != ST_MORE)
        return st;
    out->count = (uint64_t)sqlite3_column_int64(q, 0);
    out->since_s = sqlite3_column_int64(q, 1);
    store_reset(q);
    return ST_OK;
}

static enum status most(struct store *s, const char *sql, uint32_t node, unsigned max,
                        void (*fn)(void *, const struct hit_sum *), void *arg)
{
    struct sqlite3_stmt *q = store_sql(s, sql);
    enum status st;

    if (q == NULL)
        return ST_E_IO;
    sqlite3_bind_int64(q, 1, node);
    sqlite3_bind_int64(q, 2, max);
    while ((st = store_step(s, q)) == ST_MORE) {
        const char *rule = (const char *)sqlite3_column_text(q, 1);
        const struct hit_sum h = {.uid = (uint64_t)sqlite3_column_int64(q, 0),
                                  .rule = rule != NULL ? rule : "",
                                  .count = (uint64_t)sqlite3_column_int64(q, 2),
                                  .since_s = sqlite3_column_int64(q, 3)};
        fn(arg, &h);
    }
    return st;
}

enum status hit_store_rules(struct store *s, uint32_t node, unsigned max,
                            void (*fn)(void *arg, const struct hit_sum *h), void *arg)
{
    return most(s,
                "SELECT uid, rule, count, since FROM hit WHERE node=?1 AND rule<>'' AND uid=0"
                " ORDER BY count DESC, rule LIMIT ?2",
                node, max, fn, arg);
}

enum status hit_store_pairs(struct store *s, uint32_t node, unsigned max,
                            void (*fn)(void *arg, const struct hit_sum *h), void *arg)
{
    return most(s,
                "SELECT uid, rule, count, since FROM hit WHERE node=?1 AND rule<>'' AND uid<>0"
                " ORDER BY count DESC, rule, uid LIMIT ?2",
                node, max, fn, arg);
}
